"""How the champion changes: look, validate, write into the history, move the alias. One change at a time wins.

The champion that was seen at the beginning goes into the entry. So of two people who look at the same champion and
promote, the one whose entry comes second is told, however long either validates.
"""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from hone.tasks import tracking
from hone.tasks.contracts import PromotionRecord
from hone.tasks.errors import PreflightError, PromotionError, RegistryError
from hone.tasks.probe.probe import failure_reason, probe
from hone.tasks.promote import history
from hone.tasks.promote.history import DONE, REFUSE, History
from hone.tasks.tracking import CHAMPION, Version

PATIENCE_SECONDS = 10.0
"""How long another's change may take from its entry to the alias before it counts as interrupted: the two are
neighbouring calls to MLflow."""
VERDICT = "hone.verdict"


def promote(name: str, version: str, who: str, override: str = "", vouched_by: str = "") -> PromotionRecord:
    """Makes a version the champion and returns the entry by which it is; an old one where it is the champion already.

    Args:
        who: who asks. Written down as claimed, unless `vouched_by` names the server that knows them.
        override: why a person wants it although its verdict is not ACCEPTED.

    Raises:
        PreflightError: when there is no such model or version.
        PromotionError: when its verdict forbids it, its files are not those that were judged, it does not answer in a
            fresh process, or another change came first. The alias is where it was.
    """
    target = find(name, version)
    seen = _reconciled_history(name, who)
    if seen.last and seen.champion == target.version:
        return seen.last
    return _change("promote", seen, target, who, override.strip(), vouched_by)


def roll_back(name: str, who: str, reason: str = "", vouched_by: str = "") -> PromotionRecord:
    """Makes the version before the champion again and returns the entry; as undo, a second time goes further back.

    Args:
        who, vouched_by: as for `promote`.
        reason: why, in a person's words; has to be given where that version's verdict is not ACCEPTED.

    Raises:
        PreflightError: when there is no such model.
        PromotionError: as `promote`, or when no version was the champion before.
    """
    _require_model(name)
    seen = _reconciled_history(name, who)
    if not seen.previous:
        now = f"version {seen.champion} is the first champion" if seen.champion else "there never was a champion"
        raise PromotionError(f"{name}: {now}, so there is nothing to go back to: promote a version instead")
    target = tracking.get_version(name, seen.previous)
    if target is None:
        raise PromotionError(
            f"{name}: the champion before was version {seen.previous}, which was deleted from the registry: "
            "promote another one instead"
        )
    return _change("rollback", seen, target, who, reason.strip(), vouched_by)


def refuse(name: str, version: str, who: str, reason: str) -> PromotionRecord:
    """Writes into the history that a version was up for it and shall not be the champion, who said so and why. The
    champion stays as it is.

    Raises:
        PreflightError: when there is no such model or version.
    """
    target = find(name, version)
    seen = _reconciled_history(name, who)
    number = tracking.append_change(name, history.to_tags(_entry(REFUSE, seen, target, who, reason)))
    return history.replay(name, tracking.changes(name)).record(number)


def reconcile(name: str, who: str) -> list[PromotionRecord]:
    """Writes into the history what was done to the champion without Hone, as in MLflow's own pages, and returns those
    entries; none where history and alias agree, or there is no such model."""
    if not tracking.model_exists(name):
        return []
    known = tracking.changes(name)
    return [record for record in _reconciled_history(name, who).records if record.number not in known]


def records(name: str) -> list[PromotionRecord]:
    """The history of a model, the oldest first. Writes nothing: a move outside Hone that no promotion has recorded yet
    is told as if it were recorded now.

    Raises:
        PreflightError: when there is no such model.
    """
    _require_model(name)
    seen, alias = _read(name)
    outside = None if seen.under_way else history.unrecorded(name, seen, alias, _now())
    return [*seen.records, *([outside] if outside else [])]


def find(name: str, version: str) -> Version:
    """A version that may be asked for.

    Raises:
        PreflightError: when there is no such model or version.
    """
    _require_model(name)
    result = tracking.get_version(name, version)
    if result is None:
        raise PreflightError(
            f"{name} has no version '{version}': give the number of one that MLflow's registry shows, such as 1"
        )
    return result


