"""One experiment, from its configuration to its run folder, reading downward."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.config.schema import teacher_experiment
from compress.errors import ConfigError
from compress.model.encoder import label
from compress.model.tokenizer import check_texts
from compress.runs import identity, result
from compress.runs.claim import Claim
from compress.storage import atomic, hub, surroundings
from compress.tracking import records, tracking_options, wandb_client, wandb_run
from compress.training.checkpoint import Checkpoint, Stopped
from compress.training.reporting import PROGRESS, WRITTEN, Reporter

if TYPE_CHECKING:
    import torch
    from transformers import BertForSequenceClassification

    from compress.config.schema import Config
    from compress.model.encoder import Start
    from compress.training.evaluate import Scores
    from compress.training.loop import Training


CHECKPOINT, ERROR = "checkpoint", "error.json"  # in a run folder, of one that is not finished


class ExperimentError(Exception):
    """An experiment that failed; its run folder holds error.json."""


def warm_up(config: Config) -> None:
    """Do once what every experiment needs, for a process that forks one after the other; it must not start threads.

    Args:
        config: of one of them; others may differ, and do then what is theirs.
    """
    import gc

    use_threads(1)
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification  # noqa: F401

    from compress import augment, methods, teacher  # noqa: F401

    nothing = BertConfig(vocab_size=1, hidden_size=1, num_hidden_layers=0, num_attention_heads=1, intermediate_size=1)
    with hub.quiet():  # the first loading of weights compiles hundreds of patterns
        weights = BertForSequenceClassification(nothing).state_dict()
        BertForSequenceClassification.from_pretrained(None, config=nothing, state_dict=weights)
    if _has_demo_vocabulary(config):
        load_tokenizer(config)  # the demo remembers its vocabulary, which takes a second
    if tracking_options.mode_of(config.tracking) != "disabled":
        wandb_client.warm_up()
    gc.collect()
    gc.freeze()  # else every collection in a child copies all pages


def use_threads(threads: int) -> None:
    """Have this process, and libraries that it imports from now on, compute with so many threads."""
    import torch

    torch.set_num_threads(threads)
    os.environ |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}


def run(config: Config, *, claimed: bool = False, teaches: bool = False) -> dict[str, Any]:
    """Train, store and score one experiment, unless it is finished already.

    Args:
        claimed: this process, or the one that it was forked from, holds the experiment's claim.
        teaches: a student is known to wait for it; W&B calls it a teacher.

    Returns:
        The document in its result.json.

    Raises:
        ConfigError: its input cannot be had; nothing is written.
        ExperimentError: it failed; `error.json` and `log.txt` in its run folder say how.
        Stopped: it was asked to stop while training; run again it goes on.
    """
    run_id, folder = identity.run_id(config), identity.run_folder(config)
    if (finished := _finished(config, run_id, folder)) is not None:
        tidy(folder) if claimed else tidy_alone(config.paths.runs, folder)
        if config.teacher:
            _finished_teacher(config)
        return finished
    surroundings.runs(config.paths.runs).require_writable(folder)
    if claimed:
        return _run(config, run_id, folder, teaches, single=False)
    with _alone(config, run_id):
        if (finished := _finished(config, run_id, folder)) is not None:  # by whoever was at it
            tidy(folder)
            return finished
        return _run(config, run_id, folder, teaches, single=True)


def _finished(config: Config, run_id: str, folder: Path) -> dict[str, Any] | None:
    document = None if config.force else result.read(folder, run_id)
    if document is not None:
        print(f"finished already: {summary(document)}  ({folder}; force=true runs it again{_moved(config, document)})")
    return document


def _moved(config: Config, document: dict[str, Any]) -> str:
    """That the checkpoint's branch on the hub is another commit by now, where it is known to be."""
    used = (document.get("start") or {}).get("commit")
    known = hub.known_commit(config.model.pretrained, config.model.revision) if used else None
    return "" if known in (None, used) else f": it started from commit {used}, {config.model.revision} is {known} now"


def tidy(folder: Path) -> None:
    """Remove what killed processes left in a finished experiment's folder; for nobody but who holds its claim."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    for name in (PROGRESS, ERROR):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    clear_scratch(folder)


def clear_scratch(folder: Path) -> None:
    """Remove what killed writers left in a run folder; for nobody but who holds the experiment's claim."""
    atomic.clear_all(folder, WRITTEN)
    atomic.clear_all(folder / records.FOLDER)


