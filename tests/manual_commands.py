"""The manual's commands, checked without being run: arguments parse, overrides compose, make's targets are there."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from compress.config import arguments as flags
from compress.config.conf_files import conf_folder, options
from compress.config.overrides import check_words, read_one, read_sweep
from compress.errors import ConfigError, Parser
from compress.methods import registry
from compress.program import VERBS, _command, of_grid
from tests.manual import ROOT, words

ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
PYTHON = re.compile(r"(.*/)?python3?")
OF_READERS = ("model.pretrained", "distill.teacher", "data.path")
ROOMS = ("compress", "launch", "analysis")


class _Parsed(BaseException):
    """Arguments were parsed; nothing else is done with them."""

    def __init__(self, options: object) -> None:
        self.options = options


def check(command: str, folder: Path) -> None:
    """Refuse what a line of bash gives to one of this project's programs if that does not take it.

    Args:
        folder: the current one; RUN, DIR and the like are in it.

    Raises:
        ConfigError: as the program says.
    """
    for simple in words(command):
        program, arguments = _split(simple)
        if program is None:
            continue
        arguments = [
            _here(word) for word in arguments if "$" not in word or "=" not in word
        ]  # of a variable all is open
        with contextlib.chdir(folder):
            CHECKS.get(program, _check_parsed)(program, arguments)


def placeholders(folder: Path) -> None:
    """Make what the manual calls DIR (it has a checkpoint and a task's data), RUN, RUNS and FILE."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    for name in ("RUN", "RUNS", "DIR"):
        (folder / name).mkdir()
    vocabulary = folder / "DIR" / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]), encoding="utf-8")
    BertTokenizerFast(str(vocabulary)).save_pretrained(folder / "DIR")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=7, **sizes)).save_pretrained(folder / "DIR")
    rows = "sentence1,sentence2,label\na,b,0\nb,a,1\n"
    for file in ("FILE", "DIR/train.csv", "DIR/validation.csv"):
        (folder / file).write_text(rows, encoding="utf-8")


def _here(word: str) -> str:
    """An override with DIR for a checkpoint or data that are not here, but on a reader's disk or on the hub."""
    key, equals, value = word.partition("=")
    if not equals or key not in OF_READERS or Path(value).exists():
        return word
    named = {"null", *_options()["model"]} if key == "distill.teacher" else {"null"}
    return f"{key}={','.join(one if one in named else 'DIR' for one in value.split(','))}"


def _split(simple: Sequence[str]) -> tuple[str | None, list[str]]:
    """Which of the programs is started, by the name of its module, and its arguments up to a redirection."""
    left = list(simple)
    for place, word in enumerate(left):
        if set(word) <= set("<>") or word in ("1>", "2>"):
            left = left[:place]
            break
    for place, word in enumerate(left):
        if PYTHON.fullmatch(word) and left[place + 1 : place + 2] == ["-m"]:
            module = (left[place + 2 : place + 3] or [""])[0]
            return (module, left[place + 3 :]) if module.partition(".")[0] in ROOMS else (None, [])
        if word.rpartition("/")[2] == "combining-compressions":
            return _of_one_name(left[place + 1 :])
        if word == "make":
            return "make", left[place + 1 :]
    return None, []