def _change(
    action: str, seen: History, target: Version, who: str, reason: str, vouched_by: str = ""
) -> PromotionRecord:
    """Validates, writes the entry, and moves the alias if the entry took effect.

    Args:
        seen: the history when the change was asked for.
    """
    verdict = target.tags.get(VERDICT, "")
    if verdict != "ACCEPTED" and not reason:
        option = "--override REASON" if action == "promote" else "--reason REASON"
        raise PromotionError(
            f"{target.name} version {target.version} has {f'the verdict {verdict}' if verdict else 'no verdict'}, and "
            f"only ACCEPTED may be served: look at its report, or take it upon yourself with {option}"
        )
    _validate(target)
    _reconciled_history(target.name, who)  # so that a move outside Hone in the meantime is in the history, and wins
    number = tracking.append_change(target.name, history.to_tags(_entry(action, seen, target, who, reason, vouched_by)))
    now = history.replay(target.name, tracking.changes(target.name))
    if now.record(number).outcome == "lost":
        first = next(
            record
            for record in reversed(now.records)
            if record.number < number and record.outcome not in ("lost", "refused")
        )
        raise PromotionError(
            f"{target.name}: version {first.to_version or 'none'} became the champion meanwhile (entry {first.number}, "
            f"by {first.who}), so version {target.version} did not: look at `hone history {target.name}` and ask again "
            "if it still should"
        )
    tracking.set_alias(target.name, CHAMPION, target.version)
    tracking.mark_change(target.name, number, {DONE: _now()})
    return now.record(number).model_copy(update={"outcome": "took effect"})


def _entry(action: str, seen: History, target: Version, who: str, reason: str, vouched_by: str = "") -> PromotionRecord:
    return PromotionRecord.model_validate(
        {
            "number": len(seen.records) + 1,
            "name": target.name,
            "action": action,
            "from_version": seen.champion,
            "to_version": target.version,
            "when": _now(),
            "who": who,
            "vouched_by": vouched_by,
            "run_id": target.tags.get("hone.pipeline_run_id", ""),
            "verdict": target.tags.get(VERDICT, ""),
            "evidence": target.tags.get("hone.evidence", ""),
            "reason": reason,
        }
    )


def _validate(target: Version) -> None:
    """Holds every file of the logged model against what was recorded when it was judged, code included, and then has a
    fresh process open it as a server would and answer its golden requests.

    Raises:
        PromotionError: when the files are not those that were judged, or do not answer as they did.
    """
    with tempfile.TemporaryDirectory(prefix="hone-promote-") as room:
        try:
            root = tracking.fetch_checked(target, Path(room))
            golden = tracking.artifacts(root).get("golden", root / "golden.json")
        except RegistryError as error:
            raise PromotionError(str(error)) from error
        wrong = failure_reason(probe(root, golden, logged=True))
    if wrong:
        raise PromotionError(f"{target.name} version {target.version}: {wrong}. The champion stays as it is")


def _reconciled_history(name: str, who: str) -> History:
    """The history once it and the alias agree: another's change that is under way is waited for, and a move of the
    alias that nobody recorded is recorded."""
    patience: dict[int, float] = {}
    while True:
        seen, alias = _read(name)
        missing = history.unrecorded(name, seen, alias, _now())
        open_ = seen.under_way
        if missing is None:
            if open_ is None:
                return seen
            tracking.mark_change(name, open_.number, {DONE: _now()})
        elif open_ and time.monotonic() < patience.setdefault(open_.number, time.monotonic() + PATIENCE_SECONDS):
            time.sleep(0.1)
        else:
            noticed = missing.model_copy(update={"reason": f"{missing.reason}; noticed by {who}"})
            tracking.append_change(name, history.to_tags(noticed) | {DONE: missing.when})


def _read(name: str) -> tuple[History, str]:
    """The history, and the version that carried the alias at one moment of it; empty where none did."""
    while True:
        before = tracking.changes(name)
        found = tracking.version_at(name, CHAMPION)
        if tracking.changes(name) == before:
            return history.replay(name, before), found.version if found else ""


def _require_model(name: str) -> None:
    if not tracking.model_exists(name):
        known = [model for model in tracking.some_model_names(50) if not model.endswith(tracking.HISTORY)]
        there = ", ".join(sorted(known)[:10]) or "none"
        raise PreflightError(f"MLflow at {tracking.tracking_uri()} has no registered model '{name}'; there: {there}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
