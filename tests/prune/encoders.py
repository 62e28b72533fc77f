"""One tiny random classifier of every architecture."""

import copy

import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedModel,
    RobertaConfig,
    XLMRobertaConfig,
)

_SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
CONFIGS = {
    "bert": BertConfig(**_SHAPE, pad_token_id=0),
    "roberta": RobertaConfig(**_SHAPE, pad_token_id=1),
    "xlm-roberta": XLMRobertaConfig(**_SHAPE, pad_token_id=1),
    "camembert": CamembertConfig(**_SHAPE, pad_token_id=1),
    "electra": ElectraConfig(**_SHAPE, embedding_size=16, pad_token_id=0),
    "distilbert": DistilBertConfig(
        vocab_size=60, dim=32, n_layers=3, n_heads=4, hidden_dim=48, max_position_embeddings=40, pad_token_id=0
    ),
}
"""Those of which heads, neurons and layers can be removed."""
FAMILIES = {
    **CONFIGS,
    "mpnet": MPNetConfig(**_SHAPE, pad_token_id=1),
    "deberta-v2": DebertaV2Config(
        **_SHAPE,
        pad_token_id=0,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
        position_biased_input=False,
    ),
    "albert": AlbertConfig(**_SHAPE, embedding_size=16, pad_token_id=0),
    "modernbert": ModernBertConfig(
        **_SHAPE,
        pad_token_id=1,
        bos_token_id=0,
        cls_token_id=0,
        eos_token_id=2,
        sep_token_id=2,
        local_attention=8,
        classifier_pooling="mean",
    ),
}
BATCH = {
    "input_ids": torch.tensor([[5, 9, 30, 41, 7, 6], [5, 12, 13, 6, 1, 1]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}


def tiny(kind: str, seed: int = 0) -> PreTrainedModel:
    """The classifier in evaluation mode, with weights large enough for its parts to matter."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(copy.deepcopy(FAMILIES[kind]), attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embeddings" not in name:
                parameter.mul_(8)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return model.eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    """What it answers to two rows, one of them padded."""
    with torch.no_grad():
        return model(**BATCH).logits
