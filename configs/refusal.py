"""What is wrong with a setting, in words: its key, the value, the rule, and the way out."""

import difflib
from collections.abc import Iterator
from typing import Any

from hone.configs.section import Section

RULES = {
    "int_type": "it has to be a whole number",
    "int_parsing": "it has to be a whole number",
    "int_parsing_size": "it has to be a smaller whole number",
    "int_from_float": "it has to be a whole number",
    "float_type": "it has to be a number",
    "float_parsing": "it has to be a number",
    "finite_number": "it has to be a finite number",
    "bool_type": "it has to be true or false",
    "bool_parsing": "it has to be true or false",
    "string_type": "it has to be text; put quotes around a value that is to be text",
    "list_type": "it has to be a list, as [a, b]",
    "greater_than": "it has to be more than {gt}",
    "greater_than_equal": "it has to be {ge} or more",
    "less_than": "it has to be less than {lt}",
    "less_than_equal": "it has to be {le} or less",
    "string_too_short": "it has to have {min_length} or more characters",
    "string_too_long": "it has to have at most {max_length} characters",
    "too_short": "the list has to have {min_length} or more values",
    "too_long": "the list has to have at most {max_length} values",
    "string_pattern_mismatch": "it has to be {pattern}",
    "literal_error": "it has to be {expected}",
}
"""By pydantic's name of the kind of error; in braces what pydantic tells of it."""
PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "of letters, digits, dots, - and _, and begin with a letter or a digit",
    r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*$": "TYPE/NAME of a block of Prefect, such as slack-webhook/team",
    r"^[1-9]\d*x[1-9]\d*(\+1)?$": "BATCHxLENGTH, such as 32x128, or BATCHxLENGTH+1",
}
"""What the patterns of settings mean."""
CLOSED = ("model_type", "model_attributes_type", "dict_type")


def explain(problem: dict[str, Any], root: type[Section]) -> str:
    """One error of pydantic as a line.

    Args:
        problem: as `ValidationError.errors` gives it.
        root: what was validated.
    """
    location = [str(part) for part in problem["loc"]]
    key, kind = ".".join(location) or "the recipe", problem["type"]
    if kind == "extra_forbidden":
        return _unknown(location, problem["input"], root)
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind == "missing":
        return f"{key}: missing; every recipe needs it"
    shown = f"{key} is empty" if problem["input"] is None else f"{key} = {problem['input']!r}"
    if kind in CLOSED:
        inner = _allowed(_reach(root, location))
        return f"{shown}: it has to be a section with keys of its own ({', '.join(inner)}), or to be left out"
    rule = RULES.get(kind)
    if rule is None:
        return f"{shown}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    told = rule.format_map({name: _plain(value) for name, value in problem.get("ctx", {}).items()})
    for pattern, meaning in PATTERNS.items():
        told = told.replace(pattern, meaning)
    return f"{shown}: {told}{_way_out(problem, location, root)}"


def _way_out(problem: dict[str, Any], location: list[str], root: type[Section]) -> str:
    """What to write instead: the choice that was meant, or nothing, where there is a default."""
    if problem["type"] == "literal_error":
        choices = [choice for choice in str(problem["ctx"]["expected"]).split("'") if choice.strip(" ,or")]
        if near := difflib.get_close_matches(str(problem["input"]), choices, n=1):
            return f"; did you mean {near[0]}?"
    field = _field(root, location)
    if field is None or field.is_required() or field.get_default() in ("", []):
        return ""
    return f"; leave the key out for its default, {_plain(field.get_default())}"


def _unknown(location: list[str], value: Any, root: type[Section]) -> str:
    allowed = _allowed(_reach(root, location[:-1]))
    near = difflib.get_close_matches(location[-1], allowed, n=1)
    key = ".".join(location)
    if not near and len(location) == 1:  # a setting without its section
        near = [f"{name}.{key}" for name, section in _sections(root) if key in section.model_fields][:3]
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{key} = {value!r}: unknown key{meant}; allowed here: {', '.join(allowed)}"


def _allowed(section: Any) -> list[str]:
    return sorted(field.alias or name for name, field in section.model_fields.items())


def _reach(root: type[Section], location: list[str]) -> Any:
    """The section at a key."""
    section: Any = root
    for part in location:
        section = _named(section, part).annotation
    return section


def _field(root: type[Section], location: list[str]) -> Any:
    """The field that a key names; None of a value inside a list."""
    section: Any = root
    for part in location[:-1]:
        section = getattr(_named(section, part), "annotation", None)
        if not hasattr(section, "model_fields"):
            return None
    return _named(section, location[-1])


def _named(section: Any, key: str) -> Any:
    for name, field in section.model_fields.items():
        if key in (name, field.alias):
            return field
    return None


def _sections(root: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for name, field in root.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield field.alias or name, field.annotation


def _plain(value: Any) -> str:
    """As one writes it in a recipe."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list) else str(value)
