"""One experiment, from its configuration to its run folder, reading downward."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.config import identity, run_names
from compress.config.schema import document, own_training, prerequisites
from compress.data import augmentation, tokenization, wordnet, wordnet_archive
from compress.errors import ConfigError
from compress.methods import registry
from compress.methods.base import EnlargesData, LearnsFromTeacher, Method
from compress.model import encoder
from compress.model.encoder import label
from compress.runs import environment, predictions, result
from compress.runs import folder as run_folders
from compress.runs.folder import CHECKPOINT, METRICS, ExperimentLock, cause_of, write_error
from compress.runs.result import SCHEMA, Head, Result, Timing
from compress.storage import hub, hub_cache, surroundings
from compress.storage.files import write_text
from compress.tracking import tracking_options, wandb_client, wandb_settings
from compress.tracking.tracker import Untracked, of_experiment
from compress.training import class_weights
from compress.training.checkpoint import Checkpoint, Stopped
from compress.training.devices import device_name, pick_device, use_threads
from compress.training.reporting import Reporter
from compress.wording import plural

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compress.config.schema import Config
    from compress.data.tokenization import Dataset
    from compress.model.encoder import Start
    from compress.training.evaluate import Scores
    from compress.training.loop import TrainConfig, Training


class ExperimentError(Exception):
    """An experiment that failed; its run folder holds error.json."""


@dataclass(frozen=True)
class Inputs:
    """What an experiment is made of.

    Attributes:
        model: to be trained, on its device.
        start: what the model was made from.
        teacher_result: of the teacher's experiment; None without one.
        class_weights: in the loss; None where all classes count alike.
    """

    dataset: Dataset
    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    start: Start
    teacher_result: Result | None
    class_weights: list[float] | None


def warm_up(config: Config) -> None:
    """Do once what every experiment needs, for a process that forks one after the other; it must not start threads.

    Args:
        config: of one of them; others may differ, and do then what is theirs.
    """
    import gc

    use_threads(1)
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification  # noqa: F401

    from compress import finished_start, teacher  # noqa: F401
    from compress.artifact import kinds, size, store  # noqa: F401
    from compress.data import batches  # noqa: F401
    from compress.model import architecture, first_token  # noqa: F401
    from compress.training import evaluate, loop, optimizer, used_rows  # noqa: F401

    with suppress(ConfigError):  # of another's package: the experiment that meets it says so
        kinds.registry()
    environment.unchanging()

    nothing = BertConfig(vocab_size=1, hidden_size=1, num_hidden_layers=0, num_attention_heads=1, intermediate_size=1)
    with hub.quiet():  # the first loading of weights compiles hundreds of patterns
        weights = BertForSequenceClassification(nothing).state_dict()
        BertForSequenceClassification.from_pretrained(None, config=nothing, state_dict=weights)
    if tokenization.has_demo_vocabulary(config.data, config.model):
        load_tokenizer(config)  # the demo remembers its vocabulary, which takes a second
    if tracking_options.mode_of(config.tracking) != "disabled":
        wandb_client.warm_up()
    gc.collect()
    gc.freeze()  # else every collection in a child copies all pages


def run(
    config: Config,
    *,
    locked: bool = False,
    teaches: bool = False,
    single: bool = True,
    command: Sequence[str] | None = None,
) -> Result:
    """Train, store and score one experiment, unless it is finished already.

    Args:
        locked: this process, or the one that it was forked from, holds the experiment's lock.
        teaches: a student is known to wait for it; W&B calls it a teacher.
        single: it is asked for by itself, not by another experiment that needs it, or by a worker (`locked`).
        command: that asked for it, `-m compress` and what follows, for W&B; None: this process's own.

    Raises:
        ConfigError: its input cannot be had; nothing is written.
        ExperimentError: it failed; `error.json` and `log.txt` in its run folder say how.
        Stopped: it was asked to stop while training; run again it goes on.
    """
    run_id, folder = identity.run_id(config), identity.run_folder(config)
    if (finished := _finished_already(config, run_id, folder)) is not None:
        run_folders.tidy(folder) if locked else run_folders.tidy_alone(config.paths.runs, folder)
        teacher_result = _finished(prerequisites(config)["teacher"]) if config.teacher else None
        if single and not (locked or teaches) and wandb_settings.agent() is not None:
            _tell_agent(config, finished, folder, teacher_result, Asked(teaches, single=True, command=command))
        return finished
    surroundings.runs(config.paths.runs).require_writable(folder)
    if locked:
        return _run(config, run_id, folder, Asked(teaches, single=False, command=command))
    with _alone(config, run_id):
        if (finished := _finished_already(config, run_id, folder)) is not None:  # by whoever was at it
            run_folders.tidy(folder)
            return finished
        return _run(config, run_id, folder, Asked(teaches, single=single, command=command))


@dataclass(frozen=True)
class Asked:
    """How an experiment was asked for, as `run` says; `single`: it alone."""

    teaches: bool
    single: bool
    command: Sequence[str] | None


def _finished_already(config: Config, run_id: str, folder: Path) -> Result | None:
    finished = None if config.force else result.read(folder, run_id)
    if finished is not None:
        moved = _moved(config, finished)
        print(f"finished already: {finished.summary()}  ({folder}; force=true runs it again{moved})")
    return finished


def _moved(config: Config, finished: Result) -> str:
    """That the checkpoint's branch on the hub is another commit by now, where it is known to be."""
    used = (finished.start or {}).get("commit")
    known = hub_cache.cached_commit(config.model.pretrained, config.model.revision) if used else None
    return "" if known in (None, used) else f": it started from commit {used}, {config.model.revision} is {known} now"


