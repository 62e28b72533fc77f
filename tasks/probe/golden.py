"""Golden requests: texts with what the model answered when it was evaluated, to be answered again wherever it goes.

`golden.json` lies with the evaluation's evidence and, once the model is registered, beside the model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hone.tasks.contracts import Contract
from hone.tasks.errors import MeasurementError
from hone.tasks.message import COMPLETION
from hone.tasks.model.runtime.runtime import sigmoid, softmax
from hone.tasks.objectives.multi_label_classification.threshold import logit
from hone.tasks.objectives.question_answering import answering
from hone.tasks.objectives.ragged import Ragged
from hone.tasks.objectives.text_generation.generating import Generator, Prompt
from hone.tasks.objectives.token_classification.spans import find_spans, join_words, split_words
from hone.tasks.words import pieces

if TYPE_CHECKING:  # it needs torch, and whoever promotes a model does not
    from hone.tasks.model.text import Rows
    from hone.tasks.objectives.judging import Answers

TOLERANCE = 1e-3
"""Of a probability. Two CPU sessions differ by 1e-7 at most; a GPU's may choose other kernels each time."""
PROMPT_TOKENS = 16
"""Of a document's beginning, which a language model is asked to continue."""
LONG_FRACTION = 4
"""One of so many requests is a text that the model has to cut, where there are any."""


class Golden(Contract):
    """The format of `golden.json`."""

    labels: list[str]
    """Label names by id."""
    requests: list[dict[str, str | list[str] | list[dict[str, str]]]]
    """`{"text"}`, and `"text_pair"` where the model judges pairs; as cleaned by the data stage. Of a model that tags
    words, `{"text"}` where the served model splits the text into the data's words, and else `{"tokens"}`; of one that
    answers questions, `{"question", "context"}`; of one that continues prompts, `{"prompt"}`, and that answers chats
    `{"messages"}`, each with its role and content."""
    probabilities: list[list[float]] = []
    """[requests, labels]; none of a model that tags words, or answers numbers or questions."""
    threshold: float | None = None
    """The probability above which a label is given, of a model whose texts may have several; None of others."""
    numbers: list[float] | None = None
    """[requests], of a model that answers them; None of others."""
    spans: list[list[dict[str, Any]]] | None = None
    """The entities [requests, entities] of a model that tags words, as it answers them; None of one that does not."""
    answers: list[dict[str, Any]] | None = None
    """One for each request of a model that answers questions, as it gives them; None of one that does not."""
    continuations: list[dict[str, Any]] | None = None
    """One for each request of a language model, as it gives them, and `certain`: how many of the first tokens another
    machine has to choose too, as the next best token is further off than twice the tolerance; None of others."""
    tolerance: float = TOLERANCE
    """Largest difference of a probability, of an entity's or an answer's score, or of a number."""

    @property
    def rows(self) -> list[Any]:
        """The requests as the served model takes them: texts, lists of words, `{"text", "text_pair"}`,
        `{"question", "context"}`, or `{"messages"}`."""
        return [
            request if len(request) > 1 or "messages" in request else next(iter(request.values()))
            for request in self.requests
        ]


