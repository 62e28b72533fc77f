"""Names of answers in a model's config, as plain transformers reads them."""

from typing import Any


def named(labels: list[str]) -> dict[str, Any]:
    """The config's fields.

    Args:
        labels: names of the labels, or of the tags, by id.
    """
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: index for index, name in enumerate(labels)},
    }
