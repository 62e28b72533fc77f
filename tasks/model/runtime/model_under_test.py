"""What is measured: the teacher in PyTorch, and every model of the chain in ONNX Runtime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hone.tasks import store
from hone.tasks.contracts import ExportedModels, TrainedModel

Runtime = Literal["pytorch", "onnxruntime"]


@dataclass(frozen=True)
class ModelUnderTest:
    """A model in a folder, with what is known of it before it runs."""

    name: str
    stage: str
    runtime: Runtime
    precision: str
    folder: Path
    """Holds the model file, its config and its tokenizer."""
    digest: str
    size_bytes: int
    """Of the model file, without tokenizer and config."""
    parameters: int


def registered(folder: Path) -> ModelUnderTest:
    """A model out of the registry, to be asked and not measured."""
    return ModelUnderTest("champion", "champion", "onnxruntime", "", folder, digest="", size_bytes=0, parameters=0)


def subjects_of(teacher: TrainedModel, exported: ExportedModels) -> list[ModelUnderTest]:
    """`teacher-pytorch` and then the exported models in their order, each checked against its digest.

    Raises:
        DamagedArtifactError: when a file is absent or differs.
    """
    checkpoint = teacher.checkpoint
    folder = store.open_artifact(checkpoint.artifact)
    in_pytorch = ModelUnderTest(
        name="teacher-pytorch",
        stage="train",
        runtime="pytorch",
        precision="fp32",
        folder=folder,
        digest=checkpoint.artifact.digest,
        size_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        parameters=checkpoint.parameters,
    )
    in_onnxruntime = [
        ModelUnderTest(
            name=model.name,
            stage=model.stage,
            runtime="onnxruntime",
            precision=model.precision,
            folder=store.open_artifact(model.artifact),
            digest=model.artifact.digest,
            size_bytes=model.graph_bytes,
            parameters=model.parameters,
        )
        for model in exported.models
    ]
    return [in_pytorch, *in_onnxruntime]
