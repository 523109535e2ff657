"""AdamW (Loshchilov and Hutter, 2019), whose steps of small models do not wait for bookkeeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch


class Collected(NamedTuple):
    """What the steps of a group need, in the same order."""

    group: dict[str, Any]
    parameters: list[torch.nn.Parameter]
    first: list[torch.Tensor]  # moments
    second: list[torch.Tensor]
    steps: list[torch.Tensor]  # one tensor, once for each


class AdamW(torch.optim.AdamW):
    """Torch's fused one; on a CPU it does not collect anew at each step what stays the same."""

    grad_scale: torch.Tensor | None = None  # what torch divides the gradient by, a scalar
    collected: list[Collected] | None = None
    others: list[torch.nn.Parameter]  # that had no gradient

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the parameters that have a gradient; a step of torch's unless these are the last step's."""
        if next(parameter for group in self.param_groups for parameter in group["params"]).device.type != "cpu":
            return cast("float | None", super().step(closure))
        collected = self.collected or []
        gradients = [[parameter.grad for parameter in each.parameters] for each in collected]
        same = not any(gradient is None for each in gradients for gradient in each)
        if closure or not collected or not same or any(parameter.grad is not None for parameter in self.others):
            self._part()
            loss: float | None = super().step(closure)
            self._collect()
            return loss
        with torch.no_grad():
            for (group, parameters, first, second, steps), of_group in zip(collected, gradients, strict=True):
                beta1, beta2 = group["betas"]
                steps[0].add_(1)
                torch._fused_adamw_(
                    [*parameters], cast("list[torch.Tensor]", of_group), first, second, [], steps,
                    lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
                    amsgrad=False, maximize=False, grad_scale=self.grad_scale, found_inf=None,
                )  # fmt: skip
        return None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's."""
        super().load_state_dict(state_dict)
        self._part()

    def _part(self) -> None:
        """Have a count of steps for each parameter, as torch has."""
        self.collected = None
        for state in self.state.values():
            state["step"] = state["step"].clone()

    def _collect(self) -> None:
        """Keep what the next steps need, if all that has a gradient has had one at every step."""
        self.collected, self.others = [], []
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            self.others += [each for each in group["params"] if each.grad is None]
            states = [self.state[each] for each in parameters]
            if not states:
                continue
            steps = [state["step"] for state in states]
            if any(step != steps[0] for step in steps):
                self.collected = None
                return
            for state in states:
                state["step"] = steps[0]
            first, second = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq"))
            self.collected.append(Collected(group, parameters, first, second, [steps[0]] * len(states)))


def build_optimizer(model: torch.nn.Module, learning_rate: float, weight_decay: float) -> AdamW:
    """AdamW without weight decay on biases and LayerNorm: on what is no matrix."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in parameters if parameter.dim() > 1]
    others = [parameter for parameter in parameters if parameter.dim() < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups, lr=learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Have the optimizer's next step be of this rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(optimizer: AdamW, parameters: Sequence[torch.nn.Parameter], largest: float) -> torch.Tensor:
    """Have the next step see the gradient scaled down to a largest norm (L2, of all together); the norm, a scalar."""
    if parameters[0].device.type != "cpu":
        return torch.nn.utils.clip_grad_norm_(parameters, largest)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    optimizer.grad_scale = (norm / largest).clamp(min=1.0)
    return norm
