"""Blocks with fewer attention heads and feed-forward columns, whose matrices are smaller for it.

A head is a group of rows of what makes queries, keys and values, and the columns that read it in attention's output. A
feed-forward column is a row of the first layer (two, where one gates the other) and a column of the second. Where a
unit is gone, it adds nothing to the residual stream, as if its rows and columns were 0.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from compress.model.structure import Structure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NARROWED = "narrowed"  # attribute of blocks that are
COUNTS = ("num_attention_heads", "n_heads")  # attributes of attention, whichever it has
SIZES = ("attention_head_size", "head_dim")
TOLERANCE = 1e-3  # of logits that are the same but for rounding, as a share of the largest
TRIED = ((2, 3, 4, 5), (3, 2, 5, 4))  # token ids of two rows


@dataclass(frozen=True)
class Narrowed:
    """What is left of a block."""

    heads: tuple[int, ...]  # their numbers in the uncompressed block
    columns: int
    of_heads: int
    of_columns: int


@dataclass(frozen=True)
class Axis:
    """A width inside a block that its units make up: all heads, or all feed-forward columns.

    Attributes:
        written: paths in the block of the Linear layers whose outputs are of this width.
        read: path of the one whose inputs are.
        parts: how many times an output holds the width, one behind the other.
        of: path of the attention whose heads the units are; None for single columns.
        optional: like `written`, of layers that not all such blocks have.
    """

    written: tuple[str, ...]
    read: str
    parts: int = 1
    of: str | None = None
    optional: tuple[str, ...] = ()

    def paths(self, block: nn.Module) -> list[str]:
        """Of all its Linear layers."""
        return [*self.writing(block), self.read]

    def writing(self, block: nn.Module) -> list[str]:
        """`written`, with those of `optional` that this block has."""
        return [*self.written, *(path for path in self.optional if _has(block, path))]

    def size(self, block: nn.Module) -> int:
        """How many numbers of the width a unit has; 0 if that is not known."""
        if self.of is None:
            return 1
        attention = block.get_submodule(self.of)
        return next((int(getattr(attention, name)) for name in SIZES if hasattr(attention, name)), 0)

    def writers(self, block: nn.Module) -> list[nn.Linear]:
        """The layers whose rows belong to units; of a factorized one, that of the second factor."""
        return [_weighted(block.get_submodule(path))[-1] for path in self.writing(block)]

    def reader(self, block: nn.Module) -> nn.Linear:
        """The layer whose columns do; of a factorized one, the first factor."""
        return _weighted(block.get_submodule(self.read))[0]

    def units(self, block: nn.Module) -> int:
        """How many there are."""
        return int(self.reader(block).weight.shape[1]) // self.size(block)

    def weights(self, block: nn.Module) -> int:
        """How many weights belong to a unit, biases not counted."""
        layers = [*self.writers(block), self.reader(block)]
        return sum(layer.weight.numel() for layer in layers) // self.units(block)

    def columns(self, block: nn.Module, units: torch.Tensor) -> torch.Tensor:
        """Of the reader, those of units: a value for each, from one for each unit."""
        return units.repeat_interleave(self.size(block))

    def rows(self, block: nn.Module, units: torch.Tensor) -> torch.Tensor:
        """The same of the writers' rows."""
        return self.columns(block, units).repeat(self.parts)


@dataclass(frozen=True)
class Form:
    """Where blocks of a kind have their heads and their feed-forward columns."""

    heads: Axis
    columns: Axis

    def fits(self, module: nn.Module) -> bool:
        """Whether a module is such a block."""
        required = (*self.heads.written, self.heads.read, *self.columns.written, self.columns.read)
        return all(_has(module, path) for path in required) and self.heads.size(module) > 0


