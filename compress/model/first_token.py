"""The last block for the first token alone, where the head reads nothing else.

A classifier that reads position 0 needs, of its last block, the keys and values of all tokens, but queries, attention
output, feed-forward layers and LayerNorms of the first one only. The arithmetic of what is left is unchanged.

Blocks get a subclass of their own class with another `forward`; modules, names and parameters stay as they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from compress.model.blocks import Forward, dropout_forward, forward_of, takes_added_mask
from compress.model.structure import ORIGINAL, blocks_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SETTING = "first_token"  # in config.json, of a model whose last block is for the first token alone
ADDED_MASK = "takes_added_mask"  # attribute of a model
TOLERANCE = 1e-5  # of logits that are the same but for rounding, as a share of the largest
TRIED = ((2, 3, 4, 5), (3, 2, 5, 4))  # token ids of two rows; the second has two tokens, the rest is padding


def apply(model: PreTrainedModel) -> None:
    """Let a classifier compute only what its head reads, if that is the first token and its blocks are known.

    It is tried: where the logits do not stay what they were, the model stays as it was. Its config says which.
    """
    classes, whole = [(module, type(module)) for module in model.modules()], _logits(model)
    if cut(model) and _same(model, whole):
        setattr(model.config, SETTING, True)
        return
    for module, kind in classes:
        module.__class__ = kind
    for owner, name in ((model, ADDED_MASK), (model.config, SETTING)):
        vars(owner).pop(name, None)


def added_mask(model: nn.Module) -> bool:
    """Whether the model takes a mask that is ready to be added to scores of attention, [batch, 1, 1, length]."""
    return bool(getattr(model, ADDED_MASK, False)) and next(model.parameters()).device.type == "cpu"


def _same(model: PreTrainedModel, whole: torch.Tensor) -> bool:
    """Whether the model's logits are these, but for rounding."""
    try:
        logits = _logits(model)
    except (RuntimeError, TypeError, AttributeError, IndexError):  # what follows its blocks wants all positions
        return False
    return bool(((logits - whole).abs() <= TOLERANCE * whole.abs().max().clamp(min=0.01)).all())


def cut(model: PreTrainedModel) -> bool:
    """Give the blocks their new forward passes; False, and nothing is done, where they are of no known form."""
    blocks = [model.get_submodule(name) for name in blocks_of(model)]
    forwards = [forward_of(block, first_only=block is blocks[-1]) for block in blocks]
    if forwards[-1] is None:
        return False
    for block, forward in zip(blocks, forwards, strict=True):
        if forward is not None:
            _give(block, forward)
    vars(model)[ADDED_MASK] = takes_added_mask(blocks[-1])
    for module in model.modules():
        if type(module) is nn.Dropout:
            _give(module, dropout_forward)
    return True


def _give(module: nn.Module, forward: Forward) -> None:
    """Have a module compute by this function from now on."""
    module.__class__ = _with_forward(type(module), forward)  # type: ignore[arg-type]


@lru_cache
def _with_forward(kind: type[nn.Module], forward: Forward) -> type[nn.Module]:
    return type(kind.__name__, (kind,), {"forward": forward, ORIGINAL: kind})


def _logits(model: PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor(TRIED, device=model.device) % model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 2:] = 0
    was_training = model.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=ids, attention_mask=mask).logits
    model.train(was_training)
    return logits
