"""2:4 pruning: two of each four weights side by side go, the least ones, and what is stored is half and four bits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.artifact import size
from compress.artifact.layers.two_four import KIND, PLACES, TWO_FOUR, VALUES
from compress.errors import ConfigError
from compress.methods.two_four import TwoFour, TwoFourConfig, least_two
from tests.conftest import Compose
from tests.test_train import small_model

PATTERNS = [places for places in itertools.product([False, True], repeat=4) if sum(places) == 2]


def recipe(**changes: Any) -> TwoFourConfig:
    values: dict[str, Any] = {
        "name": "two_four", "sparsity": 0.5, "schedule": "linear", "scope": "layer", "start": 0.1, "end": 0.7,
        "updates": 20,
    }  # fmt: skip
    return TwoFourConfig(**{**values, **changes})


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=4, max_size=4))
@settings(deadline=None)
def test_the_two_least_of_four_go_and_of_equal_ones_the_first(scores: list[float]) -> None:
    least = sorted(range(4), key=lambda place: (scores[place], place))[:2]
    (row,) = least_two(torch.tensor([scores])).tolist()
    assert [place for place, goes in enumerate(row) if goes] == sorted(least)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_ramp_ends_where_choosing_at_once_does_if_weights_stay(scope: str) -> None:
    """The least of those that have to go come first, and none of the others ever goes."""
    model, once = small_model(), small_model()
    once.load_state_dict(model.state_dict())
    method, other = TwoFour(recipe(scope=scope)), TwoFour(recipe(scope=scope, updates=1))
    method.prepare(model)
    other.prepare(once)
    expected = {name: least_two(layer.weight.abs()) for name, layer in other.layers.items()}
    for step in range(41):
        method.before_step(step / 40)
        other.before_step(step / 40)
        for name, layer in method.layers.items():
            assert not (~layer.get_buffer(TWO_FOUR) & ~expected[name]).any()
    positions = sum(layer.weight.numel() for layer in method.layers.values())
    gone = sum(int((layer.weight == 0).count_nonzero()) for layer in method.layers.values())
    assert gone == positions // 2
    assert method.settled()
    for name, layer in other.layers.items():
        assert torch.equal(~layer.get_buffer(TWO_FOUR), expected[name])
        assert torch.equal(layer.weight, method.layers[name].weight)
    assert size.sparsity(model) == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
@pytest.mark.parametrize("rows", [1, 3, 6])
def test_every_pattern_is_stored_in_half_the_values_and_a_bit_per_position(dtype: torch.dtype, rows: int) -> None:
    mask = torch.tensor([PATTERNS[(row + number) % 6] for row in range(rows) for number in range(3)]).view(rows, 12)
    weight = (torch.randint(1, 100, (rows, 12)) * mask).to(dtype)
    weight.view(-1)[mask.flatten().nonzero()[0]] = 0  # a survivor may be 0
    packed = KIND.pack({"weight": weight, TWO_FOUR: mask, "bias": torch.ones(rows)})
    assert packed.keys() == {VALUES, PLACES, "bias"}
    assert packed[VALUES].dtype == dtype
    assert len(packed[VALUES]) == rows * 6
    assert len(packed[PLACES]) == -(-rows * 12 // 8)
    back = KIND.unpack(packed, nn.Linear(12, rows), {})
    assert torch.equal(back["weight"], weight)
    assert torch.equal(back[TWO_FOUR], mask)
    assert back["weight"].dtype == dtype


def test_what_was_not_written_so_is_refused() -> None:
    mask = torch.tensor([PATTERNS[0], PATTERNS[3], PATTERNS[5]])
    packed = dict(KIND.pack({"weight": torch.ones(3, 4) * mask, TWO_FOUR: mask}))
    plain = nn.Linear(4, 3)
    for name, changed in (
        (VALUES, packed[VALUES][:-1]),
        (PLACES, packed[PLACES][:-1]),
        (PLACES, packed[PLACES] | 0x11),  # two survivors in one place
        (PLACES, packed[PLACES] | torch.tensor([0, 0xF0], dtype=torch.uint8)),  # a fourth group
    ):
        with pytest.raises(ValueError, match=r"survivors|places"):
            KIND.unpack({**packed, name: changed}, plain, {})
    with pytest.raises(ValueError, match="without their weights"):
        KIND.unpack({PLACES: packed[PLACES]}, plain, {})
    with pytest.raises(ValueError, match="not two of each four"):
        KIND.pack({"weight": torch.ones(3, 4), TWO_FOUR: torch.ones(3, 4, dtype=torch.bool)})


def test_matrices_whose_rows_are_no_groups_of_four_stay_dense_and_are_told() -> None:
    model, method = small_model(), TwoFour(recipe())
    name = "bert.encoder.layer.0.attention.self.query"
    model.set_submodule(name, nn.Linear(30, 32))
    method.prepare(model)
    assert name not in method.layers
    assert method.notes() == [f"prune=two_four: 1 matrix stayed dense, such as {name}: the inputs are no multiple of 4"]
    plain = TwoFour(recipe())
    plain.prepare(small_model())
    assert plain.notes() == []


def test_its_sparsity_is_no_choice(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"^prune.sparsity=0.4: must be greater than or equal to 0.5"):
        compose("model=demo/tiny", "data=demo", "task=rte", "prune=two_four", "prune.sparsity=0.4")
