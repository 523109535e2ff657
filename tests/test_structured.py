"""Structured pruning: the least heads and columns are cut out of every encoder's matrices, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from compress import experiment
from compress.artifact import size, store
from compress.config import identity
from compress.errors import ConfigError
from compress.methods.factorize import Factorize, FactorizeConfig
from compress.methods.structured import LEFT, MOMENTUM, Structured, StructuredConfig, choose, numbers
from compress.model import encoder, narrowing
from compress.model.narrowing import NARROWED, Narrowed
from compress.model.structure import structure
from tests import families
from tests.conftest import Compose
from tests.test_prune import go_on
from tests.test_train import small_model

DEMO = ("data=demo", "train=demo", "task=rte", "device=cpu")


def recipe(**changes: Any) -> StructuredConfig:
    values: dict[str, Any] = {
        "name": "structured", "sparsity": 0.5, "schedule": "linear", "scope": "layer", "start": 0.1, "end": 0.7,
        "updates": 20,
    }  # fmt: skip
    return StructuredConfig(**{**values, **changes})


def begin(**changes: Any) -> tuple[PreTrainedModel, Structured, torch.optim.Optimizer]:
    """A small BERT before its first step, with an optimizer of strong momentum and decay."""
    model, method = small_model(dropout=0.0), Structured(recipe(**changes))
    method.prepare(model)
    return model, method, torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.5)


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = model.eval()(torch.arange(5, 29).view(3, 8)).logits
    return out


@given(
    st.floats(0.001, 0.999), st.integers(1, 16), st.integers(1, 300), st.integers(1, 5000), st.integers(1, 60),
    st.integers(1, 2),
)  # fmt: skip
@settings(deadline=None)
def test_no_more_than_the_share_goes_and_as_much_of_it_as_leaves_one_of_each(
    share: float, heads: int, columns: int, head: int, column: int, least: int
) -> None:
    heads, columns = max(heads, least), max(columns, least)
    total = heads * head + columns * column
    gone = numbers(share, (heads, columns), (head, column), least)
    assert 0 <= gone[0] <= heads - least
    assert 0 <= gone[1] <= columns - least
    left_over = share * total - gone[0] * head - gone[1] * column
    assert left_over >= -1e-6 * total
    assert left_over < column + 1e-6 * total or gone[1] == columns - least


@given(st.lists(st.lists(st.floats(0, 9, width=32), min_size=1, max_size=6), min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_the_least_go_the_best_of_each_block_stays_and_what_is_gone_stays_gone(
    scores: list[list[float]], data: st.DataObject
) -> None:
    tensors = [torch.tensor(block) for block in scores]
    left = [torch.ones(len(block), dtype=torch.bool) for block in scores]
    before = 0
    for gone in sorted(
        data.draw(st.lists(st.integers(0, sum(map(len, scores)) - len(scores)), min_size=1, max_size=3))
    ):
        now = choose(tensors, left, gone)
        assert sum(int((~each).count_nonzero()) for each in now) == gone >= before
        assert all(each.any() for each in now)
        assert not any((new & ~old).any() for new, old in zip(now, left, strict=True))
        before, left = gone, now


def test_a_units_score_is_the_gradient_of_its_gate() -> None:
    """As if each head and column were multiplied by 1 where it is read."""
    model, method, _ = begin()
    ids = torch.randint(5, 30, (4, 9))
    gates, hooks = [], []
    for pair in method.units:
        for block, axis, left, _ in pair:
            gate = torch.ones(len(left), requires_grad=True)
            wide = axis.columns(block, gate)
            hooks.append(axis.reader(block).register_forward_pre_hook(lambda m, x, wide=wide: (x[0] * wide,)))
            gates.append(gate)
    model(ids).logits.square().mean().backward()
    method.after_backward(model)
    for gate, score in zip(gates, (units.score for pair in method.units for units in pair), strict=True):
        assert gate.grad is not None
        torch.testing.assert_close(score, MOMENTUM * gate.grad.abs(), rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_is_cut_out_was_zero_since_it_went_and_predictions_stay(scope: str) -> None:
    model, method, optimizer = begin(scope=scope)
    counts: list[float] = []
    for step in range(40):
        go_on(model, method, optimizer, range(step, step + 1))
        counts.append(method.metrics()["sparsity"])
        for parameter, factor in zip(method.weights(), method.factors, strict=True):
            assert not parameter[factor == 0].any()
            assert not optimizer.state[parameter]["exp_avg"][factor == 0].any()
    assert counts == sorted(counts)
    assert counts[3] == 0.0
    assert 0.49 < counts[-1] <= 0.5
    before, whole = logits(model), sum(parameter.numel() for parameter in model.parameters())
    heads = [pair[0].left.nonzero()[:, 0].tolist() for pair in method.units]
    method.finalize(model)
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-5)
    assert not [name for name, _ in model.named_buffers() if name.endswith(LEFT)]
    assert sum(parameter.numel() for parameter in model.parameters()) < whole
    assert method.trace(model)
    assert size.sparsity(model) == pytest.approx(counts[-1])
    for name, block_heads in zip(method.names, heads, strict=True):
        block = model.get_submodule(name)
        assert list(narrowing.narrowed(block).heads) == block_heads  # type: ignore[union-attr]
        query = block.get_submodule("attention.self.query")
        assert query.weight.shape == (len(block_heads) * 8, 16)
        if scope == "layer":
            assert len(block_heads) == 1
    vars(block)[NARROWED] = Narrowed((0,), 1, 2, 32)
    assert not method.trace(model)


def test_a_method_that_goes_on_from_a_saved_state_ends_alike() -> None:
    one, other = begin(), begin()
    go_on(*one, range(40))
    go_on(*other, range(17))
    saved = other[0].state_dict(), other[1].state_dict(), other[2].state_dict()
    again = begin()
    again[0].load_state_dict(saved[0])
    again[1].load_state_dict(saved[1])
    again[2].load_state_dict(saved[2])
    go_on(*again, range(17, 40))
    for name, value in one[0].state_dict().items():
        assert torch.equal(again[0].state_dict()[name], value), name


def test_too_much_is_refused_in_a_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^prune.sparsity=0.99: of this model's blocks 0\.\d+ can be cut out, since "
    ):
        begin(sparsity=0.99)


@pytest.mark.parametrize("family", families.CONFIGS)
def test_every_family_gets_smaller_and_is_loaded_again(family: str, compose: Compose, tmp_path: Path) -> None:
    """Scores are of the artifact, loaded again; attention with a bias for each head keeps those of its heads."""
    folder = families.checkpoint(tmp_path / family, family)
    config = compose(*DEMO, "model=pretrained", f"model.pretrained={folder}", "prune=structured", "prune.sparsity=0.5",
                     "train.max_steps=8", "data.max_length=32", "data.max_train=64")  # fmt: skip
    finished = experiment.run(config)
    assert finished.metrics == pytest.approx(finished.metrics_training, abs=0.01)
    assert 0.49 < finished.sparsity <= 0.5
    stored = store.load(identity.run_folder(config) / "artifact")
    told = structure(families.model(family))
    inside = [name for name in told.matrices if name.startswith(told.blocks)]
    gone = sum(families.model(family).get_submodule(name).weight.numel() for name in inside)
    gone -= sum(stored.get_submodule(name).weight.numel() for name in inside)
    everything = sum(families.model(family).get_submodule(name).weight.numel() for name in inside)
    assert finished.sparsity == pytest.approx(gone / everything)
    biases = finished.size.parameters - finished.size.nonzero - gone
    assert 0 <= biases < 200
    assert finished.size.nominal_bytes == 4 * finished.size.nonzero


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("deberta", "it is not known which heads or columns deberta.encoder.layer.0.attention.self.in_proj has"),
        ("nystromformer", "NystromformerForSequenceClassification gives other answers with fewer heads or columns"),
    ],
)
def test_what_cannot_be_cut_is_refused_in_a_line(family: str, said: str) -> None:
    """Attention's parts in one matrix, head by head; a convolution over the heads."""
    model = encoder.empty(AutoConfig.for_model(family, vocab_size=40, **families.SIZES))
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    with pytest.raises(ConfigError) as caught:
        Structured(recipe()).prepare(model)
    assert said in str(caught.value)
    assert str(caught.value).startswith("prune=structured: ")
    assert str(caught.value).endswith("; use prune=magnitude")
    assert "\n" not in str(caught.value)


