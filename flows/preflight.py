"""What can be known before anything long starts: do the data, the model, the providers and the services answer?"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from hone.configs.recipe import Recipe
from hone.flows import database
from hone.tasks import cache, cluster, storage, store, tracking, version
from hone.tasks import output as outputs
from hone.tasks.errors import HoneError, PreflightError, StorageError

if TYPE_CHECKING:
    from hone.tasks.data.preview import Preview

DISK_BYTES = 2 * 10**9
"""Room for the checkpoints, teacher outputs and ONNX files of one run of a small encoder."""


def check_data(recipe: Recipe) -> "tuple[str, Preview]":
    """The data's columns and labels are there. Loads no ML library, so that a wrong column is told at once.

    Returns:
        What was found, and a look at the rows.
    """
    from hone.tasks.data.preview import preview

    seen = preview(recipe.data, seed=recipe.seed)
    bad = ", ".join(f"{kind.count:,} {kind.kind.replace('_', ' ')}" for kind in seen.bad_rows)
    rows = ", ".join(f"{count:,} {split}" for split, count in (seen.splits or seen.rows).items())
    told = f"{rows} {seen.what}{'' if seen.complete else ' looked at'}{f' ({bad} left out)' if bad else ''}"
    labels = f"{len(seen.labels)} {'labels' if seen.tokens is None else 'types of entities'}"
    if seen.range:
        labels = "numbers from {:g} to {:g}".format(*seen.range)
    if seen.spans is not None:
        labels = ", ".join(f"{count:,} with {kind}" for kind, count in seen.labels.items())
    labels = "" if seen.documents else f", {labels}"
    return f"{told}{labels}{_too_few(recipe, seen)}", seen


def _too_few(recipe: Recipe, seen: "Preview") -> str:
    """Whether so few test rows can decide; of metrics that are no share of rows no count can be told ahead."""
    from hone.tasks.gate.advice import too_few_rows
    from hone.tasks.gate.looks import spent_by
    from hone.tasks.objectives.judging import compared, judging

    metrics = compared(judging(recipe.objective), recipe.gate.metrics)
    if not seen.splits or not any(metric.share_of_rows for metric in metrics):
        return ""
    level = spent_by(1, recipe.gate.level, recipe.gate.looks)
    few = too_few_rows(seen.splits["test"], recipe.gate.margin, level)
    return f". INCONCLUSIVE is to be expected: {few}" if few else ""


def check_model(recipe: Recipe, seen: "Preview") -> str:
    """The model loads and can do what is asked of it, and it answers and learns from one batch of the data."""
    import numpy as np

    from hone.tasks.dry_run import dry_run
    from hone.tasks.model.text import Rows

    tags = None if seen.tags is None else [np.array(several, np.int64) for several in seen.tags]
    labels = np.array(seen.label_ids, np.int64 if seen.range is None else np.float64)
    rows = Rows(seen.texts, seen.pairs, labels, tokens=seen.tokens, tags=tags, spans=seen.spans, messages=seen.messages)
    facts = dry_run(recipe, rows, seen.label_names)
    return (
        f"{facts.model_type} of {facts.layers} layers, {facts.parameters / 1e6:.1f} M parameters; one batch was "
        "answered and learned from, and one layer exported and served"
    )


def check_precision(recipe: Recipe) -> str:
    """What the recipe's arithmetic comes to on this machine's own device."""
    from hone.tasks.device import computes_bf16, driver_device

    device = driver_device()
    sections = {"train": recipe.train, "distill": recipe.distill, "prune": recipe.prune, "quantize": recipe.quantize}
    imitated = [f"{name}.precision" for name, section in sections.items() if section.precision == "bf16"]
    if imitated and not computes_bf16(device):
        return (
            f"{', '.join(imitated)} is bf16, which the {device} of this machine imitates, many times slower than fp32: "
            "unless the workers have other hardware, set it to auto"
        )
    used = sorted({section.precision for section in sections.values()})
    return ", ".join(used) + (f"; auto is {'bf16' if computes_bf16(device) else 'fp32'} here" if "auto" in used else "")


def check_providers(recipe: Recipe) -> str:
    """What a session on this machine really gets of the providers that the recipe prefers."""
    from hone.tasks.model.runtime import sessions

    got = sessions.available_providers(recipe.export.providers)
    absent = [name for name in recipe.export.providers if name not in got]
    if not got:
        raise PreflightError(
            f"export.providers is {recipe.export.providers}, and a session on this machine gets none of them: "
            "add cpu to fall back on"
        )
    return ", ".join(got) + (f"; absent here: {', '.join(absent)}, so sessions fall back to {got[0]}" if absent else "")


def check_tracking(recipe: Recipe) -> str:
    """MLflow answers where the records are to go."""
    return tracking.check(storage.folder_of(recipe.compute.storage))


def check_prefect(_recipe: Recipe) -> str:
    """Prefect answers, or has a database that it can use."""
    return database.check_prefect()


def check_cluster(recipe: Recipe) -> str:
    """Ray has what the workers ask for."""
    with cluster.session():
        there = cluster.cluster_resources(recipe.compute)
    return (
        f"{there['address']}, {there['nodes']} node(s), {there['cpus']:g} CPUs, {there['gpus']:g} GPUs: "
        f"{there['workers']} worker(s) of {there['cpus_per_worker']:g} CPUs and {there['gpus_per_worker']:g} GPUs"
        + (f" and {there['memory_per_worker']:g} GiB" if there["memory_per_worker"] else "")
    )


def check_storage(recipe: Recipe) -> str:
    """The storage answers, if it is a bucket, and the disk below it, or below its mirror, has room."""
    place = storage.folder_of(recipe.compute.storage)
    try:
        answer = storage.check(recipe.compute.storage)
    except StorageError as error:
        raise PreflightError(str(error)) from error
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < DISK_BYTES:
        raise PreflightError(
            f"compute.storage is {recipe.compute.storage} with {free / 1e9:.1f} GB free"
            + (f" in its mirror, {place}" if answer else "")
            + f", and a run needs {DISK_BYTES / 1e9:.0f} GB: make room, or set "
            + ("HONE_MIRROR" if answer else "compute.storage")
            + " to a folder elsewhere"
        )
    return f"{free / 1e9:.0f} GB free" + (f"; {answer}" if answer else "")


CHEAP: dict[str, Callable[[Recipe], str]] = {
    "storage": check_storage,
    "Prefect": check_prefect,
    "MLflow": check_tracking,
    "precision": check_precision,
    "providers": check_providers,
}
"""What neither reads the data nor starts a cluster."""


def preflight(recipe: Recipe, output: str) -> None:
    """The checks that cost little, before a run. Data and model are looked at where they, or what is to be done with
    them, changed since that was last done: an unchanged run need not load them. So with a cluster that is there
    already, which is asked first, in seconds: a run whose trainings are finished needs none.

    Raises:
        HoneError: of the first that does not hold.
    """
    outputs.check(recipe.name, output)
    check_storage(recipe)
    asked = _asked(recipe)
    if cluster.named() and not asked.is_file():
        check_cluster(recipe)
        store.write_text(asked, "")
    passed = _passed(recipe)
    seen = None if passed.is_file() else check_data(recipe)[1]
    for name in ("Prefect", "MLflow"):
        CHEAP[name](recipe)
    if seen is not None:
        check_model(recipe, seen)
    check_providers(recipe)
    if not passed.is_file():
        store.write_text(passed, "")


def run_check(recipe: Recipe, output: str, console: Console, again: str) -> str:
    """Prints every check with what was found, what takes long last: the model is loaded where its data are right, and
    Ray started where all else is. Those that do not hold go to stderr, as errors do.

    Args:
        output: the folder of the report and the model, where a person named one.
        again: the arguments of the command, for whoever is told what to call next.

    Returns:
        ACCEPTED, or INVALID when one does not hold.
    """
    errors = Console(stderr=True)
    seen: list[Preview] = []
    failed: list[str] = []

    def check(name: str, look: Callable[[], str]) -> None:
        try:
            console.print(Text("✓", "green") + Text(f" {name:<10} {look()}"), soft_wrap=True)
        except HoneError as error:
            failed.append(name)
            errors.print(Text("✗", "red") + Text(f" {name:<10} {error}"), soft_wrap=True)

    def data() -> str:
        told, rows = check_data(recipe)
        seen.append(rows)
        return told

    check("data", data)
    check("output", lambda: outputs.check(recipe.name, output))
    for name, look in CHEAP.items():
        check(name, partial(look, recipe))
    if seen:
        check("model", lambda: check_model(recipe, seen[0]))
    if failed:
        left = "Ray" if seen else "the model and Ray"
        told = f"{left} not looked at yet: mend what is marked ✗, then once more: hone check {again}"
        errors.print(Text(told), soft_wrap=True)
        return "INVALID"
    check("Ray", lambda: check_cluster(recipe))
    if failed:
        errors.print(Text(f"mend what is marked ✗, then once more: hone check {again}"), soft_wrap=True)
        return "INVALID"
    console.print(Text(f"next: hone optimize {again}"), soft_wrap=True)
    return "ACCEPTED"


def _asked(recipe: Recipe) -> Path:
    """The file that is there once the cluster was found to have what these trainings ask for. What they ask for is left
    out of its name: whoever changes that alone finds them finished."""
    sections = {"seed", "data", "model", "train", "distill", "prune", "quantize"}
    decides = {name: str(value) for name, value in recipe.model_dump(mode="json", include=sections).items()}
    key = cache.key_of(decides | {"task": recipe.objective, "cluster": cluster.named(), "code": version.code_digest()})
    return storage.folder_of(recipe.compute.storage) / "checks" / f"cluster-{key}"


def _passed(recipe: Recipe) -> Path:
    """The file that is there once data and model were found good: its name is the digest of all that decides it. Files
    count by their size and the time of their last change, so that nothing large is read."""
    settings: dict[str, Any] = {
        name: section.model_dump(mode="json")
        for name, section in {"data": recipe.data, "model": recipe.model, "export": recipe.export}.items()
    }
    settings["distill"] = recipe.distill.model_dump(
        mode="json", include={"method", "student", "layers", "layer_count", "hidden_weight", "relation_weight"}
    )
    trained = {"epochs", "learning_rate", "batch_size", "patience", "precision"}
    settings["prune"] = recipe.prune.model_dump(mode="json", exclude=trained)
    settings["quantize"] = recipe.quantize.model_dump(
        mode="json", include={"method", "scheme", "embeddings", "bits", "block_size"}
    )
    settings["cells"], settings["task"] = recipe.evaluate.cells, recipe.objective
    encoders = [Path(name).expanduser() for name in (recipe.model.source, recipe.distill.student) if name]
    given = [Path(str(getattr(recipe.data, name, ""))) for name in ("train", "validation", "test")]
    files = [file for folder in encoders if folder.is_dir() for file in sorted(folder.iterdir())] + given
    stamps = {str(file): f"{file.stat().st_size} {file.stat().st_mtime_ns}" for file in files if file.is_file()}
    from hone.tasks.export.task import LIBRARIES

    key = cache.key_of(cache.gather(settings, stamps, "hone.tasks.dry_run", LIBRARIES))
    return storage.folder_of(recipe.compute.storage) / "checks" / key
