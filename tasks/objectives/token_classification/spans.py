"""Entities of a text as the field's pipelines answer them, and the words of a text that nobody has split.

The answers are those of transformers' `TokenClassificationPipeline` with `aggregation_strategy="first"`: a word has the
tag and the score of its first subword, an `I-` continues an entity of its type or else begins one, and an entity's
score is the mean of its words'. Strict scoring is stricter: there an `I-` begins nothing.

This file is served with a model, so it imports nothing of Hone: the other files that are served with it, such as
`runtime.py`, are handed over as modules.
"""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

OUTSIDE = "O"
KEPT = "@#$"
POSSESSIVE = ("'s", "’s")


class Span(TypedDict):
    """One entity: `text` is what stands from character `start` to `end` (exclusive)."""

    start: int
    end: int
    text: str
    type: str
    score: float


def find_spans(
    text: str, words: Sequence[tuple[int, int]], probabilities: npt.NDArray[np.floating], tags: Sequence[str]
) -> list[Span]:
    """The entities of a text.

    Args:
        words: first character and end of each word.
        probabilities: of each word's tags [words, tags].
        tags: their names, in IOB2.

    Raises:
        ValueError: when there are not as many words as rows of probabilities.
    """
    if len(words) != len(probabilities):
        raise ValueError(f"{len(words)} words and probabilities of {len(probabilities)}")
    spans: list[Span] = []
    scores: list[list[float]] = []
    before = ""
    for (start, end), row in zip(words, probabilities, strict=True):
        best = int(row.argmax())
        prefix, _dash, kind = tags[best].partition("-")
        if prefix != OUTSIDE:
            if prefix == "I" and kind == before:
                spans[-1]["end"] = end
                scores[-1].append(float(row[best]))
            else:
                spans.append(Span(start=start, end=end, text="", type=kind, score=0.0))
                scores.append([float(row[best])])
        before = kind
    for span, several in zip(spans, scores, strict=True):
        span["text"] = text[span["start"] : span["end"]]
        span["score"] = sum(several) / len(several)
    return spans


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The text of words that are split already, with blanks between them, and where each one stands in it."""
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    return " ".join(words), [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]


def split_words(text: str, pieces: Callable[[str], Sequence[str]]) -> list[tuple[int, int]]:
    """First character and end of each word of a text: between blanks, with the signs at a word's ends as words of their
    own, one by one, and so an English `'s`. @, # and $ stay with the word that they begin, as do signs within one.

    Args:
        pieces: `words.pieces`.
    """
    result: list[tuple[int, int]] = []
    position = 0
    for piece in pieces(text):
        end = position + len(piece)
        first, last = end - len(piece.lstrip()), end
        position = end
        while first < last and _is_sign(text[first]) and text[first] not in KEPT:
            result.append((first, first + 1))
            first += 1
        while last > first and _is_sign(text[last - 1]):
            last -= 1
        if last - first > 2 and text[last - 2 : last] in POSSESSIVE:
            result += [(first, last - 2), (last - 2, last)]
        elif last > first:
            result.append((first, last))
        result += [(sign, sign + 1) for sign in range(last, end)]
    return result


def _is_sign(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


class WordTokenizer:
    """The library tokenizers' own tokenizer, called as `windows.make_windows` calls that of transformers.

    Args:
        tokenizer: with neither truncation nor padding.
        token_types: whether the model takes them.
    """

    def __init__(self, tokenizer: Any, token_types: bool) -> None:
        self._tokenizer = tokenizer
        self.model_input_names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]

    def __call__(
        self, words: Sequence[Any], *, is_split_into_words: bool, add_special_tokens: bool = True, verbose: bool = False
    ) -> Any:
        """Token ids and types of one sentence, or of several."""
        if words and isinstance(words[0], str):
            row = self._tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=add_special_tokens)
            return {"input_ids": row.ids, "token_type_ids": row.type_ids}
        return _Encoded(
            self._tokenizer.encode_batch(list(words), is_pretokenized=True, add_special_tokens=add_special_tokens)
        )


class _Encoded(dict[str, Any]):
    """Several sentences."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__(input_ids=[row.ids for row in rows])
        self._rows = rows

    def word_ids(self, index: int) -> list[int]:
        """The word that each token of a sentence is of."""
        return list(self._rows[index].word_ids)


