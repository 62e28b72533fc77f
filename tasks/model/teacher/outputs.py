"""What the teacher says about every training row, computed once and shared by all stages that learn from it.

    <storage>/teacher_outputs/<key>/
        train.parquet      the rows it was asked about: the training split, then its perturbed copies (label -1)
        offsets.npy        int64 [rows + 1]: row i owns tokens offsets[i] to offsets[i + 1]
        tokens.npy         uint32 [tokens]: checksum of how each token is written
        logits.npy         fp32 [rows, labels], or [tokens, labels] where each token has an answer of its own: what the
                           task keeps of an answer (`Learning.targets`)
        hidden-<l>.npy     fp16 [tokens, width]: output of layer l, counted from 0
        relations.npy      fp16 [tokens, 3 * width]: queries, keys and values of the last layer
        manifest.json      sha256 of each, written last
    <storage>/teacher_outputs/latest-<recipe>.json     what the recipe's newest were made of; others' are cleared away
                                                       after a run (see `cache_room.clear_outputs`)

Only the pieces that a loss needs are there, and a later stage adds those it misses. A training run holds a batch of the
tokens' numbers in memory, whatever the size of the data.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoConfig

from hone.configs.model import DistillSettings
from hone.configs.recipe import Objective
from hone.tasks import cache, disk, lease, manifest, storage, store
from hone.tasks.contracts import Artifact, Checkpoint
from hone.tasks.device import driver_device
from hone.tasks.manifest import MANIFEST
from hone.tasks.model.teacher.inference import Progress, TeacherInferenceConfig, run_teacher
from hone.tasks.model.teacher.token_file import TokenFile, Values
from hone.tasks.model.text import Rows, TokenizedText, read_split
from hone.tasks.model.tokenized import TokenizedSplits
from hone.tasks.objectives.learning import learning

ROWS = "train.parquet"
MAKER = "hone.tasks.model.teacher.inference"  # the code that shapes them


def prepare(
    place: Path,
    *,
    teacher: Artifact,
    data: Artifact,
    loss: DistillSettings,
    layers: list[int],
    max_length: int,
    seed: int,
    owner: str,
    on_progress: Progress,
    task: Objective,
) -> Path:
    """The folder with all outputs of the teacher that the loss needs; what is there already is not computed again.

    Args:
        place: folder of finished stages (`RunContext.storage`).
        layers: teacher layers whose hidden states are matched, counted from 0; unused where loss.hidden_weight is 0.
        owner: name of the recipe.
        on_progress: told at the end how much of the disk they take.

    Raises:
        ModelError: when the teacher does not have those layers.
        PreflightError: when the disk has no room for its outputs.
    """
    settings = {
        "augment": loss.augment,
        "precision": loss.precision,
        "driver": driver_device(),
        "max_length": max_length,
        "seed": seed,
        "task": task,
    }
    ingredients = cache.gather(
        settings,
        {"teacher": teacher.digest, "data": data.digest},
        MAKER,
        ("torch", "transformers", "tokenizers"),
    )
    folder = place / cache.OUTPUTS / cache.key_of(ingredients)
    new = folder / "new"
    folder.mkdir(parents=True, exist_ok=True)
    with lease.held(folder.with_name(f"{folder.name}{cache.LOCK}")):
        if not (folder / MANIFEST).is_file():
            storage.fetch(folder)
        whole, damage = manifest.whole(folder)
        disk.touch(folder / MANIFEST)
        missing = [piece for piece in required_files(loss, layers, learning(task).by_token) if piece not in whole]
        if damage:
            on_progress(0, 1, damage)
        if missing:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            question = TeacherInferenceConfig(
                teacher=store.open_artifact(teacher),
                data=store.open_artifact(data),
                asked=folder / ROWS if ROWS in whole else None,
                copies=loss.augment,
                max_length=max_length,
                seed=seed,
                precision=loss.precision,
                task=task,
                splits=TokenizedSplits(place, owner, "teacher", lambda note: on_progress(0, 1, note)),
            )
            facts = run_teacher(question, missing, new, on_progress)
            for piece in missing:
                whole[piece] = store.file_digest(new / piece)
                disk.settle(new / piece, folder / piece)
            new.rmdir()
            content = {**facts, "digests": whole}
            store.write_text(folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True))
        manifest.send(folder, whole)
    disk.write_text(
        place / cache.OUTPUTS / f"{cache.LATEST}{owner}.json", json.dumps(ingredients, indent=1, sort_keys=True)
    )
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    on_progress(1, 1, f"the teacher's outputs take {size / 1e6:,.0f} MB of the disk")
    return folder


def required_files(loss: DistillSettings, layers: list[int], by_token: bool = False) -> list[str]:
    """The files that a loss needs.

    Args:
        by_token: whether each token has an answer of its own.
    """
    result = [ROWS, "offsets.npy", "logits.npy"]
    if loss.hidden_weight or loss.relation_weight or by_token:
        result.append("tokens.npy")
    if loss.hidden_weight:
        result += [f"hidden-{layer}.npy" for layer in sorted(set(layers))]
    if loss.relation_weight:
        result.append("relations.npy")
    return result


def mask_of(outputs: Path) -> str | None:
    """The mask as it stands in the perturbed copies of a folder that `prepare` returned."""
    mask: str | None = json.loads((outputs / MANIFEST).read_text(encoding="utf-8"))["mask_token"]
    return mask


def matched_layers(student: Checkpoint) -> list[int]:
    """For each layer of a student the teacher's layer it is matched with, as the stage that made it noted. A teacher
    that was passed on undistilled is matched with itself."""
    noted = student.notes.get("teacher_layers")
    if noted is not None:
        return [int(layer) for layer in noted]
    return list(range(AutoConfig.from_pretrained(store.open_artifact(student.artifact)).num_hidden_layers))


class TeacherOutputs:
    """Reads the outputs, a batch at a time."""

    def __init__(self, folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        self._folder = folder
        self._files = {
            name: TokenFile(folder / name)
            for name in content["digests"]
            if name.startswith("hidden-") or name in ("relations.npy", "logits.npy")
        }
        self.offsets: npt.NDArray[np.int64] = np.load(folder / "offsets.npy")
        """Row i owns tokens offsets[i] to offsets[i + 1]."""
        self.mask_token: str | None = content["mask_token"]
        """The mask as it stands in the perturbed copies."""
        self.heads: int = content["heads"]
        """Attention heads of the teacher's last layer."""
        self.by_token: bool = content["by_token"]
        """Whether each token has an answer of its own."""

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards but the rows."""
        for file in self._files.values():
            file.close()

    def other_tokens(self, text: TokenizedText, marks: npt.NDArray[np.uint32]) -> int:
        """How many rows a student cuts into other tokens than the teacher did.

        Args:
            marks: `token_marks` of the student's text.
        """
        theirs = np.load(self._folder / "tokens.npy")
        lengths = np.diff(self.offsets)
        if len(lengths) != len(text):  # windows of long sentences, which a tokenizer fills as it cuts
            return max(len(lengths), len(text))
        other = text.lengths != lengths
        same = np.flatnonzero(~other & (lengths > 0))
        if len(same):
            own_places = np.repeat(~other, text.lengths)
            their_places = np.repeat(~other, lengths)
            differ = marks[own_places] != theirs[their_places]
            starts = np.concatenate([[0], np.cumsum(lengths[same])[:-1]])
            other[same] = np.logical_or.reduceat(differ, starts)
        return int(other.sum())

    def rows(self) -> Rows:
        """The rows the teacher was asked about; labels are -1 for perturbed copies."""
        return read_split(self._folder, Path(ROWS).stem)

    def width(self, piece: str) -> int:
        """Numbers per token of `hidden-<l>.npy` or `relations.npy`."""
        return self._files[piece].width

    def targets(self, rows: Tensor, length: int) -> Tensor:
        """What the task keeps of the teacher's answers: [batch, labels] fp32 for rows [batch] int64, on their device,
        or [batch, length, labels], zero at padding, where each token has an answer of its own."""
        if self.by_token:
            return self._ragged("logits.npy", rows, length)
        file = self._files["logits.npy"]
        return torch.from_numpy(np.concatenate([file.read(row, 1) for row in rows.tolist()])).to(rows.device)

    def hidden(self, layer: int, rows: Tensor, length: int) -> Tensor:
        """[batch, length, width] fp16, zero at padding."""
        return self._ragged(f"hidden-{layer}.npy", rows, length)

    def relations(self, rows: Tensor, length: int) -> list[Tensor]:
        """Queries, keys and values [batch, length, width] fp16 of the last layer, zero at padding."""
        return list(self._ragged("relations.npy", rows, length).chunk(3, dim=-1))

    def _ragged(self, piece: str, rows: Tensor, length: int) -> Tensor:
        file = self._files[piece]
        found: Values = np.zeros((len(rows), length, file.width), file.dtype)
        for index, row in enumerate(rows.tolist()):
            first, end = self.offsets[row : row + 2].tolist()
            found[index, : end - first] = file.read(first, end - first)
        return torch.from_numpy(found).to(rows.device)
