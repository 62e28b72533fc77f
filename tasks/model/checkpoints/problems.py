"""What libraries raise at files of a model that are not as they expect, and how a message quotes it."""

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

LIBRARY_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What transformers, safetensors and torch raise at files that are not as they expect."""


def in_one_line(error: Exception) -> str:
    """What a library's exception says, without its line breaks, and of a long one the beginning."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."
