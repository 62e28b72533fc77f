"""Questions with their context and the answers in it: cleaned and gathered as tasks/data/clean.py does it with texts.

A context stays as it is written, to the last blank, as an answer is told by its place in it: what a model is asked
later is not cleaned either.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from hone.configs.data import DataSettings
from hone.tasks.data.clean import SCHEMA, Collected, Gathered, Unusable, as_text, normalize_label
from hone.tasks.data.rows import BadRowLog, RawRow

KINDS = ["answer", "no answer"]
"""Names of `label` by id: whether the context answers the question."""
QUESTIONS = pa.schema([*SCHEMA, ("starts", pa.list_(pa.int32())), ("ends", pa.list_(pa.int32()))])
"""Rows inside this stage: `text` is the question and `pair` its context; an answer is what stands in the context from a
start to an end. The first answer is the one that is learned."""
Spans = list[tuple[int, int]]


def collect_questions(
    rows: Iterable[RawRow],
    split: str,
    settings: DataSettings,
    bad: BadRowLog,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Collected:
    """Checks questions and gathers the usable ones; the others are recorded.

    Args:
        rows: with the question as `text`, its context as `pair` and the answers as `label` (see `answers_of`).
        on_rows: told now and then how many rows are gathered.
    """
    gathered = Gathered(QUESTIONS, on_rows)
    for row in rows:
        try:
            question = " ".join(as_text(row.text).split())
            context = as_text(row.pair)
            if not question or not context.strip():
                raise Unusable("empty_text")
            spans = spans_in(context, answers_of(row.label))
            parts = [normalize_label(as_text(value)) for value in row.slices]
        except Unusable as reason:
            bad.add(str(reason), split, row.line)
            continue
        starts, ends = [start for start, _end in spans], [end for _start, end in spans]
        gathered.add(question, context, 0 if spans else 1, row.line, parts, starts, ends)
    return Collected(gathered.table(), KINDS)


def answers_of(value: object) -> list[tuple[str, int]]:
    """Answers, each with its first character, from any of the forms in which files hold them: a list of `{"text",
    "answer_start"}`, one such object of two lists, one answer or a list of them beside their starts. None where there
    is nothing, or an empty text.

    Args:
        value: answers, or a tuple of answers and starts.

    Raises:
        Unusable: `wrong_type`, `missing_start` or `starts_mismatch`.
    """
    texts: Any
    texts, starts = value if isinstance(value, tuple) else (value, None)
    if isinstance(texts, dict):
        texts, starts = texts.get("text"), texts.get("answer_start")
    elif isinstance(texts, list) and texts and all(isinstance(one, dict) for one in texts):
        texts, starts = [one.get("text") for one in texts], [one.get("answer_start") for one in texts]
    answers = texts if isinstance(texts, list) else [texts]
    starts = starts if isinstance(starts, list) else [starts] * min(1, len(answers))
    if len(answers) != len(starts):
        raise Unusable("starts_mismatch" if starts != [None] else "missing_start")
    pairs = [(as_text(text), start) for text, start in zip(answers, starts, strict=True)]
    return [(text, _number(start)) for text, start in pairs if text.strip()]


def spans_in(context: str, answers: list[tuple[str, int]]) -> Spans:
    """First character and end of each different answer, without blanks around it.

    Raises:
        Unusable: `answer_not_at_start`.
    """
    spans: dict[tuple[int, int], None] = {}
    for text, start in answers:
        if start < 0 or context[start : start + len(text)] != text:
            raise Unusable("answer_not_at_start")
        begin = start + len(text) - len(text.lstrip())
        spans.setdefault((begin, begin + len(text.strip())))
    return list(spans)


def _number(value: object) -> int:
    """Where an answer begins."""
    text = as_text(value).strip()
    if not text:
        raise Unusable("missing_start")
    try:
        return int(text)
    except ValueError:
        raise Unusable("wrong_type") from None
