"""What the READMEs say can be done: their links, recipes and commands."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from hone.configs.recipe import load_recipe, parse_recipe
from hone.flows.__main__ import app

ROOT = Path(__file__).resolve().parents[1]
READMES = [ROOT / "README.md"] + [
    path for folder in ("configs", "flows", "tasks", "infra") for path in sorted((ROOT / folder).rglob("README.md"))
]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in READMES}
MOST_LINES, LONGEST_LINE = 150, 110
NEEDED = {"name": "t", "data": {"train": "a.csv"}, "model": {"source": "some/encoder"}}
EVERY = pytest.mark.parametrize("name", TEXTS)


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(text: str) -> list[str]:
    """The lines of the blocks without a language, continued ones joined, comments left out."""
    joined = "\n".join(blocks(text)).replace("\\\n", " ")
    return [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_is_a_readme_for_each_folder() -> None:
    assert {"README.md", "configs/README.md", "flows/README.md", "tasks/README.md", "infra/README.md"} <= set(TEXTS)


def test_the_main_readme_is_short() -> None:
    lines = TEXTS["README.md"].splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


@EVERY
def test_every_relative_link_leads_to_a_file_and_a_heading(name: str) -> None:
    folder = (ROOT / name).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), f"{name}: {link}"
        assert ROOT in (target, *target.parents), f"{name}: {link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{name}: {link}: {sorted(anchors(target))}"


@EVERY
def test_every_yaml_block_is_a_recipe_or_a_part_of_one(name: str) -> None:
    for block in blocks(TEXTS[name], "yaml"):
        parse_recipe({**NEEDED, **yaml.safe_load(block)})


@EVERY
def test_every_hone_command_and_its_settings_exist(name: str, tmp_path: Path) -> None:
    some = tmp_path / "recipe.yaml"
    some.write_text(yaml.safe_dump(NEEDED))
    for line in commands(TEXTS[name]):
        if not line.startswith("hone "):
            continue
        words = shlex.split(line)[1:]
        command = typer.main.get_command(app)
        while subcommands := getattr(command, "commands", {}):
            assert words[0] in subcommands, line
            command = subcommands[words.pop(0)]
        given = command.make_context("hone", words).params
        if overrides := given.get("set_"):
            recipe = ROOT / str(given.get("recipe"))
            load_recipe(recipe if recipe.is_file() else some, overrides)


@EVERY
def test_every_command_of_hone_and_of_make_named_in_the_text_exists(name: str) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`hone ([a-z]+)", TEXTS[name])) <= known
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXTS[name], re.M)) <= targets


def test_the_commands_that_deploy_stand_at_the_tops_of_the_files() -> None:
    files = [ROOT / "infra" / "image" / "Dockerfile", *(ROOT / "infra").rglob("*.yaml")]
    tops = " ".join(" ".join(re.sub(r"(?m)^#|\\$", " ", path.read_text()).split()) for path in files)
    found = [line for line in commands(TEXTS["infra/README.md"]) if re.match(r"(\S+=\S+ )*(docker|kubectl|cp) ", line)]
    assert len(found) >= 8
    for line in found:
        assert " ".join(line.split()) in tops, line


def test_the_map_of_the_code_has_every_folder() -> None:
    folders = {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert {name for name in folders if not re.search(rf"`{name}[`/]", TEXTS["tasks/README.md"])} == set()
