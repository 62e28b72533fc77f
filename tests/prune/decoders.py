"""One tiny random decoder of every family."""

import copy

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

LAYERS = 4
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_SHAPE = {
    **_IDS,
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_WINDOWS = {"sliding_window": 4, "head_dim": 16, "query_pre_attn_scalar": 16}
FAMILIES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_SHAPE, tie_word_embeddings=True),
    "mistral": MistralConfig(**_SHAPE, sliding_window=6),
    "qwen2": Qwen2Config(**_SHAPE, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**_SHAPE, head_dim=16),
    "gemma": GemmaConfig(**_SHAPE, head_dim=16),
    "gemma2": Gemma2Config(**_SHAPE, **_WINDOWS),
    "gemma3_text": Gemma3TextConfig(**_SHAPE, **_WINDOWS, layer_types=["sliding_attention", "full_attention"] * 2),
    "gpt2": GPT2Config(**_IDS, vocab_size=64, n_embd=32, n_layer=LAYERS, n_head=4, n_positions=64, n_inner=48),
    "phi": PhiConfig(**{**_SHAPE, "num_key_value_heads": 4}),
    "phi3": Phi3Config(**_SHAPE),
}
HEAD_SIZE = {"qwen3": 16, "gemma": 16, "gemma2": 16, "gemma3_text": 16}
"""Of those whose head size is not width by heads."""
GROUPS = {"gpt2": 4, "phi": 4}
"""Of those whose heads share no keys and values; of the others there are two."""
BATCH = {
    "input_ids": torch.tensor([[5, 9, 30, 41, 7, 6, 22, 13], [5, 12, 13, 6, 0, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0]]),
}


def tiny(kind: str, layers: int = LAYERS, seed: int = 0, neurons: int = 48) -> PreTrainedModel:
    """The decoder in evaluation mode, with weights large enough for its parts to matter."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = copy.deepcopy(FAMILIES[kind])
    config.num_hidden_layers = layers
    if hasattr(config, "intermediate_size"):
        config.intermediate_size = neurons
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and name.split(".")[-2] not in ("embed_tokens", "wte", "wpe", "lm_head"):
                parameter.mul_(8)
            elif parameter.ndim == 2:
                parameter.mul_(4)
            elif "norm" in name or ".ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return model.eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    """What it answers to the tokens of two rows, one of them padded: [tokens, vocabulary]."""
    with torch.no_grad():
        return model(**BATCH).logits[BATCH["attention_mask"].bool()]
