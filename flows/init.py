"""`hone init`: a first recipe for a file of labelled text, of words with tags, of questions or of conversations, with
what it assumes and why."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from hone.configs.data import DataSettings
from hone.configs.recipe import RecipeError, parse_recipe
from hone.flows.shell import print_error
from hone.tasks import store
from hone.tasks.data.columns import conversation_settings, question_settings, read_columns
from hone.tasks.data.files import PACKED_ENDINGS
from hone.tasks.data.guess import Guess, estimated_tokens, guess_columns
from hone.tasks.data.guess_sentences import Sentences, guess_sentences
from hone.tasks.data.preview import Preview, preview
from hone.tasks.data.rows import UNUSABLE
from hone.tasks.errors import DataError, HoneError, OutputError

MOST_ROWS = 500_000
MOST_NAMED = 20
"""Labels whose names stand in the recipe."""
MOST_SHOWN = 8
MOST_UNUSABLE = 0.2
"""Share of rows that the recipe may leave out; of more the file is to be mended."""
LONGEST_NAME = 100
WINDOWS = (64, 128, 192, 256, 384)
"""Tokens of a window with a question and its context."""
OF_CONVERSATIONS = (128, 256, 512, 1024, 2048)
"""Likewise of a conversation."""
COVERED = 0.99
"""Share of the conversations that are to fit into one window."""
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
DECODER = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What a recipe begins with where nobody names a model."""
SAYS_NOTHING = ("train", "training", "data", "all", "dataset")
"""Names of files that are no name for a model; their folder's is taken."""


@dataclass(frozen=True)
class Assumed:
    """One setting of the recipe."""

    key: str
    value: Any
    why: str
    otherwise: str = ""
    """What to change where it is wrong."""


