"""What became of an accepted model: its version in the registry, and who made it the champion."""

from typing import Literal

from hone.tasks.contracts.base import Contract, StageResult


class RegisteredVersion(StageResult):
    """What became of the accepted model in the registry."""

    name: str = ""
    version: str = ""
    aliases: list[str] = []

    def headline(self) -> str:
        if not self.version:
            return ""
        return f"{self.name} version {self.version} ({', '.join(self.aliases) or 'without an alias'})"


class PromotionRecord(Contract):
    """One line of a model's history: who made which version the champion, when, and on what evidence."""

    number: int
    """Place in the history, from 1."""
    name: str
    action: Literal["promote", "rollback", "outside", "refuse"]
    """outside: somebody moved the alias without Hone; refuse: it was asked for, and a person said no or nothing."""
    from_version: str
    """Champion before; empty where there was none."""
    to_version: str
    """Champion after; empty where the alias was removed. Of what was refused, the version that was up for it."""
    when: str
    """ISO 8601, UTC."""
    who: str
    vouched_by: str = ""
    """Server that knows whoever asked for it by that name; empty: the name is claimed."""
    run_id: str = ""
    """MLflow run of the pipeline whose evidence it rests on."""
    verdict: str = ""
    evidence: str = ""
    """Digest of the evidence."""
    reason: str = ""
    """Given by a person; always there where a verdict was overridden."""
    outcome: Literal["took effect", "lost", "under way", "interrupted", "refused"] = "took effect"
    """lost: another change came between looking and writing; interrupted: its writer died before the alias moved;
    refused: the champion is who it was."""


class Promotion(StageResult):
    """Whether this run changed what is served."""

    change: PromotionRecord | None = None
    waits: bool = False
    """Whether a person is to decide."""

    def headline(self) -> str:
        if self.change is None:
            return ""
        return f"{self.change.name}: champion {self.change.from_version or 'none'} -> {self.change.to_version}"
