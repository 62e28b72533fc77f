"""How fast models are: each in a process of its own, the models in turn, several rounds.

Sessions that share a process spoil each other, as the idle threads of one spin on the cores that the other computes
on: factors of 3 to 10 were seen. And a median over the calls of one process can move by a factor of 2 from one process
to the next. So a round gives every model one new process, and the rounds are pooled.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hone.configs.delivery import decodes, parse_cell
from hone.tasks.contracts import Latency
from hone.tasks.cores import usable_cores
from hone.tasks.errors import MeasurementError
from hone.tasks.model.runtime.model_under_test import ModelUnderTest, Runtime
from hone.tasks.version import import_folder

ROOT = import_folder()
# RoBERTa's kin count positions from the padding index + 1, and so read fewer tokens than they have positions.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert"}


@dataclass(frozen=True)
class BenchmarkRequest:
    """What a measuring process is asked to do; travels as JSON."""

    runtime: Runtime
    folder: str
    providers: list[str]
    threads: int
    """0: the runtime's own choice, one for each core."""
    cells: list[list[int]]
    """[batch, length, 1 where it is the next token that is timed] each: the process that times reads no settings."""
    samples: int
    seconds: float
    seed: int
    variants: list[str] = field(default_factory=list)
    """Of a model in PyTorch: `fp32`, `bf16`, `bf16, compiled`. They share a process, as they share its threads."""
    compile_seconds: float = 0.0
    """After which torch.compile is given up."""
    compiled_folder: str = ""
    """Keeps what torch.compile made, from one process to the next."""


@dataclass(frozen=True)
class Timing:
    """What one measuring process saw; travels as JSON."""

    providers: list[str]
    """Those the session has, the first one preferred."""
    load_seconds: float
    """From the file to a model that is ready, without importing the runtime."""
    peak_memory_bytes: int
    """Largest resident set of the process, runtime included."""
    milliseconds: list[list[float]]
    """Every sample, by cell in the order of the cells."""
    variants: dict[str, list[list[float]]] = field(default_factory=dict)
    """The same for each of the order's variants; empty at cells where another was twice as fast."""
    note: str = ""
    """What became of the order's variants where it is not what was asked for."""


@dataclass(frozen=True)
class BenchmarkCase:
    """What one process measures in each round."""

    name: str
    subject: ModelUnderTest
    threads: int
    """0 takes one for each core."""
    cells: tuple[str, ...]
    samples: int
    """Calls of each cell in each round, at most."""
    seconds: float
    """After which a cell ends with fewer, though never with fewer than 3."""
    variants: tuple[str, ...] = ()
    compile_seconds: float = 0.0
    compiled_folder: str = ""


