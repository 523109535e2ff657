"""Published folders load without this package and answer what the stored model does; their card tells the truth."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from compress import experiment, export, model_card, publish
from compress.artifact import kinds, published, store
from compress.artifact.layers.int8 import Int8
from compress.config import identity
from compress.data import demo
from compress.runs import result
from tests import families
from tests.conftest import Compose

DEMO = ("model=demo/tiny", "data=demo", "train=demo", "train.max_steps=20", "device=cpu")
ALONE = "import sys; sys.modules['compress'] = None; exec(compile(sys.stdin.read(), 'card', 'exec')); "
ALONE += "import json; print(json.dumps([logits.tolist(), [m for m in sys.modules if m.startswith('compress.')]]))"


def finished(compose: Compose, *words: str) -> Path:
    config = compose(*DEMO, *words)
    experiment.run(config)
    return identity.run_folder(config)


def answered(card: str, folder: Path) -> Any:
    """The logits of a card's lines, run in a process where this package cannot be imported."""
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], input=_code(card), cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    logits, ours = json.loads(ran.stdout.splitlines()[-1])
    assert ours == []
    return np.array(logits)


def expected(run: Path, pair: bool) -> Any:
    model, tokenizer = store.load(run / "artifact"), AutoTokenizer.from_pretrained(run / "artifact")
    texts = publish._example(1 + pair)[0]
    with torch.inference_mode():
        return model(**tokenizer(*[[text] for text in texts], return_tensors="pt")).logits.numpy()


CASES = {
    "pruned": (("task=rte", "prune=magnitude"), "model.safetensors", "safetensors"),
    "all ways": (
        ("task=rte", "quantize=int8", "prune=magnitude", "factorize=svd"),
        published.COMPRESSED,
        "safetensors",
    ),
    "two of four": (("task=rte", "prune=two_four", "prune.sparsity=0.5"), "model.safetensors", "safetensors"),
    "structured": (("task=rte", "prune=structured", "quantize=int8"), published.COMPRESSED, "safetensors"),
    "four bits": (("task=rte", "quantize=int4", "quantize.group_size=24"), published.COMPRESSED, "safetensors"),
    "onnx": (("task=stsb", "quantize=int8"), "model.onnx", "onnx"),
    "openvino": (("task=stsb", "quantize=int8"), "openvino_model.xml", "openvino"),
}  # fmt: skip
ALONE_TOO = ("pruned", "structured")  # in a process of their own, which takes seconds; the others' lines here


@pytest.mark.parametrize("case", CASES)
def test_a_folder_answers_without_this_package(compose: Compose, case: str, tmp_path: Path, capsys: Any) -> None:
    words, file, form = CASES[case]
    run, out = finished(compose, *words), tmp_path / "out"
    assert publish.main([str(run), "--out", str(out), "--format", form, "--license", "mit", "--name", "my/model"]) == 0
    assert f"{out}: {file} " in capsys.readouterr().out
    text, document = (out / "README.md").read_text(), result.read(run, run.name)
    assert document is not None
    logits = answered(text, out) if case in ALONE_TOO else published.answers(_code(text), out)
    np.testing.assert_allclose(logits, expected(run, pair=True), rtol=1e-4 if form == "safetensors" else 0.02)
    card = ModelCard.load(out / "README.md")
    assert (card.data.license, card.data.model_name) == ("mit", "my/model")
    found = {score.metric_name: score.metric_value for score in card.data.eval_results}
    assert found == {
        name: pytest.approx(value, abs=1e-4) for name, value in document.metrics.items() if value is not None
    }
    sizes = sum(part.stat().st_size for part in out.glob(f"{Path(file).stem}.*"))
    assert f"| `{file}` here | {sizes:,} |" in text
    assert f"| the weight file that was scored | {document.size.artifact_bytes:,} |" in text
    assert {entry.stat().st_mode & 0o777 for entry in out.iterdir()} == {(run / "result.json").stat().st_mode & 0o777}
    assert str(tmp_path) not in text
    if file == "model.safetensors":
        plain = AutoModelForSequenceClassification.from_pretrained(out)
        weight = next(value for name, value in plain.named_parameters() if name.endswith("query.weight"))
        assert float((weight == 0).float().mean()) == pytest.approx(document.sparsity, abs=0.01)
    if file == published.COMPRESSED:
        most = 2.0 if "quantize=int4" in words else 1.3  # four bits are stored as int8, which torch has
        assert (out / file).stat().st_size < most * document.size.artifact_bytes
        with pytest.raises(OSError, match=r"model\.safetensors"):  # never taken for float weights
            AutoModelForSequenceClassification.from_pretrained(out)