def tidy_alone(runs: str | Path, folder: Path) -> None:
    """Tidy a finished experiment's folder, and its claim, if there is need to, unless somebody is at it."""
    claim = Claim(Path(runs).expanduser(), folder.name)
    if claim.file.exists() or not _is_tidy(folder):
        with suppress(ConfigError, OSError):  # of another user, say: it stays as it is
            if claim.take():
                tidy(folder)
        claim.release()
        claim.clean()


def _is_tidy(folder: Path) -> bool:
    with suppress(OSError):
        for name in os.listdir(folder):
            if name in (CHECKPOINT, PROGRESS, ERROR) or atomic.is_scratch(name, WRITTEN):
                return False
    return True


def claim_of(config: Config) -> Claim:
    """What a process must hold while it is at an experiment."""
    return Claim(Path(config.paths.runs).expanduser(), identity.run_id(config))


@contextmanager
def _alone(config: Config, run_id: str) -> Iterator[None]:
    """Let no two processes be at the same experiment."""
    claim = claim_of(config)
    if not claim.take():
        print(f"waiting: another process is at {identity.run_folder(config)}", flush=True)
        claim.take(wait=True)
    try:
        yield
    finally:
        claim.release()
        claim.clean()  # a refused experiment leaves nothing behind


def _run(config: Config, run_id: str, folder: Path, teaches: bool, single: bool) -> dict[str, Any]:
    hub.use_cache_without_network()
    import torch

    device = pick_device(config.device)
    teacher = find_teacher(config, run_id, folder) if config.teacher else None
    if teacher is not None:
        check_cache(config, teacher)
    started = time.perf_counter()
    dataset, tokenizer = load_data(config)
    torch.manual_seed(config.seed)
    model, start = build_model(config, tokenizer)
    model = model.to(device)
    if identity.run_id(config) != run_id:
        raise ConfigError("the checkpoint or the data changed while they were read; run again")
    dataset = replace(dataset, notes=[*dataset.notes, *check_texts(dataset, tokenizer), *start.notes])

    runs, head = surroundings.runs(config.paths.runs), describe(config, run_id) | {"start": asdict(start)}
    runs.require_space(4 * sum(parameter.numel() for parameter in model.parameters()))  # bytes, if nothing shrinks it
    with runs.told():
        (folder / result.FILE).unlink(missing_ok=True)
        (folder / ERROR).unlink(missing_ok=True)
        clear_scratch(folder)
        result.write_text(folder / "config.yaml", to_yaml(config))
    with runs.told(), Reporter(folder, f"{config.task.name} {label(config.model)}") as reporter:
        reporter.say(f"run {run_id} on {device}: {folder}")
        for note in dataset.notes:
            reporter.say(note)
        with tracker_of(config, head, folder, teaches, teacher, reporter, single) as tracker:
            try:
                document = _train_and_store(config, head, folder, model, dataset, tokenizer, teacher, reporter)
                document["timing"]["wall_seconds"] = time.perf_counter() - started - tracker.waited
                with result.written_last(folder, document):
                    reporter.finish()
                    tracker.finish(document)
                tidy(folder)
            except Stopped as stopped:
                reporter.say(str(stopped))
                tracker.stopped()
                raise
            except Exception as error:
                reporter.say(traceback.format_exc(), to_terminal=False)
                cause = runs.explained(error)
                write_error(folder, run_id, cause)
                tracker.failed(result.failure(folder) or type(cause).__name__)
                raise ExperimentError(f"{told(cause)}  ({folder}/log.txt)") from cause
            reporter.say(f"finished: {summary(document)}  ({folder})")
    return document


def tracker_of(
    config: Config,
    head: dict[str, Any],
    folder: Path,
    teaches: bool,
    teacher: dict[str, Any] | None,
    reporter: Reporter,
    single: bool,
) -> wandb_run.Tracker:
    """What tells W&B of the experiment, from now on row by row."""
    tracker = wandb_run.of_experiment(
        config, head, folder, reporter.rows, reporter.say, teaches=teaches, teacher=teacher, single=single
    )
    reporter.on_row = tracker.update
    return tracker


