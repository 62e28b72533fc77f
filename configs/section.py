"""What every section of a recipe is: frozen, closed to unknown keys, described field by field."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler

Precision = Literal["fp32", "auto", "bf16", "fp16"]


class Section(BaseModel):
    """A frozen group of settings. Unknown keys are errors, and each field renders in Prefect's run form."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """In forms a section's own settings, its method first, come before those of training that it shares."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        shared = {name for parent in cls.__mro__[1:] if issubclass(parent, Section) for name in parent.__annotations__}
        names = sorted(schema.get("properties", {}), key=lambda name: name in shared)  # sorting keeps the order else
        if names:
            schema["properties"] = {name: schema["properties"][name] for name in names}
        return reference


class TrainingSection(Section):
    """What every stage that trains shares, as one training loop serves them all."""

    epochs: int = Field(3, ge=0, le=1000)
    """Passes over the training split; 0 leaves the weights as they are."""
    batch_size: int = Field(32, ge=1, le=65536)
    """Examples per optimiser step, over all workers together."""
    learning_rate: float = Field(5e-5, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(0.01, ge=0, le=1)
    """AdamW's decoupled weight decay; biases and norms are exempt."""
    warmup_fraction: float = Field(0.1, ge=0, le=1)
    """Share of all steps over which the learning rate rises from 0."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this global L2 norm."""
    accumulate: int = Field(1, ge=1, le=1024)
    """Micro-batches whose gradients are summed into one optimiser step."""
    precision: Precision = "fp32"
    """Arithmetic of the forward pass; weights stay fp32. auto is bf16 where the hardware computes it and fp32 where it
    would be imitated, which is many times slower. fp16 uses loss scaling and needs a GPU."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    checkpoint_steps: int = Field(500, ge=1)
    """Optimiser steps between two points that training can go on from inside an epoch; each epoch ends with one too."""
    patience: int = Field(0, ge=0, le=1000)
    """Stop after this many epochs without a better validation metric; 0 never stops early."""
