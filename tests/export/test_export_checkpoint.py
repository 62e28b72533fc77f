"""From a checkpoint's folder to a model's folder that others load unchanged."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from hone.tasks.errors import ExportError
from hone.tasks.export.export import Exported, export_checkpoint
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.training.fake_quantization import QuantizationConfig, plan_for, snap_to_grid
from tests.export import optimum_environment
from tests.model.teaching_fixtures import write_teacher
from tests.tiny import sentences

TEXTS = [text for text, _label in sentences(90, seed=3)]


def export(checkpoint: Path, folder: Path) -> Exported:
    return export_checkpoint("quantized", checkpoint, folder, opset=18, for_cpu=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved on its grid, with the plan beside it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    plain = write_teacher(folder / "plain", layers=2)
    model = load_model(plain)
    plan = plan_for(model, "dynamic", tables=True)
    save_model(snap_to_grid(model, plan), load_tokenizer(plain), folder / "quantized")
    plan.write(folder / "quantized")
    return folder / "quantized"


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    folder = tmp_path_factory.mktemp("exported") / "model"
    return folder, export(checkpoint, folder)


def test_the_folder_holds_one_graph_its_config_and_its_tokenizer(exported: tuple[Path, Exported]) -> None:
    folder, facts = exported
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "model.onnx", "serving.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert facts.graph_bytes == (folder / "model.onnx").stat().st_size
    assert facts.precision == "int8"
    onnx.checker.check_model(folder / "model.onnx", full_check=True)


def test_the_config_names_labels_and_type_and_the_tokenizer_a_class_that_older_transformers_know(
    exported: tuple[Path, Exported], checkpoint: Path
) -> None:
    folder, _facts = exported
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["id2label"]) == ("bert", {"0": "bad", "1": "good"})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert load_tokenizer(folder)("a dull film") == load_tokenizer(checkpoint)("a dull film")


def test_plain_onnxruntime_and_tokenizers_answer_as_the_checkpoint(
    exported: tuple[Path, Exported], checkpoint: Path
) -> None:
    folder, _facts = exported
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    model, own = load_model(checkpoint), load_tokenizer(checkpoint)
    for text in TEXTS[:10]:
        encoded = tokenizer.encode(text)
        given = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        (logits,) = session.run(None, {name: np.array([ids], np.int64) for name, ids in given.items()})
        with torch.no_grad():
            exact = model(**own(text, return_tensors="pt")).logits.numpy()
        assert np.abs(logits - exact).max() < 0.1 * np.abs(exact).max()


def test_optimum_loads_the_folder_unchanged_and_answers_the_same(exported: tuple[Path, Exported]) -> None:
    folder, _facts = exported
    script = (
        "import json, sys; from optimum.onnxruntime import ORTModelForSequenceClassification as Model;"
        "from transformers import AutoTokenizer, __version__;"
        "model, tokenizer = Model.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1]);"
        "logits = model(**tokenizer(json.loads(sys.argv[2]), padding=True, return_tensors='pt')).logits;"
        "print(json.dumps([__version__, model.config.id2label, logits.tolist()]))"
    )
    texts = TEXTS[:3]
    done = subprocess.run(
        [optimum_environment.python(), "-W", "ignore", "-c", script, folder, json.dumps(texts)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    version, labels, logits = json.loads(done.stdout.splitlines()[-1])
    assert version < "5"
    assert labels == {"0": "bad", "1": "good"}
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    given = load_tokenizer(folder)(texts, padding=True, return_tensors="np")
    own = session.run(None, {name: values.astype(np.int64) for name, values in given.items()})[0]
    assert np.allclose(logits, own, atol=1e-6)


def test_a_plan_that_rounds_other_layers_by_their_first_token_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    plan = plan_for(load_model(checkpoint), "dynamic", tables=True)
    read_by_others = next(name for name in plan.linears if name not in plan.first_token)
    other = QuantizationConfig(plan.scheme, plan.linears, plan.tables, first_token=(*plan.first_token, read_by_others))
    model, tokenizer = load_model(checkpoint), load_tokenizer(checkpoint)
    save_model(model, tokenizer, tmp_path / "other")
    other.write(tmp_path / "other")
    with pytest.raises(ExportError, match=r"for the first token alone, and training rounded .* so: the exporter"):
        export(tmp_path / "other", tmp_path / "model")
