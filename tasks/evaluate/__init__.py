"""How good, how large and how fast every model of the chain is, on the same rows and the same machine."""
