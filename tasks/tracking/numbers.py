"""What of a contract goes into MLflow's columns: its numbers as metrics, its digests as tags."""

from typing import Any

from tasks.contracts import Artifact, Contract

LEFT_OUT = {"record", "curves", "notes", "confusion", "machine", "round_p50_ms", "batch", "length"}
"""Bookkeeping, what was logged step by step already, what only makes sense whole, in `result.json`, and what names its
item in the path."""


def metrics_of(contract: Contract) -> dict[str, float]:
    """Numbers by path: `quantized/metrics/accuracy`. Items of a list go by their name, kind or shape."""
    return {path: float(value) for path, value in _walk(contract) if _is_number(value)}


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
        items = [(_name_of(item), item) for item in value if isinstance(item, Contract)]
        return [found for name, item in items for found in _walk(item, _join(above, name))]
    return [(path, value)]


def _name_of(item: Contract) -> str:
    for field in ("name", "kind"):
        if hasattr(item, field):
            return str(getattr(item, field))
    return "x".join(str(getattr(item, field)) for field in ("batch", "length"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
