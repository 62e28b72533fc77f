"""What a model has to beat: the sentence of the context that shares most with the question, words by their rarity."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.question_answering import squad
from hone.tasks.objectives.question_answering.answering import END, NEVER, SCORE, START, THRESHOLD, WIDTH, margins
from hone.tasks.objectives.question_answering.threshold import best_threshold

SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?\n]?")
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class BestSentence:
    """How rare each word is, and below which sum of them no sentence is the answer."""

    rarity: dict[str, float]
    """Inverse document frequency of the words of training's contexts."""
    threshold: float

    @property
    def parameters(self) -> int:
        """Numbers that it has learned."""
        return len(self.rarity) + 1

    @property
    def size_bytes(self) -> int:
        """Its words as UTF-8 and 4 bytes for each number: what a file of it could not do without."""
        return sum(len(word.encode()) + 1 for word in self.rarity) + 4 * self.parameters

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return sorted(self.rarity)

    def predict(self, questions: Sequence[str], contexts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Answers as numbers [questions, WIDTH], as models give them (see `answering`)."""
        result = np.zeros((len(questions), WIDTH), np.float32)
        for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
            asked = set(_words(question))
            spans = list(sentences(context))
            sums = [sum(self.rarity.get(word, 0.0) for word in asked & set(_words(context[a:b]))) for a, b in spans]
            best = int(np.argmax(sums))
            result[row, [START, END]] = spans[best]
            result[row, SCORE] = sums[best]
        result[:, THRESHOLD] = self.threshold
        return result


def fit(questions: Sequence[str], contexts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]) -> BestSentence:
    """Counts the words of the contexts, each context once, and chooses the threshold on these questions."""
    different = set(contexts)
    counts = Counter(word for context in different for word in set(_words(context)))
    rarity = {word: float(np.log(len(different) / count)) + 1.0 for word, count in counts.items()}
    fitted = BestSentence(rarity, NEVER)
    if all(spans) or not any(spans):
        return fitted
    answers = fitted.predict(questions, contexts)
    answered, silent = scores_of(answers, contexts, spans)
    return BestSentence(rarity, best_threshold(margins(answers), answered, silent)[0])


def scores_of(
    answers: npt.NDArray[np.floating], contexts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """F1 of the best span of each question, were it the answer, and of no answer [questions]."""
    answered, silent = np.zeros(len(answers)), np.zeros(len(answers))
    for row, (context, several) in enumerate(zip(contexts, spans, strict=True)):
        true = [context[start:end] for start, end in several]
        start, end = answers[row, [START, END]].astype(int)
        answered[row], silent[row] = squad.f1(context[start:end], true), squad.f1("", true)
    return answered, silent


def sentences(text: str) -> Iterable[tuple[int, int]]:
    """First character and end of each sentence, or line, without the blanks around it; at least one."""
    found = False
    for match in SENTENCE.finditer(text):
        start = match.start() + len(match.group()) - len(match.group().lstrip())
        end = start + len(match.group().strip())
        if end > start:
            found = True
            yield start, end
    if not found:
        yield 0, len(text)


def _words(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]