class SentenceReader:
    """Sentences as windows of token ids, as the exported folder says.

    Args:
        runtime, windows: `runtime.py` and `windows.py`.
    """

    def __init__(self, folder: Path, *, runtime: Any, windows: Any) -> None:
        texts = runtime.TextReader(folder)
        self.settings, self.pad_id, self.tokenizer = texts.settings, texts.pad_id, texts.tokenizer
        self.tokenizer.no_truncation()  # a long sentence becomes several windows, and none is cut
        self.clean, self._windows = texts.clean, windows

    def read(self, sentences: Sequence[Sequence[str]]) -> Any:
        """`windows.Windows` of the sentences, each word cleaned as those that the model learned from.

        Raises:
            ValueError: when a word is not a string.
        """
        cleaned = [[self.clean(word, row) for word in words] for row, words in enumerate(sentences)]
        length = self.settings.max_length
        reader = WordTokenizer(self.tokenizer, self.settings.token_types)
        return self._windows.make_windows(reader, cleaned, length, self._windows.overlap_of(length))


class Tagger:
    """An exported folder, ready to answer sentences with their entities.

    Args:
        session: providers, threads or memory_arena, where they are to be other than `session.json` says.
        runtime, windows, words: `runtime.py`, `windows.py` and `words.py`.
    """

    def __init__(
        self, folder: Path, session: dict[str, Any] | None = None, *, runtime: Any, windows: Any, words: Any
    ) -> None:
        how = runtime.read_session_settings(folder) | (session or {})
        self._runtime, self._pieces = runtime, words.pieces
        self.reader = SentenceReader(folder, runtime=runtime, windows=windows)
        self.labels = runtime.read_labels(folder)
        self.session = runtime.create_session(
            folder / "model.onnx", how["providers"], how["threads"], memory_arena=how["memory_arena"]
        )

    def logits(self, sentences: Sequence[Sequence[str]], batch_size: int | None = None) -> Any:
        """[words, labels] float32 of the words of all sentences, one sentence after the other. A sentence by itself is
        answered a window at a time, as its answer would depend on how many it has where activations are quantised with
        one scale for a whole batch."""
        size = batch_size or (1 if len(sentences) == 1 else self._runtime.BATCH_SIZE)
        found = self.reader.read(sentences)
        runtime, starts = self._runtime, found.offsets

        def answer(indices: Any) -> Any:
            rows = []
            for index in indices:
                ids = found.ids[starts[index] : starts[index + 1]]
                types = [0] * len(ids) if found.type_ids is None else found.type_ids[starts[index] : starts[index + 1]]
                rows.append(runtime.TokenIds(ids, types))
            return runtime.run(self.session, rows, self.reader.pad_id)

        return found.logits(runtime.batches(found.lengths.tolist(), size), answer)

    def answers(self, sentences: Sequence[str | Sequence[str]], pairs: None = None) -> list[list[Span]]:
        """The entities of each sentence, in their order.

        Args:
            sentences: texts, or lists of words, which count as joined by blanks.
            pairs: none, as there are no pairs of sentences.

        Raises:
            ValueError: when one is neither, naming its place.
        """
        if pairs is not None:
            raise ValueError("the model tags the words of single sentences: give no text_pair")
        read = [self._read(sentence, row) for row, sentence in enumerate(sentences)]
        words = [[text[start:end] for start, end in places] for text, places in read]
        asked = [row for row, several in enumerate(words) if several]
        told: list[list[Span]] = [[] for _ in read]
        if not asked:
            return told
        chances = self._runtime.softmax(self.logits([words[row] for row in asked]))
        ends = np.cumsum([len(words[row]) for row in asked])
        for row, own in zip(asked, np.split(chances, ends[:-1]), strict=True):
            told[row] = find_spans(*read[row], own, self.labels)
        return told

    def _read(self, sentence: Any, row: int) -> tuple[str, list[tuple[int, int]]]:
        """The text, and where its words stand."""
        if isinstance(sentence, str):
            return sentence, split_words(sentence, self._pieces)
        if isinstance(sentence, list | tuple) and all(isinstance(word, str) for word in sentence):
            return join_words(sentence)
        raise ValueError(f"row {row} holds {type(sentence).__name__} where a text or a list of words is asked for")
