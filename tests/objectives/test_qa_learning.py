"""Windows of questions are learned as SQuAD's models are: an answer's first and last token, or none."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering

from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.model.teacher.inference import with_copies
from hone.tasks.model.text import NO_TARGET, Rows, make_batch, model_inputs
from hone.tasks.objectives.learning import learning, learning_of
from hone.tasks.objectives.question_answering.answering import NEVER
from tests.tiny import FILLER, write_encoder

LEARNING = learning("question-answering")
LENGTH = 16
LONG = " ".join(FILLER * 3)
ROWS = Rows(
    ["a film", "of music", "a story"],
    ["the film is superb", LONG, "a dull plot"],
    np.array([0, 0, 1]),
    spans=[[(12, 18)], [(0, 8), (4, 8)], []],
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(write_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> BertForQuestionAnswering:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=32)  # fmt: skip
    return BertForQuestionAnswering(config).eval()


def test_a_question_becomes_windows_whose_targets_are_the_answers_tokens(tokenizer: Any) -> None:
    text = LEARNING.encode(tokenizer, ROWS, LENGTH)
    assert text.sources.tolist() == [0, *[1] * (len(text) - 2), 2]
    first = text.labels[: text.offsets[1]]
    names = tokenizer.convert_ids_to_tokens(text.ids[: text.offsets[1]].tolist())
    # [CLS] a film [SEP] the film is s ##u ... [SEP]
    assert first[0] == 0
    assert (first[[1, 2, 3, -1]] == NO_TARGET).all()
    assert [names[place] for place in np.flatnonzero(first & 1 > 0) if first[place] > 0] == ["superb"]
    windows = [text.labels[a:b] for a, b in zip(text.offsets[:-1], text.offsets[1:], strict=True)]
    assert [window[0] for window in windows] == [0, 0, *[3] * (len(windows) - 2)]  # none in the others
    assert LEARNING.labelled(make_batch(text, np.arange(len(text)), 0, "cpu")).all()


def test_the_loss_is_that_of_transformers_over_the_tokens_of_the_context(tokenizer: Any, model: Any) -> None:
    text = LEARNING.encode(tokenizer, ROWS, LENGTH)
    batch = make_batch(text, np.arange(len(text)), tokenizer.pad_token_id, "cpu")
    with torch.no_grad():
        output = model(**model_inputs(batch))
        inside = batch["labels"] != NO_TARGET
        places = [((batch["labels"].clamp(min=0) & flag) > 0).long().argmax(1) for flag in (1, 2)]
        alone = [logits.masked_fill(~inside, -1e9) for logits in (output.start_logits, output.end_logits)]
        halves = [torch.nn.functional.cross_entropy(*one, reduction="none") for one in zip(alone, places, strict=True)]
        assert torch.allclose(LEARNING.loss(output, batch), sum(halves) / 2, atol=1e-6)
        targets = LEARNING.targets(output, batch)
        assert targets.shape == (*inside.shape, 2)
        assert LEARNING.distillation_loss(output, targets, batch, 2.0).abs().max() < 1e-6
        other = targets + torch.randn(targets.shape, generator=torch.Generator().manual_seed(0)) * inside[..., None]
        assert (LEARNING.distillation_loss(output, other, batch, 2.0) > 0).all()
        unmasked = targets + 5 * (~inside)[..., None]  # what the teacher says of the question is nobody's business
        assert LEARNING.distillation_loss(output, unmasked, batch, 2.0).abs().max() < 1e-6
    assert learning_of(SimpleNamespace(architectures=["DistilBertForQuestionAnswering"])).name == "question-answering"


def test_copies_are_known_to_the_teacher_alone(tokenizer: Any, model: Any) -> None:
    rows = with_copies(ROWS, 1, 0, "[MASK]", {})
    assert len(rows.spans) == len(rows) == 6
    text = LEARNING.encode(tokenizer, rows, LENGTH)
    batch = make_batch(text, np.arange(len(text)), tokenizer.pad_token_id, "cpu")
    copies = torch.from_numpy(text.sources >= 3)
    assert (LEARNING.labelled(batch) == ~copies).all()
    with torch.no_grad():
        output = model(**model_inputs(batch))
    assert (LEARNING.loss(output, batch)[copies] == 0).all()
    assert LEARNING.validation(output, batch)[1] == int((~copies).sum())
    assert (LEARNING.distillation_loss(output, LEARNING.targets(output, batch) * 0, batch, 1.0)[copies] > 0).all()


def test_validation_counts_windows_by_their_tokens() -> None:
    labels = torch.tensor([[0, NO_TARGET, 0, 1, 2, 0], [3, NO_TARGET, 0, 0, 0, 0], [0, NO_TARGET, 3, 0, 0, 0]])
    start, end = torch.zeros(3, 6), torch.zeros(3, 6)
    start[0, 2], end[0, 3] = 9, 9  # tokens 2 to 3, where 3 to 4 are right
    start[1, 0], end[1, 0] = 9, 9  # none, which is right
    start[1, 1], end[1, 1] = 99, 99  # of the question
    start[2, 0], end[2, 0] = 9, 9  # none, where 2 is right
    sums = LEARNING.validation(SimpleNamespace(start_logits=start, end_logits=end), {"labels": labels}).tolist()
    assert sums[1:] == [3, 1, 1.5, 2]
    assert LEARNING.validation_metrics(sums) == {"f1": 0.5, "exact_match": 1 / 3, "loss": sums[0] / 3}
    assert LEARNING.degenerate(sums, []) == ""
    assert "says of all 3 windows" in LEARNING.degenerate([1.0, 3, 1, 1, 3], [])
    assert LEARNING.degenerate([1.0, 3, 3, 3, 3], []) == ""


def test_data_in_which_every_question_has_an_answer_chooses_no_threshold() -> None:
    def finished() -> Any:
        raise AssertionError("nobody is asked")

    assert LEARNING.config_measured(finished, lambda: ROWS.pick([0, 1]), LENGTH) == {"no_answer_threshold": NEVER}
    assert learning("text-classification").config_measured(finished, lambda: ROWS, LENGTH) == {}
