"""Calls of sbatch: the script of a job, and what SLURM refuses."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from compress.errors import ConfigError
from launch import commands
from launch.batches import Batch, SlurmSettings
from launch.commands import Unanswered

SECONDS = 300  # SLURM that is busy has sbatch try for two minutes
LIMIT = re.compile(r"\w*Submit\w*Limit|temporarily una\w+")  # what passes when jobs end
UNCLEAR = re.compile(r"timed out|[Uu]nable to contact|[Zz]ero [Bb]ytes|[Cc]onnect")  # it may have been submitted
SAID = re.compile(r"^(sbatch: )?(error: )?(Batch job submission failed: |allocation failure: )?")
OR_FAIL = 'or_fail() { [ "$1" -eq 0 ] || { echo "error: hydra.launcher.setup: $2: exit code $1" >&2; exit "$1"; }; }'


class Refused(ConfigError):  # noqa: N818 - says what SLURM does
    """SLURM does not take a job."""


class Unclear(Refused):
    """sbatch failed, and SLURM may have the job all the same."""


class NoRoom(Refused):
    """SLURM takes no more jobs until others have ended."""


class TooLarge(Refused):
    """SLURM takes no array of so many elements."""


def parameters(batch: Batch, settings: SlurmSettings, after: Sequence[str] = ()) -> dict[str, object]:
    """What submitit's SlurmExecutor is told for a batch, and its dependencies."""
    resources = batch.resources
    given: dict[str, object] = {
        "time": batch.minutes(settings),
        "cpus_per_task": resources.cpus,
        "ntasks_per_node": 1,
        "signal_delay_s": settings.signal_seconds,
        "stderr_to_stdout": True,
        "array_parallelism": batch.at_once or len(batch.elements),
        "additional_parameters": {"requeue": True, **settings.additional},
    }
    if after:
        given["dependency"] = ",".join(after)
    if any(condition.startswith("afterok:") for condition in after):
        given["additional_parameters"] = {"requeue": True, **settings.additional, "kill-on-invalid-dep": "yes"}
    if resources.gpus:
        given["gpus_per_node"] = resources.gpus
    if resources.memory_gb is not None:
        given["mem"] = f"{math.ceil(resources.memory_gb * 1024)}MB"
    if settings.setup:
        given["setup"] = list(checked_setup(settings.setup))
    return given | {key: value for key in ("partition", "account", "qos", "constraint")
                    if (value := getattr(settings, key)) is not None}  # fmt: skip


def script(jobs: Path, name: str, batch: Batch, settings: SlurmSettings, command: str, after: Sequence[str]) -> str:
    """The text that sbatch gets.

    Args:
        jobs: the folder of the job's log.
        name: of the job.
        command: what it runs, after the command that starts Python.
        after: its dependencies, all of which must be met.
    """
    import submitit

    executor = submitit.SlurmExecutor(jobs)
    executor.update_parameters(**parameters(batch, settings, after), job_name=name)
    if len(batch.elements) > 1:
        executor.parameters["map_count"] = len(batch.elements)
    python = settings.python or shlex.quote(sys.executable)
    return executor._make_submission_file_text(f"{python} {command}", "")


def checked_setup(lines: Sequence[str]) -> Iterator[str]:
    """The setup's lines, each complete command followed by a check that names it; ConfigError if bash refuses them."""
    yield OR_FAIL
    command: list[str] = []
    for line in lines:
        yield line
        command.append(line)
        if not _mistake(command):
            yield f"or_fail $? {shlex.quote(' '.join(command))}"
            command = []
    if command:
        raise ConfigError(f"hydra.launcher.setup={' '.join(command)}: {_mistake(command)}; must be commands of bash")


def _mistake(command: Sequence[str]) -> str:
    """What bash says of lines that are no complete command; nothing of those that are."""
    if command[-1].endswith("\\"):
        return "a line must follow its backslash"
    done = subprocess.run(["bash", "-n"], input="\n".join([*command, ""]), capture_output=True, text=True)
    return done.stderr.strip().partition("\n")[0]


def submit(script: Path) -> str:
    """Submit a script, and return SLURM's id of the job or of the whole array; Refused, by kind, if it is not taken."""
    return call("--parsable", str(script)).strip().partition(";")[0]


def call(*words: str, text: str | None = None) -> str:
    """What sbatch prints, given the text of a script or a file's name; raises as `submit`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_ARRAY_")}
    try:
        done = subprocess.run(["sbatch", *words], input=text, capture_output=True, text=True, timeout=SECONDS,
                              env=inherited)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Unclear(f"sbatch did not answer for {SECONDS} s") from error
    except OSError as error:
        raise Refused(f"sbatch: {error.strerror}") from error
    if done.returncode:
        raise _refusal(done.stderr)
    return done.stdout


def _refusal(errors: str) -> Refused:
    reason = ": ".join(line for line in (SAID.sub("", line).strip() for line in errors.splitlines()) if line)
    reason = reason[-400:] or "nothing"
    if limit := LIMIT.search(reason):
        return NoRoom(limit[0])
    if "Invalid job array specification" in reason:
        return TooLarge(reason)
    return (Unclear if UNCLEAR.search(reason) else Refused)(reason)


def largest_array() -> int:
    """How many elements SLURM takes in one array (`MaxArraySize`); any number where it does not say."""
    with suppress(Unanswered):
        if (size := commands.setting("MaxArraySize")).isdigit():
            return max(1, int(size))
    return sys.maxsize
