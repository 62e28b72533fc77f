import numpy as np
import pytest

from configs.delivery import GateSettings
from tasks.contracts import Artifact, Candidate, Check, EvaluationReport, Handoff, Placement, Serving, StageRecord
from tasks.gate.advice import RowSource
from tasks.gate.baseline import baseline_checks
from tasks.gate.checks import exact_checks, parity_checks, placement_checks, serving_check, speed_checks
from tasks.gate.decision import decide, verdict_of
from tasks.gate.quality import champion_predictions, predictions, quality_checks

RECORD = StageRecord(name="evaluate", status="ran", reason="", seconds=0.0)
ARTIFACT = Artifact(uri="file:///evidence", digest="sha256:0", size_bytes=1)
NOTHING = GateSettings(max_size_fraction=None, min_speedup=None, beat_baseline=False, resamples=500)
SERVING = Serving(requests=8, answered=8, max_abs_difference=0.0, load_seconds=0.4, peak_memory_bytes=90_000_000)
ON_CPU = Placement(asked=["cpu"], got=["cpu"], nodes={"cpu": 40}, operators={"cpu": {"MatMul": 40}}, fallback=[])


def candidate(name: str, accuracy: float | None, size_bytes: int = 100, placement: Placement | None = None):
    return Candidate(
        name=name,
        stage="train",
        runtime="onnxruntime",
        provider="CPUExecutionProvider",
        precision="fp32",
        metrics={} if accuracy is None else {"accuracy": accuracy, "calibration_error": 0.05},
        confusion=[],
        size_bytes=size_bytes,
        parameters=10,
        placement=placement,
    )


def report(*candidates: Candidate, selected: str = "quantized", serving: Serving | None = SERVING, handoffs=()):
    return EvaluationReport(
        record=RECORD,
        artifact=ARTIFACT,
        candidates=list(candidates),
        selected=selected,
        baseline="teacher",
        reference="teacher",
        machine={},
        serving=serving,
        handoffs=list(handoffs),
    )


GOOD = report(candidate("teacher", 0.9), candidate("quantized", 0.882, 16), candidate("floor", 0.8, 5))
ALL = {
    "min_accuracy": 0.85,
    "min_accuracy_kept": 0.98,
    "max_size_fraction": 0.2,
    "max_size_bytes": 20,
    "max_calibration_error": 0.1,
    "max_peak_memory_bytes": 100_000_000,
    "max_load_seconds": 0.5,
}


def test_values_are_computed_as_the_settings_say():
    checks = exact_checks(NOTHING.model_copy(update=ALL), GOOD)
    assert {check.name: check.value for check in checks} == pytest.approx(
        {
            "accuracy": 0.882,
            "accuracy_kept": 0.98,
            "calibration_error": 0.05,
            "size_fraction": 0.16,
            "size_bytes": 16,
            "peak_memory": 90_000_000,
            "load_time": 0.4,
        }
    )
    assert verdict_of(checks) == "ACCEPTED"


@pytest.mark.parametrize(
    ("field", "passing", "failing"),
    [
        ("min_accuracy", 0.882, 0.8821),
        ("min_accuracy_kept", 0.979, 0.981),
        ("max_size_fraction", 0.16, 0.159),
        ("max_size_bytes", 16, 15),
        ("max_calibration_error", 0.05, 0.049),
        ("max_peak_memory_bytes", 90_000_000, 89_999_999),
        ("max_load_seconds", 0.4, 0.39),
    ],
)
def test_each_threshold_alone_accepts_and_rejects(field, passing, failing):
    for threshold, verdict in ((passing, "ACCEPTED"), (failing, "REJECTED")):
        checks = exact_checks(NOTHING.model_copy(update={field: threshold}), GOOD)
        assert [(check.threshold, check.verdict) for check in checks] == [(threshold, verdict)]


def test_a_threshold_that_is_null_is_no_check():
    assert exact_checks(NOTHING, GOOD) == []


def test_what_nobody_measured_fails_however_low_the_threshold():
    lax = NOTHING.model_copy(update={**ALL, "min_accuracy": 0.0, "min_accuracy_kept": 0.0, "max_size_fraction": 9})
    bare = report(candidate("teacher", 0.9), candidate("quantized", None, 0), serving=None)
    checks = exact_checks(lax, bare)
    assert {check.verdict for check in checks} == {"REJECTED"}
    assert {check.value for check in checks} == {None}


