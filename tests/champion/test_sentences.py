"""A champion that tags words: asked on sentences that it has not learned from, in its own tags, and compared."""

import random
from pathlib import Path

import numpy as np
import pytest

from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks import evidence, lineage, store
from hone.tasks.champion.answers import asked_as
from hone.tasks.contracts import ExportedModels, OnnxModel, PreparedData, StageRecord
from hone.tasks.data.task import prepare_data
from hone.tasks.errors import RegistryError
from hone.tasks.gate.champion import champion_checks
from hone.tasks.gate.decision import decide
from hone.tasks.gate.old_data import ON_OLD_DATA, old_data_checks
from hone.tasks.model.runtime.model_under_test import registered
from hone.tasks.model.runtime.predict import predict
from hone.tasks.model.text import Rows, exclude_training_rows, read_split
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.labels import UNHEARD
from hone.tasks.stage import RunContext
from tests.champion.asking import ask
from tests.probe.served_tagger import LABELS, write_served_tagger

JUDGING = judging("token-classification")
RECORD = StageRecord(name="export", status="ran", reason="first run of this stage", seconds=1.0)
MAX_LENGTH = 8
NOW = ["O", "B-animal", "I-animal", *LABELS[1:]]
HOW = {"max_length": MAX_LENGTH, "batch_size": 32, "providers": ["cpu"], "threads": 0}


def write_conll(file: Path, seed: int, count: int) -> list[str]:
    """Sentences of the tagger's words, some of them longer than it reads at once, in which people and places are
    entities; the same seed begins with the same sentences."""
    draw = random.Random(seed)
    sentences = []
    for _ in range(count):
        words = draw.choices(["Ann", "Lee", "left", "Rome", "maybe", f"word{draw.random()}"], k=draw.randint(3, 12))
        kinds = {"Ann": "B-person", "Lee": "B-person", "Rome": "B-place"}
        sentences.append("".join(f"{word}\t{kinds.get(word, 'O')}\n" for word in words) + "\n")
    file.write_text("".join(sentences))
    return sentences


def recipe_of(train: Path, test: Path | None = None) -> Recipe:
    files = {"train": str(train), "test": str(test or "")}
    return parse_recipe(
        {
            "name": "news",
            "task": "token-classification",
            "data": {"tokens_column": "tokens", **files},
            "model": {"source": "a", "max_length": MAX_LENGTH},
        }
    )


@pytest.fixture
def taggers(tmp_path: Path) -> dict[str, Path]:
    """The candidate does not know what the champion knows."""
    return {name: write_served_tagger(tmp_path / name, seed) for seed, name in enumerate(("champion", "candidate"))}


class Asked:
    """A champion that learned from 100 sentences, and a run on others, whose test split has 40 of these; it knows one
    type of entity more."""

    def __init__(self, taggers: dict[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old, now, test = (folder / f"{name}.conll" for name in ("old", "now", "test"))
        before = write_conll(old, 0, 100)
        self.old = self._prepared(recipe_of(old), folder / "before")
        write_conll(now, 1, 100)
        now.write_text(now.read_text() + "".join(f"cat\tB-animal\n{word}\tO\n\n" for word in "abcdefgh"))
        write_conll(test, 2, 40)
        test.write_text(test.read_text() + "".join(before[:40]))
        self.recipe = recipe_of(now, test)
        self.data = self._prepared(self.recipe, folder / "storage")
        exported = store.describe(taggers["candidate"], [])
        model = OnnxModel(
            name="quantized",
            stage="quantize",
            artifact=exported,
            precision="fp32",
            parameters=1,
            graph_bytes=1,
            source=exported,
        )
        models = ExportedModels(record=RECORD, models=[model])
        learned, storage = lineage.OldData(self.old), folder / "storage"
        self.answers = ask(self.recipe, self.data, models, taggers["champion"], storage, learned, monkeypatch)

    @staticmethod
    def _prepared(recipe: Recipe, storage: Path) -> PreparedData:
        return prepare_data.fn(RunContext(recipe=recipe, output=str(storage), storage=str(storage)))

    def split(self, name: str) -> Rows:
        return read_split(store.open_artifact(self.data.artifact), name)


@pytest.fixture
def asked(taggers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(taggers, tmp_path, monkeypatch)


def test_a_champion_tagger_answers_what_it_has_not_learned_in_its_own_tags_and_is_compared(
    asked: Asked, taggers: dict[str, Path]
) -> None:
    found, test = asked.answers, asked.split("test")
    assert (found.record.status, found.missing) == ("ran", "")
    learned = [read_split(store.open_artifact(asked.old.artifact), split) for split in ("train", "validation")]
    fair = exclude_training_rows(test, learned)
    assert 40 <= len(fair) < len(test) == 80
    assert (
        found.note
        == f"{len(test) - len(fair):,} of {len(test):,} test rows left out, as the champion has learned from them"
    )
    assert asked.data.labels == NOW
    assert found.artifact is not None
    folder = store.open_artifact(found.artifact)
    assert evidence.read_rows(folder, len(test)).tolist() == fair
    logits = evidence.read_logits(folder, "champion")
    rows = test.pick(fair)
    own = predict(registered(taggers["champion"]), rows, **HOW)
    assert logits is not None
    assert logits.lengths.tolist() == [len(words) for words in rows.tokens or []]
    np.testing.assert_allclose(logits.values[:, [0, *range(3, 7)]], own.values, atol=1e-5)
    assert (logits.values[:, 1:3] == UNHEARD).all()  # a type that is new to it is never its answer
    targets = JUDGING.targets(test)
    candidate = JUDGING.statistics(
        JUDGING.translate(predict(registered(taggers["candidate"]), test, **HOW), LABELS, NOW), targets
    )
    (check,) = decide(champion_checks(asked.recipe.gate, found, JUDGING, targets, candidate, 0), level=0.05)
    f1 = JUDGING.metrics["f1"]
    expected = f1.of(candidate[fair]) - f1.of(JUDGING.statistics(logits, targets[fair]))
    assert (check.name, check.rows, check.value) == ("f1_difference", len(fair), pytest.approx(expected))
    assert expected < -0.1


def test_both_taggers_answer_the_champions_own_test_sentences(asked: Asked) -> None:
    (check,) = decide(old_data_checks(asked.recipe.gate, asked.answers, JUDGING, 0), level=0.05)
    assert (check.name, check.subject) == ("f1_difference", ON_OLD_DATA)
    assert check.value is not None


def test_a_tagger_is_not_compared_with_what_is_served_for_another_task(taggers: dict[str, Path]) -> None:
    own = {"task": "text-classification", "max_length": MAX_LENGTH, "lowercase": False, "strip_punctuation": False}
    with pytest.raises(
        RegistryError, match="news version 7 is served for token-classification, and this recipe's task is"
    ):
        asked_as("news version 7", {"model": taggers["champion"]}, own)