def choose_rows(lengths: Sequence[int], characters: Sequence[int], max_length: int, count: int) -> list[int]:
    """At most `count` places of rows, in their order: spread evenly over the split from its first to its last, with the
    longest of those that the model has to cut among them.

    Args:
        lengths: tokens of each row, as the model reads it.
        characters: of each row.
        max_length: tokens at which the model cuts.
    """
    rows = len(lengths)
    count = min(count, rows)
    cut = sorted((index for index in range(rows) if lengths[index] >= max_length), key=lambda p: (-characters[p], p))
    long = set(cut[: -(-count // LONG_FRACTION)]) if count > 1 else set()
    others = [index for index in range(rows) if index not in long]
    spread = np.unique(np.linspace(0, len(others) - 1, min(count - len(long), len(others))).round().astype(int))
    return sorted(long | {others[index] for index in spread})


def write_golden(
    path: Path,
    rows: "Rows",
    logits: "Answers",
    labels: Sequence[str],
    task: str,
    threshold: float | None = None,
) -> None:
    """Writes `golden.json`.

    Args:
        logits: answers [rows, labels] that the evaluation got for these rows, one at a time, or `Ragged` ones of their
            words; where they are questions, its answers to them.
        labels: names by id.
        task: what the model does, as its `serving.json` says.
        threshold: of a model whose texts may have several labels, which its answers are seen from.

    Raises:
        MeasurementError: when an answer is not a number.
    """
    if isinstance(logits, Ragged):
        finite = logits.largest((~np.isfinite(logits.values).all(axis=1)).astype(np.int64)) == 0
    else:
        finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise MeasurementError(
            f"the exported model answers golden request {int(np.argmin(finite))} with nan, so there is nothing to ship"
        )
    if isinstance(logits, Ragged):
        _write(path, _sentences(rows, logits, labels))
        return
    if rows.spans is not None and rows.pairs is not None:
        _write(path, _questions(rows, logits, labels))
        return
    requests: list[dict[str, str | list[str]]] = [{"text": text} for text in rows.texts]
    if rows.pairs is not None:
        requests = [{**request, "text_pair": pair} for request, pair in zip(requests, rows.pairs, strict=True)]
    _write(path, Golden(labels=list(labels), requests=requests, **_expected(logits, task, threshold)))


def write_continuations(path: Path, rows: "Rows", generator: Generator, labels: Sequence[str]) -> None:
    """Writes `golden.json` of a language model: the beginnings of documents, or conversations before their last answer,
    each with what follows it.

    Args:
        generator: the model as it is served.
    """
    prompts = _asked(rows, generator) or _beginnings(rows, generator)
    told: list[dict[str, Any]] = []
    for found in generator.traces(prompts):
        doubtful = np.flatnonzero(found.leads <= 2 * TOLERANCE)
        told.append({**found.continuation, "certain": int(doubtful[0]) if len(doubtful) else len(found.leads)})
    requests: list[Any] = [{"messages" if isinstance(prompt, list) else "prompt": prompt} for prompt in prompts]
    _write(path, Golden(labels=list(labels), requests=requests, continuations=told))


def _asked(rows: "Rows", generator: Generator) -> list[Prompt]:
    """What is asked in conversations, for the last time, as far as the model can read it."""
    asked: list[Prompt] = []
    for messages in rows.messages or []:
        last = max((place for place, message in enumerate(messages) if not message.learned), default=-1)
        before = [{"role": message.role, "content": message.content} for message in messages[: last + 1]]
        prompt: Prompt = before[0]["content"] if messages[-1].role == COMPLETION else before
        try:
            (ids,) = generator.reader.read_prompts([prompt])
        except ValueError:  # such as a conversation that nobody asks anything in
            continue
        if len(ids) < generator.context:
            asked.append(prompt)
    return asked


def _beginnings(rows: "Rows", generator: Generator) -> list[Prompt]:
    """Of documents."""
    room = max(1, min(PROMPT_TOKENS, generator.context // 2))
    return [generator.reader.tokenizer.decode(ids[:room]) for ids in generator.reader.encode(rows.texts)]


def _write(path: Path, golden: Golden) -> None:
    unused = {name for name in ("threshold", "numbers", "answers", "continuations") if getattr(golden, name) is None}
    path.write_text(golden.model_dump_json(indent=1, exclude=unused), encoding="utf-8")


def _expected(answers: Any, task: str, threshold: float | None) -> dict[str, Any]:
    """What the served model has to answer, as fields of `Golden`."""
    if task == "regression":
        numbers = answers[:, 0].astype(np.float64)
        return {"numbers": numbers.tolist(), "tolerance": TOLERANCE * max(1.0, float(np.abs(numbers).max(initial=0.0)))}
    if threshold is not None:
        return {"probabilities": sigmoid(answers + logit(threshold)).tolist(), "threshold": threshold}
    return {"probabilities": softmax(answers).tolist()}


def _sentences(rows: "Rows", logits: Ragged, labels: Sequence[str]) -> Golden:
    """Requests of a model that tags words. A sentence with a word whose first two tags are within twice the tolerance
    of each other is left out where others are left, as another machine may well choose the other one there."""
    requests: list[dict[str, str | list[str]]] = []
    spans: list[list[dict[str, Any]]] = []
    undecided: list[bool] = []
    for words, answered in zip(rows.tokens or [], logits, strict=True):
        text, places = join_words(words)
        as_text = split_words(text, pieces) == places
        requests.append({"text": text} if as_text else {"tokens": list(words)})
        chances = softmax(answered)
        spans.append([dict(span) for span in find_spans(text, places, chances, labels)])
        best = np.sort(chances, axis=1)
        undecided.append(bool((best[:, -1] - best[:, -2] <= 2 * TOLERANCE).any()))
    kept = [index for index, doubt in enumerate(undecided) if not doubt] or list(range(len(requests)))
    return Golden(
        labels=list(labels), requests=[requests[index] for index in kept], spans=[spans[index] for index in kept]
    )


def _questions(rows: "Rows", answers: npt.NDArray[np.float32], labels: Sequence[str]) -> Golden:
    """Requests of a model that answers questions. One that is within twice the tolerance of being answered otherwise,
    with no answer or with one, is left out where others are left, as another machine may well do so."""
    contexts = rows.pairs or []
    requests: list[dict[str, str | list[str]]] = [
        {"question": question, "context": context} for question, context in zip(rows.texts, contexts, strict=True)
    ]
    told = [dict(answer) for answer in answering.told(answers, contexts)]
    sure = np.abs(answering.margins(answers) - answers[:, answering.THRESHOLD]) > 2 * TOLERANCE
    kept = np.flatnonzero(sure).tolist() or list(range(len(requests)))
    return Golden(
        labels=list(labels), requests=[requests[index] for index in kept], answers=[told[index] for index in kept]
    )


def read_golden(path: Path) -> Golden:
    """Reads `golden.json`.

    Raises:
        OSError, ValueError: when it is absent, or not one.
    """
    return Golden.model_validate_json(path.read_text(encoding="utf-8"))
