"""What of a contract goes into MLflow's columns: its numbers as metrics, its digests as tags."""

import hashlib
import re
from typing import Any

from hone.tasks.contracts import Artifact, Contract

LEFT_OUT = {
    "record",
    "curves",
    "notes",
    "confusion",
    "machine",
    "round_p50_ms",
    "batch",
    "length",
    "decoded",
    "one_thread",
    "configurations",
}
"""Bookkeeping, what was logged step by step already, what only makes sense whole, in `result.json`, and what names its
item in the path."""

NAMES = (("name", "subject"), ("model", "source", "target"), ("kind",))
"""Fields that tell an item of a list from the others, by which of them it has first."""
LONGEST = 120
"""Characters of an item's name; MLflow takes 250 of the whole path."""


def metrics_of(contract: Contract) -> dict[str, float]:
    """Numbers by path: `quantized/metrics/accuracy`, `accuracy_difference/teacher/value`. Items of a list go by their
    name and what they are about, a hand-off by its model and its two ends, a latency by its shape.

    Raises:
        ValueError: when one name would stand for two values, of which MLflow would show whichever came last.
    """
    result: dict[str, float] = {}
    for path, value in _walk(contract):
        if not _is_number(value):
            continue
        if result.setdefault(path, float(value)) != float(value):
            raise ValueError(f"the metric {path} would be both {result[path]:g} and {value:g}: name its item apart")
    return result


def digests_of(contract: Contract) -> dict[str, str]:
    """Digests by path: `checkpoint/digest`."""
    return {path: value for path, value in _walk(contract) if path.rpartition("/")[2].endswith("digest") and value}


def _walk(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Artifact):
        return [(_join(path, "digest"), value.digest), (_join(path, "size_bytes"), value.size_bytes)]
    if isinstance(value, Contract):
        fields = [(name, field) for name, field in value if name not in LEFT_OUT]
        # An artifact called so adds nothing to the path.
        return [
            found for name, field in fields for found in _walk(field, path if name == "artifact" else _join(path, name))
        ]
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in _walk(item, _join(path, str(name)))]
    if isinstance(value, list):
        # The list's own name says less than its items' names do.
        above = path.rpartition("/")[0]
        items = [item for item in value if isinstance(item, Contract)]
        names = _names_of(items)
        return [found for name, item in zip(names, items, strict=True) for found in _walk(item, _join(above, name))]
    return [(path, value)]


def _names_of(items: list[Contract]) -> list[str]:
    """A name for each item that MLflow takes; where two would read alike, and are not, each with digits of its own."""
    raw = ["\x1f".join(_parts_of(item)) for item in items]
    shown = ["/".join(_plain(part) for part in _parts_of(item) if part) for item in items]
    unlike = {name: {whole for whole, one in zip(raw, shown, strict=True) if one == name} for name in shown}
    return [
        f"{name[:LONGEST]}.{hashlib.sha256(whole.encode()).hexdigest()[:6]}"
        if len(unlike[name]) > 1 or len(name) > LONGEST
        else name
        for name, whole in zip(shown, raw, strict=True)
    ]


def _parts_of(item: Contract) -> list[str]:
    for fields in NAMES:
        if hasattr(item, fields[0]):
            return [str(getattr(item, field, "")) for field in fields]
    shape = "x".join(str(getattr(item, field)) for field in ("batch", "length"))
    return [f"{shape}_next" if getattr(item, "decoded", 0) else shape]


def _plain(part: str) -> str:
    """MLflow takes few signs in a name, and reads it as a path."""
    return re.sub(r"[^\w-]+", "_", part).strip("_") or "_"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
