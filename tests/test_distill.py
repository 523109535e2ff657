"""Distillation: the loss of its paper, a teacher that is an ordinary experiment and is asked once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from compress import experiment, teacher
from compress.artifact import store
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.schema import Config, from_mapping, teacher_experiment
from compress.data import augmentation
from compress.errors import ConfigError
from compress.methods.distill import Distill, DistillConfig, distillation_loss
from compress.runs.result import from_document
from compress.storage.files import write_json
from compress.task.metrics import named
from compress.training.evaluate import Scores, predict
from compress.training.loop import task_loss, train
from tests import grids
from tests.conftest import Compose
from tests.test_train import RECIPE

DEMO = ("model=demo/tiny", "data=demo", "task=rte", "train=demo", "train.max_steps=12", "device=cpu")
KD = (*DEMO, "distill=kd", "distill.teacher=mini", "distill.weak_teacher=true")


# --- the loss ---------------------------------------------------------------------------------------------------------


def options(config: Config) -> DistillConfig:
    found = config.methods["distill"]
    assert isinstance(found, DistillConfig)
    return found


def distilling(config: Config, **changes: Any) -> Config:
    """The same experiment with other options of its distillation."""
    return replace(config, methods=config.methods | {"distill": replace(options(config), **changes)})


@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 9),
    classes=st.integers(2, 5),
    temperature=st.floats(0.5, 20),
    spread=st.floats(0.01, 30),
)
@settings(deadline=None)
def test_loss_and_gradient_equal_the_formula_in_float64(
    seed: int, batch: int, classes: int, temperature: float, spread: float
) -> None:
    generator = np.random.default_rng(seed)
    student, taught = (generator.normal(0, spread, (batch, classes)).astype(np.float32) for _ in range(2))
    logits = torch.from_numpy(student).requires_grad_()
    loss = distillation_loss(logits, torch.from_numpy(taught), temperature)
    loss.backward()
    s, t = student.astype(np.float64) / temperature, taught.astype(np.float64) / temperature
    divergence = (softmax(t, 1) * (log_softmax(t, 1) - log_softmax(s, 1))).sum(1)
    assert loss.item() == pytest.approx(temperature**2 * divergence.mean(), rel=1e-4, abs=1e-4 * temperature**2)
    gradient = temperature * (softmax(s, 1) - softmax(t, 1)) / batch
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-3, atol=1e-6 * temperature)


def test_the_squared_temperature_keeps_the_gradients_size() -> None:
    """For T → ∞ it is (student − teacher) / classes, both centered, whatever T (Hinton et al., 2015, equation 4)."""
    student = torch.tensor([[1.0, -0.5, 0.2]], dtype=torch.float64).requires_grad_()
    taught = torch.tensor([[0.3, 0.9, -1.0]], dtype=torch.float64)
    centered = (student - student.mean() - taught + taught.mean()).detach() / 3
    for temperature in (100.0, 1000.0):
        (gradient,) = torch.autograd.grad(distillation_loss(student, taught, temperature), student)
        torch.testing.assert_close(gradient, centered, rtol=2e-2, atol=2e-3)


def test_the_mean_is_over_the_batch_not_over_the_classes() -> None:
    student, taught = torch.randn(4, 3), torch.randn(4, 3)
    once = distillation_loss(student, taught, 2.0)
    torch.testing.assert_close(distillation_loss(student.repeat(5, 1), taught.repeat(5, 1), 2.0), once)
    never = torch.full((4, 6), -1e4)  # classes that neither believes in
    padded = distillation_loss(torch.cat([student, never], 1), torch.cat([taught, never], 1), 2.0)
    torch.testing.assert_close(padded, once)


def test_a_regression_is_taught_by_the_squared_difference_without_temperature() -> None:
    student, taught = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.5], [1.0], [4.0]])
    for temperature in (1.0, 7.0):
        assert distillation_loss(student, taught, temperature).item() == pytest.approx((0.25 + 1.0) / 3)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_weighs_the_teacher_against_the_labels(compose: Compose, alpha: float) -> None:
    config = replace(options(compose(*KD)), alpha=alpha)
    logits, answers = torch.randn(3, 2), np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    rows = np.array([7, 0, 3])
    labels = task_loss(logits, torch.tensor([0, 1, 1]))
    taught = distillation_loss(logits, torch.from_numpy(answers[rows]), config.temperature)
    method = Distill(config, answers)
    torch.testing.assert_close(method.loss(labels, logits, rows), alpha * taught + (1 - alpha) * labels)
    terms = {"distillation_loss": pytest.approx(taught.item()), "label_loss": pytest.approx(labels.item())}
    assert method.metrics() == ({} if alpha == 0 else terms)


def test_a_student_follows_its_teacher_row_by_row_where_the_labels_are_noise(compose: Compose) -> None:
    """Answers that were mixed up between rows could not be learned."""
    config = compose(*KD)
    dataset, tokenizer = experiment.load_data(distilling(config, copies=0))
    train_split = dataset.splits["train"]
    answers = np.eye(2, dtype=np.float32)[train_split.labels] * 8
    noise = replace(train_split, labels=np.random.default_rng(0).permutation(train_split.labels))
    torch.manual_seed(0)
    model, _ = experiment.build_model(compose(*KD, "model=demo/base"), tokenizer)
    recipe = replace(RECIPE, epochs=3, batch_size=16, learning_rate=1.5e-3, warmup=0.2)
    method = Distill(replace(options(config), alpha=1.0), answers[dataset.train_rows[::-1]])
    train(model, noise, dataset.train_rows[::-1], recipe, seed=0, padding=0, methods=[method])
    validation = dataset.splits["validation"]
    assert (predict(model, validation, 0).argmax(1) == validation.labels).mean() > 0.75


@pytest.mark.parametrize("task", ["rte", "stsb"])
def test_alpha_of_zero_without_copies_is_no_distillation(compose: Compose, task: str) -> None:
    files = []
    for words in (DEMO, (*KD, "distill.alpha=0", "distill.copies=0")):
        config = compose(*words, f"task={task}")
        experiment.run(config)
        files.append((identity.run_folder(config) / "artifact" / "model.safetensors").read_bytes())
    assert files[0] == files[1]


# --- the teacher ------------------------------------------------------------------------------------------------------


def test_the_teacher_is_that_cell_of_the_grid(compose: Compose) -> None:
    taught = teacher_experiment(compose(*KD, "quantize=int8", "prune=magnitude", "seed=5"))
    assert identity.run_id(taught) == identity.run_id(compose(*DEMO, "model=demo/mini", "seed=5"))


def test_what_is_set_for_the_student_alone_makes_no_other_teacher(compose: Compose) -> None:
    plain = identity.run_id(teacher_experiment(compose(*KD)))
    words = ("train.learning_rate=1e-2", "model.dropout=0.3", "distill.temperature=9", "prune=magnitude", "force=true")
    for word in words:
        assert identity.run_id(teacher_experiment(compose(*KD, word))) == plain
    for word in ("seed=1", "train.epochs=9", "data.max_train=50", "task=qnli", "distill.teacher=small"):
        assert identity.run_id(teacher_experiment(compose(*KD, word))) != plain


def test_a_stored_configuration_holds_its_teacher(compose: Compose) -> None:
    """So that whoever runs it later need not look the model up again, and gets the same experiment."""
    import yaml

    config = compose(*KD)
    again = from_mapping(yaml.safe_load(experiment.to_yaml(config)))
    assert again == config
    assert identity.run_id(again) == identity.run_id(config)


def test_generated_data_takes_its_own_sizes_as_teachers(compose: Compose) -> None:
    assert compose(*KD).teacher == compose("data=demo", "model=demo/mini").model
    assert compose("distill=kd", "distill.teacher=mini", "distill.copies=0").teacher == compose("model=mini").model


def test_a_checkpoint_can_be_the_teacher(compose: Compose, weights: Path) -> None:
    folder = weights / "standin-mini"
    config = compose("distill=kd", f"distill.teacher={folder}", "distill.copies=0")
    assert config.teacher == compose("model=pretrained", f"model.pretrained={folder}").model
    named = compose("distill=kd", "distill.teacher=some/one", "distill.copies=0").teacher
    assert named == compose("model=pretrained", "model.pretrained=some/one").model


def test_a_teacher_is_looked_up_in_the_users_own_configuration_folder_too(tmp_path: Path, compose: Compose) -> None:
    from compress.config.overrides import compositions

    (tmp_path / "mine" / "model").mkdir(parents=True)
    text = (conf_folder() / "model" / "large.yaml").read_text().replace("name: large", "name: wise")
    (tmp_path / "mine" / "model" / "wise.yaml").write_text(text)
    words = ["distill=kd", "distill.teacher=wise", "distill.copies=0", f"hydra.searchpath=[file://{tmp_path}/mine]"]
    config = next(compositions(words, conf_folder(), multirun=False))
    assert config.teacher == replace(compose("model=large").model, name="wise")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("distill.teacher=larg",), r"^distill.teacher=larg: no such model \(did you mean large\?\); must be of base,"),
        (("distill.teacher=./nowhere",), r"^distill.teacher=./nowhere: no such model; .* or a checkpoint's folder"),
        (("distill.teacher=pretrained",), r"^distill.teacher=pretrained: no such model"),
        (("data.max_length=80", "model.positions=80"), r"^distill.teacher=mini: data.max_length=80: must be at most"),
        (("distill.temperature=0",), r"^distill.temperature=0: must be greater than 0"),
        (("distill.alpha=1.5",), r"^distill.alpha=1.5: must be less than or equal to 1"),
        (("distill.wordnet=/nowhere",), r"^distill.wordnet=/nowhere: the folder lacks cntlist.rev"),
    ],
)
def test_what_cannot_be_is_told(compose: Compose, words: tuple[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compose(*KD, *words)


# --- its answers ------------------------------------------------------------------------------------------------------


def cached(config: object) -> list[Path]:
    folders = Path(os.environ["COMPRESS_CACHE"], "logits").glob("*/about.json")
    taught = identity.run_id(teacher_experiment(config))  # type: ignore[arg-type]
    return [about.parent for about in folders if json.loads(about.read_text())["of"]["teacher"] == taught]


def test_the_teacher_is_trained_when_missing_and_asked_once(compose: Compose, capfd: pytest.CaptureFixture) -> None:
    config = compose(*KD, "data.seed=11")
    document = experiment.run(config).document()
    taught = teacher_experiment(config)
    assert document["teacher_run_id"] == identity.run_id(taught)
    file = identity.run_folder(taught) / "result.json"
    (answers,) = cached(config)
    before = file.stat().st_mtime_ns, (answers / "logits.npy").stat().st_mtime_ns
    other = experiment.run(compose(*KD, "data.seed=11", "quantize=int8", "distill.temperature=5")).document()
    assert other["teacher_run_id"] == document["teacher_run_id"]
    assert cached(config) == [answers]
    assert (file.stat().st_mtime_ns, (answers / "logits.npy").stat().st_mtime_ns) == before
    assert capfd.readouterr().out.count("rte mini answers") == 1


def test_the_answers_are_the_stored_teachers_on_the_rows_that_are_trained_on(compose: Compose) -> None:
    config = compose(*KD, "data.max_train=100", "distill.copies=2", "data.seed=12")
    finished = experiment.run(teacher_experiment(config))
    found = teacher.logits(config, finished, torch.device("cpu"), lambda done, total: None)
    assert isinstance(found, np.memmap)
    dataset, tokenizer = experiment.load_data(config)
    assert len(found) == len(dataset.train_rows) > 250
    stored = store.load(identity.run_folder(teacher_experiment(config)) / "artifact")
    expected = predict(stored, dataset.splits["train"], tokenizer.pad_token_id)[dataset.train_rows]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "changed", "no description", "garbage"])
def test_a_damaged_cache_is_noticed_and_made_anew(compose: Compose, damage: str) -> None:
    config = compose(*KD, "data.seed=13")
    finished = experiment.run(teacher_experiment(config))
    good = np.array(teacher.logits(config, finished, torch.device("cpu"), lambda done, total: None))
    (folder,) = cached(config)
    file, about = folder / "logits.npy", folder / "about.json"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-8])
    elif damage == "changed":
        np.save(file, good[::-1])
    elif damage == "foreign":
        about.write_text(about.read_text().replace(finished.run_id, "0" * 12))
    elif damage == "no description":
        about.unlink()
    else:
        about.write_text("{")
    asked: list[int] = []
    again = teacher.logits(config, finished, torch.device("cpu"), lambda done, total: asked.append(done))
    assert asked
    assert np.array_equal(again, good)
    teacher.logits(config, finished, torch.device("cpu"), lambda done, total: pytest.fail("asked again"))


def test_another_teacher_of_the_same_name_is_asked_anew(compose: Compose) -> None:
    """Trained again, on another device say, it may have other weights."""
    config = compose(*KD, "data.seed=14")
    finished = experiment.run(teacher_experiment(config))
    before = np.array(teacher.logits(config, finished, torch.device("cpu"), lambda done, total: None))
    other = experiment.run(replace(teacher_experiment(config), seed=9))
    ours, theirs = (identity.run_folder(replace(teacher_experiment(config), seed=seed)) for seed in (0, 9))
    shutil.rmtree(ours / "artifact")
    shutil.copytree(theirs / "artifact", ours / "artifact")
    renewed = replace(finished, metrics=other.metrics, artifact_sha256=other.artifact_sha256)
    found = teacher.logits(config, renewed, torch.device("cpu"), lambda done, total: None)
    assert not np.array_equal(before, found)


def test_one_of_many_students_trains_the_teacher(tmp_path: Path, cache: Path) -> None:
    words = [*KD, "data.seed=15", f"paths.runs={tmp_path}"]
    started = [
        subprocess.Popen([sys.executable, "-m", "compress", *words, f"distill.temperature={temperature}"],
                         stdout=subprocess.PIPE, text=True)
        for temperature in (1, 2, 3)
    ]  # fmt: skip
    told = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert "".join(told).count("finished: rte mini none") == 1
    assert "".join(told).count("rte mini answers") == 1
    (log,) = tmp_path.glob("rte/mini/none/*/log.txt")
    assert log.read_text().count("finished:") == 1
    assert len(list(tmp_path.glob("rte/tiny/distill/*/result.json"))) == 3


# --- a teacher that cannot be right -----------------------------------------------------------------------------------


def scores(**metrics: float | None) -> Scores:
    return Scores(dict(metrics), None, None, [], {}, {})


def test_labels_in_another_order_are_refused(compose: Compose) -> None:
    task = compose("task=mnli").task
    teacher.check_labels(dict(enumerate(["entailment", "neutral", "contradiction"])), task, Path("x"))
    with pytest.raises(teacher.TeacherError, match=r"answers \['contradiction', 'neutral', 'entailment'\], mnli has"):
        teacher.check_labels(dict(enumerate(["contradiction", "neutral", "entailment"])), task, Path("x"))


@pytest.mark.parametrize(("now", "before"), [(0.8, 0.5), (0.8, None), (None, 0.8)])
def test_a_file_that_does_not_score_what_its_result_says_is_refused(now: float | None, before: float | None) -> None:
    teacher.check_scores(scores(accuracy=now), {"accuracy": now}, Path("x"))
    with pytest.raises(teacher.TeacherError, match="but its result says"):
        teacher.check_scores(scores(accuracy=now), {"accuracy": before}, Path("x"))


@pytest.mark.parametrize("task", ["rte", "mnli", "stsb", "cola", "mrpc"])
def test_a_teacher_no_better_than_the_best_constant_answer_is_refused(compose: Compose, task: str) -> None:
    """Better by any metric of the task's score is enough: on CoLA accuracy may be below the frequent class's share."""
    config = compose("data=demo", f"task={task}", "model=demo/tiny")
    split, names = config.task.validation[0], config.task.metrics
    dataset, _ = experiment.load_data(config)
    share = np.bincount(dataset.splits[split].labels.astype(int) == 1).astype(float) / len(dataset.splits[split].labels)
    best = {"pearson": 0.0, "spearman": 0.0, "matthews_correlation": 0.0, "f1": 2 * share[1] / (1 + share[1])}
    labels = dataset.splits[split].labels
    best["accuracy"] = 0.0 if config.task.regression else np.bincount(labels).max() / len(labels)
    finished = from_document(grids.document("rte", "large", "none", None))
    learns = options(compose(*KD))

    def notes(more: dict[str, float | None], *, allowed: bool) -> list[str]:
        poor = {metric: best[metric] for metric in names} | more
        scored = {named(metric, split, config.task.validation): value for metric, value in poor.items()}
        asked = replace(finished, metrics=scored | {"accuracy_of_another": 1.0}), dataset, config.task, "distill"
        return teacher.check_learned(*asked, replace(learns, weak_teacher=allowed))

    for metric in names:
        assert notes({metric: best[metric] + 0.01}, allowed=False) == []
        for poor in (best[metric], best[metric] - 0.2, None):
            value = "undefined" if poor is None else f"{poor:.3f}"
            told = rf"{metric}\w* {value} \(constant {best[metric]:.3f}\).*distill.weak_teacher=true$"
            with pytest.raises(teacher.TeacherError, match=told):
                notes({metric: poor}, allowed=False)
            assert "allowed by distill.weak_teacher" in notes({metric: poor}, allowed=True)[0]


def test_a_collapsed_teacher_is_refused_also_when_its_answers_are_in_the_cache(compose: Compose) -> None:
    """It answers the majority class always; a student that was allowed it has asked it before."""
    words = ["model=demo/tiny", "data=demo", "task=cola", "train=demo", "train.max_steps=2"]
    majority = compose(*words, "distill=kd", "distill.teacher=mini", "tracking=none", "device=cpu")
    assert majority.teacher is not None
    majority = replace(majority, teacher=replace(majority.teacher, learning_rate=1e-9))
    allowed = distilling(majority, weak_teacher=True)
    document = experiment.run(allowed).document()
    assert [note for note in document["notes"] if "no better on the dev set than the best constant answer" in note]
    assert identity.run_id(majority) == document["run_id"], "the key says whether, not what"
    with pytest.raises(experiment.ExperimentError, match=r"distill.weak_teacher=true"):
        experiment.run(replace(majority, force=True))


def test_a_refused_teacher_fails_its_student_with_the_cause(compose: Compose) -> None:
    config = compose(*KD, "data.seed=16")
    finished, folder = experiment.run(teacher_experiment(config)), identity.run_folder(teacher_experiment(config))
    file = folder / "artifact" / "config.json"
    file.write_text(file.read_text().replace('"not_entailment"', '"?"').replace('"entailment"', '"not_entailment"'))
    with pytest.raises(experiment.ExperimentError, match=r"artifact: changed or damaged since it was scored"):
        experiment.run(config)
    assert "ArtifactError" in (identity.run_folder(config) / "error.json").read_text()
    write_json(folder / "result.json", finished.document() | {"artifact_sha256": store.digest(folder / "artifact")})
    with pytest.raises(experiment.ExperimentError, match="TeacherError: the teacher in"):
        experiment.run(config)
    assert "TeacherError" in (identity.run_folder(config) / "error.json").read_text()


def test_a_teacher_that_fails_fails_its_student(compose: Compose) -> None:
    config = compose(*KD, "data.seed=17")
    taught = teacher_experiment(config)
    wild = replace(config, teacher=replace(taught.model, learning_rate=1e30))
    with pytest.raises(experiment.ExperimentError):
        experiment.run(wild)
    told = json.loads((identity.run_folder(wild) / "error.json").read_text())
    assert told["type"] == "ExperimentError"
    assert str(identity.run_folder(teacher_experiment(wild))) in told["message"]
    assert (identity.run_folder(teacher_experiment(wild)) / "error.json").is_file()


# --- the enlarged training set ----------------------------------------------------------------------------------------


def test_the_training_set_alone_is_enlarged_with_labels_and_sources(compose: Compose) -> None:
    plain, _ = experiment.load_data(compose(*DEMO))
    enlarged, tokenizer = experiment.load_data(compose(*KD, "distill.copies=3"))
    before, after = plain.splits["train"], enlarged.splits["train"]
    count = len(before)
    assert 3 * count < len(after) <= 4 * count
    assert np.array_equal(after.ids[: len(before.ids)], before.ids)
    assert np.array_equal(after.labels, before.labels[after.sources])
    assert np.array_equal(after.sources[:count], np.arange(count))
    for split in plain.splits.keys() - {"train"}:
        assert np.array_equal(plain.splits[split].ids, enlarged.splits[split].ids)
    assert len(enlarged.train_rows) == len(after)
    row = int(np.flatnonzero(after.sources == 5)[1])
    original, copy = (
        tokenizer.decode(after.ids[after.offsets[i] : after.offsets[i + 1]], skip_special_tokens=True) for i in (5, row)
    )
    assert original != copy


def test_of_the_rows_that_are_drawn_all_copies_are_used(compose: Compose) -> None:
    plain, _ = experiment.load_data(compose(*DEMO, "data.max_train=50"))
    enlarged, _ = experiment.load_data(compose(*KD, "data.max_train=50", "distill.copies=2"))
    sources = enlarged.splits["train"].sources[enlarged.train_rows]
    assert set(sources) == set(plain.train_rows)
    assert 100 < len(sources) <= 150


def test_controls_take_the_steps_that_they_say(compose: Compose) -> None:
    """Alone: the teacher, the new texts, the steps; and distillation in no more steps than without."""
    few = ("data.max_train=60", "train.batch_size=8", "train.max_steps=null", "train.epochs=1")
    controls = ("kd", "teacher_alone", "texts_alone", "steps_alone", "equal_steps")
    configs = {name: compose(*DEMO, *few, f"distill={name}", "distill.teacher=tiny", "distill.weak_teacher=true")
               for name in controls}  # fmt: skip
    results = {name: experiment.run(config) for name, config in configs.items()}
    steps = {name: int(result.timing.steps or 0) for name, result in results.items()}
    plain = experiment.run(compose(*DEMO, *few)).timing.steps
    assert plain == steps["teacher_alone"] == steps["equal_steps"] == 8
    assert 8 < steps["kd"] == steps["texts_alone"] == steps["steps_alone"] <= 16
    assert len({result.run_id for result in results.values()}) == len(controls)
    assert {result.teacher_run_id for result in results.values()} == {results["kd"].teacher_run_id}


def test_what_a_control_changes_counts_and_its_default_does_not(compose: Compose) -> None:
    kd = identity.run_id(compose(*KD))
    for words in (("distill.rewrite=false",), ("distill.steps=original",), ("distill=steps_alone",)):
        assert identity.run_id(compose(*KD, *words)) != kd
    assert identity.run_id(compose(*KD, "distill.rewrite=true", "distill.steps=enlarged")) == kd
    without = identity.scientific(compose(*KD))["distill"]
    assert isinstance(without, dict)
    assert not {"rewrite", "steps", "weak_teacher"} & without.keys()
    alone = [identity.run_id(compose(*KD, "distill.copies=0", word)) for word in ("seed=0", "distill.steps=original",
             "distill.rewrite=false")]  # fmt: skip
    assert len(set(alone)) == 1


def test_wordnet_counts_by_its_contents_and_only_if_it_is_asked(compose: Compose, tmp_path: Path) -> None:
    from compress.data import wordnet

    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        for name in wordnet.FILES:
            (tmp_path / place / name).write_text("")
    ids = [identity.run_id(compose(*KD, f"distill.wordnet={tmp_path / place}")) for place in ("one", "two")]
    assert ids[0] == ids[1] != identity.run_id(compose(*KD))
    (tmp_path / "two" / "noun.exc").write_text("mice mouse\n")
    assert identity.run_id(compose(*KD, f"distill.wordnet={tmp_path / 'two'}")) != ids[0]
    none = [identity.run_id(compose(*KD, "distill.copies=0", word)) for word in ("seed=0", "distill.replace=0.9")]
    assert none[0] == none[1]


def asked_for(config: Config) -> augmentation.Augmentation | None:
    return augmentation.of(config.methods, config.data, config.seed)


def test_synonyms_are_the_datas_own_or_wordnets(compose: Compose) -> None:
    asked = asked_for(compose(*KD))
    assert asked is not None
    assert asked.wordnet is None
    assert asked_for(compose(*KD, "distill.copies=0")) is asked_for(compose(*DEMO)) is None
