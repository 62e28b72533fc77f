"""Which code shapes a stage's result: found by reading its imports, without running any.

Of a module that is imported as a whole, all of it counts; of one that definitions are imported from, these and what
they use, on to the end of the chain, imports inside functions included. Comments, docstrings and imports for the type
checker alone do not count, and neither do the modules of `MACHINERY`.
"""

import ast
import contextlib
import functools
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from hone.tasks import disk, version

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tasks", "configs")
TOP = "hone."
"""A module counts by its name without that of the package that all of them may lie in."""
WHOLE = "*"
MACHINERY = (
    "tasks.stage", "tasks.cache", "tasks.code", "tasks.store", "tasks.storage", "tasks.disk", "tasks.lease",
    "tasks.manifest", "tasks.progress", "tasks.tracking", "tasks.version", "tasks.errors", "tasks.contracts",
    "configs.recipe",
)  # fmt: skip
"""Modules, and packages, that carry results about and tell of them, and shape none. What was written under other
contracts is not read, whatever its key (see `cache.StageCache.find`), and settings count by their values."""
DISTURBED_AT_MOST = 20
"""Another thread has to begin and end within one parsing to disturb it."""
ASKED_TOO = ("tasks.dry_run", "tasks.model.teacher.inference", "tasks.model.tokenized")
"""Modules beside the stages' own whose code names what is filed."""
KEPT = "code"
"""Begins the name of the file that keeps what was read: reading it again takes two seconds."""

_kept: dict[str, dict[str, str]] = {}
"""By module, of the code of this process."""


@dataclass
class _Module:
    """A parsed file."""

    name: str
    path: Path
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name here: module, and name there or `WHOLE`."""
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that do something when the module is imported, whoever imports it."""
    texts: dict[int, str] = field(default_factory=dict)
    """Line to a statement as text."""
    references: dict[int, set[tuple[str, str]]] = field(default_factory=dict)
    """Line to what a statement refers to: most stages share most of their code."""

    def text(self, statement: ast.stmt) -> str:
        """A statement without comments and line breaks."""
        if statement.lineno not in self.texts:
            self.texts[statement.lineno] = ast.unparse(statement)
        return self.texts[statement.lineno]


def digests(start: str, root: Path = ROOT) -> dict[str, str]:
    """File, from `root`, to digest of the code in it that a module runs: its own and what it imports of `PACKAGES`."""
    start = start.removeprefix(TOP)
    if root == ROOT and start in _kept:
        return dict(_kept[start])
    used: dict[str, dict[int, str]] = {}
    names: dict[str, set[str]] = {}
    seen, todo = set(), [(start, WHOLE)]
    while todo:
        imported = todo.pop()
        if imported in seen or (imported[0] != start and _is_machinery(imported[0])):
            continue
        seen.add(imported)
        module = _module(*imported, root)
        if module is None:
            continue
        key = module.path.relative_to(root).as_posix()
        statements, more = _statements(module, imported[1])
        todo += more
        for statement in statements:
            used.setdefault(key, {})[statement.lineno] = module.text(statement)
            for reference in _references(statement, module, root):
                if reference[0].partition(".")[0] in PACKAGES:
                    todo.append(reference)
                if reference[0] != module.name:
                    names.setdefault(key, set()).add(":".join(reference))
    return {
        key: _digest([*(by_line[line] for line in sorted(by_line)), *sorted(names.get(key, ()))])
        for key, by_line in sorted(used.items())
    }


def read_stages(folder: Path) -> None:
    """Reads the code of every stage ahead, so that none is parsed once a run has threads (see `syntax_tree`): the one
    that starts Ray imports torch, which parses too, and fails as well if it is the one that is disturbed. What was
    found is kept in the folder under the digest of all code, for the next process."""
    file = folder / f"{KEPT}-{version.code_digest()}.json"
    found, _reason = disk.read_json(file)
    if found and "modules" in found:
        _kept.update(found["modules"])
        return
    stages = [f"tasks.{path.parent.name}.task" for path in sorted((ROOT / "tasks").glob("*/task.py"))]
    _kept.update({module: digests(module) for module in [*stages, *ASKED_TOO]})
    with contextlib.suppress(OSError):  # whatever is wrong with the folder, others say it better
        disk.write_text(file, json.dumps({"modules": _kept}))


def syntax_tree(source: str | bytes) -> ast.Module:
    """What Python code says, whatever other threads parse meanwhile.

    Before 3.11.8 and 3.12.2, CPython counts the depth of all threads' trees in one place and takes what another one
    left there for a fault of this one (python/cpython#106905).

    Raises:
        SyntaxError, ValueError, RecursionError: as `ast.parse`.
    """
    for _attempt in range(DISTURBED_AT_MOST):
        try:
            return ast.parse(source)
        except SystemError as error:
            if "depth mismatch" not in str(error):
                raise
    return ast.parse(source)


def code_digest(source: str) -> str:
    """Digest of what Python code says: comments, line breaks and docstrings aside."""
    return _digest([ast.unparse(_bare(syntax_tree(source)))])