@pytest.mark.parametrize("absent", ["teacher", "quantized"])
def test_an_absent_candidate_fails_what_it_is_needed_for(absent):
    present = [one for one in GOOD.candidates if one.name != absent]
    checks = exact_checks(NOTHING.model_copy(update=ALL), report(*present))
    assert any(check.value is None for check in checks)
    assert verdict_of(checks) == "REJECTED"


def test_a_model_without_an_accuracy_is_refused_even_where_nothing_is_asked():
    checks = exact_checks(NOTHING, report(candidate("teacher", 0.9), candidate("quantized", None)))
    assert [(check.name, check.value, check.verdict) for check in checks] == [("accuracy", None, "REJECTED")]


def rounds(milliseconds: float, spread: float = 0.01, count: int = 3) -> list[list[list[float]]]:
    chance = np.random.default_rng(round(1000 * milliseconds))
    return [
        [(milliseconds * np.exp(chance.normal(0, spread) + chance.normal(0, 0.02, 60))).tolist() for _ in range(count)]
    ]


def speed(candidate_ms: float, min_speedup: float | None, spread: float = 0.01, **settings) -> Check:
    asked = NOTHING.model_copy(update={"min_speedup": min_speedup, **settings})
    return decide(
        speed_checks(asked, GOOD, rounds(candidate_ms, spread), rounds(10.0, spread), ["1x16"], seed=0), asked.level
    )[0]


def test_the_speedup_counts_by_the_lower_end_of_its_interval():
    passed, failed = speed(2.0, 4.0), speed(2.0, 6.0)
    assert (passed.verdict, failed.verdict) == ("ACCEPTED", "REJECTED")
    assert passed.low < passed.value < passed.high
    assert passed.value == pytest.approx(5.0, rel=0.05)


def test_noise_too_large_for_the_threshold_is_inconclusive():
    threshold = speed(2.0, 1.0, spread=0.4).value
    noisy = speed(2.0, threshold, spread=0.4)
    assert noisy.verdict == "INCONCLUSIVE"
    assert noisy.low < threshold < noisy.high


def test_an_open_speed_up_says_how_many_rounds_would_settle_it() -> None:
    unsure = speed(2.0, 4.3, spread=0.1)
    assert unsure.verdict == "INCONCLUSIVE"
    more = int(unsure.detail.split("set evaluate.rounds: ")[1].split()[0])
    assert 3 < more <= 100
    assert "with 80% chance" in unsure.detail


def test_one_round_of_timing_decides_nothing_however_fast_the_model() -> None:
    (one,) = speed_checks(NOTHING, GOOD, rounds(1.0, count=1), rounds(10.0, count=1), ["1x16"], seed=0)
    assert (one.verdict, one.low, one.high) == ("INCONCLUSIVE", 0.0, None)
    assert "evaluate.rounds: at least 2" in one.detail


def test_speed_on_a_busy_machine_is_no_evidence_either_way() -> None:
    asked = NOTHING.model_copy(update={"min_speedup": 2.0, "max_p95_ms": 5.0, "p95_cell": "1x16"})
    for load, verdicts in ((0.86, ["INCONCLUSIVE"] * 2), (0.2, ["ACCEPTED"] * 2), (None, ["ACCEPTED"] * 2)):
        busy = GOOD.model_copy(update={"machine": {"background_load": load}})
        found = decide(speed_checks(asked, busy, rounds(2.0), rounds(10.0), ["1x16"], seed=0), asked.level)
        assert [one.verdict for one in found] == verdicts
        if load == 0.86:
            assert "other processes took 86% of the machine" in found[0].detail
            assert "gate.max_background_load: 0.2" in found[0].detail


def test_a_model_slower_than_the_dense_one_is_refused_though_no_speedup_is_asked():
    assert speed(12.0, None).verdict == "REJECTED"
    assert speed(12.0, None).threshold == 1.0
    assert speed(8.0, None).verdict == "ACCEPTED"


