"""A recipe: one file, one typed model, one flow parameter, and they are the same thing."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from hone.configs.data import DataSettings
from hone.configs.delivery import (
    ComputeSettings,
    EvaluateSettings,
    ExportSettings,
    GateSettings,
    RegisterSettings,
    ReportSettings,
    decodes,
)
from hone.configs.model import DistillSettings, ModelSettings, PruneSettings, QuantizeSettings, TrainSettings
from hone.configs.refusal import explain
from hone.configs.retrain import RetrainSettings
from hone.configs.section import Section

Task = Literal["text-classification", "token-classification", "question-answering", "text-generation"]
"""What the model does, as the Hugging Face hub names it."""
Objective = Literal[
    "text-classification",
    "multi-label-classification",
    "regression",
    "token-classification",
    "question-answering",
    "text-generation",
]
"""What is learned and judged: the task and, of texts, what each of them has. `tasks/objectives/` has a folder for
each; the names are transformers' own for a config's `problem_type`."""
OF_TEXTS: dict[str, Objective] = {
    "one": "text-classification",
    "several": "multi-label-classification",
    "number": "regression",
}
"""By data.labels."""
METRICS: dict[Objective, tuple[str, ...]] = {
    "text-classification": ("accuracy", "macro_f1", "precision", "recall"),
    "multi-label-classification": ("micro_f1", "macro_f1", "precision", "recall", "accuracy"),
    "regression": ("mse", "spearman"),
    "token-classification": ("f1", "macro_f1", "precision", "recall"),
    "question-answering": ("f1", "exact_match"),
    "text-generation": ("perplexity", "bits_per_byte", "agreement"),
}
"""Those that `gate.metrics` may name, by objective; the first one is what models are judged by."""
CALIBRATED: tuple[Objective, ...] = ("text-classification",)
"""Those of which a calibration error is measured."""
COLUMNS: dict[Task, tuple[tuple[str, str], ...]] = {
    "token-classification": (("tokens_column", "the list of a sentence's words"),),
    "question-answering": (("context_column", "the text that a question is asked about"),),
    "text-generation": (
        ("document_column", "documents"),
        ("messages_column", "conversations"),
        ("prompt_column", "prompts"),
    ),
}
"""The settings of `data` of which one makes data those of a task, and what its column holds; the first one is advised.
"""
Block = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*$")]
"""A block of Prefect."""


class RecipeError(ValueError):
    """A recipe or an override that cannot be used: names the key, the value and what is allowed."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's own would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _value in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if key in seen:
                raise RecipeError(f"line {line}: {key} stands in line {seen[key]} already: put both into one")
            seen[key] = line
        return super().construct_mapping(node, deep)


