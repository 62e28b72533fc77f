"""Whether a model is the same after every hand-over: PyTorch, fake-quantised, ONNX on the CPU, ONNX on other providers.

Each side answers the whole test split with the tokenizer that lies in its own folder. What follows for the verdict is
the gate's business; here is only measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from hone.tasks import store
from hone.tasks.contracts import ConversionCheck, ExportedModels
from hone.tasks.evaluate.locate import first_divergence
from hone.tasks.evaluate.mismatch import naming_difference, reading_difference
from hone.tasks.model.runtime.predict import Backend, EncodedSplit, Readings, answer, load_as
from hone.tasks.model.runtime.sessions import create_session, provider_names
from hone.tasks.model.text import Rows
from hone.tasks.model.training.fake_quantization import FILE
from hone.tasks.objectives.judging import Answers, FormDifference, Judging, Targets
from hone.tasks.objectives.ragged import distances

Kind = Literal["exact", "rounded", "integer"]
ON_CPU = "onnx (cpu)"
EXPLAINED_EXACT = 1e-4
"""Largest difference of a logit for which no layer is sought: measured 7e-6 with MiniLM on SST-2."""
EXPLAINED_INTEGER = 0.02
"""Root mean square difference, as a share of the logits' spread, for which no layer is sought: measured 0.0034 on 3
layers of MiniLM and 1821 rows of SST-2, from roundings that fall on the other side."""
INCOMPARABLE = FormDifference(float("inf"), float("inf"), agreement=0.0, accuracy_difference=0.0)
"""Of forms that read text otherwise."""


@dataclass(frozen=True)
class ModelVariant:
    """One form of a model, on one provider."""

    name: str
    folder: Path
    reading: EncodedSplit
    form: Backend
    providers: Sequence[str]
    batch_size: int
    threads: int
    known: Answers | None = None
    """Its answers, where somebody computed them already."""

    @cached_property
    def answers(self) -> Answers:
        """[rows, ...]."""
        if self.known is not None:
            return self.known
        return answer(
            self.folder,
            self.form,
            self.reading,
            batch_size=self.batch_size,
            providers=self.providers,
            threads=self.threads,
        )


def check_conversions(
    exported: ExportedModels,
    test: Rows,
    labels: Sequence[str],
    judging: Judging,
    *,
    answers: Mapping[str, Answers],
    max_length: int,
    batch_size: int,
    providers: Sequence[str],
    threads: int,
    on_step: Callable[[str], None],
    show_tokens: bool = True,
    readings: Readings | None = None,
) -> list[ConversionCheck]:
    """Every hand-off of every exported model, in the order in which they happen.

    Args:
        labels: names by id, as the data has them.
        answers: [rows, ...] that `predict` gave under the same settings: of an exported model by its name, of
            its checkpoint in PyTorch as NAME-pytorch. What is not among them is computed.
        providers: as the recipe lists them.
        on_step: called once for each model.
        show_tokens: whether a mismatch may name the token that is read otherwise; its id is always told.
        readings: of the test split, where somebody has some already.

    Raises:
        DamagedArtifactError: when a file of a model is absent or differs.
    """
    targets, readings = judging.targets(test), readings or Readings(test, max_length)
    any_side = partial(ModelVariant, batch_size=batch_size, threads=threads)
    result = []
    for model in exported.models:
        checkpoint, folder = store.open_artifact(model.source), store.open_artifact(model.artifact)
        before = partial(any_side, folder=checkpoint, reading=readings.of(checkpoint), providers=providers)
        after = partial(any_side, folder=folder, reading=readings.of(folder), form="onnxruntime")
        in_pytorch = [before(name="pytorch", form="pytorch", known=answers.get(f"{model.name}-pytorch"))]
        if (checkpoint / FILE).exists():
            in_pytorch.append(before(name="fake-quantised", form="fake-quantised"))
        in_sessions = [
            after(name=f"onnx ({word})", providers=wanted, known=None if index else answers.get(model.name))
            for index, (word, wanted) in enumerate(first_providers(folder / "model.onnx", providers).items())
        ]
        for source, target, kind in steps(in_pytorch, in_sessions):
            result.append(compare(model.name, source, target, kind, targets, labels, judging, show_tokens))
        on_step(f"{model.name}: held against what it was made from")
    return result


def first_providers(onnx_file: Path, providers: Sequence[str]) -> dict[str, list[str]]:
    """Providers that come first in a session of this model when these are asked for, each with what to ask for to get
    it: the recipe's own session first, the CPU last."""
    found: dict[str, list[str]] = {}
    for index, word in enumerate(providers):
        if word == "cpu":
            break
        first = provider_names(create_session(onnx_file, providers[index:]))[0]
        if first != "cpu":
            found.setdefault(first, list(providers[index:]))
    return {**found, "cpu": ["cpu"]}


def steps(
    in_pytorch: Sequence[ModelVariant], in_sessions: Sequence[ModelVariant]
) -> list[tuple[ModelVariant, ModelVariant, Kind]]:
    """Source, target and kind of each hand-off of a model.

    Args:
        in_pytorch: as it was saved, and fake-quantised where it is quantised.
        in_sessions: by provider, the CPU last.
    """
    *elsewhere, on_cpu = in_sessions
    kind: Kind = "exact" if len(in_pytorch) == 1 else "integer"
    rounded: list[tuple[ModelVariant, ModelVariant, Kind]] = [
        (in_pytorch[0], side, "rounded") for side in in_pytorch[1:]
    ]
    return [*rounded, (in_pytorch[-1], on_cpu, kind), *((on_cpu, side, kind) for side in elsewhere)]


def compare(
    name: str,
    source: ModelVariant,
    target: ModelVariant,
    kind: Kind,
    targets: Targets,
    labels: Sequence[str],
    judging: Judging,
    show_tokens: bool = True,
) -> ConversionCheck:
    """One hand-off, with the layer that is to blame where the graph differs from PyTorch by more than rounding.

    Args:
        targets: [rows], what would have been right.
        labels: names by id.
    """
    same_folder = source.folder == target.folder
    misread = (
        "" if same_folder else reading_difference(source.name, source.reading, target.name, target.reading, show_tokens)
    )
    misnamed = [naming_difference(side.name, side.folder, labels) for side in (source, target)[same_folder:]]
    numbers = INCOMPARABLE if misread else judging.compare(source.answers, target.answers, targets)
    explained = {
        "exact": numbers.max_abs_difference <= EXPLAINED_EXACT,
        "integer": numbers.rms_share <= EXPLAINED_INTEGER,
    }
    located = ""
    if kind != "rounded" and target.name == ON_CPU and not misread and not explained[kind]:
        rows = most_different_rows(source, target)
        model = load_as(source.folder, source.form)
        batch = source.reading.batch(source.reading.places_of(rows))
        located = first_divergence(model, target.folder / "model.onnx", batch, kind)
    return ConversionCheck(
        model=name,
        source=source.name,
        target=target.name,
        kind=kind,
        rows=len(targets),
        mismatch="; ".join(filter(None, [misread, *misnamed])),
        first_divergence=located,
        **asdict(numbers),
    )


def most_different_rows(source: ModelVariant, target: ModelVariant, worst: int = 4) -> np.ndarray:
    """A few rows [int64] in which a layer is to be found: those that differ most, the shortest and the longest."""
    lengths = source.reading.row_lengths
    rows = [int(lengths.argmin()), int(lengths.argmax())]
    apart = distances(source.answers, target.answers)
    if apart is not None:
        rows += np.argsort(-apart, kind="stable")[:worst].tolist()
    return np.unique(rows)
