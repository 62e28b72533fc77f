"""Whether what lies in a folder may be loaded, and whether an encoder fits the task."""

import inspect
import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from tasks.errors import ModelError, UnsafeFileError
from tasks.store import PICKLE_ENDINGS

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "spm.model")


def check_config(folder: Path) -> PretrainedConfig:
    """The config in a folder, once it is known to ask for no code of its own.

    Raises:
        ModelError: when there is no config, or one that transformers does not know.
        UnsafeFileError: when config or tokenizer name code in `auto_map`.
    """
    config = _json(folder / "config.json")
    if config is None:
        raise ModelError(f"{folder}: it holds no config.json, so it is not a Hugging Face model folder")
    for name, content in (("config.json", config), ("tokenizer_config.json", _json(folder / "tokenizer_config.json"))):
        if content and content.get("auto_map"):
            raise UnsafeFileError(
                f"{folder}: refuses {name}, whose auto_map asks to run {_named(content['auto_map'])}: code of a model "
                "repository is never run; take an encoder that transformers knows itself"
            )
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: its config.json cannot be used: {error}") from error


def check_weights(folder: Path) -> None:
    """Raises:
    ModelError: when the folder holds no weights.
    UnsafeFileError: when it holds them as a pickle only, naming the file.
    """
    if any(folder.glob("*.safetensors")):
        return
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
    """Raises:
    ModelError: when the folder holds no vocabulary: transformers would make an empty tokenizer, and say nothing.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{folder}: it holds no tokenizer ({', '.join(TOKENIZER_FILES)}); save the encoder's tokenizer beside it"
        )


def check_kind(source: str, config: PretrainedConfig) -> None:
    """Raises:
    ModelError: when the model is not an encoder that transformers can put a classification head on.
    """
    kind = config.model_type
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise ModelError(
            f"model.source = '{source}': model type '{kind}' has no sequence classification head in transformers; take "
            "an encoder such as bert, roberta, distilbert or electra"
        )
    decodes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if decodes or config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise ModelError(
            f"model.source = '{source}': model type '{kind}' is a decoder, and Hone trains encoders; take one such as "
            "bert, roberta, distilbert or electra"
        )


def takes_token_types(config: PretrainedConfig) -> bool:
    """Whether the model tells the first text of a pair from the second by token types: whether it takes them, and has
    more than one."""
    kinds = getattr(config, "type_vocab_size", None)
    if kinds is not None:
        return int(kinds) > 1
    model = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    return "token_type_ids" in inspect.signature(model.forward).parameters


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
