"""A split as token ids on disk: tokenized once, and read by every stage and every worker that learns from it.

    <storage>/tokenized/<key>/
        ids.npy, offsets.npy, labels.npy         as `TokenizedText` has them
        type_ids.npy, weights.npy, sources.npy   where it has such
        manifest.json                            sha256 of each, written last
    <storage>/tokenized/latest-<recipe>.<stage>-<split>.json
                                                 what the recipe's newest were made of; others' are cleared away after a
                                                 run (see `cache_room.clear_outputs`)

The key is of the content of the file with the rows, whether the data stage wrote it or the teacher was asked about
them, of the tokenizer, and of the length at which rows are cut. So a trimmed vocabulary has splits of its own, and
perturbed copies are tokenized once, as they were written down. Arrays are opened as memory maps: workers on one machine
share their pages.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from hone.configs.recipe import Objective
from hone.tasks import cache, disk, lease, manifest, storage, store
from hone.tasks.errors import PreflightError
from hone.tasks.model.text import Rows, TokenizedText, read_split
from hone.tasks.objectives.learning import learning

MAKER = "hone.tasks.model.tokenized"  # the code that shapes them: this, and how the task encodes
State = dict[str, dict[str, Any] | None]
"""`truncation` and `padding` of a tokenizer, as its last call has set them; they are saved with it."""


@dataclass(frozen=True)
class TokenizedSplit:
    """One split, tokenized."""

    text: TokenizedText
    labelled: int
    """Rows of the split that have a label; the others, perturbed copies, come after them."""
    state: State
    """How the tokenizer cuts and pads since it made this."""


@dataclass(frozen=True)
class Split:
    """A split's rows, and how they are to be read."""

    rows: Path
    """Its file, such as `train.parquet`, or that of the rows that a teacher was asked about."""
    tokenizer: PreTrainedTokenizerFast
    max_length: int
    """Tokens of a row."""
    task: Objective
    mask_token: str | None = None
    """The mask as it stands in the rows, where the tokenizer's own is to be read in its place."""

    def tokenize(self) -> TokenizedSplit:
        """The rows as the tokenizer reads them, with the task's targets."""
        rows = _with_own_mask(read_split(self.rows.parent, self.rows.stem), self.mask_token, self.tokenizer.mask_token)
        text = learning(self.task).encode(self.tokenizer, rows, self.max_length)
        return TokenizedSplit(text, int(rows.labelled.sum()), _state(self.tokenizer))

    def open(self, folder: Path | None) -> TokenizedSplit:
        """The same from the folder that `TokenizedSplits.folder` returned, as memory maps that cannot be written; None
        tokenizes it here. The tokenizer is left alike, so that a checkpoint is the same either way."""
        if folder is None:
            return self.tokenize()
        result = open_split(folder)
        _set_state(self.tokenizer, result.state)
        return result

    def ingredients(self) -> cache.Ingredients:
        """All that the token ids depend on."""
        mask = self.mask_token if self.mask_token != self.tokenizer.mask_token else None
        return cache.gather(
            {"task": self.task, "max_length": self.max_length, "mask_token": mask},
            {"rows": store.file_digest(self.rows), "tokenizer": tokenizer_digest(self.tokenizer)},
            MAKER,
            ("tokenizers", "transformers"),
        )


@dataclass(frozen=True)
class TokenizedSplits:
    """The tokenized splits of a storage, for one stage of one recipe."""

    place: Path | None = None
    """Folder of finished stages (`RunContext.storage`); None keeps nothing, and tokenizes whatever is read."""
    owner: str = ""
    """Name of the recipe."""
    stage: str = ""
    tell: Callable[[str], None] = lambda _note: None
    """Told of a split that has to be made again."""

    def read(self, split: Split) -> TokenizedText:
        """A split's token ids; those that are there already are opened.

        Raises: as `folder`.
        """
        return split.open(None if self.place is None else self.folder(split)).text

    def folder(self, split: Split) -> Path:
        """The folder with a split's token ids; made, by one process at a time, where it is not there yet.

        Raises:
            PreflightError: when the disk has no room for it.
            ValueError: when nothing is to be kept.
        """
        if self.place is None:
            raise ValueError("there is no storage to keep tokenized splits in: read them, or name one")
        ingredients = split.ingredients()
        folder = self.place / cache.TOKENIZED / cache.key_of(ingredients)
        with lease.held(folder.with_name(f"{folder.name}{cache.LOCK}")):
            if not (folder / manifest.MANIFEST).is_file():
                storage.fetch(folder)
            there, damage = manifest.whole(folder)
            if damage:
                self.tell(damage)
            if damage or not there:
                there = _write(split.tokenize(), folder)
            disk.touch(folder / manifest.MANIFEST)
            manifest.send(folder, there)
        latest = f"{cache.LATEST}{self.owner}.{self.stage}-{split.rows.stem}.json"
        disk.write_text(folder.with_name(latest), json.dumps(ingredients, indent=1, sort_keys=True))
        return folder


