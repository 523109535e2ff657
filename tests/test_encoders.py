"""Any encoder: its structure is told from the model itself, and every method works on it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from compress.errors import ConfigError
from compress.model.structure import structure
from tests import families

PREFIXES = {"modernbert": "model", "deberta-v2": "deberta"}  # of the base model, where it is not the family's name
EMBEDDINGS = {"distilbert": 2, "deberta-v2": 1, "modernbert": 1}  # that ids are looked up in, where not three
SHARING = {"deberta-v2": 2, "modernbert": 0}  # Linear layers of a block's attention that read the same, where not three


@pytest.fixture(params=families.CONFIGS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_matrices_are_the_linear_layers_of_the_blocks_and_the_base_models_pooler(family: str) -> None:
    model = families.model(family)
    told = structure(model)
    inside = [name for name in told.matrices if name.startswith(tuple(f"{block}." for block in told.blocks))]
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert inside == [name for name in linears if ".layer" in name or "_layers" in name]
    assert set(told.matrices) - set(inside) == set(told.head) & {"bert.pooler.dense", "albert.pooler"}
    assert len(told.blocks) == (1 if family == "albert" else 2)  # ALBERT's layers have their weights in common
    assert len(told.head) == 2
    assert len(told.embeddings) == EMBEDDINGS.get(family, 3)


def test_layers_that_share_an_input_read_the_same_values(family: str) -> None:
    model = families.model(family).eval()
    told = structure(model)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda m, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
    model(torch.arange(2, 12)[None])
    for group in told.shared_inputs:
        first, *others = (seen[name] for name in group)
        assert all(len(other) == len(first) and all(map(torch.equal, first, other)) for other in others)
    count = SHARING.get(family, 3)
    assert [len(group) for group in told.shared_inputs] == [count] * len(told.blocks) * bool(count)


def test_every_parameter_has_a_part_also_when_its_layer_is_replaced(family: str) -> None:
    model = families.model(family)
    told = structure(model)
    base, head = f"{PREFIXES.get(family, family)}.", []
    for name, _ in [*model.named_parameters(), *model.named_buffers()]:
        part = told.part(name)
        assert (part == "encoder") == (".layer" in name or "albert_layers" in name or "final_norm" in name), name
        assert (part == "head") == (".pooler" in name or not name.startswith(base)), name
        head += [name] if part == "head" else []
    assert head
    assert {
        told.part(f"{name}.first.weight_scale") for name in told.matrices if told.part(f"{name}.weight") == "encoder"
    } == {"encoder"}


def test_no_random_number_is_drawn_and_nothing_stays_behind(family: str) -> None:
    model = families.model(family).train()
    before = torch.get_rng_state()
    assert structure(model) == structure(model.eval())
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("family", ["squeezebert", "funnel-without-layers"])
def test_what_cannot_be_told_is_refused_in_a_line(family: str) -> None:
    kind, changes = ("squeezebert", {}) if family == "squeezebert" else ("bert", {"num_hidden_layers": 0})
    config = AutoConfig.for_model(kind, **(families.SIZES | changes), embedding_size=16, q_groups=1, k_groups=1)
    with pytest.raises(ConfigError, match=r"^model: \w+ has no list of equal layers .*: nothing to compress; choose"):
        structure(AutoModelForSequenceClassification.from_config(config))
