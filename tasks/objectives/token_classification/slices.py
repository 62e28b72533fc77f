"""Parts of the test that are looked at for themselves: by type of entity, and by whether training had the entity."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.token_classification.tags import entities, type_names

Key = tuple[str, ...]
Mask = npt.NDArray[np.bool_]


def entity_keys(words: Sequence[str], tags: Sequence[str]) -> Iterator[Key]:
    """The entities of a sentence by their words, whatever their case and type."""
    return (tuple(word.casefold() for word in words[entity.start : entity.end]) for entity in entities(tags))


def known_entities(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> set[Key]:
    """All entities of the training split."""
    return {key for words, marks in zip(sentences, tags, strict=True) for key in entity_keys(words, marks)}


def slices(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], known: Collection[Key]
) -> dict[str, Mask]:
    """Sentences [sentences] of each slice: `type = person` has such an entity; of those with entities, `entities =
    seen` have none that is new, and `entities = new` one at least.

    Args:
        tags: true ones, in IOB2.
        known: as `known_entities` returns them.
    """
    of_types = [set(type_names(marks)) for marks in tags]
    masks = {
        f"type = {kind}": np.array([kind in of for of in of_types], np.bool_) for kind in sorted(set().union(*of_types))
    }
    some = np.array([any(True for _ in entities(marks)) for marks in tags], np.bool_)
    new = np.array(
        [any(key not in known for key in entity_keys(*both)) for both in zip(sentences, tags, strict=True)], np.bool_
    )
    return masks | {"entities = seen": some & ~new, "entities = new": new}
