"""The method that tasks/README.md adds, step by step, can be added like that."""

import re
import sys
import types
from pathlib import Path
from typing import get_args

from hone.configs.model import PruneSettings
from hone.tasks.prune import methods

README = Path(__file__).parents[2] / "tasks" / "README.md"
SECTION = README.read_text(encoding="utf-8").partition("## Adding a pruning method")[2].partition("\n## ")[0]


def test_the_example_of_the_readme_is_a_technique_and_passes_its_test(monkeypatch):
    file, line, choices, test = re.findall(r"```python\n(.*?)```", SECTION, re.S)
    module = types.ModuleType("hone.tasks.prune.uniform")
    exec(file, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = {**vars(methods), **vars(module)}
    exec(line, names)
    assert list(names["METHODS"]) == ["uniform"]
    known = get_args(PruneSettings.model_fields["method"].annotation)
    assert set(re.findall(r'"(\w+)"', choices)) <= {*known, "uniform"}
    written = {}
    exec(test, written)
    written["test_every_layer_loses_the_same_share"]()
