"""Export and latency: ONNX Runtime predicts what the artifact does, int8 is stored as int8, and time is measured."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from compress import experiment, export, latency
from compress.artifact import qdq
from compress.config import identity
from compress.errors import ConfigError, one_line
from compress.methods.layers import fake_quantize
from compress.model.structure import INPUTS, takes
from compress.runs import result
from compress.runs.environment import cpu_flags
from compress.storage.files import write_json
from tests import families
from tests.conftest import Compose

EXACT = {"avx_vnni", "avx512_vnni", "amx_int8", "i8mm"}  # instructions whose int8 products do not saturate
DEMO = ("model=demo/mini", "data=demo", "train=demo", "train.max_steps=60", "device=cpu")
CASES = {
    "float": ("task=rte",),
    "int8": ("task=rte", "quantize=int8"),
    "int8, pruned": ("task=rte", "quantize=int8", "prune=magnitude"),
    "weights only": ("task=rte", "quantize=int8", "quantize.activations=false"),
    "no embeddings": ("task=rte", "quantize=int8", "quantize.embeddings=false"),
    "regression": ("task=stsb", "quantize=int8"),
    "two dev sets": ("task=mnli", "quantize=int8"),
}


def finished(compose: Compose, *words: str) -> Path:
    config = compose(*DEMO, *words)
    experiment.run(config)
    return identity.run_folder(config)


@pytest.mark.parametrize("case", CASES)
def test_onnx_runtime_predicts_what_the_artifact_does(
    compose: Compose, case: str, capsys: pytest.CaptureFixture
) -> None:
    words = CASES[case]
    folder = finished(compose, *words)
    (folder / ".onnx-0123abcd").mkdir()  # of one that was killed
    assert export.main([str(folder), "--format", "onnx"]) == 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".") or path.name.endswith(".lock")]
    assert "of the dev set" in capsys.readouterr().out
    about, document = json.loads((folder / "onnx" / "export.json").read_text()), result.read(folder, folder.name)
    assert document is not None
    assert about["agreement"] >= export.ENOUGH
    assert about["metrics"] == pytest.approx(document.metrics, abs=0.01)
    graph = onnx.load(str(folder / "onnx" / "model.onnx")).graph
    assert about["onnx_bytes"] == (folder / "onnx" / "model.onnx").stat().st_size
    for value in graph.input:
        assert all(dimension.dim_param for dimension in value.type.tensor_type.shape.dim)
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    big = {tensor.name for tensor in graph.initializer if np.prod(tensor.dims) > 1000}
    int8 = {name for name in big if kinds[name] == onnx.TensorProto.INT8}
    floats = big - int8
    if case == "float":
        assert not int8
    elif case == "no embeddings":
        assert floats == {name for name in big if "embeddings" in name}
        assert floats
    else:
        assert not floats
    products = [node.op_type for node in graph.node]
    assert ("QuantizeLinear" in products) == (case not in ("float", "weights only"))


@pytest.mark.parametrize("methods", [(), ("quantize=int8",)], ids=["pruned", "int8, pruned"])
def test_openvino_predicts_what_the_artifact_does(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, methods: tuple[str, ...]
) -> None:
    folder = finished(compose, "task=rte", "prune=magnitude", *methods)
    code, said = export.main([str(folder), "--format", "openvino"]), capsys.readouterr()
    if methods and code == 1 and not EXACT & set(cpu_flags()):
        assert "int8 products saturate in OpenVINO, not with --format onnx" in said.err
        assert not (folder / "openvino").exists()
        return
    assert code == 0
    assert "openvino/openvino_model.xml: " in said.out
    about, document = json.loads((folder / "openvino" / "export.json").read_text()), result.read(folder, folder.name)
    assert document is not None
    assert about["agreement"] >= export.ENOUGH
    assert about["metrics"] == pytest.approx(document.metrics, abs=0.01)
    sizes = [(folder / "openvino" / f"openvino_model.{suffix}").stat().st_size for suffix in ("xml", "bin")]
    assert about["openvino_bytes"] == sum(sizes)
    assert (sizes[1] < 0.5 * 4 * document.size.parameters) == bool(methods)  # int8 stays int8
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert export.main([str(folder), "--format", "openvino"]) == 2
    told = capsys.readouterr().err
    assert told == (
        "error: --format openvino: the package openvino is not installed; in the project's folder: "
        "pip install -e '.[openvino]', or take --format onnx\n"
    )


def test_an_export_that_is_another_model_is_refused_and_not_kept(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder, write = finished(compose, "task=rte", "train.max_steps=150"), qdq.to_onnx

    def other(model: torch.nn.Module, path: Path) -> None:
        with torch.no_grad():
            model.get_parameter("classifier.weight").mul_(-1)  # of the copy that is written, not of the one compared
            model.get_parameter("classifier.bias").mul_(-1)
        write(model, path)  # type: ignore[arg-type]
        with torch.no_grad():
            model.get_parameter("classifier.weight").mul_(-1)
            model.get_parameter("classifier.bias").mul_(-1)

    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr(qdq, "to_onnx", other)
    assert export.main([str(folder)]) == 1
    assert "agrees with the artifact on 0.00% of the dev set only" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_folder_without_a_finished_experiment_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert export.main([str(tmp_path)]) == latency.main([str(tmp_path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [f"error: {tmp_path}: no finished experiment; give a run folder, runs/…/<run_id>"] * 2


def test_without_its_data_an_export_is_written_only_if_it_need_not_be_checked(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = finished(compose, "task=rte")
    document = json.loads((folder / "result.json").read_text())
    document["config"]["data"] |= {"source": "glue", "path": str(tmp_path / "gone")}
    write_json(folder / "result.json", document)
    assert export.main([str(folder)]) == 2
    assert f"error: data.path={tmp_path / 'gone'}: needs rte/train.parquet" in capsys.readouterr().err
    assert not (folder / "onnx").exists()
    assert export.main([str(folder), "--no-check"]) == 0
    assert "not checked" in capsys.readouterr().out


def test_latencies_are_measured_in_turns_and_left_in_the_run_folders(
    compose: Compose, capsys: pytest.CaptureFixture
) -> None:
    folders = [finished(compose, "task=rte", "model.positions=128", word) for word in ("seed=0", "quantize=int8")]
    allowed = os.sched_getaffinity(0)
    assert latency.main([*map(str, folders), "--rounds", "5", "--threads", "1"]) == 0
    assert os.sched_getaffinity(0) == allowed
    shown = "\n".join(line for line in capsys.readouterr().out.splitlines() if "thread(s)" not in line)
    assert shown.count("float32") == 2
    assert shown.count("int8") == 1
    for folder, precisions in zip(folders, (["float32"], ["float32", "int8"]), strict=True):
        document = json.loads((folder / "latency.json").read_text())
        assert document["run_id"] == folder.name
        assert (document["threads"], len(document["cores"])) == (1, 1)
        assert {"cpu", "cpu_flags", "onnxruntime"} <= document["environment"].keys()
        cells = {(cell["batch"], cell["length"], cell["precision"]): cell for cell in document["cells"]}
        assert set(cells) == {(*shape, precision) for shape in latency.SHAPES for precision in precisions}
        for cell in cells.values():
            low, high = cell["quartiles_ms"]
            assert 0 < low <= cell["median_ms"] <= high
            assert cell["rounds"] == 5
        assert cells[32, 128, "float32"]["median_ms"] > 4 * cells[1, 128, "float32"]["median_ms"]


def test_a_float_twin_is_the_same_model(compose: Compose, tmp_path: Path) -> None:
    """What int8 is compared with differs from it in precision alone."""
    from compress.artifact import store

    folder = finished(compose, "task=rte", "quantize=int8", "quantize.activations=false")
    model = store.load(folder / "artifact")
    qdq.to_onnx(model, tmp_path / "float.onnx", as_float=True)
    kinds = {tensor.data_type for tensor in onnx.load(str(tmp_path / "float.onnx")).graph.initializer}
    assert onnx.TensorProto.INT8 not in kinds
    ids = np.random.default_rng(0).integers(5, 300, (3, 11))
    feed = dict(zip(INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))
    (found,) = qdq.session(tmp_path / "float.onnx").run(None, feed)
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(array) for name, array in feed.items()}).logits
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_artifact_that_is_not_the_one_that_was_scored_is_refused(
    compose: Compose, capsys: pytest.CaptureFixture, file: str
) -> None:
    changed = finished(compose, "task=rte") / "artifact" / file
    content = changed.read_bytes()
    changed.write_bytes(content[:-8] + bytes(byte ^ 1 for byte in content[-8:]))
    folder = changed.parents[1]
    for command in (export.main, latency.main):
        assert command([str(folder)]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert "changed or damaged since it was scored; train it anew: force=true" in told
    changed.write_bytes(content)
    assert export.open_run(folder).artifact_sha256


ONE_LAYER: dict[str, dict[str, Any]] = {
    "distilbert": {"n_layers": 1},
    "modernbert": {"num_hidden_layers": 1, "layer_types": ["sliding_attention"]},
}


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("family", families.CONFIGS)
def test_a_model_of_any_family_is_exported_whole(family: str, precision: str, tmp_path: Path) -> None:
    """At any batch and length, with padding; its inputs are what it takes."""
    torch.manual_seed(0)
    model = families.model(family, **ONE_LAYER.get(family, {"num_hidden_layers": 1}), initializer_range=0.2)
    padding, inputs = model.config.pad_token_id, takes(model)
    if precision == "int8":
        fake_quantize.prepare(model, embeddings=True, momentum=0.5)
        model.train()(torch.arange(5, 105).view(4, 25))
        fake_quantize.finalize(model.eval())
    qdq.to_onnx(model, tmp_path / "model.onnx")
    session = qdq.session(tmp_path / "model.onnx")
    assert tuple(qdq.inputs_of(session)) == inputs
    for batch, length in ((1, 5), (3, 25)):
        ids = torch.randint(5, 105, (batch, length))
        ids[0, length - 2 :] = padding
        feed = {"input_ids": ids, "attention_mask": (ids != padding).long(), "token_type_ids": torch.zeros_like(ids)}
        feed = {name: feed[name] for name in inputs}
        (found,) = session.run(None, {name: tensor.numpy() for name, tensor in feed.items()})
        with torch.inference_mode():
            expected = model(**feed).logits.numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5 if precision == "float32" else 0.05)


def test_what_the_exporter_cannot_take_is_refused_in_one_line(tmp_path: Path) -> None:
    class Choosy(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum().item() > 0 else x

    model = families.model("bert", num_hidden_layers=1)
    dense = model.get_submodule("bert.pooler.dense")
    dense.__class__ = Choosy
    with pytest.raises(
        ConfigError, match=r"^--format onnx: torch .* cannot export bert \(\w+: .*\); use the artifact"
    ) as told:
        qdq.to_onnx(model, tmp_path / "model.onnx")
    assert one_line(str(told.value)) == str(told.value)
    assert not (tmp_path / "model.onnx").exists()
