"""Label values to label ids and names, the same in every split."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hone.tasks.data.clean import Collected
from hone.tasks.data.rows import BadRowLog
from hone.tasks.errors import DataError

SHOWN = 10


def name_labels(values: Sequence[str], names: Sequence[str], known: dict[str, str]) -> list[str]:
    """Names of sorted label values: those set in the recipe, else those the source knows, else the values.

    Raises:
        DataError: when there are fewer than two labels, or the names are not one for each value, all different.
    """
    if len(values) < 2:
        raise DataError(
            f"the training split has {len(values)} labels ({', '.join(values) or 'none'}), and a classifier needs at "
            "least 2: check data.label_column and the training rows"
        )
    if names and len(names) != len(values):
        shown = ", ".join(values[:20]) + (", ..." if len(values) > 20 else "")
        raise DataError(
            f"data.label_names has {len(names)} names ({', '.join(names)}), and the training split {len(values)} label "
            f"values ({shown}): name each value, in this order, or leave data.label_names empty"
        )
    named = list(names) or [known.get(value, value) for value in values]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(
            f"data.label_names: {', '.join(twice)} names several label values ({', '.join(values)}): names differ"
        )
    return named


def number_labels(collected: Collected, split: str, values: Sequence[str], bad: BadRowLog) -> pa.Table:
    """The split with each label as its place in `values`; rows with other labels are recorded and left out."""
    places = {value: index for index, value in enumerate(values)}
    renumbered = np.array([places.get(value, -1) for value in collected.values], dtype=np.int32)
    if not len(renumbered):
        return collected.table
    labels = renumbered[collected.table["label"].to_numpy()]
    known = labels >= 0
    bad.add_all("unknown_label", split, collected.table["line"].to_numpy()[~known].tolist())
    if not known.all():
        counts = Counter(collected.table["label"].to_numpy()[~known].tolist())
        seen = [f"{collected.values[label]!r} ({count:,})" for label, count in counts.most_common()]
        bad.explain("unknown_label", f"{split} has {some(seen)}, and training {some(list(map(repr, values)))}")
    index = collected.table.schema.get_field_index("label")
    return collected.table.set_column(index, "label", pa.array(labels)).filter(pa.array(known))


def some(shown: list[str]) -> str:
    """The first of several things to show, and how many more there are."""
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN:,} more" if len(shown) > SHOWN else "")
