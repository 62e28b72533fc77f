"""A part of a context that answers a question, or none: extractive question answering as SQuAD asks for it."""
