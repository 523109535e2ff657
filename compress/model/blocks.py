"""Forward passes of encoders' blocks: layers that share an input in one product, and only positions that are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from compress.model.dropout import draw, dropout
from compress.model.linear import Rounding, linear
from compress.model.narrowing import narrowed

Forward = Callable[..., Any]
Together = Callable[[Any, torch.Tensor], torch.Tensor | None]


def products(layers: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """What layers make of the same input, one behind the other, float [..., sum of outputs].

    By one product, if they are of one class that has a static method `together(layers, x)` itself; it may return None:
    not these.
    """
    kind = type(layers[0])
    together: Together | None = _linear_together if kind is nn.Linear else vars(kind).get("together")
    alike = all(type(layer) is kind and not _is_watched(layer) for layer in layers)
    if together is not None and alike and not torch.compiler.is_exporting():
        joined = together(layers, x)
        if joined is not None:
            return joined
    return torch.cat([product(layer, x) for layer in layers], dim=-1)


def _is_watched(layer: nn.Module) -> bool:
    """Whether somebody wants to know of calls of this very layer, or has changed them."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))


def _linear_together(layers: Sequence[nn.Linear], x: torch.Tensor) -> torch.Tensor:
    return joined_product([layer.weight for layer in layers], [layer.bias for layer in layers], x)


def joined_product(
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor | None],
    x: torch.Tensor,
    rounding: Rounding | None = None,
) -> torch.Tensor:
    """`linear` for each weight, [outputs, inputs], by one product; no bias where the first one has none."""
    if len(weights) == 1:  # not copied
        return linear(x, weights[0], biases[0], rounding)
    bias = None if biases[0] is None else torch.cat([each for each in biases if each is not None])
    return linear(x, torch.cat(list(weights)), bias, rounding)


def product(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a layer makes of its input, float [..., inputs] to [..., outputs]."""
    if type(layer) is nn.Linear and not _is_watched(layer):
        return linear(x, layer.weight, layer.bias)
    return cast("torch.Tensor", layer(x))


def attention(
    query: torch.Tensor | None,
    others: torch.Tensor,
    head_size: int,
    mask: torch.Tensor | None = None,
    dropout: float | torch.Tensor = 0.0,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017, equation 1).

    Args:
        query: float [batch, queries, width]; None if it comes first in `others`, for every position.
        others: query, key and value, or key and value, side by side: float [batch, length, 3 or 2 times width].
        mask: None, bool (true: is read) or float (is added), [batch or 1, heads or 1, at least queries or 1, length].
        dropout: of the attention's weights: a rate, 0 in eval mode, or a mask [batch · heads, queries, length].
        bias: float, added to the scores too; not with a mask of dropout.

    Returns:
        float [batch, queries, width].
    """
    queries = others.shape[1] if query is None else query.shape[1]
    if mask is not None:
        mask = mask[:, :, :queries]
    if bias is not None:
        mask = bias[:, :, :queries] if mask is None else bias[:, :, :queries] + mask
    if isinstance(dropout, torch.Tensor):
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)
        return cast("torch.Tensor", _Attention.apply(query, others, head_size, mask, dropout))  # type: ignore[no-untyped-call]
    parts = others.chunk(3, dim=-1) if query is None else (query, *others.chunk(2, dim=-1))
    q, k, v = (part.unflatten(-1, (-1, head_size)).transpose(1, 2) for part in parts)
    if torch.compiler.is_exporting():  # as runtimes know attention, and fuse it
        scores = q @ k.transpose(2, 3) * head_size**-0.5
        context = functional.softmax(scores if mask is None else scores + mask, dim=-1) @ v
    else:
        context = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
    attended: torch.Tensor = context.transpose(1, 2).flatten(2)
    return attended


