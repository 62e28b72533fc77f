"""The stage: every distinct model of a chain, from contract to contract."""

import shutil
from pathlib import Path

import pytest
import torch

from hone.configs.recipe import parse_recipe
from hone.tasks import store
from hone.tasks.contracts import (
    Checkpoint,
    DistilledModel,
    ExportedModels,
    PrunedModel,
    QuantizedModel,
    StageRecord,
    TrainedModel,
)
from hone.tasks.export import export as export_module
from hone.tasks.export.task import export_models
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.checkpoints.checkpoint import count_parameters, load_model, load_tokenizer
from hone.tasks.model.training.fake_quantization import plan_for
from hone.tasks.quantize.trainable import save_quantized
from hone.tasks.stage import RunContext
from tests.export.kernels import count_kernels
from tests.model.teaching_fixtures import write_teacher

RECORD = StageRecord(name="any", status="ran", reason="first run of this stage", seconds=1.0)
KEPT = "bert.encoder.layer.0.output.dense"


def checkpoint(folder: Path) -> Checkpoint:
    parameters, nonzero = count_parameters(load_model(folder))
    return Checkpoint(
        artifact=store.describe(folder, []),
        parameters=parameters,
        nonzero_parameters=nonzero,
        validation_accuracy=0.5,
        validation_loss=0.7,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("export")
    teacher = write_teacher(folder / "teacher", layers=1)
    model = load_model(teacher)
    plan = plan_for(model, "dynamic", tables=True).excluding([KEPT])
    save_quantized(model, load_tokenizer(teacher), plan, folder / "quantized")
    return folder


def export(folder: Path, storage: str = "storage", last: str = "quantized", seed: int = 0) -> ExportedModels:
    """A chain in which distil and prune were switched off.

    Args:
        last: folder of the quantized model; "teacher" for a chain without one.
    """
    model = {"source": "unused", "max_length": 32}
    recipe = parse_recipe({"seed": seed, "data": {"train": "unused.csv"}, "model": model})
    teacher = checkpoint(folder / "teacher")
    return export_models.fn(
        RunContext(recipe=recipe, output=str(folder / "out"), storage=str(folder / storage)),
        TrainedModel(record=RECORD, checkpoint=teacher),
        DistilledModel(record=RECORD, checkpoint=teacher),
        PrunedModel(record=RECORD, checkpoint=teacher),
        QuantizedModel(record=RECORD, checkpoint=checkpoint(folder / last), scheme="dynamic", layers_kept=[KEPT]),
    )


@pytest.fixture(scope="module")
def exported(folder: Path) -> ExportedModels:
    return export(folder)


def test_each_distinct_model_is_exported_once_the_one_to_ship_last(exported: ExportedModels) -> None:
    assert [(model.name, model.stage, model.precision) for model in exported.models] == [
        ("teacher", "train", "fp32"),
        ("quantized", "quantize", "int8"),
    ]


def test_what_is_said_of_a_model_was_measured_in_its_folder(exported: ExportedModels, folder: Path) -> None:
    teacher, quantized = exported.models
    for model, source in ((teacher, "teacher"), (quantized, "quantized")):
        opened = store.open_artifact(model.artifact)
        assert model.graph_bytes == (opened / "model.onnx").stat().st_size
        assert model.source.digest == store.folder_digest(folder / source)
        assert model.artifact.made_from == [model.source.digest]
        assert model.parameters == count_parameters(load_model(folder / source))[0]
    assert quantized.graph_bytes < teacher.graph_bytes


def test_all_but_the_kept_layer_are_integer_kernels(exported: ExportedModels) -> None:
    opened = store.open_artifact(exported.models[-1].artifact)
    found = count_kernels(opened / "model.onnx")
    assert (
        sum(found.integer.values()) == len(linear_names(load_model(store.open_artifact(exported.models[0].source)))) - 1
    )
    assert len(found.float_products) == len(found.float_matrices) == 1


def test_the_same_again_is_reused_at_another_seed_too_as_nothing_is_drawn(
    exported: ExportedModels, folder: Path
) -> None:
    again = export(folder, seed=1)
    assert again.record.status == "cached"
    assert again.models == exported.models


def test_another_storage_gets_the_same_digests(exported: ExportedModels, folder: Path) -> None:
    other = export(folder, "elsewhere")
    assert other.record.status == "ran"
    assert [model.artifact.digest for model in other.models] == [model.artifact.digest for model in exported.models]
    assert other.record.digest == exported.record.digest


def test_a_model_that_the_run_before_exported_is_taken_over_unless_it_is_damaged(
    exported: ExportedModels, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = export_module.export_checkpoint
    monkeypatch.setattr(
        export_module,
        "export_checkpoint",
        lambda name, *args, **named: (made.append(name), real(name, *args, **named))[1],
    )
    shutil.copytree(folder / "storage", folder / "rerun")
    alone = export(folder, "rerun", last="teacher")
    assert (alone.record.status, made) == ("ran", [])
    assert [model.artifact.digest for model in alone.models] == [exported.models[0].artifact.digest]
    both = export(folder, "rerun")
    assert (both.record.status, made) == ("cached", [])
    store.local_path(both.models[0].artifact).joinpath("model.onnx").write_bytes(b"damaged")
    again = export(folder, "rerun")
    assert (again.record.status, made) == ("ran", ["teacher", "quantized"])
    assert [model.artifact.digest for model in again.models] == [model.artifact.digest for model in exported.models]
