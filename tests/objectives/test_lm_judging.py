"""Language models are judged by document: perplexity of the teacher's tokens, bits per byte, the teacher's choices."""

import math
from typing import Any

import numpy as np
import pytest

from hone.configs.delivery import EvaluateSettings
from hone.tasks import evidence
from hone.tasks.gate.paired import paired_difference
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.ragged import ByToken
from hone.tasks.objectives.text_generation import baseline
from hone.tasks.objectives.text_generation.generating import CHOICE, NLL, WIDTH
from hone.tasks.objectives.text_generation.targets import choices_of, sizes_of
from tests.objectives.chats import conversations, learned, messages, pair, rows_of
from tests.objectives.documents import documents

JUDGING = judging("text-generation")
TEXTS = ["aé", "bcdef"]  # of 3 and 5 bytes
ROWS = Rows(TEXTS, None, np.zeros(2, np.int64))
SETTINGS = EvaluateSettings()


def answers(losses: list[list[float]], choices: list[list[int]]) -> ByToken:
    rows = []
    for loss, choice in zip(losses, choices, strict=True):
        row = np.zeros((len(loss), WIDTH), np.float32)
        row[:, NLL], row[:, CHOICE] = loss, choice
        rows.append(row)
    found = ByToken.of(rows, np.zeros((0, WIDTH), np.float32))
    assert isinstance(found, ByToken)
    return found


TEACHER = answers([[1.0, 2.0], [0.5, 0.5, 1.0]], [[7, 8], [9, 7, 7]])
TARGETS = JUDGING.with_reference(JUDGING.targets(ROWS), TEACHER)


def test_the_metrics_by_hand() -> None:
    student = answers([[2.0, 2.0], [1.0, 0.0, 3.0]], [[7, 7], [9, 7, 8]])
    found = JUDGING.score(student, TARGETS, SETTINGS).metrics
    assert found == pytest.approx(
        {"perplexity": math.exp(8 / 5), "bits_per_byte": 8 / math.log(2) / 8, "agreement": 3 / 5}
    )
    own = JUDGING.score(TEACHER, TARGETS, SETTINGS).metrics
    assert own == pytest.approx({"perplexity": math.e, "bits_per_byte": 5 / math.log(2) / 8, "agreement": 1.0})


def test_targets_hold_bytes_and_the_teachers_choices() -> None:
    assert sizes_of(TARGETS).tolist() == [3, 5]
    choices = choices_of(TARGETS)
    assert choices is not None
    assert [row.tolist() for row in choices] == [[7, 8], [9, 7, 7]]
    assert choices_of(JUDGING.targets(ROWS)) is None


def test_a_perplexity_is_of_the_teachers_tokens_whatever_a_models_own_are() -> None:
    other = answers([[3.0], [1.0, 1.0]], [[1], [2, 3]])  # as likely as the teacher's, in three tokens and not five
    statistics = JUDGING.statistics(other, TARGETS)
    found = JUDGING.score(other, TARGETS, SETTINGS).metrics
    assert found == pytest.approx({"perplexity": math.e, "bits_per_byte": 5 / math.log(2) / 8})
    assert JUDGING.metrics["agreement"].of(statistics) == 0
    alone = JUDGING.statistics(other, JUDGING.targets(ROWS))
    assert JUDGING.metrics["perplexity"].of(alone) == pytest.approx(math.exp(5 / 3))


def test_a_margin_is_a_part_of_the_teachers_perplexity() -> None:
    worse = answers([[1.1, 2.1], [0.6, 0.6, 1.1]], [[7, 8], [9, 7, 7]])  # 0.1 nats a token
    pair = [JUDGING.statistics(one, TARGETS) for one in (worse, TEACHER)]
    found = paired_difference(*pair, JUDGING.metrics["perplexity"], resamples=200, seed=0)
    assert found.value == pytest.approx(1 - math.exp(0.1), rel=1e-5)
    assert (found.won, found.lost) == (0, 2)
    assert found.metric.margin_unit == "relative"


def test_a_document_with_an_answer_that_is_no_number_counts_as_drawn_and_is_told() -> None:
    broken = answers([[1.0, math.nan], [0.5, 0.5, 1.0]], [[7, 8], [9, 7, 7]])
    statistics = JUDGING.statistics(broken, TARGETS)
    assert JUDGING.unanswered(statistics).tolist() == [True, False]
    assert statistics[0].tolist() == pytest.approx([3 * math.log(256), 2, 3, 0, 1])
    assert JUDGING.score(broken, TARGETS, SETTINGS).metrics == {"nonfinite_rows": 1.0}
    difference = JUDGING.compare(TEACHER, broken, TARGETS)
    assert math.isinf(difference.max_abs_difference)
    assert difference.agreement == pytest.approx(4 / 5)


def test_two_forms_are_compared_by_token() -> None:
    other = answers([[1.0, 2.0], [0.5, 0.75, 1.0]], [[7, 8], [9, 7, 1]])
    found = JUDGING.compare(TEACHER, other, TARGETS)
    assert found.max_abs_difference == pytest.approx(0.25)
    assert found.agreement == pytest.approx(4 / 5)
    assert found.accuracy_difference == pytest.approx(math.exp(5.25 / 5) - math.e)
    assert math.isinf(JUDGING.compare(TEACHER, answers([[1.0], [1.0]], [[1], [1]]), TARGETS).rms_share)


