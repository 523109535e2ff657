"""Encoders of several families: small ones with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

VOCABULARY = 99
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
DEBERTA: dict[str, Any] = {
    "type_vocab_size": 0, "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES | {"type_vocab_size": 1},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 32,
        "max_position_embeddings": 64,
    },
    "electra": SIZES | {"embedding_size": 8},
    "mpnet": SIZES,
    "deberta-v2": SIZES | DEBERTA,
    "modernbert": SIZES
    | {"layer_types": ["full_attention", "sliding_attention"], "local_attention": 8, "pad_token_id": 0},
    "albert": SIZES | {"embedding_size": 8},
}


def model(family: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A classifier of two classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **(CONFIGS[family] | changes))
        return AutoModelForSequenceClassification.from_config(config)
