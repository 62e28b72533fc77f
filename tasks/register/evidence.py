"""Why a version may ship, as tags that stand on it in the registry."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from tasks import store, version
from tasks.contracts import Check, EvaluationReport, OnnxModel, PreparedData, Verdict
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
    golden: Path,
    pipeline_run_id: str,
) -> dict[str, str]:
    """Tags of a version. Whoever promotes it holds its files against the digests.

    Args:
        settings: how it is served, as `golden.serving_settings` gives them.
        golden: its golden requests.
    """
    chosen = report.candidate(report.selected)
    served = {"settings": settings, "code": store.file_digest(CODE)}
    checks = [check.model_dump() for check in [*verdict.checks, *verdict.slices]]
    reasons = {"report": _digest(report), "checks": checks}
    identity = json.dumps([model.artifact.digest, data.content_digest, served, reasons], sort_keys=True)
    told = {
        f"hone.check.{_tag_part(check)}": f"{check.verdict}: {check.value} {check.unit} {check.direction} "
        f"{check.threshold}"
        for check in verdict.checks
    }
    return told | {
        KEY: hashlib.sha256(identity.encode()).hexdigest()[:24],
        "hone.verdict": verdict.verdict,
        "hone.candidate": chosen.name,
        "hone.provider": chosen.provider,
        "hone.precision": model.precision,
        "hone.accuracy": f"{chosen.metrics['accuracy']:.6g}",
        "hone.speedup": f"{chosen.speedup:.4g}",
        "hone.size_bytes": str(chosen.size_bytes),
        "hone.model_digest": model.artifact.digest,
        "hone.golden_digest": f"sha256:{store.file_digest(golden)}",
        "hone.data_digest": data.content_digest,
        "hone.report_digest": _digest(report),
        "hone.code_version": version.code_version(),
        "hone.pipeline_run_id": pipeline_run_id,
    }


def _tag_part(check: Check) -> str:
    """Its name, and what it is about where several have that name. MLflow takes few signs in the name of a tag."""
    return re.sub(r"[^\w .:/-]", "_", f"{check.name}.{check.subject}" if check.subject else check.name)


def _digest(report: EvaluationReport) -> str:
    """Of what was measured, wherever it lies and whichever run measured it."""
    measured = report.model_dump_json(exclude={"record": True, "artifact": {"uri"}})
    return f"sha256:{hashlib.sha256(measured.encode()).hexdigest()}"
