"""Models that tag words are judged by whole entities, sentence by sentence."""

import numpy as np
import pytest

from hone.configs.delivery import EvaluateSettings
from hone.configs.recipe import METRICS, RecipeError, parse_recipe
from hone.tasks.gate.paired import paired_difference
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import FormDifference, compared, judging
from hone.tasks.objectives.ragged import Ragged

JUDGING = judging("token-classification")
LABELS = ["O", "B-person", "I-person", "B-place", "I-place"]
SENTENCES = [["Ann", "Lee", "left", "Rome"], ["nobody"], ["Rome", "wept"]]
TAGS = [[1, 2, 0, 3], [0], [3, 0]]
ANSWERED = [[1, 2, 0, 0], [3], [3, 0]]
"""Rome is missed once, and made up once."""


def rows(tags: list[list[int]] = TAGS, sentences: list[list[str]] = SENTENCES) -> Rows:
    texts = [" ".join(words) for words in sentences]
    marks = [np.array(several, np.int64) for several in tags]
    return Rows(texts, None, np.full(len(texts), -1, np.int64), tokens=sentences, tags=marks)


TARGETS = JUDGING.targets(rows())


def logits(tags: list[list[int]], sure: float = 5.0) -> Ragged:
    flat = [tag for several in tags for tag in several]
    return Ragged(np.eye(len(LABELS), dtype=np.float32)[flat] * sure, JUDGING.targets(rows(tags)).offsets)


def test_the_score_is_of_entities_and_each_type_has_its_own() -> None:
    score = JUDGING.score(logits(ANSWERED), TARGETS, EvaluateSettings())
    assert score.metrics == pytest.approx({"f1": 2 / 3, "precision": 2 / 3, "recall": 2 / 3, "macro_f1": 0.75})
    assert score.parts[1] == {"f1": 1.0, "precision": 1.0, "recall": 1.0, "entities": 1.0}
    assert score.parts[3] == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "entities": 2.0}
    assert score.confusion == []


def test_statistics_of_sentences_add_up_to_the_metric_and_are_compared_in_pairs() -> None:
    found, perfect = JUDGING.statistics(logits(ANSWERED), TARGETS), JUDGING.statistics(logits(TAGS), TARGETS)
    assert found.tolist() == [[1, 1, 1, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1, 0]]
    difference = paired_difference(found, perfect, JUDGING.metrics["f1"], resamples=200, seed=0)
    assert difference.value == pytest.approx(-1 / 3)
    assert (difference.won, difference.lost) == (0, 1)


def test_a_sentence_with_an_answer_that_is_no_number_predicts_nothing_and_is_told() -> None:
    broken = logits(TAGS)
    broken.values[1, 0] = np.nan
    statistics = JUDGING.statistics(broken, TARGETS)
    assert JUDGING.unanswered(statistics).tolist() == [True, False, False]
    assert statistics[0].tolist() == [1, 1, 0, 0, 0, 0, 1]
    assert JUDGING.score(broken, TARGETS, EvaluateSettings()).metrics == {"nonfinite_rows": 1.0}
    assert JUDGING.compare(logits(TAGS), broken, TARGETS).max_abs_difference == np.inf


def test_two_forms_are_compared_word_by_word() -> None:
    found = JUDGING.compare(logits(TAGS), logits(ANSWERED), TARGETS)
    assert (found.max_abs_difference, found.agreement) == (5.0, pytest.approx(5 / 7))
    assert found.accuracy_difference == pytest.approx(-1 / 3)
    assert JUDGING.compare(logits(TAGS), logits(TAGS), TARGETS) == FormDifference(0.0, 0.0, 1.0, 0.0)
    assert JUDGING.compare(logits(TAGS), logits(TAGS)[1:], TARGETS).agreement == 0.0


def test_slices_are_types_and_whether_training_had_the_entities() -> None:
    train = rows([[3]], [["ROME"]])
    found = JUDGING.slices(TARGETS, LABELS, rows(), lambda: train)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "type = person": [True, False, False],
        "type = place": [True, False, True],
        "entities = seen": [False, False, True],
        "entities = new": [True, False, False],
    }
    assert "entities = new" not in JUDGING.slices(TARGETS, LABELS, rows(), rows)
    assert list(JUDGING.slices(TARGETS, LABELS)) == ["type = person", "type = place"]


def test_the_baseline_answers_as_a_model_does() -> None:
    fitted = JUDGING.baseline(rows(), LABELS)
    assert np.array_equal(fitted.answers(rows()).values.argmax(axis=1), TARGETS.values)
    untagged = Rows(["Ann left"], None, np.zeros(1, np.int64))
    assert fitted.answers(untagged).values.argmax(axis=1).tolist() == [1, 0]
    assert fitted.words[0] == "Ann"
    assert fitted.parameters > 0


def test_answers_are_translated_by_the_names_of_tags() -> None:
    own = ["O", "B-place", "I-place", "B-ship", "I-ship"]
    answers = Ragged(np.array([[0, 3, 0, 0, 0], [0, 0, 0, 9, 0]], np.float32), np.array([0, 2]))
    assert JUDGING.translate(answers, own, LABELS).values.tolist() == [[0, -60, -60, 3, 0], [0, -60, -60, 0, 0]]


def test_the_report_shows_entities_or_where_they_stand() -> None:
    shown = JUDGING.examples(TARGETS, logits(ANSWERED), logits(TAGS), LABELS, rows().texts)
    assert shown[0]["label"] == "Ann Lee (person), Rome (place)"
    assert (shown[0]["candidate"], shown[1]["reference"]) == ("Ann Lee (person)", "none")
    hidden = JUDGING.examples(TARGETS, logits(ANSWERED), logits(TAGS), LABELS)
    assert hidden[0]["label"] == "words 1–2 (person), word 4 (place)"
    least = float(np.exp(5) / (np.exp(5) + 4))
    assert [one["probability"] for one in hidden] == pytest.approx([least] * 3)


@pytest.mark.parametrize("task", METRICS)
def test_recipes_name_the_metrics_of_their_task_and_none_is_its_primary_one(task: str) -> None:
    objective = judging(task)
    assert set(METRICS[task]) == set(objective.metrics)
    assert [metric.name for metric in compared(objective, [])] == [objective.primary]
    assert [metric.name for metric in compared(objective, [METRICS[task][-1]])] == [METRICS[task][-1]]


def test_a_metric_of_another_task_is_refused() -> None:
    tree = {
        "name": "a",
        "task": "token-classification",
        "data": {"train": "a.conll", "tokens_column": "tokens"},
        "model": {"source": "a"},
        "gate": {"metrics": ["accuracy", "recall"]},
    }
    with pytest.raises(RecipeError, match=r"gate\.metrics names accuracy, in which no model is judged whose task is"):
        parse_recipe(tree)