def _module(name: str, definition: str, root: Path) -> _Module | None:
    path = _file(name, root)
    if path is None:
        if definition != WHOLE:  # a definition of a package that has no file of this name
            return None
        raise FileNotFoundError(f"{root / name.replace('.', '/')}: imported by a stage's code, and absent")
    return _parse(name, path, path.stat().st_mtime_ns)


def _file(name: str, root: Path) -> Path | None:
    place = root.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.lru_cache(maxsize=512)
def _parse(name: str, path: Path, _changed: int) -> _Module:
    module = _Module(name, path)
    for statement in _bare(syntax_tree(path.read_text(encoding="utf-8"))).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            module.imported |= _bindings(statement, module)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            module.defined.setdefault(statement.name, []).append(statement)
            own = {name.id for decorator in statement.decorator_list for name in _names(decorator)}
            if any(module.imported.get(name, ("",))[0].partition(".")[0] in PACKAGES for name in own):
                module.effects.append(statement)  # our own decorators may file it somewhere
        elif _for_types_alone(statement):
            continue
        else:
            targets = _targets(statement)
            for target in targets:
                module.defined.setdefault(target, []).append(statement)
            if not targets:
                module.effects.append(statement)
    return module


def _statements(module: _Module, definition: str) -> tuple[list[ast.stmt], list[tuple[str, str]]]:
    """What of a module counts where `definition` is imported from it, and what of other modules."""
    if definition == WHOLE:
        everything = [statement for statements in module.defined.values() for statement in statements]
        ours = [target for target in module.imported.values() if target[0].partition(".")[0] in PACKAGES]
        return [*everything, *module.effects], ours
    if definition in module.defined:
        return [*module.defined[definition], *module.effects], []
    if definition in module.imported:
        return module.effects, [module.imported[definition]]
    return module.effects, [(f"{module.name}.{definition}", WHOLE)] if module.path.name == "__init__.py" else []


def _references(statement: ast.stmt, module: _Module, root: Path) -> set[tuple[str, str]]:
    if statement.lineno in module.references:
        return module.references[statement.lineno]
    result: set[tuple[str, str]] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            result |= set(_bindings(node, module).values())
        elif isinstance(node, ast.Name):
            if node.id in module.imported:
                result.add(module.imported[node.id])
            elif node.id in module.defined:
                result.add((module.name, node.id))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            result |= _started(node.value, module, root)
    module.references[statement.lineno] = result
    return result


def _started(text: str, module: _Module, root: Path) -> set[tuple[str, str]]:
    """A module that is started as a process of its own stands in the code as its name, or its file's beside this."""
    if re.fullmatch(r"(hone\.)?(tasks|configs)(\.\w+)+", text) and _file(text.removeprefix(TOP), root):
        return {(text.removeprefix(TOP), WHOLE)}
    if re.fullmatch(r"\w+\.py", text) and (module.path.parent / text).is_file():
        package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
        return {(f"{package}.{text.removesuffix('.py')}", WHOLE)}
    return set()


def _bindings(statement: ast.Import | ast.ImportFrom, module: _Module) -> dict[str, tuple[str, str]]:
    if isinstance(statement, ast.Import):
        return {(a.asname or a.name.partition(".")[0]): (a.name.removeprefix(TOP), WHOLE) for a in statement.names}
    package = (statement.module or "").removeprefix(TOP)
    if statement.level:
        up = module.name.split(".")
        up = up[: len(up) - statement.level + (module.path.name == "__init__.py")]
        package = ".".join([*up, *([statement.module] if statement.module else [])])
    bound = {}
    for alias in statement.names:
        inner = module.path.parents[module.name.count(".") + (module.path.name == "__init__.py")].joinpath(
            *package.split("."), alias.name
        )
        is_module = inner.with_suffix(".py").is_file() or (inner / "__init__.py").is_file()
        bound[alias.asname or alias.name] = (f"{package}.{alias.name}", WHOLE) if is_module else (package, alias.name)
    return bound


def _targets(statement: ast.stmt) -> list[str]:
    """Names that an assignment defines; none where it does anything else."""
    if isinstance(statement, ast.Assign):
        places = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        places = [statement.target]
    else:
        return []
    parts = [part for place in places for part in (place.elts if isinstance(place, ast.Tuple) else [place])]
    return [part.id for part in parts if isinstance(part, ast.Name)] if _all_names(parts) else []


def _all_names(parts: list[ast.expr]) -> bool:
    return all(isinstance(part, ast.Name) for part in parts)


def _names(node: ast.AST) -> list[ast.Name]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]


def _for_types_alone(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(name.id == "TYPE_CHECKING" for name in _names(statement.test))


def _bare(tree: ast.Module) -> ast.Module:
    """Without strings that are statements: docstrings of modules, classes, functions and fields."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            node.body = kept or ([] if isinstance(node, ast.Module) else [ast.Pass()])  # type: ignore[attr-defined]
    return tree


def _is_machinery(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in MACHINERY)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