def test_a_model_that_was_not_timed_is_refused():
    (missing,) = speed_checks(NOTHING, GOOD, [], rounds(10.0), ["1x16"], seed=0)
    assert (missing.value, missing.verdict) == (None, "REJECTED")


def test_the_dense_teacher_itself_is_as_fast_as_itself():
    same = report(candidate("teacher", 0.9), selected="teacher")
    assert speed_checks(NOTHING, same, [], [], ["1x16"], seed=0)[0].verdict == "ACCEPTED"
    asked = NOTHING.model_copy(update={"min_speedup": 1.5})
    assert speed_checks(asked, same, [], [], ["1x16"], seed=0)[0].verdict == "REJECTED"


def per_core(candidate_ms: float, least: float | None) -> list[Check]:
    asked = NOTHING.model_copy(update={"min_speedup_per_core": least})
    alone = (rounds(candidate_ms), rounds(10.0))
    found = speed_checks(asked, GOOD, rounds(5.0), rounds(10.0), ["1x16"], seed=0, one_thread=alone)
    return decide(found, asked.level)


def test_the_speedup_with_one_thread_each_may_be_demanded_by_its_own_interval():
    latency, refused = per_core(2.0, 6.0)
    assert (latency.name, latency.verdict) == ("speedup", "ACCEPTED")
    assert (refused.name, refused.verdict, refused.decides) == ("speedup_per_core", "REJECTED", True)
    assert refused.value == pytest.approx(5.0, rel=0.05)
    assert per_core(2.0, 4.0)[1].verdict == "ACCEPTED"
    missing = NOTHING.model_copy(update={"min_speedup_per_core": 4.0})
    assert speed_checks(missing, GOOD, rounds(5.0), rounds(10.0), ["1x16"], seed=0)[1].verdict == "REJECTED"


def test_it_is_told_with_its_interval_where_nobody_asks_for_it():
    told = per_core(20.0, None)[1]
    assert told.low < told.value < told.high
    assert not told.decides
    assert verdict_of(per_core(20.0, None)) == "ACCEPTED"


def test_a_p95_is_asked_of_its_cell_by_the_upper_end_of_its_interval():
    asked = NOTHING.model_copy(update={"max_p95_ms": 3.0, "p95_cell": "1x32"})
    cells = rounds(9.0) + rounds(2.0)
    p95 = decide(speed_checks(asked, GOOD, cells, rounds(10.0) * 2, ["1x16", "1x32"], seed=0), asked.level)[1]
    assert (p95.name, p95.subject, p95.verdict) == ("p95", "1×32", "ACCEPTED")
    assert 2.0 < p95.value < 2.3


def placed(placement: Placement, **settings) -> list[Check]:
    asked = NOTHING.model_copy(update=settings)
    return placement_checks(asked, report(candidate("quantized", 0.9, placement=placement)))


def test_a_required_gpu_that_the_session_has_not_got_refuses_with_that_reason():
    fell_back = ON_CPU.model_copy(update={"asked": ["cuda", "cpu"], "fallback": ["n1", "n2"]})
    (refused,) = placed(fell_back, require_provider="cuda")
    assert refused.verdict == "REJECTED"
    assert refused.detail == "the session's providers are cpu"
    assert placed(ON_CPU, require_provider="cpu")[0].verdict == "ACCEPTED"
    assert placed(fell_back) == []  # one that is merely preferred


def test_nodes_that_fell_back_are_counted_and_named():
    fell_back = ON_CPU.model_copy(update={"asked": ["cuda", "cpu"], "fallback": ["gather", "shape"]})
    (refused,) = placed(fell_back, max_fallback_nodes=1)
    assert (refused.value, refused.verdict) == (2, "REJECTED")
    assert refused.detail == "not on cuda: gather, shape"
    assert placed(fell_back, max_fallback_nodes=2)[0].verdict == "ACCEPTED"


def test_a_session_that_nobody_looked_into_fails_what_is_required_of_it():
    bare = report(candidate("quantized", 0.9))
    asked = NOTHING.model_copy(update={"require_provider": "cpu", "max_fallback_nodes": 0})
    assert [one.verdict for one in placement_checks(asked, bare)] == ["REJECTED", "REJECTED"]


