"""The project as people install it: what is in the wheel and the sdist, and that both work away from the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import pytest

from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from tests.conftest import ROOT, missing

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("compress", "launch", "analysis")
PAGES = (".md", ".png", ".svg")  # read in the repository
SWEEP = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "tracking=none", "train.max_steps=3",
         "quantize=int8", "distill=none", "seed=0,1")  # fmt: skip

# what no dependency of a plain installation brings; HIDDEN=1 hides it as if it were not installed
EXTRAS = ("accelerate", "matplotlib", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "openvino", "optuna", "torchao",
          "wandb", "wandb_workspaces")  # fmt: skip
HIDING = f"""
import os
from importlib.machinery import PathFinder
if os.environ.get("HIDDEN"):
    real = PathFinder.find_spec
    PathFinder.find_spec = staticmethod(lambda name, path=None, target=None: (
        None if name.partition(".")[0] in {EXTRAS} else real(name, path, target)
    ))
"""


def python(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    if find_spec("hatchling") is None or find_spec("pip") is None:
        missing("hatchling or pip is not installed: pip install -e '.[dev]' in an environment with pip")
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT))
    return folder


class Installed:
    """An environment with the wheel, that sees what the tests' own has of other packages."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.here = folder / "an empty folder"
        self.here.mkdir()
        python("-m", "venv", "--without-pip", str(folder / "venv"))
        self.bin = folder / "venv" / "bin"
        python(
            "-m", "pip", "--python", str(self.bin / "python"), "install", "-q", "--no-deps", "--no-index", str(wheel)
        )
        (site,) = folder.glob("venv/lib/python*/site-packages")
        (site / "hiding.py").write_text(HIDING)
        # after the installation, so that pip sees no other; .pth files of that folder are not followed
        others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        others |= {path for path in sys.path if path.endswith("site-packages")}  # of make lowest
        (site / "others.pth").write_text("\n".join([*others, "import hiding"]) + "\n")
        self.cache = folder / "cache"

    def __call__(self, *words: str, code: int = 0, hidden: bool = False) -> str:
        """What a command of its prints, in an empty folder."""
        environment = os.environ | {"COMPRESS_CACHE": str(self.cache), "HIDDEN": "1" if hidden else ""}
        environment["WANDB_MODE"] = "offline"
        environment.pop("PYTHONPATH", None)
        done = subprocess.run([self.bin / words[0], *words[1:]], cwd=self.here, env=environment, capture_output=True,
                              text=True, timeout=300)  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """It has run a sweep of two experiments, without any of the extras."""
    found = Installed(tmp_path_factory.mktemp("installed"), next(built.glob("*.whl")))
    told = found("combining-compressions", "run", "-m", *SWEEP, hidden=True)
    assert "2 experiments: 2 finished" in told
    return found


def files(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in paths}


def test_the_wheel_has_all_that_is_needed_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    expected = {f"{name}/{file}" for name in PACKAGES for file in files(ROOT / name) if not file.endswith(PAGES)}
    expected = {file for file in expected if not file.startswith("launch/plugin/")}
    expected |= {f"compress/conf/{file}" for file in files(ROOT / "conf")}
    expected |= {f"hydra_plugins/{file}" for file in files(ROOT / "launch" / "plugin" / "hydra_plugins")}
    about = f"combining_compressions-{PROJECT['version']}.dist-info"
    expected |= {f"{about}/{file}" for file in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(zipfile.ZipFile(wheel).namelist()) == expected
    assert {f"{name}/py.typed" for name in PACKAGES} <= expected


def test_the_sdist_has_what_a_wheel_is_built_from_and_no_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.partition("/")[0] for name in names} == {
        *PACKAGES, "conf", "constraints.txt", "CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml",
        "PKG-INFO", ".gitignore",
    }  # fmt: skip
    assert {f"conf/{file}" for file in files(ROOT / "conf")} <= names


