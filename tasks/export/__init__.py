"""Stage: every model of the chain as ONNX, its tokenizer beside it, compared with the PyTorch model it came from."""