class Recipe(Section):
    """Everything one run of `optimize` or `retrain` needs to know."""

    name: str = Field("hone", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Names the run, its default output folder and its model in the registry."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of every draw: splits, initial weights, order of batches, dropout."""
    task: Task = "text-classification"
    """What the model does. Whether a text has one label, several or a number is data.labels."""
    notify: list[Block] = []
    """Notification blocks of Prefect, as TYPE/NAME (slack-webhook/team), that hear of its deployments' runs: of
    one that is not accepted or fails, and of an approval that waits."""
    data: DataSettings
    model: ModelSettings
    train: TrainSettings = TrainSettings()
    distill: DistillSettings = DistillSettings()
    prune: PruneSettings = PruneSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    export: ExportSettings = ExportSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    gate: GateSettings = GateSettings()
    register_: RegisterSettings = Field(RegisterSettings(), alias="register")
    report: ReportSettings = ReportSettings()
    retrain: RetrainSettings = RetrainSettings()
    compute: ComputeSettings = ComputeSettings()

    @model_validator(mode="after")
    def _combination_is_possible(self) -> "Recipe":
        problems = [
            *self._precision_problems(),
            *self._batch_problems(),
            *self._layer_problems(),
            *self._scheme_problems(),
            *self._gate_problems(),
        ]
        problems += self._column_problems()
        problems += self._generation_problems()
        if not self.model.source:
            problems.append("model.source is empty: name an encoder, e.g. --set model.source=path/to/encoder")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _column_problems(self) -> list[str]:
        """Each task other than text classification has a column that tells its data from those of the others."""
        problems = []
        for task, columns in COLUMNS.items():
            given = [(column, what) for column, what in columns if getattr(self.data, column)]
            if self.task == task and not given:
                (column, what), *others = columns
                also = "".join(f", or data.{other} to that with {kind}" for other, kind in others)
                problems.append(
                    f"task is '{self.task}' but data.{column} is empty: name the column with {what}, e.g. "
                    f"--set data.{column}={column.removesuffix('_column')}{also}"
                )
            if self.task != task:
                problems += [
                    f"data.{column} is '{getattr(self.data, column)}' but task is '{self.task}', whose data have no "
                    f"{what}: leave it empty, or set task={task}"
                    for column, what in given
                ]
        return problems

    def _generation_problems(self) -> list[str]:
        """What has no meaning for a model that learns to write documents, or for any other."""
        if self.task != "text-generation":
            return [
                f"train.adapter is '{self.train.adapter}' but task is '{self.task}', whose new head has to be trained "
                "whole: set train.adapter=none"
            ] * (self.train.adapter != "none")
        distill, prune = self.distill, self.prune
        taught = distill.method != "none" or prune.method != "none" or self.quantize.method == "qat"
        problems = []
        if taught and distill.augment:
            problems.append(
                f"distill.augment is {distill.augment} but task is 'text-generation': a document with words masked or "
                "exchanged is nothing to learn to write: set distill.augment=0"
            )
        if prune.method != "none" and prune.vocabulary != "full":
            problems.append(
                f"prune.vocabulary is '{prune.vocabulary}' but task is 'text-generation', whose model could then write "
                "no other token: set prune.vocabulary=full"
            )
        if self.evaluate.robustness:
            problems.append(
                f"evaluate.robustness is {self.evaluate.robustness} but task is 'text-generation': that a model finds "
                "spoilt text less likely is no fault of it: leave evaluate.robustness out"
            )
        return problems

    def _training_sections(self) -> dict[str, Any]:
        return {"train": self.train, "distill": self.distill, "prune": self.prune, "quantize": self.quantize}

    def _precision_problems(self) -> list[str]:
        return [
            f"{name}.precision is 'fp16' but compute.gpus_per_worker is 0: fp16 needs a GPU; use bf16 or fp32"
            for name, section in self._training_sections().items()
            if section.precision == "fp16" and not self.compute.gpus_per_worker
        ]

    def _batch_problems(self) -> list[str]:
        workers = self.compute.workers
        return [
            f"{name}.batch_size is {section.batch_size}: it has to be a multiple of compute.workers * {name}.accumulate"
            f" = {workers} * {section.accumulate}"
            for name, section in self._training_sections().items()
            if section.batch_size % (workers * section.accumulate)
        ]

    def _layer_problems(self) -> list[str]:
        named, count = self.distill.layers, self.distill.layer_count
        if named and count and len(named) != count:
            return [
                f"distill.layers names {len(named)} layers, {named}, and distill.layer_count is {count}: give one of "
                "the two"
            ]
        return []

    def _scheme_problems(self) -> list[str]:
        first, quantize = self.export.providers[0], self.quantize
        if quantize.method == "none":
            return []
        problems = []
        if quantize.scheme == "dynamic" and first != "cpu":
            problems.append(
                f"quantize.scheme is 'dynamic' but export.providers prefers '{first}', which has no dynamic int8 "
                "kernels: use 'static' or 'auto', or put cpu first"
            )
        if quantize.scheme == "blockwise" and (first != "cpu" or self.task != "text-generation"):
            problems.append(
                f"quantize.scheme is 'blockwise' but task is '{self.task}' and export.providers prefers '{first}': it "
                "is for text-generation with cpu first; use 'auto'"
            )
        if quantize.bits == 4 and self.quantization_scheme != "blockwise":
            problems.append(
                f"quantize.bits is 4 but quantize.scheme comes to '{self.quantization_scheme}', which has 8: set "
                "quantize.bits=8, or have text-generation with cpu first and quantize.scheme auto or blockwise"
            )
        if quantize.wide_fraction and quantize.bits == 8:
            problems.append(
                f"quantize.wide_fraction is {quantize.wide_fraction:g} but quantize.bits is 8, which all weights have "
                "then: set quantize.wide_fraction=0, or quantize.bits=4"
            )
        return problems

    def _gate_problems(self) -> list[str]:
        problems = []
        known = METRICS[self.objective]
        if foreign := [name for name in self.gate.metrics if name not in known]:
            problems.append(
                f"gate.metrics names {', '.join(foreign)}, in which no model is judged whose task is '{self.task}'"
                f"{self._and_labels()}: take some of {', '.join(known)}"
            )
        if self.gate.max_calibration_error is not None and self.objective not in CALIBRATED:
            problems.append(
                f"gate.max_calibration_error is {self.gate.max_calibration_error:g} but task is '{self.task}'"
                f"{self._and_labels()}, of which no calibration error is measured: leave it out, or set it to null"
            )
        if self.gate.max_p95_ms is not None and self.gate.p95_cell not in self.evaluate.cells:
            problems.append(
                f"gate.p95_cell is '{self.gate.p95_cell}', which is not measured: use one of evaluate.cells "
                f"({', '.join(self.evaluate.cells)}), or add it there"
            )
        decoding = [cell for cell in self.evaluate.cells if decodes(cell)]
        if decoding and self.task != "text-generation":
            problems.append(
                f"evaluate.cells has {', '.join(decoding)} but task is '{self.task}', whose model writes no next "
                "token: leave +1 away"
            )
        if self.gate.require_provider and self.gate.require_provider not in self.export.providers:
            problems.append(
                f"gate.require_provider is '{self.gate.require_provider}', which export.providers "
                f"({', '.join(self.export.providers)}) does not ask for: add it there"
            )
        return problems

    def _and_labels(self) -> str:
        return "" if self.data.labels == "one" else f" with data.labels '{self.data.labels}'"

    @property
    def objective(self) -> Objective:
        """What is learned and judged."""
        return OF_TEXTS[self.data.labels] if self.task == "text-classification" else self.task

    @property
    def quantization_scheme(self) -> Literal["dynamic", "static", "blockwise"]:
        """`dynamic`, `static` or `blockwise`, with `auto` resolved by the task and the preferred provider."""
        if self.quantize.scheme != "auto":
            return self.quantize.scheme
        if self.task == "text-generation" and self.export.providers[0] == "cpu":
            return "blockwise"
        return "dynamic" if self.export.providers[0] == "cpu" else "static"


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Reads a YAML recipe, with `section.key=value` overrides on top (values are YAML).

    Raises:
        RecipeError: with every offending key, its value and what is allowed.
    """
    path = Path(path)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: not a readable YAML file: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of sections, and this is a {type(tree).__name__}")
    for override in overrides or []:
        _apply(tree, override)
    return parse_recipe(tree, where=str(path))


def parse_recipe(tree: dict[str, Any], where: str = "recipe") -> Recipe:
    """Validates a tree of plain values.

    Raises:
        RecipeError: with every offending key, its value and what is allowed.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        lines = [explain(dict(problem), Recipe) for problem in error.errors(include_url=False)]
        raise RecipeError("\n".join(f"{where}: {line}" for line in lines)) from None


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"--set {override}: write it as section.key=value, e.g. --set train.epochs=2")
    try:
        value = yaml.load(text, _Loader)
    except RecipeError as error:
        raise RecipeError(f"--set {override}: {error}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override}: the value is not YAML: {error}") from error
    node = tree
    for depth, part in enumerate(parts[:-1], start=1):
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override}: {'.'.join(parts[:depth])} is {child!r} and has no keys of its own")
        node = child
    node[parts[-1]] = "" if value is None and not text.strip() else value
