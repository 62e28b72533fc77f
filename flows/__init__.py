"""What happens, in order. Read `optimize.py` first."""
