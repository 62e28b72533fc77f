"""What is said of two sets of texts: nothing where they are alike, and the side that differs where one does."""

from dataclasses import replace

import numpy as np
import pytest

from hone.tasks.contracts import DriftPart
from hone.tasks.drift.features import frequent, unseen_shares, word_counts, words
from hone.tasks.drift.measure import Sample, measure
from hone.tasks.drift.table import drift_markdown
from hone.tasks.objectives.question_answering.answering import END, ENDS, NEVER, NULL, SCORE, STARTS, THRESHOLD, WIDTH
from hone.tasks.objectives.text_generation.generating import NLL
from hone.tasks.texts import shown
from tests import tiny

INDEX = 0.2


def sample(seed: int, rows: int = 400, share_good: float | None = None, add: str = "") -> Sample:
    """Sentences of the tiny corpus; their first half to learn from, the others held out."""
    found = tiny.sentences(2 * rows, seed)
    learned, held_out = found[:rows], found[rows:]
    if share_good is not None:
        good, bad = ([row for row in learned if row[1] == label] for label in ("good", "bad"))
        several = len(bad) // 2
        learned = [*good[: round(several * share_good)], *bad[: round(several * (1 - share_good))]]
    draw = np.random.default_rng(seed)
    sign = np.array([1.0 if label == "good" else -1.0 for _, label in held_out])
    logit = sign * 2 + draw.normal(size=len(sign))
    return Sample(
        texts=[f"{text}{add}" for text, _ in learned],
        labels=[label for _, label in learned],
        held_out=[f"{text}{add}" for text, _ in held_out],
        answers=np.stack([-logit, logit], axis=1),
        embeddings=draw.normal(size=(len(sign), 6)),
    )


def parts_of(before: Sample, now: Sample) -> dict[str, DriftPart]:
    known = {word for text in before.texts for word in words(text)}
    return {part.name: part for part in measure(before, now, known, INDEX, seed=0, objective="text-classification")}


def drifted(before: Sample, now: Sample) -> set[str]:
    return {name for name, part in parts_of(before, now).items() if part.drifted}


def test_two_draws_of_the_same_texts_have_not_drifted_and_every_side_is_told() -> None:
    found = parts_of(sample(1), sample(2))
    assert list(found) == ["labels", "length", "vocabulary", "unseen_words", "embeddings", "answers"]
    assert not any(part.drifted for part in found.values())
    assert all(part.index < INDEX for part in found.values())


def test_words_of_the_data_are_told_only_as_the_recipe_allows_it() -> None:
    before, now = sample(1), sample(2, add=" quillonbrax")
    told = {
        how: next(
            part
            for part in measure(before, now, set(), INDEX, 0, how, objective="text-classification")
            if part.name == "vocabulary"
        )
        for how in ("shown", "hashed", "none")
    }
    assert "quillonbrax 0.0%" in told["shown"].before
    assert f"{shown('quillonbrax', 'hashed')} 0.0%" in told["hashed"].before
    assert told["none"].before.startswith("a word 0.0%, a word ")
    for how in ("hashed", "none"):
        assert not {*tiny.FILLER, *tiny.GOOD, *tiny.BAD, "quillonbrax"} & {*words(told[how].now)} - {"a"}
        assert told[how].index == told["shown"].index


def test_other_shares_of_the_labels_are_found() -> None:
    now = sample(2, share_good=0.9)
    found = parts_of(sample(1), now)
    assert found["labels"].drifted
    assert "good 9" in found["labels"].now
    assert not found["length"].drifted


def test_longer_texts_of_known_words_are_found() -> None:
    found = drifted(sample(1), sample(2, add=" the film is a story of its cast"))
    assert {"length"} <= found
    assert not found & {"labels", "unseen_words", "answers"}


def test_words_that_the_champion_never_saw_are_found() -> None:
    found = parts_of(sample(1), sample(2, add=" zany"))
    assert found["unseen_words"].drifted
    assert found["vocabulary"].drifted
    assert "zany" in found["vocabulary"].now
    assert found["unseen_words"].before.startswith("0.00%")


def test_other_answers_of_the_champion_are_found() -> None:
    before, now = sample(1), sample(2)
    assert now.answers is not None
    unsure = replace(now, answers=now.answers / 4)
    assert drifted(before, unsure) == {"answers"}


