"""Which settings: typed sections and the YAML recipes that use them. Imports neither torch nor an engine."""
