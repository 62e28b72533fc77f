"""Why a version may ship, as tags that stand on it in the registry."""

import hashlib
import json

from hone.tasks import version
from hone.tasks.contracts import Check, EvaluationReport, OnnxModel, PreparedData, SessionSettings, Verdict
from hone.tasks.register.serving import code_digests

KEY = "hone.evidence"
"""Two versions with the same value are the same model, served the same way, accepted for the same reasons."""
TEACHER = "teacher"


def evidence_tags(
    data: PreparedData,
    model: OnnxModel,
    report: EvaluationReport,
    verdict: Verdict,
    *,
    session: SessionSettings,
    pipeline_run_id: str,
    task: str,
) -> dict[str, str]:
    """Tags of a version: plain numbers under the names that its metrics have in MLflow. Differences are of fractions:
    -0.0033 is a third of a percentage point fewer. Where they are of the primary metric, its name is in theirs.

    Args:
        session: how it is served.
    """
    chosen, primary = report.candidate(report.selected), report.primary.name
    served = {"session": session.model_dump(), "code": code_digests(task)}
    checks = [check.model_dump() for check in [*verdict.checks, *verdict.slices]]
    reasons = {"report": _digest(report), "checks": checks}
    identity = json.dumps([model.artifact.digest, data.content_digest, served, reasons], sort_keys=True)
    told = {
        KEY: hashlib.sha256(identity.encode()).hexdigest()[:24],
        "hone.verdict": verdict.verdict,
        "hone.not_accepted": ", ".join(_name(check) for check in _open(verdict)),
        "hone.candidate": chosen.name,
        "hone.provider": chosen.provider,
        "hone.precision": model.precision,
        f"hone.{primary}": f"{chosen.metrics[primary]:.6g}",
        "hone.speedup": f"{chosen.speedup:.4g}",
        "hone.size_bytes": str(chosen.size_bytes),
        "hone.model_digest": model.artifact.digest,
        "hone.data_digest": data.content_digest,
        "hone.code_version": version.code_version(),
        "hone.pipeline_run_id": pipeline_run_id,
    }
    for check in verdict.checks:
        if check.name == f"{primary}_difference" and check.subject == TEACHER and check.value is not None:
            told[f"hone.{primary}_difference"] = f"{check.value:.6g}"
            if check.low is not None:
                told[f"hone.{primary}_difference_low"] = f"{check.low:.6g}"
        if check.name == "speedup" and check.low is not None:
            told["hone.speedup_low"] = f"{check.low:.4g}"
    return {name: value for name, value in told.items() if value}


def _open(verdict: Verdict) -> list[Check]:
    return [check for check in [*verdict.checks, *verdict.slices] if check.decides and check.verdict != "ACCEPTED"]


def _name(check: Check) -> str:
    return f"{check.name} ({check.subject})" if check.subject else check.name


def _digest(report: EvaluationReport) -> str:
    """Of what was measured, wherever it lies, whichever run measured it and whatever its metrics are called."""
    measured = report.model_dump_json(exclude={"record": True, "artifact": {"uri"}, "metrics": True})
    return f"sha256:{hashlib.sha256(measured.encode()).hexdigest()}"
