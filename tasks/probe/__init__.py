"""A model loads where it will run: golden requests, and the bare process that answers them."""
