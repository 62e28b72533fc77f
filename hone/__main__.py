"""`python -m hone` is the `hone` command."""

from flows.__main__ import main

main()