def _train_and_store(
    config: Config,
    head: dict[str, Any],
    folder: Path,
    model: BertForSequenceClassification,
    dataset: Any,
    tokenizer: Any,
    teacher: dict[str, Any] | None,
    reporter: Reporter,
) -> dict[str, Any]:
    from compress import methods
    from compress.artifact import store
    from compress.teacher import check_learned
    from compress.training.evaluate import evaluate
    from compress.training.loop import train

    checkpoint = checkpoint_of(config, head["run_id"], folder, reporter)
    padding = tokenizer.pad_token_id
    weak, answers = [], None
    if teacher is not None:
        weak = check_learned(teacher, dataset, config.task, allowed=config.distill.weak_teacher)
        answers = ask_teacher(config, teacher, model.device, reporter)
    for note in weak:
        reporter.say(note)
    active = methods.build(config, answers)
    with checkpoint.listening():
        training = train(
            model,
            dataset.splits["train"],
            dataset.train_rows,
            config.train,
            seed=config.seed,
            padding=padding,
            methods=active,
            dev_score=lambda: evaluate(model, dataset, config.task, padding).glue,
            log=reporter.log,
            progress=reporter.progress,
            checkpoint=checkpoint,
        )
    in_training = evaluate(model, dataset, config.task, padding)
    for method in active:
        method.finalize(model)
    artifact_bytes = store.save(folder / "artifact", model, tokenizer)
    stored = store.load(folder / "artifact").to(model.device)
    scores = evaluate(stored, dataset, config.task, padding)
    document = head | outcome(training, scores, in_training)
    document |= {key: document.pop(key) for key in ("config", "identity")}  # long: people read the scores first
    document["teacher_run_id"] = teacher and teacher["run_id"]
    document["sparsity"] = sparsity(stored)
    document["size"] = {**sizes(stored), "artifact_bytes": artifact_bytes}
    document["artifact_sha256"] = store.digest(folder / "artifact")
    document["notes"] = dataset.notes + weak + scores.notes
    document["environment"] = result.environment() | {"device": device_name(model.device)}
    return document


def checkpoint_of(config: Config, run_id: str, folder: Path, reporter: Reporter) -> Checkpoint:
    """Where the training's state is kept until the experiment is finished."""
    return Checkpoint(folder / CHECKPOINT, config.train.checkpoint_seconds, run_id, reporter.rows, reporter.say)


def told(error: BaseException) -> str:
    """What an experiment failed of, in one line: a mistake of the input speaks for itself."""
    message = (str(error).splitlines() or ["without a word"])[0]
    return message if isinstance(error, ConfigError) else f"{type(error).__name__}: {message}"


def write_error(folder: Path, run_id: str, error: BaseException) -> None:
    """Leave error.json behind, if there is room for it; called while the error is handled."""
    write_failure(folder, run_id, type(error).__name__, str(error), traceback.format_exc())


def write_failure(folder: Path, run_id: str, kind: str, message: str, trace: str = "") -> None:
    """Leave error.json behind, if there is room for it."""
    failure = {"run_id": run_id, "type": kind, "message": message, "traceback": trace}
    try:
        result.write_json(folder / ERROR, failure)
    except OSError as lost:
        print(f"{folder}: {ERROR} cannot be written ({lost})", file=sys.stderr)


def find_teacher(config: Config, run_id: str, folder: Path) -> dict[str, Any]:
    """The result of the teacher, which is trained now if it is not finished.

    Raises:
        ExperimentError: it failed, and so the student did.
    """
    if (finished := _finished_teacher(config)) is not None:
        return finished
    surroundings.cache(config.paths.cache).require_writable()  # its answers will have to be stored
    try:
        return run(teacher_experiment(config), teaches=True)
    except ExperimentError as error:
        write_error(folder, run_id, error)
        raise


def _finished_teacher(config: Config) -> dict[str, Any] | None:
    """The teacher's result if it is finished; what killed processes left beside it goes."""
    experiment = teacher_experiment(config)
    finished = result.read(identity.run_folder(experiment), identity.run_id(experiment))
    if finished is not None:
        tidy_alone(experiment.paths.runs, identity.run_folder(experiment))
    return finished


def check_cache(config: Config, teacher: dict[str, Any]) -> None:
    """Refuse a cache that cannot take up the teacher's answers, before anything is trained."""
    from compress import teacher as module

    module.check_cache(config, teacher)


def ask_teacher(config: Config, teacher: dict[str, Any], device: torch.device, reporter: Reporter) -> Any:
    """The teacher's logits of the training rows, from the cache if it was asked before."""
    from compress.teacher import logits

    reporter.say(f"teacher: {summary(teacher)}", to_terminal=False)
    with reporter.task(f"{teacher['task']} {teacher['model']} answers", "row"):
        return logits(config, teacher, device, lambda done, total: reporter.progress(done, total, None))


def load_data(config: Config) -> tuple[Any, Any]:
    """The task's tokens, the training set enlarged if distillation asks for it, and the tokenizer that made them."""
    from compress import augment
    from compress.data import tokenization

    tokenizer, cache = load_tokenizer(config), Path(config.paths.cache).expanduser()
    dataset = tokenization.prepare(
        config.data, config.task, tokenizer, cache, augment.of(config), seconds=config.hub_seconds
    )
    return dataset, tokenizer


