"""configs/README.md says what the settings say."""

from pathlib import Path

from hone.configs.recipe import Recipe
from hone.configs.reference import COMMAND, reference

README = Path(__file__).resolve().parents[2] / "configs" / "README.md"


def test_the_reference_is_that_of_the_settings() -> None:
    # Not compared by `==` in an assert, whose difference would hide what to do.
    if README.read_text(encoding="utf-8") != reference():
        raise AssertionError(f"configs/README.md is not what the settings say: {COMMAND}")


def test_every_setting_has_a_row_in_its_section_or_in_the_one_it_names() -> None:
    headings = reference().split("\n### ")[1:]
    parts = {part.partition("\n")[0]: part for part in headings}
    for key, field in Recipe.model_fields.items():
        if field.description:
            assert f"| `{key}` |" in parts["Top level"]
            continue
        part = parts[field.alias or key]
        shared = parts["train"] if "(#train)" in part else ""
        for setting in field.annotation.model_fields:  # type: ignore[union-attr]
            assert f"| `{setting}` |" in part + shared, f"{key}.{setting}"


def test_values_bounds_and_defaults_are_those_of_the_settings() -> None:
    rows = reference()
    assert "| `method` | `none`, `ptq`, `qat` | `qat` |" in rows
    assert "| `validation_fraction` | number, > 0, < 0.5 | `0.1` |" in rows
    assert "| `learning_rate` | number, > 0, ≤ 1 | `0.00005` |" in rows
    assert "| `slice_margin` | number, > 0, < 1; or `null` | `0.05` |" in rows
    assert "| `providers` | list of `tensorrt`, `cuda`, `cpu`, at least 1 | `[cpu]` |" in rows
