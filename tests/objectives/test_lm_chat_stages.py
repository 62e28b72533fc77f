"""Conversations through the stages that learn: the data and the chat template alone differ from those of documents."""

from pathlib import Path

import pytest
import torch

from hone.tasks import store
from hone.tasks.data.task import prepare_data
from hone.tasks.distill.task import distill_student
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.stage import RunContext
from hone.tasks.train.task import train_teacher
from tests.objectives.chats import TEMPLATE, write_conversations
from tests.objectives.documents import recipe_of, write_decoder

pytestmark = pytest.mark.usefixtures("works_here")


def test_a_teacher_and_its_student_learn_to_answer(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    chats = write_conversations(tmp_path / "chats.jsonl", 120)
    recipe = recipe_of(
        tmp_path,
        data={"train": str(chats), "messages_column": "messages", "slice_columns": ["turns"]},
        train={"epochs": 4, "learning_rate": 1e-2, "batch_size": 8},
        distill={"student": str(tmp_path / "small"), "epochs": 3, "hidden_weight": 0, "freeze_embeddings": False,
                 "learning_rate": 1e-2, "batch_size": 8},
    )  # fmt: skip
    for name, layers in (("decoder", 2), ("small", 1)):
        write_decoder(tmp_path / name, layers=layers, template=TEMPLATE)
    context = RunContext(recipe=recipe, output=str(tmp_path / "out"), storage=str(tmp_path / "storage"))
    data = prepare_data.fn(context)
    assert "; conversations; left out: " in data.headline()
    teacher = train_teacher.fn(context, data)
    student = distill_student.fn(context, data, teacher)
    for stage in (teacher, student):
        assert stage.checkpoint.validation_metrics["perplexity"] < 4, stage.checkpoint.validation_metrics
        assert load_tokenizer(store.open_artifact(stage.checkpoint.artifact)).chat_template == TEMPLATE
