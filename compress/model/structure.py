"""What a model is made of, told from its modules and one small forward pass: no architecture's names are needed."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from compress.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

Part = Literal["embeddings", "encoder", "head"]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
ORIGINAL = "original_class"  # attribute of modules whose class was replaced by one with another forward pass
TOKENS = (2, 3)  # of the forward pass, as ids: padding is rarely one of them


@dataclass(frozen=True)
class Structure:
    """The layers of an encoder with a classification head, by module name.

    Attributes:
        embeddings: every `nn.Embedding` in which ids are looked up: words, positions, types. One whose matrix is read
            without a lookup (DeBERTa's relative positions) is not among them.
        blocks: the repeated layers, in the order in which they are called.
        matrices: Linear layers that methods may prune or factorize: all in the blocks, and the base model's pooler.
        head: Linear layers after the blocks, in the order in which they are called: pooler, classifier.
        shared_inputs: groups of at least two Linear layers that always read the very same tensors (query, key, value).
        places: the part to which each module belongs.
    """

    embeddings: tuple[str, ...]
    blocks: tuple[str, ...]
    matrices: tuple[str, ...]
    head: tuple[str, ...]
    shared_inputs: tuple[tuple[str, ...], ...]
    places: Mapping[str, Part]

    def part(self, name: str) -> Part:
        """The part of a parameter or a buffer, by its name, whatever its layer has been replaced by.

        Raises:
            KeyError: no such module.
        """
        module = name.rpartition(".")[0]
        while module and module not in self.places:
            module = module.rpartition(".")[0]
        return self.places[module]


@dataclass
class _Calls:
    """The modules in the order of their first calls, and what was called when.

    Attributes:
        before: modules that returned before the first block was called.
        after: modules that were called after the last block returned.
        inputs: of each Linear layer, its input tensors; as they are kept, no two have one `id`.
    """

    order: dict[str, None] = field(default_factory=dict)
    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)
    inputs: dict[str, list[torch.Tensor]] = field(default_factory=lambda: defaultdict(list))


def takes(model: nn.Module) -> tuple[str, ...]:
    """What a model's forward pass makes use of: token ids, which of them are padding, and perhaps their types."""
    named = inspect.signature(model.forward).parameters
    types: object = getattr(model.config, "type_vocab_size", None)
    return INPUTS if "token_type_ids" in named and types else INPUTS[:2]


def structure(model: nn.Module) -> Structure:
    """The structure of a plain model of transformers, before any method has changed it; no random numbers are drawn.

    Raises:
        ConfigError: it cannot be told, or no block has a Linear layer: nothing to compress.
    """
    from torch import nn

    base = str(getattr(model, "base_model_prefix", ""))
    blocks = blocks_of(model)
    calls = _call(model, blocks)
    linears = [name for name in calls.order if type(model.get_submodule(name)) is nn.Linear]
    inside = {name for name in linears if _is_in(name, blocks)}
    behind = [name for name in calls.after if _is_in(name, [base])]  # the base model's, after its blocks
    poolers = [name for name in behind if _has_linear(model.get_submodule(name))]
    modules = {name: module for name, module in model.named_modules() if name}
    return Structure(
        embeddings=tuple(n for n, module in modules.items() if type(module) is nn.Embedding and n in calls.order),
        blocks=tuple(name for name in calls.order if name in blocks),
        matrices=tuple(name for name in modules if name in inside or (name in linears and name in poolers)),
        head=tuple(name for name in linears if name in calls.after),
        shared_inputs=_shared(linears, calls),
        places={name: _place(name, module, base, blocks, poolers, calls) for name, module in modules.items()},
    )


def mark_new(model: nn.Module, parameters: Iterable[str]) -> None:
    """Remember which parameters no checkpoint brought, by name; of a model from scratch nothing is to be told apart."""
    vars(model)["new_parameters"] = tuple(parameters)  # past nn.Module, which takes attributes for tensors and modules


def is_new(model: nn.Module, module: str) -> bool:
    """Whether the weights below a module's name were drawn, in a model whose others come from a checkpoint."""
    return any(name.startswith(f"{module}.") for name in getattr(model, "new_parameters", ()))


def _refused(model: nn.Module, why: str) -> ConfigError:
    return ConfigError(f"model: {type(model).__name__} has {why}; choose another encoder")


def blocks_of(model: nn.Module) -> list[str]:
    """The members of the outermost lists of equal modules that hold Linear layers.

    Raises:
        ConfigError: there is no such list in the base model.
    """
    from torch import nn

    base = str(getattr(model, "base_model_prefix", ""))
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len({getattr(member, ORIGINAL, type(member)) for member in module}) == 1
        and all(map(_has_linear, module))
    ]
    outermost = [name for name in lists if _is_in(name, [base]) and not _is_in(name, set(lists) - {name})]
    if not outermost:
        raise _refused(model, "no list of equal layers with Linear layers in its base model: nothing to compress")
    return [f"{name}.{number}" for name in outermost for number, _ in model.get_submodule(name).named_children()]


def _has_linear(module: nn.Module) -> bool:
    from torch import nn

    return any(isinstance(inner, nn.Linear) for inner in module.modules())


def _call(model: nn.Module, blocks: Collection[str]) -> _Calls:
    """Call the model on a few tokens, in eval mode, and note what is called."""
    import torch

    calls, waiting = _Calls(), set(blocks)  # waiting: blocks that have not returned
    names = frozenset(blocks)

    def enter(name: str, module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        calls.order.setdefault(name)
        if name in names:  # perhaps not for the first time: layers may share their weights
            waiting.add(name)
            calls.after.clear()
        elif not waiting:
            calls.after.add(name)
        if isinstance(module, torch.nn.Linear) and arguments:
            calls.inputs[name].append(arguments[0])

    def leave(name: str) -> None:
        waiting.discard(name)
        if not names & calls.order.keys():
            calls.before.add(name)

    hooks = []
    for name, module in model.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(lambda m, inputs, name=name: enter(name, m, inputs)))
            hooks.append(module.register_forward_hook(lambda m, inputs, output, name=name: leave(name)))
    was_training = model.training
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model.eval()(input_ids=torch.tensor([TOKENS]).to(next(model.parameters()).device))
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise _refused(model, f"no output for token ids alone ({type(error).__name__})") from error
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return calls


def _is_in(name: str, outer: Collection[str]) -> bool:
    """Whether a module is one of these or in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in outer)


def _shared(linears: Sequence[str], calls: _Calls) -> tuple[tuple[str, ...], ...]:
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name in linears:
        groups[tuple(map(id, calls.inputs[name]))].append(name)
    return tuple(tuple(group) for inputs, group in groups.items() if inputs and len(group) > 1)


def _place(
    name: str, module: nn.Module, base: str, blocks: Collection[str], poolers: Collection[str], calls: _Calls
) -> Part:
    from torch import nn

    if _is_in(name, blocks):
        return "encoder"
    if not _is_in(name, [base]):
        return "head"
    if isinstance(module, nn.Embedding) or name in calls.before:
        return "embeddings"
    return "head" if _is_in(name, poolers) else "encoder"
