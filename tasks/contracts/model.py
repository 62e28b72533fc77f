"""One type for each state of the model, from the fine-tuned teacher to the exported graphs."""

from typing import Any, Literal

from hone.tasks.contracts.base import Artifact, Contract, StageResult


class Curve(Contract):
    """One number over training, for the report's learning curves."""

    name: str
    """train_loss, validation_loss, validation_accuracy, learning_rate or a part of the loss."""
    steps: list[int]
    """Optimiser steps."""
    values: list[float]


class Checkpoint(Contract):
    """A PyTorch model in a folder: safetensors, config and tokenizer, with what was counted in it."""

    artifact: Artifact
    parameters: int
    """Weights that are there after what was removed is removed."""
    nonzero_parameters: int
    """Those of them that are not exactly zero."""
    validation_accuracy: float | None = None
    """None where the task has no accuracy."""
    validation_loss: float
    validation_metrics: dict[str, float] = {}
    """What else the task measures on the validation split, by name."""
    selected_by: str = "accuracy"
    """The metric by which the epoch was chosen."""
    curves: list[Curve] = []
    notes: dict[str, Any] = {}
    """What the stage measured on the way, such as heads per layer or the sensitivity of each layer."""
    warnings: list[str] = []
    """What a person should know before they trust it, each in one sentence without its full stop: that it gives every
    row the same answer."""

    @property
    def score(self) -> float:
        """The metric by which the epoch was chosen, on the validation split; higher is better."""
        if self.selected_by == "accuracy" and self.validation_accuracy is not None:
            return self.validation_accuracy
        return self.validation_metrics[self.selected_by]

    def headline(self) -> str:
        """What the epoch was chosen by and size in a few words, and what to be warned of."""
        size = f"{self.parameters / 1e6:.2f} M parameters"
        name = "" if self.selected_by == "accuracy" else f"{self.selected_by.replace('_', ' ')} "
        return "; ".join([f"{name}{self.score:.4f} on validation, {size}", *self.warnings])


class CheckpointResult(StageResult):
    """What every stage that trains returns; each in a type of its own."""

    checkpoint: Checkpoint

    def headline(self) -> str:
        return self.checkpoint.headline()


class TrainedModel(CheckpointResult):
    """The teacher, fine-tuned."""


class DistilledModel(CheckpointResult):
    """The student, taught."""


class PrunedModel(CheckpointResult):
    """The student with what mattered least removed, recovered."""


class QuantizedModel(CheckpointResult):
    """The student whose weights lie on the integer grid that the exported graph will store."""

    scheme: Literal["none", "dynamic", "static", "blockwise"]
    layers_kept: list[str] = []
    """Layers left in higher precision because quantising them costs too much."""

    def headline(self) -> str:
        kept = f", {', '.join(self.layers_kept)} in higher precision" if self.layers_kept else ""
        return f"{super().headline()}{kept}"


class OnnxModel(Contract):
    """One ONNX model in a folder with its tokenizer and config."""

    name: str
    """Name among the candidates: teacher, distilled, pruned or quantized."""
    stage: str
    """Stage whose model it is."""
    artifact: Artifact
    precision: str
    """fp32, int8 or int4."""
    parameters: int
    graph_bytes: int
    """Size of model.onnx."""
    source: Artifact
    """The PyTorch checkpoint it was exported from."""


class ExportedModels(StageResult):
    """Every model of the chain as ONNX, the teacher first and the one meant to ship last."""

    models: list[OnnxModel]

    def headline(self) -> str:
        return ", ".join(f"{model.name} {model.graph_bytes / 1e6:.1f} MB" for model in self.models)
