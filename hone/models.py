"""A model that a run exported or registered, answering in this process as it is served."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hone.tasks.environment import temporary_variables


class Model:
    """A model that is ready to answer; made by `load_model`."""

    def __init__(self, name: str, classifier: Any, files: "tempfile.TemporaryDirectory[str]") -> None:
        self.name = name
        """As it was asked for."""
        self._classifier = classifier
        self._files = files  # what was downloaded lies there for as long as the model does

    def predict(self, texts: Sequence[str | Sequence[str]], pairs: Sequence[str] | None = None) -> list[Any]:
        """Answers texts in their order: of each the `label`, its `score`, and the `probabilities` of all labels; the
        `labels` above the model's threshold and all `probabilities`, where it may have several; or its `number`.

        A model that finds entities (`task: token-classification`) answers each text with a list of them, as
        transformers' pipeline does: `start` and `end` (exclusive) are characters, `text` what stands there, `type` the
        entity's, and `score` the mean of its words'. One that answers questions gives the `answer`, its `start` and
        `end` in the context, and its `score`; an empty one where the context holds none. A language model gives the
        `text` that follows each prompt, its `tokens` and their `scores`, and whether the document is `finished`.

        Args:
            texts: cleaned and cut here, as the model learned them. One that finds entities cuts none, and takes lists
                of words too, which count as joined by blanks. Questions, of one that answers them.
            pairs: the second text of each, where the model judges pairs; or the contexts of the questions.

        Raises:
            ValueError: when a text is no string (nor a list of words), or there are pairs where there should be none,
                or the reverse, or a prompt is too long.
        """
        if isinstance(texts, str):
            raise ValueError("texts is one string: give a list of texts, such as ['one text']")  # noqa: TRY004
        answers: list[Any] = self._classifier.answers(list(texts), None if pairs is None else list(pairs))
        return answers

    def __repr__(self) -> str:
        return f"Model({self.name!r})"


def load_model(name: str | Path, storage: str | Path = ".hone") -> Model:
    """Loads a model by what a person calls it.

    Args:
        name: `NAME@ALIAS` or `NAME/VERSION` in MLflow's registry, the folder of a run, or the folder of a model.
        storage: folder of MLflow's records, unless MLFLOW_TRACKING_URI is set.

    Raises:
        HoneError: when there is no such model, or it cannot be used.
    """
    from hone.flows.environment import QUIET

    # For as long as the engines are imported: what they read then, and no longer, as the process is the caller's.
    with temporary_variables({variable: value for variable, value in QUIET.items() if variable not in os.environ}):
        from hone.flows.predict import open_model

        files = tempfile.TemporaryDirectory(prefix="hone-model-", ignore_cleanup_errors=True)
        classifier = open_model(str(name), Path(storage).expanduser(), Path(files.name))
    return Model(str(name), classifier, files)
