"""Calls of sbatch: the script of a job, what SLURM refuses, and whether it would ever start a job."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from compress.config.resources import WHERE, Needs
from compress.errors import ConfigError
from launch import commands
from launch.batches import Batch, SlurmSettings
from launch.commands import Unanswered
from launch.scheduler import squeue

SECONDS = 300  # SLURM that is busy has sbatch try for two minutes
LIMIT = re.compile(r"\w*Submit\w*Limit|temporarily una\w+")  # what passes when jobs end
UNCLEAR = re.compile(r"timed out|[Uu]nable to contact|[Zz]ero [Bb]ytes|[Cc]onnect")  # it may have been submitted
SAID = re.compile(r"^(sbatch: )?(error: )?(Batch job submission failed: |allocation failure: )?")
OR_FAIL = 'or_fail() { [ "$1" -eq 0 ] || { echo "error: hydra.launcher.setup: $2: exit code $1" >&2; exit "$1"; }; }'
REQUEUE = (  # outside a container in which there is no scontrol
    "code=$?",
    'if rm {jobs}/"$SLURM_JOB_ID.requeue" 2> /dev/null; then scontrol requeue "$SLURM_JOB_ID"; fi',
    'exit "$code"',
)
PROBE = "compress-probe"  # name of a job that does nothing
LEAST: dict[str, int | None] = {"gpus": 0, "cpus": 1, "memory_gb": None}


class Refused(ConfigError):  # noqa: N818 - says what SLURM does
    """SLURM does not take a job."""


class Unclear(Refused):
    """sbatch failed, and SLURM may have the job all the same."""


class NoRoom(Refused):
    """SLURM takes no more jobs until others have ended."""


class TooLarge(Refused):
    """SLURM takes no array of so many elements."""


def parameters(jobs: Path, batch: Batch, settings: SlurmSettings, after: Sequence[str]) -> dict[str, object]:
    """What submitit's SlurmExecutor is told for a batch that logs into the folder `jobs`, and its dependencies."""
    resources, additional = batch.resources, {"requeue": True, **settings.additional}
    if any(condition.startswith("afterok:") for condition in after):
        additional["kill-on-invalid-dep"] = "yes"
    given: dict[str, object] = {
        "time": batch.minutes(settings),
        "cpus_per_task": resources.cpus,
        "ntasks_per_node": 1,
        "signal_delay_s": settings.signal_seconds,
        "stderr_to_stdout": True,
        "array_parallelism": batch.at_once or len(batch.elements),
        "additional_parameters": additional,
    }
    if after:
        given["dependency"] = ",".join(after)
    if resources.gpus:
        given["gpus_per_node"] = resources.gpus
    if resources.memory_gb is not None:
        given["mem"] = f"{math.ceil(resources.memory_gb * 1024)}MB"
    if settings.setup:
        given["setup"] = list(checked_setup(settings.setup))
    if settings.container:
        if settings.container.startswith("--"):
            given["srun_args"] = shlex.split(settings.container)
        given["teardown"] = [line.format(jobs=shlex.quote(str(jobs))) for line in REQUEUE]
    return given | batch.where(settings)


def script(jobs: Path, name: str, batch: Batch, settings: SlurmSettings, command: str, after: Sequence[str]) -> str:
    """The text that sbatch gets for a job of a name, that logs into the folder `jobs`, once all of `after` are met.

    `command` is what it runs, after the command that starts Python.
    """
    import submitit

    executor = submitit.SlurmExecutor(jobs)
    executor.update_parameters(**parameters(jobs, batch, settings, after), job_name=name)
    if len(batch.elements) > 1:
        executor.parameters["map_count"] = len(batch.elements)
    python = settings.python or ("python" if settings.container else shlex.quote(sys.executable))
    inside = f"{settings.container} " if settings.container and "srun_args" not in executor.parameters else ""
    return executor._make_submission_file_text(f"{inside}{python} {command}", "")


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


