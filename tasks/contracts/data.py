"""What the data stage returns: three clean splits, and what had to be left out of them."""

from typing import Literal

from hone.tasks.contracts.base import Artifact, Contract, StageResult


class BadRows(Contract):
    """Unusable rows of one kind."""

    kind: str
    """empty_text, missing_label, unknown_label, undecodable, wrong_field_count, split_overlap or another of those that
    `tasks/data/rows.py` explains."""
    count: int
    lines: list[str]
    """The first ten, as `split:line`, counted from 1."""
    detail: str = ""
    """What else helps to mend them: the label values that training lacks, or the encoding that a file seems to have."""


class SharedText(Contract):
    """How much of the test documents' text stands in training documents word for word."""

    length: int
    """Words in a row that make a run."""
    runs: int
    """In the test split, counted as often as they occur."""
    seen_runs: int
    """Those of them that a training document has."""
    documents: int
    """Of the test split."""
    seen_documents: int
    """Those of them with such a run."""

    @property
    def told(self) -> str:
        """`3 of 120 test documents have 13 words in a row that training has (1.2% of all such runs)`."""
        share = self.seen_runs / self.runs if self.runs else 0.0
        return (
            f"{self.seen_documents:,} of {self.documents:,} test documents have {self.length} words in a row that "
            f"training has ({share:.1%} of all such runs)"
        )


class PreparedData(StageResult):
    """Three clean splits, Parquet files `train`, `validation`, `test`: text, pair (null where none), label (int32), and
    the values of data.slice_columns. `label` is -1 of texts with several labels, which have `flags` (int8, one for each
    of all labels), of those with a `number` (float64), and of sentences, which have `tokens` and `tags` (int32).
    Questions have their context as pair, and `starts` and `ends` of the answers in it (int32); `label` is 1 of those
    without any, and 0 of the others; of documents it is 0."""

    artifact: Artifact
    content_digest: str
    """Digest of the rows themselves: same rows, same digest, wherever and in whatever format they lie."""
    labels: list[str]
    """Names by id of the labels, or of the tags; of numbers, that of their column alone."""
    target: Literal["label", "flags", "number", "tags", "starts", "text", "messages"] = "label"
    """The column with what rows have."""
    rows: dict[str, int]
    """Rows by split."""
    bad_rows: list[BadRows] = []
    has_pairs: bool = False
    shared_text: SharedText | None = None
    """Of documents and conversations, what of the test split stands in training; None of other rows."""

    def headline(self) -> str:
        left_out = ", ".join(f"{bad.count:,} {bad.kind.replace('_', ' ')}" for bad in self.bad_rows)
        splits = ", ".join(f"{count:,} {split}" for split, count in self.rows.items())
        kinds = {"number": f"numbers: {self.labels[0]}", "starts": "questions", "text": "documents"}
        kinds["messages"] = "conversations"
        labels = kinds.get(self.target, f"{len(self.labels)} labels")
        shared = f"; {self.shared_text.told}" if self.shared_text else ""
        return f"{splits}; {labels}; left out: {left_out or 'nothing'}{shared}"