def handoff(kind: str, **numbers) -> Handoff:
    known = {"max_abs_difference": 1e-6, "rms_share": 1e-3, "agreement": 1.0, "accuracy_difference": 0.0}
    return Handoff(model="quantized", source="pytorch", target="onnx (cpu)", kind=kind, rows=9, **{**known, **numbers})


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("exact", {"max_abs_difference": 2e-3}),
        ("rounded", {"agreement": 0.85}),
        ("integer", {"rms_share": 0.06}),
        ("exact", {"max_abs_difference": float("inf")}),
        ("exact", {"mismatch": "the tokenizers differ"}),
    ],
)
def test_each_kind_of_hand_off_has_the_bound_that_fits_it(kind, numbers):
    good, bad = parity_checks(NOTHING, [handoff(kind), handoff(kind, first_divergence="layer.1", **numbers)])
    assert (good.verdict, bad.verdict) == ("ACCEPTED", "REJECTED")
    assert "layer.1" in bad.detail
    assert bad.subject == "quantized, pytorch → onnx (cpu)"


def test_no_hand_off_at_all_is_a_failure():
    assert parity_checks(NOTHING, [])[0].verdict == "REJECTED"


@pytest.mark.parametrize(
    ("serving", "detail"),
    [
        (None, "it was not loaded in a process of its own"),
        (SERVING.model_copy(update={"answered": 7}), ""),
        (SERVING.model_copy(update={"answered": 0, "error": "no such file"}), "no such file"),
    ],
)
def test_a_model_that_does_not_serve_is_refused(serving, detail):
    found = serving_check(report(candidate("quantized", 0.9), serving=serving))
    assert (found.verdict, found.detail) == ("REJECTED", detail)
    assert serving_check(GOOD).verdict == "ACCEPTED"


LABELS = np.arange(4000) % 2


def wrong_on(rows: slice) -> np.ndarray:
    answers = LABELS.copy()
    answers[rows] = 1 - answers[rows]
    return answers


def judge(candidate: np.ndarray, other: np.ndarray, rows: RowSource | None = None, **settings) -> Check:
    asked = NOTHING.model_copy(update=settings)
    labels = LABELS[: len(candidate)]
    return decide(quality_checks(labels, candidate, {"teacher": other}, asked, 0, rows), asked.level)[0]


def test_quality_passes_fails_or_stays_open_by_the_bound():
    teacher = wrong_on(slice(0, 200))
    good, bad, unsure = wrong_on(slice(10, 220)), wrong_on(slice(0, 500)), wrong_on(slice(0, 275))
    verdicts = [judge(one, teacher) for one in (good, bad, unsure)]
    assert [one.verdict for one in verdicts] == ["ACCEPTED", "REJECTED", "INCONCLUSIVE"]
    assert verdicts[2].rows == 4000


def test_what_is_open_says_what_to_set_and_asks_for_more_rows_than_there_are():
    split_off = RowSource(rows=400, total=4000, fraction=0.1)
    open_ = judge(wrong_on(slice(0, 6))[:400], LABELS[:400], split_off)
    assert open_.verdict == "INCONCLUSIVE"
    needed = int(open_.detail.split("about ")[1].split(" would")[0].replace(",", ""))
    assert needed > 400
    assert "400 rows can show a margin of" in open_.detail
    assert f"label more: {10 * needed:,} rows in all" in open_.detail or "set data.test_fraction: 0." in open_.detail
    assert "or set gate.margin: 0.0" in open_.detail
    given = judge(wrong_on(slice(0, 6))[:400], LABELS[:400], RowSource(rows=400, total=4000, fraction=None))
    assert f"give a test split of {needed:,} rows" in given.detail
    worse = judge(wrong_on(slice(0, 10))[:400], LABELS[:400], split_off)
    assert "measured beyond the margin" in worse.detail
    assert "test_fraction" not in worse.detail  # more rows do not make it a better model
    assert "more epochs" in worse.detail
    at_margin = judge(wrong_on(slice(0, 8))[:400], LABELS[:400], split_off)
    assert "measured on the margin itself" in at_margin.detail


