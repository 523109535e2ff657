"""Models that start from what is fine-tuned already: the grid's uncompressed model, or a checkpoint with its head."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.read.results import Results, from_documents
from analysis.statistics import costs
from compress import experiment
from compress.config import identity
from compress.config.run_names import cell_name, factors
from compress.config.schema import Config, from_mapping, own_training, start_experiment
from compress.errors import ConfigError
from compress.experiment import ExperimentError
from compress.runs import result
from compress.training.checkpoint import Stopped
from compress.training.evaluate import predict
from launch import cost, plan
from launch.batches import batches
from launch.plan import elapsed
from launch.sweep import Sweep
from launch.worker import Worker
from tests import grids
from tests.conftest import Compose
from tests.subsets import one_thread, words  # noqa: F401 - a fixture for all tests here
from tests.test_checkpoint import elsewhere, rows, signal_at, weights
from tests.test_plan import planned
from tests.test_submission import settings
from tests.test_worker import handlers, sweep  # noqa: F401 - fixtures

ALL = ("quantize", "distill", "prune")
FINISHED = "model.start=finished"


# --- from the finished uncompressed model -----------------------------------------------------------------------------


def test_the_start_is_the_uncompressed_cell_and_what_is_trained_from_there_counts(compose: Compose) -> None:
    plain, pruned = compose(*words(())), compose(*words(("prune",), FINISHED))
    assert identity.run_id(start_experiment(pruned)) == identity.run_id(plain)
    assert identity.run_id(compose(*words((), FINISHED, "train.further_epochs=4"))) == identity.run_id(plain)
    changes = ("train.further_epochs=2", "train.further_rate=0.5", "train.epochs=2", "seed=1", "model.start=pretrained")
    others = {identity.run_id(compose(*words(("prune",), FINISHED, change))) for change in changes}
    assert len(others | {identity.run_id(pruned)}) == len(changes) + 1
    without = {identity.run_id(compose(*words(("prune",), change))) for change in (changes[0], changes[1], "seed=0")}
    assert len(without) == 1, "of what starts from its checkpoint they are no part"


def test_the_students_teacher_stays_what_it_was(compose: Compose) -> None:
    both = [compose(*words(("distill",), f"model.start={start}")) for start in ("pretrained", "finished")]
    teachers = [identity.scientific(config)["distill"]["teacher"] for config in both]  # type: ignore[index]
    assert teachers[0] == teachers[1]
    assert [own_training(config).epochs for config in both] == [3, 1]


def test_a_compressed_run_trains_its_missing_start_and_goes_on_from_its_very_weights(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*words(("prune",), "task=rte", "data.max_train=96", "train.max_steps=null", FINISHED))
    seen: list[dict[str, torch.Tensor]] = []
    real = experiment._train_and_store  # type: ignore[attr-defined]

    def watched(config: Config, head: Any, folder: Path, inputs: experiment.Inputs, *rest: Any) -> Any:
        seen.append({name: value.clone() for name, value in inputs.model.state_dict().items()})
        return real(config, head, folder, inputs, *rest)

    monkeypatch.setattr(experiment, "_train_and_store", watched)
    done = experiment.run(config)
    folder = identity.run_folder(start_experiment(config))
    start = result.read(folder, folder.name)
    assert start is not None
    assert (start.timing.steps, done.timing.steps) == (18, 6)
    stored = load_file(folder / "artifact" / "model.safetensors")
    assert all(torch.equal(seen[1][name], value) for name, value in stored.items())
    assert done.start is not None
    assert (done.start["run_id"], done.start["sha256"], done.start["new"]) == (start.run_id, start.artifact_sha256, [])
    assert start.start is not None
    assert "run_id" not in start.start
    assert any(start.run_id in note for note in done.notes)
    assert from_mapping(done.config) == replace(config, paths=from_mapping(done.config).paths)


@pytest.mark.parametrize("subset", [ALL, ("prune",)], ids="+".join)
def test_a_stopped_run_goes_on_and_ends_bit_for_bit_as_an_undisturbed_one(
    compose: Compose, subset: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped once in the training of its start, and once in its own."""
    short = ("task=rte", "model.dropout=0.2", "data.max_train=160", "train.epochs=2", FINISHED)
    config = compose(*words(subset, *short, "train.max_steps=null"))
    experiment.run(elsewhere(config, tmp_path))
    signal_at(monkeypatch, [15, 5], signal.SIGTERM)
    for step in (5, 15):
        with pytest.raises(Stopped, match=f"after step {step}"):
            experiment.run(config)
        signal_at(monkeypatch, [15 if step == 5 else 7], signal.SIGTERM)
    with pytest.raises(Stopped, match="after step 7"):
        experiment.run(config)
    document = experiment.run(config)
    assert document.timing.resumed == 1
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))