def test_factors_are_cut_where_they_are_read_and_written() -> None:
    model = small_model(dropout=0.0)
    Factorize(FactorizeConfig(name="svd", rank=0.25)).prepare(model)
    method = Structured(recipe())
    method.prepare(model)
    with torch.no_grad():
        method.before_step(1.0)
    before = logits(model)
    method.finalize(model)
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-5)
    layers = dict(model.named_modules())
    names = ("attention.self.query.first", "attention.self.query.second", "attention.output.dense.first")
    shapes = {name: tuple(layers[f"bert.encoder.layer.0.{name}"].weight.shape) for name in names}
    assert shapes == {"attention.self.query.first": (4, 16), "attention.self.query.second": (8, 4),
                      "attention.output.dense.first": (4, 8)}  # fmt: skip


def test_int8_matrices_are_smaller_and_a_damaged_description_is_refused(compose: Compose) -> None:
    sizes = {}
    for prune in ("none", "structured"):
        config = compose(*DEMO, "model=demo/mini", f"prune={prune}", "quantize=int8", "train.max_steps=8")
        sizes[prune] = experiment.run(config).size
    assert sizes["structured"].nominal_bytes == sizes["structured"].nonzero < sizes["none"].nominal_bytes
    assert sizes["structured"].artifact_bytes < sizes["none"].artifact_bytes
    folder = identity.run_folder(config) / "artifact"
    about = json.loads((folder / "config.json").read_text())
    block = next(name for name, kinds in about[store.LAYERS].items() if kinds[0]["kind"] == "narrowed")
    for heads, columns, said in (
        ("", 5, "are not left of"),
        ("0 99", 5, "are not left of"),
        ("1 0", 5, "are not left of"),
        ("0", 0, "are not left of"),
        ("0", 10**6, "are not left of"),
        ("0", 5, "weights do not fit"),
    ):
        about[store.LAYERS][block][0] |= {"heads": heads, "columns": columns}
        (folder / "config.json").write_text(json.dumps(about))
        with pytest.raises(store.ArtifactError, match=said) as caught:
            store.load(folder)
        assert "\n" not in str(caught.value)
