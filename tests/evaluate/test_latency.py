import contextlib
import dataclasses
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hone.tasks.contracts import Latency
from hone.tasks.errors import MeasurementError
from hone.tasks.evaluate import latency, timing_loop, timing_worker
from hone.tasks.evaluate.latency import BenchmarkCase, BenchmarkRequest, Timing
from hone.tasks.evaluate.timing_worker import peak_memory_bytes, random_tokens, run_benchmark
from hone.tasks.export.export import export_checkpoint
from hone.tasks.model.runtime.runtime import TextSettings
from tests.objectives.documents import write_decoder


def cell(p50: float, batch: int = 1) -> Latency:
    return Latency(batch=batch, length=16, p50_ms=p50, p95_ms=p50, p99_ms=p50, samples=3)


def order(runtime: str, folder: Path) -> BenchmarkRequest:
    return BenchmarkRequest(runtime, str(folder), ["cpu"], 1, [[1, 8, 0], [4, 16, 0]], samples=5, seconds=1.0, seed=0)  # type: ignore[arg-type]


class Sleeper:
    """A call of a known length that counts how often it is called."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def __call__(self) -> None:
        self.calls += 1
        time.sleep(self.seconds)


def test_a_call_that_takes_five_milliseconds_is_timed_at_five_milliseconds():
    taken = timing_loop.time_calls(Sleeper(0.005), samples=20, seconds=10)
    assert 5.0 <= min(taken) < 10.0  # measured here: 5.07, on a busy machine more


def test_warm_up_calls_are_made_and_not_counted():
    call = Sleeper(0.05)
    taken = timing_loop.time_calls(call, samples=4, seconds=10)
    assert len(taken) == 4
    assert call.calls == 4 + timing_loop.WARM_UP_CALLS


def test_a_quick_call_is_warmed_up_for_a_while():
    call = Sleeper(0.0)
    timing_loop.time_calls(call, samples=3, seconds=10)
    assert call.calls > 3 + timing_loop.WARM_UP_CALLS


def test_a_slow_cell_stops_early_but_never_below_the_least_number_of_samples():
    assert len(timing_loop.time_calls(Sleeper(0.03), samples=1000, seconds=0.2)) in range(timing_loop.MIN_SAMPLES, 8)
    assert len(timing_loop.time_calls(Sleeper(0.03), samples=1000, seconds=0.001)) == timing_loop.MIN_SAMPLES


def test_percentiles_are_over_the_samples_of_all_rounds_and_medians_of_each():
    rounds = [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0, 40.0]]
    timings = [Timing(["cpu"], 0.1, 1, [samples]) for samples in rounds]
    (found,) = latency.latencies(timings, ["2x8"])
    assert (found.batch, found.length, found.samples) == (2, 8, 7)
    pooled = rounds[0] + rounds[1]
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx(np.percentile(pooled, [50, 95, 99]), abs=1e-4)
    assert found.round_p50_ms == [2.0, 25.0]


def test_speedup_is_the_geometric_mean_of_the_ratios_of_medians():
    assert latency.speedup([cell(1.0), cell(10.0)], [cell(2.0), cell(80.0)]) == pytest.approx(math.sqrt(2 * 8))


def test_a_model_is_as_fast_as_itself():
    measured = [cell(0.37), cell(12.1)]
    assert latency.speedup(measured, measured) == 1.0


def test_speedups_of_two_models_over_each_other_multiply_to_one():
    first, second = [cell(1.0), cell(7.0)], [cell(3.0), cell(2.0)]
    assert latency.speedup(first, second) * latency.speedup(second, first) == pytest.approx(1.0)


def test_throughput_is_that_of_the_best_cell():
    assert latency.throughput([cell(2.0, batch=1), cell(40.0, batch=32)]) == pytest.approx(800.0)


def test_every_model_reads_the_same_full_rows():
    first, again = random_tokens(3, 5, 58, seed=1), random_tokens(3, 5, 58, seed=1)
    assert np.array_equal(first["input_ids"], again["input_ids"])
    assert not np.array_equal(first["input_ids"], random_tokens(3, 5, 58, seed=2)["input_ids"])
    assert first["input_ids"].shape == (3, 5)
    assert first["attention_mask"].all()
    many = random_tokens(100, 50, 58, seed=1)["input_ids"]
    assert (many.min(), many.max()) == (0, 57)


@pytest.mark.parametrize("runtime", ["pytorch", "onnxruntime"])
def test_a_process_of_its_own_times_a_model(tiny_subjects, runtime):
    timing = latency.measure("teacher", order(runtime, tiny_subjects[runtime].folder))
    assert [len(samples) for samples in timing.milliseconds] == [5, 5]
    assert all(0 < sample < 10_000 for samples in timing.milliseconds for sample in samples)
    assert list(timing.variants) == (["fp32"] if runtime == "pytorch" else [])
    assert timing.load_seconds > 0
    assert timing.providers[0] == {"pytorch": "cpu", "onnxruntime": "CPUExecutionProvider"}[runtime]


def test_pytorch_is_timed_in_each_precision_and_says_why_it_was_not_compiled(tiny_folder):
    found = run_benchmark(
        {
            **dataclasses.asdict(order("pytorch", tiny_folder)),
            "variants": ["fp32", "bf16"],
            "compile_seconds": 0.001,
        }
    )
    assert list(found["variants"]) == ["fp32", "bf16"]
    assert [len(samples) for samples in found["variants"]["fp32"]] == [5, 5]
    assert found["milliseconds"] == found["variants"]["fp32"]
    assert found["note"] == "torch.compile was not done after 0.001 s"


def test_a_compiler_that_catches_what_interrupts_it_is_late_all_the_same():
    def call(_tokens: object) -> None:
        with contextlib.suppress(TimeoutError):
            time.sleep(5)

    begun = time.monotonic()
    problem = timing_worker._failure_to_compile(call, [{}, {}], 0.01)  # type: ignore[arg-type]
    assert problem == "torch.compile was not done after 0.01 s"
    assert time.monotonic() - begun < 4


def test_pytorch_runs_its_own_attention_and_is_compiled_in_its_faster_precision(tiny_folder, monkeypatch):
    """Compiling itself takes a C++ compiler and a minute, and is torch's: here it leaves the model as it is."""
    import torch

    monkeypatch.setattr(torch, "compile", lambda model, dynamic: model)
    asked = {"threads": 1, "providers": ["cpu"], "variants": ["fp32", "bf16"], "compile_seconds": 60}
    cells = [timing_worker.shape_of(2, 8, 0, 58, seed=1)]
    found = timing_worker._load_pytorch(tiny_folder, asked, cells)
    assert (list(found.calls)[:2], found.note) == (["fp32", "bf16"], "")
    assert list(found.calls)[2:] in (["fp32, compiled"], ["bf16, compiled"])
    assert {call.args[0].config._attn_implementation for call in found.calls.values()} == {"sdpa"}
    assert all(call(cells[0]).shape == (2, 2) for call in found.calls.values())


