"""LoRA: a large decoder learns in low-rank adapters beside its frozen linear layers, and leaves as a plain model.

PEFT makes and merges them. What is trained is r * (in + out) numbers of each layer, so that the optimiser's state and
the gradients are small; on a CPU, of a small model, training all of it costs hardly more.
Source: Hu et al. 2021, arXiv:2106.09685.
"""

import copy
import importlib.util

from torch import nn
from transformers import PreTrainedModel

from hone.configs.model import TrainSettings
from hone.tasks.errors import ModelError


def add_adapters(model: PreTrainedModel, settings: TrainSettings) -> PreTrainedModel:
    """Puts an adapter beside each linear layer but the head, in place, and freezes all else. An adapter begins as
    nothing: the model answers what it did.

    Raises:
        ModelError: when PEFT is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise ModelError(
            "train.adapter is 'lora', which takes peft, not installed here: pip install 'hone[lora]', or set "
            "train.adapter=none"
        )
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    inject_adapter_in_model(config, model)
    return model


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model with its adapters added to the weights they stand beside, which no longer knows of them; of
    one without adapters, itself."""
    if not any(_base(module) is not None for module in model.modules()):
        return model
    result = copy.deepcopy(model)
    for name, module in list(result.named_modules()):
        base = _base(module)
        if base is not None:
            module.merge(safe_merge=True)
            parent, _dot, child = name.rpartition(".")
            setattr(result.get_submodule(parent), child, base)
    for attribute in ("peft_config", "_hf_peft_config_loaded"):  # by which transformers would save adapters
        vars(result).pop(attribute, None)
    return result.requires_grad_(True)


def _base(module: nn.Module) -> nn.Module | None:
    """The layer that an adapter stands beside; None of any other module."""
    base = getattr(module, "base_layer", None)
    return base if isinstance(base, nn.Module) and hasattr(module, "lora_A") else None
