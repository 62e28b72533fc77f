"""The most frequent tag of a word."""

from hone.tasks.objectives.token_classification.baseline import fit, shape


def test_a_word_is_looked_up_as_written_then_in_lower_case_then_by_shape() -> None:
    known = fit(
        [["Apple", "apple", "Apple"], ["apple", "Rome", "10-12", "rain"]],
        [["B-org", "O", "B-org"], ["O", "B-loc", "B-time", "O"]],
    )
    assert known.predict([["Apple", "apple", "APPLE", "Bern", "9-5", "sun", "?"]]) == [
        ["B-org", "O", "B-org", "B-org", "B-time", "O", "O"]
    ]


def test_equally_frequent_tags_are_taken_by_the_alphabet() -> None:
    assert fit([["x", "x"]], [["O", "B-a"]]).predict([["x"], []]) == [["B-a"], []]


def test_shapes_keep_signs_and_shorten_runs() -> None:
    shapes = {"Berlin": "Xx", "NATO": "X", "McDonald": "XxXx", "10-12": "d-d", "@ab_c...": "@x_x.", "東京": "x"}
    assert {word: shape(word) for word in shapes} == shapes


def test_its_size_is_what_it_has_to_know() -> None:
    known = fit([["Ab", "ab"]], [["O", "O"]])
    assert (known.words, known.parameters) == (["Ab", "ab"], 2 + 1 + 2)  # as written, in lower case, Xx and x
    assert known.size_bytes == (2 + 2 + 2 + 2 + 1) + 5 + 5
