"""Int8 after training: training is as without it, ranges are of the calibration rows, int8's layers are stored."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from compress import experiment
from compress.artifact import plain, store
from compress.artifact.layers import int8, quantized
from compress.config import identity
from compress.methods import registry
from compress.methods.layers import calibration
from compress.training.evaluate import some_batches
from compress.training.loop import train
from tests.conftest import Compose
from tests.test_train import small_model

DEMO = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "train.max_steps=12", "device=cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def artifact(compose: Compose, *words: str) -> Path:
    config = compose(*DEMO, *words)
    document = experiment.run(config)
    assert document.metrics == document.metrics_training
    return identity.run_folder(config) / "artifact"


def test_it_is_the_uncompressed_training_rounded_with_the_ranges_of_some_rows(compose: Compose) -> None:
    """Weights are what int8 makes of those of `quantize=none`, inputs have the extremes that its model sees."""
    whole, folder = artifact(compose, "quantize=none"), artifact(compose, "quantize=post", "quantize.calibration=40")
    model, stored = store.load(whole), store.load(folder)
    config = compose(*DEMO, "quantize=post")
    dataset, _ = experiment.load_data(config)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, x, name=name: seen.setdefault(name, []).append(x[0].flatten()))
    with torch.inference_mode():
        for batch in some_batches(model, dataset.splits["train"], dataset.train_rows, 0, config.seed, 40):
            model(**batch)
    for names in plain.structure_of(model).shared_inputs:  # one range for all
        together = [values for name in names for values in seen[name]]
        seen |= dict.fromkeys(names, together)
    for name, layer in quantized.layers(stored).items():
        weight = model.get_parameter(f"{name}.weight")
        assert layer.grid == int8.GRID
        assert torch.equal(layer.weight, int8.GRID.integers(weight, int8.GRID.scales(weight)))
        if isinstance(layer, quantized.QuantizedLinear):
            expected = quantized.range_parameters(*torch.aminmax(torch.cat(seen[name])))
            assert (layer.input_scale, layer.input_zero_point) == expected


def test_the_same_seed_gives_the_same_bytes_and_another_number_of_rows_others(compose: Compose) -> None:
    files = [
        (artifact(compose, "quantize=post", "force=true", *words) / store.WEIGHTS).read_bytes()
        for words in ((), (), ("quantize.calibration=3",))
    ]
    assert files[0] == files[1] != files[2]


def test_inputs_stay_in_float_if_asked(compose: Compose) -> None:
    folder = artifact(compose, "quantize=post", "quantize.activations=false", "quantize.embeddings=false")
    held = load_file(folder / store.WEIGHTS)
    assert not any("input_scale" in name for name in held)
    assert held["bert.embeddings.word_embeddings.weight"].dtype == torch.float32
    assert held["classifier.weight"].dtype == torch.int8


@pytest.mark.parametrize("outside", [0.0, 0.001, 0.05])
def test_percentiles_are_numpys_to_a_bin(outside: float) -> None:
    values = np.random.default_rng(0).standard_t(3, 100_000).astype(np.float32)
    ends = torch.tensor([values.min(), values.max()])
    counts = torch.histc(torch.from_numpy(values), calibration.BINS, *ends.tolist()).double()
    found = calibration.within(ends, counts, outside).numpy()
    expected = np.quantile(values, [outside, 1 - outside])
    assert np.abs(found - expected).max() <= 1.01 * float(ends[1] - ends[0]) / calibration.BINS


def test_a_percentile_narrows_ranges_and_the_extremes_are_wider(compose: Compose) -> None:
    batch = {"input_ids": torch.randint(5, 30, (16, 9))}
    found = {}
    for percentile in (100.0, 99.0):
        model = small_model().eval()
        before = copy.deepcopy(model.state_dict())
        found[percentile] = calibration.ranges(model, lambda: [batch, batch], percentile)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert not any(module._forward_pre_hooks for module in model.modules())
    for name, (low, high) in found[100.0].items():
        assert low <= found[99.0][name][0] < found[99.0][name][1] <= high
    assert any(found[99.0][name][1] < 0.9 * high for name, (_, high) in found[100.0].items())


def test_rows_are_drawn_once_by_the_seed_and_all_if_there_are_fewer(compose: Compose) -> None:
    config = compose(*DEMO, "data.max_train=30")
    dataset, _ = experiment.load_data(config)
    split, rows = dataset.splits["train"], dataset.train_rows

    def drawn(seed: int, count: int) -> list[bytes]:
        batches = list(some_batches(small_model(), split, rows, 0, seed, count))
        assert not any("labels" in batch for batch in batches)
        return sorted(row[row != 0].numpy().tobytes() for batch in batches for row in batch["input_ids"])

    assert drawn(0, 10) == drawn(0, 10) != drawn(1, 10)
    assert len(drawn(0, 10)) == 10
    assert drawn(0, 99) == drawn(1, 30)
    assert len(drawn(0, 99)) == 30


def test_the_best_epochs_weights_are_calibrated(compose: Compose) -> None:
    """Not the last ones."""
    words = ("quantize=post", "train.select=best", "train.max_steps=null", "train.epochs=2", "data.max_train=64")
    config = compose(*DEMO, *words)
    dataset, tokenizer = experiment.load_data(config)
    kept = {}
    for name, methods in (("float", []), ("post", registry.build(config.methods))):
        torch.manual_seed(0)
        model, _ = experiment.build_model(config, tokenizer)
        scores = [1.0, 2.0]
        split = dataset.splits["train"]
        train(model, split, dataset.train_rows, config.train, seed=0, padding=0, methods=methods,
              dev_score=scores.pop)  # fmt: skip
        kept[name] = model.state_dict()
    assert all(torch.equal(value, kept["post"][name]) for name, value in kept["float"].items())
    assert any(name.endswith("input_range.ends") for name in kept["post"])