def run_init(file: str, output: str, model: str, text: str, label: str, force: bool, console: Console) -> str:
    """Writes a recipe whose data section `hone check` accepts, and prints what it assumed.

    Args:
        model: as model.source; empty: one that suits the file.
        text, label: columns, where a person names them, of words and tags too; empty: guessed.
        force: replace a recipe that is there.

    Returns:
        DONE, or INVALID where the file or the output cannot be used.
    """
    try:
        place = _place(output, force)
        assumed = assume(file, model, text, label)
        written = _written(assumed, file, output)
        recipe = parse_recipe(yaml.safe_load(written), where=output)
        seen = preview(recipe.data, seed=recipe.seed)  # as `hone check` does
        store.write_text(place, written)
    except (HoneError, RecipeError) as error:
        return print_error(error)
    rows = f"{sum(seen.rows.values()):,} {seen.what}" if seen.complete else f"its first {seen.what}, and there are more"
    console.print(f"{file}: {rows}", markup=False, highlight=False, soft_wrap=True)
    for one in assumed:
        why = f"{one.why}; {one.otherwise}" if one.otherwise else one.why
        console.print(f"  {one.key}: {_value(one.value)}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"      {why}", markup=False, highlight=False, soft_wrap=True, style="dim")
    told = f"wrote {output}; next: hone check {output}, then hone optimize {output}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    return "DONE"


def assume(file: str, model: str, text: str = "", label: str = "") -> list[Assumed]:
    """The settings of the recipe, in its order, each with its reason.

    Raises:
        DataError: when the file cannot be used, or no column looks like a label.
    """
    if not (text or label) and (told := conversation_settings(file)):
        return _of_conversations(file, model, told)
    if not (text or label) and (asked := question_settings(file)):
        return _of_questions(file, model, asked)
    sentences = guess_sentences(file, text, label)
    if sentences is not None:
        return _of_sentences(file, model, sentences, text, label)
    columns = read_columns(file)
    try:
        guess = guess_columns(columns, text, label)
    except DataError:
        if columns.complete:
            raise
        columns = read_columns(file, MOST_ROWS)  # where rows are sorted by their label, the first ones have one alone
        guess = guess_columns(columns, text, label)
    roles: dict[str, Any] = {"text_column": guess.text, "label_column": guess.label, "pair_column": guess.pair}
    roles |= {"slice_columns": [], "labels": guess.kind, "label_separator": guess.separator or ","}
    settings, seen, unusable = _tolerant(_renamed(columns.settings.model_copy(update=roles)))
    return [
        _named(file),
        _train(file),
        *_reading(settings),
        *_roles(settings, guess, text, label),
        *unusable,
        *_names(seen, guess),
        _encoder(model),
        Assumed("model.max_length", guess.max_length, f"99 of 100 texts have at most about {guess.tokens} tokens (an "
                "estimate, as no tokenizer was loaded)",
                "longer texts are cut; half of it is more than twice as fast"),
    ]  # fmt: skip


def _of_sentences(file: str, model: str, found: Sentences, words: str, tags: str) -> list[Assumed]:
    """The settings of a recipe for words with tags."""
    settings, seen, unusable = _tolerant(found.settings)
    kinds = sorted(seen.labels.items(), key=lambda kind: -kind[1])
    shown = ", ".join(f"{kind} ({count:,})" for kind, count in kinds[:MOST_SHOWN])
    more = f" and {len(kinds) - MOST_SHOWN:,} more" if len(kinds) > MOST_SHOWN else ""
    scheme = f", in {found.scheme}" if found.scheme else ""
    types = f"{len(kinds):,} types of entities{scheme}: {shown}{more}"
    by_place = "the first column of the file, which has no names for them" if not found.by_name else ""
    length = f"{found.words:,} words a sentence in the median"
    return [
        _named(file),
        Assumed("task", "token-classification", "each word has a tag, which says whether it is part of an entity",
                "where whole texts have labels, name their columns by --text and --label" if found.by_name else ""),
        _train(file),
        *_reading(settings),
        Assumed("data.tokens_column", settings.tokens_column, ("as you said" if words else by_place or "lists of words")
                + f": {length}", _others(found.other_words, "--text")),
        Assumed("data.tags_column", settings.tags_column, ("as you said: " if tags else "" if found.by_name else
                "the last column: ") + types, _others(found.other_tags, "--label")),
        *unusable,
        _encoder(model),
        Assumed("model.max_length", found.max_length, f"99 of 100 sentences have at most about {found.tokens} tokens "
                "(an estimate, as no tokenizer was loaded)", "longer ones are read in several parts, and none is cut"),
    ]  # fmt: skip


def _of_questions(file: str, model: str, settings: DataSettings) -> list[Assumed]:
    """The settings of a recipe for questions about contexts."""
    settings, seen, unusable = _tolerant(settings)
    told = ", ".join(f"{rows:,} with {kind}" for kind, rows in seen.labels.items())
    columns = [Assumed("data.context_column", settings.context_column, f"questions about contexts: {told}")]
    if settings.start_column:
        columns.append(Assumed("data.start_column", settings.start_column, "where each answer begins in its context"))
    tokens = max(
        estimated_tokens(f"{one} {other}") + 3 for one, other in zip(seen.texts, seen.pairs or [], strict=True)
    )
    length = next((length for length in WINDOWS if length >= tokens), WINDOWS[-1])
    return [
        _named(file),
        Assumed("task", "question-answering", "it holds questions, contexts and answers",
                "where texts have labels, name their columns by --text and --label"),
        _train(file, ", by context"),
        *_reading(settings),
        *columns,
        *unusable,
        _encoder(model),
        Assumed("model.max_length", length, "the longest questions looked at have, with their contexts, about "
                f"{tokens} tokens (an estimate, as no tokenizer was loaded)",
                "longer contexts become several windows, and none is cut"),
    ]  # fmt: skip


def _of_conversations(file: str, model: str, settings: DataSettings) -> list[Assumed]:
    """The settings of a recipe for conversations, or for prompts with their completions."""
    settings, seen, unusable = _tolerant(settings)
    column = "messages_column" if settings.messages_column else "prompt_column"
    messages = seen.messages or []
    learned = sum(message.learned for several in messages for message in several)
    why = f"{learned:,} answers in {len(messages):,} of the conversations, as looked at; they alone are learned"
    tokens = sorted(estimated_tokens(" ".join(message.content for message in several)) for several in messages)
    most = tokens[min(len(tokens) - 1, int(COVERED * len(tokens)))]
    length = next((length for length in OF_CONVERSATIONS if length >= 1.25 * most), OF_CONVERSATIONS[-1])
    return [
        _named(file),
        Assumed("task", "text-generation", "it holds conversations, whose answers a language model learns to write",
                "where texts have labels, name their columns by --text and --label"),
        _train(file),
        *_reading(settings),
        Assumed(f"data.{column}", settings.input_column, why),
        *unusable,
        Assumed("model.source", model or DECODER, "the decoder that becomes the teacher; hub id, local folder or "
                "package:NAME/PATH", "messages need one whose tokenizer has a chat template" if messages and
                settings.messages_column else ""),
        Assumed("model.max_length", length, f"the longest conversations looked at have about {most} tokens (an "
                "estimate, as no tokenizer was loaded)",
                "longer ones become several windows, and no answer is cut"),
    ]  # fmt: skip


def _named(file: str) -> Assumed:
    return Assumed("name", _name(Path(file)), "after the file or its folder", "runs and the model get this name")


def _train(file: str, by: str = "") -> Assumed:
    return Assumed("data.train", file, f"validation and test are split off it{by}",
                   "if you have files for them, name them by data.validation and data.test")  # fmt: skip


def _encoder(model: str) -> Assumed:
    why = "the encoder that becomes the teacher; hub id, local folder or package:NAME/PATH"
    return Assumed(
        "model.source", model or ENCODER, why, "for texts that are not English, name a multilingual one by --model"
    )


def _reading(settings: DataSettings) -> list[Assumed]:
    """How the file is read, where that is not by its ending and first line."""
    result = []
    if settings.format != "auto":
        why = "fields are separated by tabs" if settings.format == "tsv" else "a word a line, with its tag at the end"
        result.append(Assumed("data.format", settings.format, f"{why}, whatever the ending says"))
    if settings.encoding != "auto":
        result.append(Assumed("data.encoding", settings.encoding, "some rows are not UTF-8, and look like this",
                             "if letters come out wrong, name another by its name in Python"))  # fmt: skip
    if not settings.header:
        result += [
            Assumed("data.header", False, "the first line looks like a row",
                    "if it names the columns, delete this line and the next, and name them in the two below"),
            Assumed("data.columns", settings.columns, "in their order; the names are made up"),
        ]  # fmt: skip
    return result


def _roles(settings: DataSettings, guess: Guess, text: str, label: str) -> list[Assumed]:
    why = "as you said" if text else f"text of about {guess.median_tokens} tokens in the median"
    result = [Assumed("data.text_column", settings.text_column, why, _others(guess.other_texts, "--text"))]
    if guess.pair:
        result.append(Assumed("data.pair_column", guess.pair, "by their names, the two are judged together",
                             "delete the line if the label is about the first alone"))  # fmt: skip
    if guess.range is not None:
        why = f"{'as you said: ' if label else ''}numbers from {guess.range[0]:g} to {guess.range[1]:g}"
        return [
            *result,
            Assumed("data.label_column", settings.label_column, why, _others(guess.other_labels, "--label")),
            Assumed("data.labels", "number", "a number is to be predicted",
                    "if they stand for classes, put them into classes (low, high) beforehand"),
        ]  # fmt: skip
    shown = ", ".join(f"{value} ({rows:,})" for value, rows in list(guess.labels.items())[:MOST_SHOWN])
    more = f" and {len(guess.labels) - MOST_SHOWN:,} more" if len(guess.labels) > MOST_SHOWN else ""
    why = f"{'as you said: ' if label else ''}{len(guess.labels):,} labels: {shown}{more}"
    result.append(Assumed("data.label_column", settings.label_column, why, _others(guess.other_labels, "--label")))
    if guess.kind == "several":
        how = (
            f"there are several in a row, with {guess.separator!r} between them"
            if guess.separator
            else "they are lists"
        )
        result.append(Assumed("data.labels", "several", how, "delete the line if each value is one label"))
        if guess.separator not in ("", ","):
            result.append(Assumed("data.label_separator", guess.separator, "between the labels of a row"))
    return result


def _names(seen: Preview, guess: Guess) -> list[Assumed]:
    """The labels by name, where all rows were seen: a value that comes later is then refused and not learned."""
    if not seen.complete or len(guess.labels) > MOST_NAMED or guess.kind == "number":
        return []
    return [Assumed("data.label_names", list(seen.labels), "the values in their order",
                    "give them other names here; delete the line if there will be further labels")]  # fmt: skip


def _others(names: list[str], option: str) -> str:
    return f"also possible: {', '.join(names)}, by {option} COLUMN" if names else ""


def _renamed(settings: DataSettings) -> DataSettings:
    """Columns that no header names, called what they are."""
    if settings.header:
        return settings
    names = {settings.text_column: "text", settings.label_column: "label"}
    columns = [names.get(name, name) for name in settings.columns]
    return settings.model_copy(update={"columns": columns, "text_column": "text", "label_column": "label"})


def _tolerant(settings: DataSettings) -> tuple[DataSettings, Preview, list[Assumed]]:
    """Settings that let the rows that cannot be used be left out, if they are no large part; and what was seen.

    Raises:
        DataError: when they are, or for what else `hone check` would refuse.
    """
    seen = preview(settings.model_copy(update={"max_bad_fraction": 1.0}))
    bad = [kind for kind in seen.bad_rows if kind.kind in UNUSABLE]
    unusable = sum(kind.count for kind in bad)
    share = unusable / max(1, unusable + sum(seen.rows.values()))
    if share <= settings.max_bad_fraction:
        return settings, seen, []
    if share > MOST_UNUSABLE:
        preview(settings)  # raises, with the lines
    allowed = math.ceil(100 * share) / 100
    told = ", ".join(f"{kind.count:,} {kind.kind.replace('_', ' ')} (first at {kind.lines[0]})" for kind in bad)
    why = f"rows that cannot be used are left out: {told}"
    tolerant = settings.model_copy(update={"max_bad_fraction": allowed})
    return tolerant, seen, [Assumed("data.max_bad_fraction", allowed, why, "mend them and delete this line")]


def _place(output: str, force: bool) -> Path:
    """Where the recipe goes, checked before anything is read."""
    place = Path(output).expanduser()
    if place.is_dir():
        raise OutputError(f"{output}: a folder: name the recipe's file by --output, as {place / 'recipe.yaml'}")
    if place.exists() and not force:
        raise OutputError(f"{output}: it is there already: name another by --output, or replace it with --force")
    if not place.absolute().parent.is_dir():
        raise OutputError(f"{output}: there is no folder {place.parent}: make it, or name another file by --output")
    return place


def _name(file: Path) -> str:
    """A recipe's name out of the file's, or of its folder's where that says nothing."""
    stem = Path(file.name.removesuffix(file.suffix) if file.suffix.lower() in PACKED_ENDINGS else file.name).stem
    if stem.lower() in SAYS_NOTHING:
        stem = file.absolute().parent.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:LONGEST_NAME] or "hone"


def _written(assumed: list[Assumed], file: str, output: str) -> str:
    told = [" ".join(name.split()).encode("ascii", "replace").decode() for name in (file, output)]
    lines = [f"# Made by hone init from {told[0]}: what differs from the defaults. Next: hone check {told[1]}"]
    section = ""
    for one in assumed:
        above, _, key = one.key.rpartition(".")
        if above != section:
            lines.append(f"{above}:")
            section = above
        lines.append(f"{'  ' if above else ''}{key}: {_value(one.value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """As YAML, on one line."""
    shown: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return shown.removesuffix("...\n").strip()
