"""Which settings a recipe makes no use of: run forms do not show them, and a run keeps the recipe's values of them."""

from collections.abc import Mapping
from typing import Any

from hone.configs.recipe import CALIBRATED, Recipe

Hidden = dict[str, set[str]]
"""Section to settings."""
SWITCHED = {"distill": ("method", "none"), "prune": ("method", "none"), "quantize": ("method", "none")}
"""Sections of which nothing but the switch is used where it has this value."""
FILES = {"train", "validation", "test", "format", "encoding", "header", "columns", "document_end"}
DATASETS = {"dataset", "train_split", "validation_split", "test_split"}
READ = {
    "files": FILES,
    "hub": DATASETS | {"dataset_config"},
    "saved": DATASETS,
    "docstrings": {"libraries"},
}
"""By data.source, the settings that it alone, or with some others, reads."""
COLUMNS = {
    "text_column",
    "pair_column",
    "label_column",
    "labels",
    "label_separator",
    "slice_columns",
    "question_column",
    "answers_column",
    "start_column",
    "messages_column",
    "prompt_column",
    "completion_column",
}
"""Docstrings have none to name."""
TEXTS = ("text-classification", "multi-label-classification", "regression")
OF_ROWS = (*TEXTS, "token-classification", "question-answering")
"""All that answer a row; documents are continued."""
TASKS: dict[str, tuple[str, ...]] = {
    "data.header": (*TEXTS, "question-answering", "text-generation"),  # of CSV and TSV, which hold no lists of words
    "data.pair_column": TEXTS,
    "data.strip_punctuation": TEXTS,
    "data.text_column": TEXTS,
    "data.label_column": TEXTS,
    "data.labels": TEXTS,
    "data.label_separator": ("multi-label-classification",),
    "data.label_names": ("text-classification", "multi-label-classification", "token-classification"),
    "data.lowercase": (*TEXTS, "token-classification"),
    "data.tokens_column": ("token-classification",),
    "data.tags_column": ("token-classification",),
    "data.context_column": ("question-answering",),
    "data.question_column": ("question-answering",),
    "data.answers_column": ("question-answering",),
    "data.start_column": ("question-answering",),
    "data.document_column": ("text-generation",),
    "data.document_end": ("text-generation",),
    "data.messages_column": ("text-generation",),
    "data.prompt_column": ("text-generation",),
    "data.completion_column": ("text-generation",),
    "train.adapter": ("text-generation",),
    "train.lora_rank": ("text-generation",),
    "train.lora_alpha": ("text-generation",),
    "quantize.bits": ("text-generation",),
    "quantize.block_size": ("text-generation",),
    "quantize.wide_fraction": ("text-generation",),
    "distill.augment": OF_ROWS,
    "prune.vocabulary": OF_ROWS,
    "prune.vocabulary_extra": OF_ROWS,
    "evaluate.robustness": OF_ROWS,
    "distill.temperature": (
        "text-classification",
        "multi-label-classification",
        "token-classification",
        "question-answering",
    ),
    "evaluate.calibration_bins": CALIBRATED,
    "gate.max_calibration_error": CALIBRATED,
}
"""Settings that some objectives (`recipe.Objective`) alone use, by dotted key; all others are for every one."""


def hidden(recipe: Recipe, tasks: Mapping[str, tuple[str, ...]] = TASKS) -> Hidden:
    """What a recipe does not use, by its objective, the source of its data and the stages that it leaves out.

    Args:
        tasks: as `TASKS`.
    """
    result: Hidden = {}
    for name, (switch, off) in SWITCHED.items():
        section = getattr(recipe, name)
        if getattr(section, switch) == off:
            result[name] = set(type(section).model_fields) - {switch}
    if "distill" in result and (recipe.prune.method != "none" or recipe.quantize.method == "qat"):
        result["distill"] -= set(recipe.distill.loss_settings())  # they learn from the teacher by the same loss
    result["data"] = set().union(*READ.values()) - READ[recipe.data.source]
    if recipe.data.source == "docstrings":
        result["data"] |= COLUMNS
    for key, known in tasks.items():
        name, _, setting = key.partition(".")
        if recipe.objective not in known:
            result.setdefault(name, set()).add(setting)
    return result


def with_hidden(given: dict[str, Any], deployed: Recipe) -> dict[str, Any]:
    """What a form was sent with, and of what it did not show the deployed recipe's values; what somebody gave all the
    same, who called the API, stays."""
    kept = deployed.model_dump(mode="json")
    filled = dict(given)
    for name, settings in hidden(deployed).items():
        if isinstance(section := given.get(name), dict):
            filled[name] = {setting: kept[name][setting] for setting in sorted(settings)} | section
    return filled