def test_the_next_token_is_timed_behind_a_text_that_was_read_once(tmp_path, monkeypatch):
    from hone.tasks.model.runtime import decoding

    read = []
    plain = decoding.Decoder.read
    monkeypatch.setattr(
        decoding.Decoder, "read", lambda self, tokens: read.append(np.shape(tokens)) or plain(self, tokens)
    )
    checkpoint = write_decoder(tmp_path / "decoder")
    settings = TextSettings(task="text-generation", max_length=32)
    export_checkpoint("teacher", checkpoint, tmp_path / "exported", opset=18, for_cpu=True, texts=settings)
    for runtime, folder in (("onnxruntime", tmp_path / "exported"), ("pytorch", checkpoint)):
        asked = dataclasses.replace(order(runtime, folder), cells=[[1, 24, 0], [1, 24, 1], [2, 8, 1]])
        found = run_benchmark(dataclasses.asdict(asked))
        assert [len(samples) for samples in found["milliseconds"]] == [5, 5, 5]
    assert read[0] == (1, 24)
    assert set(read) == {(1, 24), (1, 1), (2, 8), (2, 1)}
    assert [read.count(shape) for shape in ((1, 24), (2, 8))] == [1, 1]


def test_a_next_token_is_a_cell_of_its_own_and_its_tokens_are_no_rows(tiny_subjects):
    timing = Timing(["cpu"], 0.1, 10, [[4.0], [1.0]])
    found = latency.latencies([timing], ["1x16", "1x16+1"])
    assert [(one.batch, one.length, one.decoded, one.p50_ms) for one in found] == [(1, 16, 0, 4.0), (1, 16, 1, 1.0)]
    assert latency.throughput(found) == pytest.approx(250.0)
    with pytest.raises(MeasurementError, match=r"1x64\+1, but teacher reads at most 64 tokens"):
        latency.check_cells([tiny_subjects["onnxruntime"]], ["1x63+1", "1x64+1"])


