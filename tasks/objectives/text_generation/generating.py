"""Documents as windows of tokens with the likelihood of each token, and prompts and chats to what likeliest follows.

Every token of a document is scored once, the first one after a boundary token alone, as documents are parted by it in
training. A document longer than a window is read in several: each later one begins with tokens that are scored already,
at least half a window of them, so that no token but the first ones is judged with little before it. Of conversations
the tokens of the answers alone are scored, with those that end them.

This file is served with a model, so it imports nothing of Hone: `runtime.py`, `decoding.py` and `chat.py` are handed
over as modules.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

WIDTH = 4
"""Numbers of a token."""
NLL, CHOICE, TOP, NORM = range(WIDTH)
"""What is kept of a token: its negative log likelihood (nats); the id of the token that the model would have chosen in
its place; that one's logit; and the logarithm of the sum of all logits' exponentials, in which a difference of any
logit shows."""
STEP = 3
"""Numbers of a step of a continuation."""
MOST_TOKENS = 32
"""Of a continuation, where nobody says how many."""
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Prompt = str | list[dict[str, str]]
"""A text, or the messages of a chat, each with its role and content, the last of which is to be answered."""


class Continuation(TypedDict):
    """What follows a prompt."""

    text: str
    tokens: list[int]
    scores: list[float]
    """Probability of each token."""
    finished: bool
    """Whether the model ended the document, or the answer; the token that says so is no part of the text."""


@dataclass(frozen=True)
class Trace:
    """A continuation, and how sure each choice was."""

    continuation: Continuation
    leads: npt.NDArray[np.float64]
    """How much more the probability of each choice is than the next best's [choices]; the last one may be to end."""


