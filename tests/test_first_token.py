"""A model whose last block is for the first token alone answers as the whole one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, PreTrainedModel

from compress.artifact import store
from compress.model import blocks, encoder, first_token
from compress.model.structure import structure
from tests import families

WHOLE = ("albert",)  # calls one block several times
LENGTHS = (9, 4, 1)


def of(family: str, layers: int = 2) -> PreTrainedModel:
    """A model whose weights are large enough for every token to matter."""
    changes: dict[str, Any] = {"n_layers" if family == "distilbert" else "num_hidden_layers": layers}
    if family == "modernbert":
        changes["layer_types"] = ["sliding_attention", "full_attention"][:layers] * max(1, layers // 2)
    model = families.model(family, **changes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def batch(model: PreTrainedModel, padded: bool) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 20, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask} if padded else {"input_ids": ids}


@pytest.mark.parametrize("padded", [False, True], ids=["equal lengths", "padded"])
@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("family", families.CONFIGS)
def test_logits_are_those_of_the_whole_model(family: str, layers: int, padded: bool) -> None:
    whole = of(family, layers).double()  # products of other shapes are rounded otherwise, each processor in its own way
    cut = copy.deepcopy(whole)
    first_token.apply(cut)
    assert bool(getattr(cut.config, first_token.SETTING, False)) == (family not in WHOLE)
    with torch.no_grad():
        expected, logits = (model(**batch(model, padded)).logits for model in (whole, cut))
        again = copy.deepcopy(cut)(**batch(cut, padded)).logits
    assert (logits - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert logits.argmax(1).equal(expected.argmax(1))
    assert again.equal(logits)
    if padded and first_token.added_mask(cut):
        given = batch(cut, padded)
        added = torch.zeros(given["attention_mask"].shape, dtype=logits.dtype).masked_fill_(
            given["attention_mask"] == 0, -torch.inf
        )
        ready = given | {"attention_mask": added[:, None, None]}
        assert (cut(**ready).logits - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("family", [family for family in families.CONFIGS if family not in WHOLE])
def test_gradients_are_those_of_the_whole_model(family: str) -> None:
    whole = of(family)
    cut = copy.deepcopy(whole)
    first_token.apply(cut)
    for model in (whole, cut):
        nn.functional.cross_entropy(model(**batch(model, True)).logits, torch.tensor([0, 1, 1])).backward()
    largest = max(float(parameter.grad.abs().max()) for parameter in whole.parameters() if parameter.grad is not None)
    for (name, expected), (_, parameter) in zip(whole.named_parameters(), cut.named_parameters(), strict=True):
        if expected.grad is None:
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
            assert torch.allclose(parameter.grad, expected.grad, rtol=1e-4, atol=1e-6 * largest), name


@pytest.mark.parametrize("family", [family for family in families.CONFIGS if family not in WHOLE])
def test_the_last_blocks_feed_forward_layers_see_one_position(family: str) -> None:
    model = of(family)
    first_token.apply(model)
    last, lengths = structure(model).blocks[-1], dict[str, int]()
    for name, layer in model.get_submodule(last).named_modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(
                lambda layer, inputs, name=name: lengths.setdefault(name, inputs[0].shape[1]) and None
            )
    model(**batch(model, False))
    one = {"deberta-v2": ["attention.output.dense"], "modernbert": ["mlp.Wi", "mlp.Wo"]}
    names = [name for name, length in lengths.items() if length == 1]
    assert len(names) == len(lengths) - {"deberta-v2": 3, "modernbert": 2}.get(family, 2)
    assert set(one.get(family, [])) <= set(names)


def test_a_head_that_reads_all_tokens_gets_them() -> None:
    """Also where it does not fail without them: the mean over one position is no mean over all."""
    model = families.model("modernbert", classifier_pooling="mean")
    kinds = [type(module) for module in model.modules()]
    expected = model(**batch(model, False)).logits
    first_token.apply(model)
    assert not hasattr(model.config, first_token.SETTING)
    assert [type(module) for module in model.modules()] == kinds
    assert model(**batch(model, False)).logits.equal(expected)


def test_blocks_that_look_alike_but_compute_otherwise_stay_whole() -> None:
    model = of("bert")
    layers = [model.get_submodule(name) for name in structure(model).blocks]
    real = type(layers[0])

    class Doubling(real):  # type: ignore[valid-type,misc]
        def forward(self, *inputs: object, **settings: object) -> object:
            return 2 * super().forward(*inputs, **settings)

    for layer in layers:
        layer.__class__ = Doubling
    first_token.apply(model)
    assert not hasattr(model.config, first_token.SETTING)
    assert {type(layer) for layer in layers} == {Doubling}


@pytest.mark.parametrize("family", families.CONFIGS)
def test_a_stored_model_is_built_as_it_was_trained(family: str, tmp_path: Path) -> None:
    model = of(family)
    first_token.apply(model)
    families.checkpoint(tmp_path / "checkpoint", family)
    store.save(tmp_path / "artifact", model, AutoTokenizer.from_pretrained(tmp_path / "checkpoint"))
    loaded = store.load(tmp_path / "artifact")
    assert [type(module) for module in loaded.modules()] == [type(module) for module in model.modules()]
    assert loaded(**batch(model, True)).logits.equal(model.eval()(**batch(model, True)).logits)


def test_an_artifact_of_before_stays_whole(tmp_path: Path) -> None:
    model = of("bert")
    families.checkpoint(tmp_path / "checkpoint", "bert")
    store.save(tmp_path / "artifact", model, AutoTokenizer.from_pretrained(tmp_path / "checkpoint"))
    loaded = store.load(tmp_path / "artifact")
    assert type(loaded.get_submodule("bert.encoder.layer.1")) is type(model.get_submodule("bert.encoder.layer.1"))
    assert loaded(**batch(model, True)).logits.equal(model(**batch(model, True)).logits)


def test_a_large_model_rounds_within_what_is_allowed() -> None:
    config = BertConfig(num_hidden_layers=24, hidden_size=256, num_attention_heads=4, intermediate_size=1024)
    torch.manual_seed(0)
    model = BertForSequenceClassification(config).eval()
    first_token.apply(model)
    assert getattr(model.config, first_token.SETTING)
    assert type(encoder.empty(model.config).get_submodule("bert.encoder.layer.23")) is type(
        model.get_submodule("bert.encoder.layer.23")
    )


class Watched(nn.Linear):
    pass


class Doubled(Watched):
    """Can be computed together, as its own class knows, but not its children's."""

    @staticmethod
    def together(layers: Sequence[nn.Linear], x: torch.Tensor) -> torch.Tensor | None:
        return torch.cat([2 * layer(x) for layer in layers], -1) if len(layers) < 3 else None


