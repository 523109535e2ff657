"""Pruning, by each of its options: exact counts, exact zeros, the schedule, and no trace of it where it is off."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch.nn.utils import prune as reference

from compress import experiment
from compress.artifact import plain, size, store
from compress.artifact.layers.kind import MASK
from compress.config import identity
from compress.errors import ConfigError
from compress.methods.layers import masks
from compress.methods.magnitude import Magnitude, MagnitudeConfig
from compress.methods.movement import Movement, MovementConfig
from compress.methods.pruning import Gradual, Pruning, WeightsConfig, sparsity_at
from tests.conftest import Compose
from tests.test_train import small_model

DEMO = ("model=demo/mini", "data=demo", "task=rte", "train.max_steps=30", "device=cpu")


OPTIONS = {"magnitude": (Magnitude, MagnitudeConfig), "movement": (Movement, MovementConfig)}
every_option = pytest.mark.parametrize("option", OPTIONS)


def recipe(option: str = "magnitude", **changes: object) -> WeightsConfig:
    values = {"name": option, "sparsity": 0.6, "schedule": "linear", "scope": "global", "start": 0.1, "end": 0.7,
              "updates": 20}  # fmt: skip
    return OPTIONS[option][1](**{**values, **changes})


Trained = tuple[torch.nn.Module, Pruning, torch.optim.Optimizer]


def begin(option: str, **changes: object) -> Trained:
    """A small BERT before its first step, with an optimizer of strong momentum and decay."""
    model = small_model(dropout=0.0)
    method = OPTIONS[option][0](recipe(option, **changes))
    method.prepare(model)
    return model, method, torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)


def go_on(model: torch.nn.Module, method: Gradual, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Of 40 steps on random tokens some."""
    for step in steps:
        method.before_step(step / 40)
        ids = torch.randint(5, 30, (4, 9), generator=torch.Generator().manual_seed(step))
        model(ids).logits.square().mean().backward()
        method.after_backward(model)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(model, optimizer)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def in_pieces(flat: torch.Tensor) -> list[torch.Tensor]:
    """Two matrices, the first one of a row."""
    return [flat[: len(flat) // 3][None], flat[len(flat) // 3 :, None]]


@pytest.mark.parametrize("sample", [1, 5, 200_000])
@given(
    st.lists(st.floats(width=32, allow_nan=False) | st.sampled_from([-1.0, 0.0]), min_size=1, max_size=60),
    st.integers(1, 60),
)
@settings(deadline=None)
def test_the_kth_smallest_is_torchs(sample: int, values: list[float], k: int) -> None:
    """Whatever a sample tells, also one of a few or of equal ones."""
    flat, k = torch.tensor(values), min(k, len(values))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(masks, "SAMPLE", sample)
        patched.setattr(masks, "ERRORS", 0.5)
        assert masks.kth_smallest(in_pieces(flat), k) == flat.kthvalue(k).values


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.6, 0.9999])
def test_of_many_weights_a_small_share_is_sorted(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0)).abs()
    flat[:500_000] = -1.0  # pruned before
    k = round(share * len(flat))
    expected = flat.kthvalue(k).values
    sorted_ones: list[int] = []
    real = torch.Tensor.kthvalue
    monkeypatch.setattr(
        torch.Tensor,
        "kthvalue",
        lambda values, k: sorted_ones.append(len(values)) or real(values, k),  # type: ignore[func-returns-value]
    )
    assert masks.kth_smallest(in_pieces(flat), k) == expected
    assert sum(sorted_ones) < 0.05 * len(flat)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(0, 40))
@settings(deadline=None)
def test_exactly_k_go_and_none_that_stays_is_smaller_than_one_that_goes(values: list[int], pruned: int) -> None:
    scores = torch.tensor(values, dtype=torch.float32)
    pruned = min(pruned, len(values))
    pieces = masks.keep_largest(in_pieces(scores), pruned)
    keep = torch.cat([piece.flatten() for piece in pieces])
    assert int((~keep).count_nonzero()) == pruned
    if 0 < pruned < len(values):
        threshold = scores[~keep].max()
        assert scores[keep].min() >= threshold
        ties = keep[scores == threshold].int()
        assert (ties.diff() >= 0).all()  # of equal ones the first go


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_masks_are_those_of_torchs_own_pruning(seed: int, scope: str) -> None:
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(7, 11), torch.nn.Linear(5, 3), torch.nn.Linear(16, 16)]
    weights = [layer.weight.detach().clone() for layer in layers]
    ours = masks.choose([weight.abs() for weight in weights], 0.37, scope)  # type: ignore[arg-type]
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


def test_what_magnitude_pruned_never_comes_back() -> None:
    model, method, optimizer = begin("magnitude")
    before = {name: layer.get_buffer(MASK).clone() for name, layer in method.layers.items()}
    for step in range(40):
        go_on(model, method, optimizer, range(step, step + 1))
        for name, layer in method.layers.items():
            assert not (layer.get_buffer(MASK) & ~before[name]).any()
            before[name] = layer.get_buffer(MASK).clone()


