"""A language model learns the next token of packed documents, and keeps to its teacher's predictions."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from hone.tasks.errors import ModelError
from hone.tasks.model.checkpoints.checkpoint import load_task_tokenizer
from hone.tasks.model.checkpoints.safety import check_kind
from hone.tasks.model.teacher.inference import write_rows
from hone.tasks.model.text import Rows, make_batch, model_inputs
from hone.tasks.model.tokenized import Split, TokenizedSplits, open_split
from hone.tasks.objectives.learning import learning, learning_of
from hone.tasks.objectives.text_generation import learning as module
from hone.tasks.objectives.text_generation.packing import pack
from tests.objectives.documents import LENGTH, documents, write_decoder

LEARNING = learning("text-generation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return load_task_tokenizer(folder, "text-generation")


@pytest.fixture(scope="module")
def model(folder: Path) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder).eval()


def rows_of(texts: list[str]) -> Rows:
    return Rows(texts, None, np.zeros(len(texts), np.int64))


def outputs(seed: int, shape: tuple[int, ...], **others: Any) -> Any:
    return SimpleNamespace(logits=torch.randn(shape, generator=torch.Generator().manual_seed(seed), **others))


def test_documents_are_packed_by_hand() -> None:
    text = pack([[5, 6], [7], [8, 9, 10]], max_length=4, boundary=0)
    assert text.ids.tolist() == [0, 5, 6, 0, 7, 0, 8, 9, 10]
    assert text.labels.tolist() == [5, 6, 0, 7, 0, 8, 9, 10, 0]
    assert text.offsets.tolist() == [0, 4, 8, 9]
    assert text.weights is not None
    assert text.weights.tolist() == [4, 4, 1]
    assert text.sources is not None
    assert text.sources.tolist() == [0, 1, 2]  # the second block begins with document 1, the third inside document 2


def test_no_documents_make_no_blocks() -> None:
    assert len(pack([], 4, 0)) == 0
    assert pack([[]], 4, 0).ids.tolist() == [0]


def test_every_token_and_boundary_is_predicted_once_and_no_document_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = documents(12)
    text = LEARNING.encode(tokenizer, rows_of(texts), LENGTH)
    end = tokenizer.eos_token_id
    assert text.labels.tolist() == [*text.ids.tolist()[1:], end]
    parts: list[list[int]] = []
    for token in text.ids.tolist():
        parts.append([]) if token == end else parts[-1].append(token)
    assert [tokenizer.decode(ids) for ids in parts] == texts
    assert set(text.lengths[:-1].tolist()) == {LENGTH}


def test_documents_are_tokenized_some_at_a_time_and_alike(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*documents(20), ""]
    whole = [ids.tolist() for ids in module.token_ids(tokenizer, texts)]
    assert whole == tokenizer(texts, add_special_tokens=False)["input_ids"]
    for most in (1, 300):
        monkeypatch.setattr(module, "CHARACTERS_AT_ONCE", most)
        assert [ids.tolist() for ids in module.token_ids(tokenizer, texts)] == whole
    assert module.token_ids(tokenizer, []) == []


def test_a_split_that_is_kept_is_the_one_that_is_tokenized(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    split = Split(write_rows(rows_of(documents(9)), tmp_path / "train.parquet"), tokenizer, LENGTH, "text-generation")
    direct, kept = split.tokenize(), open_split(TokenizedSplits(tmp_path / "storage", "demo", "train").folder(split))
    assert direct.labelled == kept.labelled == 9
    assert len(kept.text) > 9  # in one epoch all the same, as none is a perturbed copy
    for name in ("ids", "offsets", "labels", "weights", "sources"):
        assert np.array_equal(getattr(direct.text, name), getattr(kept.text, name))
    assert kept.text.by_token
    assert kept.text.sources is not None
    assert kept.text.sources.max() < 9


def test_the_loss_of_a_block_is_transformers_own(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    text = LEARNING.encode(tokenizer, rows_of(documents(5)), LENGTH)
    batch = make_batch(text, np.array([0, 2]), 0, "cpu")
    with torch.no_grad():
        output = model(**model_inputs(batch))
        for row in range(2):  # transformers shifts by itself and leaves the last token's target out
            ids = torch.cat([batch["input_ids"][row], batch["labels"][row, -1:]])[None]
            expected = model(input_ids=ids, labels=ids).loss * LENGTH
            assert LEARNING.loss(output, batch)[row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_padding_has_no_part_in_any_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    text = LEARNING.encode(tokenizer, rows_of(documents(5)), LENGTH)
    last = len(text) - 1
    assert text.lengths[last] < LENGTH
    alone, padded = (make_batch(text, np.array(rows), 0, "cpu") for rows in ([last], [0, last]))
    with torch.no_grad():
        one, two = (model(**model_inputs(batch)) for batch in (alone, padded))
    assert LEARNING.loss(two, padded)[1].item() == pytest.approx(LEARNING.loss(one, alone)[0].item(), rel=1e-5)
    targets = torch.zeros_like(LEARNING.targets(two, padded))  # as they are read where there is padding
    targets[1, : text.lengths[last]] = LEARNING.targets(one, alone)[0]
    assert LEARNING.distillation_loss(two, targets, padded, 1.0)[1].item() == pytest.approx(0, abs=1e-4)


def test_the_divergence_is_the_whole_one_where_the_vocabulary_is_kept() -> None:
    teacher, student = outputs(0, (2, 5, 40)), outputs(1, (2, 5, 40))
    batch = {"labels": torch.zeros(2, 5, dtype=torch.int64)}
    found = LEARNING.distillation_loss(student, LEARNING.targets(teacher, batch), batch, 1.0)
    logs = [F.log_softmax(one.logits.double(), dim=-1) for one in (student, teacher)]
    expected = F.kl_div(logs[0], logs[1], log_target=True, reduction="none").sum(dim=(1, 2))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    other = {"labels": torch.tensor([[0, 0, -100, -100, -100]] * 2)}
    assert (LEARNING.distillation_loss(student, LEARNING.targets(teacher, batch), other, 1.0) < found).all()


def test_a_teachers_prediction_is_kept_in_few_numbers_whose_divergence_is_a_lower_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher, student = outputs(0, (2, 5, 200)), outputs(1, (2, 5, 200))
    batch = {"labels": torch.zeros(2, 5, dtype=torch.int64)}
    whole = F.kl_div(
        F.log_softmax(student.logits, dim=-1), F.log_softmax(teacher.logits, dim=-1), log_target=True, reduction="none"
    ).sum(dim=(1, 2))
    found = []
    for kept in (4, 64, 199):
        monkeypatch.setattr(module, "KEPT", kept)
        targets = LEARNING.targets(teacher, batch)
        assert targets.shape == (2, 5, 2 * kept + 1)
        assert LEARNING.distillation_loss(teacher, targets, batch, 1.0).abs().max() < 1e-4
        found.append(LEARNING.distillation_loss(student, targets, batch, 1.0))
    assert (found[0] < found[1]).all()
    assert (found[1] < found[2]).all()
    assert found[2].tolist() == pytest.approx(whole.tolist(), rel=1e-3)


def test_validation_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [1 / 3, 1 / 3, 1 / 3]]]))
    batch = {"labels": torch.tensor([[0, 2, -100]])}
    sums = LEARNING.validation(SimpleNamespace(logits=logits), batch).tolist()
    loss = (math.log(2) + math.log(10)) / 2
    assert sums == pytest.approx([2 * loss, 2, 1, 2 * math.log(3)])
    assert LEARNING.validation_metrics(sums) == pytest.approx(
        {"log_likelihood": -loss, "perplexity": math.exp(loss), "next_token_accuracy": 0.5, "loss": loss}
    )
    assert LEARNING.row_scores(SimpleNamespace(logits=logits), batch).tolist() == pytest.approx([-loss])


def test_a_model_that_draws_from_its_vocabulary_is_told_of() -> None:
    batch = {"labels": torch.randint(0, 50, (3, 8), generator=torch.Generator().manual_seed(0))}
    same = LEARNING.validation(SimpleNamespace(logits=torch.zeros(3, 8, 50)), batch).tolist()
    assert "predicts the 24 validation tokens no better than by drawing" in LEARNING.degenerate(same, ["document"])
    right = 5.0 * F.one_hot(batch["labels"], 50)
    assert LEARNING.degenerate(LEARNING.validation(SimpleNamespace(logits=right), batch).tolist(), []) == ""


def test_a_decoder_without_a_padding_token_pads_by_its_boundary(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_task_tokenizer(folder, "text-generation")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    told = (folder / "tokenizer_config.json").read_text()
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(told.replace('"eos_token"', '"other_token"'))
    with pytest.raises(ModelError, match="has no end-of-sequence token, by which documents are parted"):
        load_task_tokenizer(tmp_path, "text-generation")


def test_a_decoder_is_taken_for_writing_alone_and_an_encoder_for_all_else(model: LlamaForCausalLM) -> None:
    from transformers import AutoModelForSequenceClassification, BertConfig

    check_kind("x", model.config, LEARNING.auto_model)
    with pytest.raises(ModelError, match="is not a decoder alone, which a language model is here"):
        check_kind("x", BertConfig(), LEARNING.auto_model)
    with pytest.raises(ModelError, match=r"is a decoder, and this task takes encoders.*or set task=text-generation"):
        check_kind("x", model.config, AutoModelForSequenceClassification)


def test_a_checkpoint_that_hone_did_not_make_is_told_by_its_head() -> None:
    assert learning_of(SimpleNamespace(architectures=["LlamaForCausalLM"])).name == "text-generation"
