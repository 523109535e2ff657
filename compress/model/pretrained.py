"""The weights of a pretrained checkpoint, read and checked before anything is made of them.

Nothing is trusted: every tensor of the encoder must be there, of the configured shape, finite, and must be used.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError, first_line
from compress.model.checkpoint_files import check_fetched, read_json, weight_files

if TYPE_CHECKING:
    import torch

    from compress.model.architecture import Layout

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")  # keys under which training scripts save the weights
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint by the names of the architecture, and how it came to them."""

    tensors: dict[str, torch.Tensor]  # of the encoder and, where it has one, the pooler
    head: dict[str, torch.Tensor]  # of the layer with the outputs; empty unless it is whole
    prefix: str  # what stood before the encoder's names
    unused: list[str]  # names of tensors that have no place here: of other heads


def read_weights(folder: Path, layout: Layout, what: str) -> Weights:
    """All tensors of a checkpoint's folder, under the architecture's names."""
    import torch

    first, *shards = weight_files([file.name for file in folder.iterdir()])
    read = {shard: _read_file(folder / shard, what) for shard in shards or [first]}
    home = {name: shard for shard, state in read.items() for name in state}
    if shards and read_json(folder / first, what).get("weight_map") != home:
        raise ConfigError(f"{what}: {first} does not list what its shards hold; fetch them again, together")
    tensors = _unwrapped({name: value for state in read.values() for name, value in state.items()}, layout, what)
    weights = {name: value for name, value in tensors.items() if not name.endswith(tuple(layout.buffers))}
    # 8 bits or integers want scales that nobody knows here
    if wrong := [name for name, v in weights.items() if not v.is_floating_point() or v.dtype.itemsize < 2]:
        kinds = sorted({str(weights[name].dtype).removeprefix("torch.") for name in wrong})
        raise ConfigError(
            f"{what}: {_some(wrong)} hold {', '.join(kinds)}, no floating-point weights of 16 bits or more; "
            "a checkpoint that is compressed already cannot be started from: give the one it was made of"
        )
    if wrong := [name for name, v in weights.items() if v.layout != torch.strided or v.is_meta]:
        raise ConfigError(f"{what}: {_some(wrong)} are sparse, or have no values; save all weights as plain tensors")
    return named(tensors, layout, what)


def _read_file(file: Path, what: str) -> dict[str, object]:
    """What a file holds by name; of a pickle, tensors and plain values are all that is made."""
    import torch
    from safetensors.torch import load_file

    try:
        check_fetched(file, what)
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        with warnings.catch_warnings(action="ignore"):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except ConfigError:
        raise
    except pickle.UnpicklingError as error:
        other = re.search(r"GLOBAL (\w[\w.]*)", str(error))
        raise ConfigError(
            f"{what}: {file.name} is damaged, or holds more than tensors{f' ({other[1]})' if other else ''}; "
            "save the model's state_dict(), best as safetensors"
        ) from error
    except Exception as error:  # of any class, when damaged bytes are read
        cause = first_line(error)[:160]
        raise ConfigError(f"{what}: {file.name} is damaged or cut short ({cause}); fetch it again") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{what}: {file.name} holds a {type(loaded).__name__}; save the model's state_dict()")
    return loaded


def _unwrapped(state: Mapping[str, object], layout: Layout, what: str) -> dict[str, torch.Tensor]:
    """The tensors by name, taken out of what a training script saved around them."""
    import torch

    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    wrapped = [value for key in WRAPPERS if isinstance(value := state.get(key), Mapping)]
    if len(wrapped) == 1 and not any(name.endswith(layout.words) for name in tensors):
        return _unwrapped(wrapped[0], layout, what)
    if not tensors:
        there = f", but {_some(state)}" if state else ""
        raise ConfigError(f"{what}: no tensors in its weights{there}; save the model's state_dict()")
    return tensors