def test_questions_that_the_champion_answers_less_often_are_found() -> None:
    def asked(seed: int, margin: float) -> Sample:
        draw = np.random.default_rng(seed)
        answers = np.zeros((400, WIDTH))
        answers[:, [END, STARTS, ENDS, THRESHOLD]] = 3, 2.5, 2.5, NEVER
        answers[:, SCORE] = draw.normal(4, 0.5, size=400)
        answers[:, NULL] = answers[:, SCORE] + draw.normal(margin, 1, size=400)
        return replace(sample(seed), answers=answers)

    def found(margin: float) -> DriftPart:
        parts = measure(asked(1, -1), asked(2, margin), set(), INDEX, 0, objective="question-answering")
        return next(part for part in parts if part.name == "answers")

    assert (found(-1).drifted, found(1).drifted) == (False, True)
    assert found(1).before.startswith("0.0% with no answer, 3")


def test_documents_that_the_champion_finds_less_likely_are_found_and_have_no_labels() -> None:
    def written(seed: int, loss: float) -> Sample:
        answers = np.zeros((400, 4))
        answers[:, NLL] = np.random.default_rng(seed).normal(loss, 0.3, size=400)
        return replace(sample(seed), labels=[], answers=answers)

    def found(loss: float) -> dict[str, DriftPart]:
        parts = measure(written(1, 2.0), written(2, loss), set(), INDEX, 0, objective="text-generation")
        return {part.name: part for part in parts}

    assert "labels" not in found(2.0)
    assert (found(2.0)["perplexity"].drifted, found(2.5)["perplexity"].drifted) == (False, True)
    assert found(2.5)["perplexity"].now.startswith("perplexity 12.")


def test_a_logit_that_all_labels_share_is_no_other_answer() -> None:
    before = sample(1)
    assert before.answers is not None
    raised = replace(before, answers=before.answers + 100)
    assert parts_of(before, raised)["answers"].index < 0.01  # rounding moves a row or two


@pytest.mark.parametrize("part", ["labels", "length", "vocabulary", "unseen_words", "embeddings", "answers"])
def test_each_part_is_found_alone_among_all_that_are_measured(part: str) -> None:
    before, now = sample(1), sample(2)
    assert now.answers is not None
    assert now.embeddings is not None
    turned = {"the": "is", "film": "story", "a": "of", "its": "cast", "and": "plot", "with": "in"}
    changed = {
        "labels": replace(now, labels=["good"] * 320 + ["bad"] * 80),
        "length": replace(now, texts=[f"{text} {text}" for text in now.texts]),
        "vocabulary": replace(
            now, texts=[" ".join(turned.get(word, word) for word in text.split()) for text in now.texts]
        ),
        "unseen_words": replace(now, held_out=[f"zany {text}" for text in now.held_out]),
        "embeddings": replace(now, embeddings=now.embeddings + 1.5),
        "answers": replace(now, answers=now.answers / 4),
    }
    found = parts_of(before, changed[part])
    assert len(found) == 6
    assert {name for name, one in found.items() if one.drifted} == {part}


def test_what_needs_rows_that_the_champion_has_not_learned_from_is_left_out_where_there_are_none() -> None:
    found = parts_of(sample(1), replace(sample(2), held_out=[], answers=None, embeddings=None))
    assert list(found) == ["labels", "length", "vocabulary"]


def test_words_are_small_and_without_punctuation() -> None:
    assert words("The film, it's SUPERB!") == ["the", "film", "it", "s", "superb"]


def test_the_most_frequent_words_are_counted_in_each_row_and_the_others_together() -> None:
    rows = [["b", "a", "b"], ["c"], []]
    assert frequent(rows, 2) == ["b", "a"]
    assert word_counts(rows, ["b", "a"]).tolist() == [[2, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert unseen_shares(rows, {"b"}).tolist() == pytest.approx([1 / 3, 1.0, 0.0])


def test_the_table_has_a_row_for_each_part_and_survives_a_bar_in_a_word() -> None:
    part = DriftPart(
        name="unseen_words", before="a|b", now="5%", index=0.31, test="chi-squared", p_value=2e-9, drifted=True
    )
    report = {"parts": [part.model_dump()], "name": "m", "version": "3", "rows": {"before": 10, "now": 1200}}
    table = drift_markdown(report)
    assert "1,200 training rows held against 10 that m version 3 learned from" in table
    assert r"| unseen words | a\|b | 5% | 0.310 | < 0.001 | yes |" in table
    assert drift_markdown({"parts": [], "record": {"reason": "m has no champion yet"}}) == (
        "Drift was not measured: m has no champion yet.\n"
    )
