"""Whether the model may ship."""
