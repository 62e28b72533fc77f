import pytest

from hone.configs.delivery import EvaluateSettings
from hone.tasks.contracts import Latency
from hone.tasks.evaluate import latency
from hone.tasks.evaluate.from_text import Texts


@pytest.fixture
def texts():
    return Texts(["good1", "bad2", "word3"], EvaluateSettings(cells=["1x4", "3x8"]), seed=0)


def test_each_cell_has_as_many_texts_as_its_batch_of_as_many_words_as_tokens(texts):
    assert [[len(text.split()) for text in cell] for cell in texts.cells] == [[4], [8, 8, 8]]


def test_a_tokenizer_is_timed_at_every_cell_and_once_for_all_models_that_have_it(texts, tiny_folder, tiny_onnx_folder):
    found = texts.tokenizing_ms(tiny_folder)
    assert len(found) == 2
    assert 0 < found[0] < 100
    assert texts.tokenizing_ms(tiny_onnx_folder) is found


def test_what_has_no_tokenizer_is_compared_from_the_text_on():
    def cell(p50_ms: float, from_text_ms: float) -> Latency:
        return Latency(batch=1, length=16, p50_ms=p50_ms, p95_ms=1, p99_ms=1, samples=3, from_text_ms=from_text_ms)

    floor, teacher = [cell(0.4, 0.4)], [cell(3.0, 3.2)]
    assert latency.speedup(floor, teacher, from_text=True) == pytest.approx(8.0)
    assert latency.speedup(floor, teacher) == pytest.approx(7.5)