@dataclass(frozen=True)
class Windows:
    """Documents, or conversations, as token ids: window i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: npt.NDArray[np.int32]
    """[tokens]."""
    offsets: Ints
    """[windows + 1]."""
    documents: Ints
    """The document that each window is of [windows]; each document has one or more, in order."""
    scored: npt.NDArray[np.bool_]
    """Which tokens are scored in the window that they stand in [tokens]."""
    tokens: Ints
    """The scored tokens of document i are `tokens[i]` to `tokens[i + 1]` of all of them [documents + 1]."""

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def lengths(self) -> Ints:
        """Tokens of each window [windows]."""
        return np.diff(self.offsets)

    def row(self, window: int) -> tuple[list[int], list[int]]:
        """Token ids and token types of one; the latter are 0."""
        ids: list[int] = self.ids[int(self.offsets[window]) : int(self.offsets[window + 1])].tolist()
        return ids, [0] * len(ids)

    def answers(self, batches: Iterable[Ints], answer: Callable[[Ints], npt.NDArray[np.floating]]) -> Floats:
        """What is kept of each scored token [scored tokens, WIDTH]; NaN where a logit is no number.

        Args:
            batches: places of windows [batch], each window in one of them.
            answer: logits [batch, length, vocabulary] of the windows at these places; those at a token are of the next.
        """
        result = np.zeros((int(self.tokens[-1]), WIDTH), np.float32)
        places = np.cumsum(self.scored) - 1
        for indices in batches:
            logits = answer(indices)
            for row, window in enumerate(indices):
                start, end = int(self.offsets[window]), int(self.offsets[window + 1])
                inside = np.flatnonzero(self.scored[start:end])
                if len(inside):
                    result[places[start + inside]] = kept_of(logits[row, inside - 1], self.ids[start + inside])
        return result


def kept_of(logits: npt.NDArray[np.floating], ids: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """The numbers of tokens [tokens, WIDTH] from the logits before them [tokens, vocabulary]."""
    choice = logits.argmax(axis=1)
    rows = np.arange(len(ids))
    top = logits[rows, choice].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        norm = top + np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1, dtype=np.float64))
        result = np.stack([norm - logits[rows, ids], choice.astype(np.float64), top, norm], axis=1)
    result[~np.isfinite(logits).all(axis=1)] = np.nan
    return result


def make_windows(documents: Sequence[npt.ArrayLike], max_length: int, boundary: int) -> Windows:
    """Documents as windows of at most `max_length` tokens.

    Args:
        documents: token ids of each, without special tokens; one without tokens is a boundary token alone.
    """
    wholes = [np.concatenate([np.array([boundary], np.int32), np.asarray(one, np.int32)]) for one in documents]
    return windows_of([(whole, np.arange(len(whole)) > 0) for whole in wholes], max_length)


def windows_of(encoded: Sequence[tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]], max_length: int) -> Windows:
    """Documents, or conversations, as windows of at most `max_length` tokens; of one that needs several, those in which
    nothing is scored are left out.

    Args:
        encoded: token ids of each, with all that stands before it, and which of them are scored.
    """
    ids: list[npt.NDArray[np.int32]] = [np.zeros(0, np.int32)]
    scored: list[npt.NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    of: list[int] = []
    counts: list[int] = []
    for index, (whole, wanted) in enumerate(encoded):
        starts, end = _starts(len(whole), max_length), 0
        for start in starts:
            part = whole[start : start + max_length]
            here = wanted[start : start + len(part)] & (np.arange(start, start + len(part)) >= end)
            end = start + len(part)
            if here.any() or len(starts) == 1:
                ids.append(part)
                scored.append(here)
                of.append(index)
        counts.append(int(wanted.sum()))
    return Windows(
        ids=np.concatenate(ids),
        offsets=_offsets([len(part) for part in ids[1:]]),
        documents=np.array(of, np.int64),
        scored=np.concatenate(scored),
        tokens=_offsets(counts),
    )


def context_of(max_length: int) -> int:
    """Tokens that a later window of a document begins with, at least, and does not score."""
    return max_length // 2


def read_boundary(folder: Path, tokenizer: Any) -> int:
    """Id of the token between documents: the tokenizer's end-of-sequence token.

    Raises:
        ValueError: when the folder names none.
    """
    named = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("eos_token")
    name = named.get("content") if isinstance(named, dict) else named
    found = None if name is None else tokenizer.token_to_id(name)
    if found is None:
        raise ValueError(
            f"{folder / 'tokenizer_config.json'}: eos_token is {name!r}, which is no token of tokenizer.json, and "
            "documents are parted by it: name one"
        )
    return int(found)


class DocumentReader:
    """Documents and conversations as windows of token ids, as the exported folder says.

    Args:
        runtime: `runtime.py`.
        chat: `chat.py`; None where nobody asks about conversations.
    """

    def __init__(self, folder: Path, *, runtime: Any, chat: Any = None) -> None:
        texts = runtime.TextReader(folder)
        self.settings, self.pad_id, self.tokenizer = texts.settings, texts.pad_id, texts.tokenizer
        self.tokenizer.no_truncation()
        self.boundary = read_boundary(folder, self.tokenizer)
        self._chat, self.template = chat, None if chat is None else chat.read_template(folder, self.tokenizer)
        end = self.tokenizer.token_to_id(self.template.end) if self.template is not None and self.template.end else None
        self.ends = {self.boundary} if end is None else {self.boundary, int(end)}
        """Tokens that end a continuation."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens.

        Raises:
            ValueError: when one is not a string, naming its place.
        """
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"row {row} holds {type(text).__name__} where a text is asked for")  # noqa: TRY004
        return [row.ids for row in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def read(self, documents: Sequence[str]) -> Windows:
        """Raises:
        ValueError: as `encode`.
        """
        return make_windows(self.encode(documents), self.settings.max_length, self.boundary)

    def read_conversations(self, conversations: Sequence[Any]) -> Windows:
        """The same of conversations, as `chat.encode` takes them.

        Raises:
            ValueError: when the chat template is absent, or refuses one.
        """
        found = self._chat.encode(conversations, self.template, self._tokenize, self.boundary)
        return windows_of(found, self.settings.max_length)

    def read_prompts(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of each: a text's with the boundary token before them, a chat's as the template writes them.

        Raises:
            ValueError: when one is neither, or a chat that nobody can answer, naming its place.
        """
        texts = self.encode([prompt if not isinstance(prompt, list) else "" for prompt in prompts])
        chats = [self._asked(prompt, row) if isinstance(prompt, list) else "" for row, prompt in enumerate(prompts)]
        found = zip(prompts, texts, self.encode(chats), strict=True)
        return [chat if isinstance(prompt, list) else [self.boundary, *text] for prompt, text, chat in found]

    def _asked(self, messages: list[dict[str, str]], row: int) -> str:
        """A chat as the template writes it before the answer."""
        if self.template is None:
            raise ValueError(f"row {row} is a chat, and the model has no chat template: give it a text")
        whole = all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in messages)
        if not messages or not whole or not all(isinstance(one.get("content"), str) for one in messages):
            raise ValueError(f"row {row} is a chat, of which each message has to be a role and a content, both texts")
        if messages[-1]["role"] == "assistant":
            raise ValueError(f"row {row} is a chat that ends with an answer: end it with what is to be answered")
        try:
            return str(self.template.render(messages, answer=True))
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from error

    def _tokenize(self, texts: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        return [(row.ids, row.offsets) for row in self.tokenizer.encode_batch(texts, add_special_tokens=False)]


class Generator:
    """An exported folder, ready to continue prompts: at each step the likeliest token (greedy).

    Where the graph has no cache of keys and values each token costs a pass over all that stands before it.

    Args:
        session: providers, threads or memory_arena, where they are to be other than `session.json` says.
        runtime, chat: as of `DocumentReader`.
        decoding: `decoding.py`.
    """

    def __init__(
        self,
        folder: Path,
        session: dict[str, Any] | None = None,
        *,
        runtime: Any,
        decoding: Any,
        chat: Any = None,
    ) -> None:
        how = runtime.read_session_settings(folder) | (session or {})
        self._runtime, self._decoding = runtime, decoding
        self.reader = DocumentReader(folder, runtime=runtime, chat=chat)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = (config.get(name) for name in ("max_position_embeddings", "n_positions"))
        self.context = int(next((most for most in named if most), self.reader.settings.max_length))
        """Tokens that prompt and continuation may have together, with the boundary token before them."""
        self.session = runtime.create_session(
            folder / "model.onnx", how["providers"], how["threads"], memory_arena=how["memory_arena"]
        )

    def answers(self, prompts: Sequence[Prompt], pairs: None = None, *, most: int = MOST_TOKENS) -> list[Continuation]:
        """One continuation of each prompt, in their order, of `most` tokens where the model does not end before.

        Args:
            pairs: a prompt has no second text; it is there as those that judge texts have it.

        Raises:
            ValueError: when a prompt is neither a text nor a chat, or leaves no room in the context, or there are
                pairs.
        """
        if pairs is not None:
            raise ValueError("the model continues prompts: give each row one text and no pair")
        return [found.continuation for found in self.traces(prompts, most)]

    def traces(self, prompts: Sequence[Prompt], most: int = MOST_TOKENS) -> list[Trace]:
        """The same with how sure each choice was.

        Raises:
            ValueError: as `answers`.
        """
        found = [(ids, self.steps(ids, most)) for ids in self._prompts(prompts)]
        return [Trace(self._told(ids, steps), steps[:, 2]) for ids, steps in found]

    def steps(self, ids: Sequence[int], most: int = MOST_TOKENS) -> npt.NDArray[np.float64]:
        """Of each token that follows [tokens, STEP]: its id, its probability, and how much more that is than the next
        best's. The last one is one of `reader.ends` where the model ends the document, or the answer.

        Args:
            ids: of a prompt, as `reader.read_prompts` has them.
        """
        decoder = self._decoding.Decoder(self.session, runtime=self._runtime)
        new = list(ids)
        found: list[tuple[int, float, float]] = []
        while len(found) < most and decoder.length + len(new) < self.context:
            chances = self._runtime.softmax(decoder.read([new]))[0]
            best = int(chances.argmax())
            second = float(np.partition(chances, -2)[-2]) if len(chances) > 1 else 0.0
            found.append((best, float(chances[best]), float(chances[best]) - second))
            if best in self.reader.ends:
                break
            new = [best]
        return np.array(found, np.float64).reshape(-1, STEP)

    def _prompts(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of each, with what stands before them."""
        rows = self.reader.read_prompts(prompts)
        for row, ids in enumerate(rows):
            if len(ids) >= self.context:
                raise ValueError(
                    f"prompt {row} has {len(ids)} tokens, and with one behind it the model reads at most "
                    f"{self.context}: shorten it"
                )
        return rows

    def _told(self, ids: Sequence[int], steps: npt.NDArray[np.float64]) -> Continuation:
        finished = bool(len(steps)) and int(steps[-1, 0]) in self.reader.ends
        steps = steps[:-1] if finished else steps
        tokens = [int(token) for token in steps[:, 0]]
        before = self.reader.tokenizer.decode(list(ids))
        text = self.reader.tokenizer.decode([*ids, *tokens])[len(before) :]
        return Continuation(text=text, tokens=tokens, scores=steps[:, 1].tolist(), finished=finished)


def _starts(length: int, max_length: int) -> list[int]:
    """First tokens of the windows of a document with its boundary token. The last window reaches back as far as it has
    room."""
    result, end = [0], max_length
    while end < length:
        start = min(end - context_of(max_length), length - max_length)
        result.append(start)
        end = start + max_length
    return result


def _offsets(lengths: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
