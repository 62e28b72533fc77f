"""Slices of sentences by type and by whether training had the entity."""

from hone.tasks.objectives.token_classification.slices import known_entities, slices


def test_sentences_are_sliced_by_type_and_by_what_training_had() -> None:
    known = known_entities([["New", "York", "is"]], [["B-loc", "I-loc", "O"]])
    assert known == {("new", "york")}
    sentences = [["NEW", "YORK"], ["York"], ["new", "york", "Ann"], ["rain"], ["New", "York"]]
    tags = [["B-loc", "I-loc"], ["B-loc"], ["B-loc", "I-loc", "B-per"], ["O"], ["B-org", "I-org"]]
    assert {name: mask.tolist() for name, mask in slices(sentences, tags, known).items()} == {
        "type = loc": [True, True, True, False, False],
        "type = org": [False, False, False, False, True],
        "type = per": [False, False, True, False, False],
        "entities = seen": [True, False, False, False, True],  # of whatever type
        "entities = new": [False, True, True, False, False],
    }
