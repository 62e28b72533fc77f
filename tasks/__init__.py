"""How each step is done. A folder with a `task.py` is a stage."""
