"""How a task is learned: what loop, compressors and the teacher's inference ask, so that none of them knows a task.

    from hone.tasks.objectives.learning import learning
    learning("text-classification").loss(model(**inputs), batch)

A task's own file is `tasks/objectives/<task>/learning.py`; it is named in `LEARNING`, where a stage's key finds it (see
`hone.tasks.code`, which follows imports and no text).
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import Batch, Finished, Output, Rows, TokenizedText
from hone.tasks.objectives.multi_label_classification.learning import MultiLabelClassification
from hone.tasks.objectives.question_answering.learning import QuestionAnswering
from hone.tasks.objectives.regression.learning import Regression
from hone.tasks.objectives.text_classification.learning import TextClassification
from hone.tasks.objectives.text_generation.learning import TextGeneration
from hone.tasks.objectives.token_classification.learning import TokenClassification


class Learning(Protocol):
    """What a model of one task learns from, and how it is measured while it learns.

    `output` is what the model returns for `model_inputs(batch)`. Row losses are computed in fp32 whatever the model's
    arithmetic; a loop sums them over a step and divides by what the step's rows weigh (`TokenizedText.weights`). The
    weights lie with the tokenized text, as every worker has to know those of the whole step before its backward pass.
    """

    name: Objective
    primary: str
    """The metric by which an epoch is chosen and patience ends; higher is better."""
    by_token: bool
    """Whether each token has an answer of its own."""
    by_word: bool
    """Whether rows are lists of words, each of which is to be read as it stands inside a text."""
    rows_at_once: int
    """Rows that are asked together where none is learned from: what a head answers of them is held in memory whole."""
    auto_model: Any
    """transformers' AutoModelFor... that loads and draws a model with this task's head."""
    problem_type: str | None
    """As transformers has it in a model's config, where several tasks have the same head; None where it needs none."""
    outputs: tuple[str, ...]
    """What the head answers: fields of the model's output, and names of the exported graph's outputs."""

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        """Fields of the model's config that say what it answers.

        Args:
            labels: label names by id.
        """
        ...

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """What a head that is newly drawn is given of the training split before it learns, such as the mean of the
        numbers; one that has learned stays as it is."""
        ...

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        """The rows as token ids with their targets, and with `weights` where rows do not weigh 1 each."""
        ...

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Loss with the labels, summed within each row [rows] fp32; exactly 0 where a row has no label."""
        ...

    def labelled(self, batch: Batch) -> Tensor:
        """Which rows have a label, and so a part in `loss`: [rows] bool. The others only the teacher knows."""
        ...

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """What a teacher's answer is reduced to before it is kept: [rows, width], or [rows, length, width] where each
        token has an answer of its own, fp32."""
        ...

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """How far the student's answer is from the teacher's, summed within each row [rows] fp32, in the unit of
        `loss`; 0 where they agree.

        Args:
            targets: as `targets` returned them for these rows, zero at padding.
        """
        ...

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """What `validation_metrics` needs of a batch, as sums over its rows: [k] fp64. Those of batches are added."""
        ...

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Metrics by name, `primary` and `loss` (mean; lower is better, and breaks ties) among them."""
        ...

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """Fields of the model's config that the validation split decides, such as a threshold: they are written with
        the epoch that is kept.

        Args:
            sums: as `validation` over the whole split.
        """
        ...

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """Fields beside those of `config_chosen` that need the finished model's answers to the validation split, as
        where a threshold is of whole rows and not of their windows.

        Args:
            finished: loads it, as it will answer, and its tokenizer.
            validation: reads the split.
        """
        ...

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """How right each row's answer is, [rows] fp64, higher is better: of two models, on which rows the one is
        better than the other."""
        ...

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """What is wrong with a model that answers every row alike, as "predicts 'good' for all 90 validation rows";
        empty where nothing is.

        Args:
            sums: as `validation` over the whole split.
            labels: label names by id.
        """
        ...


LEARNING: dict[Objective, Learning] = {
    "text-classification": TextClassification(),
    "multi-label-classification": MultiLabelClassification(),
    "regression": Regression(),
    "token-classification": TokenClassification(),
    "question-answering": QuestionAnswering(),
    "text-generation": TextGeneration(),
}


def learning(task: Objective) -> Learning:
    """What a recipe's objective asks of those that learn."""
    return LEARNING[task]


TASK = "hone_task"
"""The field of a model's config that names its objective, which is all that tells tasks of one head apart."""


def learning_of(config: PretrainedConfig) -> Learning:
    """The task of a saved model: whoever exports, measures or serves a checkpoint has its folder and no recipe.

    Of a model that Hone did not make, it follows from the head that its config names in `architectures`, and of one
    head from `problem_type`, as transformers has it. A config that names none of our heads, such as one of an encoder
    alone, is a text classifier's."""
    if (task := getattr(config, TASK, None)) in LEARNING:
        return LEARNING[task]
    for name in getattr(config, "architectures", None) or []:
        heads = [
            objective
            for objective in LEARNING.values()
            if name.endswith(objective.auto_model.__name__.removeprefix("AutoModel"))
        ]
        kind = getattr(config, "problem_type", None)
        if heads:
            return next((objective for objective in heads if objective.problem_type == kind), heads[0])
    return LEARNING["text-classification"]
