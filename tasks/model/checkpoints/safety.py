"""Whether what lies in a folder may be loaded, and whether an encoder fits the task."""

import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers import __version__ as transformers_version
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
)

from hone.tasks.errors import ModelError, UnsafeFileError
from hone.tasks.model.checkpoints.gguf import gguf_config
from hone.tasks.model.checkpoints.problems import LIBRARY_ERRORS, in_one_line
from hone.tasks.model.checkpoints.source import gguf_file
from hone.tasks.store import PICKLE_ENDINGS

POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES = 1024
"""Git LFS writes shorter ones."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "spm.model")


def check_config(folder: Path) -> PretrainedConfig:
    """The config in a folder, once it is known to ask for no code of its own.

    Raises:
        ModelError: when there is no config, or one that transformers does not know, or files that stand for others.
        UnsafeFileError: when config or tokenizer name code in `auto_map`.
    """
    file = gguf_file(folder)
    if file is not None:
        return gguf_config(file)
    check_pointers(folder)
    config = _json(folder / "config.json")
    if config is None:
        check_adapter(folder)
        raise ModelError(f"{folder}: it holds no config.json, so it is not a Hugging Face model folder")
    for name, content in (("config.json", config), ("tokenizer_config.json", _json(folder / "tokenizer_config.json"))):
        if content and content.get("auto_map"):
            raise UnsafeFileError(
                f"{folder}: refuses {name}, whose auto_map asks to run {_named(content['auto_map'])}: code of a model "
                "repository is never run; take an encoder that transformers knows itself"
            )
    for name in ("id2label", "label2id"):
        if not isinstance(config.get(name) or {}, dict):
            raise ModelError(
                f"{folder / 'config.json'}: {name} is a {type(config[name]).__name__}, and has to be an object such as "
                f'{{"0": "first"}}: write it so, or delete it: the labels come from the data'
            )
    if not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{folder / 'config.json'}: model_type is {config.get('model_type', 'not there')}, and without it nobody "
            'knows which architecture this is: write for example "model_type": "bert"'
        )
    if config["model_type"] not in CONFIG_MAPPING:
        raise ModelError(
            f"{folder / 'config.json'}: model_type is '{config['model_type']}', which transformers "
            f"{transformers_version} does not know; take another encoder, such as a bert or a deberta-v2"
        )
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except LIBRARY_ERRORS as error:
        raise ModelError(f"{folder / 'config.json'}: cannot be used: {in_one_line(error)}") from error


def check_pointers(folder: Path) -> None:
    """Refuses a clone that Git LFS has not filled.

    Raises:
        ModelError: when files hold the names of their contents instead of these.
    """
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    pointers = [path.name for path in files if path.stat().st_size < POINTER_BYTES and _starts(path, POINTER)]
    if pointers:
        raise ModelError(
            f"{folder}: {', '.join(pointers)}: these are Git LFS pointers, not the files themselves: run "
            f"'git lfs pull' in the clone (after 'git lfs install' where it is new), and try again"
        )


def check_adapter(folder: Path) -> None:
    """Refuses an adapter in place of a model.

    Raises:
        ModelError: saying of which model it is an adapter, and how the two become one.
    """
    adapter = _json(folder / "adapter_config.json")
    if adapter is not None:
        base = adapter.get("base_model_name_or_path", "a model that it does not name")
        raise ModelError(
            f"{folder}: it holds a {adapter.get('peft_type', 'PEFT')} adapter of '{base}' and no whole model: merge "
            "the two where peft is installed, with as many labels as it was trained for, and give the merged folder as "
            'model.source: python -c "from peft import AutoPeftModelForSequenceClassification as M; from transformers '
            f"import AutoTokenizer as T; M.from_pretrained('{folder}', num_labels=LABELS).merge_and_unload()"
            f".save_pretrained('merged'); T.from_pretrained('{folder}').save_pretrained('merged')\""
        )


def check_weights(folder: Path) -> None:
    """Refuses a folder without weights that may be loaded.

    Raises:
        ModelError: when the folder holds no weights.
        UnsafeFileError: when it holds them as a pickle only, naming the file.
    """
    if gguf_file(folder) is not None:
        return
    if any(path.name != "adapter_model.safetensors" for path in folder.glob("*.safetensors")):
        return
    check_adapter(folder)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLE_ENDINGS)
    if pickles:
        raise UnsafeFileError(
            f"{folder}: refuses {', '.join(pickles)}: a pickle runs code when it is loaded. Only safetensors is read: "
            "convert it with transformers' save_pretrained, in a place you trust"
        )
    raise ModelError(
        f"{folder}: it holds no model.safetensors; add it, or set model.weights: random to start without weights"
    )


def check_tokenizer(folder: Path) -> None:
    """Refuses a folder without a tokenizer.

    Raises:
        ModelError: when the folder holds no vocabulary: transformers would make an empty tokenizer, and say nothing.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{folder}: it holds no tokenizer ({', '.join(TOKENIZER_FILES)}); save the encoder's tokenizer beside it"
        )
    check_pointers(folder)
    models = [name for name in TOKENIZER_FILES if name.endswith(".model") and (folder / name).is_file()]
    if models and not (folder / "tokenizer.json").is_file() and importlib.util.find_spec("sentencepiece") is None:
        raise ModelError(
            f"{folder}: its tokenizer is {models[0]} alone, and Hone reads tokenizer.json: make it where transformers, "
            'sentencepiece and protobuf are installed: python -c "from transformers import AutoTokenizer as T; '
            f"T.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )


def answers_with_tokens(auto_model: Any) -> bool:
    """Whether a task's head gives each token of the vocabulary a number, as a language model's does.

    Args:
        auto_model: transformers' AutoModelFor... of the task.
    """
    return auto_model is AutoModelForCausalLM


def check_kind(source: str, config: PretrainedConfig, auto_model: Any) -> None:
    """Refuses what transformers cannot put the task's head on: the tasks take an encoder, and language models are
    decoders.

    Args:
        auto_model: transformers' AutoModelFor... of the task.

    Raises:
        ModelError: naming the kind of model and others that can be taken.
    """
    kind, writes = config.model_type, answers_with_tokens(auto_model)
    others = (
        "a decoder such as llama, qwen3 or gpt2"
        if writes
        else "an encoder such as bert, roberta, distilbert or electra"
    )
    if type(config) not in auto_model._model_mapping:
        head = " ".join(re.findall("[A-Z][a-z]+", auto_model.__name__.removeprefix("AutoModelFor"))).lower()
        raise ModelError(
            f"model.source = '{source}': model type '{kind}' has no {head} head in transformers; take {others}"
        )
    decodes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if writes and (config.is_encoder_decoder or not decodes):
        raise ModelError(
            f"model.source = '{source}': model type '{kind}' is not a decoder alone, which a language model is here; "
            f"take {others}"
        )
    if not writes and (decodes or config.is_encoder_decoder or getattr(config, "is_decoder", False)):
        raise ModelError(
            f"model.source = '{source}': model type '{kind}' is a decoder, and this task takes encoders; take one such "
            "as bert, roberta, distilbert or electra, or set task=text-generation"
        )


def takes_token_types(config: PretrainedConfig) -> bool:
    """Whether the model tells the first text of a pair from the second by token types: whether it takes them, and has
    more than one. Of a model type that has none of our heads, that it does."""
    kinds = getattr(config, "type_vocab_size", None)
    if kinds is not None:
        return int(kinds) > 1
    heads: tuple[Any, ...] = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING)
    models: list[Any] = [head[type(config)] for head in heads if type(config) in head]
    return not models or "token_type_ids" in inspect.signature(models[0].forward).parameters


