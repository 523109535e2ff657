"""`python -m compress.predict RUN [RUN ...]`: what finished models predict, for files and for GLUE's test splits."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.config import run_names
from compress.config.schema import Config, typed
from compress.data import corpus, demo, split_files, table_writing, tables, texts
from compress.data.tables import Table
from compress.errors import ConfigError, Parser, exit_code, tell
from compress.export import open_run
from compress.runs.result import Result
from compress.storage import hub
from compress.storage.files import write_bytes
from compress.task import submission
from compress.task.metrics import of_splits
from compress.wording import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tqdm import tqdm

DESCRIPTION = """\
Predict each row of a file with finished models: the class, and the probability of each class.

  python -m compress.predict RUN --split new.csv             a file of your own with the task's columns of texts
  python -m compress.predict RUN --split test                the run's own test split
  python -m compress.predict RUN… --submission --out DIR     GLUE's submission files of one model, and their zip

RUN is the folder of a finished experiment. Predictions go to RUN/predicted/, or to --out DIR. If every row has a label,
the task's metrics are printed. By default a split is read from where the run's data were. If you write data.path=DIR
beside the RUNs, it is read from the folder DIR; with data.path=null, from the hub."""
TEST, VALIDATION = "test", "validation"


@dataclass(frozen=True)
class Predicted:
    """A split, and what a model says of it.

    Attributes:
        predictions: [rows] class ids, or float32 of a regression.
        logits: float32 [rows, outputs].
        metrics: the task's, where the rows have labels.
        note: why there are none.
    """

    split: str
    table: Table
    predictions: NDArray[Any]
    logits: NDArray[np.float32]
    metrics: dict[str, float | None]
    note: str


# --- what is read -----------------------------------------------------------------------------------------------------


def read_splits(config: Config, split: str) -> dict[str, Table]:
    """The tables of a run's `test` or `validation`, several of some tasks, or of a file, with all of their columns."""
    data, task = config.data, config.task
    if split not in (TEST, VALIDATION):
        return {Path(split).name.partition(".")[0]: _read([_file(split)], "--split", task.label)}
    names = task.validation if split == VALIDATION else [name.replace(VALIDATION, TEST) for name in task.validation]
    if split == TEST and not any(TEST in name for name in names):
        names = [TEST]
    if data.generated:
        if split == TEST:
            raise ConfigError(f"--split {TEST}: data={data.source} has {VALIDATION} only; give that, or a file")
        generated = demo.generate(task.name, data.seed)
        return {name: Table(generated[name]) for name in names if name in generated}
    if task.held_out is not None and split == VALIDATION:
        cut = corpus.load_texts(data, task, config.hub_seconds)[names[0]]
        return {names[0]: Table({**dict(zip(task.text, cut.columns, strict=True)), task.label: cut.labels})}
    where = corpus.source(data, task, config.hub_seconds, only=names)
    return {name: _read(files, where.what, task.label, where.names) for name, files in where.files.items()}


def _file(split: str) -> Path:
    file = Path(split).expanduser()
    if not file.is_file():
        raise ConfigError(f"--split {split}: no such file; give one, or {TEST} or {VALIDATION}")
    if not file.name.endswith(split_files.SUFFIXES):
        raise ConfigError(f"--split {split}: must end in {', '.join(split_files.SUFFIXES)}")
    return file


def _read(files: Sequence[Path], what: str, label: str, names: list[str] | None = None) -> Table:
    table = tables.read(files, what, None, label)
    return table if table.names is not None else replace(table, names=names)


def config_of(document: Result, path: str | None) -> Config:
    """The configuration of a result, with its data in another folder, or `null`: the hub's.

    Nothing that the run was made of need be here any more.
    """
    config = typed(document.config)
    if path is None:
        return config
    return replace(config, data=replace(config.data, source="glue", path=None if path == "null" else path))


# --- what is predicted ------------------------------------------------------------------------------------------------


