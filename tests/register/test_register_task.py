"""What becomes a version, with which evidence, and which aliases move."""

import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from hone.tasks import store, tracking, version
from hone.tasks.contracts import RegisteredVersion
from hone.tasks.errors import RegistryError
from hone.tasks.probe.golden import read_golden
from hone.tasks.promote import change
from hone.tasks.register.task import register_model
from hone.tasks.tracking import server
from tests.register.conftest import LABELS, TEXTS, Chain, write_model

MakeChain = Callable[..., Chain]
AUTO = {"register": {"promote": "auto"}}


def register(chain: Chain, speedup: float = 8.69, verdict: str = "ACCEPTED") -> RegisteredVersion:
    """One pipeline run that comes to register."""
    with tracking.pipeline_run(chain.recipe.name, {}, {}) as run_id:
        return register_model.fn(
            chain.context(run_id), chain.data, chain.exported, chain.report(speedup), chain.verdict(verdict)
        )


def versions(chain: Chain) -> list[Any]:
    return list(server.client().search_model_versions(f"name = '{chain.recipe.name}'"))


def in_onnxruntime(folder: Path, text: str) -> Any:
    """Probabilities of one text, in onnxruntime and tokenizers alone."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    row = tokenizer.encode(text)
    feed = {"input_ids": row.ids, "attention_mask": row.attention_mask, "token_type_ids": row.type_ids}
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {name: np.array([values]) for name, values in feed.items()})[0][0]
    return np.exp(logits) / np.exp(logits).sum()


def test_the_challenger_answers_a_list_of_sentences_as_onnxruntime_does(chain: MakeChain, model_folder: Path) -> None:
    import mlflow

    made = chain()
    result = register(made)
    assert (result.version, result.aliases, result.record.status) == ("1", ["challenger"], "ran")
    with server.as_default():
        model = mlflow.pyfunc.load_model(f"models:/{made.recipe.name}@challenger")
    answers = model.predict(TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = in_onnxruntime(model_folder, text)
        assert list(answer["probabilities"]) == LABELS
        # Measured: 1.2e-7, as eight texts share padded batches.
        assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
        assert answer["label"] == LABELS[expected.argmax()]
        assert answer["score"] == max(answer["probabilities"].values())


def test_a_version_carries_its_signature_and_the_tags_of_its_evidence(chain: MakeChain) -> None:
    import mlflow

    made = chain()
    result = register(made)
    found = tracking.version_at(result.name, "challenger")
    assert found is not None
    assert found.version == result.version
    run = server.client().get_run(found.run_id)
    assert (
        found.tags.items()
        >= {
            "hone.verdict": "ACCEPTED",
            "hone.accuracy": "0.868",
            "hone.speedup": "8.69",
            "hone.size_bytes": "1234",
            "hone.model_digest": made.exported.models[0].artifact.digest,
            "hone.data_digest": made.data.content_digest,
            "hone.code_version": version.code_version(),
            "hone.pipeline_run_id": run.data.tags["mlflow.parentRunId"],
        }.items()
    )
    assert run.data.metrics["served_max_abs_diff"] < 1e-6
    assert run.info.status == "FINISHED"
    with server.as_default():
        info = mlflow.models.get_model_info(found.uri)
    assert [str(column.type) for column in info.signature.inputs] == ["DataType.string"]
    assert [name for name in ("label", "score", "probabilities") if name in str(info.signature.outputs)] == [
        "label",
        "score",
        "probabilities",
    ]


def test_every_file_that_is_served_is_recorded_on_the_version(chain: MakeChain, tmp_path: Path) -> None:
    made = chain()
    version = tracking.get_version(register(made).name, "1")
    assert version is not None
    recorded = json.loads(version.tags["hone.files"])
    names = {Path(name).name for name in recorded}
    assert names >= {"MLmodel", "serving_model.py", "runtime.py", "requirements.txt", "model.onnx", "tokenizer.json"}
    assert names >= {"serving.json", "session.json", "golden.json", "config.json"}
    files = tracking.download(version, tmp_path / "fetched")
    assert json.loads((files["model"] / "session.json").read_text()) == made.session.model_dump()
    (files["model"] / "session.json").unlink()
    assert store.folder_digest(files["model"]) == version.tags["hone.model_digest"]
    assert read_golden(files["golden"]).rows == TEXTS


def test_tags_are_few_plain_numbers_under_the_names_of_the_metrics(chain: MakeChain) -> None:
    made = chain()
    one = made.verdict().checks[0]
    against = {"name": "accuracy_difference", "subject": "teacher", "value": -0.00125, "low": -0.0143, "unit": "points"}
    checks = [
        one.model_copy(update={"low": 8.1}),
        one.model_copy(update=against),
        one.model_copy(update={"subject": "label = \u00fc?", "verdict": "INCONCLUSIVE"}),
    ]
    with tracking.pipeline_run(made.recipe.name, {}, {}) as run_id:
        verdict = made.verdict("INCONCLUSIVE").model_copy(update={"checks": checks})
        found = register_model.fn(made.context(run_id), made.data, made.exported, made.report(), verdict)
    tags = tracking.get_version(found.name, found.version).tags  # type: ignore[union-attr]
    assert (
        tags.items()
        >= {
            "hone.accuracy_difference": "-0.00125",
            "hone.accuracy_difference_low": "-0.0143",
            "hone.speedup": "8.69",
            "hone.speedup_low": "8.1",
            "hone.not_accepted": "speedup (label = \u00fc?)",
        }.items()
    )
    assert len(tags) <= 20
    assert not [tag for tag in tags if " " in tag]


def test_a_rejected_model_leaves_the_registry_untouched(chain: MakeChain) -> None:
    made = chain(**AUTO)
    result = register(made, verdict="REJECTED")
    assert (result.record.status, result.record.reason) == (
        "skipped",
        "the verdict is REJECTED: Speed-up over the best dense teacher",
    )
    assert versions(made) == []
    assert not server.client().search_registered_models(f"name = '{made.recipe.name}'")


@pytest.mark.parametrize(
    ("verdict", "sections"), [("INCONCLUSIVE", {}), ("REJECTED", {"register": {"keep_rejected": True}})]
)
def test_a_model_that_only_a_person_could_promote_is_a_version_without_an_alias(
    chain: MakeChain, verdict: str, sections: dict[str, Any]
) -> None:
    made = chain(**sections)
    result = register(made, verdict=verdict)
    assert result.aliases == []
    (found,) = (one for one in versions(made) if str(one.version) == result.version)
    assert found.tags["hone.verdict"] == verdict
    assert tracking.version_at(made.recipe.name, "challenger") is None


def test_a_model_that_does_not_serve_is_never_a_version(chain: MakeChain) -> None:
    made = chain(register={"keep_rejected": True})
    broken = made.report().serving.model_copy(update={"answered": 7})
    report = made.report().model_copy(update={"serving": broken})
    with tracking.pipeline_run(made.recipe.name, {}, {}) as run_id:
        context = made.context(run_id)
        result = register_model.fn(context, made.data, made.exported, report, made.verdict("REJECTED"))
    assert result.record.status == "skipped"
    assert "7 of 8 golden requests" in result.record.reason
    assert versions(made) == []


@pytest.mark.parametrize(
    ("sections", "tracked", "reason"),
    [({"register": {"enabled": False}}, True, "register.enabled is false"), ({}, False, "the run is not tracked")],
)
def test_switched_off_or_untracked_registers_nothing(
    chain: MakeChain, sections: dict[str, Any], tracked: bool, reason: str
) -> None:
    made = chain(**sections)
    context = made.context("any run" if tracked else "")
    result = register_model.fn(context, made.data, made.exported, made.report(), made.verdict())
    assert (result.record.status, result.record.reason, result.version) == ("skipped", reason, "")


def test_an_unchanged_run_finds_its_version_again(chain: MakeChain) -> None:
    made = chain()
    first, second = register(made), register(made)
    assert (second.version, second.aliases, second.record.status) == (first.version, first.aliases, "cached")
    assert second.record.reason == "version 1 has this model and this evidence"
    assert second.record.digest == first.record.digest == made.exported.models[0].artifact.digest
    assert len(versions(made)) == 1
    tags = server.client().get_run(second.record.mlflow_run_id).data.tags
    assert tags["hone.computed_by"] == first.record.mlflow_run_id


@pytest.mark.parametrize("change", ["evidence", "model", "serving"])
def test_new_evidence_a_new_model_or_another_serving_is_a_new_version(chain: MakeChain, change: str) -> None:
    made = chain()
    register(made)
    if change == "model":
        write_model(made.model, seed=1)
    if change == "serving":
        made = chain(data={"train": "a.csv", "lowercase": True})
    second = register(made, speedup=9.0 if change == "evidence" else 8.69)
    assert (second.version, second.record.status) == ("2", "ran")
    assert tracking.version_at(second.name, "challenger").version == "2"  # type: ignore[union-attr]


def test_the_challenger_moves_to_a_worse_model_only_with_a_word_on_it(chain: MakeChain) -> None:
    made = chain()
    assert register(made).record.reason.endswith("; alias challenger set")
    worse = register(made, speedup=7.0)
    assert (worse.version, worse.aliases) == ("2", ["challenger"])
    assert worse.record.reason.endswith(
        "; alias challenger set, although it is worse than version 1, which had it: speed-up 7 after 8.69"
    )


def test_the_champion_is_not_this_stages_to_move_and_is_never_its_own_challenger(chain: MakeChain) -> None:
    made = chain(**AUTO)
    first = register(made)
    assert (first.aliases, tracking.version_at(first.name, "champion")) == (["challenger"], None)
    tracking.set_alias(first.name, "champion", "1")
    server.client().delete_registered_model_alias(first.name, "challenger")
    assert register(made).aliases == ["champion"]
    assert tracking.version_at(first.name, "challenger") is None


def test_a_version_whose_aliases_a_kill_prevented_gets_them_from_the_next_run(chain: MakeChain) -> None:
    made = chain()
    register(made)
    server.client().delete_registered_model_alias(made.recipe.name, "challenger")
    again = register(made)
    assert (again.version, again.aliases, again.record.status) == ("1", ["challenger"], "cached")
    assert tracking.version_at(made.recipe.name, "challenger").version == "1"  # type: ignore[union-attr]


def test_the_model_name_defaults_to_the_recipes(chain: MakeChain) -> None:
    assert register(chain(register={"model_name": "Sentiment, in English"})).name == "Sentiment, in English"
    made = chain()
    assert register(made).name == made.recipe.name


def test_a_model_that_comes_back_other_than_it_was_sent_gets_no_version(
    chain: MakeChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other, log_model = chain(**AUTO), write_model(tmp_path / "other", seed=1), tracking.log_model
    monkeypatch.setattr(
        tracking, "log_model", lambda run, code, files, **rest: log_model(run, code, files | {"model": other}, **rest)
    )
    with pytest.raises(RegistryError, match="artifact store gave back another model than it was sent: no version"):
        register(made)
    assert versions(made) == []


def test_a_model_that_answers_otherwise_than_it_was_evaluated_gets_no_version(chain: MakeChain) -> None:
    made = chain()
    report = made.report()
    write_model(made.model, seed=1)  # after its golden requests were answered
    with (
        tracking.pipeline_run(made.recipe.name, {}, {}) as run_id,
        pytest.raises(RegistryError, match=r"in a fresh process it answers \d of 8 golden .*; no alias was set"),
    ):
        register_model.fn(made.context(run_id), made.data, made.exported, report, made.verdict())
    assert versions(made) == []


def test_a_version_whose_code_was_changed_is_not_run_and_is_registered_again(chain: MakeChain, tmp_path: Path) -> None:
    made = chain()
    register(made)
    found = tracking.get_version(made.recipe.name, "1")
    assert found is not None
    server.client().delete_registered_model_alias(made.recipe.name, "challenger")
    kept = server.client().get_logged_model(found.source.removeprefix("models:/")).artifact_location
    (code,) = Path(urllib.request.url2pathname(urllib.parse.urlparse(kept).path)).rglob("serving_model.py")
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{code.read_text()}")
    again = register(made)
    assert (again.version, again.record.status) == ("2", "ran")
    assert "serving_model.py changed" in again.record.reason
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["Ana's tickets", 'The "best" tickets'])
def test_a_name_with_quotes_is_registered_promoted_and_found_again(chain: MakeChain, name: str) -> None:
    made = chain(register={"model_name": name})
    assert register(made).version == register(made).version == "1"
    assert change.promote(name, "1", "me").outcome == "took effect"
    assert [record.to_version for record in change.records(name)] == ["1"]
    assert tracking.version_at(name, "champion").version == "1"  # type: ignore[union-attr]


def test_pairs_are_registered_with_pairs_as_their_input(chain: MakeChain) -> None:
    import mlflow

    result = register(chain(pairs=True))
    assert result.version == "1"
    with server.as_default():
        model = mlflow.pyfunc.load_model(f"models:/{result.name}@challenger")
    answers = model.predict([{"text": "good film", "text_pair": "bad plot"}])
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
