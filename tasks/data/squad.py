"""Questions out of SQuAD's JSON, version 1.1 and 2.0: articles of paragraphs, each with its questions and answers."""

import json
from collections.abc import Iterator
from typing import Any

from hone.configs.data import DataSettings
from hone.tasks.data.data_file import DataFile
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError


def read_squad(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """Its questions, numbered from 1, each with its context and its answers as `[{"text", "answer_start"}]`. One that
    is marked as impossible has none, whatever looks like one.

    Raises:
        DataError: when it is no such file.
    """
    with file.lines() as lines:
        content = b"".join(lines)
    try:
        told = json.loads(content.removeprefix(b"\xef\xbb\xbf").decode())
        for number, (asked, context) in enumerate(questions_of(told), start=1):
            answers = [] if asked.get("is_impossible") else asked.get("answers")
            yield RawRow(number, asked.get("question"), context, answers)
    except UnicodeDecodeError as error:
        raise DataError(f"{file.path}: no text in UTF-8: {error}: set data.encoding, or convert it") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.path}: not readable as JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file.path}: not as SQuAD has it, {_shape(content)}: it is to be an object with data, a list of articles "
            "with paragraphs, each with a context and its qas, which have a question and answers; of an object a line "
            "set data.format=jsonl"
        ) from error


def questions_of(told: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each question, as the file has it, with its context.

    Args:
        told: what the JSON says.

    Raises:
        KeyError, TypeError: where it is not as SQuAD has it.
    """
    for article in told["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for asked in paragraph["qas"]:
                yield asked, context


def _shape(content: bytes) -> str:
    """What the file holds instead, in a few words."""
    found: Any = json.loads(content)
    if isinstance(found, dict):
        return f"but an object with {', '.join(list(map(str, found))[:5]) or 'nothing'}"
    return f"but a {type(found).__name__}"
