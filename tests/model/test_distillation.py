"""The trainable that distil, prune and quantize share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hone.configs.model import DistillSettings, ModelSettings
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.linears import embeddings
from hone.tasks.model.checkpoints.checkpoint import load_model, load_pretrained, load_tokenizer, save_model
from hone.tasks.model.teacher.outputs import TeacherOutputs
from hone.tasks.model.text import make_batch
from hone.tasks.model.training import losses
from hone.tasks.model.training.distillation import DistillationModule, distillation_arguments, make_trainable
from hone.tasks.model.training.projections import FILE, fit, of_layers, read_projections, write_projections
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.objectives.divergence import softened_divergence
from hone.tasks.objectives.learning import learning
from tests.model.teaching_fixtures import ask_teacher, write_data, write_teacher
from tests.tiny import write_encoder

LOSS = DistillSettings(alpha=0.3, temperature=4, hidden_weight=0.5, relation_weight=0.25, augment=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("teaching")
    write_teacher(folder / "teacher")
    write_teacher(folder / "student", seed=1, layers=2)
    write_teacher(folder / "narrow", seed=1, layers=2, hidden=24)
    write_data(folder / "data")
    ask_teacher(folder / "storage", folder / "teacher", folder / "data", LOSS, [0, 1, 2])
    return folder


def job(place: Path, student: str = "student", loss: DistillSettings = LOSS, layers: tuple[int, ...] = (0, 2)):
    outputs = ask_teacher(place / "storage", place / "teacher", place / "data", loss, [0, 1, 2])
    arguments = distillation_arguments(
        student=place / student,
        data=place / "data",
        teacher_outputs=outputs,
        loss=loss,
        max_length=32,
        student_layers=list(layers),
    )
    return TrainingJob(make_trainable, loss, 0, place, arguments, task="text-classification")


def batch_of(trainable, rows):
    return make_batch(trainable.train, np.array(rows), trainable.tokenizer.pad_token_id, "cpu")


def test_the_loss_is_the_weighted_sum_of_its_parts(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.module.eval()
    batch = batch_of(trainable, [1, 5, 9])  # all of them labelled
    found = trainable.module(batch)
    expected = (
        0.3 * found["hard_loss"] + 0.7 * found["soft_loss"] + 0.5 * found["hidden_loss"] + 0.25 * found["relation_loss"]
    )
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(value.ndim == 0 for value in found.values())


def test_the_parts_are_those_of_student_and_teacher_at_the_matched_layers(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.module.eval()
    batch = batch_of(trainable, [2, 41, 60])
    found = trainable.module(batch)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        student = trainable.student(**inputs, output_hidden_states=True)
        teacher = load_model(place / "teacher")(**inputs, output_hidden_states=True)
    mask = batch["attention_mask"]
    hidden = sum(
        losses.hidden_loss(student.hidden_states[own + 1], teacher.hidden_states[other + 1], mask)
        for own, other in ((0, 0), (1, 2))
    )
    assert found["hidden_loss"].item() == pytest.approx(hidden.sum().item() / 2, rel=1e-3)
    soft = softened_divergence(student.logits, teacher.logits, 4.0)
    assert found["soft_loss"].item() == pytest.approx(soft.sum().item(), rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(place):
    trainable = make_trainable(job(place, "teacher", layers=(0, 1, 2)), torch.device("cpu"))
    trainable.module.eval()
    found = trainable.module(batch_of(trainable, range(0, 80, 7)))
    for part in ("soft_loss", "hidden_loss", "relation_loss"):
        assert found[part].item() < 1e-3, part


def test_losses_are_sums_so_that_halves_of_a_batch_add_up(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.module.eval()
    whole = trainable.module(batch_of(trainable, [0, 1, 50, 70]))
    halves = [trainable.module(batch_of(trainable, rows)) for rows in ([0, 1], [50, 70])]
    for name in whole:
        assert whole[name].item() == pytest.approx(sum(half[name].item() for half in halves), rel=1e-5)


def test_a_perturbed_copy_is_taught_by_the_teacher_alone(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    found = trainable.module(batch_of(trainable, [40, 79]))
    assert trainable.train.labels[[40, 79]].tolist() == [-1, -1]
    assert found["hard_loss"].item() == 0
    parts = found["soft_loss"] + 0.5 * found["hidden_loss"] + 0.25 * found["relation_loss"]
    assert found["loss"].item() == pytest.approx(parts.item(), rel=1e-6)


def test_weights_of_zero_leave_their_parts_out(place):
    loss = DistillSettings(hidden_weight=0, relation_weight=0)
    trainable = make_trainable(job(place, loss=loss), torch.device("cpu"))
    assert set(trainable.module(batch_of(trainable, [0]))) == {"loss", "hard_loss", "soft_loss"}


def test_a_narrower_student_is_projected_and_its_projection_trains(place):
    trainable = make_trainable(job(place, "narrow"), torch.device("cpu"))
    assert [tuple(p.weight.shape) for p in trainable.module.projections.values()] == [(32, 24), (32, 24)]
    trainable.module(batch_of(trainable, [0, 1]))["loss"].backward()
    assert all(p.grad is not None for p in trainable.module.parameters() if p.requires_grad)


def test_projections_depend_on_the_seed_alone(place):
    teacher = TeacherOutputs(ask_teacher(place / "storage", place / "teacher", place / "data", LOSS, [0, 1, 2]))
    student = load_model(place / "narrow")
    torch.manual_seed(1)
    one = DistillationModule(student, teacher, LOSS, [0, 2], seed=3, objective=learning("text-classification"))
    torch.manual_seed(2)
    two = DistillationModule(student, teacher, LOSS, [0, 2], seed=3, objective=learning("text-classification"))
    assert torch.equal(one.projections["0"].weight, two.projections["0"].weight)
    assert not torch.equal(one.projections["0"].weight, one.projections["1"].weight)


def test_teaching_brings_the_student_to_the_teacher(place):
    loss = LOSS.model_copy(update={"alpha": 0.0})
    trainable = make_trainable(job(place, loss=loss), torch.device("cpu"))
    optimizer = torch.optim.AdamW(trainable.module.parameters(), lr=3e-3)
    everything = batch_of(trainable, range(80))
    trainable.module.train()
    first = last = None
    for _ in range(60):
        found = trainable.module(everything)
        optimizer.zero_grad()
        (found["loss"] / 80).backward()
        optimizer.step()
        trainable.after_step()
        first = first or found
        last = found
    assert last["soft_loss"] < 0.3 * first["soft_loss"]
    assert last["hidden_loss"] < first["hidden_loss"]


def test_bf16_computes_the_losses_in_fp32(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.module.eval()
    batch = batch_of(trainable, [0, 1, 2])
    exact = trainable.module(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = trainable.module(batch)
    assert {value.dtype for value in half.values()} == {torch.float32}
    assert half["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.05)


def test_relations_are_matched_under_activation_checkpointing_too(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.module.train()
    batch = batch_of(trainable, [0, 1])
    trained = {name: parameter for name, parameter in trainable.student.named_parameters() if parameter.requires_grad}
    trainable.module(batch)["loss"].backward()
    plain = {name: parameter.grad.clone() for name, parameter in trained.items()}
    trainable.module.zero_grad()
    trainable.student.activation_checkpointing_enable()
    trainable.module(batch)["loss"].backward()
    for name, parameter in trained.items():
        assert torch.allclose(parameter.grad, plain[name], atol=1e-6), name


def test_predict_is_in_evaluation_mode_in_fp32_and_without_gradients(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.module.train()
    batch = batch_of(trainable, [0, 1])
    logits = trainable.predict(batch).logits
    assert torch.equal(logits, trainable.predict(batch).logits)
    assert logits.dtype == torch.float32
    assert not logits.requires_grad


def test_a_learner_that_is_done_leaves_no_file_open(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    trainable.close()
    trainable.close()
    with pytest.raises(ValueError, match="closed file"):
        trainable.module(batch_of(trainable, [0]))


def test_what_is_saved_loads_as_the_student_alone(place, tmp_path):
    trainable = make_trainable(job(place, "narrow"), torch.device("cpu"))
    trainable.after_step()
    trainable.save(tmp_path / "saved")
    assert (tmp_path / "saved" / FILE).is_file()
    saved = load_model(tmp_path / "saved")
    assert set(saved.state_dict()) == set(trainable.student.state_dict())
    assert all(torch.equal(value, trainable.student.state_dict()[name]) for name, value in saved.state_dict().items())


def test_the_next_stage_goes_on_with_the_projections_that_were_trained(place):
    first = make_trainable(job(place, "narrow"), torch.device("cpu"))
    with torch.no_grad():
        for parameter in first.module.projections.parameters():
            parameter.add_(1)
    first.after_step()
    first.save(place / "taught")
    second = make_trainable(job(place, "taught"), torch.device("cpu"))
    assert second.module.trained
    taught = second.module.projections.state_dict()
    assert all(torch.equal(value, taught[name]) for name, value in first.module.projections.state_dict().items())
    second.save(place / "taught-again")  # as it was found: the best epoch may be the one before the first
    assert read_projections(place / "taught-again").keys() == taught.keys()


@pytest.mark.parametrize(("student", "steps"), [("narrow", 0), ("student", 1)])
def test_projections_that_are_untrained_or_not_needed_are_not_kept(place, tmp_path, student, steps):
    trainable = make_trainable(job(place, student), torch.device("cpu"))
    for _ in range(steps):
        trainable.after_step()
    trainable.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / FILE).parent.exists()
    assert read_projections(tmp_path / "saved") == {}


def test_projections_of_another_shape_or_half_a_file_are_none(place, tmp_path):
    trainable = make_trainable(job(place, "narrow"), torch.device("cpu"))
    weights = dict(trainable.module.projections.state_dict())
    assert fit(weights, trainable.module.projections)
    assert not fit({**weights, "0.bias": torch.zeros(3)}, trainable.module.projections)
    assert not fit(of_layers(weights, [1]), trainable.module.projections)
    assert torch.equal(of_layers(weights, [1])["0.weight"], weights["1.weight"])
    write_projections(weights, tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:40])
    assert read_projections(tmp_path) == {}


def test_a_student_with_other_tokens_cannot_match_hidden_states(place):
    encoder = write_encoder(place / "speller-encoder")
    tokenizer = load_tokenizer(encoder)
    pieces = {piece: index for piece, index in tokenizer.get_vocab().items() if len(piece) < 4 or piece[0] == "["}
    from tokenizers.models import WordPiece

    tokenizer.backend_tokenizer.model = WordPiece(pieces, unk_token="[UNK]")
    model, _ = load_pretrained(
        ModelSettings(source=str(encoder), weights="random", max_length=32),
        ["bad", "good"],
        0,
        task="text-classification",
    )
    save_model(model, tokenizer, place / "speller")
    with pytest.raises(ModelError, match=r"79 of 80 texts have other tokens .* set distill.hidden_weight=0 and"):
        make_trainable(job(place, "speller", layers=(0, 1, 2)), torch.device("cpu"))
    logits_only = DistillSettings(hidden_weight=0, relation_weight=0, augment=1)
    trainable = make_trainable(job(place, "speller", logits_only), torch.device("cpu"))
    assert trainable.module(batch_of(trainable, [0, 41]))["loss"].isfinite()


def test_as_many_tokens_that_are_others_cannot_be_matched(place):
    """One word is read as another: as many tokens in each text, and in those that have the word other ones."""
    encoder = write_encoder(place / "reader-encoder")
    tokenizer = load_tokenizer(encoder)
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [tokenizer.backend_tokenizer.normalizer, normalizers.Replace("film", "cast")]
    )
    model, _ = load_pretrained(
        ModelSettings(source=str(encoder), weights="random", max_length=32),
        ["bad", "good"],
        0,
        task="text-classification",
    )
    save_model(model, tokenizer, place / "reader")
    rows = TeacherOutputs(job(place).arguments["teacher_outputs"]).rows()
    changed = sum("film" in text for text in rows.texts)
    assert 0 < changed < len(rows)
    with pytest.raises(ModelError, match=rf"{changed} of {len(rows)} texts have other tokens"):
        make_trainable(job(place, "reader", layers=(0, 1, 2)), torch.device("cpu"))


def test_as_many_teacher_layers_as_the_student_has_are_needed(place):
    with pytest.raises(ModelError, match=r"3 teacher layers \[0, 1, 2\] .* student of 2 layers: name one for each"):
        make_trainable(job(place, layers=(0, 1, 2)), torch.device("cpu"))


def test_loss_settings_leave_out_how_long_the_student_trains():
    assert LOSS.model_copy(update={"epochs": 99, "learning_rate": 0.5}).loss_settings() == LOSS.loss_settings()
    assert LOSS.model_copy(update={"temperature": 2.0}).loss_settings() != LOSS.loss_settings()


def test_an_epoch_sees_every_text_and_one_copy_of_each_another_one_each_time(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    texts, copies = trainable.texts, len(trainable.train) // trainable.texts - 1
    epochs = [trainable.epoch_rows(epoch).tolist() for epoch in range(1, copies + 2)]
    assert all(rows[:texts] == list(range(texts)) for rows in epochs)
    assert sorted(row for rows in epochs[:copies] for row in rows[texts:]) == list(range(texts, len(trainable.train)))
    assert epochs[copies] == epochs[0]


def test_held_embeddings_do_not_train_and_dropout_is_the_settings(place):
    trainable = make_trainable(job(place), torch.device("cpu"))
    tables = set(embeddings(trainable.student).values())
    assert tables
    assert not any(table.weight.requires_grad for table in tables)
    assert {module.p for module in trainable.student.modules() if isinstance(module, torch.nn.Dropout)} == {0.0}
