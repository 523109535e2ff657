"""The compressed model as a folder: written once, and all that scoring, export and users need.

`model.safetensors`, `config.json` (architecture, label names, kinds of layers) and the tokenizer's files. Nothing in it
is ever unpickled. The weight file holds the model's state by name, float32, but for the layers that `stored_layers` of
config.json lists with their kinds, outermost first (see `compress.artifact.kinds`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError
from compress.storage import atomic
from compress.storage.digests import digest_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compress.artifact.layers.kind import Settings

FORMAT = "2"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
METADATA = {"compress_format": FORMAT, "format": "pt"}
LAYERS = "stored_layers"  # in config.json: name of a layer -> its kinds


class ArtifactError(ConfigError):
    """A folder that is no artifact of ours, or not whole."""


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Write a finished model to `folder`, in place of what is there, whole or not at all; its weight file's bytes."""
    from safetensors.torch import save_file

    tensors, layers = pack(model)
    about = json.loads(model.config.to_json_string()) | ({LAYERS: layers} if layers else {})
    with atomic.new_folder(folder) as scratch:
        (scratch / CONFIG).write_text(json.dumps(about, indent=2) + "\n")
        try:
            save_file(tensors, scratch / WEIGHTS, metadata=METADATA)
        except RuntimeError as error:  # over several lines
            raise ArtifactError(f"{folder}: two layers share a tensor: the model is not finished") from error
        _order_metadata(scratch / WEIGHTS)
        tokenizer.save_pretrained(scratch)
        mode = (scratch / CONFIG).stat().st_mode & 0o777  # as the umask has it; libraries have modes of their own
        for file in scratch.iterdir():
            file.chmod(mode)
    return (folder / WEIGHTS).stat().st_size


def pack(model: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, list[Settings]]]:
    """What the weight file holds of a finished model, and the kinds of those of its layers that are not dense."""
    from compress.artifact import kinds

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    layers: dict[str, list[Settings]] = {}
    for name, module in reversed(list(model.named_modules())):  # what is within a layer first
        if kinds_of := kinds.of(module):
            layers[name] = [{"kind": kind.name, **kind.settings(module)} for kind in kinds_of]
            tensors: Mapping[str, torch.Tensor] = _take(state, name)
            for kind in reversed(kinds_of):
                tensors = kind.pack(tensors)
            state |= {f"{name}.{key}": value for key, value in tensors.items()}
    return state, dict(reversed(layers.items()))


def _take(state: dict[str, torch.Tensor], layer: str) -> dict[str, torch.Tensor]:
    """Remove a layer's tensors from a state; their names in the layer, and they."""
    names = [name for name in state if name.startswith(f"{layer}.")]
    return {name.removeprefix(f"{layer}."): state.pop(name) for name in names}


def digest(folder: Path) -> str:
    """SHA-256 over all files of an artifact."""
    return digest_files([file for file in folder.iterdir() if file.is_file()])


def check(folder: Path, promised: str | None) -> None:
    """Refuse an artifact that is not the one of a result, by the `artifact_sha256` there; old results have none."""
    if promised is not None and digest(folder) != promised:
        raise ArtifactError(f"{folder}: changed or damaged since it was scored; train it anew: force=true")


def _order_metadata(file: Path) -> None:
    """Put the metadata, which safetensors writes in any order, in order of its keys: same model, same bytes."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()  # as safetensors writes it
        assert len(ordered) <= length, "the order of keys cannot make a header longer"
        stream.seek(8)
        stream.write(ordered.ljust(length))


def load(folder: Path) -> PreTrainedModel:
    """The model in a folder of ours, float32 on the CPU, ready to predict; no random numbers are drawn."""
    from safetensors import SafetensorError, safe_open
    from transformers import CONFIG_MAPPING

    from compress.model import encoder

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            version = (file.metadata() or {}).get("compress_format")
            # cloned to where torch would put them: how a product rounds depends on where its numbers lie
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
        about = json.loads((folder / CONFIG).read_text())
        layers: dict[str, list[Settings]] = about.pop(LAYERS, {}) if version == FORMAT else _layers_of_format_1(weights)
        config = CONFIG_MAPPING[about["model_type"]].from_dict(about)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder}: not a whole artifact ({error})") from error
    if version not in (FORMAT, "1"):
        raise ArtifactError(f"{folder}: artifact format {version}; this version reads 1 and {FORMAT}")
    model = encoder.empty(config)
    try:
        wrong = model.load_state_dict(_unpack(model, weights, layers), strict=False, assign=True)
    except (ValueError, RuntimeError, AttributeError) as error:
        raise ArtifactError(f"{folder}: weights do not fit {CONFIG} ({str(error).splitlines()[-1].strip()})") from error
    for what, names in (("missing", wrong.missing_keys), ("not expected", wrong.unexpected_keys)):
        if names:
            raise ArtifactError(f"{folder}: weights do not fit {CONFIG} ({len(names)} {what}, such as {names[0]})")
    return model.eval()


def _unpack(
    model: torch.nn.Module, state: dict[str, torch.Tensor], layers: Mapping[str, list[Settings]]
) -> dict[str, torch.Tensor]:
    """The state that was packed, exactly, or a ValueError; the model gets the layers that it is of."""
    from compress.artifact import kinds

    for name, stored in layers.items():
        try:
            kinds_of = [(kinds.named(str(settings["kind"])), settings) for settings in stored]
            layer, tensors = model.get_submodule(name), _take(state, name)
            packed: Mapping[str, torch.Tensor] = tensors
            for kind, settings in kinds_of:
                packed = kind.unpack(packed, layer, settings)
            for kind, settings in reversed(kinds_of):
                layer = kind.build(layer, packed, settings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name}: {error}") from error
        model.set_submodule(name, layer)
        state |= {f"{name}.{key}": value for key, value in packed.items()}
    return state


def _layers_of_format_1(weights: Mapping[str, torch.Tensor]) -> dict[str, list[Settings]]:
    """The kinds of layers, which format 1 shows by the names of their tensors."""
    layers: dict[str, list[Settings]] = {}
    for ending, kind in ((".weight.mask", "masked"), (".weight_scale", "int8")):
        for name in (name.removesuffix(ending) for name in weights if name.endswith(ending)):
            layers.setdefault(name, []).append({"kind": kind})
    return layers
