"""The registered model as MLflow runs it: text in, label and scores out, by `runtime.py`, which is logged with it.

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


class Pair(BaseModel):
    """Two texts that are judged together."""

    text: str
    text_pair: str


class _Classifier(PythonModel):
    def load_context(self, context: Any) -> None:
        """Opens the exported folder with the runtime beside it, under a name of its own: several models, each with its
        own runtime, can be open in one process."""
        spec = importlib.util.spec_from_file_location("hone_runtime", context.artifacts["runtime"])
        runtime = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
        spec.loader.exec_module(runtime)  # type: ignore[union-attr]
        self._model = runtime.Classifier(Path(context.artifacts["model"]), context.model_config["session"])


class TextClassifier(_Classifier):
    """Takes a list of texts."""

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[Answer]:
        """One answer for each text, in their order."""
        return self._model.answers(list(model_input))


class PairClassifier(_Classifier):
    """Takes a list of `{"text": ..., "text_pair": ...}`."""

    def predict(self, context: Any, model_input: list[Pair], params: dict[str, Any] | None = None) -> list[Answer]:
        """One answer for each pair, in their order."""
        texts, pairs = [row.text for row in model_input], [row.text_pair for row in model_input]
        return self._model.answers(texts, pairs)


_settings = ModelConfig(development_config={"pairs": False, "session": {}}).to_dict()
set_model(PairClassifier() if _settings["pairs"] else TextClassifier())
