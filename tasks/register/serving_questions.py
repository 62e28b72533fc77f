"""The registered model that answers questions as MLflow runs it: questions with contexts in, a part of each context
out, by `answering.py` and `runtime.py`, which are logged with it.

As `serving_model.py`, MLflow keeps a copy of this file with the model and executes it where the model is served, so it
knows nothing of Hone and needs no torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel

FILES = ("runtime", "answering")


class Question(BaseModel):
    """What is asked, and the text that is to hold the answer."""

    question: str
    context: str


class Answer(BaseModel):
    """MLflow reads the signature of the output from it. The answers themselves are plain dictionaries, which its server
    writes as JSON. Where the context holds none, the answer is empty, from 0 to 0."""

    answer: str
    start: int
    """First character in the context."""
    end: int
    """Behind the last one."""
    score: float
    """Probability of the first token times that of the last one."""


class QuestionAnswerer(PythonModel):
    """Takes a list of `{"question": ..., "context": ...}`."""

    def load_context(self, context: Any) -> None:
        """Opens the exported folder with the files beside it, known to nobody else: several models, each with files of
        its own, can be open in one process."""
        modules = {}
        for name in FILES:
            path = context.artifacts[name]
            spec = importlib.util.spec_from_file_location(f"hone_{name}", path)
            modules[name] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
            spec.loader.exec_module(modules[name])  # type: ignore[union-attr]
        answerer = modules.pop("answering").Answerer
        self._model = answerer(Path(context.artifacts["model"]), context.model_config["session"], **modules)

    def predict(self, context: Any, model_input: list[Question], params: dict[str, Any] | None = None) -> list[Answer]:
        """One answer to each question, in their order."""
        return self._model.answers([row.question for row in model_input], [row.context for row in model_input])


set_model(QuestionAnswerer())