def _of_one_name(arguments: list[str]) -> tuple[str | None, list[str]]:
    """`combining-compressions VERB …` as `python -m MODULE …`."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return None, []
    found = _command(arguments[0])
    if found is None or found.value == "compress.program:run":
        return "compress", arguments[found is not None :]
    if found.value == "compress.program:grid":
        return "compress", of_grid(arguments[1:])
    module = found.module.removesuffix(".cli")
    return module, arguments if found.group == VERBS else arguments[1:]


def _check_make(_: str, arguments: Sequence[str]) -> None:
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in arguments:
        if not ASSIGNMENT.fullmatch(word) and word not in targets:
            raise ConfigError(f"make {word}: no such target")


def _check_compress(_: str, arguments: Sequence[str]) -> None:
    if not {"-h", "--help", "-sc", "--shell-completion"} & set(arguments):
        with _further_options(arguments):
            check_words(arguments, conf_folder())


def _check_launch(_: str, arguments: Sequence[str]) -> None:
    from launch import cli

    with _no_exit():
        given = cli._options(arguments)
        if given.verb in cli.OF_SWEEPS:
            with _further_options(given.words):
                read_sweep(given.words, conf_folder())
        for setting in getattr(given, "settings", []):
            if "=" in setting:
                check_words(["-m", "+experiment=demo", "hydra/launcher=slurm", setting], conf_folder())


def _check_parsed(program: str, arguments: Sequence[str]) -> None:
    """Of a program whose `main` parses its arguments first."""
    if program == "analysis":
        program = "analysis.cli"
    if program == "compress.task":
        program = "compress.task_file"
    try:
        module = importlib.import_module(program)
    except ModuleNotFoundError as error:
        raise ConfigError(f"python -m {program}: no such program") from error
    parsed: list[object] = []
    with _no_exit(), _only_parsing(), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            module.main(list(arguments))
        except _Parsed as ended:
            parsed.append(ended.options)
    if said.getvalue():
        raise ConfigError(said.getvalue().strip().removeprefix("error: "))
    for found in parsed:
        if isinstance(found, tuple):  # with overrides left over
            with _further_options(found[1]):
                read_one(found[1], conf_folder())


CHECKS: dict[str, Callable[[str, Sequence[str]], None]] = {
    "make": _check_make, "compress": _check_compress, "launch": _check_launch,
}  # fmt: skip


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    """--help and --version end a program."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except SystemExit as end:
        if end.code:
            raise ConfigError(f"ends with {end.code}") from end


@contextlib.contextmanager
def _only_parsing() -> Iterator[None]:
    """Have parsers raise what they have parsed."""
    with contextlib.ExitStack() as stack:
        depth = [0]
        for name in ("parse_args", "parse_known_args", "parse_intermixed_args"):
            stack.enter_context(patch.object(Parser, name, _raising(getattr(Parser, name), depth)))
        yield


def _raising(parse: Callable[..., Any], depth: list[int]) -> Callable[..., Any]:
    def method(self: Parser, *arguments: Any, **named: Any) -> Any:
        depth[0] += 1
        try:
            found = parse(self, *arguments, **named)
        finally:
            depth[0] -= 1
        if not depth[0]:
            raise _Parsed(found)
        return found

    return method


@contextlib.contextmanager
def _further_options(arguments: Sequence[str]) -> Iterator[None]:
    """Have a folder that --config-dir names, and that is not here, hold the options that only it can have."""
    given = flags.read([word for word in arguments if word not in ("-m", "--multirun")])
    if given.config_dir is None or Path(given.config_dir).exists():
        yield
        return
    folder = Path(given.config_dir)
    made = []
    for word in given.overrides:
        key, _, value = word.partition("=")
        group = key.lstrip("+")
        for option in value.split(",") if group in _options() or group == "experiment" else ():
            if option not in _options().get(group, ()):
                file = folder / group / f"{option}.yaml"
                file.parent.mkdir(parents=True, exist_ok=True)
                base = {"defaults": [BASES[group]]} if group in BASES else {}
                head = "# @package _global_\n" if group == "experiment" else ""
                file.write_text(head + (yaml.safe_dump(base) if base else ""), encoding="utf-8")
                made.append(file)
    folder.mkdir(parents=True, exist_ok=True)
    yield


BASES = {"task": "rte", "model": "demo/tiny", "train": "demo", "data": "demo", "tracking": "none", "resources": "cpu"}


@cache
def _options() -> dict[str, list[str]]:
    return options(conf_folder(), *registry.folders())
