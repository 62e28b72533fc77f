"""Questions to answers: long contexts in windows that overlap, and one answer out of all windows of a question.

A window is the question and a part of its context, as `tokenizers` cuts it with a stride. An answer is the span of
tokens with the largest sum of the logits of its first and its last token, in whichever window it lies. The first token
of a window stands for no answer, and the smallest of its sums over a question's windows counts, so that one window in
which the answer is seen outweighs those in which it is not.

This file is served with a model, so it imports nothing of Hone: `runtime.py` is handed over as a module.

Source: Devlin et al., BERT, 2019, sections 4.2 and 4.3.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

MOST_TOKENS = 30
"""Of an answer."""
SILENT = -1e4
"""Score of the answer to a question of whose context the tokenizer makes nothing."""
NEVER = 1e9
"""Threshold of a model that answers every question."""
THRESHOLD_NAME = "no_answer_threshold"
"""Its name in config.json."""
WIDTH = 7
"""Numbers of an answer."""
START, END, SCORE, NULL, STARTS, ENDS, THRESHOLD = range(WIDTH)
"""An answer as numbers: first character and end of the best span in the context; the sum of its two logits; that of no
answer; the logarithms of the sums of all starts' and all ends' exponentials, in the window of the best span; how much
larger than the best span's the sum of no answer has to be to be the answer."""
ROWS_AT_ONCE = 1000
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]


class Answer(TypedDict):
    """What transformers' question-answering pipeline answers; no answer is the empty text from 0 to 0."""

    answer: str
    start: int
    """First character in the context."""
    end: int
    """Behind the last one."""
    score: float
    """Probability of the first token times that of the last one, in the window of the answer."""


@dataclass(frozen=True)
class Windows:
    """Questions as token ids: window i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: npt.NDArray[np.int32]
    """[tokens], with the special tokens of each window."""
    offsets: Ints
    """[windows + 1]."""
    type_ids: npt.NDArray[np.int8] | None
    """[tokens], where the model takes token types."""
    questions: Ints
    """The question that each window is of [windows]; each question has one or more, in order."""
    starts: Ints
    """First character of each token in the context [tokens]; -1 of those that are not of it."""
    ends: Ints
    """Behind its last character [tokens]; -1 likewise."""
    cut_questions: int
    """Questions longer than half a window, of which the beginning stands there."""

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def lengths(self) -> Ints:
        """Tokens of each window [windows]."""
        return np.diff(self.offsets)

    def row(self, window: int) -> tuple[list[int], list[int]]:
        """Token ids and token types of one, the latter 0 where the model takes none."""
        part = slice(int(self.offsets[window]), int(self.offsets[window + 1]))
        ids: list[int] = self.ids[part].tolist()
        return ids, [0] * len(ids) if self.type_ids is None else self.type_ids[part].tolist()

    def spans(self, answers: Sequence[Sequence[tuple[int, int]]]) -> npt.NDArray[np.int64]:
        """First and last token of each question's first answer in each window, counted from the window's first token
        [windows, 2]; 0 and 0, which stand for no answer, where the window does not hold all of it.

        Args:
            answers: first character and end of each answer, by question.
        """
        result = np.zeros((len(self), 2), np.int64)
        for window, question in enumerate(self.questions.tolist()):
            if not answers[question]:
                continue
            first, end = answers[question][0]
            part = slice(int(self.offsets[window]), int(self.offsets[window + 1]))
            starts, ends = self.starts[part], self.ends[part]
            touched = np.flatnonzero((ends > first) & (starts < end))
            if len(touched) and starts[touched[0]] <= first and ends[touched[-1]] >= end:
                result[window] = touched[0], touched[-1]
        return result

    def answers(self, batches: Iterable[Ints], answer: Callable[[Ints], Floats], threshold: float) -> Any:
        """One answer to each question [questions, WIDTH] float32; NaN where a logit is no number.

        Args:
            batches: places of windows [batch], each window in one of them.
            answer: logits [batch, length, 2] of first and last tokens, of the windows at these places.
        """
        by_window = np.zeros((len(self), WIDTH), np.float32)
        for indices in batches:
            by_window[indices] = self._read(indices, np.asarray(answer(indices), np.float32))
        by_window[:, THRESHOLD] = threshold
        count = int(self.questions[-1]) + 1 if len(self) else 0
        order = np.lexsort((np.arange(len(self)), -by_window[:, SCORE], self.questions))
        firsts = np.searchsorted(self.questions[order], np.arange(count))
        result = by_window[order[firsts]]
        if count:
            begins = np.searchsorted(self.questions, np.arange(count))
            result[:, NULL] = np.minimum.reduceat(by_window[:, NULL], begins)
            broken = np.logical_or.reduceat(~np.isfinite(by_window).all(axis=1), begins)
            result[broken] = np.nan
        return result

    def _read(self, indices: Ints, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The best span of each of these windows [batch, WIDTH]."""
        length = logits.shape[1]
        tokens = self.offsets[indices][:, None] + np.arange(length)
        there = tokens < self.offsets[indices + 1][:, None]
        tokens = np.where(there, tokens, 0)
        inside = there & (self.starts[tokens] >= 0)
        start, end = logits[..., 0], logits[..., 1]
        first, last, score = best_spans(start, end, inside)
        rows = np.arange(len(indices))
        result = np.zeros((len(indices), WIDTH), np.float32)
        result[:, START] = np.where(inside.any(axis=1), self.starts[tokens[rows, first]], 0)
        result[:, END] = np.where(inside.any(axis=1), self.ends[tokens[rows, last]], 0)
        result[:, SCORE] = np.where(inside.any(axis=1), score, SILENT)
        result[:, NULL] = start[:, 0] + end[:, 0]
        inside[:, 0] = True
        result[:, STARTS], result[:, ENDS] = _log_sum(start, inside), _log_sum(end, inside)
        result[~(np.isfinite(logits).all(axis=2) | ~there).all(axis=1)] = np.nan
        return result


