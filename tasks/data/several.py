"""Several labels of a text: read from a list, or from a text with separators, and numbered alike in every split."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from hone.tasks.data.clean import Collected, Unusable, as_text, normalize_label
from hone.tasks.data.labels import some
from hone.tasks.data.rows import BadRowLog


class SeveralLabels:
    """Reads the labels of a text: a list, as JSONL and Parquet have it, or one text with the separator between them.
    No label at all is an answer too: an empty list, or nothing in a field; a value that is absent is a missing label.

    Args:
        separator: data.label_separator.
    """

    field = pa.field("labels", pa.list_(pa.int32()))
    """Places among the values, in the order of the row."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._as_text: Counter[str] = Counter()

    def read(self, value: object) -> list[str]:
        """The labels, each once.

        Raises:
            Unusable: `missing_label`, `list_as_text`, or what `as_text` finds.
        """
        if value is None:
            raise Unusable("missing_label")
        if isinstance(value, list):
            found = [normalize_label(as_text(label)) for label in value]
            if not all(found):
                raise Unusable("missing_label")
            return list(dict.fromkeys(found))
        text = as_text(value).strip()
        if text.startswith("[") and text.endswith("]"):
            self._as_text[text] += 1
            raise Unusable("list_as_text")
        labels = (normalize_label(label) for label in text.split(self._separator))
        return list(dict.fromkeys(label for label in labels if label))

    def number(self, read: list[str], values: dict[str, int]) -> list[int]:
        """Their places among the values, which grow by those that are new."""
        return [values.setdefault(label, len(values)) for label in read]

    def explain(self, split: str, bad: BadRowLog) -> None:
        """Shows lists that were written as text."""
        if self._as_text:
            seen = some([f"{text!r} ({count:,})" for text, count in self._as_text.most_common(3)])
            bad.explain(
                "list_as_text",
                f"{split} has {seen}: write the labels with {self._separator!r} between them (data.label_separator), "
                "or give JSONL or Parquet with real lists",
            )


def number_several(collected: Collected, split: str, values: Sequence[str], bad: BadRowLog) -> pa.Table:
    """The split with each label as its place in `values`, in rising order; rows with other labels are recorded and left
    out."""
    places = {value: index for index, value in enumerate(values)}
    renumbered = [places.get(value, -1) for value in collected.values]
    rows = [sorted(renumbered[label] for label in labels) for labels in collected.table["labels"].to_pylist()]
    known = [not labels or labels[0] >= 0 for labels in rows]
    lines = collected.table["line"].to_pylist()
    bad.add_all("unknown_label", split, [line for line, fine in zip(lines, known, strict=True) if not fine])
    if not all(known):
        counts = Counter(
            collected.values[label]
            for labels in collected.table["labels"].to_pylist()
            for label in labels
            if renumbered[label] < 0
        )
        seen = [f"{value!r} ({count:,})" for value, count in counts.most_common()]
        bad.explain("unknown_label", f"{split} has {some(seen)}, and training {some(list(map(repr, values)))}")
    index = collected.table.schema.get_field_index("labels")
    numbered = collected.table.set_column(index, SeveralLabels.field, pa.array(rows, SeveralLabels.field.type))
    return numbered.filter(pa.array(known, pa.bool_()))