def test_documents_with_a_run_of_words_of_training_are_a_slice() -> None:
    run = " ".join(f"w{index}" for index in range(13))
    rows = Rows([f"a {run}", "nothing of it", f"b {run[1:]}"], None, np.zeros(3, np.int64))
    train = Rows([f"before {run} behind"], None, np.zeros(1, np.int64))
    found = JUDGING.slices(JUDGING.targets(rows), ["document"], rows, lambda: train)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "text = partly in training": [True, False, False],
        "text = new": [False, True, True],
    }
    assert JUDGING.slices(JUDGING.targets(train), ["document"], train, lambda: train) == {}


def test_answers_of_other_tokens_lie_in_one_folder_of_evidence(tmp_path: Any) -> None:
    floor = JUDGING.baseline(ROWS, ["document"]).answers(ROWS)
    evidence.save(tmp_path / "evidence", TARGETS, {"teacher": TEACHER, "floor": floor}, {})
    for name, kept in (("teacher", TEACHER), ("floor", floor)):
        read = evidence.read_logits(tmp_path / "evidence", name)
        assert isinstance(read, ByToken)
        assert np.array_equal(read.values, kept.values)
        assert np.array_equal(read.offsets, kept.offsets)
        assert np.array_equal(read[[1]].values, kept[[1]].values)
    targets = evidence.read_labels(tmp_path / "evidence")
    assert np.array_equal(JUDGING.statistics(TEACHER, targets), JUDGING.statistics(TEACHER, TARGETS))


def test_an_example_tells_length_and_perplexities() -> None:
    worse = answers([[1.0, 4.0], [0.5, 0.5, 1.0]], [[7, 8], [9, 7, 7]])
    (told,) = JUDGING.examples(TARGETS[[0]], worse[[0]], TEACHER[[0]], ["document"], ["aé"])
    assert told["label"] == "3 bytes"
    assert (told["reference"], told["candidate"]) == ("perplexity 4.482", "perplexity 12.18")
    assert told["probability"] == pytest.approx(math.exp(-2.5))


@pytest.mark.parametrize("context", [b"", b"a", b"ab", b"xyz", b"abab", b"\xc3"])
def test_the_baselines_chances_of_the_next_byte_add_up_to_one(context: bytes) -> None:
    fitted = baseline.fit(["abab", "abc", "\u00e9"])
    assert sum(fitted.chances(context + bytes([byte]))[-1] for byte in range(256)) == pytest.approx(1, abs=1e-4)


def test_the_baseline_by_hand_of_one_byte_and_then_two() -> None:
    fitted = baseline.fit(["aab"])
    # of single bytes: a twice, b once, two kinds; (2 + 2 / 256) / 5
    unigram = (2 + 2 / 256) / 5
    # at a beginning always a, once, one kind; likewise with two, three and four bytes of it before
    chance = unigram
    for _length in range(4):
        chance = (1 + chance) / 2
    assert fitted.loss("a") == pytest.approx(-math.log(chance))


def test_the_baseline_learns_what_the_documents_share_and_needs_few_bits_of_it() -> None:
    texts = documents(120)
    fitted = JUDGING.baseline(Rows(texts[:100], None, np.zeros(100, np.int64)), ["document"])
    held_out = Rows(texts[100:], None, np.zeros(20, np.int64))
    targets = JUDGING.targets(held_out)
    bits = JUDGING.metrics["bits_per_byte"].of(JUDGING.statistics(fitted.answers(held_out), targets))
    assert 0.1 < bits < 0.6  # measured: 0.32
    assert fitted.words[:2] == sorted(fitted.words)[:2]
    assert fitted.parameters > 100
    assert fitted.size_bytes > fitted.parameters


def test_a_larger_training_split_is_counted_as_far_as_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = documents(50)
    monkeypatch.setattr(baseline, "MOST_BYTES", len("".join(texts[:10]).encode()))
    assert baseline.fit(texts).loss(texts[40]) == baseline.fit(texts[:10]).loss(texts[40])
    assert baseline.fit([]).words == ["a"]


def test_of_conversations_the_answers_bytes_count_and_the_baseline_tells_them_and_their_ends() -> None:
    told = [messages(("user", "ab"), ("assistant", "c\u00e9"), ("user", "d"), ("assistant", "e")), pair("fg", "h")]
    rows = rows_of(told)
    assert sizes_of(JUDGING.targets(rows)).tolist() == [4, 1]
    fitted = baseline.fit([baseline.transcript(one) for one in told])
    losses = -np.log(fitted.chances(b"ab\x03c\xc3\xa9\x03d\x03e\x03"))
    assert fitted.answer_loss(told[0]) == pytest.approx(losses[[3, 4, 5, 6, 9, 10]].sum())
    found = JUDGING.baseline(rows, ["conversation"]).answers(rows)
    assert found.values[:, NLL].tolist() == pytest.approx([fitted.answer_loss(one) for one in told])


def test_the_baseline_learns_to_answer() -> None:
    train, test = (rows_of([learned(one) for one in conversations(count, seed)]) for count, seed in ((150, 0), (20, 1)))
    fitted = JUDGING.baseline(train, ["conversation"])
    bits = JUDGING.metrics["bits_per_byte"].of(JUDGING.statistics(fitted.answers(test), JUDGING.targets(test)))
    assert 0.1 < bits < 0.8
