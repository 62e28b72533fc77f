"""A corpus that every machine has: docstrings, labelled by the library they come from, asked about their parameters, or
each as a document.

The source files are parsed, not imported: it runs nobody's code, takes seconds instead of minutes, and gives the same
rows in the same order everywhere. Docstrings of compiled extensions are lost by it.
"""

import ast
import hashlib
import importlib.util
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hone.configs.data import DataSettings
from hone.tasks.code import syntax_tree
from hone.tasks.data.parameters import questions
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError

SHORTEST, LONGEST = 20, 300  # characters of a first paragraph that says something and still is one
LEFT_OUT = {"tests", "test", "externals", "_vendor"}  # folders of tests, and of other libraries' copied code
PREVIEW_ROWS = 200  # of each library


class DocstringSource:
    """First paragraphs of the docstrings of installed libraries; where `data.context_column` is set, questions about
    the parameters that they explain; where `data.document_column` is, whole docstrings."""

    splits = ("train",)

    def __init__(self, settings: DataSettings, preview: bool = False) -> None:
        """Finds the source files of the libraries.

        Raises:
            DataError: naming every library that is not installed or has no Python source.
        """
        found = {name: _source_files(name) for name in dict.fromkeys(settings.libraries)}
        absent = [name for name, files in found.items() if not files]
        if absent:
            raise DataError(
                f"data.libraries: no Python source of {', '.join(absent)} on this machine: name top-level packages as "
                "they are imported (sklearn, not scikit-learn) and install what is missing"
            )
        self._files, self._asks, self._whole = found, bool(settings.context_column), bool(settings.document_column)
        self._limit = PREVIEW_ROWS if preview else None
        self._places: list[str] = []
        self._read: dict[str, str] = {}

    def rows(self, split: str, bad: BadRowLog) -> Iterator[RawRow]:
        """All libraries' docstrings, library by library, file by file in the order of their names."""
        self._places.clear()
        for library, files in self._files.items():
            read: dict[str, str] = {}
            rows: Iterator[tuple[str, str, str | None, object]]
            if self._asks:
                rows = _questions(files, bad, read)
            elif self._whole:
                rows = _documents(files, bad, read)
            else:
                rows = _paragraphs(files, bad, read, library)
            for place, text, context, label in islice(rows, self._limit):
                self._places.append(place)
                yield RawRow(len(self._places), text, context, label)
            self._read[f"{library} source"] = _together(read)

    def locate(self, split: str, line: int) -> str:
        """The docstring's file and line."""
        return self._places[line - 1]

    def label_names(self) -> dict[str, str]:
        """A library's name is its label."""
        return {}

    def digests(self) -> dict[str, str]:
        """sha256 of each library's source files."""
        return {
            f"{library} source": _together({name: _digest(path.read_bytes()) for name, path in files.items()})
            for library, files in self._files.items()
        }

    def read_digests(self) -> dict[str, str]:
        """The same of the files that `rows` has parsed."""
        return dict(self._read)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _together(digests: dict[str, str]) -> str:
    lines = "".join(f"{name}\0{digest}\n" for name, digest in digests.items())
    return f"sha256:{_digest(lines.encode())}"


def first_paragraph(docstring: str) -> str:
    """What stands before the first empty line, on one line."""
    lines: list[str] = []
    for line in docstring.strip().splitlines():
        if not line.strip():
            break
        lines.append(line)
    return " ".join(" ".join(lines).split())


def _source_files(library: str) -> dict[str, Path]:
    """A library's own source files by name, sorted; empty where there are none. Imports nothing."""
    if not library.isidentifier():  # finding a dotted name would import its parents
        return {}
    try:
        spec = importlib.util.find_spec(library)
    except ValueError:  # __main__ and the like
        return {}
    if spec is None:
        return {}
    if spec.submodule_search_locations is None:
        path = Path(spec.origin or "")
        return {path.name: path} if path.suffix == ".py" else {}
    files = {}
    for root in map(Path, spec.submodule_search_locations):
        for path in root.rglob("*.py"):
            inside = path.relative_to(root)
            if not LEFT_OUT & set(inside.parts) and not inside.name.startswith("test_"):
                files[f"{library}/{inside.as_posix()}"] = path
    return dict(sorted(files.items()))


def _paragraphs(
    files: dict[str, Path], bad: BadRowLog, read: dict[str, str], library: str
) -> Iterator[tuple[str, str, None, str]]:
    """Place, first paragraph and library of each docstring whose first paragraph is neither too short nor too long."""
    for place, docstring in _docstrings(files, bad, read):
        text = first_paragraph(docstring)
        if SHORTEST <= len(text) <= LONGEST:
            yield place, text, None, library


def _documents(files: dict[str, Path], bad: BadRowLog, read: dict[str, str]) -> Iterator[tuple[str, str, None, None]]:
    """Place and text of each docstring that is not too short, whole: of any length, with its lines."""
    for place, docstring in _docstrings(files, bad, read):
        if len(docstring) >= SHORTEST:
            yield place, docstring, None, None


def _questions(
    files: dict[str, Path], bad: BadRowLog, read: dict[str, str]
) -> Iterator[tuple[str, str, str, list[dict[str, object]]]]:
    """Place, question, context and answers."""
    for place, docstring in _docstrings(files, bad, read):
        for question, context, answers in questions(docstring):
            yield place, question, context, [{"text": text, "answer_start": start} for text, start in answers]


def _docstrings(files: dict[str, Path], bad: BadRowLog, read: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Place and text of each docstring.

    Args:
        read: is filled with the digest of each file.
    """
    for name, path in files.items():
        content = path.read_bytes()
        read[name] = _digest(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what others write in their code is not ours to warn of
                tree = syntax_tree(content)
        except (SyntaxError, ValueError, RecursionError):  # newer grammar, null bytes, generated code
            bad.add_file("unreadable_file", name)
            continue
        for node in _documented(tree):
            docstring = ast.get_docstring(node)
            if docstring:
                yield f"{name}:{node.body[0].lineno}", docstring


def _documented(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Whatever may have a docstring, in the order of the source.

    Looks into statements alone, as most nodes of a tree belong to expressions, which define nothing.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        for part in ("finalbody", "orelse", "handlers", "cases", "body"):
            inside = getattr(node, part, None)
            if isinstance(inside, list):  # the body of a lambda or a conditional expression is none
                waiting.extend(reversed(inside))