def lock_of(config: Config) -> ExperimentLock:
    """What a process must hold while it is at an experiment."""
    return ExperimentLock(Path(config.paths.runs).expanduser(), identity.run_id(config))


@contextmanager
def _alone(config: Config, run_id: str) -> Iterator[None]:
    """Let no two processes be at the same experiment."""
    lock = lock_of(config)
    if not lock.take():
        print(f"waiting: another process runs this experiment ({identity.run_folder(config)})", flush=True)
        lock.take(wait=True)
    try:
        yield
    finally:
        lock.release()
        lock.clean()  # a refused experiment leaves nothing behind


def _run(config: Config, run_id: str, folder: Path, asked: Asked) -> Result:
    hub.use_cache_without_network()
    device = pick_device(config.device)
    needed = {what: find(what, other, run_id, folder) for what, other in prerequisites(config).items()}
    teacher_result = needed.get("teacher")
    started, computed = time.perf_counter(), time.process_time()
    inputs = _load(config, teacher_result, needed.get("start"), device)
    if identity.run_id(config) != run_id:
        raise ConfigError("the checkpoint or the data changed while they were read; run again")
    runs, head = surroundings.runs(config.paths.runs), describe(config, run_id)
    runs.require_space(4 * inputs.model.num_parameters())  # bytes, if nothing shrinks it
    with runs.config_errors():
        (folder / result.FILE).unlink(missing_ok=True)
        (folder / result.ERROR).unlink(missing_ok=True)
        (folder / predictions.FILE).unlink(missing_ok=True)
        run_folders.clear_scratch(folder)
        write_text(folder / "config.yaml", to_yaml(config))
    with runs.config_errors(), Reporter(folder, f"{config.task.name} {label(config.model)}") as reporter:
        reporter.say(f"run {run_id} on {device}: {folder}")
        for note in inputs.dataset.notes:
            reporter.say(note)
        told = folder, reporter.rows, reporter.say
        tracked = _tracked(config, head, *told, teacher_result, asked, device_name(device))
        reporter.on_row = tracked.update
        with tracked as tracker:
            try:
                methods, notes = _build_methods(config, inputs, reporter)
                finished = _train_and_store(config, head, folder, inputs, methods, reporter)
                finished = replace(finished, notes=[*inputs.dataset.notes, *notes, *finished.notes])
                seconds = time.perf_counter() - started - tracker.waited
                taken: dict[str, Any] = environment.used(device, since=computed) | {"wall_seconds": seconds}
                finished = replace(finished, timing=replace(finished.timing, **taken))
                with result.written_last(folder, finished):
                    reporter.finish()
                    tracker.finish(finished)
                run_folders.tidy(folder)
            except Stopped as stopped:
                reporter.say(str(stopped))
                tracker.stopped()
                raise
            except Exception as error:
                reporter.say(traceback.format_exc(), to_terminal=False)
                cause = runs.explain(error)
                write_error(folder, run_id, cause)
                tracker.failed(result.failure(folder) or type(cause).__name__)
                raise ExperimentError(f"{cause_of(cause)}  ({folder}/log.txt)") from cause
            reporter.say(f"finished: {finished.summary()}  ({folder})")
    return finished


