"""The encoder and how each stage changes it: train, distill, prune, quantize."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hone.configs.section import Section, TrainingSection

PATTERN_METHODS = ("magnitude", "wanda", "sparsegpt")
PATTERN_SPARSITY = 0.5
"""Of every pattern."""


class ModelSettings(Section):
    """The pretrained encoder that becomes the teacher."""

    source: str = Field("", title="Encoder")
    """Hub id, local folder, or `package:NAME/PATH` inside an installed Python package; a .gguf file, or a folder with
    one, in either of the two (extra `gguf`)."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """random builds the encoder from its configuration and leaves out the weights."""
    max_length: int = Field(128, ge=4, le=8192)
    """Tokens per example; longer text is cut, and a longer sentence of words with tags, or a question with its context,
    becomes several windows, which share a quarter of their tokens. Documents are learned in blocks of this many, and
    judged in windows that share half of them."""
    revision: str = "main"
    """Revision of a hub model."""


class TrainSettings(TrainingSection):
    """Fine-tuning the teacher on the labels."""

    adapter: Literal["none", "lora"] = "none"
    """lora trains low-rank adapters beside the linear layers, merged into them in the end (extra `lora`): for models
    whose gradients and optimiser do not fit. It wants a learning rate some ten times as high."""
    lora_rank: int = Field(16, ge=1, le=1024)
    """Rank r of the adapters (adapter: lora)."""
    lora_alpha: int = Field(32, ge=1, le=4096)
    """What the adapters add is scaled by lora_alpha / lora_rank (adapter: lora)."""


class DistillSettings(TrainingSection):
    """Teaching a smaller student: L = alpha * L_hard + (1 - alpha) * L_soft, plus what is matched."""

    method: Literal["none", "logits"] = "logits"
    """none passes the teacher on; logits matches softened predictions (Hinton 2015)."""
    student: str = ""
    """Another encoder (as model.source), for tags, questions and documents one with the teacher's tokenizer; empty:
    made of the teacher's layers."""
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
    """Perturbed copies of each training text, or sentence, labelled by the teacher alone; an epoch sees each text and
    one copy."""
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

    method: Literal["none", "structured", "magnitude", "wanda", "sparsegpt"] = "structured"
    """structured removes heads, neurons and layers for real; magnitude zeroes small weights and keeps the shape; wanda
    does so by weight times input norm, in each output (Sun 2023); sparsegpt by what a weight costs the layer's output,
    and moves the others to make up for it (Frantar 2023). Zeros make no model faster but 2:4 on NVIDIA's sparse tensor
    cores: onnxruntime's CPU kernels and llama.cpp multiply with them."""
    layer_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of whole layers removed (structured)."""
    layer_choice: Literal["auto", "gradient", "loss"] = "auto"
    """Which layers go: gradient, by one first-order estimate; loss, one by one, each time the one without which the
    loss is least, and never the first or the last; auto: loss for decoders (structured)."""
    head_fraction: float = Field(0.5, ge=0, lt=1)
    """Share of attention heads removed in each layer, in groups where they share keys and values (structured)."""
    neuron_fraction: float = Field(0.5, ge=0, lt=1)
    """Share of feed-forward neurons removed in each layer (structured)."""
    neuron_multiple: int = Field(16, ge=1, le=512)
    """Neurons kept in each layer are rounded to a multiple of this, which integer kernels prefer, and to whole blocks
    of quantize.block_size where weights are in blocks."""
    sparsity: float = Field(0.5, ge=0, lt=1)
    """Share of weights in linear layers set to zero (magnitude, wanda, sparsegpt; pattern:
    unstructured)."""
    pattern: Literal["unstructured", "2:4", "4:8"] = "unstructured"
    """2:4 and 4:8 leave 2 of every 4, or 4 of every 8, weights in a row of inputs, and so a sparsity of 0.5 (magnitude,
    wanda, sparsegpt)."""
    schedule: Literal["one-shot", "cubic"] = "one-shot"
    """one-shot zeroes before the recovery; cubic in steps during it, fast at first (magnitude; Zhu and Gupta 2017)."""
    initial_sparsity: float = Field(0.0, ge=0, lt=1)
    """Share of zeros that the schedule begins with (schedule: cubic)."""
    schedule_start: float = Field(0.0, ge=0, lt=1)
    """Share of all steps after which the first weights are zeroed (schedule: cubic)."""
    schedule_end: float = Field(0.5, gt=0, lt=1)
    """Share of all steps after which the last ones are; epochs before it are no candidates (schedule: cubic)."""
    mask_steps: int = Field(20, ge=1)
    """Optimiser steps between two masks (schedule: cubic)."""
    importance_rows: int = Field(2048, ge=1)
    """Training rows over which losses, first-order importance or products of inputs are summed (structured, wanda,
    sparsegpt)."""
    vocabulary: Literal["full", "seen"] = "full"
    """seen keeps the tokens of the training split and what any text falls back to."""
    vocabulary_extra: int = Field(0, ge=0)
    """Tokens kept beyond those seen, the most frequent of the pretrained vocabulary first (vocabulary: seen)."""
    epochs: int = Field(6, ge=0, le=1000)
    """Passes over the training split, with a perturbed copy of each text where there are any; 0 trains nothing."""
    learning_rate: float = Field(1e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""

    @field_validator("pattern", mode="before")
    @classmethod
    def _pattern_as_written(cls, value: Any) -> Any:
        """YAML 1.1 reads 2:4 without quotes as a number to the base of 60."""
        return {2 * 60 + 4: "2:4", 4 * 60 + 8: "4:8"}.get(value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _method_can_do_it(self) -> "PruneSettings":
        problems = [] if self.method == "none" else [*self._pattern_problems(), *self._schedule_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _pattern_problems(self) -> list[str]:
        if self.pattern == "unstructured":
            return []
        if self.method not in PATTERN_METHODS:
            return [
                f"prune.pattern is '{self.pattern}' but prune.method is '{self.method}', which makes no patterns: set "
                f"prune.method to {' or '.join(PATTERN_METHODS)}, or prune.pattern to unstructured"
            ]
        if self.sparsity != PATTERN_SPARSITY:
            return [
                f"prune.sparsity is {self.sparsity:g} but prune.pattern is '{self.pattern}', which zeroes "
                f"{PATTERN_SPARSITY:g} of the weights whatever prune.sparsity says: leave prune.sparsity at "
                f"{PATTERN_SPARSITY:g}, or set prune.pattern to unstructured"
            ]
        return []

    def _schedule_problems(self) -> list[str]:
        if self.schedule == "one-shot":
            return []
        result = []
        if self.method != "magnitude":
            result.append(
                f"prune.schedule is 'cubic' but prune.method is '{self.method}', which removes at once: set "
                "prune.method to magnitude, or prune.schedule to one-shot"
            )
        if self.pattern != "unstructured":
            result.append(
                f"prune.schedule is 'cubic' but prune.pattern is '{self.pattern}', whose groups have one sparsity: set "
                "prune.pattern to unstructured, or prune.schedule to one-shot"
            )
        if not self.epochs:
            result.append(
                "prune.schedule is 'cubic' but prune.epochs is 0, so there are no steps to zero weights in: set "
                "prune.epochs to 1 or more, or prune.schedule to one-shot"
            )
        if self.schedule_start >= self.schedule_end:
            result.append(
                f"prune.schedule_start is {self.schedule_start:g}: it has to be less than prune.schedule_end "
                f"({self.schedule_end:g})"
            )
        if self.initial_sparsity > self.sparsity:
            result.append(
                f"prune.initial_sparsity is {self.initial_sparsity:g}: it has to be at most prune.sparsity "
                f"({self.sparsity:g})"
            )
        return result


class QuantizeSettings(TrainingSection):
    """Eight bits, or four: post-training first, then fine-tuning with fake quantisation and the teacher."""

    method: Literal["none", "ptq", "qat"] = "qat"
    """ptq rounds the weights as they are; qat goes on training with rounding in the loop."""
    scheme: Literal["auto", "dynamic", "static", "blockwise"] = "auto"
    """dynamic: per-tensor unsigned activations, scaled as they come (CPU); static: symmetric QDQ with fixed scales
    (TensorRT, CUDA); blockwise: each block of inputs with a scale of its own, as language models are run on a CPU
    (MatMulNBits, and activations in 8 bits); auto takes the one of the task and of the first of export.providers."""
    bits: Literal[4, 8] = 8
    """Of weights in linear layers; tables, and the layer over the vocabulary, have 8 (blockwise)."""
    block_size: Literal[16, 32, 64, 128] = 32
    """Inputs of a layer that share a scale: it has to divide the width of each layer (blockwise)."""
    wide_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the weights that have 8 bits where the others have 4: those of the layers whose rounding costs the loss
    most for each byte (blockwise, bits: 4)."""
    embeddings: bool = True
    """Store the embedding tables in 8 bits too."""
    calibration_rows: int = Field(256, ge=1)
    """Training rows that set static scales."""
    max_sensitive_layers: int = Field(2, ge=0)
    """At most this many layers stay in higher precision, the most sensitive first."""
    sensitivity: float = Field(0.005, ge=0, le=1)
    """A layer is sensitive when quantising it alone costs more than this share of the metric that epochs are chosen by,
    on validation, and is shown to cost some by an exact paired test."""
    sensitivity_level: float = Field(0.05, gt=0, lt=1)
    """Chance that any layer is called sensitive where none costs anything (Holm's correction over all layers)."""
    epochs: int = Field(2, ge=0, le=1000)
    """Passes over the training split, with a perturbed copy of each text where there are any; 0 trains nothing."""
    learning_rate: float = Field(2e-5, gt=0, le=1)
    """Peak learning rate of AdamW."""
