"""Structured pruning during fine-tuning: whole attention heads and feed-forward columns go, and matrices get smaller.

A unit's score is the first-order change of the loss if what reads it became 0, |Σ w · ∂L/∂w| over the columns of the
output matrix that read it (Molchanov et al., 2019, section 3.1; of a head this is the gradient of its gate, Michel et
al., 2019, section 4.1), of each batch, in a moving average. The same share of the heads and of the columns goes, those
of the least scores; heads are rounded to whole ones, and columns make up for it. What is gone stays gone.

While training, the rows and columns of units that are gone are 0; `finalize` cuts them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.methods import pruning
from compress.methods.registry import Option

if TYPE_CHECKING:
    import torch

    from compress.model.narrowing import Axis

MOMENTUM = 0.05  # weight of a batch in the moving average of the scores
LEFT = ("heads_left", "columns_left")  # buffers of blocks, bool [units]


@checked
class StructuredConfig(pruning.RampConfig):
    """How much goes, and when."""

    name: Literal["structured"] = Field(description="the option")
    sparsity: float = Field(description="share of the blocks' weights that is cut out in the end", gt=0, lt=1)
    scope: Literal["global", "layer"] = Field(
        description="global: compare the units of all blocks together; layer: of each block alone"
    )


class Units(NamedTuple):
    """The heads, or the columns, of a block."""

    block: torch.nn.Module
    axis: Axis
    left: torch.Tensor  # bool [units]; a buffer of the block
    score: torch.Tensor  # float32 [units]


def numbers(share: float, units: tuple[int, int], weights: tuple[int, int], least: int) -> tuple[int, int]:
    """How many heads and columns to remove of so many, at most that share of all their weights, and close to it.

    Args:
        weights: of a head and of a column.
        least: how many of either must stay.
    """
    heads = min(round(share * units[0]), units[0] - least)
    total = units[0] * weights[0] + units[1] * weights[1]
    heads = min(heads, int(share * total / weights[0]))
    columns = int((share * total - heads * weights[0]) / weights[1] + 1e-9)
    return heads, min(columns, units[1] - least)


def choose(scores: Sequence[torch.Tensor], left: Sequence[torch.Tensor], gone: int) -> list[torch.Tensor]:
    """Which units of some blocks are left if `gone` go, those of the least scores; the best of each block stays."""
    import torch

    ranked = []
    for score, stays in zip(scores, left, strict=True):
        mine = torch.where(stays, score, -1.0)
        mine[mine.argmax()] = torch.inf
        ranked.append(mine)
    chosen = torch.ones(sum(map(len, ranked)), dtype=torch.bool, device=ranked[0].device)
    chosen[torch.cat(ranked).argsort(stable=True)[:gone]] = False
    return list(chosen.split([len(each) for each in ranked]))


class Structured(pruning.Gradual):
    """Masks whole units while training; the finished model has none, and smaller matrices."""

    config: StructuredConfig

    def __init__(self, config: StructuredConfig) -> None:
        super().__init__(config)
        self.units: list[tuple[Units, Units]] = []  # heads and columns of each block
        self.names: list[str] = []  # of the blocks
        self.masked: list[torch.Tensor] = []
        self.plan: list[tuple[int, int]] = []  # heads and columns to remove, of each group of blocks
        self.left: dict[str, tuple[tuple[int, ...], int]] = {}  # heads and number of columns, once that is final

    def prepare(self, model: torch.nn.Module) -> None:
        """Give every block masks that keep all of it; refuse a model whose heads and columns are not known."""
        import torch

        from compress.artifact import plain
        from compress.model import narrowing

        try:
            forms = narrowing.forms(model, plain.structure_of(model))
            if not narrowing.computes_the_same(model, list(forms)):
                raise ValueError(f"{type(model).__name__} gives other answers with fewer heads or columns")
        except ValueError as error:
            raise ConfigError(f"prune=structured: {error}; use prune=magnitude") from error
        self.names = list(forms)
        for name, form in forms.items():
            block = model.get_submodule(name)
            pair = []
            for buffer, axis in zip(LEFT, (form.heads, form.columns), strict=True):
                score = torch.zeros(axis.units(block), device=axis.reader(block).weight.device)
                block.register_buffer(buffer, torch.ones_like(score, dtype=torch.bool))
                pair.append(Units(block, axis, block.get_buffer(buffer), score))
            self.units.append((pair[0], pair[1]))
        self.plan = [self._planned(group) for group in self._groups()]
        self._refresh()

    def weights(self) -> list[torch.Tensor]:
        return self.masked

    def choose(self, sparsity: float) -> None:
        """Remove that share of what will have to go, of heads and of columns."""
        over = sparsity / self.config.sparsity
        for group, plan in zip(self._groups(), self.plan, strict=True):
            for number, wanted in enumerate(plan):
                units = [pair[number] for pair in group]
                scores = [each.score / each.score.norm().clamp(min=1e-30) for each in units]  # Michel et al.'s
                chosen = choose(scores, [each.left for each in units], int(over * wanted + 1e-9))
                for each, left in zip(units, chosen, strict=True):
                    each.left.copy_(left)
        self._refresh()

    def after_backward(self, model: torch.nn.Module) -> None:
        """Note what the loss would lose with each unit, as long as there is a choice."""
        import torch

        if self.settled():
            return
        with torch.no_grad():
            for block, axis, _, score in (each for pair in self.units for each in pair):
                weight = axis.reader(block).weight
                assert weight.grad is not None, "every block has a part in the loss"
                change = (weight * weight.grad).sum(0).view(len(score), -1).sum(1).abs()
                score.lerp_(change, MOMENTUM)

    def finalize(self, model: torch.nn.Module) -> None:
        """Cut out what is gone."""
        from compress.model import narrowing

        for name, pair in zip(self.names, self.units, strict=True):
            block = model.get_submodule(name)
            heads, columns = (each.left.nonzero()[:, 0].tolist() for each in pair)
            narrowing.narrow(block, heads, columns)
            for buffer in LEFT:
                delattr(block, buffer)
            self.left[name] = (tuple(heads), len(columns))

    def metrics(self) -> dict[str, float]:
        """The share that is gone by now, and what is left."""
        heads, columns = (sum(int(pair[number].left.count_nonzero()) for pair in self.units) for number in (0, 1))
        return {"sparsity": self._gone(), "heads": float(heads), "columns": float(columns)}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"scores": [each.score for pair in self.units for each in pair]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for each, score in zip((each for pair in self.units for each in pair), state["scores"], strict=True):
            each.score.copy_(score)
        self._refresh()

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether blocks have these heads and so many columns, as many as were asked for, and matrices like that."""
        from compress.model import narrowing

        blocks = {name: module for name, module in stored.named_modules() if narrowing.narrowed(module) is not None}
        marks = {name: narrowing.narrowed(block) for name, block in blocks.items()}
        told = {name: (mark.heads, mark.columns) for name, mark in marks.items() if mark is not None}
        forms = {name: narrowing.form_of(block) for name, block in blocks.items()}
        are = {name: (form.heads.units(blocks[name]), form.columns.units(blocks[name])) for name, form in forms.items()}
        gone = [sum(mark.of_heads - len(mark.heads) for mark in marks.values() if mark is not None),
                sum(mark.of_columns - mark.columns for mark in marks.values() if mark is not None)]  # fmt: skip
        return (
            bool(told)
            and told == self.left
            and are == {name: (len(heads), columns) for name, (heads, columns) in told.items()}
            and gone == [sum(plan[number] for plan in self.plan) for number in (0, 1)]
        )

    def _groups(self) -> list[list[tuple[Units, Units]]]:
        """The blocks whose units are compared."""
        return [self.units] if self.config.scope == "global" else [[pair] for pair in self.units]

    def _planned(self, group: Sequence[tuple[Units, Units]]) -> tuple[int, int]:
        """How many heads and columns of these blocks are to go in the end."""
        counts = [sum(len(pair[number].score) for pair in group) for number in (0, 1)]
        weights = [
            sum(pair[number].axis.weights(pair[number].block) for pair in group) // len(group) for number in (0, 1)
        ]
        plan = numbers(self.config.sparsity, (counts[0], counts[1]), (weights[0], weights[1]), len(group))
        total = counts[0] * weights[0] + counts[1] * weights[1]
        most = (plan[0] * weights[0] + plan[1] * weights[1]) / total
        if self.config.sparsity - most > weights[1] / total:
            raise ConfigError(
                f"prune.sparsity={self.config.sparsity:g}: of this model's blocks {most:.4g} can be cut out, since one "
                "head and one column of each stay; must be less"
            )
        return plan

    def _gone(self) -> float:
        """The share of the blocks' weights that is gone; 0 without blocks."""
        every = [(each.left, each.axis.weights(each.block)) for pair in self.units for each in pair]
        counts = [(int((~left).count_nonzero()) * weights, len(left) * weights) for left, weights in every]
        return sum(gone for gone, _ in counts) / max(1, sum(of for _, of in counts))

    def _refresh(self) -> None:
        """Have the factors follow the masks."""
        from compress.model import narrowing

        made = [
            pair
            for each in (each for pair in self.units for each in pair)
            for pair in narrowing.factors(each.block, each.axis, each.left.float())
        ]
        self.masked, self.factors = [parameter for parameter, _ in made], [factor for _, factor in made]


OPTION = Option(
    group="prune", name="structured", noun="pruning", config=StructuredConfig, build=Structured, acts=20, position=30,
    strength="sparsity", step_cost=1.1, weights_until="end", check=pruning.check, cuts=True,
)  # fmt: skip
