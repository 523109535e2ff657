"""What the tests share: a private cache, composed configurations, the command line, and the real GLUE files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled",  # but for the tests of tracking
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}

Compose = Callable[..., "Config"]
Command = Callable[..., subprocess.CompletedProcess[str]]

from compress.config.schema import Config  # noqa: E402 - after the environment


def pytest_configure() -> None:
    """Have what the tests start hear of Ctrl-C, also where a shell runs the tests in the background and ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """What some tests need, and of it what is not here."""
    slurm = "SLURM_CONF" in os.environ or Path("/etc/slurm/slurm.conf").exists()
    needed = {
        "real GLUE files and checkpoints (shared/glue and shared/weights beside the project)": all(
            (SHARED / name).is_dir() for name in ("glue", "weights")
        ),
        "SLURM (sinfo and SLURM_CONF)": slurm and shutil.which("sinfo") is not None,
        "root's rights (to be another user, to fill a disk)": os.geteuid() == 0,
        "Chromium (/usr/bin/chromium)": Path("/usr/bin/chromium").exists(),
        "WordNet (wordnet-base)": Path("/usr/share/wordnet/cntlist.rev").exists(),
    }
    absent = [what for what, here in needed.items() if not here]
    ends = "failed, since this is CI" if os.environ.get("CI") == "true" else "skipped"
    told = f"missing here, so that the tests that need it are {ends}: {'; '.join(absent)}" if absent else "all is here"
    return [f"some tests need: {'; '.join(needed)}", told]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file's tests to one process; and all that take turns at the one cluster, lest others wait for them."""
    from xdist.scheduler import LoadFileScheduling

    class ByPlace(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "tests/slurm" if nodeid.startswith("tests/slurm/") else str(super()._split_scope(nodeid))

    return ByPlace(config, log)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One token cache for a whole session of tests, apart from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["COMPRESS_CACHE"] = str(folder)
    return folder


@pytest.fixture
def compose(cache: Path, tmp_path: Path) -> Compose:
    """The checked configuration that overrides make, with results in the test's own folder."""
    from compress.config.conf_files import conf_folder
    from compress.config.overrides import compositions

    def composed(*overrides: str) -> Config:
        words = [f"paths.runs={tmp_path / 'runs'}", *overrides]
        return next(compositions(words, conf_folder(), multirun=False))

    return composed


@pytest.fixture
def command(cache: Path, tmp_path: Path) -> Command:
    """`python -m compress …` as a user types it, in an empty folder."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "compress", *words],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


def missing(what: str) -> NoReturn:
    """Something that a test needs is not here: the test is skipped and says why; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def shared(name: str) -> Path:
    """A folder of real files beside the project."""
    folder = SHARED / name
    if not folder.is_dir():
        missing(f"the real files are not here: a folder shared/{name} beside the project")
    return folder


@pytest.fixture
def glue() -> Path:
    """Real GLUE: DIR/<task>/{train,validation}.parquet."""
    return shared("glue")


@pytest.fixture
def weights() -> Path:
    """Real pretrained checkpoints, a folder each."""
    return shared("weights")
