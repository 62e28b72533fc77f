"""Tags of words to ids and names: in IOB2, the same in every split."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from hone.tasks.data.clean import Collected
from hone.tasks.data.labels import some
from hone.tasks.data.rows import BadRowLog
from hone.tasks.errors import DataError
from hone.tasks.objectives.token_classification.tags import (
    Scheme,
    TagError,
    detect_scheme,
    tag_names,
    to_iob2,
    type_names,
)


def number_tags(
    found: Mapping[str, Collected], names: Sequence[str], known: Mapping[str, str], bad: BadRowLog
) -> tuple[dict[str, pa.Table], list[str]]:
    """The splits with their tags in IOB2 and numbered, and the tags' names by id.

    The scheme is the one that training's tags keep to. A sentence that breaks it is recorded and left out, as is one in
    validation or test with a type of entity that training lacks.

    Args:
        found: as `collect_sentences` returns them.
        names: of tags that are numbers, the name of 0 first.
        known: names by value, where the source has them.

    Raises:
        DataError: when tags are numbers without names.
    """
    written = {split: _named(collected.values, names, known, split) for split, collected in found.items()}
    scheme = detect_scheme([written["train"][tag] for tag in tags] for tags in found["train"].table["tags"].to_pylist())
    normal = {
        split: _in_iob2(collected.table, written[split], scheme, split, bad) for split, collected in found.items()
    }
    types = type_names(tag for tags in normal["train"][1] for tag in tags)
    tags = tag_names(types)
    return {split: _numbered(table, rows, tags, split, bad) for split, (table, rows) in normal.items()}, tags


def check_types(tags: list[str]) -> None:
    """Whether training has entities, by the names of its tags.

    Raises:
        DataError: when it has none.
    """
    if not type_names(tags):
        raise DataError(
            "the training split has no entity, as each of its tags is O: check data.tags_column and the training rows"
        )


def _in_iob2(
    table: pa.Table, names: list[str], scheme: Scheme, split: str, bad: BadRowLog
) -> tuple[pa.Table, list[list[str]]]:
    """The sentences that keep to the scheme, and their tags in IOB2."""
    kept: list[int] = []
    sentences: list[list[str]] = []
    lines = table["line"].to_pylist()
    wrong: Counter[str] = Counter()
    for index, values in enumerate(table["tags"].to_pylist()):
        tags = [names[value] for value in values]
        try:
            sentences.append(to_iob2(tags, scheme))
            kept.append(index)
        except TagError as error:
            bad.add(error.kind, split, lines[index])
            if error.kind == "unknown_prefix":
                wrong[tags[error.word]] += 1
    if wrong:
        seen = some([f"{tag!r} ({count:,})" for tag, count in wrong.most_common()])
        bad.explain("unknown_prefix", f"{split} has {seen}, and its scheme is {scheme}")
    return table.take(pa.array(kept, pa.int64())), sentences


def _numbered(table: pa.Table, sentences: list[list[str]], names: list[str], split: str, bad: BadRowLog) -> pa.Table:
    """The split with its tags as numbers, less sentences with a type that training lacks."""
    ids = {name: index for index, name in enumerate(names)}
    kept: list[int] = []
    tags: list[list[int]] = []
    unknown: Counter[str] = Counter()
    lines = table["line"].to_pylist()
    for index, sentence in enumerate(sentences):
        others = set(type_names(sentence)) - set(type_names(names)) if not ids.keys() >= set(sentence) else set()
        if others:
            bad.add("unknown_label", split, lines[index])
            unknown.update(others)
        else:
            kept.append(index)
            tags.append([ids[tag] for tag in sentence])
    if unknown:
        seen = some([f"{kind!r} ({count:,})" for kind, count in unknown.most_common()])
        bad.explain("unknown_label", f"{split} has {seen}, and training {some(list(map(repr, type_names(names))))}")
    column = table.schema.get_field_index("tags")
    return table.take(pa.array(kept, pa.int64())).set_column(column, "tags", pa.array(tags, pa.list_(pa.int32())))


def _named(values: Sequence[str], names: Sequence[str], known: Mapping[str, str], split: str) -> list[str]:
    """Tags by the places of their values: numbers by the names that the recipe or the source has for them."""
    numbers = [value for value in values if value.removeprefix("-").isdecimal()]
    known = {str(index): name for index, name in enumerate(names)} or known
    without = [value for value in numbers if value not in known and not value.startswith("-")]  # -100: no tag
    if without:
        raise DataError(
            f"{split} has tags that are numbers without a name, {some(without)}: set data.label_names to the names, "
            "that of 0 first, such as [O, B-PER, I-PER]"
        )
    if names and len(numbers) < len(values):
        written = [value for value in values if value not in numbers]
        raise DataError(
            f"data.label_names is set, and {split} has tags with names of their own, {some(written)}: leave "
            "data.label_names empty"
        )
    return [known.get(value, value) for value in values]
