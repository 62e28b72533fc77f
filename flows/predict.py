"""`hone predict`: a registered or delivered model answers the texts or sentences of a file, as it is served."""

import csv
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any, TextIO

from hone.flows.shell import print_error
from hone.tasks import tracking
from hone.tasks.data.conll import DOCUMENT
from hone.tasks.data.squad import questions_of
from hone.tasks.errors import HoneError, PreflightError

ROWS_AT_ONCE = 1024
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "lines",
    ".conll": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".json": "squad",
}
TEXT = "text"
"""Column in which a model that tags words takes a text, where there is none with its words."""
Row = tuple[str | list[Any], str | None]
"""A text, the words of a sentence, or the messages of a chat; and the second text where the model judges pairs."""


def run_predict(model: str, file: str, format_: str, storage: str, out: TextIO) -> str:
    """Writes one line of JSON for each text: label, score and the probability of every label; of a model that tags
    words, a list of entities with start, end, text, type and score; of one that answers questions, the answer with its
    start, end and score; of a language model, what follows each prompt, or the last question of each conversation.

    Args:
        model: NAME@ALIAS, NAME/VERSION, or a folder that a run wrote.
        file: CSV, TSV or JSONL with the columns that the model learned from, a text a line, CoNLL for a model that tags
            words, of which the first column is read, or SQuAD's JSON for one that answers questions; `-` is standard
            input.
        format_: csv, tsv, jsonl, lines, conll or squad; empty: by the ending of the file, and lines for standard input.

    Returns:
        DONE, or INVALID where the model or the file cannot be used.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="hone-predict-") as room:
            classifier = open_model(model, Path(storage).expanduser(), Path(room))
            with _stream(file) as stream:
                rows = _rows(stream, file, _format(file, format_), classifier.reader.settings)
                while several := list(islice(rows, ROWS_AT_ONCE)):
                    pairs = [pair or "" for _text, pair in several] if classifier.reader.settings.pairs else None
                    for answer in _answers(classifier, [text for text, _pair in several], pairs, file):
                        out.write(json.dumps(answer, ensure_ascii=False) + "\n")
    except HoneError as error:
        return print_error(error)
    return "DONE"


def open_model(model: str, storage: Path, room: Path) -> Any:
    """What answers, by the files that are served with the model.

    Args:
        room: a registered model is downloaded to it, and it stays there for as long as the classifier answers.

    Raises:
        HoneError: when there is no such model, or it cannot be used.
    """
    from hone.tasks.probe.probe import DOCUMENTS, QUESTIONS, SENTENCES

    folder = Path(model).expanduser()
    for place in (folder, folder / "model"):  # the folder of a run has the model in it
        if (place / "model.onnx").is_file():
            return _opened(SENTENCES | QUESTIONS | DOCUMENTS, place)
    if folder.is_dir():
        raise PreflightError(f"{folder}: there is no model.onnx in it: name the folder of a run, or the model's in it")
    name, at, alias = model.partition("@")
    if not at:
        name, _slash, alias = model.rpartition("/")
    if not (name and alias) or len(folder.parts) > 2:
        raise PreflightError(
            f"'{model}' is neither a folder with a model.onnx nor NAME@ALIAS or NAME/VERSION, such as tickets@champion"
        )
    tracking.configure_existing(storage)
    found = tracking.version_at(name, alias) if at else tracking.get_version(name, alias)
    if found is None:
        raise PreflightError(f"MLflow has no '{model}': look at its registry, or name a folder")
    files = tracking.download(found, room)
    return _opened(files, files["model"])


def _opened(files: Mapping[str, Path], folder: Path) -> Any:
    """What answers for a folder.

    Args:
        files: that serve it, by name.
    """
    runtime = _load("runtime", files["runtime"])
    try:
        # A version has the runtime that it was registered with, and older ones know of no other task.
        task = getattr(runtime.read_text_settings(folder), "task", "text-classification")
        if task == "question-answering":
            return _load("answering", files["answering"]).Answerer(folder, runtime=runtime)
        if task == "text-generation":
            # One that was registered before there was a cache, or before there were chats, has no file for them.
            others = {name: _load(name, files[name]) for name in ("decoding", "chat") if name in files}
            return _load("generating", files["generating"]).Generator(folder, runtime=runtime, **others)
        if task != "token-classification":
            return runtime.Classifier(folder)
        served = {name: _load(name, files[name]) for name in ("words", "windows", "spans")}
        return served.pop("spans").Tagger(folder, runtime=runtime, **served)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise PreflightError(f"{folder}: it does not load as a model that Hone exported: {error}") from error


def _answers(classifier: Any, texts: list[Any], pairs: list[str] | None, file: str) -> Iterable[Any]:
    try:
        answers: Iterable[Any] = classifier.answers(texts, pairs)
    except ValueError as error:  # a row that the model cannot be asked, such as a prompt that is too long
        raise PreflightError(f"{file}: {error}") from error
    return answers


def _load(name: str, file: Path) -> Any:
    """A file that serves a model, as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"hone_served_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _format(file: str, asked: str) -> str:
    if asked and asked not in FORMATS.values():
        raise PreflightError(f"--format is '{asked}': give csv, tsv, jsonl, lines, conll or squad")
    return asked or FORMATS.get(Path(file).suffix.lower(), "lines")


