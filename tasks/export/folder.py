"""The folder that leaves Hone: `model.onnx`, `config.json`, tokenizer, `serving.json`. Hone's `runtime.py`, Optimum's
ORTModelForSequenceClassification and plain onnxruntime with tokenizers read it as it is."""

import json
from pathlib import Path

import onnx
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.export.graph import write_onnx
from hone.tasks.export.tokenization import write_tokenization
from hone.tasks.model.runtime.runtime import TextSettings


def write_folder(
    graph: onnx.ModelProto,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    texts: TextSettings,
) -> int:
    """Writes a checked model folder and returns the bytes of the graph.

    Raises:
        ExportError: when the files of the tokenizer would read texts otherwise than the tokenizer does.
    """
    folder.mkdir(parents=True)
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _tokenizer_for_all(folder / "tokenizer_config.json")
    write_tokenization(tokenizer, folder, texts)
    return write_onnx(graph, folder / "model.onnx")


def _tokenizer_for_all(path: Path) -> None:
    """A tokenizer without a class of its own is called TokenizersBackend by transformers 5, and earlier ones, which
    Optimum needs, refuse that name. Both know it as PreTrainedTokenizerFast."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    for local in ("is_local", "local_files_only"):
        settings.pop(local, None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
