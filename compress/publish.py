"""`python -m compress.publish RUN --out DIR`: a folder as the hub wants it, that works without this package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import export, model_card
from compress.config.schema import typed
from compress.errors import ConfigError, Parser, exit_code, first_line, tell
from compress.export import ExportError, open_run
from compress.storage import atomic
from compress.storage.files import write_text
from compress.wording import megabytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compress.artifact.published import Published

DESCRIPTION = """\
Write a finished model as a folder for the hub that works without this package: weights, config.json, the tokenizer,
and a README.md with scores, sizes, how the model was made, and the lines that load it.

  python -m compress.publish RUN --out DIR --license apache-2.0
  python -m compress.publish RUN --out DIR --format onnx          or openvino

The lines are run, and their answers compared with the stored model's, before anything is put in place."""
FORMATS = ("safetensors", *export.FORMATS)
TRIED, WORDS = 16, 12  # texts on which the published model is compared, and words of each
CLOSE = {"safetensors": 1e-3, "onnx": 0.05, "openvino": 0.05}  # how far logits may be apart, as a share of the largest


def publish(run: Path, out: Path, form: str, *, name: str | None, licence: str | None) -> model_card.Folder:
    """Write the folder, whole or not at all; what it holds."""
    from transformers import AutoTokenizer

    from compress.artifact import published, store

    document = open_run(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: is there already; remove it, or give another")
    config = typed(document.config)
    model, tokenizer = store.load(run / "artifact"), AutoTokenizer.from_pretrained(run / "artifact")
    texts = _texts(tokenizer, len(config.task.text))
    with atomic.new_folder(out) as scratch:
        if form == "safetensors":
            made = published.write(scratch, model, tokenizer)
            file, snippet, about = made.file, made.snippet, _about(made)
            size = (scratch / file).stat().st_size
        else:
            file, size, snippet, about = _exported(form, scratch, model, tokenizer)
        length = config.data.max_length
        difference = _compare(
            model, tokenizer, published.filled(snippet, texts, length), scratch, texts, length, CLOSE[form]
        )
        shown = published.filled(snippet, _example(len(config.task.text)), length)
        told = shown + "print(" + ("logits" if config.task.regression else _named(form)) + ")\n"
        folder = model_card.Folder(form, file, size, told, about, difference, TRIED)
        mode = (
            scratch / "config.json"
        ).stat().st_mode & 0o777  # as the umask has it; libraries have modes of their own
        for entry in scratch.iterdir():
            entry.chmod(mode)
        write_text(
            scratch / "README.md",
            model_card.card(document, folder, name or f"{document.model}-{document.task}-{document.subset}", licence),
        )
    return folder


def _named(form: str) -> str:
    """What an example prints of the logits of classes."""
    return "model.config.id2label[logits.argmax(-1)[0].item()]" if form == "safetensors" else "logits.argmax(-1)"


def _about(made: Published) -> list[str]:
    from compress.artifact import store

    plain = made.file == store.WEIGHTS
    about = ["`model.safetensors` is a plain checkpoint of transformers, in float32."] if plain else [
        "`compressed.safetensors` holds the layers as they were stored: of few bits, of other shapes or as factors. "
        "transformers alone cannot load it; the lines above can, and compute in float32 what the stored model computes."
    ]  # fmt: skip
    if made.zeros:
        about.append(
            f"{made.zeros:.0%} of the pruned matrices are zeros. They are stored as numbers here; the file that was "
            "scored leaves them out."
        )
    if made.widened:
        about.append(
            f"{len(made.widened)} layers, such as {made.widened[0]}, are stored here as the float32 numbers that they "
            "stand for: the bytes of this file are not those of the compressed model."
        )
    return about


def _exported(
    form: str, folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[str, int, str, list[str]]:
    """Write a model for another runtime: its file, its bytes, the lines that load it, what to say of it."""
    from compress.artifact import published

    size, (runtime, file) = export.write(form, model, folder), export.FORMATS[form]
    published.write_config(folder, model, tokenizer)
    about = [f"`{file}` is for {runtime} and takes batches and lengths of any size. What is int8 is int8 in it; what "
             "pruning took is stored as zeros."]  # fmt: skip
    return file, size, published.SNIPPETS[form], about


def _texts(tokenizer: PreTrainedTokenizerBase, columns: int) -> list[tuple[str, ...]]:
    """Texts of words drawn from the vocabulary, the same every time."""
    import random

    words = [word for word in sorted(tokenizer.get_vocab()) if word.isascii() and word.isalpha()] or ["a"]
    draw = random.Random(0)
    return [
        tuple(" ".join(draw.choices(words, k=draw.randint(1, WORDS))) for _ in range(columns)) for _ in range(TRIED)
    ]


def _example(columns: int) -> list[tuple[str, ...]]:
    return [("The cat sat on the mat.", "The cat was sitting.")[:columns]]


def _compare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    snippet: str,
    folder: Path,
    texts: Any,
    length: int,
    close: float,
) -> float:
    """The greatest difference between what a snippet and the stored model answer; an ExportError if it is great."""
    import numpy as np
    import torch

    from compress.artifact import published
    from compress.model.structure import takes
    from compress.storage import hub

    try:
        with hub.quiet():
            theirs = published.answers(snippet, folder)
    except Exception as error:  # whatever another's library raises
        cause = f"transformers cannot load it ({type(error).__name__}: {first_line(error):.160})"
        raise ExportError(f"{cause}; nothing is kept; try --format onnx") from error
    columns = [list(column) for column in zip(*texts, strict=True)]
    inputs = tokenizer(*columns, padding=True, truncation=True, max_length=length, return_tensors="pt")
    with torch.inference_mode():
        ours = model(**{name: inputs[name] for name in takes(model)}).logits.numpy()
    difference = float(np.abs(ours - theirs).max())
    if not difference <= close * float(np.abs(ours).max()):
        cause = f"the written model gives other answers (logits differ by {difference:.3g})"
        raise ExportError(f"{cause}; nothing is kept; try --format onnx")
    return difference


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if done, 1 if what was written is another model, 2 if the input was wrong."""
    return exit_code(lambda: _do(arguments))


def _do(arguments: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m compress.publish", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished experiment: runs/…/<run_id>")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write; must be empty or not there"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="safetensors", help="format of the weights (default safetensors)"
    )
    parser.add_argument("--name", help="what the card calls the model (default: the run's name)")
    parser.add_argument("--license", help="name of a licence on the hub, such as apache-2.0; you choose it")
    options = parser.parse_args(arguments)
    try:
        folder = publish(options.run, options.out, options.format, name=options.name, licence=options.license)
    except ModuleNotFoundError as error:
        raise export.missing(options.format, error) from error
    except ExportError as error:
        tell(error)
        return 1
    told = f"logits are the stored model's to {folder.difference:.1g}"
    print(f"{options.out}: {folder.file} {megabytes(folder.size)} MB, README.md; {told}")
    if options.license is None:
        print("README.md names no licence: give --license, or write it there; mind the licences of checkpoint and data")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
