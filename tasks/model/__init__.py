"""What the stages that train share: checkpoints, text as batches, the one training loop, learning from a teacher."""
