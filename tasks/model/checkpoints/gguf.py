"""GGUF, llama.cpp's format: weights, config and tokenizer in one file, read by transformers and kept as plain fp32.

Most such files hold weights that were rounded to a few bits. Read, they lie on the grid that they were rounded to:
rounding them to such a grid again costs hardly anything, which says nothing of a model that has weights of its own.
`gguf_notes` says so in the run; training moves them off it.
"""

import importlib.util
import re
import struct
from collections import Counter
from pathlib import Path
from typing import Any

from transformers import AutoConfig, GgufConfig, PretrainedConfig, PreTrainedModel

from hone.tasks.errors import ModelError
from hone.tasks.model.checkpoints.problems import LIBRARY_ERRORS, in_one_line
from hone.tasks.model.checkpoints.source import gguf_file

FEW_BITS = re.compile(r"(I?Q|TQ)[1-4]_|\w*FP4")
"""Types of tensors whose weights lie on a grid of at most 16 values a block, such as Q4_1, IQ3_S and MXFP4."""
NEEDED = ("gguf", "accelerate")
"""What transformers reads such a file with."""


def gguf_arguments(file: Path) -> dict[str, Any]:
    """What `from_pretrained` of a config or a tokenizer takes to read it from a file.

    Raises:
        ModelError: when the packages that read it are not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"{file}: to read a GGUF file takes {' and '.join(missing)}, not installed here: pip install 'hone[gguf]', "
            "or take the same model as safetensors"
        )
    return {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}


def gguf_config(file: Path) -> PretrainedConfig:
    """The config that a GGUF file describes.

    Raises:
        ModelError: when it cannot be read, or transformers does not read its architecture.
    """
    try:
        return AutoConfig.from_pretrained(**gguf_arguments(file), trust_remote_code=False)
    except (*LIBRARY_ERRORS, struct.error) as error:
        raise ModelError(
            f"{file}: cannot be read as GGUF: {in_one_line(error)}: where it is whole, take the same model as "
            "safetensors"
        ) from error


def weights_arguments(file: Path) -> dict[str, Any]:
    """What `from_pretrained` of a model takes beside these, to have plain weights of it.

    Raises: as `gguf_arguments`.
    """
    return {**gguf_arguments(file), "quantization_config": GgufConfig(dequantize=True)}


def forget_blocks(model: PreTrainedModel) -> None:
    """Makes a model that was read from GGUF one like any other: else it takes itself for quantized, and transformers
    neither trains nor saves it."""
    for place, name in (
        (model.config, "quantization_config"),
        (model, "hf_quantizer"),
        (model, "is_quantized"),
        (model, "quantization_method"),
    ):
        if hasattr(place, name):
            delattr(place, name)


def gguf_notes(place: Path) -> dict[str, Any]:
    """What the run says of a source that is a GGUF file; nothing of others."""
    file = gguf_file(place)
    if file is None:
        return {}
    from gguf import GGUFReader  # an extra

    kinds: Counter[str] = Counter()
    weights: Counter[bool] = Counter()
    for tensor in GGUFReader(file).tensors:
        kinds[tensor.tensor_type.name] += 1
        weights[FEW_BITS.match(tensor.tensor_type.name) is not None] += int(tensor.n_elements)
    share = weights[True] / max(weights.total(), 1)
    notes: dict[str, Any] = {"gguf": {"tensors": dict(kinds), "on_a_grid_of_4_bits": share}}
    if share:
        notes["gguf"]["note"] = (
            f"{share:.0%} of the weights it came with lie on grids of 4 bits or fewer already: rounding them to such a "
            "grid again is all but free, and no evidence; training moves them off it"
        )
    return notes