def check_fit(
    source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> dict[str, Any]:
    """Facts about a model that fits its tokenizer and the length asked for.

    Raises:
        ModelError: when it does not.
    """
    limit = positions(model)
    if limit is not None and max_length > limit:
        raise ModelError(
            f"model.max_length is {max_length}, and '{source}' has positions for {limit} tokens: set "
            f"model.max_length to {limit} or less"
        )
    table: Any = model.get_input_embeddings()
    words = int(table.num_embeddings)
    if len(tokenizer) > words:
        raise ModelError(
            f"model.source = '{source}': its tokenizer knows {len(tokenizer)} tokens and its model {words}: "
            "they do not belong together; take tokenizer and model from the same place"
        )
    return {
        "model_type": model.config.model_type,
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": words,
        "max_positions": limit,
        "labels": model.config.num_labels,
    }


def positions(model: PreTrainedModel) -> int | None:
    """Most tokens a text may have; None where nothing limits them. Models of RoBERTa's kind lose the positions up to
    their padding index."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and hasattr(module, "num_embeddings"):
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - skipped
    limit = getattr(model.config, "max_position_embeddings", None)
    return None if limit is None else int(limit)


def check_finite(folder: Path, model: PreTrainedModel) -> None:
    """Refuses weights that no answer can come of.

    Raises:
        ModelError: naming those that hold NaN or infinity.
    """
    broken = [name for name, weight in model.named_parameters() if not bool(weight.detach().isfinite().all())]
    if broken:
        raise ModelError(
            f"{folder}: {len(broken)} of its weights hold NaN or infinity, the first is {broken[0]}: the training that "
            "they come from diverged; take an earlier checkpoint"
        )


def _starts(path: Path, with_what: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(with_what)) == with_what


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a JSON object, and it is a {type(content).__name__}")
    return content


def _named(auto_map: Any) -> str:
    targets = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
    return ", ".join(sorted({str(target) for target in targets}))
