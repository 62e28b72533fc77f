"""The trainable of every stage with a teacher: distil, the recovery after pruning, quantisation-aware fine-tuning.

L = alpha * L_hard + (1 - alpha) * L_soft + hidden_weight * L_hidden + relation_weight * L_relation
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.model import DistillSettings
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.layers import layer_modules
from hone.tasks.model.architectures.linears import embeddings
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.teacher.inference import recorded
from hone.tasks.model.teacher.outputs import ROWS, TeacherOutputs
from hone.tasks.model.text import Batch, Output, TokenizedText, model_inputs, token_marks
from hone.tasks.model.tokenized import Split
from hone.tasks.model.training import losses
from hone.tasks.model.training.modifier import Modifier, Unmodified
from hone.tasks.model.training.projections import Weights, fit, new_projections, read_projections, write_projections
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.objectives.learning import Learning, learning


class DistillationModule(nn.Module):
    """A student and its losses. Where its width is not the teacher's, projections train along (see `projections`)."""

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: TeacherOutputs,
        loss: DistillSettings,
        teacher_layers: list[int],
        seed: int,
        trained: Weights | None = None,
        *,
        objective: Learning,
    ) -> None:
        """
        Args:
            seed: of projections that are new.
            trained: what `read_projections` found beside the student.
            objective: what the student learns.
        """
        super().__init__()
        self.student = student
        self.teacher = teacher
        self._objective = objective
        self._loss = loss
        self._teacher_layers = teacher_layers
        self.projections = new_projections(student, teacher, teacher_layers if loss.hidden_weight else [], seed)
        self.trained = not self.projections
        """Whether hidden states are compared as they are, or through projections that were trained."""
        if fit(trained or {}, self.projections):
            self.projections.load_state_dict(trained or {})
            self.trained = True

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Sums over the batch's rows: `loss`, and the parts it is made of, unweighted."""
        loss, rows, mask, objective = self._loss, batch["rows"], batch["attention_mask"], self._objective
        last = layer_modules(self.student)[-1] if loss.relation_weight else None
        with recorded(last) as vectors:
            answer = self.student(**model_inputs(batch), output_hidden_states=bool(loss.hidden_weight))
        with torch.autocast(rows.device.type, enabled=False):
            hard = objective.loss(answer, batch)
            targets = self.teacher.targets(rows, mask.shape[1])
            soft = objective.distillation_loss(answer, targets, batch, loss.temperature)
            total = losses.mix(hard, soft, objective.labelled(batch), loss.alpha)
            parts = {"hard_loss": hard, "soft_loss": soft}
            if loss.hidden_weight:
                parts["hidden_loss"] = self._weighed(self._hidden(answer.hidden_states[1:], rows, mask), batch)
                total = total + loss.hidden_weight * parts["hidden_loss"]
            if loss.relation_weight:
                parts["relation_loss"] = self._weighed(self._relations(vectors, rows, mask), batch)
                total = total + loss.relation_weight * parts["relation_loss"]
        return {"loss": total.sum(), **{name: part.detach().sum() for name, part in parts.items()}}

    def _weighed(self, means: Tensor, batch: Batch) -> Tensor:
        """Means over each row as sums, where a row's own loss is one: a weight means the same beside either."""
        return means * batch["weights"] if "weights" in batch else means

    def _hidden(self, states: tuple[Tensor, ...], rows: Tensor, mask: Tensor) -> Tensor:
        """Mean over the matched layers, so that the weight means the same for a student of any depth."""
        total = torch.zeros(len(rows), device=rows.device)
        for index, layer in enumerate(self._teacher_layers):
            state = states[index].float()
            if str(index) in self.projections:
                state = self.projections[str(index)](state)
            total = total + losses.hidden_loss(state, self.teacher.hidden(layer, rows, mask.shape[1]), mask)
        return total / len(self._teacher_layers)

    def _relations(self, vectors: list[Tensor], rows: Tensor, mask: Tensor) -> Tensor:
        """Sum over query-query, key-key and value-value relations of the last layers."""
        taught = self.teacher.relations(rows, mask.shape[1])
        heads = losses.relation_heads(vectors[0].shape[-1], taught[0].shape[-1], self.teacher.heads)
        pairs = zip(vectors, taught, strict=True)
        return torch.stack([losses.relation_loss(own, other, mask, heads) for own, other in pairs]).sum(dim=0)


