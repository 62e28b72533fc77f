"""Questions that docstrings answer: what the default of a parameter is, and its type, asked of numpydoc's sections of
parameters. Of a parameter without a default the question has no answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 700
"""Characters of a context: as many whole parameters of a section as fit, one after the other."""
LONGEST_ANSWER = 60
SECTION = re.compile(r"^(?:Other )?Parameters\n-{3,}\n((?:.*\n?)*?)(?=^\S.*\n-{3,}\n|\Z)", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}[A-Za-z_]\w*) : (\S.*)$")
DEFAULT = re.compile(r"\bdefaults?(?: value)?(?:\s*[=:]\s*|\s+(?:is|to)\s+|\s+)", re.IGNORECASE)
VALUE = re.compile(
    r"'[^'\n]*'|\"[^\"\n]*\"|``[^`\n]+``|\([^()\n]*\)|\[[^\[\]\n]*\]|-?\d[\d.]*(?:e[-+]?\d+)?\b"
    r"|[A-Za-z_][\w.]*(?:\([^()\n]*\))?"
)
TOLD = re.compile(r"None|True|False|.*[^A-Za-z].*")
"""Values that can be told from words of a sentence, wherever they stand."""
WORD = re.compile(r"\bdefault", re.IGNORECASE)
TYPE_ENDS = re.compile(r",?\s*\(?\b(?:optional|default)\b|\s*$")

Question = tuple[str, str, list[tuple[str, int]]]
"""The question, its context, and its answers with the first character of each."""


@dataclass(frozen=True)
class Parameter:
    """One entry of a section."""

    name: str
    text: str
    """What it is called, its type and the first paragraph of what is said of it."""
    type: tuple[int, int] | None
    """First character and end in `text`."""
    default: tuple[int, int] | None
    """Likewise; None where none is told."""
    mentions_default: bool
    """Whether the word is there at all: without it nobody could tell a default."""


def questions(docstring: str) -> Iterator[Question]:
    """What can be asked of a docstring's parameters, in their order.

    Args:
        docstring: without its indentation, as `ast.get_docstring` returns it.
    """
    for context, parameters in contexts(docstring):
        for parameter, place in parameters:
            if parameter.default:
                yield _question("default", parameter, context, place, parameter.default)
            elif not parameter.mentions_default:
                yield f"What is the default of {parameter.name}?", context, []
            if parameter.type:
                yield _question("type", parameter, context, place, parameter.type)


def contexts(docstring: str) -> Iterator[tuple[str, list[tuple[Parameter, int]]]]:
    """Pieces of the sections, each with its parameters and where they begin in it."""
    for section in SECTION.findall(docstring):
        several: list[tuple[Parameter, int]] = []
        context = ""
        for parameter in _parameters(section):
            if several and len(context) + 1 + len(parameter.text) > LONGEST:
                yield context, several
                several, context = [], ""
            if len(parameter.text) > LONGEST:
                continue
            context += "\n" if several else ""
            several.append((parameter, len(context)))
            context += parameter.text
        if several:
            yield context, several


def _parameters(section: str) -> Iterator[Parameter]:
    name, open_ = "", False
    lines: list[str] = []
    for line in [*section.splitlines(), "end : "]:
        entry = ENTRY.match(line)
        if line and not line[0].isspace():
            if name:
                yield _parameter(name, lines)
            name, lines, open_ = (entry[1], [line], True) if entry else ("", [], False)
        elif not line.strip():
            open_ = open_ and len(lines) < 2
        elif open_:
            lines.append(line.strip())


def _parameter(name: str, lines: list[str]) -> Parameter:
    head = lines[0]
    text = " ".join([head, *lines[1:]])
    begin = head.index(" : ") + 3
    ending = TYPE_ENDS.search(head[begin:])
    end = begin + ending.start() if ending else len(head)
    type_ = (begin, begin + len(head[begin:end].rstrip(" ,"))) if head[begin:end].strip(" ,") else None
    if type_ and type_[1] - type_[0] > LONGEST_ANSWER:
        type_ = None
    return Parameter(name.lstrip("*"), text, type_, _default(text), bool(WORD.search(text)))


def _default(text: str) -> tuple[int, int] | None:
    """Where a default stands; None where none is told in a way that is understood."""
    for match in DEFAULT.finditer(text):
        value = VALUE.match(text, match.end())
        if value is None:
            continue
        start, end = value.span()
        while text[end - 1] in ".," and end > start + 1:
            end -= 1
        if end - start > LONGEST_ANSWER or not (match[0].strip()[-1] in "=:" or TOLD.fullmatch(text[start:end])):
            continue
        return start, end
    return None


def _question(what: str, parameter: Parameter, context: str, place: int, span: tuple[int, int]) -> Question:
    start, end = place + span[0], place + span[1]
    return f"What is the {what} of {parameter.name}?", context, [(context[start:end], start)]
