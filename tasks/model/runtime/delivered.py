"""An exported model as it leaves: its folder, and beside the graph how the session is made that it was judged with."""

import shutil
from pathlib import Path

from hone.configs.recipe import Recipe
from hone.tasks import words
from hone.tasks.contracts import SessionSettings
from hone.tasks.model.runtime import decoding, runtime
from hone.tasks.model.runtime.runtime import SESSION
from hone.tasks.objectives.question_answering.answering import Answerer
from hone.tasks.objectives.text_generation import chat
from hone.tasks.objectives.text_generation.generating import Generator
from hone.tasks.objectives.token_classification import windows
from hone.tasks.objectives.token_classification.spans import Tagger


def default_session(recipe: Recipe) -> SessionSettings:
    """Where nothing was measured that would say which: the recipe's providers and one thread."""
    return SessionSettings(providers=[str(name) for name in recipe.export.providers], threads=1, memory_arena=True)


def deliver(exported: Path, into: Path, session: SessionSettings) -> Path:
    """Copies an exported folder to a new one, with `session.json` in it, and returns that."""
    shutil.copytree(exported, into)
    (into / SESSION).write_text(session.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return into


def open_tagger(folder: Path) -> Tagger:
    """A delivered folder that tags words, by the files that serve it."""
    return Tagger(folder, runtime=runtime, windows=windows, words=words)


def open_answerer(folder: Path) -> Answerer:
    """A delivered folder that answers questions, by the files that serve it."""
    return Answerer(folder, runtime=runtime)


def open_generator(folder: Path) -> Generator:
    """A delivered folder that continues prompts and answers chats, by the files that serve it."""
    return Generator(folder, runtime=runtime, decoding=decoding, chat=chat)
