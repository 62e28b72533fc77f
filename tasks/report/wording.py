"""How names and numbers of a report are written for people, the same in the terminal, on the page and in Prefect."""

from typing import Any

MODELS = {"teacher-pytorch": "teacher (PyTorch)", "floor": "floor (TF-IDF)"}
PROVIDERS = {"TensorrtExecutionProvider": "TensorRT", "CUDAExecutionProvider": "CUDA", "CPUExecutionProvider": "CPU"}
RUNTIMES = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "sklearn": "scikit-learn"}
METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error",
}
CHECKS = {
    "accuracy": "Accuracy",
    "accuracy_kept": "Accuracy kept of the teacher's",
    "size_fraction": "Size, as a share of the teacher's",
    "speedup": "Speed-up over the teacher in ONNX Runtime",
    "calibration_error": "Calibration error",
    "accuracy_above_floor": "Accuracy above TF-IDF's",
}
DIRECTIONS = {"at_least": "at least", "at_most": "at most", "above": "above"}
MISSING = "–"
PREFERRED_CELL = (1, 32)


def words(name: str) -> str:
    """`vocabulary_kept` as `vocabulary kept`."""
    return name.replace("_", " ")


def model(name: str) -> str:
    """A candidate's name."""
    return MODELS.get(name, name)


def plain(value: object) -> str:
    """A number or a word as it stands in a list of facts."""
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def size(size_bytes: float | None) -> str:
    """Bytes in decimal units with three digits: `14.5 MB`."""
    if not size_bytes:
        return MISSING
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= bytes_each:
            return f"{_three_digits(size_bytes / bytes_each)} {unit}"
    return f"{size_bytes:.0f} B"


def count(number: float | None) -> str:
    """`22.7 M`, `30.5 k`, `812`."""
    if number is None:
        return MISSING
    for unit, each in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= each:
            return f"{_three_digits(number / each)} {unit}"
    return f"{number:.0f}"


def share(value: float | None, digits: int = 2) -> str:
    """A share of 1 in percent: `98.90%`."""
    return MISSING if value is None else f"{100 * value:.{digits}f}%"


def factor(value: float | None) -> str:
    """`8.69×`; 0 stands for what nobody measured."""
    return f"{value:.2f}×" if value else MISSING


def milliseconds(value: float | None) -> str:
    """Three digits, without the unit, which stands in the column's head."""
    return MISSING if value is None else _three_digits(value)


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def digest(text: str) -> str:
    """The first digits of a digest, enough to tell it from others."""
    return text.removeprefix("sha256:")[:12] or MISSING


def measured(value: float | None, unit: str) -> str:
    """A check's value or threshold with its unit."""
    if value is None:
        return "not measured"
    if unit == "share":
        return share(value)
    return factor(value) if unit == "x" else f"{value:.4g} {unit}".strip()


def check_name(check: dict[str, Any]) -> str:
    """What a check is about."""
    name = str(check["name"])
    return CHECKS.get(name, words(name).capitalize())


def within_sentence(text: str) -> str:
    """A phrase with a small first letter, unless it begins with an abbreviation."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def check_demand(check: dict[str, Any]) -> str:
    """What a check asks: `at least 98.50%`."""
    return f"{DIRECTIONS[check['direction']]} {measured(check['threshold'], check['unit'])}"


def headline_cell(candidates: list[dict[str, Any]]) -> tuple[int, int] | None:
    """The batch x length that one latency is quoted at: 1x32 where it was measured, else the first that was."""
    cells = [(cell["batch"], cell["length"]) for candidate in candidates for cell in candidate["latency"]]
    return PREFERRED_CELL if PREFERRED_CELL in cells else cells[0] if cells else None


def latency_at(candidate: dict[str, Any], cell: tuple[int, int] | None) -> float | None:
    """Median milliseconds of a candidate at a batch x length."""
    found = [entry["p50_ms"] for entry in candidate["latency"] if (entry["batch"], entry["length"]) == cell]
    return found[0] if found else None


def _three_digits(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    decimals = 3 if abs(value) < 0.1 else 3 - len(str(int(abs(value))))
    return f"{value:.{decimals}f}"