def named(state: Mapping[str, torch.Tensor], layout: Layout, what: str) -> Weights:
    """Tensors under the architecture's names: old names made new, a prefix that all of the encoder has taken off."""
    renamed = {_modern(name): value for name, value in state.items()}
    if twice := [name for name in state if name != _modern(name) and _modern(name) in state]:
        raise ConfigError(f"{what}: its weights have both {twice[0]} and {_modern(twice[0])}; leave one of them out")
    prefixes = sorted(name.removesuffix(layout.words) for name in renamed if name.endswith(layout.words))
    if len(prefixes) != 1:
        seen = f"several encoders, {_some(prefixes)}" if prefixes else f"names like {_some(renamed)}"
        raise ConfigError(
            f"{what}: its weights have {seen}; they must hold one encoder, whose names end like …{layout.words}"
        )
    (prefix,) = prefixes
    inner, outer = layout.base, prefix.removesuffix(layout.base)
    beyond = {name for name in (*layout.pooler, *layout.head) if not name.startswith(inner)}
    modules = {_module(name, inner) for name in (*layout.encoder, *layout.pooler) if name.startswith(inner)}
    ours = {name: name.removeprefix(outer) for name in renamed if name.startswith(outer)}
    ours = {name: new for name, new in ours.items() if new in beyond}
    inside = (name for name in renamed if name.startswith(prefix) and _module(name, prefix) in modules)
    ours |= {name: inner + name.removeprefix(prefix) for name in inside}
    buffers = {prefix + name for name in layout.buffers}
    tensors = {new: renamed[name] for name, new in ours.items() if name not in buffers}
    head = {name: tensors.pop(name) for name in layout.head if name in tensors}
    whole = head if len(head) == len(layout.head) else {}
    unused = {name for name in renamed if ours.get(name) not in {*tensors, *whole}} - buffers
    return Weights(tensors, whole, prefix, sorted(unused))


def _module(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).partition(".")[0]


def _modern(name: str) -> str:
    old = next((old for old in OLD_NAMES if name.endswith(old)), None)
    return name if old is None else name.removesuffix(old) + OLD_NAMES[old]


def check_fit(tensors: Mapping[str, torch.Tensor], layout: Layout, what: str) -> None:
    """Refuse weights that are not all there, but perhaps the pooler, of another shape, in excess, or not finite."""
    shapes = layout.encoder | layout.pooler
    told = {name: name.removeprefix(layout.base) for name in (*shapes, *tensors)}
    if extra := [told[name] for name in tensors if name not in shapes]:
        raise ConfigError(
            f"{what}: config.json has no place for {len(extra)} of its tensors, such as {_some(extra)}; "
            "give the config.json that belongs to these weights (adapters must be merged into them first)"
        )
    may_lack = () if tensors.keys() & layout.pooler.keys() else layout.pooler
    if absent := [name for name in shapes if name not in tensors and name not in may_lack]:
        raise ConfigError(
            f"{what}: {len(absent)} of its {len(shapes)} tensors are missing, such as "
            f"{_some(told[name] for name in absent)}; they would be random: give a whole checkpoint, or a config.json "
            "that fits it"
        )
    for name, value in tensors.items():
        if tuple(value.shape) != shapes[name]:
            raise ConfigError(
                f"{what}: {told[name]} has the shape {_shape(value.shape)}, config.json asks for "
                f"{_shape(shapes[name])}; give the config.json that belongs to these weights"
            )
    check_finite({told[name]: value for name, value in tensors.items()}, what)


def first_layers_of(weights: Weights, layout: Layout) -> Weights:
    """Of a whole checkpoint's weights those that the layout of its first layers has; they keep their names."""
    tensors = {name: value for name, value in weights.tensors.items() if name in {**layout.encoder, **layout.pooler}}
    check_fit(tensors, layout, "the first layers of a checkpoint")
    return replace(weights, tensors=tensors)


def check_finite(tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse tensors with values that are no numbers in float32."""
    import torch

    for name, value in tensors.items():
        if not torch.isfinite(value.float()).all():
            raise ConfigError(
                f"{what}: {name} holds NaN, or values that are infinite in float32; give another checkpoint"
            )


def _shape(shape: Iterable[int]) -> str:
    return " × ".join(map(str, shape))


def _some(names: Iterable[object]) -> str:
    """The first few names, and that there are more."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:SHOWN]) + (" …" if len(listed) > SHOWN else "")
