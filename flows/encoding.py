"""Output on a terminal, or into a file, that cannot hold every sign: nothing ends because a tick cannot be printed."""

import codecs
import sys
import unicodedata

PLAIN = {
    "✓": "+",
    "✗": "x",
    "×": "x",
    "→": "->",
    "…": "...",
    "–": "-",
    "−": "-",
    "—": "-",
    "·": "-",
    "•": "-",
    "≥": ">=",
    "≤": "<=",
    "α": "alpha",
    "ß": "ss",
}
ERRORS = "hone-plain"


def print_plainly() -> None:
    """Has standard output and error replace what their encoding has no sign for."""
    codecs.register_error(ERRORS, replace_unprintable)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and not (stream.encoding or "").lower().startswith("utf"):
            reconfigure(errors=ERRORS)


def replace_unprintable(error: UnicodeError) -> tuple[str, int]:
    """An error handler of `codecs`: the nearest plain spelling, without accents where that helps, else `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(sign: str) -> str:
    bare = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return PLAIN.get(sign) or bare or "?"
