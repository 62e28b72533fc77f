"""The Compose file as Compose reads it: variables filled in, merged."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
SECRETS = ("POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "PREFECT_PASSWORD", "RAY_AUTH_TOKEN")
VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)([^}]*))?\}")


class UnsetVariableError(Exception):
    """What Compose says of `${X:?message}`."""


def load_compose(environment: Mapping[str, str], name: str = "compose.yaml") -> dict[str, Any]:
    """infra/compose.yaml with its variables from `environment` alone.

    Raises:
        UnsetVariableError: where one without a default is empty or missing.
    """

    def fill(match: re.Match[str]) -> str:
        variable, kind, rest = match.groups()
        value = environment.get(variable, "")
        if not value and kind != "-":
            raise UnsetVariableError(rest or variable)
        return value or rest or ""

    return filled(yaml.safe_load((INFRA / name).read_text()), lambda text: VARIABLE.sub(fill, text))


def filled(value: Any, change: Any) -> Any:
    """`value` with `change` made to every string in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [filled(one, change) for one in value]
    if isinstance(value, dict):
        return {key: filled(one, change) for key, one in value.items()}
    return value