def test_layers_of_other_shapes_load_by_the_file_alone(tmp_path: Path) -> None:
    """One head less in one block, another width of feed-forward layers in the other."""
    torch.manual_seed(0)
    model = families.model("bert", initializer_range=0.2).eval()
    layers = model.bert.encoder.layer  # type: ignore[union-attr]
    attention, head = layers[0].attention, layers[0].attention.self.attention_head_size
    for name in ("query", "key", "value"):
        attention.self.set_submodule(name, narrow(attention.self.get_submodule(name), rows=head))
    attention.output.dense = narrow(attention.output.dense, columns=head)
    layers[1].intermediate.dense = narrow(layers[1].intermediate.dense, rows=20)
    layers[1].output.dense = narrow(layers[1].output.dense, columns=20)
    made = published.write(tmp_path, model, demo.build_tokenizer())
    assert made.file == published.COMPRESSED
    scope: dict[str, Any] = {}
    code = made.snippet.partition("tokenizer =")[0].replace('folder = "."', f"folder = {str(tmp_path)!r}")
    exec(compile(code, "snippet", "exec"), scope)
    ids = torch.randint(5, 100, (3, 9))
    with torch.inference_mode():
        torch.testing.assert_close(scope["model"](ids).logits, model(ids).logits, rtol=1e-4, atol=1e-6)


def narrow(layer: torch.nn.Linear, rows: int | None = None, columns: int | None = None) -> torch.nn.Linear:
    """The first rows and columns of a layer."""
    weight, bias = layer.weight[:rows, :columns].detach(), layer.bias[:rows].detach()
    cut = torch.nn.Linear(weight.shape[1], weight.shape[0])
    cut.weight, cut.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
    return cut


def test_the_cards_command_makes_the_very_run(compose: Compose) -> None:
    run = finished(compose, "task=rte", "prune=magnitude", "prune.sparsity=0.7", "seed=3", "train.max_steps=2")
    document = result.read(run, run.name)
    assert document is not None
    words = model_card.command(document).removeprefix("python -m compress ").split()
    assert identity.run_id(compose(*words)) == run.name


def test_what_comes_from_the_hub_is_linked(compose: Compose) -> None:
    run = finished(compose, "task=rte", "train.max_steps=2")
    document = json.loads((run / "result.json").read_text())
    document["config"]["data"] |= {"source": "glue", "hub": "nyu-mll/glue", "revision": "abc", "path": None}
    document["config"]["model"]["pretrained"] = "google/bert_uncased_L-2_H-128_A-2"
    document["start"] = {"checkpoint": "google/bert_uncased_L-2_H-128_A-2", "commit": "30b0a37"}
    folder = model_card.Folder("safetensors", "model.safetensors", 1000, "", [], 0.0, 16)
    card = ModelCard(model_card.card(result.from_document(document), folder, "a/b", None))
    data: Any = card.data
    assert (data.base_model, data.datasets) == ("google/bert_uncased_L-2_H-128_A-2", ["nyu-mll/glue"])
    assert (data.language, data.license) == ("en", None)
    score = data.eval_results[0]
    assert (score.dataset_type, score.dataset_config, score.dataset_split) == ("nyu-mll/glue", "rte", "validation")
    assert (score.dataset_revision, score.dataset_name) == ("abc", "GLUE rte")
    assert "python -m compress model=tiny " in card.text
    document["config"]["model"]["pretrained"] = document["start"]["checkpoint"] = "somebody/tiny"
    told = model_card.command(result.from_document(document))
    assert told.startswith("python -m compress model=pretrained model.pretrained=somebody/tiny model.name=tiny ")
    assert "(commit 30b0a37)" in card.text


def test_layers_that_only_their_package_can_load_are_published_as_floats(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, out = finished(compose, "task=sst2", "quantize=int8", "quantize.activations=false"), tmp_path / "out"
    monkeypatch.setattr(Int8, "loading", None)
    assert publish.main([str(run), "--out", str(out)]) == 0
    text = (out / "README.md").read_text()
    assert "are stored here as the float32 numbers that they stand for" in text
    assert kinds.registry()["int8"].loading is None
    np.testing.assert_allclose(published.answers(_code(text), out), expected(run, pair=False), rtol=1e-4)


def _code(text: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(code)


def test_what_answers_otherwise_is_not_kept(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    run, out = finished(compose, "task=sst2", "quantize=int8"), tmp_path / "out"
    monkeypatch.setattr(Int8, "loading", Int8.loading.replace("* weights.pop", "* 1.1 * weights.pop"))  # type: ignore[union-attr]
    assert publish.main([str(run), "--out", str(out)]) == 1
    assert "the written model gives other answers" in capsys.readouterr().err
    assert list(tmp_path.glob("*out*")) == []
    monkeypatch.undo()
    (out / "mine").mkdir(parents=True)
    assert publish.main([str(run), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: --out {out}: is there already; remove it, or give another\n"
    assert [entry.name for entry in out.iterdir()] == ["mine"]
    assert publish.main([str(tmp_path), "--out", str(out)]) == 2
    assert export.open_run(run).run_id == run.name
