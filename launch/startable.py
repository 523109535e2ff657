"""Whether SLURM would ever start a sweep's jobs, before anything is submitted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from compress.config.resources import Needs
from compress.errors import ConfigError
from launch import commands
from launch.batches import Batch, SlurmSettings
from launch.commands import Unanswered
from launch.sbatch import NoRoom, Refused, call, checked_setup, script
from launch.scheduler import squeue

PROBE = "compress-probe"  # name of a job that does nothing
LEAST: dict[str, int | None] = {"gpus": 0, "cpus": 1, "memory_gb": None}


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
            return _in_vain(job)
        finally:
            commands.run(["scancel", job])
    return ""


def _in_vain(job: str) -> str:
    """The reason for which a job waits in vain, if it does."""
    with suppress(Unanswered):
        return next((waiting.reason for _, _, waiting in squeue([f"--jobs={job}"]) if waiting.remedy is not None), "")
    return ""


def _blamed(reason: str, batch: Batch, settings: SlurmSettings) -> str:
    """The key and the value that a refusal is about."""
    if invalid := re.search(r"invalid (account|partition|qos|feature)", reason.lower()):
        key = invalid[1].replace("feature", "constraint")
        return f"hydra.launcher.{key}={getattr(settings, key) or 'null'}"
    for key, least in LEAST.items():
        needed = getattr(batch.resources, key)
        less = replace(batch, resources=Needs(**asdict(batch.resources) | {key: least}))
        if needed != least and not refusal(less, settings):
            return f"resources.{key}={_plain(needed)}"
    needs = asdict(batch.resources)
    return ", ".join(f"resources.{key}={_plain(value)}" for key, value in needs.items() if value is not None)


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _require_time(batch: Batch, settings: SlurmSettings) -> None:
    """Refuse a time limit that the partition does not allow; SLURM takes such a job and never starts it."""
    if settings.qos is not None or not (limits := _limits(settings.partition)):
        return  # a quality of service may lift a partition's limit
    minutes, most = batch.minutes(settings), max(limits)
    if minutes > most:
        key = f"resources.timeout_min={batch.resources.timeout_min:g}"
        packed = f" ({minutes} min a job, with hydra.launcher.pack={settings.pack})" if settings.pack > 1 else ""
        where = settings.partition or "the default partition"
        raise ConfigError(f"{key}{packed}: {where} allows {most:g} min; ask for less, a job that its limit stops is "
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
