"""Which of the aliases a version gets. What is served changes with one update, the last thing that is done."""

from typing import Literal

from tasks.tracking import CHALLENGER, CHAMPION, Version, set_alias, tag_version, version_at

PROMOTED = "hone.promoted"
PREVIOUS = "hone.previous_champion"


def wanted_aliases(found: Version | None, promote: Literal["never", "auto"]) -> list[str]:
    """Aliases that an accepted version still lacks.

    A version is promoted by a run once. Whoever rolls back to another champion finds it in place after the same run is
    repeated. Every run offers its version as the challenger, unless it is the champion already.

    Args:
        found: the version, None where it is about to be made.
    """
    aliases = found.aliases if found else ()
    promoted = found is not None and PROMOTED in found.tags
    return [
        *([] if {CHALLENGER, CHAMPION} & set(aliases) else [CHALLENGER]),
        *([CHAMPION] if promote == "auto" and not promoted and CHAMPION not in aliases else []),
    ]


def give_aliases(version: Version, aliases: list[str]) -> None:
    """Sets the aliases. The champion until now is written on the new one first, so that there is a way back after a
    kill at any point."""
    if CHAMPION in aliases:
        before = version_at(version.name, CHAMPION)
        tag_version(version.name, version.version, {PREVIOUS: before.version if before else ""})
    for alias in aliases:
        set_alias(version.name, alias, version.version)
    if CHAMPION in aliases:
        tag_version(version.name, version.version, {PROMOTED: "auto"})
