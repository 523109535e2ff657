"""Kinds of stored layers, alone, on one layer and in each other: they come back bit for bit and are counted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from compress.artifact import kinds, plain, qdq, size, store
from compress.artifact.layers.factorized import FactorizedLinear
from compress.artifact.layers.kind import MASK, Kind, Settings, Tensors
from compress.artifact.layers.masked import KIND as MASKED
from compress.artifact.layers.quantized import QuantizedLinear
from compress.artifact.store import ArtifactError
from compress.data import demo
from compress.errors import ConfigError
from compress.methods.factorize import Factorize, FactorizeConfig
from compress.methods.layers import fake_quantize
from tests.test_train import small_model
from tests.weight_files import predicted_bytes

COMBINATIONS = [
    names for length in range(4) for names in itertools.combinations(("factorized", "masked", "int8"), length)
]
every_combination = pytest.mark.parametrize("names", COMBINATIONS, ids=lambda names: "+".join(names) or "dense")


def compressed(*names: str, rank: float = 0.3) -> Any:
    """A small BERT whose layers are of these kinds, ready to be stored."""
    model = small_model(outputs=3).eval()
    if "factorized" in names:
        Factorize(FactorizeConfig(name="svd", rank=rank)).prepare(model)
    if "masked" in names:
        for layer in plain.matrices(model).values():
            layer.register_buffer(MASK, torch.rand_like(layer.weight) > 0.6)
            layer.weight.data.mul_(layer.get_buffer(MASK))
    if "int8" in names:
        fake_quantize.prepare(model, embeddings=True, momentum=0.05)
        model.train()(torch.randint(5, 30, (4, 9)))
        fake_quantize.finalize(model)
    return model.eval()


def stored(folder: Path, *names: str) -> Path:
    store.save(folder / "artifact", compressed(*names), demo.build_tokenizer())
    return folder / "artifact"


@every_combination
def test_what_is_stored_comes_back_bit_for_bit_and_is_as_large_as_arithmetic_says(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    model = compressed(*names)
    ids = torch.randint(5, 30, (8, 9))
    with torch.inference_mode():
        expected = model(ids).logits
    assert store.save(tmp_path / "artifact", model, demo.build_tokenizer()) == predicted_bytes(model)
    generator = torch.get_rng_state()
    loaded = store.load(tmp_path / "artifact")
    assert torch.equal(torch.get_rng_state(), generator)
    assert not any(module.training for module in loaded.modules())
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours)
    assert [type(module) for module in loaded.modules()] == [type(module) for module in model.modules()]
    with torch.inference_mode():
        assert torch.equal(loaded(ids).logits, expected)
    assert store.pack(loaded)[1] == store.pack(model)[1]


@every_combination
def test_config_json_lists_the_kinds_of_each_layer_outermost_first(names: tuple[str, ...], tmp_path: Path) -> None:
    told = json.loads((stored(tmp_path, *names) / "config.json").read_text()).get(store.LAYERS, {})
    assert {kind["kind"] for layer in told.values() for kind in layer} == set(names)
    query = "bert.encoder.layer.0.attention.self.query"
    inner = [{"kind": name} for name in ("masked", "int8") if name in names]
    if "factorized" in names:
        assert told[query] == [{"kind": "factorized", "rank": 5}]
        assert told.get(f"{query}.first", []) == told.get(f"{query}.second", []) == inner
    else:
        assert told.get(query, []) == inner
    assert told.get("classifier", []) == [{"kind": "int8"}] * ("int8" in names)


@every_combination
def test_numbers_are_counted_by_the_studys_rule(names: tuple[str, ...]) -> None:
    model, whole = compressed(*names), compressed()
    state = {name: value for name, value in model.state_dict().items() if name.endswith(("weight", "bias"))}
    gone = sum(int((~mask).count_nonzero()) for name, mask in model.named_buffers() if name.endswith(MASK))
    counted = size.sizes(model, artifact_bytes=1)
    assert counted.parameters == whole.num_parameters()
    assert {name: part.parameters for name, part in counted.by_part.items()} == {
        name: part.parameters for name, part in size.sizes(whole, 1).by_part.items()
    }
    assert counted.nonzero == sum(value.numel() for value in state.values()) - gone
    assert counted.nominal_bytes == counted.nonzero * (1 if "int8" in names else 4)
    for total in ("parameters", "nonzero", "nominal_bytes"):
        assert getattr(counted, total) == sum(getattr(part, total) for part in counted.by_part.values())
    assert (counted.nonzero < counted.parameters) == bool({"factorized", "masked"} & set(names))


def test_a_float_matrix_beside_int8_ones_counts_four_bytes_a_number_and_so_does_layernorm_there() -> None:
    model = compressed("int8")
    before = size.sizes(model, 1)
    layer = model.get_submodule("bert.encoder.layer.1.intermediate.dense")
    model.set_submodule("bert.encoder.layer.1.intermediate.dense", nn.Linear(16, 32))
    assert isinstance(layer, QuantizedLinear)
    assert size.sizes(model, 1).nominal_bytes - before.nominal_bytes == 3 * (16 * 32 + 32 + 4 * 2 * 16)


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_packing_is_undone_exactly(positions: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(positions, 3, generator=generator) > 0.5
    weight = torch.randn(positions, 3, generator=generator) * mask
    tensors = {"weight": weight, MASK: mask, "bias": torch.ones(positions)}
    packed = MASKED.pack(tensors)
    assert set(packed) == {"weight.values", "weight.mask", "bias"}
    unpacked = MASKED.unpack(packed, nn.Linear(3, positions), {})
    assert unpacked.keys() == tensors.keys()
    assert all(torch.equal(unpacked[name], tensors[name]) for name in tensors)


def test_files_of_format_1_are_read(tmp_path: Path) -> None:
    """They name no kinds; which tensors a layer has shows them."""
    folder, model = stored(tmp_path, "masked", "int8"), compressed("masked", "int8")
    file, config = folder / store.WEIGHTS, json.loads((folder / "config.json").read_text())
    layers = config.pop(store.LAYERS)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(load_file(file), file, metadata=store.METADATA | {"compress_format": "1"})
    loaded = store.load(folder)
    assert store.pack(loaded)[1] == layers
    assert loaded.state_dict().keys() == model.state_dict().keys()


def rewrite(folder: Path, layer: str, entry: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config[store.LAYERS][layer] = entry
    (folder / "config.json").write_text(json.dumps(config))


QUERY = "bert.encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(
    ("layer", "entry", "told"),
    [
        (QUERY, [{"kind": "ternary"}], f"{QUERY}: stored as ternary, which no module here reads: install the package"),
        (QUERY, [{"kind": "factorized"}], f"{QUERY}: 'rank'"),
        (QUERY, [{"kind": "factorized", "rank": 4}], ""),
        (QUERY, [{"rank": 5}], f"{QUERY}: 'kind'"),
        (QUERY, [], ""),
        (QUERY, 5, ""),
        ("classifier", [{"kind": "masked"}, {"kind": "int8"}], "classifier: a mask without its weight"),
        (f"{QUERY}.third", [{"kind": "int8"}], f"{QUERY}.third: "),
        ("bert.encoder.layer.0.attention.self", [{"kind": "factorized", "rank": 5}], ""),
    ],
)
def test_kinds_that_do_not_fit_the_file_are_refused_in_a_line(
    tmp_path: Path, layer: str, entry: object, told: str
) -> None:
    folder = stored(tmp_path, "factorized", "masked", "int8")
    rewrite(folder, layer, entry)
    with pytest.raises(ArtifactError) as caught:
        store.load(folder)
    assert str(caught.value).startswith(f"{folder}: weights do not fit config.json ({told}")
    assert "\n" not in str(caught.value)


def test_kinds_that_are_no_list_of_layers_are_refused_in_a_line(tmp_path: Path) -> None:
    folder = stored(tmp_path, "masked")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {store.LAYERS: [QUERY]}))
    with pytest.raises(ArtifactError, match=r"weights do not fit config.json \(.*\)$"):
        store.load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", torch.zeros(3, 15, dtype=torch.int8)),
        ("weight", torch.zeros(3, 16)),
        ("weight_scale", torch.ones(3)),
        ("bias", torch.zeros(4)),
        ("weight", None),
        ("input_scale", None),
    ],
)
def test_an_int8_layer_of_other_tensors_is_refused(tmp_path: Path, name: str, value: torch.Tensor | None) -> None:
    folder = stored(tmp_path, "int8")
    file = folder / store.WEIGHTS
    held = {key: tensor for key, tensor in load_file(file).items() if key != f"classifier.{name}"}
    save_file(held | ({} if value is None else {f"classifier.{name}": value}), file, metadata=store.METADATA)
    with pytest.raises(ArtifactError, match=r"weights do not fit config.json \(.*\)$"):
        store.load(folder)


def test_a_mask_that_does_not_fit_its_survivors_is_refused(tmp_path: Path) -> None:
    folder = stored(tmp_path, "masked")
    file = folder / store.WEIGHTS
    held = load_file(file)
    name = next(name for name in held if name.endswith(".mask"))
    save_file(held | {name: held[name] ^ 1}, file, metadata=store.METADATA)
    with pytest.raises(ArtifactError, match="survivors"):
        store.load(folder)


@every_combination
def test_onnx_runtime_predicts_the_same(names: tuple[str, ...], tmp_path: Path) -> None:
    model = compressed(*names)
    ids = torch.randint(5, 30, (8, 9))
    feed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    with torch.inference_mode():
        expected = model(**feed).logits
    qdq.to_onnx(model, tmp_path / "model.onnx")
    (logits,) = qdq.session(tmp_path / "model.onnx", threads=1).run(None, {k: v.numpy() for k, v in feed.items()})
    assert (torch.from_numpy(logits) - expected).abs().max() < 0.02 * expected.abs().max()
    big = [
        item
        for item in onnx.load(str(tmp_path / "model.onnx")).graph.initializer
        if len(item.dims) == 2 and min(item.dims) > 1
    ]
    assert {item.data_type for item in big} == {onnx.TensorProto.INT8 if "int8" in names else onnx.TensorProto.FLOAT}
    products = [tuple(item.dims) for item in big if tuple(item.dims) in ((16, 5), (5, 16))]
    assert len(products) == 22 * ("factorized" in names)


class Halves(Kind):
    """Weights stored in half precision."""

    name, bits = "halves", 16

    def describes(self, module: nn.Module) -> bool:
        return isinstance(module, Half)

    def pack(self, tensors: Tensors) -> Tensors:
        return {**tensors, "weight": tensors["weight"].half()}

    def unpack(self, packed: Tensors, plain: nn.Module, settings: Settings) -> Tensors:
        return {**packed, "weight": packed["weight"].float()}

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        return Half(len(tensors["weight"][0]), len(tensors["weight"]), bias="bias" in tensors, device="meta")


class Half(nn.Linear):
    """A Linear of another package."""


KIND = Halves()


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of things in this module that a package declares to be kinds."""
    names: list[str] = []

    def entry_points(group: str) -> EntryPoints:
        given = names if group == "combining_compressions.layers" else []
        return EntryPoints(EntryPoint(name=name.lower(), value=f"{__name__}:{name}", group=group) for name in given)

    with monkeypatch.context() as patch:
        patch.setattr(kinds, "entry_points", entry_points)
        kinds.registry.cache_clear()
        yield names
    kinds.registry.cache_clear()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            ["NOTHING"],
            r"^layers stored as nothing: tests\..* cannot be imported \(AttributeError: .*mend or remove",
        ),
        (["KIND", "KIND"], "^layers stored as halves: two packages do it; remove one of them$"),
        (["MASKED"], "^layers stored as masked: two packages"),
    ],
)
def test_a_kind_that_cannot_be_is_told(declared: list[str], values: list[str], told: str) -> None:
    declared += values
    with pytest.raises(ConfigError, match=told):
        kinds.registry()


def test_another_packages_kind_is_stored_inside_ours(declared: list[str], tmp_path: Path) -> None:
    declared.append("KIND")
    model = compressed("factorized", "masked")
    layer = model.get_submodule(QUERY)
    assert isinstance(layer, FactorizedLinear)
    half = Half(16, 5, bias=False)
    half.weight = nn.Parameter(layer.first.weight.detach().half().float())
    half.register_buffer(MASK, layer.first.get_buffer(MASK))
    layer.first = half
    before = size.sizes(model, 1)
    store.save(tmp_path / "artifact", model, demo.build_tokenizer())
    assert load_file(tmp_path / "artifact" / store.WEIGHTS)[f"{QUERY}.first.weight.values"].dtype == torch.float16
    loaded = store.load(tmp_path / "artifact")
    assert torch.equal(loaded.get_submodule(QUERY).first.weight, half.weight)
    assert size.sizes(loaded, 1) == before
    assert before.nominal_bytes == 4 * before.nonzero - 2 * int(half.get_buffer(MASK).count_nonzero())
