"""Laws of every combination of methods: an option that the registry has joins by itself, and inherits them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compress import experiment
from compress.artifact import kinds, plain, qdq, store
from compress.artifact.layers import quantized
from compress.config import identity
from compress.config.schema import Config, teacher_experiment
from compress.data import demo
from compress.errors import ConfigError
from compress.experiment import ExperimentError
from compress.methods import pruning, registry
from compress.methods.base import LearnsFromTeacher, Method
from compress.methods.layers.fake_quantize import FakeEmbedding, FakeLinear, InputRange
from compress.methods.registry import Option
from compress.runs import result
from compress.training.evaluate import predict
from compress.training.loop import train
from compress.training.optimizer import build_optimizer
from tests.conftest import Compose
from tests.weight_files import predicted_bytes

OPTIONS = [option for same in registry.registry().values() for option in same.values()]
Combination = tuple[str, ...]  # overrides: `prune=movement`


def combinations() -> Iterator[Combination]:
    """Every subset of the methods' usual options, every pair of any options, and what `sample` has."""
    groups = registry.registry()
    usual = {None, *(min(same.values(), key=lambda option: (option.position, option.name)).name
                     for same in groups.values())}  # fmt: skip
    found = set(sample())
    for choice in itertools.product(*([None, *same] for same in groups.values())):
        if together(choice) and ({*choice} <= usual or sum(name is not None for name in choice) <= 2):
            found.add(tuple(f"{group}={name}" for group, name in zip(groups, choice, strict=True) if name))
    yield from sorted(found)


def sample() -> Iterator[Combination]:
    """None, each option alone, and all methods together, with each option."""
    groups = registry.registry()
    yield ()
    for option in OPTIONS:
        yield (f"{option.group}={option.name}",)
    for number in range(max(map(len, groups.values()))):
        names = {group: list(same)[number % len(same)] for group, same in groups.items()}
        if together(list(names.values())):
            yield tuple(f"{group}={name}" for group, name in names.items())


def together(names: Sequence[str | None]) -> bool:
    """Whether these options of the groups may be on together."""
    on = [same[name] for same, name in zip(registry.registry().values(), names, strict=True) if name]
    return not (any(option.cuts for option in on) and any(option.by_columns for option in on))


def named(combination: Combination) -> str:
    return "+".join(word.partition("=")[2] for word in combination) or "none"


COMBINATIONS = sorted(combinations(), key=len)
TEACHERS = [word for group, same in registry.registry().items()
            if any(issubclass(option.config, LearnsFromTeacher) for option in same.values())
            for word in (f"{group}.teacher=mini", f"{group}.weak_teacher=true")]  # fmt: skip
DEMO = ("model=demo/tiny", "data=demo", "train=demo", "train.max_steps=12", "device=cpu", *TEACHERS)

every_combination = pytest.mark.parametrize("combination", COMBINATIONS, ids=named)
some_combinations = pytest.mark.parametrize("combination", list(sample()), ids=named)  # where each takes seconds
every_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def words(combination: Combination, *more: str) -> list[str]:
    return [*DEMO, *combination, *more]


class Watch(Method):
    """Calls back after every step."""

    def __init__(self, look: Any) -> None:
        self.look = look

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.look(model, optimizer)


def logits_of(dataset: Any, seed: int) -> np.ndarray[Any, Any]:
    """What a teacher may have answered."""
    return np.random.default_rng(seed).normal(0, 4, (len(dataset.train_rows), 2)).astype(np.float32)


def trained(config: Config, *watching: Method) -> tuple[torch.nn.Module, list[Method], Any, Any]:
    """A model after training, not finalized; its methods, its data and the tokenizer."""
    dataset, tokenizer = experiment.load_data(config)
    active = registry.build(config.methods, logits_of(dataset, config.seed))
    torch.manual_seed(config.seed)
    model, _ = experiment.build_model(config, tokenizer)
    split = dataset.splits["train"]
    train(model, split, dataset.train_rows, config.train, seed=config.seed, padding=0, methods=[*active, *watching])
    return model, active, dataset, tokenizer


def finished(model: torch.nn.Module, active: list[Method]) -> torch.nn.Module:
    for method in active:
        method.finalize(model)
    return model


