"""Where an architecture keeps its layers, and what can be done with it."""
