"""The nouns that travel between stages: frozen, small, JSON-able. URIs, digests and measured numbers, never a tensor.

One type per state of the model, so that an illegal order of stages is a type error. A stage that is switched off still
returns its type, with the artifact and the numbers passed on, so the chain never forks.
"""

from hone.tasks.contracts.base import VERSION, Artifact, Contract, StageRecord, StageResult
from hone.tasks.contracts.champion import ChampionAnswers, DriftPart, DriftReport
from hone.tasks.contracts.data import BadRows, PreparedData, SharedText
from hone.tasks.contracts.evaluation import (
    Candidate,
    ConfigurationTiming,
    ConversionCheck,
    EvaluationReport,
    Latency,
    MeasuredMetric,
    Placement,
    Serving,
    SessionSettings,
)
from hone.tasks.contracts.model import (
    Checkpoint,
    Curve,
    DistilledModel,
    ExportedModels,
    OnnxModel,
    PrunedModel,
    QuantizedModel,
    TrainedModel,
)
from hone.tasks.contracts.release import Promotion, PromotionRecord, RegisteredVersion
from hone.tasks.contracts.verdict import Check, Verdict, VerdictName

__all__ = [
    "VERSION",
    "Artifact",
    "BadRows",
    "Candidate",
    "ChampionAnswers",
    "Check",
    "Checkpoint",
    "ConfigurationTiming",
    "Contract",
    "ConversionCheck",
    "Curve",
    "DistilledModel",
    "DriftPart",
    "DriftReport",
    "EvaluationReport",
    "ExportedModels",
    "Latency",
    "MeasuredMetric",
    "OnnxModel",
    "Placement",
    "PreparedData",
    "Promotion",
    "PromotionRecord",
    "PrunedModel",
    "QuantizedModel",
    "RegisteredVersion",
    "Serving",
    "SessionSettings",
    "SharedText",
    "StageRecord",
    "StageResult",
    "TrainedModel",
    "Verdict",
    "VerdictName",
]