def predict(folder: Path, config: Config, found: Mapping[str, Table], device: str = "auto") -> list[Predicted]:
    """What the artifact of a run predicts for each of these splits."""
    from tqdm import tqdm
    from transformers import AutoTokenizer

    from compress.artifact import store
    from compress.data import tokenization
    from compress.training import evaluate
    from compress.training.devices import pick_device

    task = config.task
    rows = {split: texts.unlabelled(split, table, task) for split, table in found.items()}
    tokenizer = AutoTokenizer.from_pretrained(folder / "artifact")
    model = store.load(folder / "artifact").to(pick_device(device))
    answers = []
    for split, of_split in rows.items():
        with tempfile.TemporaryDirectory(prefix="predict-") as place:
            tokens = tokenization.tokenize_all(of_split, tokenizer, config.data.max_length, None, Path(place))
        with tqdm(total=len(tokens), desc=f"{task.name} {split}", unit="row", leave=False, disable=None) as bar:
            logits = evaluate.predict(model, tokens, tokenizer.pad_token_id, progress=_shown(bar))
        predictions = logits[:, 0] if task.regression else logits.argmax(axis=1)
        metrics, note = _metrics(split, found[split], config, predictions, logits)
        answers.append(Predicted(split, found[split], predictions, logits, metrics, note))
    return answers


def _shown(bar: tqdm[Any]) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        bar.update(done - bar.n)

    return progress


def _metrics(
    split: str, table: Table, config: Config, predictions: NDArray[Any], logits: NDArray[np.float32]
) -> tuple[dict[str, float | None], str]:
    """The task's metrics if every row has a label; else why there are none."""
    import numpy as np

    task = config.task
    stored = table.columns.get(task.label, ())
    known = sum(value not in (None, "") and str(value) != "-1" and value == value for value in stored)
    if known < len(predictions):
        return {}, f"{plural(known, 'row')} with a label, so no metrics" if known else "no labels, so no metrics"
    try:
        labels = np.array(texts.checked_texts({split: table}, task)[split].labels)
    except ConfigError as error:
        return {}, f"no metrics: {error}"
    return of_splits({split: predictions}, {split: labels}, task.all_metrics, [split], {split: logits}), ""


def columns(predicted: Predicted, config: Config) -> dict[str, Sequence[object]]:
    """The split's columns, then `prediction` and, of classes, `probability_<name>`, rounded to six digits."""
    import numpy as np

    there, labels = dict(predicted.table.columns), config.task.labels
    answers: dict[str, Sequence[object]]
    if labels is None:
        answers = {"prediction": [round(float(value), 6) for value in predicted.predictions]}
    else:
        powers = np.exp(predicted.logits.astype(np.float64) - predicted.logits.max(axis=1, keepdims=True))
        shares = (powers / powers.sum(axis=1, keepdims=True)).round(6)
        answers = {"prediction": [labels[number] for number in predicted.predictions]}
        answers |= {f"probability_{name}": shares[:, number].tolist() for number, name in enumerate(labels)}
    if twice := sorted(there.keys() & answers.keys()):
        raise ConfigError(f"--split: {predicted.split} has a column {twice[0]} already; rename it")
    return {**there, **answers}


# --- what is written --------------------------------------------------------------------------------------------------


def write(folder: Path, document: Result, split: str, options: argparse.Namespace) -> list[str]:
    """Predict for one run and write a file for each split; a line for each."""
    config = config_of(document, options.path)
    found = read_splits(config, split)
    suffix = next((suffix for suffix in table_writing.FORMATS if f"{suffix}." in f"{split}."), ".csv")
    told = []
    for predicted in predict(folder, config, found, options.device):
        name = f"{predicted.split}{suffix}"
        place = folder / "predicted" if options.out is None else options.out
        if options.out is not None and len(options.run) > 1:
            name = f"{run_names.artifact_name(document)}-{document.run_id}-{name}"
        write_bytes(place / name, table_writing.content(columns(predicted, config), suffix))
        told.append(f"{place / name}: {plural(len(predicted.predictions), 'row')}, {_said(predicted)}")
    return told


def _said(predicted: Predicted) -> str:
    values = {name: "undefined" if value is None else f"{value:.4f}" for name, value in predicted.metrics.items()}
    return "  ".join(f"{name} {value}" for name, value in values.items()) or predicted.note


