"""A model out of llama.cpp's file is one like any other, and the run says on what grid its weights came."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

pytest.importorskip("gguf", reason="the extra `gguf` is not installed: make setup")
pytest.importorskip("accelerate", reason="the extra `gguf` is not installed: make setup")

from gguf import GGMLQuantizationType

from hone.configs.model import ModelSettings
from hone.tasks.errors import ModelError
from hone.tasks.model.checkpoints.checkpoint import load_pretrained, load_tokenizer, save_model
from hone.tasks.model.checkpoints.gguf import gguf_notes
from hone.tasks.model.checkpoints.safety import check_config
from hone.tasks.model.checkpoints.source import content_digest, copy_encoder, resolve_source
from hone.tasks.objectives.learning import LEARNING
from tests.model.gguf_files import on_grid, write_gguf
from tests.prune.decoders import logits

Q4, Q8, F32 = GGMLQuantizationType.Q4_1, GGMLQuantizationType.Q8_0, GGMLQuantizationType.F32


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What loading asks of a task that answers with tokens."""
    asked = SimpleNamespace(auto_model=AutoModelForCausalLM, by_word=False, config_labels=lambda labels: {})
    monkeypatch.setitem(LEARNING, "text-generation", asked)


def load(source: Path, **settings):
    model = ModelSettings(source=str(source), max_length=32, **settings)
    return load_pretrained(model, [], seed=0, task="text-generation")


def test_a_file_in_fp32_is_the_model_that_was_written(tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf", F32)
    model, tokenizer = load(tmp_path / "tiny.gguf")
    assert torch.allclose(logits(model), logits(written), atol=1e-5)
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert tokenizer.tokenize("hello world") == ["hello", "Ġw", "o", "r", "l", "d"]
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|end|>")
    assert gguf_notes(tmp_path / "tiny.gguf") == {"gguf": {"tensors": {"F32": 20}, "on_a_grid_of_4_bits": 0}}


def test_blocks_become_plain_weights_that_train_and_are_saved(tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf", Q4)
    model, tokenizer = load(tmp_path)
    name = "model.layers.1.mlp.up_proj.weight"
    found = model.get_parameter(name)
    assert torch.allclose(found, on_grid(written.state_dict()[name], Q4), atol=1e-6)
    assert (found.dtype, found.requires_grad) == (torch.float32, True)
    model(input_ids=torch.tensor([[4, 5]])).logits.sum().backward()
    assert found.grad is not None
    save_model(model, tokenizer, tmp_path / "saved")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", attn_implementation="eager").eval()
    assert not hasattr(plain.config, "quantization_config")
    assert torch.equal(logits(plain), logits(model))
    assert load_tokenizer(tmp_path / "saved").tokenize("hello") == ["hello"]


def test_loading_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_gguf(tmp_path / "tiny.gguf", Q4)
    capfd.readouterr()
    load(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_run_says_that_weights_lie_on_a_grid_of_4_bits_already(tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf", Q4)
    matrices = sum(weight.numel() for weight in written.parameters() if weight.ndim == 2)
    notes = gguf_notes(tmp_path)["gguf"]
    assert notes["tensors"] == {"Q4_1": 15, "F32": 5}
    assert notes["on_a_grid_of_4_bits"] == pytest.approx(matrices / sum(w.numel() for w in written.parameters()))
    assert "lie on grids of 4 bits or fewer already: rounding them to such a grid again" in notes["note"]
    write_gguf(tmp_path / "tiny.gguf", Q8)
    assert gguf_notes(tmp_path)["gguf"] == {"tensors": {"Q8_0": 15, "F32": 5}, "on_a_grid_of_4_bits": 0}


def test_nothing_is_said_of_a_folder_of_safetensors(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert gguf_notes(tmp_path) == {}


def test_what_is_copied_to_the_workers_is_what_the_key_counts(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Q8)
    file = resolve_source(str(tmp_path / "tiny.gguf"))
    copied = copy_encoder(file, tmp_path / "workers")
    assert content_digest(copied) == content_digest(file) == content_digest(tmp_path)
    assert [path.name for path in copied.iterdir()] == ["tiny.gguf"]
    write_gguf(tmp_path / "tiny.gguf", Q4)
    assert content_digest(file) != content_digest(copied)


def test_a_decoder_without_padding_pads_with_the_end(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", F32, padding=False)
    assert load_tokenizer(tmp_path).pad_token == "<|end|>"


def test_random_weights_are_drawn_of_the_config_in_the_file(tmp_path: Path) -> None:
    written = write_gguf(tmp_path / "tiny.gguf", Q4)
    model, _tokenizer = load(tmp_path, weights="random")
    assert [p.shape for p in model.parameters()] == [p.shape for p in written.parameters()]
    assert not torch.equal(model.lm_head.weight, load(tmp_path)[0].lm_head.weight)


def test_several_files_damaged_ones_and_missing_packages_are_errors(tmp_path: Path, monkeypatch) -> None:
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).write_bytes(b"GGUF and nothing else")
    with pytest.raises(ModelError, match=r"holds 2 GGUF files, one\.gguf, two\.gguf: name one of them"):
        check_config(tmp_path)
    with pytest.raises(ModelError, match=r"one\.gguf: cannot be read as GGUF: .* same model as safetensors"):
        check_config(tmp_path / "one.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"takes gguf and accelerate, not installed here: pip install 'hone\[gguf\]'"):
        check_config(tmp_path / "one.gguf")


def test_a_task_for_encoders_takes_no_decoder_and_a_language_model_no_encoder(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Q8)
    settings = ModelSettings(source=str(tmp_path), max_length=32)
    with pytest.raises(ModelError, match=r"'llama' is a decoder, and this task takes encoders"):
        load_pretrained(settings, ["no", "yes"], seed=0, task="text-classification")
    from tests.tiny import write_encoder

    with pytest.raises(ModelError, match=r"'bert' is not a decoder alone.* take a decoder such as llama"):
        load(write_encoder(tmp_path / "encoder"), weights="random")