@every_option
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_pruned_weights_are_zero_after_every_step_whatever_momentum_and_decay_do(option: str, scope: str) -> None:
    model, method, optimizer = begin(option, scope=scope, start=0.0, end=0.5)
    sizes = [layer.weight.numel() for layer in method.layers.values()]
    for step in range(40):
        go_on(model, method, optimizer, range(step, step + 1))
        counts = []
        for layer in method.layers.values():
            mask = layer.get_buffer(MASK)
            assert not layer.weight[~mask].any()
            assert not optimizer.state[layer.weight]["exp_avg"][~mask].any()
            assert layer.weight[mask].all()
            counts.append(int((~mask).count_nonzero()))
        asked = sparsity_at(step / 40, method.config)
        if scope == "layer":
            assert counts == [round(asked * size) for size in sizes]
        assert sum(counts) == pytest.approx(asked * sum(sizes), abs=0.5 if scope == "global" else len(sizes) / 2)
    assert method.metrics() == {"sparsity": 0.6}
    assert method.settled()


@every_option
def test_a_ramp_goes_on_from_a_saved_state_as_if_nothing_had_happened(option: str) -> None:
    whole, resumed, again = begin(option), begin(option), begin(option)
    go_on(*whole, range(40))
    go_on(*resumed, range(17))
    for part in range(3):
        again[part].load_state_dict(copy.deepcopy(resumed[part].state_dict()))
    go_on(*again, range(17, 40))
    ends = zip(whole[0].state_dict().values(), again[0].state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in ends)


@every_option
def test_a_model_without_blocks_is_refused_before_training(option: str) -> None:
    model = small_model()
    model.config.num_hidden_layers = 0
    with pytest.raises(ConfigError, match=r"^model: BertForSequenceClassification has no list of equal layers"):
        OPTIONS[option][0](recipe(option)).prepare(model)


def test_only_encoder_and_pooler_matrices_are_pruned(compose: Compose) -> None:
    config = compose(*DEMO)
    model, _ = experiment.build_model(config, experiment.load_data(config)[1])
    names = set(plain.matrices(model))
    assert len(names) == 6 * (config.model.layers or 0) + 1
    assert not {name for name in names if "embeddings" in name or "classifier" in name or "LayerNorm" in name}


@every_option
@pytest.mark.parametrize("overrides", [(), ("prune.scope=layer", "prune.schedule=cubic"), ("task=stsb",)])
@pytest.mark.parametrize("steps", [1, 30])
def test_the_stored_model_is_exactly_as_sparse_as_asked(
    compose: Compose, option: str, overrides: tuple[str], steps: int
) -> None:
    config = compose(*DEMO, *overrides, f"prune={option}", "prune.sparsity=0.6", f"train.max_steps={steps}")
    document = experiment.run(config).document()
    stored = store.load(identity.run_folder(config) / "artifact")
    layers = plain.matrices(stored)
    zeros = {name: int((layer.weight == 0).count_nonzero()) for name, layer in layers.items()}
    positions = {name: layer.weight.numel() for name, layer in layers.items()}
    if "prune.scope=layer" in overrides:
        assert zeros == {name: round(0.6 * count) for name, count in positions.items()}
    assert sum(zeros.values()) == pytest.approx(0.6 * sum(positions.values()), abs=len(layers) / 2)
    assert document["sparsity"] == sum(zeros.values()) / sum(positions.values())
    assert document["methods"] == ["prune"]
    assert document["size"]["nominal_bytes"] == 4 * (document["size"]["parameters"] - sum(zeros.values()))
    assert document["metrics"] == document["metrics_training"]


@every_option
def test_the_file_holds_survivors_and_a_bit_per_position(compose: Compose, option: str) -> None:
    config = compose(*DEMO, f"prune={option}")
    document = experiment.run(config).document()
    folder = identity.run_folder(config) / "artifact"
    with safe_open(folder / "model.safetensors", framework="np") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    for name, layer in plain.matrices(store.load(folder)).items():
        bits, values = held[f"{name}.weight.mask"], held[f"{name}.weight.values"]
        weight = layer.weight.detach().numpy()
        assert len(bits) == -(-weight.size // 8)
        assert np.array_equal(np.unpackbits(bits, bitorder="little").astype(bool), weight.ravel() != 0)
        assert np.array_equal(values, weight[weight != 0])
    assert document["size"]["artifact_bytes"] < document["size"]["parameters"] * 4


@pytest.mark.parametrize(("scope", "named"), [("global", ["bert.pooler.dense"]), ("layer", [])])
def test_matrices_that_are_nearly_gone_are_told_apart(scope: str, named: list[str]) -> None:
    """A matrix of small numbers goes first where all are compared, and keeps its share where each is by itself."""
    model, method, _ = begin("magnitude", scope=scope)
    method.layers["bert.pooler.dense"].weight.data.mul_(1e-3)
    method.before_step(1.0)
    assert size.emptied(model) == dict.fromkeys(named, 1.0)
    assert (len(size.emptied(model, 0.59)) == len(method.layers)) == (scope == "layer")


def test_a_result_names_the_matrices_that_are_nearly_gone(compose: Compose) -> None:
    said = "pruning took more than 90 % of 7 matrices: "
    for sparsity, told in ((0.95, True), (0.5, False)):
        config = compose(*DEMO, "prune=magnitude", "prune.scope=layer", f"prune.sparsity={sparsity}", "model=demo/tiny")
        assert any(note.startswith(said) for note in experiment.run(config).notes) == told


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
@every_option
def test_what_cannot_be_is_told(compose: Compose, option: str, words: tuple[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(*DEMO, f"prune={option}", *words)
    assert str(caught.value) == told