def submit(runs: Mapping[Path, Result], options: argparse.Namespace) -> list[str]:
    """Write GLUE's submission files for the runs of one cell, and their zip; what to say of them."""
    chosen = of_one_cell(runs, options.seed)
    files, there, notes = dict[str, str](), list[submission.File](), list[str]()
    for folder, document in chosen.items():
        config = config_of(document, options.path)
        splits = read_splits(config, TEST)
        made = {split: submission.file_of(config.task, split) for split in splits}
        diagnostic = f"{submission.DIAGNOSTIC}/{TEST}"
        if config.task.name == "mnli":
            try:
                task = replace(config.task, name=submission.DIAGNOSTIC, validation=[VALIDATION])
                splits |= {diagnostic: read_splits(replace(config, task=task), TEST)[TEST]}
                made[diagnostic] = submission.FILES[submission.DIAGNOSTIC, TEST]
            except ConfigError as error:
                notes.append(f"AX is left out ({error})")
        for predicted in predict(folder, config, splits, options.device):
            file, order = made[predicted.split], predicted.table.columns.get("idx", ())
            files[f"{file.name}.tsv"] = submission.text(file, predicted.predictions.tolist(), config.task.labels, order)
            there.append(file)
    for name, content in files.items():
        write_bytes(options.out / name, content.encode())
    archive = options.out / "submission.zip"
    write_bytes(archive, submission.zipped(files))
    first = next(iter(chosen.values()))
    lines = [f"{archive}: {first.model} {first.subset}, seed {first.seed}: {', '.join(file.name for file in there)}"]
    wanted = ", ".join(submission.missing(there))
    lines.append(f"the server wants a complete set: add {wanted} from its sample submission (WNLI is not in the study)")
    return lines + notes


def of_one_cell(runs: Mapping[Path, Result], seed: int | None) -> dict[Path, Result]:
    """The runs of that seed, one for each task, which must be of one model and have the same methods."""
    seeds = sorted({document.seed for document in runs.values()})
    told = ", ".join(map(str, seeds))
    if seed is None and len(seeds) > 1:
        raise ConfigError(f"--seed: the runs have the seeds {told}; a submission is of one, give it")
    chosen = {folder: document for folder, document in runs.items() if seed in (None, document.seed)}
    if not chosen:
        raise ConfigError(f"--seed {seed}: none of the runs has it; must be of {told}")
    cells = {
        " ".join([document.model, document.subset, *(f"{m.option} {m.value}" for m in document.compression)])
        for document in chosen.values()
    }
    if len(cells) > 1:
        given = ", ".join(sorted(cells))
        raise ConfigError(f"RUN: a submission is of one model, compressed in one way; given are {given}")
    tasks: dict[str, Path] = {}
    for folder, document in chosen.items():
        if document.task in tasks:
            both = f"{tasks[document.task]} and {folder}"
            raise ConfigError(f"RUN: two runs of {document.task}, {both}; give one of them")
        tasks[document.task] = folder
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if done, 2 if the input was wrong."""
    return exit_code(lambda: _do(arguments))


def _do(arguments: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m compress.predict", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="folder of a finished experiment, runs/…/<run_id>; or data.path=DIR"
    )
    parser.add_argument("--split", metavar="SPLIT", help="test, validation, or a CSV, TSV, JSON-lines or Parquet file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write")
    parser.add_argument("--submission", action="store_true", help="write GLUE's submission files; needs --out")
    parser.add_argument("--seed", type=int, help="seed of the runs to take, if a task has several; with --submission")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    options = parser.parse_intermixed_args(arguments)
    words = [word for word in options.run if "=" in word and not Path(word).exists()]
    options.run = [Path(word) for word in options.run if word not in words]
    options.path = next((word.partition("=")[2] for word in words if word.startswith("data.path=")), None)
    if wrong := [word for word in words if not word.startswith("data.path=")]:
        raise ConfigError(f"{wrong[0]}: only data.path=DIR can be given; all else is as the run was made")
    if not options.run:
        raise ConfigError("RUN: give a run folder, runs/…/<run_id>")
    if options.submission and (options.out is None or options.split not in (None, TEST)):
        raise ConfigError(f"--submission: is of --split {TEST} and needs --out DIR")
    if options.seed is not None and not options.submission:
        raise ConfigError(f"--seed {options.seed}: chooses among runs for --submission; leave it out")
    hub.use_cache_without_network()
    if options.submission:
        lines = submit({folder: open_run(folder) for folder in options.run}, options)
        print("\n".join(lines))
        return 0
    worst = 0
    for folder in options.run:
        try:
            print("\n".join(write(folder, open_run(folder), options.split or TEST, options)))
        except ConfigError as error:
            tell(error)
            worst = 2
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
