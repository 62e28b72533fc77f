"""The process that times one model: `python -m hone.tasks.evaluate.timing_worker ORDER TIMING`, both JSON files.

It imports the runtime it measures and as little else as can be: what else is loaded would count as memory, and its
threads as noise.
"""

import copy
import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hone.tasks.evaluate.timing_loop import time_calls


@dataclass(frozen=True, eq=False)
class Shape:
    """What is timed: a batch of tokens that is read, or one more token behind it."""

    tokens: dict[str, np.ndarray]
    """[batch, length] int64 each."""
    next: np.ndarray | None = None
    """The tokens behind them [batch, 1] int64, where those are timed."""


Call = Callable[[Shape], object]
COMPILED = ", compiled"
HOPELESS = 2.0
"""A variant whose single call takes so many times as long as another's is not timed in that cell."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready."""

    calls: dict[str, Call]
    """By variant; of a session only one."""
    providers: list[str]
    load_seconds: float
    note: str = ""


def run_benchmark(order: dict[str, Any]) -> dict[str, Any]:
    """The fields of `latency.Timing` for the fields of a `latency.BenchmarkRequest`."""
    folder = Path(order["folder"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size, seed = config["vocab_size"], order["seed"]
    cells = [shape_of(batch, length, decoded, size, seed) for batch, length, decoded in order["cells"]]
    model = {"onnxruntime": _load_onnx, "pytorch": _load_pytorch}[order["runtime"]](folder, order, cells)
    found: dict[str, list[list[float]]] = {name: [] for name in model.calls}
    for cell in cells:
        worth = _worth_timing(model.calls, cell)
        for name, call in model.calls.items():
            taken = (
                time_calls(partial(call, cell), order["samples"], order["seconds"] / len(worth))
                if name in worth
                else []
            )
            found[name].append(taken)
    first = next(iter(found))
    return {
        "providers": model.providers,
        "load_seconds": model.load_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "milliseconds": found[first],
        "variants": found if order["runtime"] == "pytorch" else {},
        "note": model.note,
    }


def shape_of(batch: int, length: int, decoded: int, vocabulary: int, seed: int) -> Shape:
    """Random tokens for a cell, the same for every model with this vocabulary."""
    tokens = random_tokens(batch, length, vocabulary, seed)
    return Shape(tokens, tokens["input_ids"][:, :1] if decoded else None)


def _worth_timing(calls: dict[str, Call], cell: Shape) -> list[str]:
    """The first variant, and those that are not hopeless beside the fastest."""
    if len(calls) == 1:
        return list(calls)
    seconds = _seconds_each(calls, cell)
    limit = HOPELESS * min(seconds.values())
    first, *others = calls
    return [first, *(name for name in others if seconds[name] <= limit)]


def _seconds_each(calls: dict[str, Call], cell: Shape) -> dict[str, float]:
    """Of the second call of each."""
    seconds = {}
    for name, call in calls.items():
        call(cell)
        begun = time.perf_counter()
        call(cell)
        seconds[name] = time.perf_counter() - begun
    return seconds


def random_tokens(batch: int, length: int, vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    """A full batch without padding, [batch, length] int64 each, the same for every model with this vocabulary."""
    ids = np.random.default_rng([seed, batch, length]).integers(0, vocabulary, (batch, length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def peak_memory_bytes() -> int:
    """Largest resident set of this process since it began to run its own program.

    Not from getrusage where /proc tells it: ru_maxrss is handed on from parent to child, and would be the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _load_onnx(folder: Path, order: dict[str, Any], _cells: list[Shape]) -> Loaded:
    from hone.tasks.model.runtime import runtime
    from hone.tasks.model.runtime.decoding import Decoder
    from hone.tasks.model.runtime.sessions import ask, create_session

    begun = time.perf_counter()
    session = create_session(folder / "model.onnx", order["providers"], order["threads"])
    load_seconds = time.perf_counter() - begun
    decoders: dict[Shape, Decoder] = {}

    def call(cell: Shape) -> object:
        if cell.next is None:
            return ask(session, cell.tokens)
        if cell not in decoders:
            decoders[cell] = Decoder(session, runtime=runtime, batch=len(cell.next))
            decoders[cell].read(cell.tokens["input_ids"])
        length = decoders[cell].length
        logits = decoders[cell].read(cell.next)
        decoders[cell].forget(length)
        return logits

    return Loaded({"session": call}, session.get_providers(), load_seconds)


def _load_pytorch(folder: Path, order: dict[str, Any], cells: list[Shape]) -> Loaded:
    """The model as a person would run it: with PyTorch's own attention (SDPA) where the architecture has it, in each
    of the order's precisions, and compiled where that is asked for and can be done in time."""
    import torch

    from hone.tasks.model.checkpoints.checkpoint import load_model

    if order["threads"]:
        torch.set_num_threads(order["threads"])
    device = torch.device("cuda" if order["providers"][0] != "cpu" and torch.cuda.is_available() else "cpu")
    begun = time.perf_counter()
    model = torch.nn.Module.to(load_model(folder), device)
    load_seconds = time.perf_counter() - begun
    notes = []
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:  # what transformers raises of an architecture that has none
        notes.append("this architecture has no SDPA attention in transformers")
    variants = list(order.get("variants") or ["fp32"])
    forms: dict[str, Any] = {"fp32": model}
    calls: dict[str, Call] = {}
    if any(name.startswith("bf16") for name in variants):
        forms["bf16"] = torch.nn.Module.to(copy.deepcopy(model), torch.bfloat16)
    for name in variants:
        if not name.endswith(COMPILED):
            calls[name] = partial(_ask_pytorch, forms[name], device, {})
    if order["compile_seconds"] and not any(name.endswith(COMPILED) for name in variants):
        seconds = _seconds_each(calls, cells[-1])
        variants.append(min(seconds, key=lambda name: seconds[name]) + COMPILED)
    for name in variants:
        if name.endswith(COMPILED):
            form = forms[name.removesuffix(COMPILED)]
            call = partial(_ask_pytorch, torch.compile(form, dynamic=True), device, {})
            if problem := _failure_to_compile(call, cells, order["compile_seconds"]):
                notes.append(problem)
            else:
                calls[name] = call
    return Loaded(calls, [device.type], load_seconds, "; ".join(notes))


def _ask_pytorch(model: Any, device: Any, caches: dict[Shape, Any], cell: Shape) -> np.ndarray:
    """What a model answers to a cell.

    Args:
        caches: keys and values of the texts that were read, kept from call to call.
    """
    import torch

    with torch.inference_mode():
        ids, mask = (torch.from_numpy(cell.tokens[name]).to(device) for name in ("input_ids", "attention_mask"))
        if cell.next is None:
            found = model(input_ids=ids, attention_mask=mask).to_tuple()
        else:
            if cell not in caches:
                caches[cell] = model(input_ids=ids, use_cache=True).past_key_values
            last = torch.from_numpy(cell.next).to(device)
            found = model(input_ids=last, past_key_values=caches[cell], use_cache=True).to_tuple()
            caches[cell].crop(-last.shape[1])
        answered = [part.float().cpu().numpy() for part in found if isinstance(part, torch.Tensor)]  # and no cache
        return answered[0] if len(answered) == 1 else np.stack(answered, axis=-1)


def _failure_to_compile(call: Call, cells: list[Shape], seconds: float) -> str:
    """Compiles for every cell, and says why not where that fails or takes too long; empty where it is done."""
    late = f"torch.compile was not done after {seconds:g} s"
    rang = False

    def give_up(*_: object) -> None:
        nonlocal rang
        rang = True
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        # Inside, as it may ring at once. Again each second, as torch may catch what interrupts it and go on.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 1.0)
        for cell in cells:
            call(cell)
    except Exception as problem:  # noqa: BLE001 - whatever torch.compile cannot do, the model runs without it
        return late if rang else f"torch.compile failed: {(str(problem).strip().splitlines() or [''])[0][:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return late if rang else ""


if __name__ == "__main__":
    order_file, timing_file = Path(sys.argv[1]), Path(sys.argv[2])
    timing_file.write_text(
        json.dumps(run_benchmark(json.loads(order_file.read_text(encoding="utf-8")))), encoding="utf-8"
    )