class Child(Doubled):
    pass


def test_layers_are_joined_only_where_nobody_notices() -> None:
    torch.manual_seed(0)
    x, layers = torch.randn(2, 3, 8), [nn.Linear(8, 4) for _ in range(3)]
    expected = torch.cat([layer(x) for layer in layers], -1)
    calls: list[nn.Module] = []
    assert torch.allclose(blocks.products(layers, x), expected, atol=1e-6)
    handle = layers[1].register_forward_hook(lambda layer, inputs, output: calls.append(layer))
    assert blocks.products(layers, x).equal(expected)
    assert calls == [layers[1]]
    handle.remove()
    layers[2].forward = lambda x: torch.zeros(2, 3, 4)  # type: ignore[method-assign,assignment]
    assert not blocks.products(layers, x)[..., 8:].any()
    other = Watched(8, 4)
    assert blocks.products([layers[0], other], x)[..., 4:].equal(other(x))
    for kind, factor, count in ((Doubled, 2, 2), (Doubled, 1, 3), (Child, 1, 2)):
        several = [kind(8, 4) for _ in range(count)]
        assert blocks.products(several, x).equal(torch.cat([factor * layer(x) for layer in several], -1))


@pytest.mark.parametrize("mask", ["none", "kept", "added"])
@pytest.mark.parametrize("queries", [None, 1])
def test_attention_for_training_is_attention(queries: int | None, mask: str) -> None:
    """With a mask that drops nothing, values and gradients are those of torch's own."""
    torch.manual_seed(0)
    size, length, head = 3, 7, 4
    query = None if queries is None else torch.randn(size, queries, 8, requires_grad=True)
    others = torch.randn(size, length, 24 if query is None else 16, requires_grad=True)
    kept = torch.ones(size, 1, 1, length, dtype=torch.bool)
    kept[1, ..., 4:] = False
    masks = {"none": None, "kept": kept, "added": torch.zeros(kept.shape).masked_fill_(~kept, -torch.inf)}
    nothing = torch.ones(size * 2, queries or length, length)
    inputs = [others] if query is None else [query, others]
    ours, theirs = (blocks.attention(query, others, head, masks[mask], dropout) for dropout in (nothing, 0.0))
    assert torch.allclose(ours, theirs, atol=1e-6)
    weights = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(theirs, inputs, weights), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-5)