SPREAD = [  # every combination on some of the tasks, every task with a quarter of them
    (task, combination)
    for (place, task), (number, combination) in itertools.product(enumerate(demo.TASKS), enumerate(COMBINATIONS))
    if (place + number) % 4 == 0
]


def pruning_of(config: Config) -> Any:
    """The values of the way to prune that is on."""
    return config.methods["prune"]


def asked(config: Config, masks: Iterable[torch.Tensor]) -> int:
    """How many weights are to be masked: a share of all matrices together, or of each."""
    sizes, prune = [mask.numel() for mask in masks], pruning_of(config)
    shares = [sum(sizes)] if prune.scope == "global" else sizes
    return sum(round(prune.sparsity * size) for size in shares)


@pytest.mark.parametrize(
    ("task", "combination"), SPREAD, ids=lambda value: value if isinstance(value, str) else named(value)
)
def test_every_combination_runs_and_measures_its_file(
    compose: Compose, task: str, combination: Combination, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runs = tmp_path_factory.getbasetemp() / "all combinations"  # so that teachers are shared
    config = compose(*words(combination, f"task={task}", f"paths.runs={runs}"))
    done = experiment.run(config)
    assert [f"{entry.method}={entry.option}" for entry in done.compression] == list(combination)
    assert done.teacher_run_id == (identity.run_id(teacher_experiment(config)) if config.teacher else None)
    stored = store.load(identity.run_folder(config) / "artifact")
    masks = [mask for _, mask in stored.named_buffers() if mask.dtype == torch.bool]
    if masks:
        pruned = sum(int((~mask).count_nonzero()) for mask in masks)
        assert pruned == asked(config, masks)
        assert done.sparsity == pytest.approx(pruned / sum(mask.numel() for mask in masks), rel=1e-12)
    elif "prune" in done.methods:  # what is cut out leaves no mask
        assert pruning_of(config).sparsity - 0.02 < done.sparsity <= pruning_of(config).sparsity
    else:
        assert done.sparsity == 0.0
    if all(option.conf is None for option in registry.options_of(config.methods).values()):  # else others may count
        bits = kinds.bits(stored) or 32
        assert (bits < 32) == ("quantize" in done.methods)
        assert done.size.nominal_bytes == sum(-(-part.nonzero * bits // 8) for part in done.size.by_part.values())
    assert predicted_bytes(stored) == done.size.artifact_bytes
    file = identity.run_folder(config) / "artifact" / store.WEIGHTS
    assert file.stat().st_size == done.size.artifact_bytes
    assert done.metrics == pytest.approx(done.metrics_training, abs=0.01, nan_ok=True)


def other_values(compose: Compose, option: Option) -> list[str]:
    """Overrides that change what can be changed of an option's numbers and switches."""
    values = compose(*words((f"{option.group}={option.name}",), "task=rte")).methods[option.group]
    changes = []
    for name in (field.name for field in fields(option.config)):
        value = getattr(values, name)
        if isinstance(value, bool):
            changes.append(f"{option.group}.{name}={str(not value).lower()}")
        elif isinstance(value, int | float):
            changes.append(f"{option.group}.{name}={value + 1 if isinstance(value, int) else value / 2}")
    return changes


@some_combinations
def test_a_method_that_is_off_leaves_no_trace(compose: Compose, combination: Combination) -> None:
    """Bit for bit, whatever its parameters are."""
    files = []
    active = {word.partition("=")[0] for word in combination}
    off = [word for option in OPTIONS if option.group not in active for word in other_values(compose, option)]
    assert bool(off) == (len(active) < len(registry.registry()))
    for more in ([], off):
        config = compose(*words(combination, "task=rte", "force=true", *more))
        experiment.run(config)
        files.append((identity.run_folder(config) / "artifact" / store.WEIGHTS).read_bytes())
    assert files[0] == files[1]


@every_option
def test_an_option_that_does_nothing_makes_the_experiment_fail(
    compose: Compose, option: Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb in ("prepare", "before_step", "loss", "after_backward", "after_step", "calibrate", "finalize"):
        monkeypatch.setattr(option.build, verb, getattr(Method, verb))
    fails(compose, option, f"{option.group}={option.name} left no trace in the artifact")


FINALIZING = [option for option in OPTIONS if getattr(option.build, "finalize", None) is not Method.finalize]


@pytest.mark.parametrize("option", FINALIZING, ids=lambda option: option.name)
def test_a_training_that_leaves_its_own_layers_makes_the_experiment_fail(
    compose: Compose, option: Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(option.build, "finalize", Method.finalize)
    fails(compose, option, "artifact: ")


def fails(compose: Compose, option: Option, told: str) -> None:
    """The experiment says so in one line, and has no result."""
    config = compose(*words((f"{option.group}={option.name}",), "task=rte"))
    with pytest.raises((ExperimentError, ConfigError)) as caught:
        experiment.run(config)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    folder = identity.run_folder(config)
    assert (folder / result.ERROR).is_file()
    assert not (folder / result.FILE).exists()


MASKED = {f"{option.group}={option.name}": option.build for option in OPTIONS
          if isinstance(option.build, type) and issubclass(option.build, pruning.Pruning)}  # fmt: skip
PRUNING = [combination for combination in COMBINATIONS if MASKED.keys() & {*combination}]


def strong(compose: Compose, combination: Combination, *more: str) -> Config:
    """With more sparsity than usual, where the option leaves a choice."""
    try:
        return compose(*words(combination, *more, "prune.sparsity=0.6"))
    except ConfigError:
        return compose(*words(combination, *more))


@pytest.mark.parametrize(
    ("combination", "seed"),
    [(combination, (0, 7, 2**31 - 1)[number % 3]) for number, combination in enumerate(PRUNING)],
    ids=lambda value: named(value) if isinstance(value, tuple) else str(value),
)
def test_pruned_weights_are_zero_after_every_step_and_in_every_form(
    compose: Compose, combination: Combination, seed: int, tmp_path: Path
) -> None:
    """Also where momentum and decay are strong and the steps are wild."""
    hostile = ("train.weight_decay=0.9", "train.learning_rate=0.05", f"seed={seed}")
    (buffer,) = {build.mask for word, build in MASKED.items() if word in combination}
    steps: list[float] = []

    def look(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        layers = [layer for layer in plain.matrices(model).values() if buffer in layer._buffers]
        for layer in layers:
            gone = ~layer.get_buffer(buffer)
            assert not layer.weight[gone].any()
            assert not optimizer.state[layer.weight]["exp_avg"][gone].any()
        positions = sum(layer.weight.numel() for layer in layers)
        steps.append(sum(int((~layer.get_buffer(buffer)).count_nonzero()) for layer in layers) / positions)

    config = strong(compose, combination, "task=rte", *hostile)
    model, active, _, tokenizer = trained(config, Watch(look))
    assert steps == sorted(steps)
    assert steps[0] == 0.0
    masks = {name: layer.get_buffer(buffer).clone() for name, layer in plain.matrices(model).items()
             if buffer in layer._buffers}  # fmt: skip
    assert sum(int((~mask).count_nonzero()) for mask in masks.values()) == asked(config, masks.values())
    store.save(tmp_path / "artifact", finished(model, active), tokenizer)
    for form in (model, store.load(tmp_path / "artifact")):
        for name, mask in masks.items():
            state = form.get_submodule(name).state_dict()
            assert torch.equal(state[buffer], mask)
            assert not state["weight"][~mask].any()


def without_zeros(matrix: torch.Tensor) -> torch.Tensor:
    """The rows and columns that are not all 0: what is cut out was 0 before."""
    return matrix[matrix.any(1)][:, matrix.any(0)]


@pytest.mark.parametrize(
    ("combination", "seed"), [(combination, 1 + number % 2) for number, combination in enumerate(COMBINATIONS)],
    ids=lambda value: named(value) if isinstance(value, tuple) else str(value),
)  # fmt: skip
def test_the_reloaded_artifact_computes_what_was_trained_layer_by_layer(
    compose: Compose, combination: Combination, seed: int, tmp_path: Path
) -> None:
    config = compose(*words(combination, "task=rte", f"seed={seed}", "model=demo/small"))
    model, active, dataset, tokenizer = trained(config)
    assert all(method.settled() for method in active)
    model.eval()
    split = dataset.splits["validation"]
    before = predict(model, split, 0)
    rounded = {name: module.grid.round(module.weight.detach()) for name, module in model.named_modules()
               if isinstance(module, FakeLinear | FakeEmbedding)}  # fmt: skip
    ranges = {name: m.ends.clone() for name, m in model.named_modules() if isinstance(m, InputRange)}
    ids = torch.randint(5, 300, (16, 20))
    with torch.inference_mode():
        expected = model(ids, output_hidden_states=True).hidden_states
    for name, ends in ranges.items():
        assert torch.equal(model.get_buffer(f"{name}.ends"), ends)
    store.save(tmp_path / "artifact", finished(model, active), tokenizer)
    stored = store.load(tmp_path / "artifact")
    assert all(method.trace(stored) for method in active)
    assert bool(rounded) == any(word.startswith("quantize=") for word in combination)
    for name, weight in rounded.items():
        layer = stored.get_submodule(name)
        assert isinstance(layer, quantized.Layer)
        kept = layer.dense()
        assert torch.equal(kept, weight) or torch.equal(*map(without_zeros, (kept, weight)))
    with torch.inference_mode():
        states = stored(ids, output_hidden_states=True).hidden_states
    for one, other in zip(states, expected, strict=True):
        assert (one - other).abs().max() <= (expected[-1].max() - expected[-1].min()) / 255
    assert (predict(stored, split, 0).argmax(1) == before.argmax(1)).mean() >= 0.995


@every_combination
@pytest.mark.parametrize("stop", [5, 9])
def test_training_goes_on_from_a_saved_state_as_if_nothing_had_happened(
    compose: Compose, combination: Combination, stop: int
) -> None:
    """Mid-ramp and between ramp and freeze: masks, ranges and switches are in what is saved."""
    config = compose(*words(combination, "task=rte", "prune.end=0.7"))  # as ranges freeze at 0.8
    dataset, tokenizer = experiment.load_data(config)
    answers, total = logits_of(dataset, 0), 12

    def fresh() -> tuple[Any, list[Method], torch.optim.Optimizer]:
        torch.manual_seed(0)
        model, active = experiment.build_model(config, tokenizer)[0], registry.build(config.methods, answers)
        for method in active:
            method.prepare(model)
        return model, active, build_optimizer(model, config.train.learning_rate, config.train.weight_decay)

    def go(model: Any, active: list[Method], optimizer: torch.optim.Optimizer, steps: range) -> None:
        model.train()
        for step in steps:
            for method in active:
                method.before_step(step / total)
            rows = np.arange(step, step + 4)
            torch.manual_seed(step)  # of dropout
            logits = model(torch.randint(5, 300, (4, 9))).logits
            loss = logits.square().sum()
            for method in active:
                loss = method.loss(loss, logits, rows)
            loss.backward()
            for method in active:
                method.after_backward(model)
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
    for model, active, _ in (whole, again):
        for method in active:
            method.before_step(1.0)
        model.eval()
        for method in active:
            method.calibrate(model, lambda count: [{"input_ids": torch.arange(5, 41).view(4, 9)}])
        finished(model, active)
    one, other = store.pack(whole[0]), store.pack(again[0])
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert all(torch.equal(value, other[0][name]) for name, value in one[0].items())


@some_combinations
def test_onnx_runtime_predicts_what_the_artifact_does(
    compose: Compose, combination: Combination, tmp_path: Path
) -> None:
    config = compose(*words(combination, "task=rte"))
    model, active, _, tokenizer = trained(config)
    store.save(tmp_path / "artifact", finished(model, active), tokenizer)
    stored = store.load(tmp_path / "artifact")
    ids = torch.randint(5, 300, (64, 20))
    feed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    with torch.inference_mode():
        expected = stored(**feed).logits
    qdq.to_onnx(stored, tmp_path / "model.onnx")
    session = qdq.session(tmp_path / "model.onnx", threads=1)
    (logits,) = session.run(None, {name: tensor.numpy() for name, tensor in feed.items()})
    assert (logits.argmax(1) == expected.argmax(1).numpy()).mean() >= 0.95
    assert np.abs(logits - expected.numpy()).max() <= 0.05 * (expected.max() - expected.min()).item() + 1e-4