def _tracked(
    config: Config,
    head: Head,
    folder: Path,
    rows: Sequence[str],
    say: Callable[..., None],
    teacher_result: Result | None,
    asked: Asked,
    device: str,
) -> Untracked:
    """What tells W&B of the experiment, if anything does."""
    mode = tracking_options.mode_of(config.tracking)
    if mode == "disabled":
        return Untracked()
    uses = None if teacher_result is None else f"{run_names.artifact_name(teacher_result)}:{teacher_result.run_id}"
    names = run_names.names(head)
    names = replace(names, factors=names.factors | environment.place(device))
    return of_experiment(
        config.tracking, mode, head, names, folder, rows, say, uses=uses, force=config.force,
        teaches=asked.teaches, single=asked.single, command=asked.command or environment.command(),
    )  # fmt: skip


def _tell_agent(config: Config, finished: Result, folder: Path, teacher_result: Result | None, asked: Asked) -> None:
    """An agent of W&B waits for a run of its own: make one of an experiment that was finished before."""
    log = folder / METRICS
    rows = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    device = str(finished.environment.get("device"))

    def say(message: str, **_: bool) -> None:
        print(message, flush=True)

    with _tracked(config, finished, folder, rows, say, teacher_result, asked, device) as tracker:
        tracker.finish(finished)


def _load(config: Config, teacher_result: Result | None, start_result: Result | None, device: torch.device) -> Inputs:
    """Data, tokenizer and model; nothing is trained or written."""
    import torch

    if teacher_result is not None:
        from compress.teacher import check_cache

        check_cache(config, teacher_result)
    dataset, tokenizer = load_data(config)
    weights = class_weights.of(config.task, dataset)
    torch.manual_seed(config.seed)
    if start_result is None:
        model, start = build_model(config, tokenizer)
    else:
        from compress.finished_start import load

        model, start = load(config, start_result)
    notes = [*dataset.notes, *class_weights.notes(config.task, weights)]
    notes += [*tokenization.check_texts(dataset, tokenizer), *start.notes]
    return Inputs(replace(dataset, notes=notes), tokenizer, model.to(device), start, teacher_result, weights)


def _build_methods(config: Config, inputs: Inputs, reporter: Reporter) -> tuple[list[Method], list[str]]:
    """The methods that are on, and notes for the result; a teacher that one of them learns from has answered."""
    if inputs.teacher_result is None:
        return registry.build(config.methods), []
    answers, notes = _ask_teacher(config, inputs, inputs.teacher_result, reporter)
    return registry.build(config.methods, answers), notes


