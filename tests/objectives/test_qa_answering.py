"""Windows of contexts hold every answer, and one answer comes of all windows of a question."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.objectives.question_answering import answering
from hone.tasks.objectives.question_answering.answering import best_spans, make_windows, overlap_of
from hone.tasks.objectives.question_answering.learning import cutter
from tests.tiny import FILLER, write_encoder

LENGTH = 16
WORDS = st.sampled_from([*FILLER, "superbly", "x-y", "  ", "\n"])
CONTEXTS = st.tuples(st.sampled_from(FILLER), st.lists(WORDS, max_size=40)).map(
    lambda both: " ".join([both[0], *both[1]])
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return cutter(load_tokenizer(write_encoder(tmp_path_factory.mktemp("encoder"))))


def windows_of(tokenizer: Tokenizer, questions: list[str], contexts: list[str]) -> answering.Windows:
    return make_windows(tokenizer, questions, contexts, LENGTH, token_types=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(CONTEXTS, min_size=1, max_size=3), st.integers(1, 20))
def test_windows_fit_overlap_and_hold_all_of_the_context(tokenizer: Tokenizer, contexts: list[str], asked: int) -> None:
    found = windows_of(tokenizer, [" ".join(["film"] * asked)] * len(contexts), contexts)
    assert found.lengths.max() <= LENGTH
    assert found.cut_questions == (len(contexts) if asked > (LENGTH - 3) // 2 else 0)
    seen: dict[int, list[set[tuple[int, int]]]] = {}
    for window, question in enumerate(found.questions.tolist()):
        part = slice(found.offsets[window], found.offsets[window + 1])
        pieces = set(zip(found.starts[part].tolist(), found.ends[part].tolist(), strict=True)) - {(-1, -1)}
        seen.setdefault(question, []).append(pieces)
    for question, context in enumerate(contexts):
        held = set().union(*seen[question])
        assert "".join(context[start:end] for start, end in sorted(held)) == "".join(context.split())
        for before, after in zip(seen[question], seen[question][1:], strict=False):
            assert len(before & after) == overlap_of(LENGTH)


def test_the_first_answer_is_found_in_the_windows_that_hold_all_of_it_and_no_answer_elsewhere(
    tokenizer: Tokenizer,
) -> None:
    context = " ".join(FILLER * 3)
    start = context.index("music") + len("music ")
    answers = [(start, start + len("the film is")), (0, 3)]
    found = windows_of(tokenizer, ["a film", "a film"], [context, context])
    spans = found.spans([answers, []])
    held = spans[found.questions == 0]
    assert 0 < (held[:, 1] > 0).sum() < len(held)
    for window, (first, last) in enumerate(held.tolist()):
        base = found.offsets[window]
        if last:
            assert context[found.starts[base + first] : found.ends[base + last]] == "the film is"
    assert not spans[found.questions == 1].any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_the_best_span_is_that_of_all_spans(seed: int, length: int) -> None:
    draw = np.random.default_rng(seed)
    start, end = draw.integers(-3, 3, (2, 1, length)).astype(np.float32)
    inside = np.zeros((1, length), bool)
    low = int(draw.integers(0, length))
    inside[0, low : int(draw.integers(low + 1, length + 1))] = True
    places = np.flatnonzero(inside[0])
    every = [
        (start[0, first] + end[0, last], first - last, -first)
        for first in places
        for last in places
        if first <= last < first + answering.MOST_TOKENS
    ]
    score, size, place = max(every)
    first, last, best = best_spans(start, end, inside)
    assert (best[0], first[0], last[0]) == (score, -place, -place - size)


def test_of_several_windows_the_surest_answers_and_no_answer_is_the_least_sure(tokenizer: Tokenizer) -> None:
    context = " ".join(FILLER * 3)
    found = windows_of(tokenizer, ["a film", "a film"], [context, "a story"])
    table = np.zeros((len(found), LENGTH, 2), np.float32)
    for window in range(len(found)):
        inside = np.flatnonzero(found.starts[found.offsets[window] : found.offsets[window + 1]] >= 0)
        table[window, inside[1], 0] = table[window, inside[1], 1] = window + 1
        table[window, 0] = [window, 0]
    batches = [np.arange(len(found))[::-1]]
    (answered, short) = found.answers(batches, lambda places: table[places], 5.0)
    last = len(found) - 2
    assert answered[answering.SCORE] == 2 * (last + 1)
    assert answered[answering.NULL] == 0
    place = found.offsets[last] + np.flatnonzero(found.starts[found.offsets[last] : found.offsets[last + 1]] >= 0)[1]
    assert answered[answering.START] == found.starts[place]
    told = answering.told(np.stack([answered, short]), [context, "a story"])
    assert [one["answer"] for one in told] == [context[found.starts[place] : found.ends[place]], "story"]
    table[0, 3, 0] = np.nan
    assert np.isnan(found.answers(batches, lambda places: table[places], 5.0)[0]).any()


def test_an_answer_is_none_above_the_threshold_alone() -> None:
    answers = np.zeros((3, answering.WIDTH), np.float32)
    answers[:, answering.END], answers[:, answering.THRESHOLD] = 4, 1.5
    answers[:, answering.NULL] = [1.5, 1.75, -9]
    answers[:, [answering.STARTS, answering.ENDS]] = 2
    assert answering.is_silent(answers).tolist() == [False, True, False]
    assert [one["answer"] for one in answering.told(answers, ["film a"] * 3)] == ["film", "", "film"]
    assert answering.scores(answers) == pytest.approx(np.exp([-4, -2.25, -4]))


def test_a_tokenizer_that_counts_blanks_to_the_word_behind_gives_spans_without_them() -> None:
    alphabet = {letter: place for place, letter in enumerate(["[UNK]", *pre_tokenizers.ByteLevel.alphabet()])}
    tokenizer = Tokenizer(models.WordLevel({**alphabet, "\u0120cat": 300, "a": 301}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    found = make_windows(tokenizer, ["a"], ["a  cat"], 8, token_types=False)
    inside = found.starts >= 0
    shown = {"a  cat"[start:end] for start, end in zip(found.starts[inside], found.ends[inside], strict=True)}
    assert shown >= {"a", "cat"}
    assert not any(text != text.strip() for text in shown)


def test_a_context_of_which_the_tokenizer_makes_nothing_has_no_answer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    found = windows_of(tokenizer, ["a film"], ["\u200b"])
    (answered,) = found.answers([np.array([0])], lambda places: np.zeros((1, found.lengths[0], 2)), answering.NEVER)
    assert answering.told(answered[None], ["\u200b"])[0]["answer"] == ""
    assert np.isfinite(answered).all()