def test_a_start_that_is_damaged_or_failed_is_told_in_one_line(compose: Compose) -> None:
    config = compose(*words(("quantize",), "task=rte", "train.max_steps=2", FINISHED))
    folder = identity.run_folder(start_experiment(config))
    experiment.run(start_experiment(config))
    with (folder / "artifact" / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x7f")
    with pytest.raises(ConfigError, match=r"artifact: changed or damaged since it was scored; train it anew: force"):
        experiment.run(config)
    shutil.rmtree(folder / "artifact")
    with pytest.raises(ConfigError, match=r"model\.start=finished: .* no artifact any more; remove that folder"):
        experiment.run(config)
    assert not identity.run_folder(config).exists()
    wild = compose(*words(("quantize",), "task=rte", "train.max_steps=2", FINISHED, "train.learning_rate=1e30"))
    with pytest.raises(ExperimentError, match=r"the loss is"):
        experiment.run(wild)
    assert "the loss is" in str(result.failure(identity.run_folder(wild)))


def test_what_no_checkpoint_brought_is_spared_in_both_recipes(compose: Compose, weights: Path, glue: Path) -> None:
    """MiniLM's pooler is new: a model that starts from a finished one is pruned in the same matrices."""
    small = ("model=pretrained", f"model.pretrained={weights / 'paraphrase-MiniLM-L3-v2'}", "model.first_layers=1",
             "task=rte", f"data.path={glue}", "data.max_train=16", "data.max_validation=16", "data.max_length=16",
             "train.max_steps=2", "device=cpu", "tracking=none", "prune=magnitude")  # fmt: skip
    sizes = [experiment.run(compose(*small, f"model.start={start}")).size for start in ("pretrained", "finished")]
    assert sizes[0].nonzero == sizes[1].nonzero
    assert sizes[0].by_part == sizes[1].by_part


# --- from a checkpoint with its head ----------------------------------------------------------------------------------


@pytest.fixture
def tuned(compose: Compose, tmp_path: Path) -> Callable[..., Path]:
    """A function of its classes' names that gives a checkpoint fine-tuned for RTE, its outputs in that order."""
    made = compose("model=demo/tiny", "data=demo", "train=demo", "task=rte", "train.max_steps=40", "device=cpu")
    experiment.run(made)

    def checkpoint(*names: str, drop: str = "") -> Path:
        folder = tmp_path / ("checkpoint-" + "-".join(names) + drop)
        if folder.exists():
            return folder
        shutil.copytree(identity.run_folder(made) / "artifact", folder)
        about = json.loads((folder / "config.json").read_text())
        before = [name.lower() for name in about["id2label"].values()]
        ours = [name.lower() for name in names]
        order = [before.index(name) for name in ours] if sorted(ours) == sorted(before) else list(range(len(before)))
        about |= {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
        (folder / "config.json").write_text(json.dumps(about))
        tensors = load_file(folder / "model.safetensors")
        for name in ("classifier.weight", "classifier.bias"):
            tensors[name] = tensors[name][order]
        tensors = {name: value for name, value in tensors.items() if not drop or drop not in name}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return checkpoint


def from_head(compose: Compose, folder: Path, *more: str) -> Config:
    return compose("model=pretrained", f"model.pretrained={folder}", "model.start=head", "data=demo", "task=rte",
                   "train=demo", "device=cpu", "data.max_length=64", *more)  # fmt: skip


@pytest.mark.parametrize("names", [("entailment", "not_entailment"), ("not_entailment", "Entailment")])
def test_a_head_is_taken_over_whatever_the_order_of_its_classes(
    compose: Compose, tuned: Callable[..., Path], names: tuple[str, ...]
) -> None:
    plain, other = (from_head(compose, tuned(*order)) for order in (("entailment", "not_entailment"), names))
    logits, notes = [], []
    for config in (plain, other):
        dataset, tokenizer = experiment.load_data(config)
        model, start = experiment.build_model(config, tokenizer)
        assert start.new == []
        notes.append("".join(start.notes))
        logits.append(predict(model.eval(), dataset.splits["validation"], 0))
    assert np.array_equal(logits[0], logits[1])
    assert ("put in their order" in notes[1]) == (names[0] != "entailment")
    assert np.ptp(logits[0], axis=0).min() > 0.0


def test_the_passes_are_those_of_what_is_fine_tuned_and_make_another_experiment(
    compose: Compose, tuned: Callable[..., Path]
) -> None:
    folder = tuned("entailment", "not_entailment")
    config = from_head(compose, folder, "quantize=int8", "data.max_train=96")
    done = experiment.run(config)
    assert done.timing.steps == 6
    assert (done.identity["train"]["epochs"], done.identity["model"]["start"]) == (1, "head")
    longer = from_head(compose, folder, "quantize=int8", "data.max_train=96", "train.epochs=9")
    assert identity.run_id(longer) == done.run_id, "they are of what is trained before"
    assert identity.run_id(replace(config, model=replace(config.model, start="pretrained"))) != done.run_id


@pytest.mark.parametrize(
    ("names", "drop", "more", "told"),
    [
        (("yes", "no"), "", (), r"calls its outputs yes, no, rte has entailment, not_entailment; write their names in"),
        (("LABEL_0", "LABEL_1"), "", (), r"calls its outputs LABEL_0, LABEL_1, rte has entailment, not_entailment"),
        (("entailment", "not_entailment"), "classifier", (), r"has no head; give a checkpoint that was fine-tuned"),
        (("entailment", "not_entailment"), "pooler", (), r"has no pooler that a head reads"),
        (("entailment", "not_entailment"), "", ("task=mnli",), r"has a head of 2 outputs, mnli wants 3"),
        (("entailment", "not_entailment"), "", ("model.first_layers=1",), r"model.first_layers=1 leaves that out"),
    ],
)  # fmt: skip
def test_a_head_that_does_not_fit_is_refused_in_one_line(
    compose: Compose, tuned: Callable[..., Path], names: tuple[str, ...], drop: str, more: tuple[str, ...], told: str
) -> None:
    folder = tuned(*names, drop=drop)
    with pytest.raises(ConfigError, match=told) as caught:
        experiment.run(from_head(compose, folder, *more))
    assert str(caught.value).startswith("model.start=head")
    assert "\n" not in str(caught.value)


def test_from_scratch_there_is_no_head(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"model.start=head: from scratch there is none; give a checkpoint"):
        compose(*words((), "model.start=head"))


# --- grids ------------------------------------------------------------------------------------------------------------


def grid(compose: Compose, *more: str) -> list[Config]:
    """Students and others of a model, without the uncompressed cell."""
    return [compose(*words(subset, "task=rte", FINISHED, *more)) for subset in (("prune",), ("distill",), ALL)]


def test_missing_starts_are_added_once_come_first_and_are_waited_for(compose: Compose) -> None:
    made = plan.make(grid(compose), lambda runs: [])
    assert [(p.model, p.methods) for p in made.awaited] == [("mini", "none"), ("tiny", "none")]
    teacher, start = (p.run_id for p in made.awaited)
    needs = {p.methods: p.needs for p in made.to_run}
    assert needs["prune"] == (start,)
    assert needs["distill"] == needs["quantize+distill+prune"] == (teacher, start)
    assert plan.headline(made)[1:] == ["1 missing teacher is added", "1 missing uncompressed model is added"]
    said = plan.describe(made, [])
    assert "stage 1: 2 uncompressed models that others need, 1 as teachers (2 rte)" in said
    assert "stage 2: 3 other experiments, 3 of which wait for their teacher or start" in said
    arrays = batches(made.to_run, settings(pack=8), {teacher, start})
    assert [(batch.after, len(batch.run_ids())) for batch in arrays[-2:]] == [((teacher, start), 2), ((start,), 1)]
    assert all(batch.after == () and len(batch.elements[0]) == 1 for batch in arrays[:-2])


def test_a_grid_takes_less_than_half_the_steps() -> None:
    from compress.config.conf_files import conf_folder
    from compress.config.overrides import compositions

    def seconds(*more: str) -> float:
        asked = ("+experiment=grid", "model=base", "task=mnli", "distill.copies=1", "distill.teacher=base", *more)
        cells = list(compositions(asked, conf_folder(), multirun=True))
        assert len(cells) == 8
        fast = replace(cost.CORE, seconds_otherwise=0.0)
        return sum(cost.arithmetic(config, fast) for config in cells)

    assert seconds(FINISHED) < 0.5 * seconds()


def test_the_time_counts_both_that_are_waited_for() -> None:
    student = replace(planned("s", 5, "t"), start="u")
    assert elapsed([planned("t", 10), planned("u", 3), student], 2) == 15
    assert elapsed([planned("t", 10), planned("u", 12), student], 2) == 17


@pytest.mark.usefixtures("handlers")
def test_a_worker_runs_starts_first_and_tells_of_one_that_failed(
    compose: Compose,
    sweep: Callable[..., Sweep],  # noqa: F811
) -> None:
    fails = grid(compose, "train.max_steps=3", "train.learning_rate=1e30")[:1]
    made = sweep(configs=[*grid(compose, "train.max_steps=3")[:1], *fails])
    Worker(made, slots=2).run()
    ended = made.outcomes().values()
    assert sorted(outcome.state for outcome in ended) == ["failed", "failed", "finished", "finished"]
    assert "its start rte tiny none train.learning_rate=1e30 seed 0 failed" in {outcome.cause for outcome in ended}


def test_seeds_of_a_cell_share_a_name_and_recipes_do_not(compose: Compose) -> None:
    def head(*more: str) -> result.Head:
        config = compose(*words(("prune",), "task=rte", "train.max_steps=210", "distill.weak_teacher=false", *more))
        return experiment.describe(config, identity.run_id(config))

    first, second = (head(FINISHED, f"seed={seed}") for seed in (0, 1))
    assert cell_name(first) == cell_name(second)
    assert "model_start=finished" in cell_name(first)
    assert "further" not in cell_name(first)
    assert "further_rate=0.5" in cell_name(head(FINISHED, "train.further_rate=0.5"))
    assert "model_start" not in cell_name(head())
    assert (factors(first)["model_start"], factors(first)["epochs"], factors(head())["epochs"]) == ("finished", 1, 3)


# --- analysis ---------------------------------------------------------------------------------------------------------

METHODS = ("none", "quantize", "prune", "quantize+prune")


def document(methods: str, seed: int, score: float, *, started: bool, model: str = "tiny") -> dict[str, object]:
    """A result of either recipe; the uncompressed one is the same in both."""
    made = grids.document("rte", model, methods, score, seed=seed)
    if started and methods != "none":
        start = grids.document("rte", model, "none", 0.0, seed=seed)["run_id"]
        made["identity"]["start"] = {"run": start, "epochs": 1, "rate": 1.0}
        made["run_id"] = grids.digest(made["identity"])
        made["timing"] |= {"train_seconds": 0.5}
    return made


def collection(*, started: int, anew: int) -> Results:
    """Seeds of both recipes."""
    seeds = max(started, anew)
    documents = [document("none", seed, 80.0 + seed, started=False) for seed in range(seeds)]
    for count, further in ((started, True), (anew, False)):
        documents += [document(methods, seed, 70.0 if further else 60.0, started=further)
                      for methods in METHODS[1:] for seed in range(count)]  # fmt: skip
    return from_documents(documents, [], "here")


@pytest.mark.parametrize(("started", "anew", "score"), [(3, 2, 70.0), (2, 3, 60.0), (2, 0, 70.0)])
def test_two_recipes_are_told_apart_and_share_the_uncompressed_runs(started: int, anew: int, score: float) -> None:
    kept = collection(started=started, anew=anew)
    seeds = max(started, anew)
    assert kept.runs.groupby("methods").size().to_dict() == dict.fromkeys(METHODS, seeds)
    assert set(kept.runs[kept.runs["methods"] != "none"]["score_glue"]) == {score}
    told = " ".join(kept.notes)
    if anew:
        left_out = ("checkpoint", "finished model") if score == 70.0 else ("finished model", "checkpoint")
        assert "start from the {} instead of from the {}".format(*left_out) in told
    (recipe,) = kept.recipes.values()
    assert ("start" in recipe) == (score == 70.0)


def test_a_start_counts_in_what_a_model_takes_to_train_and_in_what_is_run_next() -> None:
    kept = collection(started=3, anew=0)
    pruned = costs.training(kept.runs[kept.runs["methods"] == "prune"], kept)
    assert (pruned.started, pruned.seconds, pruned.start_seconds, pruned.whole) == (True, 0.5, 1.0, 1.5)
    plain = costs.training(kept.runs[kept.runs["methods"] == "none"], kept)
    assert (plain.started, plain.whole) == (False, 1.0)
