"""Teaching a smaller student what the teacher knows."""
