"""Laws of all eight subsets of the methods: a new method joins `METHODS` and inherits them."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compress import experiment, methods
from compress.artifact import int8, store
from compress.config.schema import Config, teacher_experiment
from compress.data import demo
from compress.methods import Method
from compress.methods.fake_quantize import FakeEmbedding, FakeLinear, InputRange, round_weight
from compress.methods.prune import MASK, prunable
from compress.runs import identity
from compress.training.evaluate import predict
from compress.training.loop import build_optimizer, train
from tests.conftest import Compose

METHODS = {  # group -> its option, and changes that must not matter while it is off
    "quantize": ("quantize=int8", "quantize.freeze=0.9", "quantize.embeddings=false"),
    "distill": ("distill=kd", "distill.alpha=0.2", "distill.copies=3", "distill.teacher=small"),
    "prune": ("prune=magnitude", "prune.sparsity=0.9", "prune.scope=layer"),
}
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(METHODS, size)]
DEMO = ("model=demo/tiny", "data=demo", "train=demo", "train.max_steps=12", "device=cpu", "distill.teacher=mini",
        "distill.weak_teacher=true")  # fmt: skip

every_subset = pytest.mark.parametrize("subset", SUBSETS, ids=lambda subset: "+".join(subset) or "none")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def words(subset: tuple[str, ...], *more: str) -> list[str]:
    return [*DEMO, *(METHODS[group][0] for group in subset), *more]


class Watch(Method):
    """Calls back after every step."""

    def __init__(self, look: Any) -> None:
        self.look = look

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.look(model, optimizer)


def trained(config: Config, *watching: Method) -> tuple[torch.nn.Module, list[Method], Any, Any]:
    """A model after training, not finalized; its methods, its data and the tokenizer."""
    dataset, tokenizer = experiment.load_data(config)
    answers = np.random.default_rng(config.seed).normal(0, 4, (len(dataset.train_rows), 2)).astype(np.float32)
    active = methods.build(config, answers)
    torch.manual_seed(config.seed)
    model, _ = experiment.build_model(config, tokenizer)
    split = dataset.splits["train"]
    train(model, split, dataset.train_rows, config.train, seed=config.seed, padding=0, methods=[*active, *watching])
    return model, active, dataset, tokenizer


@every_subset
@pytest.mark.parametrize("task", demo.TASKS)
def test_every_subset_runs_on_every_task_and_measures_its_file(
    compose: Compose, task: str, subset: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    runs = tmp_path_factory.getbasetemp() / "all subsets"  # so that teachers are shared
    config = compose(*words(subset, f"task={task}", f"paths.runs={runs}"))
    document = experiment.run(config)
    assert document["methods"] == list(subset)
    taught = "distill" in subset
    assert document["teacher_run_id"] == (identity.run_id(teacher_experiment(config)) if taught else None)
    size, stored = document["size"], store.load(identity.run_folder(config) / "artifact")
    positions = sum(layer.weight.numel() for layer in prunable(stored).values()) if "quantize" not in subset else None
    if positions:
        zeros = sum(int((layer.weight == 0).count_nonzero()) for layer in prunable(stored).values())
        assert zeros == (round(0.4 * positions) if "prune" in subset else 0)
    assert document["sparsity"] == pytest.approx(0.4 * ("prune" in subset), abs=1e-4)
    assert size["nominal_bytes"] == size["nonzero"] * (1 if "quantize" in subset else 4)
    layout = {name: (value.dtype, tuple(value.shape)) for name, value in store.pack(stored.state_dict()).items()}
    assert store.predicted_bytes(layout) == size["artifact_bytes"]
    file = identity.run_folder(config) / "artifact" / "model.safetensors"
    assert file.stat().st_size == size["artifact_bytes"]
    assert document["metrics"] == pytest.approx(document["metrics_training"], abs=0.01, nan_ok=True)


@every_subset
def test_a_method_that_is_off_leaves_no_trace(compose: Compose, subset: tuple[str, ...]) -> None:
    """Bit for bit, whatever its parameters are."""
    files = []
    off = [change for group in METHODS if group not in subset for change in METHODS[group][1:]]
    for more in ([], off):
        config = compose(*words(subset, "task=rte", "force=true", *more))
        experiment.run(config)
        files.append((identity.run_folder(config) / "artifact" / "model.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
@pytest.mark.parametrize("subset", [subset for subset in SUBSETS if "prune" in subset], ids="+".join)
def test_pruned_weights_are_zero_after_every_step_and_in_every_form(
    compose: Compose, subset: tuple[str, ...], seed: int, tmp_path: Path
) -> None:
    """Also where momentum and decay are strong and the steps are wild."""
    hostile = ("train.weight_decay=0.9", "train.learning_rate=0.05", "prune.sparsity=0.6", f"seed={seed}")
    steps: list[float] = []

    def look(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        layers = prunable(model).values()
        for layer in layers:
            gone = ~layer.get_buffer(MASK)
            assert not layer.weight[gone].any()
            assert not optimizer.state[layer.weight]["exp_avg"][gone].any()
        positions = sum(layer.weight.numel() for layer in layers)
        steps.append(sum(int((~layer.get_buffer(MASK)).count_nonzero()) for layer in layers) / positions)

    config = compose(*words(subset, "task=rte", *hostile))
    model, active, _, tokenizer = trained(config, Watch(look))
    assert steps == sorted(steps)
    assert steps[0] == 0.0
    masks = {name: layer.get_buffer(MASK).clone() for name, layer in prunable(model).items()}
    positions = sum(mask.numel() for mask in masks.values())
    assert sum(int((~mask).count_nonzero()) for mask in masks.values()) == round(0.6 * positions)
    for method in active:
        method.finalize(model)
    store.save(tmp_path / "artifact", model, tokenizer)
    for form in (model, store.load(tmp_path / "artifact")):
        for name, mask in masks.items():
            state = form.get_submodule(name).state_dict()
            assert torch.equal(state[MASK], mask)
            assert not state["weight"][~mask].any()


@every_subset
@pytest.mark.parametrize("seed", [1, 2])
def test_the_reloaded_artifact_computes_what_was_trained_layer_by_layer(
    compose: Compose, subset: tuple[str, ...], seed: int, tmp_path: Path
) -> None:
    config = compose(*words(subset, "task=rte", f"seed={seed}", "model=demo/small"))
    model, active, dataset, tokenizer = trained(config)
    assert all(method.settled() for method in active)
    model.eval()
    split = dataset.splits["validation"]
    before = predict(model, split, 0)
    rounded = {name: round_weight(module.weight).detach() for name, module in model.named_modules()
               if isinstance(module, FakeLinear | FakeEmbedding)}  # fmt: skip
    ranges = {name: (m.low.clone(), m.high.clone()) for name, m in model.named_modules() if isinstance(m, InputRange)}
    ids = torch.randint(5, 300, (16, 20))
    with torch.inference_mode():
        expected = model(ids, output_hidden_states=True).hidden_states
    for name, (low, high) in ranges.items():
        assert torch.equal(model.get_buffer(f"{name}.low"), low)
        assert torch.equal(model.get_buffer(f"{name}.high"), high)
    for method in active:
        method.finalize(model)
    store.save(tmp_path / "artifact", model, tokenizer)
    stored = store.load(tmp_path / "artifact")
    assert bool(rounded) == ("quantize" in subset)
    for name, weight in rounded.items():
        layer = stored.get_submodule(name)
        assert isinstance(layer, int8.Int8Linear | int8.Int8Embedding)
        assert torch.equal(int8.from_int8(layer.weight, layer.weight_scale), weight)
    with torch.inference_mode():
        found = stored(ids, output_hidden_states=True).hidden_states
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= (expected[-1].max() - expected[-1].min()) / 255
    assert (predict(stored, split, 0).argmax(1) == before.argmax(1)).mean() >= 0.995


@every_subset
@pytest.mark.parametrize("stop", [5, 9])
def test_training_goes_on_from_a_saved_state_as_if_nothing_had_happened(
    compose: Compose, subset: tuple[str, ...], stop: int
) -> None:
    """Mid-ramp and between ramp and freeze: masks, ranges and switches are in what is saved."""
    config = compose(*words(subset, "task=rte", "quantize.freeze=0.8", "prune.end=0.7"))
    dataset, tokenizer = experiment.load_data(config)
    answers = np.random.default_rng(0).normal(0, 4, (len(dataset.train_rows), 2)).astype(np.float32)
    total = 12

    def fresh() -> tuple[Any, list[Method], torch.optim.Optimizer]:
        torch.manual_seed(0)
        model, active = experiment.build_model(config, tokenizer)[0], methods.build(config, answers)
        for method in active:
            method.prepare(model)
        return model, active, build_optimizer(model, config.train)

    def go(model: Any, active: list[Method], optimizer: torch.optim.Optimizer, steps: range) -> None:
        model.train()
        for step in steps:
            for method in active:
                method.before_step(step / total)
            rows = np.arange(step, step + 4)
            logits = model(torch.randint(5, 300, (4, 9), generator=torch.Generator().manual_seed(step))).logits
            loss = logits.square().sum()
            for method in active:
                loss = method.loss(loss, logits, rows)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            for method in active:
                method.after_step(model, optimizer)

    whole, cut, again = fresh(), fresh(), fresh()
    go(*whole, range(total))
    go(*cut, range(stop))
    saved = copy.deepcopy([cut[0].state_dict(), [method.state_dict() for method in cut[1]], cut[2].state_dict()])
    again[0].load_state_dict(saved[0])
    again[2].load_state_dict(saved[2])
    for method, state in zip(again[1], saved[1], strict=True):
        method.load_state_dict(state)
    go(*again, range(stop, total))
    ends = whole[0].state_dict(), again[0].state_dict()
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
