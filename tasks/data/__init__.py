"""Labelled text from where it lies to three clean splits: read, clean, split, digest, write."""
