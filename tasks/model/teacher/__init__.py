"""What the teacher answers to every training row, asked once and kept on disk."""
