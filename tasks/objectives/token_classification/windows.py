"""Words to subwords and back: long sentences in windows that overlap, and one answer for each word out of them.

A word is answered for by its first subword, as the field has it, in the window that shows most around the word. All its
other subwords, and the word's in other windows, are ignored in training and in judging.

This file is served with a model, so it imports nothing of Hone.

Source: Devlin et al., BERT, 2019, section 5.3 (first subword).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Target of a token that no word's tag is asked of, as torch's cross entropy ignores it."""
SENTENCES_AT_ONCE = 1000
SILENT = -60.0
"""Logit of every tag but O where the tokenizer makes nothing of a word."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Sentences as token ids: window i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: npt.NDArray[np.int32]
    """[tokens], with the special tokens of each window."""
    offsets: Ints
    """[windows + 1]."""
    type_ids: npt.NDArray[np.int8] | None
    """[tokens], where the model takes token types."""
    sentences: Ints
    """The sentence that each window is of [windows]; each sentence has one or more, in order."""
    words: Ints
    """The words of sentence i are `words[i]` to `words[i + 1]` [sentences + 1]."""
    answers: Ints
    """The token that answers for each word [words]; -1 for a word of which the tokenizer makes nothing."""
    cut_words: int
    """Words with more subwords than a window has room for, of which the first ones stand there."""

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def lengths(self) -> Ints:
        """Tokens of each window [windows]."""
        return np.diff(self.offsets)

    @property
    def silent_words(self) -> int:
        """Words of which the tokenizer makes nothing, such as a lone control character."""
        return int((self.answers < 0).sum())

    @property
    def positions(self) -> tuple[Ints, Ints]:
        """Window and place in it of the token that answers for each word [words]; for those without one, -1."""
        windows = np.where(self.answers < 0, -1, np.searchsorted(self.offsets, self.answers, side="right") - 1)
        return windows, np.where(self.answers < 0, -1, self.answers - self.offsets[windows])

    @property
    def weights(self) -> Ints:
        """Words that each window answers for [windows]: what it counts for in a loss."""
        windows = self.positions[0]
        return np.bincount(windows[windows >= 0], minlength=len(self)).astype(np.int64)

    def same_as(self, other: "Windows") -> bool:
        """Whether both are the same tokens, for the same words."""
        if self.type_ids is None or other.type_ids is None:
            same_types = self.type_ids is other.type_ids
        else:
            same_types = np.array_equal(self.type_ids, other.type_ids)
        return (
            same_types
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.answers, other.answers)
        )

    def targets(self, tags: Sequence[Sequence[int]]) -> Ints:
        """Target of each token [tokens]: a word's tag at the token that answers for it, `IGNORED` elsewhere.

        Raises:
            ValueError: when there are not as many tags as words.
        """
        counts = [len(sentence_tags) for sentence_tags in tags]
        if counts != np.diff(self.words).tolist():
            raise ValueError(f"{sum(counts)} tags in {len(counts)} sentences do not fit their words")
        flat = np.fromiter((tag for sentence_tags in tags for tag in sentence_tags), np.int64, sum(counts))
        targets = np.full(len(self.ids), IGNORED, np.int64)
        there = self.answers >= 0
        targets[self.answers[there]] = flat[there]
        return targets

    def logits(
        self, batches: Iterable[Ints], answer: Callable[[Ints], npt.NDArray[np.floating]]
    ) -> npt.NDArray[np.float32]:
        """Logits of each word [words, labels], from those of the windows.

        Args:
            batches: places of windows [batch], each window in one of them.
            answer: logits [batch, length, labels] of the windows at these places.
        """
        flat: npt.NDArray[np.float32] | None = None
        for indices in batches:
            answered = answer(indices)
            if flat is None:
                flat = np.zeros((len(self.ids), answered.shape[2]), np.float32)
            for row, index in enumerate(indices):
                start, end = self.offsets[index], self.offsets[index + 1]
                flat[start:end] = answered[row, : end - start]
        if flat is None:
            return np.zeros((0, 1), np.float32)
        result = flat[self.answers]
        result[self.answers < 0] = [0.0, *[SILENT] * (flat.shape[1] - 1)]
        return result

    def by_word(self, values: npt.NDArray[np.generic], silent: float = 0) -> list[npt.NDArray[np.generic]]:
        """What tokens were answered [tokens, ...] as what words were, by sentence [words of the sentence, ...].

        Args:
            silent: the answer for a word without a token: the tag O by default.
        """
        found = values[self.answers] if len(values) else np.zeros((len(self.answers), *values.shape[1:]), values.dtype)
        found[self.answers < 0] = silent
        return np.split(found, self.words[1:-1])[: len(self.words) - 1]


def make_windows(
    tokenizer: "PreTrainedTokenizerBase", sentences: Sequence[Sequence[str]], max_length: int, overlap: int
) -> Windows:
    """Sentences as windows of whole words, of at most `max_length` tokens each.

    Each window begins with at least `overlap` subwords of the one before, as far as whole words allow. The last one of
    a sentence reaches back as far as it has room.

    Raises:
        ValueError: when a window has no room for the overlap and one subword more.
    """
    head, tail, types = _special_tokens(tokenizer)
    room = max_length - len(head) - len(tail)
    if not 0 <= overlap < room:
        raise ValueError(f"an overlap of {overlap} subwords does not fit windows with room for {room}")
    ids: list[int] = []
    lengths: list[int] = []
    of: list[int] = []
    answers: list[Ints] = []
    cut = 0
    for start in range(0, len(sentences), SENTENCES_AT_ONCE):
        chunk = [list(words) for words in sentences[start : start + SENTENCES_AT_ONCE]]
        encoded = tokenizer(chunk, is_split_into_words=True, add_special_tokens=False, verbose=False)
        for index, words in enumerate(chunk):
            subwords = np.asarray(encoded["input_ids"][index], np.int64)
            word_of = np.asarray(encoded.word_ids(index), np.int64)
            sizes = np.bincount(word_of, minlength=len(words))
            kept = np.arange(len(word_of)) - (np.cumsum(sizes) - sizes)[word_of] < room
            cut += int((sizes > room).sum())
            subwords, sizes = subwords[kept], np.minimum(sizes, room)
            ends = np.cumsum(sizes)
            starts = ends - sizes
            best = np.full(len(words), -1)
            answer = np.full(len(words), -1)
            for first, end in word_spans(sizes, room, overlap):
                low, high = (int(starts[first]), int(ends[end - 1])) if end else (0, 0)
                inside = np.arange(first, end)
                before = starts[inside] - low if first else np.full(len(inside), room)
                behind = high - ends[inside] if end < len(words) else np.full(len(inside), room)
                context = np.minimum(before, behind)
                better = inside[(context > best[inside]) & (sizes[inside] > 0)]
                answer[better] = len(ids) + len(head) + starts[better] - low
                best[inside] = np.maximum(best[inside], context)
                ids += [*head, *subwords[low:high].tolist(), *tail]
                lengths.append(len(head) + high - low + len(tail))
                of.append(start + index)
            answers.append(answer)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return Windows(
        ids=np.asarray(ids, np.int32),
        offsets=offsets,
        type_ids=_type_ids(types, len(head), len(tail), lengths) if types else None,
        sentences=np.asarray(of, np.int64),
        words=np.concatenate([[0], np.cumsum([len(words) for words in sentences], dtype=np.int64)]).astype(np.int64),
        answers=np.concatenate([np.zeros(0, np.int64), *answers]),
        cut_words=cut,
    )


def overlap_of(max_length: int) -> int:
    """Subwords that a window shares with the one before: a quarter of it, so that a word at a border is seen with words
    on both sides in one of the two."""
    return max(0, max_length // 4 - 1)


def word_spans(sizes: npt.NDArray[np.integer], room: int, overlap: int) -> list[tuple[int, int]]:
    """First word and end of each window of a sentence.

    Args:
        sizes: subwords of each word, at most `room` each.
        room: subwords of a window.
        overlap: subwords that a window has from the one before, at least; whole words may allow fewer.
    """
    ends = np.cumsum(sizes)
    starts = ends - sizes
    spans: list[tuple[int, int]] = []
    first, end = 0, 0
    while True:
        end = int(np.searchsorted(ends, (starts[first] if len(sizes) else 0) + room, side="right"))
        if end == len(sizes):
            if len(sizes):
                first = min(first, int(np.searchsorted(starts, ends[-1] - room, side="left")))
            return [*spans, (first, end)]
        spans.append((first, end))
        back = int(np.searchsorted(starts, ends[end - 1] - overlap, side="right")) - 1
        reach = int(np.searchsorted(starts, ends[end] - room, side="left"))  # from here on the next word has room
        first = max(first + 1, reach, min(back, end))


def _special_tokens(tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[int], list[int]]:
    """Tokens that begin and end a window, and the types of the first ones, of the words and of the last ones."""
    inner = tokenizer(["a"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    whole = tokenizer(["a"], is_split_into_words=True)
    outer = whole["input_ids"]
    begin = next(index for index in range(len(outer)) if outer[index : index + len(inner)] == inner)
    types = whole["token_type_ids"] if "token_type_ids" in tokenizer.model_input_names else []
    types = types[: begin + 1] + types[begin + len(inner) :]
    return outer[:begin], outer[begin + len(inner) :], types


def _type_ids(types: list[int], head: int, tail: int, lengths: list[int]) -> npt.NDArray[np.int8]:
    """Token types of all windows [tokens]."""
    ids = [
        np.asarray([*types[:head], *[types[head]] * (length - head - tail), *types[head + 1 :]], np.int8)
        for length in lengths
    ]
    return np.concatenate([np.zeros(0, np.int8), *ids])
