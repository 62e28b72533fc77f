"""One tag for each word: named entities, in IOB2."""