def _projections(attention: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{attention}.{name}" for name in names)


FORMS = (
    Form(  # BERT, RoBERTa, ELECTRA and their like
        Axis(_projections("attention.self", "query", "key", "value"), "attention.output.dense", of="attention.self"),
        Axis(("intermediate.dense",), "output.dense"),
    ),
    Form(  # DistilBERT
        Axis(_projections("attention", "q_lin", "k_lin", "v_lin"), "attention.out_lin", of="attention"),
        Axis(("ffn.lin1",), "ffn.lin2"),
    ),
    Form(  # MPNet
        Axis(_projections("attention.attn", "q", "k", "v"), "attention.attn.o", of="attention.attn"),
        Axis(("intermediate.dense",), "output.dense"),
    ),
    Form(  # DeBERTa, version 2 and 3
        Axis(
            _projections("attention.self", "query_proj", "key_proj", "value_proj"),
            "attention.output.dense",
            of="attention.self",
            optional=_projections("attention.self", "pos_key_proj", "pos_query_proj"),
        ),
        Axis(("intermediate.dense",), "output.dense"),
    ),
    Form(  # ALBERT
        Axis(_projections("attention", "query", "key", "value"), "attention.dense", of="attention"),
        Axis(("ffn",), "ffn_output"),
    ),
    Form(  # ModernBERT
        Axis(("attn.Wqkv",), "attn.Wo", parts=3, of="attn"),
        Axis(("mlp.Wi",), "mlp.Wo", parts=2),
    ),
)


def form_of(block: nn.Module) -> Form:
    """The form of a block; ValueError if it is of none."""
    form = next((form for form in FORMS if form.fits(block)), None)
    if form is None:
        raise ValueError(f"a {type(block).__name__} has no heads and feed-forward columns that are known")
    return form


def forms(model: nn.Module, structure: Structure) -> dict[str, Form]:
    """The blocks by name with their forms, in the model's order.

    Raises:
        ValueError: a Linear layer of the blocks is of no head and no column that is known; in one line.
    """
    within = [
        name for name, _ in model.named_modules() if f"{name}.".startswith(tuple(f"{b}." for b in structure.blocks))
    ]
    found = {name: form for name in within for form in FORMS if form.fits(model.get_submodule(name))}
    known = {
        f"{name}.{path}"
        for name, form in found.items()
        for axis in (form.heads, form.columns)
        for path in axis.paths(model.get_submodule(name))
    }
    others = [name for name in structure.matrices if name in within and name not in known]
    if others or not found:
        told = others[0] if others else structure.blocks[0]
        raise ValueError(f"of {type(model).__name__} it is not known which heads or columns {told} has")
    return found


def narrow(block: nn.Module, heads: Sequence[int], columns: Sequence[int]) -> None:
    """Leave a block these heads and these feed-forward columns, by their numbers; its other weights are gone."""
    form = form_of(block)
    now = Narrowed(tuple(heads), len(columns), form.heads.units(block), form.columns.units(block))
    for axis, kept in ((form.heads, heads), (form.columns, columns)):
        _cut(block, axis, kept)
    attention = block.get_submodule(cast("str", form.heads.of))
    counted = {name: len(heads) for name in COUNTS} | {"all_head_size": len(heads) * form.heads.size(block)}
    for name, value in counted.items():
        if hasattr(attention, name):
            setattr(attention, name, value)
    vars(block)[NARROWED] = now


def _cut(block: nn.Module, axis: Axis, kept: Sequence[int]) -> None:
    reader = axis.reader(block)
    units = torch.zeros(axis.units(block), dtype=torch.bool, device=reader.weight.device)
    units[list(kept)] = True
    columns, rows = axis.columns(block, units), axis.rows(block, units)
    for layer in axis.writers(block):
        layer.weight = _smaller(layer.weight, layer.weight[rows])
        if layer.bias is not None:
            layer.bias = _smaller(layer.bias, layer.bias[rows])
        layer.out_features = len(layer.weight)
    reader.weight = _smaller(reader.weight, reader.weight[:, columns])
    reader.in_features = reader.weight.shape[1]


def _smaller(old: torch.Tensor, values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().contiguous(), requires_grad=old.requires_grad)


def narrowed(block: nn.Module) -> Narrowed | None:
    """What is left of a block; None if all is."""
    return cast("Narrowed | None", vars(block).get(NARROWED))


def computes_the_same(model: nn.Module, names: Sequence[str]) -> bool:
    """Whether blocks without their first head and column compute what they do where these are 0; tried on a copy."""
    masked = copy.deepcopy(model).eval()
    cut = copy.deepcopy(masked)
    with torch.no_grad():
        for name in names:
            block, form = masked.get_submodule(name), form_of(masked.get_submodule(name))
            kept = []
            for axis in (form.heads, form.columns):
                units = torch.ones(axis.units(block), device=axis.reader(block).weight.device)
                units[0] = float(len(units) == 1)  # one stays
                kept.append(units.nonzero()[:, 0].tolist())
                for parameter, factor in factors(block, axis, units):
                    parameter.mul_(factor)
            narrow(cut.get_submodule(name), *kept)
        try:
            expected, computed = (_logits(cast("PreTrainedModel", each)) for each in (masked, cut))
        except (RuntimeError, TypeError, AttributeError, IndexError):
            return False
    return bool(((computed - expected).abs() <= TOLERANCE * expected.abs().max().clamp(min=0.01)).all())


def factors(block: nn.Module, axis: Axis, units: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The parameters that belong to units, each with a factor in its shape: what `units`, float [units], says."""
    rows, columns = axis.rows(block, units), axis.columns(block, units)
    made: list[tuple[torch.Tensor, torch.Tensor]] = [(axis.reader(block).weight, columns[None])]
    for layer in axis.writers(block):
        made.append((layer.weight, rows[:, None]))
        made += [] if layer.bias is None else [(layer.bias, rows)]
    return [(parameter, factor.expand_as(parameter).contiguous()) for parameter, factor in made]


def _logits(model: PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor(TRIED, device=model.device) % model.config.vocab_size
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def _has(block: nn.Module, path: str) -> bool:
    try:
        block.get_submodule(path)
    except AttributeError:
        return False
    return True


def _weighted(module: nn.Module) -> list[nn.Linear]:
    """The layers that a Linear is made of by now: itself, or its factors in the order in which they compute."""
    return [cast("nn.Linear", inner) for inner in module.modules() if hasattr(inner, "weight")]