def test_two_models_that_agree_on_a_few_rows_are_not_said_to_lie_on_the_margin():
    few = judge(LABELS[:20], LABELS[:20], RowSource(rows=20, total=130, fraction=0.15), margin=0.1)
    assert (few.verdict, few.value) == ("INCONCLUSIVE", 0.0)
    assert few.low < -0.1
    assert few.detail == (
        "20 rows can show a margin of 13.91 points at best; about 29 would show 10 with 80% chance: set "
        "data.test_fraction: 0.23, which is 0.15 now, or set gate.margin: 0.14, if so much may be lost"
    )


def test_every_metric_is_asked_against_every_other_model():
    asked = NOTHING.model_copy(update={"metrics": ["accuracy", "macro_f1"]})
    found = decide(quality_checks(LABELS, LABELS, {"teacher": LABELS, "champion": LABELS}, asked, 0), 0.05)
    assert [(one.name, one.subject) for one in found] == [
        ("accuracy_difference", "teacher"),
        ("macro_f1_difference", "teacher"),
        ("accuracy_difference", "champion"),
        ("macro_f1_difference", "champion"),
    ]


@pytest.mark.parametrize("missing", ["candidate", "other"])
def test_answers_that_are_not_there_or_no_numbers_fail(missing):
    nan = predictions(np.full((4000, 2), np.nan, np.float32))
    assert nan is None
    pair = {"candidate": LABELS, "other": LABELS, missing: nan}
    (found,) = quality_checks(LABELS, pair["candidate"], {"teacher": pair["other"]}, NOTHING, 0)
    assert (found.value, found.verdict) == (None, "REJECTED")


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_champion_that_answers_what_is_no_number_is_wrong_there_and_refuses_nobody(metric):
    logits = np.eye(2, dtype=np.float32)[LABELS]
    logits[:40] = np.nan
    before, broken = champion_predictions(logits)
    assert broken == 40
    assert (before == LABELS)[40:].all()
    found = judge(wrong_on(slice(0, 20)), before, metrics=[metric])
    assert found.verdict == "ACCEPTED"
    assert found.value > 0
    everywhere = champion_predictions(np.full((4000, 2), np.nan, np.float32))[0]
    assert judge(wrong_on(slice(0, 20)), everywhere, metrics=[metric]).verdict == "ACCEPTED"


def against_baseline(candidate: np.ndarray, teacher: np.ndarray, baseline: np.ndarray) -> list[Check]:
    labels, rows = LABELS[: len(candidate)], RowSource(rows=len(candidate), total=10 * len(candidate), fraction=0.1)
    return decide(baseline_checks(labels, candidate, teacher, baseline, NOTHING, 0, rows), NOTHING.level)


def test_as_good_as_the_baseline_is_not_enough():
    baseline, teacher = wrong_on(slice(0, 400)), LABELS
    for candidate, verdict in (
        (baseline, "INCONCLUSIVE"),
        (wrong_on(slice(0, 300)), "ACCEPTED"),
        (wrong_on(slice(0, 500)), "REJECTED"),
    ):
        found = against_baseline(candidate, teacher, baseline)
        assert [one.verdict for one in found] == [verdict, "ACCEPTED"]
    assert "gate.beat_baseline: false" in against_baseline(baseline, teacher, baseline)[0].detail


def test_a_teacher_that_is_no_better_than_the_baseline_refuses_whatever_came_of_it():
    baseline = wrong_on(slice(0, 54))[:119]
    for teacher in (wrong_on(slice(0, 67))[:119], baseline):
        found = against_baseline(LABELS[:119], teacher, baseline)
        assert [(one.subject, one.verdict) for one in found] == [("", "ACCEPTED"), ("teacher", "REJECTED")]
        assert "being as good as the teacher shows nothing" in found[1].detail
        assert "gate.beat_baseline: false" in found[1].detail


def test_a_lead_over_the_baseline_that_is_not_shown_asks_for_more_rows_than_there_are():
    baseline, candidate = wrong_on(slice(40, 70))[:119], wrong_on(slice(0, 22))[:119]
    (open_, _) = against_baseline(candidate, LABELS[:119], baseline)
    assert open_.verdict == "INCONCLUSIVE"
    assert "119 rows do not tell the two apart" in open_.detail
    assert int(open_.detail.split("about ")[1].split(" would")[0].replace(",", "")) > 119