def _train_and_store(
    config: Config, head: Head, folder: Path, inputs: Inputs, methods: list[Method], reporter: Reporter
) -> Result:
    """Train the model, store it, load it again, score what was loaded, and keep what it predicted."""
    from compress.artifact import size, store
    from compress.training.evaluate import evaluate
    from compress.training.loop import train

    model, dataset, padding = inputs.model, inputs.dataset, inputs.tokenizer.pad_token_id
    checkpoint = Checkpoint(
        folder / CHECKPOINT, config.train.checkpoint_seconds, head.run_id, reporter.rows, reporter.say
    )
    with checkpoint.listening():
        training = train(
            model,
            dataset.splits["train"],
            dataset.train_rows,
            _limited(config, dataset),
            seed=config.seed,
            padding=padding,
            class_weights=inputs.class_weights,
            methods=methods,
            dev_score=lambda: evaluate(model, dataset, config.task, padding).glue,
            log=reporter.log,
            progress=reporter.progress,
            checkpoint=checkpoint,
        )
    in_training = evaluate(model, dataset, config.task, padding)
    for method in methods:
        method.finalize(model)
    artifact_bytes = store.save(folder / "artifact", model, inputs.tokenizer)
    stored = store.load(folder / "artifact").to(model.device)
    for method, applied in zip(methods, registry.options_of(config.methods).values(), strict=True):
        if not method.trace(stored):
            raise store.ArtifactError(
                f"{applied.group}={applied.name} left no trace in the artifact; nothing is scored"
            )
    scores = evaluate(stored, dataset, config.task, padding)
    predictions.write(folder, _predictions(config, head.run_id, dataset, scores))
    return Result(
        **vars(head),
        **_outcome(training, scores, in_training),
        size=size.sizes(stored, artifact_bytes),
        sparsity=size.sparsity(stored),
        teacher_run_id=None if inputs.teacher_result is None else inputs.teacher_result.run_id,
        artifact_sha256=store.digest(folder / "artifact"),
        notes=[*scores.notes, *(note for method in methods for note in method.notes()), *_emptied(stored)],
        environment=environment.environment() | environment.allocation() | {"device": device_name(model.device)},
        start=_described_start(inputs.start),
    )


def _described_start(start: Start) -> dict[str, object]:
    """What a result tells of it."""
    return {key: value for key, value in asdict(start).items() if key != "run_id" or value is not None}