def best_spans(start: Floats, end: Floats, inside: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, Floats]:
    """First and last token [batch] of the span with the largest sum of logits, and that sum; of equal ones the
    shortest, and of these the first.

    Args:
        start, end: logits [batch, length].
        inside: tokens that an answer may be of [batch, length], without a gap.
    """
    batch, length = start.shape
    begins, finishes = np.where(inside, start, -np.inf), np.where(inside, end, -np.inf)
    first, last = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    best = np.full(batch, -np.inf, start.dtype)
    rows = np.arange(batch)
    for more in range(min(MOST_TOKENS, length)):
        sums = begins[:, : length - more] + finishes[:, more:]
        index = sums.argmax(axis=1)
        better = sums[rows, index] > best
        best = np.where(better, sums[rows, index], best)
        first, last = np.where(better, index, first), np.where(better, index + more, last)
    return first, last, best


def margins(answers: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """How much more than the best span's the sum of no answer is, of each question [questions]."""
    return np.asarray(answers[:, NULL], np.float64) - answers[:, SCORE]


def is_silent(answers: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """To which questions the answer is that the context has none [questions]."""
    return np.asarray((margins(answers) > answers[:, THRESHOLD]) | (answers[:, END] <= answers[:, START]))


def scores(answers: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Probability of each answer, 0..1 [questions]: of its first token times that of its last one."""
    sums = np.where(is_silent(answers), answers[:, NULL], answers[:, SCORE]).astype(np.float64)
    return np.minimum(np.exp(sums - answers[:, STARTS] - answers[:, ENDS]), 1.0)


def told(answers: npt.NDArray[np.floating], contexts: Sequence[str]) -> list[Answer]:
    """The answers in words."""
    result: list[Answer] = []
    columns = zip(answers[:, START], answers[:, END], is_silent(answers), scores(answers), contexts, strict=True)
    for start, end, silent, score, context in columns:
        first, behind = (0, 0) if silent else (int(start), int(end))
        result.append(Answer(answer=context[first:behind], start=first, end=behind, score=float(score)))
    return result


def make_windows(
    tokenizer: Tokenizer, questions: Sequence[str], contexts: Sequence[str], max_length: int, token_types: bool
) -> Windows:
    """Questions and their contexts as windows of at most `max_length` tokens each, which share `overlap_of` of them.

    Args:
        tokenizer: it is set to cut at this length.
        token_types: whether the model takes token types.
    """
    room = max_length - tokenizer.num_special_tokens_to_add(True)
    if room < 2:
        raise ValueError(f"windows of {max_length} tokens have no room for a question and its context")
    asked, cut = _cut(tokenizer, questions, room // 2)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, stride=overlap_of(max_length), strategy="only_second", direction="right")
    ids: list[npt.NDArray[np.int32]] = [np.zeros(0, np.int32)]
    types: list[npt.NDArray[np.int8]] = [np.zeros(0, np.int8)]
    starts: list[Ints] = [np.zeros(0, np.int64)]
    ends: list[Ints] = [np.zeros(0, np.int64)]
    of: list[int] = []
    for begin in range(0, len(asked), ROWS_AT_ONCE):
        chunk = slice(begin, begin + ROWS_AT_ONCE)
        pairs = list(zip(asked[chunk], contexts[chunk], strict=True))
        for index, row in enumerate(tokenizer.encode_batch(pairs), start=begin):
            trimmed = _without_blanks(contexts[index])
            for window in (row, *row.overflowing):
                inside = np.array([side == 1 for side in window.sequence_ids], np.bool_)
                spans = np.array(window.offsets, np.int64).reshape(-1, 2)
                first, end = trimmed(spans[:, 0], spans[:, 1])
                ids.append(np.array(window.ids, np.int32))
                types.append(np.array(window.type_ids, np.int8))
                starts.append(np.where(inside, first, -1))
                ends.append(np.where(inside, end, -1))
                of.append(index)
    lengths = [len(window) for window in ids[1:]]
    return Windows(
        ids=np.concatenate(ids),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        type_ids=np.concatenate(types) if token_types else None,
        questions=np.array(of, np.int64),
        starts=np.concatenate(starts),
        ends=np.concatenate(ends),
        cut_questions=cut,
    )


def overlap_of(max_length: int) -> int:
    """Tokens of the context that a window shares with the one before: a quarter of it, so that an answer at a border is
    seen whole in one of the two."""
    return max(0, max_length // 4 - 2)


def read_threshold(folder: Path) -> float:
    """How much more than for the best answer has to speak for none, of the model in a folder."""
    return float(json.loads((folder / "config.json").read_text(encoding="utf-8"))[THRESHOLD_NAME])


class QuestionReader:
    """Questions as windows of token ids, as the exported folder says.

    Args:
        runtime: `runtime.py`.
    """

    def __init__(self, folder: Path, *, runtime: Any) -> None:
        texts = runtime.TextReader(folder)
        self.settings, self.pad_id, self.tokenizer = texts.settings, texts.pad_id, texts.tokenizer

    def read(self, questions: Sequence[str], contexts: Sequence[str]) -> Windows:
        """Raises:
        ValueError: when one is not a string, naming its place.
        """
        for what, texts in (("question", questions), ("context", contexts)):
            for row, text in enumerate(texts):
                if not isinstance(text, str):
                    raise ValueError(  # noqa: TRY004
                        f"row {row} holds {type(text).__name__} where the text of a {what} is asked for"
                    )
        settings = self.settings
        return make_windows(self.tokenizer, questions, contexts, settings.max_length, settings.token_types)


class Answerer:
    """An exported folder, ready to answer questions about contexts.

    Args:
        session: providers, threads or memory_arena, where they are to be other than `session.json` says.
        runtime: `runtime.py`.
    """

    def __init__(self, folder: Path, session: dict[str, Any] | None = None, *, runtime: Any) -> None:
        how = runtime.read_session_settings(folder) | (session or {})
        self._runtime = runtime
        self.reader = QuestionReader(folder, runtime=runtime)
        self.threshold = read_threshold(folder)
        self.session = runtime.create_session(
            folder / "model.onnx", how["providers"], how["threads"], memory_arena=how["memory_arena"]
        )

    def numbers(self, questions: Sequence[str], contexts: Sequence[str], batch_size: int | None = None) -> Any:
        """[questions, WIDTH] float32. A question by itself is answered a window at a time, as its answer would depend
        on how many it has where activations are quantised with one scale for a whole batch."""
        size = batch_size or (1 if len(questions) == 1 else self._runtime.BATCH_SIZE)
        found, runtime = self.reader.read(questions, contexts), self._runtime

        def answer(indices: Any) -> Any:
            rows = [runtime.TokenIds(*found.row(index)) for index in indices]
            return runtime.run(self.session, rows, self.reader.pad_id)

        return found.answers(runtime.batches(found.lengths.tolist(), size), answer, self.threshold)

    def answers(self, questions: Sequence[str], contexts: Sequence[str] | None = None) -> list[Answer]:
        """One answer to each question, in their order.

        Raises:
            ValueError: when there is no context for each question, or one of them is no text.
        """
        if contexts is None or len(contexts) != len(questions):
            raise ValueError("the model answers questions about contexts: give each question its context")
        if not len(questions):
            return []
        return told(self.numbers(questions, contexts), contexts)


def _cut(tokenizer: Tokenizer, questions: Sequence[str], most: int) -> tuple[list[str], int]:
    """Questions of at most so many tokens, and how many were longer."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    asked, cut = list(questions), 0
    for begin in range(0, len(asked), ROWS_AT_ONCE):
        rows = tokenizer.encode_batch(asked[begin : begin + ROWS_AT_ONCE], add_special_tokens=False)
        for index, whole in enumerate(rows, start=begin):
            row, kept = whole, most
            cut += len(row.ids) > most
            while len(row.ids) > most:  # a word that is cut may have more tokens than its part had
                asked[index] = asked[index][: row.offsets[kept - 1][1]] if kept else ""
                row, kept = tokenizer.encode(asked[index], add_special_tokens=False), kept - 1
    return asked, cut


def _log_sum(logits: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Logarithm of the sum of the exponentials [batch]."""
    values = np.where(inside, logits, -np.inf).astype(np.float64)
    top = values.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(top[:, 0] + np.log(np.exp(values - top).sum(axis=1)))


def _without_blanks(text: str) -> Callable[[Ints, Ints], tuple[Ints, Ints]]:
    """Moves first characters and ends of tokens inwards over blanks, which some tokenizers count to the next token."""
    blank = np.array([letter.isspace() for letter in text] or [False], np.bool_)
    indices = np.arange(len(blank))
    after = np.minimum.accumulate(np.where(blank, len(blank), indices)[::-1])[::-1]
    before = np.maximum.accumulate(np.where(blank, -1, indices)) + 1

    def trimmed(first: Ints, end: Ints) -> tuple[Ints, Ints]:
        last = len(blank) - 1
        begin = np.minimum(after[np.minimum(first, last)], end)
        return begin, np.maximum(before[np.clip(end - 1, 0, last)], begin)

    return trimmed
