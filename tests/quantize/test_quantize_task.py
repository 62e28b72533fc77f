"""The stage: post-training quantisation from contract to contract. (With training, `tests/flows` runs it on Ray.)"""

from pathlib import Path

import pytest
import torch

from hone.configs.recipe import parse_recipe
from hone.tasks import store
from hone.tasks.contracts import Checkpoint, PreparedData, PrunedModel, QuantizedModel, StageRecord, TrainedModel
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.checkpoints.checkpoint import load_model
from hone.tasks.model.training.fake_quantization import attach, read_plan, weight_grid
from hone.tasks.quantize.task import quantize_student
from hone.tasks.stage import RunContext
from tests.model.teaching_fixtures import write_data, write_teacher

RECORD = StageRecord(name="any", status="ran", reason="first run of this stage", seconds=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("quantize")
    write_data(folder / "data", train=60, validation=60)
    write_teacher(folder / "teacher", layers=2)
    return folder


def quantize(
    folder: Path, providers: tuple[str, ...] = ("cpu",), alpha: float = 0.3, **settings: object
) -> QuantizedModel:
    recipe = parse_recipe(
        {
            "data": {"train": "unused.csv"},
            "model": {"source": "unused", "max_length": 32},
            "export": {"providers": list(providers)},
            "distill": {"alpha": alpha},
            "quantize": settings,
        }
    )
    context = RunContext(recipe=recipe, output=str(folder / "out"), storage=str(folder / "storage"))
    data = store.describe(folder / "data", [])
    checkpoint = Checkpoint(
        artifact=store.describe(folder / "teacher", []),
        parameters=1,
        nonzero_parameters=1,
        validation_accuracy=0.5,
        validation_loss=0.7,
        notes={"teacher_layers": [0, 1]},
    )
    return quantize_student.fn(
        context,
        PreparedData(
            record=RECORD, artifact=data, content_digest=data.digest, labels=["bad", "good"], rows={"validation": 30}
        ),
        TrainedModel(record=RECORD, checkpoint=checkpoint),
        PrunedModel(record=RECORD, checkpoint=checkpoint),
    )


def test_without_training_the_weights_lie_on_their_grids_and_every_cost_is_noted(folder: Path) -> None:
    made = quantize(folder, method="ptq", max_sensitive_layers=0)
    assert (made.scheme, made.layers_kept, made.record.status) == ("dynamic", [], "ran")
    assert quantize(folder, alpha=0.7, method="ptq", max_sensitive_layers=0).record.status == "cached"  # it has no loss
    saved = store.open_artifact(made.checkpoint.artifact)
    model, plan = load_model(saved), read_plan(saved)
    assert plan.linears == tuple(linear_names(model))
    assert len(plan.tables) == 3
    for name in (*plan.linears, *plan.tables):
        weight = model.get_submodule(name).weight.detach()
        integers, scale = weight_grid(weight)
        assert torch.allclose(integers * scale[:, None], weight, rtol=2.4e-7, atol=0)
    notes = made.checkpoint.notes
    assert set(notes["sensitivity"]) == {*plan.linears, *plan.tables}
    assert notes["teacher_layers"] == [0, 1]
    assert made.checkpoint.validation_accuracy == notes["ptq_validation_accuracy"]
    assert abs(notes["ptq_validation_accuracy"] - notes["fp32_validation_accuracy"]) < 0.1
    assert made.checkpoint.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_same_again_is_reused_and_another_setting_is_not(folder: Path) -> None:
    first = quantize(folder, method="ptq", max_sensitive_layers=0)
    assert quantize(folder, method="ptq", max_sensitive_layers=0).record.status == "cached"
    other = quantize(folder, method="ptq", max_sensitive_layers=0, embeddings=False)
    assert other.record.status == "ran"
    assert "quantize.embeddings true -> false" in other.record.reason
    assert other.checkpoint.artifact.digest != first.checkpoint.artifact.digest
    assert read_plan(store.open_artifact(other.checkpoint.artifact)).tables == ()


def test_qat_for_no_epochs_is_post_training_and_starts_no_workers(folder: Path) -> None:
    by_ptq = quantize(folder, method="ptq", max_sensitive_layers=0)
    by_qat = quantize(folder, method="qat", epochs=0, max_sensitive_layers=0)
    assert by_qat.checkpoint.artifact.digest == by_ptq.checkpoint.artifact.digest
    assert by_qat.checkpoint.curves == []


def test_a_gpu_first_means_static_scales_for_every_linear_layer(folder: Path) -> None:
    made = quantize(folder, ("tensorrt", "cuda", "cpu"), method="ptq", calibration_rows=30, max_sensitive_layers=0)
    assert made.scheme == "static"
    saved = store.open_artifact(made.checkpoint.artifact)
    plan = read_plan(saved)
    assert set(plan.scales) == set(plan.linears)
    attach(load_model(saved), plan)


def test_layers_that_are_shown_to_cost_more_than_allowed_stay_fp32_and_are_named(folder: Path) -> None:
    """With the whole accuracy to lose nothing is kept; with less than any loss, and a level that anything reaches,
    whatever costs anything is."""
    assert quantize(folder, method="ptq", sensitivity=1.0).layers_kept == []
    made = quantize(folder, method="ptq", sensitivity=0.0, sensitivity_level=0.999, max_sensitive_layers=2)
    costs = made.checkpoint.notes["sensitivity"]
    assert [cost["divergence"] for cost in costs.values()] == sorted(
        (cost["divergence"] for cost in costs.values()), reverse=True
    )
    plan = read_plan(store.open_artifact(made.checkpoint.artifact))
    assert list(plan.kept) == made.layers_kept
    assert all(costs[name]["accuracy_lost"] > 0 for name in made.layers_kept)
    assert not set(made.layers_kept) & {*plan.linears, *plan.tables}


def test_switched_off_it_passes_on_what_came(folder: Path) -> None:
    made = quantize(folder, method="none")
    assert (made.record.status, made.scheme) == ("skipped", "none")
    assert made.checkpoint.artifact == store.describe(folder / "teacher", [])
