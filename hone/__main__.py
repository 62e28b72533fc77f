"""`python -m hone` is the `hone` command."""

from hone.flows.__main__ import main

main()
