"""The student before its first step."""

from pathlib import Path

import pytest
import torch

from hone.configs.model import DistillSettings, ModelSettings
from hone.tasks.distill.student import check_tokens, layers_kept, other_student, spread_layers, student_from_layers
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.layers import model_layers
from hone.tasks.model.checkpoints.checkpoint import count_parameters, load_model, load_tokenizer, save_model
from tests.model.teaching_fixtures import write_teacher
from tests.tiny import sentences, write_encoder

INPUTS = {"input_ids": torch.tensor([[2, 7, 8, 9, 3]]), "attention_mask": torch.ones(1, 5, dtype=torch.int64)}


def assert_same_weights(one, other):
    assert one.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return write_teacher(tmp_path_factory.mktemp("student") / "teacher", layers=4)


def test_a_student_of_all_layers_is_the_teacher(teacher_folder):
    teacher = load_model(teacher_folder)
    student = student_from_layers(teacher, [0, 1, 2, 3])
    assert_same_weights(student, teacher)
    assert torch.allclose(student(**INPUTS).logits, teacher(**INPUTS).logits, atol=1e-6)


def test_a_student_of_some_layers_computes_the_teacher_without_the_others(teacher_folder):
    teacher = load_model(teacher_folder)
    student = student_from_layers(teacher, [0, 3])
    states = teacher.bert.embeddings(INPUTS["input_ids"])
    for layer in (0, 3):
        states = model_layers(teacher)[layer](states)
    by_hand = teacher.classifier(teacher.bert.pooler(states))
    assert torch.allclose(student(**INPUTS).logits, by_hand, atol=1e-6)
    assert student.config.num_hidden_layers == 2


def test_a_student_shares_no_weight_with_its_teacher(teacher_folder):
    teacher = load_model(teacher_folder)
    before = teacher(**INPUTS).logits
    with torch.no_grad():
        for parameter in student_from_layers(teacher, [1]).parameters():
            parameter.zero_()
    assert torch.equal(teacher(**INPUTS).logits, before)
    assert teacher.config.num_hidden_layers == 4


def test_parameters_of_a_student_by_formula(teacher_folder, tmp_path):
    student = student_from_layers(load_model(teacher_folder), [0, 2])
    width, neurons, vocabulary = 32, 64, student.config.vocab_size
    layer = 4 * (width * width + width) + 2 * width * neurons + neurons + width + 2 * 2 * width
    rest = (vocabulary + 64 + 2) * width + 2 * width + width * width + width + 2 * width + 2
    assert count_parameters(student)[0] == 2 * layer + rest
    save_model(student, load_tokenizer(teacher_folder), tmp_path / "student")
    assert_same_weights(load_model(tmp_path / "student"), student)


@pytest.mark.parametrize("layers", [[1, 3, 9], [-1, 2], [4]])
def test_a_layer_the_teacher_does_not_have_is_refused_with_those_it_has(teacher_folder, layers):
    with pytest.raises(ModelError, match=r"distill.layers is .* has 4 layers, counted from 0: name some of 0 to 3"):
        student_from_layers(load_model(teacher_folder), layers)


@pytest.mark.parametrize("layers", [[], [2, 1], [1, 1]])
def test_layers_are_named_once_and_in_rising_order(teacher_folder, layers):
    with pytest.raises(ModelError, match=r"distill.layers is .*: name at least one layer, each once, in rising order"):
        student_from_layers(load_model(teacher_folder), layers)


@pytest.mark.parametrize(
    ("student", "teacher", "layers"),
    [(3, 6, [1, 3, 5]), (4, 12, [2, 5, 8, 11]), (2, 2, [0, 1]), (1, 6, [5]), (6, 2, [0, 0, 0, 0, 1, 1])],
)
def test_layers_are_matched_at_the_same_depth_and_the_last_with_the_last(student, teacher, layers):
    assert spread_layers(student, teacher) == layers


