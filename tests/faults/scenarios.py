"""What is run with faults: each subset of the methods by itself, with its teacher, and a grid on this machine."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from compress import cli, errors, experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config
from compress.runs import environment
from compress.tracking import wandb_client
from tests.faults.harness import Scenario, in_child
from tests.faults.operations import Watch

METHODS = {"quantize": "quantize=int8", "distill": "distill=kd", "prune": "prune=magnitude"}
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(METHODS, size)]
DEMO = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "device=cpu", "distill.teacher=mini",
        "distill.weak_teacher=true", "train.max_steps=3", "train.checkpoint_seconds=1e-9", "data.max_train=48",
        "hydra.launcher.per_device=1", "hydra.launcher.threads=1")  # fmt: skip
GRID = ("distill=none,kd",)
HERE = Path(__file__).resolve().parent


def single(subset: tuple[str, ...], *more: str, name: str | None = None) -> Scenario:
    """One experiment, as `python -m compress` runs it."""
    words = [word for word in DEMO if not word.startswith("hydra.")] + [METHODS[name] for name in subset]
    (composed,) = compositions([*words, *more], conf_folder(), multirun=False)

    def work(root: Path) -> int:
        return errors.exit_code(lambda: cli.conduct(lambda: _below(composed, root)))

    return Scenario(name or "+".join(subset) or "none", work)


def _below(config: Config, root: Path) -> Config:
    from dataclasses import replace

    paths = replace(config.paths, runs=str(root / "runs"), cache=str(root / "cache"))
    return replace(config, paths=paths)


def tracked() -> Scenario:
    """One experiment whose W&B client writes everything to its run folder."""
    return single(("distill",), "tracking=wandb", "tracking.mode=offline", name="tracked")


def grid() -> Scenario:
    """A sweep on this machine; the launcher forks its worker, which has imported everything already."""

    def work(root: Path) -> int:
        from submitit.local import local

        setattr(local, "start_controller", _fork_the_controller)  # noqa: B010 - of this process only
        return cli.main(["-m", *DEMO, *GRID, f"paths.runs={root / 'runs'}", f"paths.cache={root / 'cache'}"])

    return Scenario("grid", work, "launcher", all_finished, sweep=True)


def processes() -> Scenario:
    """The same sweep with real processes: launcher, worker and all."""

    def work(root: Path) -> NoReturn:
        watch: Watch | None = getattr(Watch, "current", None)
        more = watch.environment() if watch else {}
        more["PYTHONPATH"] = os.pathsep.join([str(HERE / "startup"), str(HERE.parents[1])])
        words = ["-m", "compress", "-m", *DEMO, *GRID, f"paths.runs={root / 'runs'}", f"paths.cache={root / 'cache'}"]
        os.execve(sys.executable, [sys.executable, *words], os.environ | more)

    return Scenario("processes", work, "launcher", all_finished, sweep=True, again=grid().work)


class Forked:
    """The part of a Popen that is used."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)


def _fork_the_controller(folder: Path, command: str, **settings: Any) -> Forked:
    """As submitit's, but a fork in place of a new process for it and another for the job."""
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 1
    try:
        if (watch := getattr(Watch, "current", None)) is not None:
            watch.become("worker")
        _work(folder)
        code = 0
    except BaseException:  # a fork must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _work(folder: Path) -> None:
    """As submitit's process does in which a job runs."""
    from submitit.core import submission, utils

    numbers = {"LOCALID": "0", "GLOBALID": "0", "NODEID": "0", "NTASKS": "1", "JOB_NUM_NODES": "1"}
    numbers["JOB_ID"] = str(os.getpid())
    os.environ |= {"SUBMITIT_EXECUTOR": "local", **{f"SUBMITIT_LOCAL_{name}": n for name, n in numbers.items()}}
    paths = utils.JobPaths(folder, str(os.getpid()), 0)
    for number, file in ((1, paths.stdout), (2, paths.stderr)):
        try:
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
        except OSError:  # or the launcher could not go on, and has removed the sweep
            os._exit(1)
    submission.process_job(folder)


def all_finished(root: Path) -> list[str]:
    """What `launch status` says that it should not."""
    from launch import cli as launch

    done = in_child(lambda root: launch.main(["status", str(root / "runs"), "--json"]), root, watched=False)
    if done.code:
        return [f"status ends with {done.code}: {done.err.strip()}"]
    states = {entry["run_id"]: entry["state"] for entry in json.loads(done.out)["experiments"]}
    return [] if set(states.values()) == {"finished"} else [f"status says {states}"]


def warm_up() -> None:
    """Do once what every experiment needs."""
    (composed,) = compositions([word for word in DEMO if not word.startswith("hydra.")], conf_folder(), multirun=False)
    experiment.warm_up(composed)
    wandb_client.warm_up()
    import submitit  # noqa: F401

    from launch import local, start, worker  # noqa: F401

    environment.environment()
