"""Movement pruning: the scores are the paper's, pruned weights come back with their values, then masks stay."""

from __future__ import annotations

import copy

import torch
from torch import nn

from compress.artifact.layers.kind import MASK
from compress.methods.movement import Movement
from compress.methods.quantize import Quantize, QuantizeConfig
from tests.test_prune import Trained, begin, go_on, recipe
from tests.test_train import small_model


def begun(**changes: object) -> tuple[nn.Module, Movement, torch.optim.Optimizer]:
    model, method, optimizer = begin("movement", **changes)
    assert isinstance(method, Movement)
    return model, method, optimizer


def masks_of(method: Movement) -> list[torch.Tensor]:
    return [layer.get_buffer(MASK).clone() for layer in method.layers.values()]


def gradients_through_masks(model: nn.Module, method: Movement, ids: torch.Tensor) -> list[torch.Tensor]:
    """∂L/∂S with a mask in the forward pass that gradients pass straight (Sanh et al., 2020, section 4)."""
    scores = [torch.zeros_like(held, requires_grad=True) for held in method.held]
    masked = {
        f"{name}.weight": (layer.weight.detach() + held) * (layer.get_buffer(MASK) + score - score.detach())
        for (name, layer), held, score in zip(method.layers.items(), method.held, scores, strict=True)
    }
    logits = torch.func.functional_call(model, masked, (ids,)).logits
    return list(torch.autograd.grad(logits.square().mean(), scores))


def test_scores_are_those_of_a_mask_in_the_forward_pass_that_gradients_pass_straight() -> None:
    """Also those of pruned weights, whose values are kept."""
    model, method, optimizer = begun(start=0.0, end=0.5)
    for step in range(20):
        method.before_step(step / 40)
        ids = torch.randint(5, 30, (4, 9), generator=torch.Generator().manual_seed(step))
        expected = [score.clone() for score in method.trained]
        theirs = torch.optim.Adam(expected, lr=0.01)
        theirs.load_state_dict(copy.deepcopy(method.optimizer.state_dict()))
        theirs.param_groups[0]["fused"] = False
        for score, gradient in zip(expected, gradients_through_masks(model, method, ids), strict=True):
            score.grad = gradient
        theirs.step()
        go_on(model, method, optimizer, range(step, step + 1))
        for ours, score in zip(method.trained, expected, strict=True):
            torch.testing.assert_close(ours, score, rtol=1e-3, atol=1e-4)
    assert any((score[~mask] != 0).any() for score, mask in zip(method.trained, masks_of(method), strict=True))


def test_pruned_weights_come_back_with_the_values_that_they_went_with() -> None:
    model, method, optimizer = begun(start=0.0, end=0.9)
    layers = list(method.layers.values())
    went = [torch.zeros_like(layer.weight) for layer in layers]
    returned = 0
    for step in range(36):
        before = [(layer.get_buffer(MASK).clone(), layer.weight.detach().clone()) for layer in layers]
        method.before_step(step / 40)
        for layer, held, value, (was, weight) in zip(layers, method.held, went, before, strict=True):
            now = layer.get_buffer(MASK)
            value[was & ~now] = weight[was & ~now]
            returned += int((now & ~was).count_nonzero())
            assert torch.equal(layer.weight[now & ~was], value[now & ~was])
            assert torch.equal(held, value.masked_fill(now, 0.0))
        go_on(model, method, optimizer, range(step, step + 1))
    assert returned > 10


def test_masks_stay_when_the_ramp_is_over_and_pruned_weights_have_no_gradient() -> None:
    model, method, optimizer = begun(end=0.5)
    go_on(model, method, optimizer, range(21))
    masks, scores = masks_of(method), [score.clone() for score in method.trained]
    go_on(model, method, optimizer, range(21, 40))
    model(torch.randint(5, 30, (4, 9))).logits.square().mean().backward()
    method.after_backward(model)
    assert all(map(torch.equal, masks_of(method), masks))
    assert all(map(torch.equal, method.trained, scores))
    for layer, mask in zip(method.layers.values(), masks, strict=True):
        assert layer.weight.grad is not None
        assert not layer.weight.grad[~mask].any()
        assert layer.weight.grad[mask].any()


def test_a_factor_of_the_learning_rate_changes_no_mask() -> None:
    """Why it is no option: with a power of two, not a bit differs."""
    trainings: list[Trained] = []
    for factor in (1.0, 0.25):
        model, method, optimizer = begun()
        method.optimizer.param_groups[0]["lr"] *= factor
        go_on(model, method, optimizer, range(40))
        trainings.append((model, method, optimizer))
    ends = [model.state_dict() for model, _, _ in trainings]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_the_mask_acts_before_the_rounding() -> None:
    """A row's scale is that of its survivors."""
    model = small_model()
    movement = Movement(recipe("movement", start=0.0, end=0.1))
    quantize = Quantize(QuantizeConfig(name="int8", activations=True, embeddings=True, momentum=0.05, freeze=0.8))
    for method in (movement, quantize):
        method.prepare(model)
    model(torch.randint(5, 30, (4, 9))).logits.square().mean().backward()
    movement.after_backward(model)
    movement.before_step(1.0)
    weights = {name: layer.weight.detach().clone() for name, layer in movement.layers.items()}
    for method in (movement, quantize):
        method.finalize(model)
    for name, weight in weights.items():
        scales, largest = model.get_submodule(name).get_buffer("weight_scale"), weight.abs().amax(1, keepdim=True)
        assert torch.equal(scales, torch.where(largest > 0, largest / 127, 1.0))
