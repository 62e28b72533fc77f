"""Why a version may ship, as tags that stand on it in the registry."""

import hashlib
import json
from typing import Any

from tasks import store, version
from tasks.contracts import EvaluationReport, OnnxModel, PreparedData, Verdict
from tasks.register.serving import CODE

KEY = "hone.evidence"
"""Two versions with the same value are the same model, served the same way, accepted for the same reasons."""


def evidence_tags(
    data: PreparedData,
    model: OnnxModel,
    report: EvaluationReport,
    verdict: Verdict,
    *,
    settings: dict[str, Any],
    pipeline_run_id: str,
) -> dict[str, str]:
    """Tags of a version.

    Args:
        settings: how it is served, as `serving.serving_settings` gives them.
    """
    chosen = report.candidate(report.selected)
    served = {"settings": settings, "code": store.file_digest(CODE)}
    reasons = {"report": _digest(report), "checks": [check.model_dump() for check in verdict.checks]}
    identity = json.dumps([model.artifact.digest, data.content_digest, served, reasons], sort_keys=True)
    checks = {
        f"hone.check.{check.name}": f"{check.verdict}: {check.value} {check.unit} {check.direction} {check.threshold}"
        for check in verdict.checks
    }
    return checks | {
        KEY: hashlib.sha256(identity.encode()).hexdigest()[:24],
        "hone.verdict": verdict.verdict,
        "hone.candidate": chosen.name,
        "hone.provider": chosen.provider,
        "hone.precision": model.precision,
        "hone.accuracy": f"{chosen.metrics['accuracy']:.6g}",
        "hone.speedup": f"{chosen.speedup:.4g}",
        "hone.size_bytes": str(chosen.size_bytes),
        "hone.model_digest": model.artifact.digest,
        "hone.data_digest": data.content_digest,
        "hone.report_digest": _digest(report),
        "hone.code_version": version.code_version(),
        "hone.pipeline_run_id": pipeline_run_id,
    }


def _digest(report: EvaluationReport) -> str:
    """Of what was measured, wherever it lies and whichever run measured it."""
    measured = report.model_dump_json(exclude={"record": True, "artifact": {"uri"}})
    return f"sha256:{hashlib.sha256(measured.encode()).hexdigest()}"
