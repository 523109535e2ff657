"""A method that a package of somebody else's brings is one like the project's own, which knows nothing of it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open
from tests.conftest import ROOT

MODULE = '''
"""Linear layers without a bias: the first ones of the encoder, as many as asked for."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from compress.artifact.layers.kind import Kind
from compress.checked import checked
from compress.methods.base import Method
from compress.methods.registry import Option
from compress.model.structure import structure


@checked
class NobiasConfig:
    """How many biases go."""

    name: Literal["dropped"] = Field(description="which method")
    share: float = Field(description="share of the matrices whose bias goes, the first ones", gt=0, le=1)


class Biasless(Kind):
    """A layer whose bias is not stored."""

    name = "biasless"

    def describes(self, module):
        return "weight" in {*module._parameters, *module._buffers} and getattr(module, "bias", module) is None

    def build(self, layer, tensors, settings):
        layer.bias = None
        return layer


class Nobias(Method):
    def __init__(self, config):
        self.config = config

    def prepare(self, model):
        names = structure(model).matrices
        self.names = names[: round(self.config.share * len(names))]
        for name in self.names:
            model.get_submodule(name).bias = None

    def trace(self, stored):
        return all(stored.get_submodule(name).bias is None for name in self.names)


KIND = Biasless()
OPTION = Option(
    group="nobias", name="dropped", noun="dropping biases", config=NobiasConfig, build=Nobias, acts=15,
    strength="share", conf=Path(__file__).parent / "conf",
)
'''
FILES = {
    "nobias/__init__.py": "",
    "nobias/method.py": MODULE,
    "nobias/conf/nobias/dropped.yaml": "name: dropped\nshare: 0.5\n",
    "nobias/conf/nobias/none.yaml": "defaults:\n  - dropped\n  - _self_\nname: none\n",
    "nobias-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: nobias\nVersion: 1\n",
    "nobias-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "nobias-1.dist-info/entry_points.txt": "[combining_compressions.methods]\ndropped = nobias.method:OPTION\n"
    "[combining_compressions.layers]\nbiasless = nobias.method:KIND\n",
    "nobias-1.dist-info/RECORD": "",
}
STUDY = ("quantize=none,int8", "distill=none,kd", "prune=none,magnitude", "distill.teacher=mini")
BASE = ("data=demo", "train=demo", "device=cpu", "distill.weak_teacher=true", "distill.copies=0", "train.max_steps=8")
SUBSETS = 16


def git(*words: str) -> list[str]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.splitlines()


class Place:
    """A folder in which somebody works who has installed the package."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self.site = folder, site

    def run(self, *words: str, code: int = 0, installed: bool = True) -> str:
        """What a command of ours says."""
        place = {"PYTHONPATH": f"{self.site}:{os.environ.get('PYTHONPATH', '')}"} if installed else {}
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | place, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Place:
    """The package installed outside the project, and the grid over its subsets run."""
    folder = tmp_path_factory.mktemp("own")
    wheel = folder / "nobias-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    pip = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder / "site"), str(wheel)]
    subprocess.run([sys.executable, "-m", *pip], check=True, capture_output=True)
    (folder / "work").mkdir()
    found = Place(folder / "work", folder / "site")
    told = found.run("compress", "-m", "model=demo/tiny,demo/mini", *BASE, *STUDY, "nobias=none,dropped",
                     "task=sst2", "tracking=none")  # fmt: skip
    assert f"{2 * SUBSETS} finished" in told, told
    return found


def test_the_project_does_not_know_it() -> None:
    assert git("grep", "-l", "-i", "nobias") in ([], [str(Path(__file__).relative_to(ROOT))])


def test_it_is_planned_filed_and_told_like_the_others(place: Place) -> None:
    told = place.run("launch", "plan", "model=demo/tiny", *BASE, *STUDY, "nobias=none,dropped", "task=sst2", "seed=1")
    assert f"{SUBSETS} experiments" in told
    folders = {path.parent.name for path in place.folder.glob("runs/sst2/tiny/*/*")}
    assert len(folders) == SUBSETS
    assert {"nobias", "quantize+distill+prune+nobias"} <= folders
    states = place.json("launch", "status", "runs")["experiments"]
    assert {entry["state"] for entry in states} == {"finished"}
    assert "nobias.share=0.5" in place.run("compress", "--help")


def test_without_the_package_it_is_refused_in_one_line(place: Place) -> None:
    assert "error: nobias=dropped: no such key" in place.run("compress", "nobias=dropped", code=2, installed=False)
    (stored,) = place.folder.glob("runs/sst2/tiny/nobias/*")
    told = place.run("compress.export", str(stored), code=2, installed=False)
    assert "biasless" in told
    assert "Traceback" not in told


def test_what_it_left_is_in_the_artifact_and_counted(place: Place) -> None:
    def size(methods: str) -> dict[str, int]:
        (file,) = place.folder.glob(f"runs/sst2/tiny/{methods}/*/result.json")
        return dict(json.loads(file.read_text())["size"])

    plain, own = size("none"), size("nobias")
    assert own["parameters"] == plain["parameters"]
    assert own["nonzero"] < plain["nonzero"]
    assert own["nominal_bytes"] == 4 * own["nonzero"]


def test_the_tracker_has_it_as_a_factor(place: Place) -> None:
    words = ("model=demo/tiny", *BASE, "nobias=dropped", "prune=magnitude", "task=sst2", "seed=5")
    place.run("compress", *words, "tracking=wandb", "tracking.mode=offline")
    (card,) = place.folder.glob("runs/sst2/tiny/prune+nobias/*/wandb/card.json")
    config = json.loads(card.read_text())["config"]
    assert (config["nobias"], config["share"], config["quantize"], config["sparsity"]) == ("dropped", 0.5, "none", 0.4)
    assert config["cell"].startswith("sst2-tiny-prune+nobias-0.4-0.5")
    there = place.json("analysis", "advise", "runs", "--source", "offline", "--max-mb", "10")
    assert there["advice"]["chosen"]["methods"] == "prune+nobias"


def test_results_are_counted_over_all_subsets(place: Place) -> None:
    picks = place.json("analysis", "table", "runs", "--bootstrap", "0")["table1"]
    assert {row["methods"] for row in picks} == {path.parent.name for path in place.folder.glob("runs/*/tiny/*/*")} - {
        "none"
    }
    contrasts = place.json("analysis", "interactions", "runs", "--bootstrap", "0")["interactions"]
    assert {"quantize+nobias", "quantize+distill+prune+nobias"} <= {row["contrast"] for row in contrasts}
    assert len({row["contrast"] for row in contrasts}) == SUBSETS - 1 - 4


def test_the_report_shows_it(place: Place, open_page: Open) -> None:
    place.run("analysis", "report", "runs", "--out", "report", "--bootstrap", "0")
    runs = list(csv.DictReader((place.folder / "report/tables/runs.csv").open()))
    assert len({row["methods"] for row in runs}) == SUBSETS
    opened = open_page(place.folder / "report/report.html")
    page = opened.page
    assert page.locator("#legend input[name=methods]").count() == SUBSETS
    assert page.locator("#legend").get_by_text("quantize + distill + prune + nobias", exact=True).count() == 1
    assert page.get_by_text("dropping biases").count() > 0
    assert page.locator("#figure1 svg .mark").count() == 2 * SUBSETS
    assert opened.problems == []


def test_a_finished_one_is_exported(place: Place) -> None:
    (folder,) = place.folder.glob("runs/sst2/tiny/quantize+distill+prune+nobias/*")
    place.run("compress.export", str(folder), "--format", "onnx")
    assert json.loads((folder / "onnx" / "export.json").read_text())["agreement"] == 1.0
