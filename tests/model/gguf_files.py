"""A tiny Llama as a GGUF file, written as llama.cpp's converter writes it."""

from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from transformers import PreTrainedModel

from tests.prune.decoders import tiny

WORDS = [
    "<|endoftext|>",
    "<|start|>",
    "<|end|>",
    *"abcdefghijklmnopqrstuvwxyz",
    "Ġ",
    "he",
    "hell",
    "lo",
    "hello",
    "Ġw",
    "ll",
]
TOKENS = [*WORDS, *(f"<|{index}|>" for index in range(64 - len(WORDS)))]
MERGES = ["h e", "l l", "l o", "he ll", "hell o", "Ġ w"]
NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def llama() -> PreTrainedModel:
    """All its widths are multiples of 32, as the blocks of these formats are."""
    return tiny("llama", layers=2, neurons=64)


def write_gguf(path: Path, kind: GGMLQuantizationType, padding: bool = True) -> PreTrainedModel:
    """Writes the model with its matrices of this type and its norms in fp32, and returns it as it was before."""
    model = llama()
    config = model.config
    writer = GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in TOKENS])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if padding:
        writer.add_pad_token_id(0)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":  # the table
            continue
        values = weight
        if ".q_proj" in name or ".k_proj" in name:  # llama.cpp turns pairs of neighbours, and transformers of halves
            values = weight.view(-1, 2, config.head_dim // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
        data = np.ascontiguousarray(values.numpy())
        if data.ndim == 1:
            writer.add_tensor(_named(name), data)
        else:
            writer.add_tensor(_named(name), quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _named(name: str) -> str:
    if name.startswith("model.layers."):
        _model, _layers, number, rest = name.split(".", 3)
        return f"blk.{number}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def on_grid(weight: torch.Tensor, kind: GGMLQuantizationType) -> torch.Tensor:
    """A matrix as its blocks of this type say it."""
    from gguf.quants import dequantize

    return torch.from_numpy(dequantize(quantize(weight.numpy(), kind), kind))
