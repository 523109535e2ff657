"""Products of Linear layers by oneDNN: the same but for rounding, where they are used and where they are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from compress.model import linear as module

CPUS = {
    "another maker's": ("vendor_id\t: AuthenticAMD\nflags\t: avx512f\n", "AVX512", True),
    "Intel's": ("vendor_id\t: GenuineIntel\nflags\t: avx512f\n", "AVX512", False),
    "without AVX-512": ("vendor_id\t: AuthenticAMD\nflags\t: avx2\n", "AVX2", False),
    "unknown": ("CPU implementer\t: 0x41\n", "AVX512", False),
}


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """OneDNN's products on any processor that it knows, of any size."""
    monkeypatch.setattr(module, "has_unused_avx512", torch.backends.mkldnn.is_available)
    monkeypatch.setattr(module, "SMALLEST", 1)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [((40, 30), 64, 96), ((1, 700), 96, 64), ((900,), 80, 80)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_torch(rows: tuple[int, ...], inputs: int, outputs: int, bias: bool) -> None:
    torch.manual_seed(0)
    x, gradient = torch.randn(*rows, inputs), torch.randn(*rows, outputs)
    given = [x, torch.randn(outputs, inputs), *([torch.randn(outputs)] if bias else [])]

    def of(product: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        tensors = [each.clone().requires_grad_() for each in given]
        y = product(*tensors, *([] if bias else [None]))
        y.backward(gradient)
        return [y.detach(), *(each.grad for each in tensors if each.grad is not None)]

    for ours, theirs in zip(of(module.linear), of(functional.linear), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 3e-6 * theirs.abs().max()


@pytest.mark.usefixtures("everywhere")
def test_gradients_that_nobody_wants_are_not_computed() -> None:
    x, weight = torch.randn(20, 8), torch.randn(4, 8, requires_grad=True)
    module.linear(x, weight, None).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_it_is_used_for_large_float32_products_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_unused_avx512", lambda: True)
    x, weight = torch.randn(1024, 64), torch.randn(64, 64)

    def node(*tensors: torch.Tensor) -> str:
        return str(module.linear(tensors[0], tensors[1].requires_grad_(), None).grad_fn)

    assert "_Linear" in node(x, weight)
    assert "_Linear" not in node(x[:1023], weight)
    assert "_Linear" not in node(x.double(), weight.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert "_Linear" not in node(x, weight)
    monkeypatch.setattr(module, "has_unused_avx512", lambda: False)
    assert "_Linear" not in node(x, weight)


@pytest.mark.parametrize("cpu", CPUS)
def test_which_processors_have_an_unused_avx512(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    info, capability, unused = CPUS[cpu]
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: info)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    assert module.has_unused_avx512.__wrapped__() == (unused and torch.backends.mkldnn.is_available())
