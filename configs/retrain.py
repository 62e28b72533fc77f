"""When a model is trained again without anybody asking: retrain."""

from typing import Literal

from pydantic import Field, field_validator

from hone.configs.schedule import CRON_PATTERN, cron_problem
from hone.configs.section import Section

Event = Literal["hone.data.arrived", "hone.drift.detected"]


class RetrainSettings(Section):
    """What starts `retrain`, how often at most, and from when on data count as drifted."""

    cron: str = Field("", json_schema_extra={"pattern": CRON_PATTERN})
    """When it looks whether its data changed: five fields in UTC, `0 3 * * *` is daily at 3; empty: on no schedule."""
    on_events: list[Event] = []
    """Events of Prefect that start it."""
    cooldown_hours: float = Field(0.0, ge=0, le=8760)
    """Hours after the end of a run within which what has changed starts none; such a trigger is dropped and says so."""
    drift_index: float = Field(0.2, gt=0)
    """Population stability index from which on a part of the data has drifted, where a two-sample test agrees. It is
    reported, and the event `hone.drift.detected` tells of it; it stops nothing."""

    @field_validator("cron")
    @classmethod
    def _comes_due(cls, value: str) -> str:
        if problem := cron_problem(value):
            raise ValueError(f"retrain.cron = '{value}': {problem}")
        return value
