"""Movement pruning: the scores are the paper's, pruned weights come back with their values, and nothing of it stays."""

from __future__ import annotations

import torch
from torch import nn

from compress.artifact.layers.masked import MASK
from compress.methods.movement import HELD, SCORES, Movement
from compress.methods.quantize import Quantize, QuantizeConfig
from tests.test_prune import begin, go_on, recipe
from tests.test_train import small_model


def step_by_autograd(
    weights: list[torch.Tensor], masks: list[torch.Tensor], model: nn.Module, names: list[str], ids: torch.Tensor
) -> list[torch.Tensor]:
    """∂L/∂S with a mask in the forward pass that the gradient passes straight (Sanh et al., 2020, section 4)."""
    scores = [torch.zeros_like(weight, requires_grad=True) for weight in weights]
    masked = {
        f"{name}.weight": weight * (mask + score - score.detach())
        for name, weight, mask, score in zip(names, weights, masks, scores, strict=True)
    }
    logits = torch.func.functional_call(model, masked, (ids,)).logits
    return list(torch.autograd.grad(logits.square().mean(), scores))


def test_scores_are_those_of_a_mask_in_the_forward_pass_that_gradients_pass_straight() -> None:
    """Also those of pruned weights, whose values are kept."""
    model, method, optimizer = begin("movement", start=0.0, end=0.5)
    names = list(method.layers)
    for step in range(20):
        method.before_step(step / 40)
        ids = torch.randint(5, 30, (4, 9), generator=torch.Generator().manual_seed(step))
        layers = list(method.layers.values())
        whole = [layer.weight.detach() + layer.get_buffer(HELD) for layer in layers]
        masks = [layer.get_buffer(MASK).float() for layer in layers]
        expected = [layer.get_buffer(SCORES) - gradient for layer, gradient in zip(
            layers, step_by_autograd(whole, masks, model, names, ids), strict=True)]  # fmt: skip
        go_on(model, method, optimizer, range(step, step + 1))
        for layer, score, mask in zip(layers, expected, masks, strict=True):
            torch.testing.assert_close(layer.get_buffer(SCORES), score, rtol=1e-4, atol=1e-6)
            assert torch.equal(layer.get_buffer(MASK).float(), mask)


def test_pruned_weights_come_back_with_the_values_that_they_went_with() -> None:
    model, method, optimizer = begin("movement", start=0.0, end=0.9)
    went: dict[str, torch.Tensor] = {name: torch.zeros_like(layer.weight) for name, layer in method.layers.items()}
    returned = 0
    for step in range(36):
        before = {name: (layer.get_buffer(MASK).clone(), layer.weight.detach().clone())
                  for name, layer in method.layers.items()}  # fmt: skip
        method.before_step(step / 40)
        for name, layer in method.layers.items():
            was, weight = before[name]
            now = layer.get_buffer(MASK)
            went[name][was & ~now] = weight[was & ~now]
            back = now & ~was
            returned += int(back.count_nonzero())
            assert torch.equal(layer.weight[back], went[name][back])
            assert torch.equal(layer.get_buffer(HELD), went[name].masked_fill(now, 0.0))
        go_on(model, method, optimizer, range(step, step + 1))
    assert returned > 10


def test_masks_stay_when_the_ramp_is_over_and_pruned_weights_have_no_gradient() -> None:
    model, method, optimizer = begin("movement", end=0.5)
    go_on(model, method, optimizer, range(21))
    fixed = {name: (layer.get_buffer(MASK).clone(), layer.get_buffer(SCORES).clone())
             for name, layer in method.layers.items()}  # fmt: skip
    go_on(model, method, optimizer, range(21, 40))
    model(torch.randint(5, 30, (4, 9))).logits.square().mean().backward()
    method.after_backward(model)
    for name, layer in method.layers.items():
        assert torch.equal(layer.get_buffer(MASK), fixed[name][0])
        assert torch.equal(layer.get_buffer(SCORES), fixed[name][1])
        assert layer.weight.grad is not None
        assert not layer.weight.grad[~layer.get_buffer(MASK)].any()


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
        scales = model.get_submodule(name).get_buffer("weight_scale")
        largest = weight.abs().amax(1, keepdim=True)
        assert torch.equal(scales, torch.where(largest > 0, largest / 127, 1.0))


def test_scores_and_held_values_leave_with_the_training() -> None:
    model, method, optimizer = begin("movement")
    go_on(model, method, optimizer, range(40))
    method.before_step(1.0)
    method.finalize(model)
    assert {name.rpartition(".")[2] for name, _ in model.named_buffers()} <= {MASK, "position_ids", "token_type_ids"}
    assert method.trace(model)
