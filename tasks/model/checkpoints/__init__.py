"""A model in a folder: where it comes from, whether it may be loaded, and how it is loaded and saved."""
