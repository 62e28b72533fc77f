"""The registered model that continues prompts as MLflow runs it: prompts in, what follows each out, by `generating.py`,
`decoding.py` and `runtime.py`, which are logged with it.

As `serving_model.py`, MLflow keeps a copy of this file with the model and executes it where the model is served, so it
knows nothing of Hone and needs no torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel

FILES = ("runtime", "decoding", "generating")


class Answer(BaseModel):
    """MLflow reads the signature of the output from it. The answers themselves are plain dictionaries, which its server
    writes as JSON."""

    text: str
    tokens: list[int]
    scores: list[float]
    """Probability of each token."""
    finished: bool
    """Whether the model ended the document."""


class PromptContinuer(PythonModel):
    """Takes a list of prompts."""

    def load_context(self, context: Any) -> None:
        """Opens the exported folder with the files beside it, known to nobody else: several models, each with files of
        its own, can be open in one process."""
        modules = {}
        for name in FILES:
            path = context.artifacts[name]
            spec = importlib.util.spec_from_file_location(f"hone_{name}", path)
            modules[name] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
            spec.loader.exec_module(modules[name])  # type: ignore[union-attr]
        generator = modules.pop("generating").Generator
        self._model = generator(Path(context.artifacts["model"]), context.model_config["session"], **modules)

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[Answer]:
        """One continuation of each prompt, in their order."""
        return self._model.answers(list(model_input))


set_model(PromptContinuer())
