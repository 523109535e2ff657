"""Magnitude pruning: exact counts, exact zeros, the schedule, and no trace of it where it is off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch.nn.utils import prune as reference

from compress import experiment
from compress.artifact import store
from compress.errors import ConfigError
from compress.methods.prune import (
    MASK,
    Prune,
    PruneConfig,
    keep_largest,
    kth_smallest,
    magnitude_masks,
    prunable,
    sparsity_at,
)
from compress.runs import identity
from tests.conftest import Compose

DEMO = ("model=demo/mini", "data=demo", "task=rte", "train.max_steps=30", "device=cpu")


def recipe(**changes: object) -> PruneConfig:
    known = {"name": "magnitude", "sparsity": 0.6, "schedule": "linear", "scope": "global", "start": 0.1, "end": 0.7,
             "updates": 20}  # fmt: skip
    return PruneConfig(**{**known, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40), st.integers(1, 40))
@settings(deadline=None)
def test_the_kth_smallest_is_torchs(values: list[float], k: int) -> None:
    flat, k = torch.tensor(values), min(k, len(values))
    assert kth_smallest(flat, k) == flat.kthvalue(k).values


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(0, 40))
@settings(deadline=None)
def test_exactly_k_go_and_none_that_stays_is_smaller_than_one_that_goes(values: list[int], pruned: int) -> None:
    scores = torch.tensor(values, dtype=torch.float32)
    pruned = min(pruned, len(values))
    keep = keep_largest(scores, pruned)
    assert int((~keep).count_nonzero()) == pruned
    if 0 < pruned < len(values):
        assert scores[keep].min() >= scores[~keep].max()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_masks_are_those_of_torchs_own_pruning(seed: int, scope: str) -> None:
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(7, 11), torch.nn.Linear(5, 3), torch.nn.Linear(16, 16)]
    weights = [layer.weight.detach().clone() for layer in layers]
    ours = magnitude_masks(weights, [torch.ones_like(w, dtype=torch.bool) for w in weights], 0.37, scope)  # type: ignore[arg-type]
    if scope == "global":
        pairs = [(layer, "weight") for layer in layers]
        reference.global_unstructured(pairs, reference.L1Unstructured, amount=0.37)
    else:
        for layer in layers:
            reference.l1_unstructured(layer, "weight", 0.37)
    for mask, layer in zip(ours, layers, strict=True):
        assert torch.equal(mask, layer.get_buffer(MASK).bool())


def test_the_schedule_rises_in_stages_from_start_to_end() -> None:
    for schedule in ("linear", "cubic"):
        config = recipe(schedule=schedule)
        values = [sparsity_at(step / 1000, config) for step in range(1001)]
        assert values == sorted(values)
        assert values[100] == 0 < values[131]
        assert values[699] < values[700] == values[1000] == 0.6
        assert len(set(values)) == config.updates + 1
    assert sparsity_at(0.4, recipe()) == pytest.approx(0.3)
    assert sparsity_at(0.4, recipe(schedule="cubic")) == pytest.approx(0.6 * (1 - 0.5**3))


def test_a_longer_ramp_never_revives_a_weight() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(9, 9), torch.randn(4, 9)]
    masks = [torch.ones_like(weight, dtype=torch.bool) for weight in weights]
    for share in (0.1, 0.35, 0.5, 0.9):
        new = magnitude_masks(weights, masks, share, "global")
        assert not any((now & ~before).any() for now, before in zip(new, masks, strict=True))
        assert sum(int((~mask).count_nonzero()) for mask in new) == round(share * 117)
        masks = new
        weights = [torch.randn_like(weight) * mask for weight, mask in zip(weights, masks, strict=True)]


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_pruned_weights_are_zero_after_every_step_whatever_momentum_and_decay_do(scope: str) -> None:
    torch.manual_seed(1)
    model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(8, 8), "pooler": torch.nn.Linear(8, 8)})
    method = Prune(recipe(scope=scope, start=0.0, end=0.5))
    method.prepare(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for step in range(40):
        method.before_step(step / 40)
        optimizer.zero_grad()
        model["pooler"](model["encoder"](torch.randn(4, 8))).square().mean().backward()
        optimizer.step()
        method.after_step(model, optimizer)
        for layer in prunable(model).values():
            mask = layer.get_buffer(MASK)
            assert not layer.weight[~mask].any()
            assert not optimizer.state[layer.weight]["exp_avg"][~mask].any()
            assert layer.weight[mask].all()
    assert method.metrics() == {"sparsity": 0.6}


def test_a_ramp_goes_on_from_a_saved_state_as_if_nothing_had_happened() -> None:
    def build() -> tuple[torch.nn.ModuleDict, Prune, torch.optim.Optimizer]:
        torch.manual_seed(2)
        model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(8, 8), "pooler": torch.nn.Linear(8, 8)})
        method = Prune(recipe())
        method.prepare(model)
        return model, method, torch.optim.AdamW(model.parameters(), lr=0.1)

    def go(model: torch.nn.ModuleDict, method: Prune, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            method.before_step(step / 40)
            optimizer.zero_grad()
            x = torch.randn(4, 8, generator=torch.Generator().manual_seed(step))
            model["pooler"](model["encoder"](x)).square().mean().backward()
            optimizer.step()
            method.after_step(model, optimizer)

    whole, resumed = build(), build()
    go(*whole, range(40))
    go(*resumed, range(17))
    again = build()
    again[0].load_state_dict(resumed[0].state_dict())
    again[1].load_state_dict(resumed[1].state_dict())
    again[2].load_state_dict(resumed[2].state_dict())
    go(*again, range(17, 40))
    ends = zip(whole[0].state_dict().values(), again[0].state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in ends)


def test_only_encoder_and_pooler_matrices_are_pruned(compose: Compose) -> None:
    config = compose(*DEMO)
    model, _ = experiment.build_model(config, experiment.load_data(config)[1])
    names = set(prunable(model))
    assert len(names) == 6 * (config.model.layers or 0) + 1
    assert not {name for name in names if "embeddings" in name or "classifier" in name or "LayerNorm" in name}


@pytest.mark.parametrize("overrides", [(), ("prune.scope=layer", "prune.schedule=cubic"), ("task=stsb",)])
@pytest.mark.parametrize("steps", [1, 30])
def test_the_stored_model_is_exactly_as_sparse_as_asked(compose: Compose, overrides: tuple[str], steps: int) -> None:
    config = compose(*DEMO, *overrides, "prune=magnitude", "prune.sparsity=0.6", f"train.max_steps={steps}")
    document = experiment.run(config)
    stored = store.load(identity.run_folder(config) / "artifact")
    layers = prunable(stored)
    zeros = {name: int((layer.weight == 0).count_nonzero()) for name, layer in layers.items()}
    positions = {name: layer.weight.numel() for name, layer in layers.items()}
    if "prune.scope=layer" in overrides:
        assert zeros == {name: round(0.6 * count) for name, count in positions.items()}
    assert sum(zeros.values()) == pytest.approx(0.6 * sum(positions.values()), abs=len(layers) / 2)
    assert document["sparsity"] == sum(zeros.values()) / sum(positions.values())
    assert document["methods"] == ["prune"]
    assert document["size"]["nominal_bytes"] == 4 * (document["size"]["parameters"] - sum(zeros.values()))
    assert document["metrics"] == document["metrics_training"]


def test_the_file_holds_survivors_and_a_bit_per_position(compose: Compose) -> None:
    config = compose(*DEMO, "prune=magnitude")
    document = experiment.run(config)
    folder = identity.run_folder(config) / "artifact"
    with safe_open(folder / "model.safetensors", framework="np") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    for name, layer in prunable(store.load(folder)).items():
        bits, values = held[f"{name}.weight.mask"], held[f"{name}.weight.values"]
        weight = layer.weight.detach().numpy()
        assert len(bits) == -(-weight.size // 8)
        assert np.array_equal(np.unpackbits(bits, bitorder="little").astype(bool), weight.ravel() != 0)
        assert np.array_equal(values, weight[weight != 0])
    assert document["size"]["artifact_bytes"] < document["size"]["parameters"] * 4


def test_pruning_that_is_off_changes_nothing_and_makes_no_other_experiment(compose: Compose) -> None:
    ids = {identity.run_id(compose(*DEMO, "prune=none", f"prune.sparsity={share}")) for share in (0.4, 0.6)}
    assert ids == {identity.run_id(compose(*DEMO))}
    assert identity.run_id(compose(*DEMO, "prune=magnitude")) not in ids


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("prune.start=0.8",), "prune.end=0.7: must be more than prune.start=0.8"),
        (("prune.sparsity=1.0",), "prune.sparsity=1.0: must be less than 1"),
        (("prune.schedule=cubik",), "prune.schedule=cubik: must be 'linear' or 'cubic' (did you mean cubic?)"),
    ],
)
def test_what_cannot_be_is_told(compose: Compose, words: tuple[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(*DEMO, "prune=magnitude", *words)
    assert str(caught.value) == told
