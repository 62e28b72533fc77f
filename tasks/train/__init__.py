"""Fine-tuning the pretrained encoder on the labels: the teacher."""
