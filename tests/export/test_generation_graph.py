"""A decoder's graph with a cache: it scores and goes on as PyTorch does, in fp32 and in blocks of 4 and 8 bits, and
onnxruntime-genai runs the folder as it is."""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from hone.tasks.errors import ExportError
from hone.tasks.export import generation_graph as module
from hone.tasks.export.blockwise import quantize_blocks
from hone.tasks.export.export import export_checkpoint
from hone.tasks.export.generation_graph import builds, generation_graph, rows_of
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer, save_model
from hone.tasks.model.runtime import decoding, runtime
from hone.tasks.model.runtime.delivered import open_generator
from hone.tasks.model.runtime.runtime import TextSettings
from hone.tasks.model.training.fake_quantization import QuantizationConfig, attach, plan_for, snap_to_grid
from tests.objectives.documents import documents, write_decoder
from tests.prune.decoders import FAMILIES, tiny
from tests.tiny import write_encoder

CACHED = ("gemma", "llama", "mistral", "qwen2", "qwen3")
LENGTH = 24


@dataclass
class Made:
    model: PreTrainedModel
    checkpoint: Path
    graph: onnx.ModelProto


def decoder(kind: str) -> PreTrainedModel:
    """A tiny one that the builder's kernels run: heads of 16, no windows, more tokens than any layer has outputs."""
    config = copy.deepcopy(FAMILIES[kind])
    config.vocab_size, config.num_hidden_layers, config.head_dim = 80, 2, 16
    config.sliding_window = None
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:2]
    if kind == "qwen2":  # its head size is width by heads, whatever the config says
        config.hidden_size = 64
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)  # large enough for its parts to matter
    return model


@pytest.fixture(scope="module", params=CACHED)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = load_tokenizer(write_encoder(folder / "encoder"))
    model = decoder(request.param)
    save_model(model, tokenizer, folder / "checkpoint")
    graph, _config = generation_graph(request.param, folder / "checkpoint", model)
    return Made(model, folder / "checkpoint", graph)


def session(graph: onnx.ModelProto):
    return runtime.create_session(graph.SerializeToString(), ["cpu"], 1)


