"""The registered model as MLflow runs it: text in; label, labels or number out, by `runtime.py`, logged with it.

MLflow keeps a copy of this file with the model and executes it where the model is served, so it knows nothing of Hone
and needs no torch. `mlflow.pyfunc.load_model(uri, model_config={"session": {"providers": ["cpu"]}})` makes the session
otherwise than `session.json` says, for example on a machine without a GPU.
"""

import importlib.util
from pathlib import Path
from typing import Any

from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel


class Answer(BaseModel):
    """What the model says of one text: MLflow reads the signature of the output from it. The answers themselves are
    plain dictionaries, which its server writes as JSON."""

    label: str
    score: float
    """Probability of the label."""
    probabilities: dict[str, float]
    """By label; they add up to 1."""


class Label(BaseModel):
    """One of several."""

    label: str
    score: float
    """Its probability."""


class SeveralLabels(BaseModel):
    """What a model says whose texts may have several labels, or none."""

    labels: list[Label]
    """Those above the model's threshold, the likeliest first."""
    probabilities: dict[str, float]
    """By label, each for itself."""


class Number(BaseModel):
    """What a model says that answers with a number."""

    number: float


class Pair(BaseModel):
    """Two texts that are judged together."""

    text: str
    text_pair: str


ANSWERS = {"text-classification": Answer, "multi-label-classification": SeveralLabels, "regression": Number}
"""By what the model does."""


class _Classifier(PythonModel):
    def load_context(self, context: Any) -> None:
        """Opens the exported folder with the runtime beside it, under a name of its own: several models, each with its
        own runtime, can be open in one process."""
        spec = importlib.util.spec_from_file_location("hone_runtime", context.artifacts["runtime"])
        runtime = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
        spec.loader.exec_module(runtime)  # type: ignore[union-attr]
        self._model = runtime.Classifier(Path(context.artifacts["model"]), context.model_config["session"])


def text_model(answer: Any) -> PythonModel:
    """Takes a list of texts, and answers each with an `answer`, in their order."""

    class TextClassifier(_Classifier):
        def predict(
            self, context: Any, model_input: list[str], params: dict[str, Any] | None = None
        ) -> list[answer]:  # MLflow reads it where the class is made
            return self._model.answers(list(model_input))

    return TextClassifier()


def pair_model(answer: Any) -> PythonModel:
    """Takes a list of `{"text": ..., "text_pair": ...}`, and answers each likewise."""

    class PairClassifier(_Classifier):
        def predict(self, context: Any, model_input: list[Pair], params: dict[str, Any] | None = None) -> list[answer]:
            texts, pairs = [row.text for row in model_input], [row.text_pair for row in model_input]
            return self._model.answers(texts, pairs)

    return PairClassifier()


_settings = ModelConfig(development_config={"pairs": False, "task": "text-classification", "session": {}}).to_dict()
set_model((pair_model if _settings["pairs"] else text_model)(ANSWERS[_settings["task"]]))
