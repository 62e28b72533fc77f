"""The encoder and how each stage changes it: train, distill, prune, quantize."""

from typing import Any, Literal

from pydantic import Field

from configs.section import Section, TrainingSection


class ModelSettings(Section):
    """The pretrained encoder that becomes the teacher."""

    source: str = Field("", title="Encoder")
    """Hub id, local folder, or `package:NAME/PATH` inside an installed Python package."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """random builds the encoder from its configuration and leaves out the weights."""
    max_length: int = Field(128, ge=4, le=8192)
    """Tokens per example; longer text is cut."""
    revision: str = "main"
    """Revision of a hub model."""


class TrainSettings(TrainingSection):
    """Fine-tuning the teacher on the labels."""


class DistillSettings(TrainingSection):
    """Teaching a smaller student: L = alpha * L_hard + (1 - alpha) * L_soft, plus what is matched."""

    method: Literal["none", "logits"] = "logits"
    """none passes the teacher on; logits matches softened predictions (Hinton 2015)."""
    student: str = ""
    """Another encoder (as model.source); empty: made of the teacher's layers."""
    student_revision: str = "main"
    """Revision of a student from the hub."""
    layers: list[int] = []
    """Teacher layers the student keeps, counted from 0 (student empty); empty: layer_count of them, spread evenly."""
    layer_count: int = Field(0, ge=0, le=1000)
    """Layers of the student, spread evenly over the teacher's with the last among them; 0: half of the teacher's."""
    alpha: float = Field(0.3, ge=0, le=1)
    """Weight of the labels; the rest goes to the teacher's predictions."""
    temperature: float = Field(4.0, gt=0, le=100)
    """Temperature T that softens both predictions; L_soft carries T squared."""
    hidden_weight: float = Field(1.0, ge=0)
    """Weight of the squared error between hidden states, as a share of the teacher's size; 0 leaves it out."""
    relation_weight: float = Field(0.0, ge=0)
    """Weight of MiniLM's attention relations in the last layer (query, key, value); 0 leaves them out."""
    augment: int = Field(0, ge=0, le=100)
    """Perturbed copies of each training text, labelled by the teacher alone; an epoch sees each text and one copy."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student, in every stage that learns from the teacher."""
    freeze_embeddings: bool = True
    """Leave the embedding tables as the teacher's: they are most of what the optimiser would have to update."""
    epochs: int = Field(6, ge=0, le=1000)
    """Passes over the training split, with a perturbed copy of each text where there are any; 0 trains nothing."""
    learning_rate: float = Field(1e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""

    def loss_settings(self) -> dict[str, Any]:
        """What is learnt from the teacher, here and in later stages, as against how long this one trains."""
        return self.model_dump(
            include={
                "alpha",
                "temperature",
                "hidden_weight",
                "relation_weight",
                "augment",
                "precision",
                "dropout",
                "freeze_embeddings",
            }
        )


class PruneSettings(TrainingSection):
    """Removing what matters least, then recovering with the teacher (loss as in distill)."""

    method: Literal["none", "structured", "magnitude"] = "structured"
    """structured removes heads, neurons and layers for real; magnitude zeroes weights and keeps the shape."""
    layer_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of whole layers removed (structured)."""
    head_fraction: float = Field(0.5, ge=0, lt=1)
    """Share of attention heads removed in each layer (structured)."""
    neuron_fraction: float = Field(0.5, ge=0, lt=1)
    """Share of feed-forward neurons removed in each layer (structured)."""
    neuron_multiple: int = Field(16, ge=1, le=512)
    """Neurons kept in each layer are rounded to a multiple of this, which integer kernels prefer."""
    sparsity: float = Field(0.5, ge=0, lt=1)
    """Share of weights in linear layers set to zero (magnitude)."""
    importance_rows: int = Field(2048, ge=1)
    """Training rows over which first-order importance is summed."""
    vocabulary: Literal["full", "seen"] = "full"
    """seen keeps the tokens of the training split and what any text falls back to."""
    vocabulary_extra: int = Field(0, ge=0)
    """Tokens kept beyond those seen, the most frequent of the pretrained vocabulary first (vocabulary: seen)."""
    epochs: int = Field(6, ge=0, le=1000)
    """Passes over the training split, with a perturbed copy of each text where there are any; 0 trains nothing."""
    learning_rate: float = Field(1e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""


class QuantizeSettings(TrainingSection):
    """Eight bits: post-training first, then fine-tuning with fake quantisation and the teacher."""

    method: Literal["none", "ptq", "qat"] = "qat"
    """ptq rounds the weights as they are; qat goes on training with rounding in the loop."""
    scheme: Literal["auto", "dynamic", "static"] = "auto"
    """dynamic: per-tensor unsigned activations, scaled as they come (CPU); static: symmetric QDQ with fixed scales
    (TensorRT, CUDA); auto takes the one of the first of export.providers."""
    embeddings: bool = True
    """Store the embedding tables in 8 bits too."""
    calibration_rows: int = Field(256, ge=1)
    """Training rows that set static scales."""
    max_sensitive_layers: int = Field(2, ge=0)
    """At most this many layers stay in higher precision, the most sensitive first."""
    sensitivity: float = Field(0.005, ge=0, le=1)
    """A layer is sensitive when quantising it alone costs more than this share of validation accuracy, and is shown to
    cost some by an exact paired test."""
    sensitivity_level: float = Field(0.05, gt=0, lt=1)
    """Chance that any layer is called sensitive where none costs accuracy (Holm's correction over all layers)."""
    epochs: int = Field(2, ge=0, le=1000)
    """Passes over the training split, with a perturbed copy of each text where there are any; 0 trains nothing."""
    learning_rate: float = Field(2e-5, gt=0, le=1)
    """Peak learning rate of AdamW."""
