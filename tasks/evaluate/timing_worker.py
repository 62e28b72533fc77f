"""The process that times one model: `python -m tasks.evaluate.timing_worker ORDER TIMING`, both JSON files.

It imports the runtime it measures and as little else as can be: what else is loaded would count as memory, and its
threads as noise.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.evaluate.stopwatch import call_repeatedly

Call = Callable[[dict[str, np.ndarray]], np.ndarray]


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """The fields of `latency.Timing` for the fields of a `latency.Order`."""
    folder = Path(order["folder"])
    load = {"onnxruntime": _load_onnx, "pytorch": _load_pytorch}[order["runtime"]]
    call, providers, load_seconds = load(folder, order["providers"], order["threads"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    milliseconds = []
    for batch, length in order["cells"]:
        tokens = random_tokens(batch, length, config["vocab_size"], order["seed"])
        milliseconds.append(call_repeatedly(lambda: call(tokens), order["samples"], order["seconds"]))  # noqa: B023
    return {
        "providers": providers,
        "load_seconds": load_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "milliseconds": milliseconds,
    }


def random_tokens(batch: int, length: int, vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    """A full batch without padding, [batch, length] int64 each, the same for every model with this vocabulary."""
    ids = np.random.default_rng([seed, batch, length]).integers(0, vocabulary, (batch, length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def peak_memory_bytes() -> int:
    """Largest resident set of this process since it began to run its own program.

    On Linux not from getrusage: its ru_maxrss is handed on from parent to child, and would be the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _load_onnx(folder: Path, providers: list[str], threads: int) -> tuple[Call, list[str], float]:
    from tasks.model.sessions import create_session

    begun = time.perf_counter()
    session = create_session(folder / "model.onnx", providers, threads)
    load_seconds = time.perf_counter() - begun
    wanted = [entry.name for entry in session.get_inputs()]

    def call(tokens: dict[str, np.ndarray]) -> np.ndarray:
        logits: np.ndarray = session.run(None, {name: tokens[name] for name in wanted})[0]
        return logits

    return call, session.get_providers(), load_seconds


def _load_pytorch(folder: Path, providers: list[str], threads: int) -> tuple[Call, list[str], float]:
    import torch

    from tasks.model.checkpoint import load_model

    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if providers[0] != "cpu" and torch.cuda.is_available() else "cpu")
    begun = time.perf_counter()
    model = torch.nn.Module.to(load_model(folder), device)
    load_seconds = time.perf_counter() - begun

    def call(tokens: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            ids, mask = (torch.from_numpy(tokens[name]).to(device) for name in ("input_ids", "attention_mask"))
            logits: np.ndarray = model(input_ids=ids, attention_mask=mask).logits.cpu().numpy()
            return logits

    return call, [device.type], load_seconds


if __name__ == "__main__":
    order_file, timing_file = Path(sys.argv[1]), Path(sys.argv[2])
    timing_file.write_text(json.dumps(carry_out(json.loads(order_file.read_text(encoding="utf-8")))), encoding="utf-8")
