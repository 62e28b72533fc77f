"""Whoever forgets a task is told, and does not get that of texts."""

import ast
from pathlib import Path

from hone.configs import recipe

ROOT = Path(recipe.__file__).resolve().parents[1]
SAYS_IT = {
    "configs/recipe.py",  # its default is the recipe's
    "tasks/model/runtime/runtime.py",  # as folders say that were exported before there was another task
    "tasks/objectives/text_classification/learning.py",  # its own name
}


def assumed(file: Path) -> list[int]:
    """Lines with a task as the default of a parameter or of a field."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        defaults = [*node.defaults, *node.kw_defaults] if isinstance(node, ast.arguments) else []
        defaults += [node.value] if isinstance(node, ast.AnnAssign) else []
        found += [
            one.lineno for one in defaults if isinstance(one, ast.Constant) and one.value == "text-classification"
        ]
    return found


def test_no_function_and_no_field_takes_texts_with_labels_for_granted() -> None:
    files = [file for folder in ("configs", "tasks", "flows") for file in sorted((ROOT / folder).rglob("*.py"))]
    found = {file.relative_to(ROOT).as_posix(): assumed(file) for file in files}
    assert {name for name, lines in found.items() if lines} == SAYS_IT
