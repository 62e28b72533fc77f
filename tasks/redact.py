"""Keeps credentials out of what people and servers get to read: messages, logs, parameters, artifacts."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

MASK = "***"
SHORTEST = 6
"""Characters of a value from the environment that is masked wherever it stands: shorter ones are words like `true`."""

_USER_INFO = re.compile(r"(?<=://)[^/\s'\"<>]+@")
_PARAMETER = re.compile(
    r"([?&;](?:[\w-]*(?:password|passwd|pwd|token|secret|signature|credential|api_?key|access_?key)[\w-]*|sig|key)=)"
    r"[^&\s'\"#]+",
    re.IGNORECASE,
)
_SECRET_WORDS = {"SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS", "APIKEY"}
_NO_SECRET = {"PATH", "FILE", "MODE", "DIR", "URL", "URI", "COUNT", "TTL", "EXPIRATION"}
"""Last words of variables that say where a secret lies or how it is used; credentials inside their URIs are masked."""


def without_credentials(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Masks what could let a reader in: user and password of any URI, its parameters such as `token=`, and the values
    of variables such as `AWS_SECRET_ACCESS_KEY` or `PREFECT_API_KEY`, wherever they stand.

    Args:
        environment: the variables; those of this process by default.
    """
    text = _PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(f"{MASK}@", text))
    for value in sorted(_secrets(os.environ if environment is None else environment), key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def plain_uri(uri: str) -> str:
    """A URI without user and password, as it may be shown and linked to."""
    return _USER_INFO.sub("", uri)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that hold no credential, and none that says where one lies: for a process that runs somebody's code
    and needs none of them. What files the account may read is not changed by it."""
    return {
        name: value
        for name, value in environment.items()
        if not _names_a_secret(name.upper().split("_")) and without_credentials(value, {}) == value
    }


def mask_logs() -> None:
    """Masks credentials in whatever this process logs from now on, tracebacks included, wherever it is written: an
    engine's own error may hold the address that it was given."""
    make = logging.getLogRecordFactory()
    if getattr(make, "masks_credentials", False):
        return

    def masked(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        with contextlib.suppress(TypeError, ValueError):  # a message that does not fit its arguments
            said = record.getMessage()
            if (plain := without_credentials(said)) != said:
                record.msg, record.args = plain, None
        if record.exc_info and not record.exc_text:  # what a formatter makes of it, and then leaves as it is
            record.exc_text = without_credentials(logging.Formatter().formatException(record.exc_info))
        return record

    masked.masks_credentials = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(masked)


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        words = name.upper().split("_")
        if "://" in value:
            try:
                address = urlsplit(value)
                found = [address.password or "", unquote(address.password or "")]
            except ValueError:  # no address after all
                continue
            yield from (secret for secret in found if len(secret) >= SHORTEST)
        elif words[-1] not in _NO_SECRET and len(value) >= SHORTEST and _names_a_secret(words):
            yield value
            if words[-2:] == ["AUTH", "STRING"] and ":" in value:  # USER:PASSWORD
                yield value.partition(":")[2]


def _names_a_secret(words: list[str]) -> bool:
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or (words[-1] == "KEY" and words[-2:-1] in (["API"], ["ACCESS"], ["PRIVATE"], ["ACCOUNT"]))
        or words[-2:] == ["AUTH", "STRING"]
    )