IN_MEMORY = TokenizedSplits()
"""Of a caller without a storage."""


def open_split(folder: Path) -> TokenizedSplit:
    """What lies in a folder, as memory maps that cannot be written."""
    content = json.loads((folder / manifest.MANIFEST).read_text(encoding="utf-8"))
    arrays: dict[str, Any] = {
        # As plain arrays, which all that is computed of them is too.
        name.removesuffix(".npy"): np.asarray(np.load(folder / name, mmap_mode="r", allow_pickle=False))
        for name in content["digests"]
    }
    return TokenizedSplit(TokenizedText(**content["plain"], **arrays), content["labelled"], content["state"])


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """Digest of all that decides which ids a text becomes: two folders may hold the same tokenizer."""
    state = _state(tokenizer)
    _set_state(tokenizer, {"truncation": None, "padding": None})
    content = [
        tokenizer.backend_tokenizer.to_str(),
        type(tokenizer).__name__,
        *sorted(tokenizer.model_input_names),
        tokenizer.truncation_side,
        str(tokenizer.split_special_tokens),
        json.dumps([tokenizer.chat_template, tokenizer.special_tokens_map], sort_keys=True),
    ]
    _set_state(tokenizer, state)
    return f"sha256:{hashlib.sha256(json.dumps(content).encode()).hexdigest()}"


def _state(tokenizer: PreTrainedTokenizerFast) -> State:
    backend = tokenizer.backend_tokenizer
    return {"truncation": backend.truncation, "padding": backend.padding}


def _set_state(tokenizer: PreTrainedTokenizerFast, state: State) -> None:
    backend, truncation, padding = tokenizer.backend_tokenizer, state["truncation"], state["padding"]
    backend.no_truncation() if truncation is None else backend.enable_truncation(**truncation)
    backend.no_padding() if padding is None else backend.enable_padding(**padding)


def _write(made: TokenizedSplit, folder: Path) -> dict[str, str]:
    """Puts a split into its place, whole or not at all, and returns the digests of its files."""
    values = {field.name: getattr(made.text, field.name) for field in fields(made.text)}
    arrays: dict[str, npt.NDArray[Any]] = {n: value for n, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if name not in arrays}
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed, free = sum(array.nbytes for array in arrays.values()), shutil.disk_usage(folder.parent).free
    if needed > free:
        raise PreflightError(
            f"{folder.parent}: {len(made.text):,} tokenized rows take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB "
            "are free: make room by `hone cache prune`, or move compute.storage"
        )
    new = disk.aside(folder)
    try:
        new.mkdir()
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array, allow_pickle=False)
        digests = {f"{name}.npy": store.file_digest(new / f"{name}.npy") for name in arrays}
        content = {"digests": digests, "plain": plain, "labelled": made.labelled, "state": made.state}
        store.write_text(new / manifest.MANIFEST, json.dumps(content, indent=1, sort_keys=True))
        disk.replace_folder(new, folder)
    finally:
        disk.discard(new)
    return digests


def _with_own_mask(rows: Rows, theirs: str | None, own: str | None) -> Rows:
    """Perturbed copies carry the mask of the teacher that was asked about them; another tokenizer reads its own."""
    if theirs is None or own == theirs:
        return rows
    return replace(
        rows,
        texts=[text.replace(theirs, own or "") for text in rows.texts],
        pairs=None if rows.pairs is None else [pair.replace(theirs, own or "") for pair in rows.pairs],
        tokens=None
        if rows.tokens is None
        else [[own or "" if word == theirs else word for word in words] for words in rows.tokens],
    )