def test_a_variant_that_takes_twice_as_long_is_not_timed_and_the_first_always_is():
    def call(seconds: float) -> timing_worker.Call:
        return lambda _tokens: time.sleep(seconds)  # type: ignore[return-value,func-returns-value]

    calls = {"fp32": call(0.05), "bf16": call(0.2), "bf16, compiled": call(0.01)}
    assert timing_worker._worth_timing(calls, {}) == ["fp32", "bf16, compiled"]


def test_what_cannot_be_compiled_says_why():
    def broken(_tokens: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: no C++ compiler\nand much more")

    assert timing_worker._failure_to_compile(broken, [{}], 5.0) == (  # type: ignore[arg-type]
        "torch.compile failed: InvalidCxxCompiler: no C++ compiler"
    )
    assert timing_worker._failure_to_compile(lambda _tokens: np.ones(1), [{}], 5.0) == ""


def test_memory_is_that_of_the_measuring_process_and_not_of_its_parent(tiny_subjects):
    ballast = np.ones(40_000_000)  # 320 MB here, of which the child must know nothing
    timing = latency.measure("teacher", order("onnxruntime", tiny_subjects["onnxruntime"].folder))
    assert peak_memory_bytes() > ballast.nbytes
    assert 20e6 < timing.peak_memory_bytes < 320e6  # measured here: 90 MB


def test_timing_an_onnx_model_imports_no_torch_and_no_settings():
    code = "import sys, hone.tasks.evaluate.timing_worker, hone.tasks.model.runtime.sessions; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=latency.ROOT, capture_output=True, check=True)
    heavy = {"torch", "transformers", "sklearn", "prefect", "mlflow", "ray", "pydantic"}
    assert not heavy & set(finished.stdout.decode().split())


def test_models_take_turns_and_each_round_gives_each_a_new_process(tiny_subjects):
    onnx = tiny_subjects["onnxruntime"]
    turns = [BenchmarkCase(name, onnx, 1, ("1x4",), samples=3, seconds=0.1) for name in ("teacher", "distilled")]
    notes: list[str] = []
    timings = latency.time_models(turns, 2, ["cpu"], 0, notes.append)
    assert [(name, len(rounds)) for name, rounds in timings.items()] == [("teacher", 2), ("distilled", 2)]
    assert notes == [
        "timed teacher, round 1 of 2",
        "timed distilled, round 1 of 2",
        "timed distilled, round 2 of 2",
        "timed teacher, round 2 of 2",
    ]


def test_a_measuring_process_that_dies_is_an_error_with_the_end_of_what_it_said(tiny_onnx_folder, tmp_path):
    (tmp_path / "config.json").write_text((tiny_onnx_folder / "config.json").read_text())
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    says = rf"(?s)pruned: the process that timed it ended with code 1:.*{tmp_path}"
    with pytest.raises(MeasurementError, match=says):
        latency.measure("pruned", order("onnxruntime", tmp_path))


def test_a_measuring_process_that_hangs_is_ended(tiny_subjects):
    with pytest.raises(MeasurementError, match=r"teacher: the process that timed it was not done after 0 s; take out"):
        latency.measure("teacher", order("onnxruntime", tiny_subjects["onnxruntime"].folder), limit_seconds=0.05)


def test_cells_longer_than_a_model_reads_are_named_before_anything_is_timed(tiny_subjects):
    with pytest.raises(
        MeasurementError, match=r"evaluate\.cells has 1x65, 8x128, but teacher reads at most 64 tokens: leave them out"
    ):
        latency.check_cells([tiny_subjects["onnxruntime"]], ["1x64", "1x65", "8x128"])


def test_roberta_reads_fewer_tokens_than_it_has_positions(tiny_subjects, tmp_path):
    config = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    subject = dataclasses.replace(tiny_subjects["onnxruntime"], folder=tmp_path)
    latency.check_cells([subject], ["1x512"])
    with pytest.raises(MeasurementError, match="1x513, but teacher reads at most 512 tokens"):
        latency.check_cells([subject], ["1x513"])
