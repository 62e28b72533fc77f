"""Stage: every model of the chain as ONNX, its tokenizer beside it."""