def time_models(
    turns: Sequence[BenchmarkCase],
    rounds: int,
    providers: Sequence[str],
    seed: int,
    on_measured: Callable[[str], None] = lambda note: None,
    around_round: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> dict[str, list[Timing]]:
    """One timing for each round of each turn, by name.

    The round's first model changes from round to round, so that no model always has the coolest machine.

    Args:
        around_round: is entered before each round and left after it.

    Raises:
        MeasurementError: when a cell is longer than a model reads, or a measuring process dies.
    """
    for turn in turns:
        check_cells([turn.subject], turn.cells)
    timings: dict[str, list[Timing]] = {turn.name: [] for turn in turns}
    for round_number in range(rounds):
        first = round_number % len(turns)
        with around_round():
            for turn in [*turns[first:], *turns[:first]]:
                timings[turn.name].append(measure(turn.name, _order(turn, providers, seed)))
                on_measured(f"timed {turn.name}, round {round_number + 1} of {rounds}")
    return timings


def _order(turn: BenchmarkCase, providers: Sequence[str], seed: int) -> BenchmarkRequest:
    return BenchmarkRequest(
        runtime=turn.subject.runtime,
        folder=str(turn.subject.folder),
        providers=list(providers),
        threads=turn.threads,
        cells=[[*parse_cell(cell), int(decodes(cell))] for cell in turn.cells],
        samples=turn.samples,
        seconds=turn.seconds,
        seed=seed,
        variants=list(turn.variants),
        compile_seconds=turn.compile_seconds,
        compiled_folder=turn.compiled_folder,
    )


def measure(name: str, order: BenchmarkRequest, limit_seconds: float | None = None) -> Timing:
    """Has a new process carry out an order, and waits for it.

    Args:
        limit_seconds: after this long it is ended; by default far longer than the order should take.

    Raises:
        MeasurementError: with the end of what the process said, when it dies or hangs.
    """
    limit = limit_seconds or 1800 + 10 * len(order.cells) * min(order.seconds, 600)
    with tempfile.TemporaryDirectory(prefix="hone-timing-") as folder:
        question, answer = Path(folder, "order.json"), Path(folder, "timing.json")
        question.write_text(json.dumps(asdict(order)), encoding="utf-8")
        command = [sys.executable, "-m", "hone.tasks.evaluate.timing_worker", str(question), str(answer)]
        try:
            # From ROOT, so that `hone` is this package, whatever lies in the folder that Hone was started from.
            finished = subprocess.run(
                command,
                cwd=ROOT,
                env=_environment(order),
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeasurementError(
                f"{name}: the process that timed it was not done after {limit:.0f} s; "
                "take out the largest of evaluate.cells, or lower evaluate.samples"
            ) from None
        if finished.returncode != 0 or not answer.is_file():
            raise MeasurementError(
                f"{name}: the process that timed it ended with code {finished.returncode}"
                f"{' (killed: out of memory?)' if finished.returncode == -9 else ''}:\n{_end_of(finished.stderr)}"
            )
        return Timing(**json.loads(answer.read_text(encoding="utf-8")))


def check_cells(subjects: Sequence[ModelUnderTest], cells: Sequence[str]) -> None:
    """Refuses shapes that a model cannot read.

    Raises:
        MeasurementError: naming the cells longer than a model reads.
    """
    for subject in subjects:
        config = model_config(subject.folder)
        limit = config.get("max_position_embeddings")
        if limit is None:
            continue
        if config.get("model_type") in OFFSET_POSITIONS:
            limit -= int(config.get("pad_token_id") or 0) + 1
        longer = [cell for cell in cells if parse_cell(cell)[1] + decodes(cell) > limit]
        if longer:
            raise MeasurementError(
                f"evaluate.cells has {', '.join(longer)}, but {subject.name} reads at most {limit} tokens: "
                "leave them out, e.g. --set 'evaluate.cells=[1x16, 1x32]'"
            )


def model_config(folder: Path) -> dict[str, Any]:
    """The model's `config.json`."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def latencies(
    timings: Sequence[Timing],
    cells: Sequence[str],
    configurations: Sequence[str] = (),
    tokenizing_ms: Sequence[float] = (),
) -> list[Latency]:
    """Percentiles of each cell over the samples of all rounds, and each round's own median.

    Args:
        configurations: in words, what ran each cell; empty where it was the same in all.
        tokenizing_ms: what the tokenizer takes before each cell; empty of what is timed from the text on.
    """
    result = []
    for index, cell in enumerate(cells):
        batch, length = parse_cell(cell)
        rounds = [timing.milliseconds[index] for timing in timings]
        pooled = np.concatenate(rounds)
        p50, p95, p99 = np.percentile(pooled, [50, 95, 99])
        result.append(
            Latency(
                batch=batch,
                length=length,
                decoded=int(decodes(cell)),
                p50_ms=round(float(p50), 4),
                p95_ms=round(float(p95), 4),
                p99_ms=round(float(p99), 4),
                samples=len(pooled),
                round_p50_ms=[round(float(np.median(one)), 4) for one in rounds],
                configuration=configurations[index] if configurations else "",
                from_text_ms=round(float(p50) + (tokenizing_ms[index] if tokenizing_ms else 0.0), 4),
            )
        )
    return result


def speedup(candidate: Sequence[Latency], baseline: Sequence[Latency], *, from_text: bool = False) -> float:
    """Geometric mean over the cells of baseline median / candidate median: above 1 is faster than the baseline.

    Args:
        from_text: compares the times from the text on, tokenizing included.
    """
    ratios = [
        slow.from_text_ms / fast.from_text_ms if from_text else slow.p50_ms / fast.p50_ms
        for fast, slow in zip(candidate, baseline, strict=True)
    ]
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def throughput(measured: Sequence[Latency]) -> float:
    """Rows a second in the cell that gives most; where nothing but next tokens was timed, tokens a second."""
    read = [cell for cell in measured if not cell.decoded] or measured
    return max(1000 * cell.batch / cell.p50_ms for cell in read)


def _environment(order: BenchmarkRequest) -> dict[str, str]:
    """The child's environment: its own number of threads, whatever the parent was started with; no hub, no chatter."""
    count = str(order.threads or usable_cores())
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    # One process at a time compiles, and writes what it made where this run may write.
    compiling = {"TORCHINDUCTOR_CACHE_DIR": order.compiled_folder, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return {
        **os.environ,
        **pools,
        **(compiling if order.compiled_folder else {}),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _end_of(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-lines:]) or "(it said nothing)"
