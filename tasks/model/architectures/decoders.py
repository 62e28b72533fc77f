"""Where decoders keep their layers, projections and tables. A family is one entry here, and one in the tests.

Queries come in groups that share a key and a value; a group is removed whole, and the same number in every layer, with
the head size written into the config: that is a shape that transformers, vLLM and llama.cpp read off `config.json`.
Where one of them computes the head size from width and heads, whatever the config says, heads cannot be removed.
"""

from dataclasses import replace

from hone.tasks.model.architectures.architecture import Ability, Architecture

_CANNOT: dict[Ability, str] = {
    "relations": "they compare each token with all others, and its tokens do not see those after them",
    "vocabulary": "it answers with the tokens of its table, and those that were not seen are answers too",
}
_SIZE = "vLLM and llama.cpp take its head size to be its width by its number of heads, whatever the config says"
_QUERIES = "one matrix makes queries, keys and values"
_WINDOWS = "by their place some of its layers see a window of the text alone, and runtimes count the places"
_LLAMA = Architecture(
    layers="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.o_proj",
    feed_in="mlp.up_proj",
    gate="mlp.gate_proj",
    feed_out="mlp.down_proj",
    cannot=_CANNOT,
    causal=True,
    cached=True,
)
DECODERS = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": replace(_LLAMA, cannot={**_CANNOT, "heads": _SIZE}),
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": replace(_LLAMA, cannot={**_CANNOT, "layers": _WINDOWS}),
    "gemma3_text": replace(_LLAMA, cannot={**_CANNOT, "layers": _WINDOWS}),
    "gpt2": Architecture(
        layers="h",
        attention_output="attn.c_proj",
        feed_in="mlp.c_fc",
        feed_out="mlp.c_proj",
        cannot={**_CANNOT, "heads": _QUERIES},
        neurons_field="n_inner",
        causal=True,
    ),
    "phi": replace(
        _LLAMA,
        attention_output="self_attn.dense",
        feed_in="mlp.fc1",
        gate="",
        feed_out="mlp.fc2",
        cannot={**_CANNOT, "heads": _SIZE},
    ),
    "phi3": replace(
        _LLAMA,
        query="",
        key="",
        value="",
        feed_in="",
        gate="",
        cannot={**_CANNOT, "heads": _QUERIES, "neurons": "one matrix makes the neurons and their gates"},
    ),
}
"""By model type, what is tried by the tests."""
