"""Weights of four bits in groups: arithmetic, packing, bytes, and what ONNX Runtime makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from compress import experiment, export, latency
from compress.artifact import kinds, plain, qdq, size, store
from compress.artifact.layers import int4, nibbles, quantized
from compress.artifact.layers.kind import MASK
from compress.artifact.store import ArtifactError
from compress.config import identity
from compress.data import demo
from compress.errors import ConfigError, one_line
from compress.methods.layers import fake_quantize
from tests.conftest import Compose
from tests.test_train import small_model
from tests.weight_files import predicted_bytes

DEMO = ("model=demo/mini", "data=demo", "train=demo", "task=rte", "train.max_steps=30", "device=cpu")
QUERY = "bert.encoder.layer.0.attention.self.query"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@given(st.integers(0, 2**31), st.floats(-37, 37), st.integers(1, 40), st.integers(2, 20))
@settings(deadline=None)
def test_a_group_is_rounded_to_15_levels_of_its_own(seed: int, exponent: float, columns: int, group: int) -> None:
    """As plain arithmetic has it, group by group, at any magnitude; a row's last group may be shorter."""
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.randn(3, columns, generator=generator, dtype=torch.float64).clamp(-3, 3) / 3 * 10**exponent).float()
    grid = int4.grid(group)
    scales = grid.scales(weight)
    integers = grid.integers(weight, scales)
    assert scales.shape == (3, -(-columns // group))
    assert scales.dtype == torch.bfloat16
    for number, part in enumerate(weight.split(group, dim=1)):
        largest = part.abs().amax(1)
        exact = torch.where(largest / 7 < torch.finfo(torch.float32).tiny, 1.0, largest / 7)
        scale = scales[:, number].float()
        assert ((scale - exact).abs() <= exact * 2**-8).all()
        found = integers[:, number * group :][:, :group]
        assert found.abs().max() <= 7
        assert torch.equal(found.float(), (part / scale[:, None]).round())
        reached = found.abs().amax(1)
        assert torch.equal(reached, torch.where(largest / 7 < torch.finfo(torch.float32).tiny, 0, 7).to(torch.int8))
    assert torch.equal(grid.numbers(integers, scales), grid.round(weight))


@given(st.lists(st.integers(-7, 7), max_size=33))
def test_two_stand_in_a_byte_and_come_back(numbers: list[int]) -> None:
    integers = torch.tensor(numbers, dtype=torch.int8)
    packed = nibbles.pack(integers)
    assert packed.dtype == torch.uint8
    assert packed.tolist() == [
        (low & 15) | (high & 15) << 4 for low, high in zip(numbers[::2], [*numbers[1::2], -8], strict=False)
    ]
    assert torch.equal(nibbles.unpack(packed), integers)


def compressed(group: int = 8, masked: bool = False) -> Any:
    """A small BERT of four bits."""
    model = small_model(outputs=3).eval()
    if masked:
        for layer in plain.matrices(model).values():
            layer.register_buffer(MASK, torch.rand_like(layer.weight) > 0.6)
            layer.weight.data.mul_(layer.get_buffer(MASK))
    fake_quantize.prepare(model, embeddings=True, momentum=0.05, grid=int4.grid(group))
    model.train()(torch.randint(5, 30, (4, 9)))
    fake_quantize.finalize(model)
    return model.eval()


@pytest.mark.parametrize("group", [5, 8, 64])
@pytest.mark.parametrize("masked", [False, True])
def test_a_file_holds_half_a_byte_a_weight_and_two_a_group(group: int, masked: bool, tmp_path: Path) -> None:
    """Of odd numbers of survivors too; the study's bytes are half of one for each."""
    model = compressed(group, masked)
    assert store.save(tmp_path / "artifact", model, demo.build_tokenizer()) == predicted_bytes(model)
    held, loaded = load_file(tmp_path / "artifact" / store.WEIGHTS), store.load(tmp_path / "artifact")
    odd = 0
    for name, layer in quantized.layers(loaded).items():
        assert layer.grid == int4.grid(group)
        ours = model.get_submodule(name)
        assert torch.equal(layer.weight, ours.weight)
        assert torch.equal(layer.weight_scale, ours.weight_scale)
        rows, columns = layer.weight.shape
        has_mask = MASK in layer._buffers
        survivors = int(layer.get_buffer(MASK).count_nonzero()) if has_mask else rows * columns
        odd += survivors % 2
        packed = held[f"{name}.weight" + ".values" * has_mask]
        assert (packed.dtype, packed.numel()) == (torch.uint8, -(-survivors // 2))
        assert held[f"{name}.weight_scale"].nbytes == 2 * rows * -(-columns // group)
    assert bool(odd) == masked
    counted = size.sizes(loaded, 1)
    assert all(part.nominal_bytes == -(-part.nonzero // 2) for part in counted.by_part.values())
    ids = torch.randint(5, 30, (8, 9))
    with torch.inference_mode():
        assert torch.equal(loaded(ids).logits, model(ids).logits)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (f"{QUERY}.weight", torch.zeros(127, dtype=torch.uint8), "254 integers of four bits for [16, 16]"),
        (f"{QUERY}.weight", torch.full((128,), 0x78, dtype=torch.uint8), "integers of four bits that are -8"),
        (f"{QUERY}.weight", torch.zeros(16, 16, dtype=torch.int8), "torch.int8 [16, 16] holds no nibbles"),
        (f"{QUERY}.weight_scale", torch.ones(16, 1, dtype=torch.bfloat16), "no int4 weight [16, 16], each 8 of a row"),
        (f"{QUERY}.weight_scale", torch.ones(16, 2), "no int4 weight"),
    ],
)
def test_other_tensors_are_refused_in_a_line(name: str, value: torch.Tensor, told: str, tmp_path: Path) -> None:
    store.save(tmp_path / "artifact", compressed(), demo.build_tokenizer())
    file = tmp_path / "artifact" / store.WEIGHTS
    save_file(load_file(file) | {name: value}, file, metadata=store.METADATA)
    with pytest.raises(ArtifactError, match=re.escape(told)) as caught:
        store.load(tmp_path / "artifact")
    assert "\n" not in str(caught.value)


def test_onnx_runtime_takes_four_bits_as_they_are(tmp_path: Path) -> None:
    """Of pruned weights, and of rows shorter than a group, too; no product with numbers that were unpacked before."""
    model = compressed(group=32, masked=True)
    qdq.to_onnx(model, tmp_path / "model.onnx")
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    named = [node.op_type for node in graph.node]
    layers = quantized.layers(model).values()
    linears = sum(isinstance(layer, quantized.QuantizedLinear) for layer in layers)
    assert named.count("MatMulNBits") == linears
    assert named.count("GatherBlockQuantized") == len(layers) - linears
    assert {item.data_type for item in graph.initializer if len(item.dims) == 3} == {onnx.TensorProto.UINT8}
    ids = torch.randint(5, 30, (8, 9))
    feed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    (logits,) = qdq.session(tmp_path / "model.onnx", threads=1).run(None, {k: v.numpy() for k, v in feed.items()})
    with torch.inference_mode():
        expected = model(**feed).logits
    assert np.abs(logits - expected.numpy()).max() < 0.02 * expected.abs().max()


def test_an_embedding_of_odd_width_is_exported_whole(tmp_path: Path) -> None:
    grid, weight = int4.grid(16), torch.randn(9, 37)
    scales = grid.scales(weight)
    layer = quantized.QuantizedEmbedding(grid, grid.integers(weight, scales), scales)
    model, ids = nn.Sequential(int4.KIND.onnx(layer, as_float=False)).eval(), torch.arange(6).view(2, 3)
    torch.onnx.export(model, (ids,), str(tmp_path / "model.onnx"), dynamo=True, verbose=False, input_names=["ids"])
    (found,) = qdq.session(tmp_path / "model.onnx").run(None, {"ids": ids.numpy()})
    assert torch.equal(torch.from_numpy(found), layer(ids))


@pytest.mark.parametrize("group", [8, 48])
def test_groups_that_onnx_runtime_has_not_are_refused_in_a_line(group: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^--format onnx: weights of 4 bits in groups of {group}: .*=64$") as told:
        qdq.to_onnx(compressed(group), tmp_path / "model.onnx")
    assert one_line(str(told.value)) == str(told.value)
    assert not (tmp_path / "model.onnx").exists()


def test_a_run_is_exported_checked_and_timed(compose: Compose, capsys: pytest.CaptureFixture) -> None:
    config = compose(*DEMO, "quantize=int4", "quantize.activations=false", "model.positions=32")
    document = experiment.run(config)
    folder = identity.run_folder(config)
    stored = store.load(folder / "artifact")
    assert kinds.bits(stored) == 4
    assert document.metrics == document.metrics_training
    assert not any(hasattr(layer, "input_scale") and layer.input_scale is not None for layer in stored.modules())
    assert export.main([str(folder)]) == 0
    assert latency.main([str(folder), "--rounds", "3", "--seconds", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert (shown.count("float32"), shown.count("int4")) == (1, 1)