def require_startable(to_submit: Iterable[Batch], settings: SlurmSettings) -> None:
    """Refuse by ConfigError, in one line, jobs that SLURM says it would never start; nothing stays submitted."""
    list(checked_setup(settings.setup))
    classes = {(batch.resources, batch.minutes(settings)): batch for batch in to_submit}
    for batch in classes.values():
        _require_time(batch, settings)
    for batch in classes.values():
        if reason := refusal(batch, settings):
            raise ConfigError(f"{_blamed(reason, batch, settings)}: SLURM would never start such a job: {reason}; "
                              "nothing was submitted")  # fmt: skip


def refusal(batch: Batch, settings: SlurmSettings) -> str:
    """Why SLURM does not start a job like those of a batch; nothing if it may, now or when others have ended.

    Asked for a test, it also refuses what must wait only for a node that is down, and what it says is less clear: both
    are known of a job that does nothing, and is cancelled.
    """
    alone = replace(batch, elements=batch.elements[:1])
    text = script(Path("/dev"), PROBE, alone, replace(settings, setup=[], python="true"), "", ())
    text = re.sub(r"^#SBATCH --output=.*|^srun .*", "", text, flags=re.MULTILINE)
    quiet = "--output=/dev/null"
    try:
        call("--test-only", quiet, text=text)
    except Refused:
        try:
            job = call("--parsable", quiet, text=text).strip().partition(";")[0]
        except NoRoom:
            return ""
        except Refused as error:
            return str(error)
        try:
            with suppress(Unanswered):  # why it waits in vain, if it does
                return next((waiting.reason for _, _, waiting in squeue([f"--jobs={job}"]) if waiting.remedy), "")
        finally:
            commands.run(["scancel", job])
    return ""


def _blamed(reason: str, batch: Batch, settings: SlurmSettings) -> str:
    """The key and the value that a refusal is about."""
    if invalid := re.search(r"invalid (account|partition|qos|feature)", reason.lower()):
        key = invalid[1].replace("feature", "constraint")
        given = getattr(batch.resources, key)
        if getattr(settings, key) is None and given is not None:
            return f"resources.{key}={given}"
        return f"hydra.launcher.{key}={getattr(settings, key) or 'null'}"
    for key, least in LEAST.items():
        needed = getattr(batch.resources, key)
        less = replace(batch, resources=Needs(**asdict(batch.resources) | {key: least}))
        if needed != least and not refusal(less, settings):
            return f"resources.{key}={_plain(needed)}"
    needs = {key: value for key, value in asdict(batch.resources).items() if key not in WHERE and value is not None}
    return ", ".join(f"resources.{key}={_plain(value)}" for key, value in needs.items())


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _require_time(batch: Batch, settings: SlurmSettings) -> None:
    """Refuse a time limit that the partition does not allow; SLURM takes such a job and never starts it."""
    where = batch.where(settings)
    partition = where.get("partition")
    if "qos" in where or not (limits := _limits(partition)):
        return  # a quality of service may lift a partition's limit
    minutes, most = batch.minutes(settings), max(limits)
    if minutes > most:
        key = f"resources.timeout_min={batch.resources.timeout_min:g}"
        packed = f" ({minutes} min a job, with hydra.launcher.pack={settings.pack})" if settings.pack > 1 else ""
        place = partition or "the default partition"
        raise ConfigError(f"{key}{packed}: {place} allows {most:g} min; ask for less, a job that its limit stops is "
                          "requeued and goes on from its checkpoint; nothing was submitted")  # fmt: skip


def _limits(partition: str | None) -> list[float]:
    """The time limits of partitions in minutes; none of what SLURM does not tell."""
    listed, _ = commands.run(["sinfo", "--noheader", "--format=%R|%l|%P"])
    rows = [line.split("|") for line in listed.splitlines() if line.count("|") == 2]
    wanted = partition.split(",") if partition else [name for name, _, marked in rows if marked.endswith("*")]
    return [_minutes(limit) for name, limit, _ in rows if name in wanted]


def _minutes(limit: str) -> float:
    """`[days-][hours:]minutes:seconds` in minutes; `infinite`, and what is no time, as infinity."""
    time = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())
    if not time:
        return math.inf
    days, hours, minutes, seconds = (int(digits or 0) for digits in time.groups())
    return days * 1440 + hours * 60 + minutes + seconds / 60
