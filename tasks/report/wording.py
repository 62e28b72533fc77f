"""How names and numbers of a report are written for people, the same in the terminal, on the page and in Prefect."""

from typing import Any

MODELS = {"teacher-pytorch": "teacher (PyTorch)", "floor": "baseline (TF-IDF)"}
PROVIDERS = {"tensorrt": "TensorRT", "cuda": "CUDA", "cpu": "CPU"}
RUNTIMES = {
    "pytorch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "sklearn": "scikit-learn",
    "lookup": "Python",
    "overlap": "Python",
    "n-grams": "Python",
}
BASELINES = {
    "sklearn": "TF-IDF",
    "lookup": "most frequent tag",
    "overlap": "best sentence",
    "n-grams": "byte n-grams",
}
"""What a model has to beat, by what computes it."""
ACCURACY = {"name": "accuracy", "title": "accuracy", "better": "higher", "unit": "share"}
METRICS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "precision": "precision",
    "recall": "recall",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "mse": "mean squared error",
    "spearman": "Spearman's correlation",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "agreement": "agreement with the teacher",
    "calibration_error": "calibration error",
}
CHECKS = {
    "accuracy": "Accuracy",
    "accuracy_kept": "Accuracy kept of the teacher's",
    "accuracy_above_baseline": "Accuracy above TF-IDF's",
    "f1": "F1",
    "f1_kept": "F1 kept of the teacher's",
    "micro_f1": "Micro F1",
    "micro_f1_kept": "Micro F1 kept of the teacher's",
    "mse": "Mean squared error",
    "mse_kept": "The teacher's mean squared error, as a share of the model's",
    "perplexity": "Perplexity",
    "perplexity_kept": "The teacher's perplexity, as a share of the model's",
    "calibration_error": "Calibration error",
    "size_fraction": "Size, as a share of the teacher's",
    "size_bytes": "Size of the model file",
    "peak_memory": "Peak memory of a process that serves it",
    "load_time": "Time to load",
    "speedup": "Speed-up over the best dense teacher",
    "speedup_per_core": "Speed-up with one thread each",
    "p95": "95th percentile of the latency",
    "fallback_nodes": "Nodes that fell back to another provider",
    "parity": "Parity",
    "serves": "Golden requests answered",
    "looks": "Verdicts on these test rows",
}
PERTURBED = {
    "alone": "of one text at a time",
    "typos": "with typos",
    "case": "with changed case",
    "punctuation": "with changed punctuation",
}
VALIDATED = {"mse": ("r2", "R²"), "perplexity": ("log_likelihood", "log likelihood")}
"""Name and title of what epochs are chosen by, where that is not the metric that models are judged by."""
DIRECTIONS = {"at_least": "at least", "at_most": "at most", "above": "above"}
LOSSES = {"points": " points below", "relative": "% worse"}
"""How a margin is said, by the unit of the difference."""
MARKS = {"ACCEPTED": "✓", "REJECTED": "✗", "INCONCLUSIVE": "?", "": "–"}
MISSING = "–"
BESIDE = {
    "accuracy": ("macro_f1", "calibration_error"),
    "f1": ("exact_match", "precision", "recall"),
    "micro_f1": ("macro_f1",),
    "mse": ("spearman",),
    "perplexity": ("bits_per_byte", "agreement"),
}
"""What tells most beside a primary metric, by its name."""
HAVE = {"token-classification": "tags", "question-answering": "answers", "text-generation": "text"}
"""What rows of a task have; of texts data.labels says it."""
TRUE = {
    "one": "label",
    "several": "labels",
    "number": "number",
    "tags": "entities",
    "answers": "answer",
    "text": "length",
}
"""What is true of a row, by what rows have."""
SAME = {
    "one": "label",
    "several": "yes or no",
    "number": "number",
    "tags": "tag",
    "answers": "answer",
    "text": "next token",
}
"""What two forms of a model give alike, by what rows have."""
BADLY_CALIBRATED = 0.1
"""Calibration error beyond which the report says so, whatever the recipe asks."""
LEAST_FACTOR, MOST_FACTOR = 0.01, 1000
"""Beyond these, no digit of a factor means anything."""
BUSY = 0.05
"""Share of the machine that others may take before it is said beside the speed-up."""
PREFERRED_CELL = "1x32"
SAMPLES_FOR_P99 = 300  # of which the slowest three lie beyond it
Check = dict[str, Any]


def words(name: str) -> str:
    """`vocabulary_kept` as `vocabulary kept`."""
    return name.replace("_", " ")


def metrics(report: dict[str, Any]) -> list[dict[str, str]]:
    """The metrics of a report as `MeasuredMetric` has them, the primary one first, then those that models have besides
    (a calibration error). A report from before it named them has accuracy first."""
    named = report.get("metrics") or [ACCURACY]
    known = {metric["name"] for metric in named} | {"nonfinite_rows"}
    besides = dict.fromkeys(name for candidate in report["candidates"] for name in candidate["metrics"])
    return named + [
        {"name": name, "title": METRICS.get(name, words(name)), "unit": "share" if name in METRICS else ""}
        for name in besides
        if name not in known
    ]


