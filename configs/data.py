"""Where the text comes from and what becomes of it before training."""

from typing import Literal

from pydantic import Field, model_validator

from hone.configs.section import Section


class DataSettings(Section):
    """Labelled text: one source, three splits."""

    source: Literal["files", "hub", "saved", "docstrings"] = "files"
    """Files on disk; a Hugging Face dataset by hub id, or saved on disk; or the docstrings of installed libraries."""
    train: str = ""
    """The training split (source: files): a file, which may be packed by gzip, a folder of files, or a pattern,
    `data/*.parquet`. A relative path is from the folder that `hone` is called in, or that a deployment's worker
    runs in, wherever the recipe lies."""
    validation: str = ""
    """The validation split, likewise; empty: split off from training."""
    test: str = ""
    """The test split, likewise; empty: split off from training."""
    format: Literal["auto", "csv", "tsv", "jsonl", "json", "parquet", "conll", "squad", "txt"] = "auto"
    """Format of the files; auto reads it off the ending. jsonl has an object a line, json a list of objects."""
    encoding: str = "auto"
    """All but Parquet: the files' encoding by Python's name, such as cp1252; auto reads UTF-8, and UTF-16 or UTF-32
    with a byte order mark."""
    header: bool = True
    """CSV and TSV: whether the first line names the columns."""
    columns: list[str] = []
    """Names of the columns in order, where the file has no header; CoNLL needs none: the word is the first, the tag the
    last."""
    text_column: str = Field("text", min_length=1)
    """Column with the text."""
    pair_column: str = ""
    """Column with the second text of a pair; empty: one text."""
    label_column: str = Field("label", min_length=1)
    """Column with the label, the labels or the number."""
    labels: Literal["one", "several", "number"] = "one"
    """What a text, or a pair, has: one label; several, or none at all; or a number that is to be predicted."""
    label_separator: str = Field(",", min_length=1)
    """What stands between the labels of a text in CSV and TSV (labels: several); JSONL and Parquet may hold lists."""
    tokens_column: str = ""
    """Column with the list of a sentence's words, each of which has a tag; empty: whole texts have labels."""
    tags_column: str = Field("tags", min_length=1)
    """Column with the list of the words' tags, in IOB1, IOB2, IOBES or BILOU."""
    context_column: str = ""
    """Column with the text that a question is asked about, of which its answer is a part; empty: no questions."""
    question_column: str = Field("question", min_length=1)
    """Column with the question."""
    answers_column: str = Field("answers", min_length=1)
    """Column with the answer or the list of answers, each a part of the context, or with SQuAD's object of `text` and
    `answer_start`; an empty one: the context does not answer the question."""
    start_column: str = ""
    """Column with each answer's first character in the context, counted from 0; empty: it stands with the answer."""
    document_column: str = ""
    """Column with the document that a language model learns to write; of plain text, any name. Empty: no documents."""
    document_end: Literal["file", "blank line"] = "file"
    """Where a document ends in plain text: each file is one, or each part of a file between blank lines."""
    messages_column: str = ""
    """Column with the conversation whose answers a language model learns to write: a list of messages, each with its
    `role` (system, user or assistant) and `content`; empty: no conversations."""
    prompt_column: str = ""
    """Column with the prompt, a text or a list of messages, whose completion a language model learns to write; empty:
    no prompts."""
    completion_column: str = Field("completion", min_length=1)
    """Column with the completion of the prompt, a text or a list of messages."""
    slice_columns: list[str] = []
    """Further columns whose values are slices of the test split: the gate looks at each of them."""
    label_names: list[str] = []
    """Names of the labels, in the sorted order of their values; empty: the values are the names. Names of tags that are
    numbers, that of 0 first."""
    dataset: str = ""
    """Hub id (source: hub) or folder (source: saved) of a Hugging Face dataset."""
    dataset_config: str = ""
    """Configuration of the hub dataset, where it has several."""
    train_split: str = "train"
    """Name of the dataset's training split."""
    validation_split: str = ""
    """Name of the dataset's validation split; empty: split off from training."""
    test_split: str = ""
    """Name of the dataset's test split; empty: split off from training."""
    libraries: list[str] = []
    """Installed libraries whose docstrings are the corpus (source: docstrings), each one a label; with
    data.context_column, questions are asked about the parameters that they explain; with data.document_column, each
    docstring is a document."""
    max_rows_per_label: int = Field(0, ge=0)
    """Keep at most this many rows of each label (where a text has several, of its rarest; of sentences, of each rarest
    type of entity in one; of numbers, documents and conversations, in all; of questions, of those with an answer and of
    those without), those split off among them, drawn with the seed; 0 keeps all."""
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)
    """Share of each label's texts split off for validation where none is given, by a hash of the text; of a question,
    by one of its context."""
    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    """Share of each label's texts split off for the test where none is given, by a hash of the text: it stays there."""
    max_bad_fraction: float = Field(0.01, ge=0, le=1)
    """Stop when more than this share of the rows is unusable."""
    lowercase: bool = False
    """Lower-case the text."""
    strip_punctuation: bool = False
    """Replace punctuation by spaces."""

    @property
    def input_column(self) -> str:
        """Name of the column with the text, with the words of a sentence, with the question, with the document, with
        the conversation, or with the prompt."""
        if self.context_column:
            return self.question_column
        written = self.document_column or self.messages_column or self.prompt_column
        return written or self.tokens_column or self.text_column

    @property
    def second_column(self) -> str:
        """Name of the column with the second text, or with the context of a question; empty where there is none."""
        return self.context_column or self.pair_column

    @property
    def target_column(self) -> str:
        """Name of the column with the label, with the words' tags, with the answers, or with the completion; empty of
        documents and conversations, which have nothing beside their text."""
        if self.context_column:
            return self.answers_column
        if self.document_column or self.messages_column:
            return ""
        if self.prompt_column:
            return self.completion_column
        return self.tags_column if self.tokens_column else self.label_column

    @property
    def place_column(self) -> str:
        """Name of the column with where answers begin; empty where they say it themselves, or there are none."""
        return self.start_column if self.context_column else ""

    @property
    def conversations(self) -> bool:
        """Whether rows are conversations, or prompts with their completions."""
        return bool(self.messages_column or self.prompt_column)

    @property
    def used_columns(self) -> list[str]:
        """Names of all columns that are read."""
        names = [self.input_column, self.second_column, self.target_column, self.place_column]
        return [*filter(None, names), *self.slice_columns]

    @model_validator(mode="after")
    def _source_has_what_it_needs(self) -> "DataSettings":
        needs = {
            "files": ("train", self.train),
            "hub": ("dataset", self.dataset),
            "saved": ("dataset", self.dataset),
            "docstrings": ("libraries", self.libraries),
        }
        field, value = needs[self.source]
        if not value:
            raise ValueError(
                f"data.source is '{self.source}' but data.{field} is empty: set it, e.g. --set data.{field}=..."
            )
        if self.source == "docstrings" and self.conversations:
            raise ValueError(
                f"data.{'messages' if self.messages_column else 'prompt'}_column is {self.input_column!r} but "
                "data.source is 'docstrings', in which nobody answers: set data.document_column=text instead"
            )
        labelled = not self.context_column and not self.document_column
        if self.source == "docstrings" and len(set(self.libraries)) < 2 and labelled:
            raise ValueError(f"data.libraries is {self.libraries}: a classifier needs at least 2 different ones")
        if self.source == "docstrings" and self.slice_columns:
            raise ValueError(f"data.slice_columns is {self.slice_columns}: the docstring corpus has no further columns")
        if not self.header and not self.columns:
            raise ValueError(
                "data.header is false but data.columns is empty: name the columns in order, "
                "e.g. --set 'data.columns=[text, label]'"
            )
        if self.columns:
            absent = [name for name in self.used_columns if name not in self.columns]
            if absent:
                raise ValueError(f"data.columns is {self.columns} and lacks {absent}: name every column that is used")
        if self.source == "docstrings" and self.labels != "one":
            raise ValueError(
                f"data.labels is '{self.labels}' but data.source is 'docstrings', whose texts have one label, the "
                "library that they come from: leave data.labels out"
            )
        if self.labels == "number" and self.label_names:
            raise ValueError(
                f"data.label_names is {self.label_names} but data.labels is 'number', which has no labels to name: "
                "leave data.label_names empty"
            )
        return self

    @model_validator(mode="after")
    def _words_with_tags_have_no_more(self) -> "DataSettings":
        if self.tokens_column:
            unfit = {
                "data.pair_column": self.pair_column,
                "data.strip_punctuation": self.strip_punctuation,
                "data.libraries": self.source == "docstrings" and self.libraries,
                "data.labels": self.labels if self.labels != "one" else "",
            }
            given = [f"{name} is {value!r}" for name, value in unfit.items() if value]
            if given:
                raise ValueError(
                    f"data.tokens_column is {self.tokens_column!r} and {' and '.join(given)}, which is for texts with "
                    "labels: leave it out, or data.tokens_column empty"
                )
        elif self.format == "conll":
            raise ValueError(
                "data.format is 'conll' but data.tokens_column is empty: a CoNLL file holds words with tags; set "
                "data.tokens_column=tokens"
            )
        return self

    def _given(self, *columns: str) -> list[str]:
        """What is set of these columns, and of what else changes a text or labels it."""
        names = [*columns, "pair_column", "lowercase", "strip_punctuation", "labels", "label_names"]
        values = {name: getattr(self, name) for name in names} | {"labels": self.labels if self.labels != "one" else ""}
        return [f"data.{name} is {value!r}" for name, value in values.items() if value]

    @model_validator(mode="after")
    def _questions_are_about_texts_as_they_are(self) -> "DataSettings":
        if self.context_column:
            if given := self._given("tokens_column"):
                raise ValueError(
                    f"data.context_column is {self.context_column!r} and {' and '.join(given)}: questions are asked "
                    "about a context as it is written, where an answer has its place, and have no labels: leave it "
                    "out, or data.context_column empty"
                )
        elif self.format == "squad":
            raise ValueError(
                "data.format is 'squad' but data.context_column is empty: a SQuAD file holds questions with answers; "
                "set data.context_column=context"
            )
        return self

    @model_validator(mode="after")
    def _documents_are_texts_as_they_are(self) -> "DataSettings":
        if self.document_column:
            if given := self._given("tokens_column", "context_column", "messages_column", "prompt_column"):
                raise ValueError(
                    f"data.document_column is {self.document_column!r} and {' and '.join(given)}: documents are "
                    "learned as they are written, and have nothing beside their text: leave it out, or "
                    "data.document_column empty"
                )
        elif self.format == "txt":
            raise ValueError(
                "data.format is 'txt' but data.document_column is empty: plain text holds documents without labels, "
                "for task=text-generation; set data.document_column=text"
            )
        return self

    @model_validator(mode="after")
    def _conversations_are_as_they_are(self) -> "DataSettings":
        if not self.conversations:
            return self
        column = "messages_column" if self.messages_column else "prompt_column"
        others = [] if column == "prompt_column" else ["prompt_column"]
        if given := self._given("tokens_column", "context_column", *others):
            raise ValueError(
                f"data.{column} is {self.input_column!r} and {' and '.join(given)}: conversations are learned as they "
                f"are written, and have nothing beside their messages: leave it out, or data.{column} empty"
            )
        return self
