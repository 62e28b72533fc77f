"""How this run's model and data compare with the model that is served now."""

from hone.tasks.contracts.base import Artifact, Contract, StageResult


class ChampionAnswers(StageResult):
    """What the model that is served now answers on this run's test split; empty where there is none to compare with."""

    name: str = ""
    version: str = ""
    digest: str = ""
    """Of its files."""
    artifact: Artifact | None = None
    """`logits/champion.npy`, and `rows.npy`: their places in the test split. None where no row is fair to it."""
    note: str = ""
    """How many rows were left out, as it was trained or selected on them."""
    old_artifact: Artifact | None = None
    """Where it learned from other data: what it and this run's model answer on its own test split, less the rows that
    this run's model has learned from, as `labels.npy`, `logits/champion.npy` and `logits/candidate.npy`."""
    old_note: str = ""
    """How many rows that left out, or why there are none."""
    missing: str = ""
    """Why it could not be asked, although the recipe wants the comparison; empty where it was, or there is none."""

    def headline(self) -> str:
        if self.missing:
            return f"not compared: {self.missing}"
        if not self.version:
            return ""
        missing = f"; not on its own test rows: {self.old_note}" if self.old_note and not self.old_artifact else ""
        return f"{self.name} version {self.version}{missing}"


class DriftPart(Contract):
    """One side of the data, before and now."""

    name: str
    """labels (or numbers), length, vocabulary, unseen_words, embeddings or answers."""
    before: str
    """What the champion learned from, in a few words."""
    now: str
    index: float
    """Population stability index: 0 is no difference; above 0.2 is usually called a large one."""
    test: str
    """Two-sample test."""
    p_value: float
    """After Holm's correction over the parts: how often chance alone makes a difference as large."""
    drifted: bool


class DriftReport(StageResult):
    """How the new data differ from what the champion learned from; no parts where there was nothing to compare."""

    name: str = ""
    version: str = ""
    """The champion's."""
    rows: dict[str, int] = {}
    """Training rows looked at: before, now."""
    parts: list[DriftPart] = []

    def headline(self) -> str:
        found = [part.name.replace("_", " ") for part in self.parts if part.drifted]
        if not self.parts:
            return ""
        return f"{', '.join(found) or 'nothing'} drifted since version {self.version}"