def main_metrics(report: dict[str, Any]) -> list[dict[str, str]]:
    """Those of `metrics` that stand in the table of models: the primary one, and what tells most beside it."""
    primary, *others = metrics(report)
    return [primary, *(metric for metric in others if metric["name"] in BESIDE.get(primary["name"], ()))]


def quality(candidate: dict[str, Any], metric: dict[str, str]) -> str:
    """A candidate's value of a metric: `98.63%`, `0.531 °C`."""
    value = candidate["metrics"].get(metric["name"])
    if metric["unit"] == "share" or value is None:
        return share(value)
    return f"{value:.4g} {metric['unit']}".rstrip()


def model(name: str, runtime: str = "") -> str:
    """A candidate's name.

    Args:
        runtime: what computes its answers, which tells one task's baseline from another's.
    """
    return f"baseline ({runtime})" if runtime in ("lookup", "overlap", "n-grams") else MODELS.get(name, name)


def kind(report: dict[str, Any]) -> str:
    """What the rows have: `tags`, `answers`, or as data.labels says `one` label, `several` or a `number`; a report from
    before there were several has one."""
    recipe = report["recipe"]
    return HAVE.get(recipe.get("task")) or recipe.get("data", {}).get("labels", "one")


def apart(value: float | None, metric: dict[str, str]) -> str:
    """A difference of two values of a metric: in points of a share, else in its own unit."""
    return change(value, "points" if metric["unit"] == "share" else metric["unit"])


def change(value: float | None, unit: str) -> str:
    """A difference with its sign and without its unit: `−0.42` points, `+0.0031`.

    Args:
        unit: as `Metric.margin_unit` has it.
    """
    if value is None or unit in LOSSES:
        return signed_points(value)
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def baseline(report: dict[str, Any]) -> str:
    """What a model has to beat."""
    return next((BASELINES[one["runtime"]] for one in report["candidates"] if one["runtime"] in BASELINES), "TF-IDF")


def capital(text: str) -> str:
    """The text with a capital."""
    return _capital(text)


def provider(name: str) -> str:
    """`CUDA` for the recipe's `cuda` and for onnxruntime's `CUDAExecutionProvider`."""
    short = name.removesuffix("ExecutionProvider").lower()
    return PROVIDERS.get(short, name)


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
    """`8.69×`; 0 stands for what nobody measured. Few timings have bounds that say no more than that they are far."""
    if not value:
        return MISSING
    if value < LEAST_FACTOR:
        return f"under {LEAST_FACTOR:g}×"
    return f"over {MOST_FACTOR:,}×" if value > MOST_FACTOR else f"{value:.2f}×"


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
    """A check's value or threshold with its unit; points have their sign, and so have parts of the reference's value,
    in percent."""
    if value is None:
        return "not measured"
    if unit == "points":
        return f"{_signed(100 * value)} points"
    if unit == "relative":
        return f"{_signed(100 * value)}%"
    if unit in ("nodes", "requests", "looks"):
        return f"{value:,.0f} {unit if value != 1 else unit[:-1]}"
    known = {"share": share, "x": factor, "bytes": size}
    if unit in known and value:
        return known[unit](value)
    return share(value) if unit == "share" else f"{'−' if value < 0 else ''}{abs(value):.4g} {unit}".strip()


def check_name(check: Check) -> str:
    """What a check is about, told from others of its name."""
    name, subject = str(check["name"]), str(check.get("subject", ""))
    if name.endswith("_difference"):
        metric = name.removesuffix("_difference")
        other, _, how = subject.partition(", ")
        perturbed = f" {PERTURBED.get(how, how)}," if how else ""
        return _capital(f"{METRICS.get(metric, words(metric))}{perturbed} against the {other}'s")
    if name == "required_provider":
        return f"Nodes on {provider(subject)}, the required provider"
    if name == "slice":
        return f"Slice {subject}"
    if name == "accuracy_above_baseline" and subject:
        return f"The {subject}'s accuracy above TF-IDF's"
    if name.endswith("_above_baseline") and name not in CHECKS:
        metric = name.removesuffix("_above_baseline")
        owner = f"The {subject}'s " if subject else ""
        return _capital(f"{owner}{METRICS.get(metric, words(metric))} better than the baseline's")
    known = CHECKS.get(name, _capital(words(name)))
    return f"{known} {'at' if name == 'p95' else 'of'} {subject}" if subject else known


def check_value(check: Check) -> str:
    """What was measured: `−0.42 points`, `7.85×`, `32 of 32`."""
    value, rows = check["value"], check.get("rows")
    if value is not None and check["name"] == "serves" and rows:
        return f"{round(value * rows):,} of {rows:,}"
    return measured(value, check.get("unit", ""))


