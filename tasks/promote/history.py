"""What a model's log says: who was the champion when, and who is. Pure: entries in, history out.

Entries have one order, in which everybody reads them. Each names the champion that its writer saw (`from`) and the one
it wants (`to`). It takes effect if the champion at its place in the order still is the one its writer saw, and is lost
otherwise; so of several writers who saw the same, the first wins, and each can tell by reading. A refusal never does.

The alias moves after the entry, and then the entry is marked done. An entry that another effective one follows before
it was done was interrupted: its alias never moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hone.tasks.contracts import PromotionRecord

FIELDS = {
    "action": "hone.action",
    "from_version": "hone.from",
    "to_version": "hone.to",
    "when": "hone.when",
    "who": "hone.who",
    "vouched_by": "hone.vouched_by",
    "run_id": "hone.run_id",
    "verdict": "hone.verdict",
    "evidence": "hone.evidence",
    "reason": "hone.reason",
}
DONE = "hone.done"
REFUSE = "refuse"
ACTIONS = ("promote", "rollback", "outside", REFUSE)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class History:
    """The log of one model, replayed."""

    records: list[PromotionRecord] = field(default_factory=list)
    """Every entry, the oldest first."""
    undo_stack: tuple[str, ...] = ()
    """Champions that a rollback goes back through, the present one last; empty names stand for no champion."""
    last: PromotionRecord | None = None
    """The entry that made the champion the champion."""

    @property
    def champion(self) -> str:
        """Version that should be the champion; empty where none should."""
        return self.last.to_version if self.last else ""

    @property
    def under_way(self) -> PromotionRecord | None:
        """The last change, while nobody has said that the alias moved."""
        return self.last if self.last and self.last.outcome == "under way" else None

    @property
    def previous(self) -> str:
        """Version that a rollback restores; empty where there is none.

        As undo does, a rollback goes one step further back than the one before: after 1, 2, 3 it restores 2, and then
        1. A promotion or a move made outside Hone begins anew from where it is.
        """
        return next((version for version in reversed(self.undo_stack[:-1]) if version not in ("", self.champion)), "")

    def record(self, number: int) -> PromotionRecord:
        """The entry of that number."""
        return next(record for record in self.records if record.number == number)


def to_tags(record: PromotionRecord) -> dict[str, str]:
    """A change as its entry holds it; the entry's number and outcome are not the writer's to say."""
    return {tag: getattr(record, name) for name, tag in FIELDS.items()}


def replay(name: str, entries: Mapping[int, Mapping[str, str]]) -> History:
    """The history of the model `name`.

    Args:
        entries: tags by number, as `to_tags` gives them, with `hone.done` on those whose alias moved.
    """
    records: dict[int, PromotionRecord] = {}
    undo_stack: tuple[str, ...] = ("",)
    before_last = undo_stack
    last: PromotionRecord | None = None
    for number, tags in sorted(entries.items()):
        if tags.get(FIELDS["action"]) not in ACTIONS:  # a version that somebody put there is no entry
            continue
        found = {field_name: tags.get(tag, "") for field_name, tag in FIELDS.items()}
        champion = last.to_version if last else ""
        refused = found["action"] == REFUSE
        effective = found["from_version"] == champion and not refused
        outcome = "took effect" if DONE in tags else "under way"
        if not effective:
            outcome = "refused" if refused else "lost"
        record = PromotionRecord.model_validate({"number": number, "name": name, "outcome": outcome, **found})
        records[number] = record
        if not effective:
            continue
        if last is not None and last.outcome == "under way":
            records[last.number] = last.model_copy(update={"outcome": "interrupted"})
            undo_stack = before_last
        before_last, last = undo_stack, record
        undo_stack = _advance(undo_stack, record)
    return History(list(records.values()), undo_stack, last)


def unrecorded(name: str, history: History, alias: str, when: str) -> PromotionRecord | None:
    """The move that explains why the alias is not where the history has it; None where it is.

    Args:
        alias: version that carries the alias; empty where none does.
        when: the time at which it was seen.
    """
    if alias == history.champion:
        return None
    open_ = history.under_way
    if open_ and alias == open_.from_version:
        what = f"{open_.action} {open_.from_version or 'none'} -> {open_.to_version or 'none'}"
        reason = f"entry {open_.number} ({what}) was interrupted before the alias moved"
    elif history.last is None:
        reason = "the alias was there before the history began"
    else:
        reason = "the alias was removed outside Hone" if not alias else "the alias was moved outside Hone"
    return PromotionRecord(
        number=max((record.number for record in history.records), default=0) + 1,
        name=name,
        action="outside",
        from_version=history.champion,
        to_version=alias,
        when=when,
        who=UNKNOWN,
        reason=reason,
    )


def _advance(undo_stack: tuple[str, ...], record: PromotionRecord) -> tuple[str, ...]:
    """The stack after an effective entry: a rollback steps back to its version, anything else steps forward to it."""
    if record.action == "rollback" and record.to_version in undo_stack[:-1]:
        back = max(index for index, version in enumerate(undo_stack[:-1]) if version == record.to_version)
        return undo_stack[: back + 1]
    return undo_stack if record.to_version == undo_stack[-1] else (*undo_stack, record.to_version)