def test_runs_of_the_wheel_and_of_the_repository_have_the_same_ids(installed: Installed) -> None:
    assert installed("python", "-c", "import compress; print(compress.__file__)").startswith(str(installed.bin.parent))
    results = sorted(installed.here.glob("runs/**/result.json"))
    configs = compositions(SWEEP, conf_folder(), multirun=True)
    assert {json.loads(file.read_text())["run_id"] for file in results} == {identity.run_id(each) for each in configs}
    assert "2 experiments: 0 to run, 2 finished" in installed("python", "-m", "launch", "plan", *SWEEP)


def test_the_command_and_the_report_work_away_from_the_repository(installed: Installed) -> None:
    assert "\n  plan OVERRIDES " in installed("combining-compressions", "--help")
    assert installed("python", "-m", "compress", "--version") == f"combining-compressions {PROJECT['version']}\n"
    installed("combining-compressions", "report", "runs", "--out", "report", "--bootstrap", "0")
    assert (installed.here / "report" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["run", *SWEEP[:-1], "tracking=wandb"], "wandb", "tracking"),
        (["report", "runs", "--out", "none"], "matplotlib", "analysis"),
        (["export", "{run}"], "onnx(script)?", "export"),
        (["run", "-m", *SWEEP[:-1], "hydra/sweeper=optuna"], "optuna", "optuna"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plain_installation_names_the_extra_that_is_missing(
    installed: Installed, words: list[str], package: str, extra: str
) -> None:
    run = next(installed.here.glob("runs/**/result.json")).parent
    told = installed("combining-compressions", *(word.format(run=run) for word in words), code=2, hidden=True)
    line = rf"error: .*the package {package} is not installed; in the project's folder: pip install '\.\[{extra}\]'.*\n"
    assert re.fullmatch(line, told), told


# --- licences ---------------------------------------------------------------------------------------------------------

PERMISSIVE = {"0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT"}
PERMISSIVE |= {"PSF", "PSF-2.0", "Zlib"}
WEAK = {"MPL-2.0"}  # changed files of the package itself have to be published; CONTRIBUTING.md says so
WORDS = {"Apache": "Apache-2.0", "MIT": "MIT", "BSD": "BSD", "Python Software Foundation": "PSF"}


def licences(package: str) -> set[str]:
    """The licences that a package's metadata names: SPDX identifiers, or families where there are only words."""
    about = distribution(package).metadata.json
    if expression := about.get("license_expression"):
        return set(re.split(r"\s+(?:AND|OR)\s+", re.sub(r" WITH [\w-]+", "", str(expression))))
    classes = " ".join(line for line in about.get("classifier", ()) if line.startswith("License"))
    first = str(about.get("license", "")).partition("\n")[0]
    said = classes or first
    spdx = set(re.findall(r"\bMIT\b|(?:Apache|BSD|MPL|PSF)-[\w.-]+", first))
    return spdx or {name for word, name in WORDS.items() if word in said} or {said}


def test_the_licences_of_all_dependencies_are_listed_and_permissive() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| ?([\w-]*) \| ([\w. -]+) \| [^|]+ \|$", text, re.MULTILINE)
    listed = {name: (extra, set(licence.split(" AND "))) for name, extra, licence in rows}
    groups = {"": PROJECT["dependencies"]} | PROJECT["optional-dependencies"]
    needs = {re.match(r"[\w-]+", need)[0]: extra for extra, every in groups.items() for need in every}  # type: ignore[index]
    del needs["combining-compressions"]
    assert {name: listed.get(name, ("not listed",))[0] for name in needs} == needs
    for name in needs:
        try:
            found = licences(name)
        except PackageNotFoundError:  # of an extra that this environment lacks
            continue
        assert found <= PERMISSIVE | WEAK, f"{name}: {found}"
        assert listed[name][1] <= found, f"{name}: its metadata says {found}"
        assert found & WEAK <= listed[name][1], f"{name}: {found}"