@dataclass
class DistillationTrainable:
    """A student that learns from the teacher's outputs (see `trainable.Trainable`)."""

    student: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    module: DistillationModule
    """The student and its losses."""
    train: TokenizedText
    validation: TokenizedText
    texts: int
    """Training texts; they come first in `train`, and after them their perturbed copies, each of them in one row or
    several."""
    modifier: Modifier = field(default_factory=Unmodified)
    """What changes the student while it learns; a stage may put its own here, such as one that holds a mask."""

    def epoch_rows(self, epoch: int) -> npt.NDArray[np.int64]:
        """Every text and, of its perturbed copies, one: another one each time, until they begin again. Where copies of
        long texts have more windows in one epoch than in another, the last ones are left out."""
        sources = np.arange(len(self.train)) if self.train.sources is None else self.train.sources
        ends = np.cumsum(np.bincount(sources // self.texts))
        if len(ends) == 1:
            return np.arange(ends[0])
        start = int(ends[(epoch - 1) % (len(ends) - 1)])
        return np.concatenate([np.arange(ends[0]), np.arange(start, start + int(np.diff(ends).min()))])

    def predict(self, batch: Batch) -> Output:
        """What the student answers, fp32 in evaluation mode, without gradients."""
        self.module.eval()
        with torch.no_grad():
            output: Output = self.student(**model_inputs(batch))
        return output

    def before_step(self, step: int, total: int) -> None:
        """Whatever the stage changes."""
        self.modifier.before_step(step, total)

    def after_step(self) -> None:
        """Whatever the stage holds."""
        self.module.trained = True
        self.modifier.after_step()

    def settled(self, step: int, total: int) -> bool:
        """Whether the stage has changed all that it wants to."""
        return self.modifier.settled(step, total)

    def save(self, folder: Path) -> None:
        """The student: config, safetensors, tokenizer; and in a folder of their own the projections it was taught
        through, where a step has trained them."""
        save_model(self.student, self.tokenizer, folder)
        if self.module.trained:
            write_projections(self.module.projections.state_dict(), folder)

    def close(self) -> None:
        """Closes the files of the teacher's outputs."""
        self.module.teacher.close()


def distillation_arguments(
    *,
    student: Path,
    data: Path,
    teacher_outputs: Path,
    loss: DistillSettings,
    max_length: int,
    student_layers: list[int],
    train_text: Path | None = None,
    validation_text: Path | None = None,
) -> dict[str, Any]:
    """What `make_trainable` needs, as `TrainingJob.arguments`.

    Args:
        student: folder of the student's checkpoint.
        data: folder of the prepared data.
        teacher_outputs: folder that `teacher_outputs.prepare` returned.
        student_layers: for each layer of the student, the teacher's layer it is matched with, counted from 0.
        train_text: folder with the teacher's rows as the student's tokenizer reads them (`TokenizedSplits.folder`);
            None: each worker tokenizes them itself.
        validation_text: the same of the validation split.
    """
    return {
        "student": student,
        "data": data,
        "teacher_outputs": teacher_outputs,
        "loss": loss,
        "max_length": max_length,
        "student_layers": student_layers,
        "train_text": train_text,
        "validation_text": validation_text,
    }


def make_trainable(job: TrainingJob, device: torch.device) -> DistillationTrainable:
    """The trainable for a job whose arguments are `distillation_arguments`.

    Raises:
        ModelError: when tokens or layers are to be matched and the student's do not correspond to the teacher's.
    """
    student = load_model(job.arguments["student"])
    tokenizer = load_tokenizer(job.arguments["student"])
    objective = learning(job.task)
    teacher = TeacherOutputs(job.arguments["teacher_outputs"])
    loss, max_length = job.arguments["loss"], job.arguments["max_length"]
    layers = job.arguments["student_layers"]
    asked = Split(job.arguments["teacher_outputs"] / ROWS, tokenizer, max_length, job.task, teacher.mask_token)
    unseen = Split(job.arguments["data"] / "validation.parquet", tokenizer, max_length, job.task)
    split, validation = asked.open(job.arguments["train_text"]), unseen.open(job.arguments["validation_text"])
    train = split.text
    if loss.hidden_weight or loss.relation_weight or teacher.by_token:
        differing = teacher.other_tokens(train, token_marks(tokenizer, train))
        if differing and teacher.by_token:
            raise ModelError(
                f"{differing} of {len(train)} texts have other tokens for the student than for the teacher, and "
                f"{job.task} is learned token by token: give the student the teacher's tokenizer"
            )
        if differing:
            raise ModelError(
                f"{differing} of {len(train)} texts have other tokens for the student than for the teacher, so hidden "
                "states and relations cannot be matched token by token: set distill.hidden_weight=0 and "
                "distill.relation_weight=0, which leaves its predictions, or give the student the teacher's tokenizer"
            )
    if loss.hidden_weight and len(layers) != student.config.num_hidden_layers:
        raise ModelError(
            f"{len(layers)} teacher layers {layers} are to be matched by a student of "
            f"{student.config.num_hidden_layers} layers: name one for each"
        )
    objective.begin(student, train)
    _configure(student, loss)
    trained = read_projections(job.arguments["student"])
    distillation = DistillationModule(student, teacher, loss, layers, job.seed, trained, objective=objective).to(device)
    return DistillationTrainable(student, tokenizer, distillation, train, validation.text, texts=split.labelled)


def _configure(student: PreTrainedModel, loss: DistillSettings) -> None:
    """Sets the student's dropout, and holds its embeddings where the settings say so."""
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = loss.dropout
    if loss.freeze_embeddings:
        for table in embeddings(student).values():
            table.requires_grad_(False)
