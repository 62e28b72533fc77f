"""Which provider ran which node: read from the profile of one run, as a session's list of providers tells only who was
asked."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from hone.tasks.contracts import Placement
from hone.tasks.cores import usable_cores
from hone.tasks.evaluate.timing_worker import random_tokens
from hone.tasks.model.runtime.model_under_test import ModelUnderTest
from hone.tasks.model.runtime.sessions import PROVIDERS, ask, create_session, provider_names

BATCH, LENGTH = 2, 8
_KERNEL = "_kernel_time"


def place(subject: ModelUnderTest, providers: Sequence[str], threads: int = 0) -> Placement:
    """Runs one small batch of an exported model under onnxruntime's profiler.

    Args:
        providers: as the recipe lists them, the preferred one first. Every node that ran on another than that one is a
            fallback, so without its device all of them are.
        threads: 0 takes one for each core.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = create_session(subject.folder / "model.onnx", providers, threads or usable_cores(), options)
        config = json.loads((subject.folder / "config.json").read_text(encoding="utf-8"))
        tokens = random_tokens(BATCH, LENGTH, config["vocab_size"], seed=0)
        ask(session, tokens)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return read_profile(events, list(providers), provider_names(session))


def read_profile(events: list[dict[str, object]], asked: list[str], got: list[str]) -> Placement:
    """The placement that a profile's events tell; a node that ran several times is one node."""
    words = {name: word for word, name in PROVIDERS.items()}
    ran: dict[tuple[str, str], tuple[str, str]] = {}  # (index, name) -> (provider, operator)
    for event in events:
        name, facts = str(event.get("name", "")), event.get("args")
        if event.get("cat") == "Node" and name.endswith(_KERNEL) and isinstance(facts, dict):
            provider = str(facts["provider"])
            key = (str(facts.get("node_index", "")), name.removesuffix(_KERNEL))
            ran[key] = words.get(provider, provider), str(facts["op_name"])
    operators: dict[str, Counter[str]] = {}
    names: dict[str, list[str]] = {}
    for (_, name), (provider, operator) in ran.items():
        operators.setdefault(provider, Counter())[operator] += 1
        names.setdefault(provider, []).append(name or operator)
    return Placement(
        asked=asked,
        got=got,
        nodes={provider: kinds.total() for provider, kinds in operators.items()},
        operators={provider: dict(sorted(kinds.items())) for provider, kinds in operators.items()},
        names=names,
        fallback=[name for provider, found in names.items() if provider != asked[0] for name in found],
    )
