"""What a recipe asks of an architecture, and what that cannot do: one table, of `encoders` and `decoders`."""

from hone.configs.recipe import Recipe
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.architecture import Ability
from hone.tasks.model.architectures.layers import ARCHITECTURES, architecture

SETTINGS: dict[Ability, str] = {
    "layers": "a student of some of its layers (`distill.layers`, `prune.layer_fraction`)",
    "heads": "heads removed (`prune.head_fraction`)",
    "neurons": "neurons removed (`prune.neuron_fraction`)",
    "relations": "attention relations (`distill.relation_weight`)",
    "vocabulary": "tokens removed (`prune.vocabulary: seen`)",
}


def check_abilities(recipe: Recipe, teacher: str, student: str | None) -> None:
    """Whether the architectures can do all that the recipe asks of them.

    Args:
        teacher: model type of model.source.
        student: that of distill.student, where there is one.

    Raises:
        ModelError: listing every setting that cannot be met, why, and what to set instead.
    """
    lines, remedies = [], []
    for kind, ability, setting, remedy in _wanted(recipe, teacher, student):
        reason = architecture(kind).cannot.get(ability)
        if reason is not None:
            lines.append(f"{setting} is not for {kind} ({reason})")
            remedies.append(remedy)
    if lines:
        raise ModelError(f"{'; '.join(lines)}: {' '.join(dict.fromkeys(remedies))}")


def table() -> str:
    """The table of tasks/README.md: for each architecture what it can do, in Markdown."""
    rows = ["| model type | " + " | ".join(SETTINGS.values()) + " |", "| --- |" + " --- |" * len(SETTINGS)]
    for kind, known in ARCHITECTURES.items():
        cells = [f"no: {known.cannot[ability]}" if ability in known.cannot else "yes" for ability in SETTINGS]
        rows.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _wanted(recipe: Recipe, teacher: str, student: str | None) -> list[tuple[str, Ability, str, str]]:
    """Which model type is asked for what, by which setting, and how to take that back."""
    distill, prune, quantize = recipe.distill, recipe.prune, recipe.quantize
    other = student if distill.method != "none" else None
    small = other or teacher
    wanted: list[tuple[str, Ability, str, str]] = []
    if distill.method != "none" and other is None:
        remedy = "--set distill.method=none, or name a model of its own as distill.student."
        wanted.append((teacher, "layers", "distill.method with no distill.student", remedy))
    taught = distill.method != "none" or prune.method != "none" or quantize.method == "qat"
    if distill.relation_weight and taught:
        for kind in dict.fromkeys((teacher, small)):
            wanted.append((kind, "relations", "distill.relation_weight", "--set distill.relation_weight=0"))
    if prune.method != "none" and prune.vocabulary == "seen":
        wanted.append((small, "vocabulary", "prune.vocabulary: seen", "--set prune.vocabulary=full"))
    if prune.method == "structured":
        fractions: tuple[tuple[Ability, str, float], ...] = (
            ("layers", "prune.layer_fraction", prune.layer_fraction),
            ("heads", "prune.head_fraction", prune.head_fraction),
            ("neurons", "prune.neuron_fraction", prune.neuron_fraction),
        )
        nothing = all(ability in architecture(small).cannot for ability, _name, _fraction in fractions)
        for ability, name, fraction in fractions:
            if fraction:
                remedy = "--set prune.method=none (or magnitude, wanda, sparsegpt)" if nothing else f"--set {name}=0"
                wanted.append((small, ability, name, remedy))
    return wanted