def _limited(config: Config, dataset: Dataset) -> TrainConfig:
    """The training's settings, with no more steps than the rows alone would take if an enlarged set is not to have."""
    enlarges, train = registry.the_one(config.methods, EnlargesData), own_training(config)
    if enlarges is None or enlarges.steps == "enlarged":
        return train
    sources = dataset.splits["train"].sources[dataset.train_rows]
    originals = int((sources == dataset.train_rows).sum())
    steps = train.epochs * -(-originals // train.batch_size)
    return replace(train, max_steps=min(steps, train.max_steps or steps))


def _emptied(stored: PreTrainedModel) -> list[str]:
    """A note that names the matrices of which next to nothing is left."""
    from compress.artifact import size

    lost = size.emptied(stored)
    named = ", ".join(f"{name} {100 * share:.0f} %" for name, share in lost.items())
    return [f"pruning took more than 90 % of {plural(len(lost), 'matrix', 'matrices')}: {named}"] if lost else []


def _predictions(config: Config, run_id: str, dataset: Dataset, scores: Scores) -> predictions.Packed:
    """What was predicted for each row of the dev set, beside its label."""
    labels = config.task.labels
    splits = {
        split: predictions.Split(
            dataset.splits[split].labels, predicted, scores.logits[split] if config.task.needs_logits else None
        )
        for split, predicted in scores.predictions.items()
    }
    return predictions.pack(run_id, None if labels is None else len(labels), splits)


def _outcome(training: Training, scores: Scores, in_training: Scores) -> dict[str, Any]:
    """The result's fields that follow from the training and the scores."""
    per_second = training.steps / training.seconds
    return {
        "metrics": scores.metrics,
        "score_glue": scores.glue,
        "score_accuracy": scores.accuracy,
        "metrics_training": in_training.metrics,
        "epoch_scores": training.epoch_scores,
        "timing": Timing(
            train_seconds=training.seconds, steps=training.steps, steps_per_second=per_second, resumed=training.resumed
        ),
    }


def _ask_teacher(
    config: Config, inputs: Inputs, teacher_result: Result, reporter: Reporter
) -> tuple[NDArray[np.float32], list[str]]:
    """The teacher's logits of the training rows, from the cache if it was asked before; and what to note of it."""
    from compress.teacher import check_learned, logits

    learns = registry.the_one(config.methods, LearnsFromTeacher)
    assert learns is not None, "only a method that learns from a teacher has one"
    group = registry.group_of(config.methods, learns)
    weak = check_learned(teacher_result, inputs.dataset, config.task, group, learns)
    reporter.say(f"teacher: {teacher_result.summary()}", to_terminal=False)
    with reporter.task(f"{teacher_result.task} {teacher_result.model} answers", "row"):
        answers = logits(
            config, teacher_result, inputs.model.device, lambda done, total: reporter.progress(done, total, None)
        )
    for note in weak:
        reporter.say(note)
    return answers, weak


def find(what: str, needed: Config, run_id: str, folder: Path) -> Result:
    """The result of an experiment that another needs as its teacher or start; it is run now if it is not finished.

    Args:
        what: it is to the other (see `prerequisites`), whose run_id and folder follow.

    Raises:
        ExperimentError: it failed, and so the other did.
    """
    if (finished := _finished(needed)) is not None:
        return finished
    if what == "teacher":
        surroundings.cache(needed.paths.cache).require_writable()  # its answers will have to be stored
    try:
        return run(needed, teaches=what == "teacher", single=False)
    except ExperimentError as error:
        write_error(folder, run_id, error)
        raise


def _finished(needed: Config) -> Result | None:
    """The result of an experiment that another needs, if it is finished; what killed processes left beside it goes."""
    finished = result.read(identity.run_folder(needed), identity.run_id(needed))
    if finished is not None:
        run_folders.tidy_alone(needed.paths.runs, identity.run_folder(needed))
    return finished


def describe(config: Config, run_id: str) -> Head:
    """The result's fields that are known before anything is done."""
    return Head(
        schema=SCHEMA,
        run_id=run_id,
        model=label(config.model),
        task=config.task.name,
        methods=list(config.methods),
        seed=config.seed,
        compression=registry.describe(config.methods),
        config=document(config),
        identity=identity.scientific(config),
    )


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML."""
    import yaml

    return yaml.dump(document(config), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)


def load_data(config: Config) -> tuple[Dataset, PreTrainedTokenizerBase]:
    """The task's tokens, the training set enlarged if a method asks for it, and the tokenizer that made them."""
    tokenizer, cache = load_tokenizer(config), Path(config.paths.cache).expanduser()
    asked = augmentation.of(config.methods, config.data, config.seed, config.paths.cache)
    dataset = tokenization.prepare(config.data, config.task, tokenizer, cache, asked, seconds=config.hub_seconds)
    return dataset, tokenizer


def fetch_wordnet(cache: str) -> str:
    """Fetch WordNet into a folder of caches, or raise ConfigError; a line that says so."""
    return f"WordNet: in {wordnet_archive.fetch(cache)}, from {wordnet.ADDRESS}"


def keep_wordnet(config: Config) -> str | None:
    """Copy the WordNet that is installed here into the cache, for machines that lack it; a line if that was done."""
    asked = augmentation.of(config.methods, config.data, config.seed, config.paths.cache)
    enlarges = registry.the_one(config.methods, EnlargesData)
    if asked is None or asked.wordnet is None or enlarges is None or enlarges.wordnet is not None:
        return None
    if asked.wordnet == Path(config.paths.cache).expanduser() / wordnet.IN_CACHE:
        return None
    return f"WordNet: {asked.wordnet} copied to {wordnet_archive.keep(asked.wordnet, config.paths.cache)}"


def load_tokenizer(config: Config) -> PreTrainedTokenizerBase:
    """The demo's own for a model from scratch on its texts, else the checkpoint's."""
    return tokenization.load_tokenizer(config.data, config.model, config.hub_seconds)


def fetch_model(config: Config) -> Start:
    """Have the model's checkpoint in the hub's cache, if it comes from there; what a training would start from."""
    return build_model(config, load_tokenizer(config))[1]


def build_model(config: Config, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, Start]:
    """The model to train, its new weights drawn from the global generator, and what it starts from."""
    return encoder.build_model(config.model, config.task, tokenizer, config.data.max_length, config.hub_seconds)