def tokens(batch: int, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which all but the first are padded behind the text."""
    draw = np.random.default_rng([batch, length])
    mask = np.arange(length) < np.r_[length, draw.integers(1, length + 1, batch - 1)][:, None]
    return np.where(mask, draw.integers(3, 80, (batch, length)), 0), mask


def expected(model: PreTrainedModel, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask.astype(np.int64))).logits
    return logits.numpy()


def in_blocks(made: Made, bits: int) -> tuple[onnx.ModelProto, PreTrainedModel, QuantizationConfig]:
    """The graph of the model in blocks, and that model, rounding."""
    plan = plan_for(made.model, "blockwise", tables=True, bits=bits, block=16)
    baked = snap_to_grid(copy.deepcopy(made.model), plan)
    folder = made.checkpoint.parent / f"int{bits}"
    if not folder.exists():
        save_model(baked, load_tokenizer(made.checkpoint), folder)
    graph, _config = generation_graph("quantized", folder, baked)
    quantize_blocks(graph, baked, plan, partial(rows_of, baked))
    return graph, attach(baked, plan), plan


def test_the_graph_scores_texts_as_pytorch_does(made: Made) -> None:
    for batch in (1, 4):
        ids, mask = tokens(batch)
        found = runtime.ask(session(made.graph), {"input_ids": ids, "attention_mask": mask.astype(np.int64)})
        wanted = expected(made.model, ids, mask)
        assert np.abs(found - wanted)[mask].max() < 5e-5 * np.abs(wanted).max()


def test_token_by_token_it_says_what_it_says_of_the_whole_text(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "STEP_ROOM", 8)  # so that the buffer has to grow
    ids, mask = tokens(1)
    wanted = expected(made.model, ids, mask)[0]
    decoder = decoding.Decoder(session(made.graph), runtime=runtime)
    assert decoder.cached
    found = [decoder.read(ids[:, :5])[0]] + [decoder.read(ids[:, place : place + 1])[0] for place in range(5, LENGTH)]
    assert np.abs(np.stack(found) - wanted[4:]).max() < 5e-5 * np.abs(wanted).max()
    decoder.forget(7)
    again = decoder.read(ids[:, 7:10])[0]
    assert np.abs(again - wanted[9]).max() < 5e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("bits", [4, 8])
def test_in_blocks_it_answers_as_the_model_that_rounds(made: Made, bits: int) -> None:
    graph, rounding, plan = in_blocks(made, bits)
    ids, mask = tokens(3)
    found = runtime.ask(session(graph), {"input_ids": ids, "attention_mask": mask.astype(np.int64)})
    wanted, exact = expected(rounding, ids, mask), expected(made.model, ids, mask)
    assert np.abs(found - wanted)[mask].max() < 0.02 * np.abs(wanted).max()
    assert np.abs(wanted - exact)[mask].max() > 1e-3
    kinds = [node.op_type for node in graph.graph.node]
    assert "MatMul" not in kinds
    assert kinds.count("GatherBlockQuantized") == 1
    widths = {node.name: {a.name: a.i for a in node.attribute} for node in graph.graph.node}
    assert {name: held["bits"] for name, held in widths.items() if "bits" in held and held["bits"] != bits} == (
        {} if bits == 8 else {"/lm_head/MatMul": 8, "/model/embed_tokens/Gather": 8}
    )
    assert plan.block == 16


def test_a_table_that_is_embedding_and_head_is_held_once(made: Made) -> None:
    graph, rounding, _plan = in_blocks(made, 4)
    vocabulary = rounding.config.vocab_size
    tables = [tensor.name for tensor in graph.graph.initializer if list(tensor.dims[:1]) == [vocabulary]]
    tied = rounding.config.tie_word_embeddings
    assert len([name for name in tables if name.endswith("weight_blocks")]) == (1 if tied else 2), tables
    assert sum(tensor.data_type == onnx.TensorProto.FLOAT for tensor in graph.graph.initializer) > 0


@pytest.mark.parametrize("kind", ["gpt2", "gemma2", "gemma3_text", "phi", "phi3"])
def test_families_that_the_builder_does_not_make_are_not_asked_of_it(kind: str) -> None:
    assert not builds(tiny(kind, layers=2))


def test_shapes_that_its_kernels_do_not_run_or_that_it_mistakes_are_not_asked_of_it() -> None:
    assert builds(decoder("llama"))
    small_heads, window, mistaken = decoder("llama"), decoder("mistral"), decoder("llama")
    small_heads.config.head_dim = 8
    window.config.sliding_window = 6
    mistaken.config.vocab_size = 48  # as many as there are neurons: it would take feed_in for the head
    assert [builds(model) for model in (small_heads, window, mistaken)] == [False, False, False]


def test_without_the_package_it_is_said_what_to_install(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'hone\[generation\]'"):
        generation_graph("teacher", made.checkpoint, made.model)


def test_what_the_builder_cannot_make_is_one_error_with_its_reason(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="teacher: onnxruntime-genai's model builder cannot make its graph: "):
        generation_graph("teacher", tmp_path, made.model)


@pytest.mark.parametrize("bits", [0, 4])
def test_onnxruntime_genai_continues_as_the_served_model_does(tmp_path: Path, bits: int) -> None:
    import onnxruntime_genai

    model = AutoModelForCausalLM.from_pretrained(write_decoder(tmp_path / "decoder"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    checkpoint = tmp_path / "checkpoint"
    if bits:
        plan = plan_for(model, "blockwise", tables=True, bits=bits, block=16)
        snap_to_grid(model, plan)
    save_model(model, load_tokenizer(tmp_path / "decoder"), checkpoint)
    if bits:
        plan.write(checkpoint)
    settings = TextSettings(task="text-generation", max_length=32)
    exported = export_checkpoint("model", checkpoint, tmp_path / "out", opset=18, for_cpu=True, texts=settings)
    assert exported.precision == (f"int{bits}" if bits else "fp32")
    served = open_generator(tmp_path / "out")
    genai = onnxruntime_genai.Model(str(tmp_path / "out"))
    for prompt in (text[:20] for text in documents(3)):
        own = served.answers([prompt], None)[0]
        ids = [served.reader.boundary, *served.reader.encode([prompt])[0]]
        params = onnxruntime_genai.GeneratorParams(genai)
        params.set_search_options(max_length=served.context, do_sample=False)
        running = onnxruntime_genai.Generator(genai, params)
        running.append_tokens(np.array([ids], np.int32))
        while not running.is_done():
            running.generate_next_token()
        theirs = [int(token) for token in running.get_sequence(0)][len(ids) :]
        assert theirs[: len(own["tokens"])] == own["tokens"]
        assert own["tokens"]