def check_demand(check: Check) -> str:
    """What a check asks: `at least 98.50%`, `no more than 2.00 points below`."""
    threshold, unit, direction = check["threshold"], check.get("unit", ""), check["direction"]
    if check["name"] == "serves":
        return "all of them"
    if check["name"] == "parity":
        if not unit:
            return f"logits at most {threshold:g} apart"
        kind = "of the labels the same" if direction == "at_least" else "of the logits' spread apart"
        return f"{DIRECTIONS[direction]} {measured(threshold, unit)} {kind}"
    if direction == "above" and threshold < 0:
        known = f"{-100 * threshold:.2f}{LOSSES[unit]}" if unit in LOSSES else f"{measured(-threshold, unit)} below"
        return f"no more than {known}"
    if unit == "points" and threshold == 0:
        return "above 0 points"
    if unit != "x":
        plain = measured(threshold, unit)
    else:  # as it was asked, however far it is
        plain = f"{threshold:,.2f}×" if threshold >= LEAST_FACTOR else f"{threshold:g}×"
    return f"{DIRECTIONS[direction]} {plain}"


def look(report: dict[str, Any]) -> str:
    """Which verdict on the same test rows it is, and what that costs; empty where nobody counted."""
    if not report.get("look"):
        return ""
    whole = _percent(report["recipe"]["gate"]["level"])
    return (
        f"look {report['look']} on these test rows: it accepts at level {_percent(report['level'])}, so that all looks "
        f"together err at most {whole} of the time"
    )


def check_bound(check: Check) -> str:
    """The end of the interval that decides: `lower bound −1.31 at level 5%`, and of what is refused the other, which
    does not reach the threshold either; both of what is open; empty of a value that has no interval."""
    unit = check.get("unit", "")

    def bound(side: str) -> str:
        return measured(check[side], unit).removesuffix(" points")

    refuses = "high" if check["direction"] != "at_most" else "low"
    levels = {side: check.get("level") for side in ("low", "high")}
    levels[refuses] = check.get("refusal_level") or check.get("level")
    if check.get("verdict") == "INCONCLUSIVE":
        if None in (check.get("low"), check.get("high"), check.get("level")):
            return ""
        if _percent(levels["low"]) == _percent(levels["high"]):
            return f"between {bound('low')} and {bound('high')} at level {_percent(levels['low'])}"
        low, high = (f"{bound(side)} (level {_percent(levels[side])})" for side in ("low", "high"))
        return f"between {low} and {high}"
    side = refuses if check.get("verdict") == "REJECTED" else ("low" if refuses == "high" else "high")
    if check.get(side) is None or levels[side] is None:
        return ""
    return f"{'upper' if side == 'high' else 'lower'} bound {bound(side)} at level {_percent(levels[side])}"


def cell_of(latency: dict[str, Any]) -> str:
    """What was timed, as recipes write it: `1x32`, or `1x128+1` for one more token behind a text of 128."""
    return f"{latency['batch']}x{latency['length']}{'+1' if latency.get('decoded') else ''}"


def cell_title(cell: str) -> str:
    """`1×32`."""
    return cell.replace("x", "×")


def headline_cell(candidates: list[dict[str, Any]]) -> str | None:
    """The batch x length that one latency is quoted at: 1x32 where it was measured, else the first that was."""
    cells = [cell_of(latency) for candidate in candidates for latency in candidate["latency"]]
    return PREFERRED_CELL if PREFERRED_CELL in cells else cells[0] if cells else None


def latency_at(candidate: dict[str, Any], cell: str | None) -> float | None:
    """Median milliseconds of a candidate at a batch x length."""
    found = [entry["p50_ms"] for entry in candidate["latency"] if cell_of(entry) == cell]
    return found[0] if found else None


def from_text_at(candidate: dict[str, Any], cell: str | None) -> float | None:
    """Median milliseconds from the text on, tokenizing included."""
    found = [entry["from_text_ms"] for entry in candidate["latency"] if cell_of(entry) == cell]
    return (found[0] or None) if found else None


def percentile_99(latency: dict[str, Any]) -> float | None:
    """The 99th percentile where enough calls were timed to know it."""
    return latency["p99_ms"] if latency["samples"] >= SAMPLES_FOR_P99 else None


def signed_points(value: float | None) -> str:
    """A difference of two shares in points, with its sign and without the unit: `−0.42`."""
    return MISSING if value is None else _signed(100 * value)


def _signed(value: float) -> str:
    shown = f"{abs(value):.2f}"
    return shown if float(shown) == 0 else f"{'−' if value < 0 else '+'}{shown}"


def _percent(level: float | None) -> str:
    return f"{100 * (level or 0):.2g}%"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _three_digits(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    decimals = 3 if abs(value) < 0.1 else 3 - len(str(int(abs(value))))
    return f"{value:.{decimals}f}"