class _Attention(torch.autograd.Function):
    """The same in float32 with half as many operations, for training on a CPU."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor | None,
        others: torch.Tensor,
        head_size: int,
        mask: torch.Tensor | None,
        kept: torch.Tensor,
    ) -> torch.Tensor:
        batch = len(others)
        with torch.autocast("cpu", enabled=False):
            if query is None:
                q, k, v = _by_head(others, 3, head_size)
            else:
                (q,), (k, v) = _by_head(query, 1, head_size), _by_head(others, 2, head_size)
            if mask is not None:
                mask = mask.expand(batch, len(q) // batch, -1, -1).flatten(0, 1)
            weights = torch.softmax(_product(q, k.mT, head_size**-0.5, mask), -1)
            context = _joined(torch.bmm(dropped := weights * kept, v)[None], batch)
        ctx.save_for_backward(q, k, v, weights, dropped, kept)
        ctx.head_size, ctx.dtype, ctx.has_query = head_size, others.dtype, query is not None
        return context.to(others.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, weights, dropped, kept = ctx.saved_tensors
        batch, scale = len(gradients[0]), ctx.head_size**-0.5
        (gradient,) = _by_head(gradients[0], 1, ctx.head_size)
        of_weights = torch.bmm(gradient, v.mT).mul_(kept)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, torch.float32)
        of_others = k.new_empty(2 if ctx.has_query else 3, *k.shape)
        of_query = torch.empty_like(q) if ctx.has_query else of_others[0]
        _product(of_scores, k, scale, out=of_query)
        _product(of_scores.mT, q, scale, out=of_others[-2])
        torch.bmm(dropped.mT, gradient, out=of_others[-1])
        first = _joined(of_query[None], batch).to(ctx.dtype) if ctx.has_query else None
        return first, _joined(of_others, batch).to(ctx.dtype), *([None] * 3)


def _by_head(x: torch.Tensor, parts: int, head_size: int) -> Sequence[torch.Tensor]:
    """[batch, length, parts · width] as `parts` times float32 [batch · heads, length, head size]."""
    apart: torch.Tensor = x.unflatten(-1, (parts, -1, head_size)).permute(2, 0, 3, 1, 4)
    return apart.flatten(1, 2).float().unbind()


def _joined(x: torch.Tensor, batch: int) -> torch.Tensor:
    """[parts, batch · heads, length, head size] as [batch, length, parts · width]."""
    apart: torch.Tensor = x.unflatten(1, (batch, -1))
    return apart.permute(1, 3, 0, 2, 4).flatten(2)


def _product(
    a: torch.Tensor, b: torch.Tensor, scale: float, added: torch.Tensor | None = None, out: torch.Tensor | None = None
) -> torch.Tensor:
    """scale · a b + added, for each of a batch."""
    beta = 0 if added is None else 1
    return torch.baddbmm(a[:1, :1, :1] if added is None else added, a, b, beta=beta, alpha=scale, out=out)


@dataclass(frozen=True)
class PostNorm:
    """A block x = LayerNorm(x + attention(x)), x = LayerNorm(x + feed-forward(x)) (Vaswani et al., 2017, section 3.1).

    All but the last field are paths of its modules.
    """

    attention: str  # knows the heads' width
    linears: tuple[str, str, str, str, str, str]  # query, key, value, attention's output; the two feed-forward layers
    activation: str
    norms: tuple[str, str]
    dropouts: tuple[str, str, str]  # of attention's weights, of the two residuals; "" where there is none
    in_tuple: bool = False  # whether its output is a tuple of one

    def forward(self, first_only: bool) -> Forward:
        """The forward pass of such a block: of the first position, [batch, 1, width], or of all."""
        query, key, value, output, up, down = map(attrgetter, self.linears)
        activation, (attention_norm, norm) = attrgetter(self.activation), map(attrgetter, self.norms)
        size = attrgetter(f"{self.attention}.attention_head_size")
        dropouts = [attrgetter(f"{path}.p") if path else None for path in self.dropouts]

        def forward(
            block: nn.Module,
            hidden_states: torch.Tensor,
            attention_mask: torch.Tensor | None = None,
            position_bias: torch.Tensor | None = None,
            *rest: object,
            **settings: object,
        ) -> object:
            if first_only:
                asking = hidden_states[:, :1]
                queries, others = product(query(block), asking), products((key(block), value(block)), hidden_states)
                width = queries.shape[-1]
            else:
                asking, queries = hidden_states, None
                others = products((query(block), key(block), value(block)), hidden_states)
                width = others.shape[-1] // 3
            if position_bias is not None and (left := narrowed(block)) is not None:
                position_bias = position_bias[:, list(left.heads)]  # of each head its own
            rates = [rate(block) if rate is not None and block.training else 0.0 for rate in dropouts]
            weights = (asking.shape[0] * width // size(block), asking.shape[1], hidden_states.shape[1])
            noise = _noise(rates, [weights, asking.shape, asking.shape], asking.device, position_bias is not None)
            context = attention(queries, others, size(block), attention_mask, noise[0], position_bias)
            attended = attention_norm(block)(_residual(product(output(block), context), asking, noise[1]))
            inner = product(down(block), activation(block)(product(up(block), attended)))
            outputs = norm(block)(_residual(inner, attended, noise[2]))
            return (outputs,) if self.in_tuple else outputs

        return forward


def _noise(
    rates: Sequence[float], shapes: Sequence[Sequence[int]], device: torch.device, biased: bool
) -> list[float | torch.Tensor]:
    """A mask for each dropout, drawn by one call; its rate, where torch has to draw, or nothing is dropped.

    Torch has to where attention is `biased`, since the bias learns.
    """
    wanted = [number for number, rate in enumerate(rates) if rate and not (biased and number == 0)]
    noise: list[float | torch.Tensor] = [*rates]
    if device.type == "cpu" and 1.0 not in rates and wanted:
        drawn = draw([shapes[number] for number in wanted], [rates[number] for number in wanted])
        for number, each in zip(wanted, drawn, strict=True):
            noise[number] = each
    return noise


def _residual(x: torch.Tensor, residual: torch.Tensor, dropout: float | torch.Tensor) -> torch.Tensor:
    """residual + dropout(x), of a rate or by a mask."""
    if isinstance(dropout, torch.Tensor):
        return torch.addcmul(residual, x, dropout)
    return residual + (functional.dropout(x, dropout) if dropout else x)


def deberta(first_only: bool) -> Forward | None:
    """Attention of all positions, from whose number it tells its relative positions; the rest of the first one."""

    def forward(block: Any, hidden_states: torch.Tensor, *inputs: Any, **settings: Any) -> object:
        context, weights = block.attention.self(hidden_states, *inputs, **settings)
        attended = block.attention.output(context[:, :1], hidden_states[:, :1])
        return block.output(block.intermediate(attended), attended), weights

    return forward if first_only else None


def modernbert(first_only: bool) -> Forward | None:
    """Attention of all positions, whose three parts are one matrix, and the rest of the first one."""

    def forward(block: Any, hidden_states: torch.Tensor, *inputs: Any, **settings: Any) -> object:
        attended = block.attn(block.attn_norm(hidden_states), *inputs, **settings)[0]
        x = hidden_states[:, :1] + attended[:, :1]
        return x + block.mlp(block.mlp_norm(x))

    return forward if first_only else None


# a module of each form's blocks that tells it, and the maker of its forward pass
FORMS: dict[str, Callable[[bool], Forward | None]] = {
    "attention.self.query": PostNorm(
        attention="attention.self",
        linears=(
            "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
            "intermediate.dense", "output.dense",
        ),
        activation="intermediate.intermediate_act_fn",
        norms=("attention.output.LayerNorm", "output.LayerNorm"),
        dropouts=("attention.self.dropout", "attention.output.dropout", "output.dropout"),
    ).forward,
    "attention.q_lin": PostNorm(
        attention="attention",
        linears=(
            "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2",
        ),
        activation="ffn.activation",
        norms=("sa_layer_norm", "output_layer_norm"),
        dropouts=("attention.dropout", "", "ffn.dropout"),
    ).forward,
    "attention.attn.q": PostNorm(
        attention="attention.attn",
        linears=(
            "attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o",
            "intermediate.dense", "output.dense",
        ),
        activation="intermediate.intermediate_act_fn",
        norms=("attention.LayerNorm", "output.LayerNorm"),
        dropouts=("attention.attn.dropout", "attention.dropout", "output.dropout"),
        in_tuple=True,
    ).forward,
    "attention.self.query_proj": deberta,
    "attn.Wqkv": modernbert,
}  # fmt: skip


def dropout_forward(layer: nn.Dropout, x: torch.Tensor) -> torch.Tensor:
    """The forward pass of a layer of dropout."""
    return dropout(x, layer.p) if layer.training else x


@lru_cache
def made(form: str, first_only: bool) -> Forward | None:
    """The forward pass of a form's blocks; the same object whenever it is asked for."""
    return FORMS[form](first_only)


def forward_of(block: nn.Module, first_only: bool) -> Forward | None:
    """A block's forward pass, of the first position or of all; None if there is no better one than its own."""
    form = _form(block)
    return None if form is None else made(form, first_only)


def takes_added_mask(block: nn.Module) -> bool:
    """Whether models of such blocks hand a mask of four dimensions to them as it is."""
    return _form(block) in ("attention.self.query", "attention.q_lin")


def _form(block: nn.Module) -> str | None:
    names = {name for name, _ in block.named_modules()}
    return next((form for form in FORMS if form in names), None)
