"""Words to subwords and back: nothing is lost, and each word has one answer."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hone.tasks.objectives.token_classification.windows import IGNORED, make_windows, word_spans
from tests.tiny import write_encoder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(write_encoder(tmp_path_factory.mktemp("encoder")))


def subwords(tokenizer: PreTrainedTokenizerFast, word: str) -> list[int]:
    return tokenizer(word, add_special_tokens=False)["input_ids"]


def test_the_first_subword_carries_the_tag_and_all_else_is_ignored(tokenizer: PreTrainedTokenizerFast) -> None:
    windows = make_windows(tokenizer, [["the", "casts", "xyz"], ["film"]], max_length=16, overlap=2)
    names = tokenizer.convert_ids_to_tokens(windows.ids.tolist())
    assert names == ["[CLS]", "the", "cast", "##s", "x", "##y", "##z", "[SEP]", "[CLS]", "film", "[SEP]"]
    no = IGNORED
    assert windows.targets([[1, 2, 3], [4]]).tolist() == [no, 1, 2, no, 3, no, no, no, no, 4, no]
    assert windows.type_ids is not None
    assert windows.type_ids.tolist() == [0] * 11
    assert windows.lengths.tolist() == [8, 3]
    assert [part.tolist() for part in windows.positions] == [[0, 0, 0, 1], [1, 2, 4, 1]]


def test_windows_of_a_short_sentence_are_what_the_tokenizer_says(tokenizer: PreTrainedTokenizerFast) -> None:
    words = ["never", "said", "abc", "the", "plots"]
    windows = make_windows(tokenizer, [words], max_length=32, overlap=4)
    assert windows.ids.tolist() == tokenizer(words, is_split_into_words=True)["input_ids"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(6, 12), st.integers(0, 5))
def test_windows_cover_all_words_fit_and_overlap(sizes: list[int], room: int, overlap: int) -> None:
    spans = word_spans(np.array(sizes, np.int64), room, overlap)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(sizes)
    for first, end in spans:
        assert sum(sizes[first:end]) <= room
        assert end > first or not sizes
    for (first, end), (later, last) in pairwise(spans):
        assert first < later <= end < last
        if later > first + 1 and sum(sizes[later - 1 : end + 1]) <= room:  # else the words are too long for it
            assert sum(sizes[later:end]) >= overlap


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["the", "casts", "xyzzy", "a", "😀"]), max_size=30), max_size=4))
def test_each_word_of_long_sentences_is_answered_for_once(
    tokenizer: PreTrainedTokenizerFast, sentences: list[list[str]]
) -> None:
    windows = make_windows(tokenizer, sentences, max_length=10, overlap=3)
    assert (windows.lengths <= 10).all()
    assert (windows.silent_words, windows.cut_words) == (0, 0)
    assert sorted(set(windows.sentences.tolist())) == list(range(len(sentences)))
    numbered = [list(range(len(words))) for words in sentences]
    targets = windows.targets(numbered)
    assert (targets != IGNORED).sum() == sum(map(len, sentences))
    assert [found.tolist() for found in windows.by_word(targets)] == numbered
    first = [subwords(tokenizer, word)[0] for words in sentences for word in words]
    assert windows.ids[windows.answers].tolist() == first


def test_the_window_that_shows_most_around_a_word_answers_for_it(tokenizer: PreTrainedTokenizerFast) -> None:
    windows = make_windows(tokenizer, [["the"] * 12], max_length=10, overlap=4)  # 8 words fit
    assert windows.lengths.tolist() == [10, 10]
    window, position = windows.positions
    assert windows.weights.tolist() == [6, 6]
    # Words 0-7 in the first window, 4-11 in the second: 4 has 3 words behind it there and none before it here.
    assert window.tolist() == [0] * 6 + [1] * 6
    assert position.tolist() == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7, 8]


def test_no_word_is_cut_or_lost_without_being_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    windows = make_windows(tokenizer, [["the", "abcdefghijklm", "\u200d", "film"], []], max_length=10, overlap=0)
    assert (windows.cut_words, windows.silent_words) == (1, 1)
    found = windows.by_word(np.arange(len(windows.ids)) * 0 + 7)
    assert [row.tolist() for row in found] == [[7, 7, 0, 7], []]
    spread = windows.by_word(np.ones((len(windows.ids), 2)), np.array([1.0, 0.0]))
    assert spread[0][2].tolist() == [1, 0]


def test_an_overlap_without_room_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="an overlap of 8 subwords does not fit windows with room for 8"):
        make_windows(tokenizer, [["the"]], max_length=10, overlap=8)


def test_tags_that_do_not_fit_the_words_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    windows = make_windows(tokenizer, [["the", "film"]], max_length=10, overlap=2)
    with pytest.raises(ValueError, match="1 tags in 1 sentences do not fit"):
        windows.targets([[1]])
