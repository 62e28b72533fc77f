"""The next token of a document: causal language models."""