def load_tokenizer(config: Config) -> Any:
    """The demo's own for a model from scratch on its texts, else the checkpoint's."""
    from compress.data import demo
    from compress.model import encoder

    if _has_demo_vocabulary(config):
        return demo.build_tokenizer(config.data.seed)
    return encoder.build_tokenizer(config.model, config.hub_seconds)


def _has_demo_vocabulary(config: Config) -> bool:
    return config.data.builds_vocabulary and config.model.pretrained is None


def fetch_model(config: Config) -> Start:
    """Have the model's checkpoint in the hub's cache, if it comes from there; what a training would start from."""
    return build_model(config, load_tokenizer(config))[1]


def build_model(config: Config, tokenizer: Any) -> tuple[BertForSequenceClassification, Start]:
    """The model to train, its new weights drawn from the global generator, and what it starts from."""
    from compress.model import encoder
    from compress.model.tokenizer import check_size

    built, start = encoder.build(config.model, config.task, len(tokenizer), tokenizer.pad_token_id, config.hub_seconds)
    check_size(tokenizer, built.config.vocab_size, f"model.pretrained={config.model.pretrained}")
    return built, start


def pick_device(name: str) -> torch.device:
    """The device asked for; `auto` is the first GPU if there is one.

    Raises:
        ConfigError: no such device.
    """
    import torch

    if name.startswith("cuda"):
        index = int(name.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise ConfigError(
                f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu"
            )
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def sizes(model: BertForSequenceClassification) -> dict[str, Any]:
    """Parameters, those that survive pruning, and the paper's bytes (4 for each survivor, 1 where the part is int8)."""
    import torch

    from compress.model.encoder import parts

    state = model.state_dict()
    by_part = {}
    for part, names in parts(name for name in state if name.endswith(("weight", "bias"))).items():
        parameters = sum(state[name].numel() for name in names)
        pruned = sum(int((~state[f"{name}_mask"]).count_nonzero()) for name in names if f"{name}_mask" in state)
        each = 1 if any(state[name].dtype == torch.int8 for name in names) else 4
        nonzero = parameters - pruned
        by_part[part] = {"parameters": parameters, "nonzero": nonzero, "nominal_bytes": each * nonzero}
    totals = {key: sum(part[key] for part in by_part.values()) for key in ("parameters", "nonzero", "nominal_bytes")}
    return {**totals, "by_part": by_part}


def sparsity(model: BertForSequenceClassification) -> float:
    """Share of the masked matrices' entries that are pruned; 0 without any."""
    masks = [mask for name, mask in model.named_buffers() if name.endswith("weight_mask")]
    positions = sum(mask.numel() for mask in masks)
    return 1 - sum(int(mask.count_nonzero()) for mask in masks) / positions if positions else 0.0


def describe(config: Config, run_id: str) -> dict[str, Any]:
    """The result's fields that are known before anything is done."""
    return {
        "schema": result.SCHEMA,
        "run_id": run_id,
        "model": label(config.model),
        "task": config.task.name,
        "methods": identity.methods(config),
        "seed": config.seed,
        "config": asdict(config),
        "identity": identity.scientific(config),
    }


def outcome(training: Training, scores: Scores, in_training: Scores) -> dict[str, Any]:
    """The result's fields that follow from the training and the scores."""
    return {
        "metrics": scores.metrics,
        "score_glue": scores.glue,
        "score_accuracy": scores.accuracy,
        "metrics_training": in_training.metrics,
        "epoch_scores": training.epoch_scores,
        "timing": {
            "train_seconds": training.seconds,
            "steps": training.steps,
            "steps_per_second": training.steps / training.seconds,
            "resumed": training.resumed,
        },
    }


def summary(document: dict[str, Any]) -> str:
    """One line: what it was and what came out."""
    metrics = "  ".join(
        f"{name} {'undefined' if value is None else f'{value:.4f}'}" for name, value in document["metrics"].items()
    )
    score = "undefined" if document["score_glue"] is None else f"{document['score_glue']:.1f}"
    what = f"{document['task']} {document['model']} {'+'.join(document['methods']) or 'none'} seed {document['seed']}"
    size = f"{document['size']['artifact_bytes'] / 1e6:.2f} MB"
    return f"{what}: score {score}  {metrics}  {size}  {document['timing']['wall_seconds']:.1f} s"


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML."""
    import yaml

    return yaml.safe_dump(asdict(config), sort_keys=False)
