"""The champion's answers, in this run's labels."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hone.tasks.errors import HoneError, RegistryError
from hone.tasks.model.runtime.model_under_test import registered
from hone.tasks.model.runtime.predict import predict
from hone.tasks.model.runtime.runtime import SERVING
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import Answers, Judging

RULES = ("lowercase", "strip_punctuation")


def asked_as(about: str, files: Mapping[str, Path], own: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder of a registered model, and how it is served: its length and cleaning rules, from its `serving.json`.

    Args:
        files: what was registered, by name.
        own: how this run's models read text; taken for a version without that file.

    Raises:
        RegistryError: when its files are not there, or it cannot be asked as it is served.
    """
    folder = files.get("model")
    if folder is None or not (folder / "config.json").is_file():
        raise RegistryError(f"{about}: its files are not there any more")
    serving = folder / SERVING
    try:
        told = json.loads(serving.read_text(encoding="utf-8")) if serving.exists() else {}
    except (OSError, ValueError) as error:
        raise RegistryError(f"{about}: {SERVING} beside it cannot be read: {error}") from error
    served = own | told
    task, asked = (how.get("task", "text-classification") for how in (told, own))  # older versions do not say it
    if task != asked:
        raise RegistryError(
            f"{about} is served for {task}, and this recipe's task is {asked}: register under another name "
            "(register.model_name), or set gate.compare_champion: false"
        )
    for rule in RULES:
        if own[rule] and not served[rule]:
            raise RegistryError(
                f"{about} reads text without data.{rule}, and this recipe's rows have gone through it: compare without "
                f"it (gate.compare_champion: false), or set data.{rule}: false"
            )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    positions = config.get("max_position_embeddings")
    if positions and served["max_length"] > positions > 0:
        raise RegistryError(
            f"{about} is served with max_length {served['max_length']}, and it reads at most {positions} tokens"
        )
    return folder, dict(served)


def answer(
    folder: Path,
    rows: Rows,
    labels: Sequence[str],
    judging: Judging,
    *,
    served: Mapping[str, Any],
    batch_size: int,
    providers: Sequence[str],
    threads: int,
) -> Answers:
    """Answers [rows, ...] of the exported model in `folder`, its labels matched to this run's by their names.

    Args:
        served: how it reads text. An exported model cleans and cuts its texts itself, as its `serving.json` says.

    Raises:
        RegistryError: when it does not answer.
    """
    try:
        own = predict(
            registered(folder),
            rows,
            max_length=served["max_length"],
            batch_size=batch_size,
            providers=providers,
            threads=threads,
        )
    except HoneError:
        raise
    except Exception as error:  # onnxruntime's and tokenizers' have no base of their own
        raise RegistryError(f"the model at {folder} does not answer: {error}") from error
    names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    return judging.translate(own, [names[str(label)] for label in range(len(names))], labels)
