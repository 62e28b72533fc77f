"""The registered model that continues prompts, and answers chats where its tokenizer has a template for them, as MLflow
runs it: what follows each comes out, by `generating.py`, `decoding.py`, `chat.py` and `runtime.py`, which are logged
with it.

As `serving_model.py`, MLflow keeps a copy of this file with the model and executes it where the model is served, so it
knows nothing of Hone and needs no torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc import PythonModel
from pydantic import BaseModel

FILES = ("runtime", "decoding", "chat", "generating")


class Answer(BaseModel):
    """MLflow reads the signature of the output from it. The answers themselves are plain dictionaries, which its server
    writes as JSON."""

    text: str
    tokens: list[int]
    scores: list[float]
    """Probability of each token."""
    finished: bool
    """Whether the model ended the document."""


class Message(BaseModel):
    """A part of a chat."""

    role: str
    content: str


class Chat(BaseModel):
    """Messages, the last of which is to be answered."""

    messages: list[Message]


class _Generator(PythonModel):
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


class PromptContinuer(_Generator):
    """Takes a list of prompts."""

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[Answer]:
        """One continuation of each prompt, in their order."""
        return self._model.answers(list(model_input))


class ChatAnswerer(_Generator):
    """Takes a list of `{"messages": [{"role": ..., "content": ...}]}` and of prompts."""

    def predict(
        self, context: Any, model_input: list[Chat | str], params: dict[str, Any] | None = None
    ) -> list[Answer]:
        """The answer to each chat, and the continuation of each prompt, in their order."""
        given: list[Any] = list(model_input)  # of several types, MLflow hands over what it was given
        rows = [Chat.model_validate(row) if isinstance(row, dict) else row for row in given]
        return self._model.answers(
            [[one.model_dump() for one in row.messages] if isinstance(row, Chat) else row for row in rows]
        )


_settings = ModelConfig(development_config={"chats": False, "session": {}}).to_dict()
set_model(ChatAnswerer() if _settings["chats"] else PromptContinuer())
