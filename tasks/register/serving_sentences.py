"""The registered model that tags words as MLflow runs it: sentences in, their entities out, by `spans.py` and the files
beside it, which are logged with it.

As `serving_model.py`, MLflow keeps a copy of this file with the model and executes it where the model is served, so it
knows nothing of Hone and needs no torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel

FILES = ("runtime", "words", "windows", "spans")


class Entity(BaseModel):
    """MLflow reads the signature of the output from it. The answers themselves are plain dictionaries, which its server
    writes as JSON."""

    start: int
    """First character in the text; of a list of words, in the text that they make with blanks between them."""
    end: int
    """Behind the last one."""
    text: str
    type: str
    score: float
    """Mean of its words' probabilities of their tags."""


class SentenceTagger(PythonModel):
    """Takes a list of sentences, each a text or a list of words."""

    def load_context(self, context: Any) -> None:
        """Opens the exported folder with the files beside it, known to nobody else: several models, each with files of
        its own, can be open in one process."""
        modules = {}
        for name in FILES:
            path = context.artifacts[name]
            spec = importlib.util.spec_from_file_location(f"hone_{name}", path)
            modules[name] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # the file is there
            spec.loader.exec_module(modules[name])  # type: ignore[union-attr]
        tagger = modules.pop("spans").Tagger
        self._model = tagger(Path(context.artifacts["model"]), context.model_config["session"], **modules)

    # MLflow checks a union no more than Any. The tagger refuses what is neither a text nor a list of words.
    def predict(self, context: Any, model_input: list[Any], params: dict[str, Any] | None = None) -> list[list[Entity]]:
        """The entities of each sentence, in their order."""
        return self._model.answers([row.tolist() if hasattr(row, "tolist") else row for row in model_input])


set_model(SentenceTagger())
