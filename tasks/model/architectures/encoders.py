"""Where encoders keep their layers, projections and tables. A family is one entry here, and one in the tests.

Resizing a Linear in place is all it takes to remove heads or neurons: these encoders split into heads by the head size,
and take however many there are.
"""

from dataclasses import replace

from hone.tasks.model.architectures.architecture import Architecture

_ALL = ("query", "attention_output", "feed_in", "feed_out")
_BERT = Architecture(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    feed_in="intermediate.dense",
    feed_out="output.dense",
    adds_mask=True,
    narrows=_ALL,
)
_SHARED = "all its layers are one layer, used over and over"
_FUSED = "one matrix makes queries, keys and values, and another the neurons and their gates"
ENCODERS = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": Architecture(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        feed_in="ffn.lin1",
        feed_out="ffn.lin2",
        neurons_field="hidden_dim",
        adds_mask=True,
        narrows=_ALL,
    ),
    "mpnet": replace(
        _BERT,
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        attention_output="attention.attn.o",
        adds_mask=False,
        cannot={"heads": "all layers share one table of position biases, a column a head"},
    ),
    "deberta-v2": replace(
        _BERT,
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
        adds_mask=False,
        narrows=("attention_output", "feed_in", "feed_out"),
        cannot={"heads": "its attention splits into as many heads as the configuration says"},
    ),
    "albert": Architecture(
        adds_mask=True,
        cannot={"layers": _SHARED, "heads": _SHARED, "neurons": _SHARED, "relations": _SHARED},
    ),
    "modernbert": Architecture(
        cannot={
            "layers": "its first layer, and every third, is not built like the others",
            "heads": _FUSED,
            "neurons": _FUSED,
            "relations": _FUSED,
        },
    ),
}
"""By model type, what is tried by the tests."""
