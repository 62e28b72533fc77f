"""Removing what matters least, and recovering with the teacher."""
