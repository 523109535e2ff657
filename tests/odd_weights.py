"""Checkpoints whose weights, head or config.json are odd, and what becomes of each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from tests.odd_checkpoints import (
    CONFIG,
    EMBEDDINGS,
    HEAD,
    HIDDEN,
    INDEX,
    NAMED,
    PICKLE,
    PICKLE_INDEX,
    POINTER,
    POOLER,
    SHAPES,
    WEIGHTS,
    adding,
    all_in,
    both,
    compressed,
    dropping,
    headed,
    holding,
    lacking,
    old_name,
    pickled,
    prefixed,
    renamed,
    replacing,
    setting,
    sharded,
    trapped,
    twice_in_shards,
    weighing,
    weights,
    whole_tokenizer,
    without,
)
from tests.odd_inputs import Kind, refused, taken

KEPT_HEAD = "the head is the checkpoint's, whose labels are the task's"
NEW_POOLER = "the pooler is new: the checkpoint has none"
LAYER_1 = "encoder.layer.1."
PREFIXES = {
    "module": "module.",
    "model": "model.",
    "sentence encoder": "0.auto_model.",
    "module and bert": "module.bert.",
    "bert": "bert.",
}


def full_of(value: float, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """A tensor of one value only."""
    return lambda tensor: torch.full_like(tensor, value, dtype=dtype)


def _first_shape(name: str) -> str:
    """How a message shows a tensor with one row too many."""
    return " × ".join(map(str, (SHAPES[name][0] + 1, *SHAPES[name][1:])))


WEIGHT_KINDS = [
    Kind(
        "Weights",
        "names with something before them (`module.`, `model.`, `0.auto_model.`, `module.bert.` …)",
        "loaded; `start.prefix` names it",
        {f"prefix: {what}": taken(weighing(prefixed(prefix)), {"prefix": prefix}) for what, prefix in PREFIXES.items()},
    ),
    Kind(
        "Weights",
        "LayerNorm's old names, `gamma` and `beta`, in safetensors or a pickle, with a prefix or without",
        "loaded under the new names",
        {
            "old names": taken(weighing(prefixed("", old_name))),
            "old names, bert.": taken(weighing(prefixed("bert.", old_name)), {"prefix": "bert."}),
            "old names, bert., pickled": taken(pickled(prefixed("bert.", old_name)), {"prefix": "bert."}),
        },
    ),
    Kind(
        "Weights",
        "`pytorch_model.bin`, of any version of torch, also of Parameters",
        "loaded, without running anything that is in it",
        {
            "pickle": taken(pickled()),
            "pickle of old torch": taken(pickled(_use_new_zipfile_serialization=False)),
            "pickle of parameters": taken(
                pickled(lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()})
            ),
        },
    ),
    Kind(
        "Weights",
        'a training script\'s checkpoint around them: `{"state_dict": …}`, also with an epoch beside it, also '
        "one in another",
        "loaded",
        {
            "in state_dict": taken(pickled(lambda state: {"state_dict": state})),
            "in model_state_dict": taken(pickled(lambda state: {"epoch": 3, "model_state_dict": state})),
            "in two dictionaries": taken(
                pickled(lambda state: {"model": {"state_dict": prefixed("bert.")(state)}, "step": 7}),
                {"prefix": "bert."},
            ),
            "beside a tensor": taken(pickled(lambda state: {"step": torch.tensor(7), "state_dict": state})),
        },
    ),
    Kind(
        "Weights",
        "a pickled module, two sets of weights, or any other object that is not tensors by name",
        "refused; nothing of it is run",
        {
            "two dictionaries": refused(
                pickled(lambda state: {"model": state, "state_dict": state}),
                r"no tensors in its weights, but model, state_dict; ",
            ),
            "a module": refused(
                pickled(lambda state: BertModel(BertConfig(**CONFIG))), r"pytorch_model\.bin .* more than tensors"
            ),
            "a trap": refused(trapped, r"pytorch_model\.bin .* more than tensors .*; save the model's state_dict"),
            "a list": refused(pickled(lambda state: list(state.values())), r"pytorch_model\.bin holds a list; "),
            "a tensor": refused(pickled(lambda state: state[EMBEDDINGS]), r"pytorch_model\.bin holds a Tensor; "),
        },
    ),
    Kind(
        "Weights",
        "both safetensors and a pickle, with other values",
        "safetensors count",
        {"safetensors and pickle": taken(lambda folder: torch.save(weights(1), folder / PICKLE))},
    ),
    Kind(
        "Weights",
        "in parts with an index, safetensors or pickles; safetensors without metadata",
        "loaded",
        {
            "no metadata": taken(lambda folder: save_file(weights(), folder / WEIGHTS)),
            "parts of safetensors": taken(sharded("safetensors")),
            "parts of pickles": taken(sharded("bin")),
        },
    ),
    Kind(
        "Weights",
        "a part is missing, is of another set, or the index says something else than the parts",
        "refused, naming the file",
        {
            "a part is missing": refused(
                both(sharded("safetensors"), without("model-00002-of-00002.safetensors")),
                r"lacks the shard model-00002-of-00002\.safetensors of its weights; ",
            ),
            "a part of pickles is missing": refused(
                both(sharded("bin"), without("pytorch_model-00001-of-00002.bin")),
                r"lacks the shard pytorch_model-00001-of-00002\.bin of its weights; ",
            ),
            "all parts are missing": refused(
                both(sharded("bin"), *(without(f"pytorch_model-0000{n}-of-00002.bin") for n in (1, 2))),
                r"lacks the shard pytorch_model-00001-of-00001\.bin of its weights; ",
            ),
            "the index is missing": refused(both(sharded("bin"), without(PICKLE_INDEX)), r"lacks weights: .*; "),
            "the index is no JSON": refused(
                both(sharded("safetensors"), holding(INDEX, b"{")), r"index\.json cannot be read as JSON .*; "
            ),
            "the index lists another name": refused(
                sharded("safetensors", other="model-00001-of-00002.safetensors"),
                r"model\.safetensors\.index\.json does not list what its shards hold; ",
            ),
            "the index lists nothing": refused(
                both(sharded("safetensors"), setting(INDEX, weight_map=None)),
                r"model\.safetensors\.index\.json does not list what its shards hold; ",
            ),
            "a tensor is in two parts": refused(
                twice_in_shards, r"model\.safetensors\.index\.json does not list what its shards hold; "
            ),
        },
    ),
    Kind(
        "Weights",
        "float16, bfloat16, float64",
        "loaded as float32",
        {
            f"in {kind}": taken(both(weighing(all_in(dtype)), setting(**{key: kind})))
            for kind, dtype, key in (
                ("float16", torch.float16, "dtype"),
                ("bfloat16", torch.bfloat16, "torch_dtype"),
                ("float64", torch.float64, "dtype"),
            )
        },
    ),
    Kind(
        "Weights",
        "float8, integers, sparse tensors, or tensors without values",
        "refused: no plain floating-point weights",
        {
            "in float8": refused(weighing(all_in(torch.float8_e4m3fn)), r" hold float8_e4m3fn, .*; "),
            "in float8, pickled": refused(pickled(all_in(torch.float8_e5m2)), r" hold float8_e5m2, .*; "),
            "in int8": refused(weighing(all_in(torch.int8)), r" hold int8, .*; "),
            "one in int64": refused(
                weighing(replacing(EMBEDDINGS, torch.Tensor.long)), rf": {EMBEDDINGS} hold int64, .*; "
            ),
            "complex": refused(weighing(all_in(torch.complex64)), r" hold complex64, .*; "),
            "sparse": refused(
                pickled(replacing(f"{LAYER_1}output.dense.weight", torch.Tensor.to_sparse)),
                rf": {LAYER_1}output\.dense\.weight .*sparse.*; ",
            ),
            "without values": refused(
                pickled(replacing(EMBEDDINGS, lambda value: value.to("meta"))), rf": {EMBEDDINGS} .* have no values; "
            ),
        },
    ),
    Kind(
        "Weights",
        "a model that this project compressed (int8, pruned)",
        "refused: give the one that it was made of",
        {
            "artifact: quantized": refused(
                compressed("quantize"), r" hold .*int8.*; a checkpoint that is compressed already"
            ),
            "artifact: pruned": refused(compressed("prune"), r" hold uint8.*; a checkpoint that is compressed already"),
            "artifact: both": refused(compressed("quantize", "prune"), r"; a checkpoint that is compressed already"),
        },
    ),
    Kind(
        "Weights",
        "a model that this project trained without compression",
        "loaded, with its head if the task has the same labels; `notes` says so",
        {
            "artifact: none": taken(compressed(), {"new": [], "prefix": "bert.", "notes": [KEPT_HEAD]}),
            "artifact: none, another task": taken(
                compressed(), {"prefix": "bert.", "unused": sorted(HEAD)}, settings={"task": "rte"}
            ),
        },
    ),
    Kind(
        "Weights",
        "tensors of other heads, and buffers of old versions (`position_ids`)",
        "left out; `start.unused` names those of the heads",
        {
            "other heads": taken(
                weighing(
                    lambda state: (
                        prefixed("bert.")(state)
                        | {"cls.predictions.bias": torch.zeros(9), "qa_outputs.weight": torch.zeros(2, HIDDEN)}
                    )
                ),
                {"prefix": "bert.", "unused": ["cls.predictions.bias", "qa_outputs.weight"]},
            ),
            "buffers": taken(
                weighing(
                    adding(
                        embeddings__position_ids=torch.arange(128)[None],
                        embeddings__token_type_ids=torch.zeros(1, 128, dtype=torch.int64),
                    )
                )
            ),
        },
    ),
    Kind(
        "Weights",
        "without the pooler",
        "loaded; `start.new` has `pooler`, and `notes` says so",
        {"no pooler": taken(weighing(dropping("pooler")), {"new": ["head", "pooler"], "notes": [NEW_POOLER]})},
    ),
    Kind(
        "Weights",
        "any other tensor is missing: a single one, a layer, the embeddings, half of the pooler; or a layer "
        "has another prefix than the rest",
        "refused, naming tensors: they would be random",
        {
            **{
                f"without {name}": refused(weighing(dropping(name)), rf"1 of its \d+ tensors are missing.*{name}; ")
                for name in SHAPES
                if name != EMBEDDINGS
            },
            f"without {EMBEDDINGS}": refused(weighing(dropping(EMBEDDINGS)), rf"names end like …{EMBEDDINGS}"),
            "without a layer": refused(
                weighing(dropping(LAYER_1)), rf"16 of its 39 tensors are missing, such as {LAYER_1}.*; "
            ),
            "without embeddings": refused(weighing(dropping("embeddings")), r"its weights have names like .*; "),
            "one with another prefix": refused(
                weighing(lambda state: {("" if "layer.0" in name else "bert.") + name: v for name, v in state.items()}),
                r"16 of its 39 tensors are missing, such as encoder\.layer\.0\..*; ",
            ),
        },
    ),
    Kind(
        "Weights",
        "more than config.json says: layers, adapters (LoRA) that were not merged",
        "refused, naming tensors",
        {
            "a layer too many": refused(
                setting(num_hidden_layers=1), rf"no place for 16 of its tensors, such as {LAYER_1}.*; "
            ),
            "adapters beside the weights": refused(
                weighing(
                    lambda state: state | {f"{LAYER_1}attention.self.query.lora_A.weight": torch.zeros(2, HIDDEN)}
                ),
                r"no place for 1 of its tensors, such as .*lora_A.*; .*adapters",
            ),
            "adapters around the weights": refused(
                weighing(
                    lambda state: {
                        f"base_model.model.bert.{name.replace('query.', 'query.base_layer.')}": value
                        for name, value in state.items()
                    }
                ),
                r"no place for 4 of its tensors, such as .*query\.base_layer.*; .*adapters",
            ),
        },
    ),
    Kind(
        "Weights",
        "a tensor of another shape than config.json says",
        "refused, naming the tensor and both shapes",
        {
            f"another shape: {name}": refused(
                weighing(replacing(name, lambda value: torch.cat([value, value[:1]]))),
                rf"{name} has the shape {_first_shape(name)}, config\.json asks for .*; ",
            )
            for name in SHAPES
        },
    ),
    Kind(
        "Weights",
        "NaN or infinite values, also such as become infinite in float32",
        "refused, naming the tensor",
        {
            f"{value} in {dtype}": refused(
                weighing(replacing(POOLER[1], full_of(float(value), dtype))),
                rf"{POOLER[1]} holds NaN, or values that are infinite .*; ",
            )
            for value, dtype in (("nan", torch.float32), ("inf", torch.float16), ("1e300", torch.float64))
        },
    ),
    Kind(
        "Weights",
        "no tensors, none of the architecture's names, two encoders, or an old and a new name for one tensor",
        "refused, naming what is there",
        {
            "old and new name": refused(
                weighing(lambda state: state | prefixed("", old_name)(state)),
                r"both embeddings\.LayerNorm\.\w+ and embeddings\.LayerNorm\.\w+; leave one",
            ),
            "no tensors": refused(weighing(lambda state: {}), r"no tensors in its weights.*; "),
            "no tensors, pickled": refused(pickled(lambda state: {"epoch": 3}), r"no tensors .*, but epoch; "),
            "other names": refused(
                weighing(lambda state: {"transformer.wte.weight": state[EMBEDDINGS]}),
                r"names like transformer\.wte\.weight; they must hold one encoder",
            ),
            "two encoders": refused(
                weighing(lambda state: prefixed("query.")(state) | prefixed("passage.")(state)),
                r"several encoders, passage\., query\.; they must hold one encoder",
            ),
        },
    ),
    Kind(
        "Weights",
        "no weights, or those of another framework",
        "refused: the folder lacks weights",
        {
            "no weights": refused(without(WEIGHTS), r"the folder lacks weights: model\.safetensors or .*; "),
            "of TensorFlow": refused(renamed(WEIGHTS, "tf_model.h5"), r"the folder lacks weights: .*; "),
            "adapters alone": refused(renamed(WEIGHTS, "adapter_model.safetensors"), r"the folder lacks weights"),
        },
    ),
    Kind(
        "Weights",
        "a Git LFS pointer in place of a file",
        "refused, naming the file: run git lfs pull",
        {
            "pointer: safetensors": refused(holding(WEIGHTS, POINTER), rf"{WEIGHTS} is a Git LFS pointer.*; run git"),
            "pointer: pickle": refused(
                both(pickled(), holding(PICKLE, POINTER)), rf"{PICKLE} is a Git LFS pointer.*; run git"
            ),
            **{
                f"pointer: {file}": refused(
                    both(whole_tokenizer(), holding(file, POINTER)), rf"{file} is a Git LFS pointer.*; run git"
                )
                for file in ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
            },
        },
    ),
    Kind(
        "Weights",
        "a file of weights that is cut short, empty or garbled",
        "refused, naming the file",
        {
            "empty": refused(holding(WEIGHTS, b""), rf"{WEIGHTS} is damaged or cut short \(.*\); "),
            "garbled": refused(holding(WEIGHTS, bytes(range(256)) * 9), rf"{WEIGHTS} is damaged or cut short \(.*\); "),
            "cut": refused(holding(WEIGHTS, lambda data: data[:-999]), rf"{WEIGHTS} is damaged or cut short \(.*\); "),
            "empty pickle": refused(both(pickled(), holding(PICKLE, b"")), rf"{PICKLE} is damaged"),
            "garbled pickle": refused(both(pickled(), holding(PICKLE, bytes(range(256)) * 9)), rf"{PICKLE} is damaged"),
            "cut pickle": refused(both(pickled(), holding(PICKLE, lambda data: data[:-999])), rf"{PICKLE} is damaged"),
        },
    ),
]

LABEL2ID = {"negative": 0, "positive": 1}
NO_HEAD_KEPT = {"prefix": "bert.", "unused": sorted(HEAD)}
A_HEAD_KEPT = {"prefix": "bert.", "new": [], "notes": [KEPT_HEAD]}


def names(*classes: str) -> dict[str, str]:
    """`id2label` as config.json has it."""
    return {str(number): name for number, name in enumerate(classes)}


HEAD_KINDS = [
    Kind(
        "Head",
        "as many classes as the task has, with the same names in the same order; upper or lower case does not matter",
        "kept: the model computes what the checkpoint does; `notes` says so",
        {
            "head: the task's classes": taken(headed(2, **NAMED, label2id=LABEL2ID), A_HEAD_KEPT),
            "head: in capitals": taken(headed(2, id2label=names("NEGATIVE", "Positive")), A_HEAD_KEPT),
            "head: a regression's": taken(headed(1, id2label=names("score")), A_HEAD_KEPT, settings={"task": "stsb"}),
            "head: in float16": taken(both(headed(2, **NAMED), weighing(all_in(torch.float16))), A_HEAD_KEPT),
        },
    ),
    Kind(
        "Head",
        "classes in another order, with other names, of another number or without names; or the head of a regression",
        "new: `start.new` has `head`, and `start.unused` names what is left out",
        {
            "head: reversed": taken(headed(2, id2label=names("positive", "negative")), NO_HEAD_KEPT),
            "head: no names": taken(headed(2, id2label=names("LABEL_0", "LABEL_1")), NO_HEAD_KEPT),
            "head: a number alone": taken(headed(5, num_labels=5), NO_HEAD_KEPT),
            "head: three classes": taken(
                headed(3, id2label=names("CONTRADICTION", "NEUTRAL", "ENTAILMENT")), NO_HEAD_KEPT
            ),
            "head: three outputs, two names": taken(headed(3, **NAMED), NO_HEAD_KEPT),
            "head: a regression's for classes": taken(headed(1, id2label=names("LABEL_0")), NO_HEAD_KEPT),
            "head: classes for a regression": taken(headed(2, **NAMED), NO_HEAD_KEPT, settings={"task": "stsb"}),
            "head: another task's": taken(headed(2, **NAMED), NO_HEAD_KEPT, settings={"task": "rte"}),
        },
    ),
    Kind(
        "Head",
        "unclear names (`id2label` is a list, has other numbers or contradicts `label2id`); half a head, or "
        "one without a pooler",
        "new",
        {
            "head: contradiction": taken(headed(2, **NAMED, label2id={"negative": 1, "positive": 0}), NO_HEAD_KEPT),
            "head: a list of names": taken(headed(2, id2label=["negative", "positive"]), NO_HEAD_KEPT),
            "head: names without numbers": taken(headed(2, id2label={"a": "negative", "b": "positive"}), NO_HEAD_KEPT),
            "head: other numbers": taken(headed(2, id2label={"1": "negative", "2": "positive"}), NO_HEAD_KEPT),
            "head: a text for names": taken(headed(2, id2label="negative, positive"), NO_HEAD_KEPT),
            "head: names alone": taken(setting(**NAMED)),
            "head: no bias": taken(
                both(headed(2, **NAMED), weighing(dropping(HEAD[1]))), {"prefix": "bert.", "unused": [HEAD[0]]}
            ),
            "head: no pooler": taken(
                both(headed(2, **NAMED), weighing(dropping("pooler"))),
                NO_HEAD_KEPT | {"new": ["head", "pooler"], "notes": [NEW_POOLER]},
            ),
        },
    ),
    Kind(
        "Head",
        "one that fits, with NaN in it",
        "refused, naming the tensor",
        {
            "head: NaN": refused(
                both(headed(2, **NAMED), weighing(replacing(HEAD[1], lambda value: value * torch.nan))),
                rf"{HEAD[1]} holds NaN, .*; ",
            )
        },
    ),
]

NEEDED = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings",
    "vocab_size", "type_vocab_size",
)  # fmt: skip
NO_COUNTS: dict[str, Any] = {"a text": "2", "a fraction": 2.0, "null": None, "zero": 0, "negative": -1, "true": True}
MEANT_OTHERWISE: dict[str, Any] = {
    "position_embedding_type": "relative_key",
    "is_decoder": True,
    "add_cross_attention": True,
}
NO_VALUES: dict[str, Any] = {
    "hidden_act": ["gelu"],
    "hidden_dropout_prob": "0.1",
    "attention_probs_dropout_prob": 2,
    "layer_norm_eps": None,
    "initializer_range": -1,
}
HARMLESS: dict[str, Any] = {
    "num_labels": 5,
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "return_dict": False,
    "pad_token_id": 7,
    "use_cache": None,
    "output_attentions": True,
    "output_hidden_states": True,
    "torchscript": True,
    "problem_type": "multi_label_classification",
    "dtype": "int8",
    "attn_implementation": "flash_attention_2",
    "transformers_version": "99.0",
    "_name_or_path": "/nowhere",
    "finetuning_task": "mnli",
}

CONFIGURATION_KINDS = [
    Kind(
        "Configuration",
        "no `config.json`, or one called `bert_config.json`",
        "refused: the folder lacks config.json",
        {
            "no config.json": refused(without("config.json"), r"the folder lacks config\.json; "),
            "Google's name": refused(
                renamed("config.json", "bert_config.json"),
                r"the folder lacks config\.json \(its bert_config\.json must be called so\); ",
            ),
        },
    ),
    Kind(
        "Configuration",
        "`config.json` that is no JSON, no object, or has NaN in it",
        "refused",
        {
            "config: cut": refused(holding("config.json", lambda data: data[:-20]), r"config\.json .* JSON .*; fetch"),
            "config: empty": refused(holding("config.json", b""), r"config\.json cannot be read as JSON .*; fetch"),
            "config: not UTF-8": refused(
                holding("config.json", b'{"model_type": "b\xe9rt"}'), r"config\.json cannot be read as JSON"
            ),
            "config: a list": refused(holding("config.json", b"[]"), r"config\.json holds no JSON object; fetch"),
            "config: NaN": refused(
                setting(layer_norm_eps=float("nan")), r"config\.json cannot be read as JSON \(.*NaN.*\); "
            ),
            "config: nested without end": refused(
                holding("config.json", b"[" * 100_000), r"config\.json cannot be read as JSON"
            ),
        },
    ),
    Kind(
        "Configuration",
        "a size is missing, or no whole number above 0 (layers, width, heads, positions, vocabulary …)",
        "refused, naming the key and its value",
        {
            **{
                f"config: without {key}": refused(lacking(key), rf"{key} in its config\.json is null; must be")
                for key in NEEDED
            },
            **{
                f"config: {key} is {what}": refused(
                    setting(**{key: value}),
                    rf"{key} in its config\.json is {json.dumps(value)}; must be a whole number above 0",
                )
                for key in NEEDED
                for what, value in NO_COUNTS.items()
            },
            "config: heads do not divide": refused(
                setting(num_attention_heads=3),
                r"num_attention_heads in its config\.json is 3; must divide hidden_size, 16",
            ),
        },
    ),
    Kind(
        "Configuration",
        "another value that cannot be (dropout, epsilon, activation, padding token …)",
        "refused, naming the key",
        {
            **{
                f"config: {key}={json.dumps(value)}": refused(
                    setting(**{key: value}),
                    rf"{key} in its config\.json is .*{re.escape(json.dumps(value))}.*; must be ",
                )
                for key, value in NO_VALUES.items()
            },
            "config: another activation": refused(
                setting(hidden_act="gelu2"), r"hidden_act in its config\.json is .?gelu2.?; must be of gelu, "
            ),
        },
    ),
    Kind(
        "Configuration",
        "no `model_type`",
        "taken for BERT, or what `model.type` says; all of its tensors must be there",
        {"config: no model_type": taken(lacking("model_type"))},
    ),
    Kind(
        "Configuration",
        "a `model_type` of no encoder, a BERT with relative positions, a decoder, or code of its own (`auto_map`)",
        "refused, naming the key",
        {
            "config: another model": refused(
                setting(model_type="gpt2"), r"its model_type is gpt2.*; must be of albert, bart, bert, "
            ),
            "config: no model": refused(
                setting(model_type=None), r"its model_type is null; must be of albert, bart, bert, "
            ),
            "config: its own code": refused(
                setting(auto_map={"AutoModel": "modeling.MyBert"}), r"auto_map in its config\.json.*; "
            ),
            **{
                f"config: {key}": refused(setting(**{key: value}), rf"{key} in its config\.json is .*; must be ")
                for key, value in MEANT_OTHERWISE.items()
            },
        },
    ),
    Kind(
        "Configuration",
        "entries for heads, outputs, the data type of weights, or other software",
        "ignored",
        {f"config: with {key}": taken(setting(**{key: value})) for key, value in HARMLESS.items()},
    ),
    Kind(
        "Configuration",
        "fewer positions than `data.max_length`, or one type of tokens for a task of pairs",
        "refused, naming the key; a task of single texts is fine with one type",
        {
            "short positions": refused(
                both(
                    weighing(replacing("embeddings.position_embeddings.weight", lambda value: value[:64])),
                    setting(max_position_embeddings=64),
                ),
                r"^data\.max_length=100: the longest that .* takes is 64; must be at most that",
                settings={"data.max_length": 100},
            ),
            "one type, single texts": taken(
                both(
                    weighing(replacing("embeddings.token_type_embeddings.weight", lambda value: value[:1])),
                    setting(type_vocab_size=1),
                )
            ),
            "one type, pairs": refused(
                both(
                    weighing(replacing("embeddings.token_type_embeddings.weight", lambda value: value[:1])),
                    setting(type_vocab_size=1),
                ),
                r"its type_vocab_size is 1, but rte has pairs of texts, .*; choose a task of single texts",
                settings={"task": "rte"},
            ),
        },
    ),
    Kind(
        "Configuration",
        "`model.…` asks for another architecture than the checkpoint has",
        "refused, naming both",
        {
            f"model.{key}": refused(
                lambda folder: None,
                rf"^model\.{key}=99: the checkpoint .* has {CONFIG[theirs]}; ",
                settings={f"model.{key}": 99, "data.max_length": 16},
            )
            for key, theirs in (
                ("layers", "num_hidden_layers"),
                ("intermediate", "intermediate_size"),
                ("positions", "max_position_embeddings"),
            )
        },
    ),
]

KINDS = [*WEIGHT_KINDS, *HEAD_KINDS, *CONFIGURATION_KINDS]
