"""`python -m compress.export RUN --format onnx|openvino`: write a stored model in another format and compare both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import extras
from compress.artifact import store
from compress.config.schema import Config, from_mapping
from compress.errors import ConfigError, Parser, exit_code, tell
from compress.runs import environment, result
from compress.runs.result import Result
from compress.storage import atomic, hub
from compress.storage.files import write_json
from compress.storage.lock import Lock

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

    from compress.data.tokenization import Tokens

DESCRIPTION = """\
Write the model of a finished experiment in another format, and compare what the exported file predicts on the dev set
with what the stored model predicts. If less than 99.5 % of the predictions agree, no file is kept."""
ENOUGH = 0.995  # share of the dev set's predictions that must agree
SAME_SCORE = 0.05  # how far apart two answers of a regression (GLUE's run from 0 to 5) may be and agree
FORMATS = {
    "onnx": ("ONNX Runtime", "model.onnx"),
    "openvino": ("OpenVINO", "openvino_model.xml"),
}  # what runs it, and its file


class ExportError(Exception):
    """What was exported is not the same model."""


def open_run(folder: Path) -> Result:
    """The result of a finished experiment; refuses a folder that holds none."""
    document = result.read(folder, folder.resolve().name)
    if document is None or not (folder / "artifact").is_dir():
        raise ConfigError(f"{folder}: no finished experiment; give a run folder, runs/…/<run_id>")
    store.check(folder / "artifact", document.artifact_sha256)
    return document


def missing(form: str, error: ModuleNotFoundError) -> ConfigError:
    """That a package is not installed that a format takes."""
    told = f"--format {form}: {extras.missing(str(error.name))}"
    return ConfigError(f"{told}, or take --format onnx" if form == "openvino" else told)


def write(form: str, model: PreTrainedModel, folder: Path) -> int:
    """Put a model into a folder in one of `FORMATS`; the bytes of its files."""
    from compress.artifact import openvino_ir, qdq

    before = set(folder.iterdir())
    (qdq.to_onnx if form == "onnx" else openvino_ir.to_openvino)(model, folder / FORMATS[form][1])
    return sum(file.stat().st_size for file in set(folder.iterdir()) - before)


def session(form: str, folder: Path) -> Any:
    """What runs the model that `write` put there, called as ONNX Runtime's sessions are."""
    from compress.artifact import openvino_ir, qdq

    return (qdq.session if form == "onnx" else openvino_ir.Session)(folder / FORMATS[form][1])


def export(folder: Path, *, form: str = "onnx", checked: bool = True) -> dict[str, Any]:
    """Write the model and `export.json` into a run folder's `onnx/` or `openvino/`, both or neither; what that says."""
    document = open_run(folder)
    with Lock(folder / f"{form}.lock").held(), atomic.new_folder(folder / form) as scratch:
        model = store.load(folder / "artifact")
        about = {"format": form, f"{form}_bytes": write(form, model, scratch), "checked": checked}
        if checked:
            about |= check(from_mapping(document.config), folder, model, session(form, scratch), FORMATS[form][0])
        about["environment"] = environment.environment()
        write_json(scratch / "export.json", about)
    return about


def check(config: Config, folder: Path, model: Any, session: Any, runtime: str) -> dict[str, Any]:
    """How far a session and the artifact's model agree on the dev set; less than `ENOUGH` is an ExportError."""
    import numpy as np
    from transformers import AutoTokenizer

    from compress.data import tokenization
    from compress.training.evaluate import predict, scored

    hub.use_cache_without_network()
    tokenizer = AutoTokenizer.from_pretrained(folder / "artifact")
    cache = Path(config.paths.cache).expanduser()
    dataset = tokenization.prepare(config.data, config.task, tokenizer, cache)
    splits = [split for split in config.task.validation if split in dataset.splits]
    padding = tokenizer.pad_token_id
    theirs = {split: run_session(session, dataset.splits[split], padding) for split in splits}
    ours = np.concatenate([predict(model, dataset.splits[split], padding) for split in splits])
    answers = np.concatenate([theirs[split] for split in splits])
    alike = abs(ours - answers)[:, 0] <= SAME_SCORE if config.task.regression else ours.argmax(1) == answers.argmax(1)
    agreement = float(alike.mean())
    if agreement < ENOUGH:
        raise ExportError(
            f"{folder}: {runtime} agrees with the artifact on {agreement:.2%} of the dev set only; at least "
            f"{ENOUGH:.1%} must agree (on processors without VNNI or AMX int8 products saturate in OpenVINO, not with "
            f"--format onnx; this one has {' '.join(environment.cpu_flags()) or 'neither'})"
        )
    return {"agreement": agreement, "metrics": scored(theirs, dataset, config.task).metrics}


def run_session(session: Any, tokens: Tokens, padding: int, batch: int = 1536) -> np.ndarray[Any, Any]:
    """Logits of every row, float32 [rows, outputs], in the rows' own order; `batch` tokens are answered together."""
    import numpy as np
    import torch

    from compress.artifact.qdq import inputs_of
    from compress.data.batches import by_length, collate

    answers, names = dict[int, Any](), inputs_of(session)
    for rows in by_length(tokens.lengths, batch):
        tensors = collate(tokens, rows, padding, torch.device("cpu"))
        tensors.setdefault("attention_mask", torch.ones_like(tensors["input_ids"]))
        (logits,) = session.run(["logits"], {name: tensors[name].numpy() for name in names})
        answers |= zip(rows.tolist(), logits, strict=True)
    return np.stack([answers[row] for row in range(len(tokens))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if done, 1 if the export is another model, 2 if the input was wrong."""
    return exit_code(lambda: _do(arguments))


def _do(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m compress.export", description=DESCRIPTION)
    parser.add_argument("run", type=Path, nargs="+", help="folder of a finished experiment: runs/…/<run_id>")
    told = ", or ".join(f"RUN/{form}/{file}" for form, (_, file) in FORMATS.items())
    parser.add_argument("--format", choices=FORMATS, default="onnx", help=f"what to write: {told} (default onnx)")
    parser.add_argument(
        "--no-check", action="store_true", help="do not compare its predictions on the dev set with the stored model's"
    )
    options = parser.parse_args(arguments)
    worst = 0
    for folder in options.run:
        try:
            about = export(folder, form=options.format, checked=not options.no_check)
        except ModuleNotFoundError as error:
            raise missing(options.format, error) from error
        except (ConfigError, ExportError) as error:
            tell(error)
            worst = max(worst, 2 if isinstance(error, ConfigError) else 1)
            continue
        told = f"agrees on {about['agreement']:.2%} of the dev set" if about["checked"] else "not checked"
        file, size = folder / options.format / FORMATS[options.format][1], about[f"{options.format}_bytes"]
        print(f"{file}: {size / 1e6:.2f} MB, {told}")
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