@pytest.mark.parametrize(
    ("settings", "teacher", "layers"),
    [
        ({}, 6, [1, 3, 5]),
        ({}, 12, [1, 3, 5, 7, 9, 11]),
        ({}, 24, list(range(1, 24, 2))),
        ({}, 3, [2]),
        ({}, 1, [0]),
        ({"layer_count": 4}, 12, [2, 5, 8, 11]),
        ({"layer_count": 6}, 6, [0, 1, 2, 3, 4, 5]),
        ({"layers": [1, 3, 5]}, 12, [1, 3, 5]),
    ],
)
def test_layers_that_are_not_named_are_spread_over_a_teacher_of_any_depth(settings, teacher, layers):
    assert layers_kept(DistillSettings(**settings), teacher) == layers


def test_more_layers_than_the_teacher_has_are_refused():
    with pytest.raises(ModelError, match=r"distill.layer_count is 7, and the teacher has 6 layers: ask for 6 or fewer"):
        layers_kept(DistillSettings(layer_count=7), 6)


def test_another_encoder_gets_a_head_for_the_labels(tmp_path):
    write_encoder(tmp_path / "other", layers=1)
    model = load_model(write_teacher(tmp_path / "weights", layers=1))
    save_model(model, load_tokenizer(tmp_path / "other"), tmp_path / "o")
    student, tokenizer = other_student(
        tmp_path / "o",
        ModelSettings(source="unused", max_length=32),
        ["a", "b", "c"],
        seed=0,
        task="text-classification",
    )
    assert student.config.num_labels == 3
    assert student.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert tokenizer.pad_token_id == 0


def test_a_student_with_another_tokenizer_is_told_what_cannot_be_matched(teacher_folder):
    teacher, other = load_tokenizer(teacher_folder), load_tokenizer(teacher_folder)
    from tokenizers.models import WordPiece

    letters = {piece: index for piece, index in other.get_vocab().items() if len(piece) < 4 or piece[0] == "["}
    other.backend_tokenizer.model = WordPiece(letters, unk_token="[UNK]")
    texts = [text for text, _label in sentences(5, seed=0)]
    settings = DistillSettings(student="other/encoder", hidden_weight=1)
    with pytest.raises(ModelError, match=r"distill.student is 'other/encoder', which cuts 5 of 5 .* Set both to 0"):
        check_tokens(settings, teacher, other, texts, "text-classification")
    check_tokens(settings, teacher, teacher, texts, "text-classification")
    check_tokens(settings.model_copy(update={"hidden_weight": 0.0}), teacher, other, texts, "text-classification")


def test_tokens_are_compared_by_what_they_are_and_not_by_their_number(teacher_folder):
    """The other tokenizer knows every word but as another one: as many tokens, and none of them the same."""
    teacher, other = load_tokenizer(teacher_folder), load_tokenizer(teacher_folder)
    from tokenizers import normalizers

    other.backend_tokenizer.normalizer = normalizers.Sequence(
        [other.backend_tokenizer.normalizer, normalizers.Replace("film", "cast")]
    )
    texts = ["the film is funny", "the cast is funny"]
    settings = DistillSettings(student="other/encoder", hidden_weight=1)
    with pytest.raises(ModelError, match=r"which cuts 1 of 2 texts into other tokens"):
        check_tokens(settings, teacher, other, texts, "text-classification")


def test_a_vocabulary_in_another_order_has_the_same_tokens(teacher_folder):
    teacher, other = load_tokenizer(teacher_folder), load_tokenizer(teacher_folder)
    from tokenizers.models import WordPiece

    pieces = sorted(teacher.get_vocab(), key=lambda piece: (piece[0] != "[", piece))
    words = {piece: teacher.get_vocab()[piece] for piece in pieces if piece[0] == "["}
    rest = [piece for piece in pieces if piece[0] != "["]
    words |= dict(zip(rest, range(len(words), len(pieces)), strict=True))
    other.backend_tokenizer.model = WordPiece(words, unk_token="[UNK]")
    settings = DistillSettings(student="other/encoder", hidden_weight=1)
    check_tokens(settings, teacher, other, [text for text, _label in sentences(5, seed=0)], "text-classification")