def _stream(file: str) -> IO[str]:
    if file == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig")  # type: ignore[union-attr]
        return sys.stdin
    try:
        return Path(file).expanduser().open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise PreflightError(f"{file}: it cannot be read: {error.strerror}") from error


def _rows(stream: IO[str], file: str, format_: str, settings: Any) -> Iterator[Row]:
    columns = [settings.text_column, *([settings.pair_column] if settings.pairs else [])]
    tags_words = getattr(settings, "task", "") == "token-classification"
    values: list[Any]
    try:
        if format_ == "conll":
            if not tags_words:
                raise PreflightError(
                    f"{file}: CoNLL holds words, and the model judges texts: give it CSV, JSONL or lines"
                )
            yield from ((words, None) for words in _sentences(stream))
            return
        if format_ == "lines":
            if settings.pairs:
                raise PreflightError(f"{file}: the model judges pairs, which a line does not hold: give CSV or JSONL")
            for line in stream:
                yield line.rstrip("\r\n"), None
            return
        for number, record in enumerate(_records(stream, file, format_, settings, columns), start=1):
            values = [record.get(column) if isinstance(record, dict) else None for column in columns]
            if tags_words and values[0] is None and isinstance(record, dict):
                values = [record.get(TEXT)]
            if getattr(settings, "task", "") == "text-generation" and isinstance(values[0], list):
                yield _before_the_answer(values[0]), None
                continue
            for column, value in zip(columns, values, strict=True):
                if not isinstance(value, str) and not (tags_words and _are_words(value)):
                    raise PreflightError(
                        f"{file}, record {number}: no text in column '{column}', which the model learned from; it has "
                        f"{', '.join(map(str, record)) if isinstance(record, dict) else 'no columns'}"
                    )
            yield values[0], values[1] if settings.pairs else None
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise PreflightError(f"{file}: it cannot be read as {format_}: {error}") from error


def _records(stream: IO[str], file: str, format_: str, settings: Any, columns: list[str]) -> Iterable[Any]:
    """What stands in the file, one by one, with the columns that the model learned from."""
    if format_ == "squad":
        if getattr(settings, "task", "") != "question-answering":
            raise PreflightError(f"{file}: only a model that answers questions reads SQuAD's JSON: give it JSONL")
        return _asked(stream, file, columns)
    if format_ == "jsonl":
        return (json.loads(line) for line in stream if line.strip())
    csv.field_size_limit(2**31 - 1)
    return csv.DictReader(stream, delimiter="\t" if format_ == "tsv" else ",")


def _asked(stream: IO[str], file: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Questions and contexts of SQuAD's JSON, as records with the columns that the model learned from."""
    try:
        for asked, context in questions_of(json.load(stream)):
            yield dict(zip(columns, (asked.get("question"), context), strict=True))
    except (KeyError, TypeError, AttributeError) as error:
        raise PreflightError(f"{file}: not as SQuAD has it, with data, paragraphs and qas: {error!r}") from error


def _sentences(stream: IO[str]) -> Iterator[list[str]]:
    """The words of each sentence of a CoNLL file, the first column of its lines."""
    words: list[str] = []
    for line in stream:
        if line.strip() and not line.startswith(DOCUMENT):
            words.append((line.split("\t")[0] if "\t" in line else line.split()[0]).strip())
        elif words:
            yield words
            words = []
    if words:
        yield words


def _before_the_answer(messages: list[Any]) -> list[Any]:
    """A conversation without the answers at its end, as data to learn from have them."""
    while messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    return messages


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
