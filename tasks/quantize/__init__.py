"""Stage: eight bits, post-training first and then with the rounding in the training loop and the teacher beside it."""
