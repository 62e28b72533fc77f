"""Answering with a model: as it is served, and in each form that it has on the way there."""
