"""A recipe is a YAML file, a typed model and a flow parameter, and they are the same thing."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hone.configs.delivery import MODEL_NAME_PATTERN
from hone.configs.recipe import Recipe, RecipeError, load_recipe, parse_recipe
from hone.configs.section import Section, TrainingSection

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))
FILES = ["data.train=a.tsv"]  # a recipe whose files the person names on the command line


def minimal(**changes: object) -> dict[str, object]:
    return {"name": "t", "data": {"train": "a.csv"}, "model": {"source": "some/encoder"}, **changes}


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: t\ndata: {train: a.csv}\nmodel: {source: some/encoder}\n")
    return path


def sections() -> list[type[Section]]:
    return [
        Recipe,
        *(
            f.annotation
            for f in Recipe.model_fields.values()
            if isinstance(f.annotation, type) and issubclass(f.annotation, BaseModel)
        ),
    ]


def test_there_are_recipes() -> None:
    assert {"quickstart.yaml", "sst2.yaml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_in_the_folder_loads(path: Path) -> None:
    assert load_recipe(path, FILES if "source: docstrings" not in path.read_text() else []).name


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_field_has_a_description_for_the_form(section: type[Section]) -> None:
    bare = [
        name
        for name, field in section.model_fields.items()
        if not field.description
        and not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]
    assert not bare


def test_sections_stand_in_the_order_of_the_chain() -> None:
    names = [field.alias or name for name, field in Recipe.model_fields.items()]
    chain = [
        "data",
        "model",
        "train",
        "distill",
        "prune",
        "quantize",
        "export",
        "evaluate",
        "gate",
        "register",
        "compute",
    ]
    assert [name for name in names if name in chain] == chain


def test_a_recipe_survives_the_round_trip_through_json() -> None:
    recipe = parse_recipe(minimal())
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_recipe(minimal()).train.epochs = 5  # type: ignore[misc]


def test_overrides_are_yaml_and_win_over_the_file(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["train.epochs=7", "data.columns=[a, text, label]", "register.promote=auto"])
    assert (recipe.train.epochs, recipe.data.columns, recipe.register_.promote) == (7, ["a", "text", "label"], "auto")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=2", r"train\.epoch = 2: unknown key; did you mean epochs\?; allowed here: .*epochs"),
        ("bogus.x=1", r"bogus = \{'x': 1\}: unknown key; allowed here: compute, data"),
        ("train.epochs=-1", r"train\.epochs = -1: it has to be 0 or more; leave the key out for its default, 3"),
        ("train.precision=int4", r"train\.precision = 'int4': it has to be 'fp32', 'auto', 'bf16' or 'fp16'; leave"),
        ("evaluate.cells=[1-16]", r"evaluate\.cells\.0 = '1-16'"),
        (
            "compute.storage=gs://team/hone",
            r"compute\.storage = 'gs://team/hone': give a folder, or .* s3://BUCKET/PREFIX",
        ),
        ("compute.storage=s3://", r"compute\.storage = 's3://': give a folder, or a bucket"),
        ("register.model_name=a/b:c", r"register\.model_name = 'a/b:c': it holds '/' and ':', which MLflow's registry"),
        ('register.model_name=it\'s "a" name', r"it holds both kinds of quotes, which MLflow's registry does not take"),
        ("register.model_name=..", r"register\.model_name = '\.\.': it holds nothing but dots"),
        ("train.epochs", r"--set train\.epochs: write it as section\.key=value"),
        ("name.x=1", r"--set name\.x=1: name is 't' and has no keys of its own"),
        ("train.epochs=[", r"the value is not YAML"),
        ("model.source=", r"model\.source is empty: name an encoder"),
        ("data.train=", r"data\.source is 'files' but data\.train is empty"),
        ("data.source=hub", r"data\.source is 'hub' but data\.dataset is empty"),
        ("data.header=false", r"data\.header is false but data\.columns is empty"),
        ("data.columns=[a, b]", r"data\.columns is \['a', 'b'\] and lacks \['text', 'label'\]"),
        ("train.precision=fp16", r"train\.precision is 'fp16' but compute\.gpus_per_worker is 0"),
        (
            "compute.workers=3",
            r"train\.batch_size is 32: it has to be a multiple of compute\.workers \* train\.accumulate = 3",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_key_value_and_rule(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe_file, [override])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=structured", "pattern=2:4"], r"prune\.pattern is '2:4' but prune\.method is 'structured'.*magnitude"),
        (["method=wanda", "pattern=4:8", "sparsity=0.7"], r"prune\.sparsity is 0\.7 but .* '4:8', which zeroes 0\.5"),
        (["method=wanda", "schedule=cubic"], r"prune\.schedule is 'cubic' but prune\.method is 'wanda'.*one-shot"),
        (["method=magnitude", "schedule=cubic", "pattern=2:4"], r"'cubic' but prune\.pattern is '2:4'.*unstructured"),
        (["method=magnitude", "schedule=cubic", "epochs=0"], r"'cubic' but prune\.epochs is 0.*1 or more"),
        (
            ["method=magnitude", "schedule=cubic", "schedule_start=0.5", "initial_sparsity=0.6"],
            r"schedule_start is 0\.5: .*schedule_end \(0\.5\); .*initial_sparsity is 0\.6: .*sparsity \(0\.5\)",
        ),
        (["pattern=3:4"], r"prune\.pattern = 184: it has to be 'unstructured', '2:4' or '4:8'"),
    ],
)
def test_what_a_pruning_method_cannot_do_is_refused_with_the_way_out(
    recipe_file: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe_file, [f"prune.{override}" for override in overrides])


def test_a_pattern_needs_no_quotes_in_yaml_and_says_nothing_where_nothing_is_pruned(recipe_file: Path) -> None:
    for pattern in ("2:4", "4:8"):
        assert load_recipe(recipe_file, ["prune.method=wanda", f"prune.pattern={pattern}"]).prune.pattern == pattern
    off = load_recipe(recipe_file, ["prune.method=none", "prune.pattern='2:4'", "prune.schedule=cubic"])
    assert (off.prune.method, off.prune.pattern) == ("none", "2:4")


def test_dynamic_scales_on_a_provider_without_their_kernels_are_refused(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"quantize\.scheme is 'dynamic' but export\.providers prefers 'cuda'"):
        load_recipe(recipe_file, ["quantize.scheme=dynamic", "export.providers=[cuda, cpu]"])


@pytest.mark.parametrize(("providers", "scheme"), [("[cpu]", "dynamic"), ("[tensorrt, cuda, cpu]", "static")])
def test_the_scheme_follows_the_preferred_provider(recipe_file: Path, providers: str, scheme: str) -> None:
    assert load_recipe(recipe_file, [f"export.providers={providers}"]).quantization_scheme == scheme


WRITES = {"task": "text-generation", "data": {"train": "texts.txt", "document_column": "text"}}


def test_language_models_have_their_weights_in_blocks_on_the_cpu() -> None:
    assert parse_recipe(minimal(**WRITES)).quantization_scheme == "blockwise"
    assert parse_recipe(minimal(**WRITES, export={"providers": ["cuda", "cpu"]})).quantization_scheme == "static"
    four = parse_recipe(minimal(**WRITES, quantize={"bits": 4, "wide_fraction": 0.1}, evaluate={"cells": ["1x64+1"]}))
    assert (four.quantize.bits, four.quantize.block_size) == (4, 32)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"quantize": {"scheme": "blockwise"}}, r"task is 'text-classification' and export.providers prefers 'cpu'"),
        ({"quantize": {"bits": 4}}, r"quantize.bits is 4 but quantize.scheme comes to 'dynamic', which has 8"),
        (
            WRITES | {"quantize": {"wide_fraction": 0.5}},
            r"quantize.wide_fraction is 0.5 but quantize.bits is 8, which all",
        ),
        ({"evaluate": {"cells": ["1x16", "1x16+1"]}}, r"evaluate.cells has 1x16\+1 but task is 'text-classification'"),
    ],
)
def test_what_belongs_to_blocks_and_to_writing_is_refused_elsewhere(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        parse_recipe(minimal(**settings))


@pytest.mark.parametrize("name", ["", "it's", 'the "new" one', "a\\b", "Sentiment, in English", "名前"])
def test_the_form_and_the_recipe_take_the_same_names_of_a_model(name: str) -> None:
    assert parse_recipe(minimal(register={"model_name": name})).register_.model_name == name
    assert re.search(MODEL_NAME_PATTERN, name)
    for refused in ("a/b", "a:b", "a@b", "a?", "a\tb", f"{name}'\""):
        assert not re.search(MODEL_NAME_PATTERN, refused)
        with pytest.raises(RecipeError, match="which MLflow's registry does not take"):
            parse_recipe(minimal(register={"model_name": refused}))


def test_all_offenders_are_listed_not_the_first(recipe_file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file, ["train.epochs=-1", "prune.sparsity=2", "gate.nonsense=1"])
    assert all(key in str(caught.value) for key in ("train.epochs", "prune.sparsity", "gate.nonsense"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n- b\n", "a recipe is a mapping of sections, and this is a list"),
        (b"a: [", "not a readable YAML file"),
        (b"\xff\xfe\x00", "not a readable"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.yaml: no such recipe"):
        load_recipe(tmp_path / "absent.yaml")


def test_settings_import_no_engine() -> None:
    for path in (ROOT / "configs").glob("*.py"):
        imports = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        roots = {name.removeprefix("hone.").split(".")[0] for name in imports}
        assert roots <= {"collections", "configs", "pydantic", "yaml", "typing", "pathlib", "re", "difflib"}, path


def test_a_student_named_by_its_layers_and_by_their_number_is_told_when_the_two_differ() -> None:
    with pytest.raises(RecipeError, match=r"distill.layers names 2 layers, \[1, 3\], and distill.layer_count is 3"):
        parse_recipe(minimal(distill={"layers": [1, 3], "layer_count": 3}))
    parse_recipe(minimal(distill={"layers": [1, 3], "layer_count": 2}))


def test_a_setting_that_was_renamed_is_known_by_its_old_name_too() -> None:
    gate = parse_recipe(minimal(gate={"beat_floor": False})).gate
    assert gate.beat_baseline is False
    assert "beat_floor" not in gate.model_dump()


@pytest.mark.parametrize("name", ["DistillSettings", "PruneSettings", "QuantizeSettings"])
def test_a_form_asks_for_the_method_first_and_last_for_how_it_trains(name: str) -> None:
    shown = list(Recipe.model_json_schema()["$defs"][name]["properties"])
    training = list(TrainingSection.model_fields)
    assert shown[0] == "method"
    assert shown[-len(training) :] == training


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("data: {train: a.csv}\nmodel: {source: x}\ntrain:\n  epochs: 2\ntrain:\n  epochs: 3\n")
    with pytest.raises(RecipeError, match=r"twice\.yaml: line 5: train stands in line 3 already: put both into one"):
        load_recipe(path)
    path.write_text("data: {train: a.csv}\nmodel: {source: x}\n")
    with pytest.raises(RecipeError, match=r"--set train=.*: line 1: epochs stands in line 1 already"):
        load_recipe(path, ["train={epochs: 2, epochs: 3}"])


@pytest.mark.parametrize(
    ("override", "meant"),
    [("train.epoch=2", "did you mean epochs?"), ("modle.source=x", "did you mean model?"),
     ("max_length=32", "did you mean model.max_length?")],
)  # fmt: skip
def test_an_unknown_key_is_told_with_the_one_that_was_meant(tmp_path: Path, override: str, meant: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {train: a.csv}\nmodel: {source: x}\n")
    with pytest.raises(RecipeError) as told:
        load_recipe(path, [override])
    assert meant in str(told.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train=5", r"train = 5: it has to be a section with keys of its own \(accumulate, .*\), or to be left out"),
        (
            "train.epochs=2.5",
            r"train\.epochs = 2\.5: it has to be a whole number; leave the key out for its default, 3",
        ),
        ("train.precision=bf32", r"'bf32': it has to be 'fp32', .* or 'fp16'; did you mean fp32\?"),
        ("data.header=maybe", r"data\.header = 'maybe': it has to be true or false; .* default, true"),
        ("data.columns=text", r"data\.columns = 'text': it has to be a list, as \[a, b\]"),
        ("data.text_column=", r"data\.text_column = '': it has to have 1 or more characters"),
        ("gate.margin=1", r"gate\.margin = 1: it has to be less than 1; leave the key out for its default, 0\.02"),
        ("gate.min_speedup=fast", r"'fast': it has to be a number"),
        (
            "evaluate.cells=[1-16]",
            r"evaluate\.cells\.0 = '1-16': it has to be BATCHxLENGTH, such as 32x128, or BATCH",
        ),
        ("evaluate.cells=[]", r"evaluate\.cells = \[\]: the list has to have 1 or more values"),
        ("name=a b", r"name = 'a b': it has to be of letters, digits, dots, - and _, and begin with a letter"),
        ("notify=[team]", r"notify\.0 = 'team': it has to be TYPE/NAME of a block of Prefect"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words_with_its_rule(recipe_file: Path, override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told) as refused:
        load_recipe(recipe_file, [override])
    assert not re.search(r"[Ii]nput should|valid|\^", str(refused.value))
