"""The W&B dashboard, as a stand-in for the server receives it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import reference
from analysis.dashboard import dashboard
from analysis.names import Names
from analysis.read.online import TrackedRun
from compress.config.run_names import factors as factors_of
from compress.errors import ConfigError
from compress.experiment import describe
from tests.conftest import ROOT, Compose
from tests.grids import SUBSETS, document, entry
from tests.wandb_server import ENTITY, Fault, WandbServer
from tests.wandb_stand_in.state import Run, View

with warnings.catch_warnings():  # wandb-workspaces warns of itself
    warnings.simplefilter("ignore", DeprecationWarning)
    from analysis.dashboard import panels

RESULT = json.loads((ROOT / "tests" / "records" / "result.json").read_text())


STUDY = Names(reference.methods())
LOGGED = {  # what the client keeps of a run's rows beside the outcome: last values
    "loss": 0.5, "distillation_loss": 0.1, "label_loss": 0.4, "learning_rate": 0.0, "gradient_norm": 1.0,
    "examples_per_second": 900.0, "memory_bytes": 1e9, "epoch": 3.0, "global_step": 180, "_runtime": 3,
    "ranges_frozen": 1.0, "sparsity": 0.4, "score_glue": 60.0, "size": {"nominal_bytes": 1}, "run_id": "a",
}  # fmt: skip


def of(methods: str) -> dict[str, Any]:
    """What tracking writes of a subset's methods into a run's configuration."""
    entries = [entry(name) for name in methods.split("+") if name != "none"]
    return {"methods": methods, "compression": [vars(own) for own in entries], "schema": 2}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """With a project `p` of eight finished runs, one that failed and one that crashed."""
    with WandbServer() as standing:
        for name, value in standing.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        for methods in SUBSETS:
            add(standing, f"rte-mini-{methods}-s0", "finished", LOGGED, **of(methods))
        add(standing, "rte-tiny-none-s0", "failed", {"failure": "ValueError: labels a|b\ndo not fit"}, **of("none"))
        add(standing, "rte-tiny-prune-s0", "crashed", **of("prune"))
        add(standing, "another-project-of-ours", "crashed", lr=1e-3)
        yield standing
        import wandb

        wandb.teardown()


def add(server: WandbServer, name: str, state: str, summary: dict[str, Any] | None = None, **config: Any) -> Run:
    """A run, by the shortest way."""
    run_id = f"run{len(server.runs)}"
    run = Run(run_id, "p", ENTITY, len(server.runs), name, config=config, summary=summary or {}, state=state)
    server.store.runs[ENTITY, "p", run_id] = run
    server.store.projects.add((ENTITY, "p"))
    return run


@pytest.fixture
def view(server: WandbServer) -> View:
    """What arrived."""
    dashboard.create("p")
    (saved,) = server.views
    return saved


def sections(view: View) -> dict[str, list[dict[str, Any]]]:
    """The panels of each section."""
    listed = view.spec["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in listed}


def of_type(view: View, section: str, kind: str) -> list[dict[str, Any]]:
    """The settings of a section's panels of one type."""
    return [panel["config"] for panel in sections(view)[section] if panel["viewType"] == kind]


def test_the_view_is_named_and_has_all_sections(view: View, server: WandbServer) -> None:
    assert (view.display_name, view.type, view.project, view.entity) == (
        "Combining Compressions", "project-view", "p", ENTITY,
    )  # fmt: skip
    assert {name: {panel["viewType"] for panel in panels} for name, panels in sections(view).items()} == {
        "Score and size": {"Scatter Plot"},
        "Factors": {"Parallel Coordinates Plot"},
        "Scores by task, methods and size": {"Bar Chart"},
        "Training": {"Run History Line Plot"},
        "Cost": {"Bar Chart", "Scatter Plot", "Run History Line Plot"},
        "Failures": {"Markdown Panel", "Bar Chart", "Parallel Coordinates Plot"},
        "Compare runs": {"Run Comparer"},
    }
    assert server.unknown == []


def test_score_against_bytes_on_a_logarithmic_axis(view: View) -> None:
    plots = of_type(view, "Score and size", "Scatter Plot")
    assert {(plot["xAxis"], plot["yAxis"]) for plot in plots} == {
        (f"summary:size.{size}", f"summary:{score}")
        for size in ("nominal_bytes", "artifact_bytes")
        for score in ("score_glue", "score_accuracy")
    }
    assert len(plots) == 4
    assert all(plot["xAxisLogScale"] is True and "yAxisLogScale" not in plot for plot in plots)
    assert all("${config:methods}" in plot["legendTemplate"] for plot in plots)


def colour(methods: str) -> str:
    return panels.colour(STUDY, tuple(entry(name) for name in methods.split("+") if name != "none"))


def test_every_run_has_the_colour_of_its_methods(view: View, server: WandbServer) -> None:
    colours = view.spec["section"]["customRunColors"]
    ours = [run for run in server.runs.values() if "methods" in run.config]
    assert colours == {run.run_id: colour(run.config["methods"]) for run in ours}
    assert len({colour(methods) for methods in SUBSETS}) == 8


def test_a_run_without_methods_keeps_its_own_colour(server: WandbServer) -> None:
    strangers = [add(server, "no methods", "finished"), add(server, "others", "failed", {"failure": 3}, methods=[1])]
    dashboard.create("p")
    colours = server.views[0].spec["section"]["customRunColors"]
    assert not {stranger.run_id for stranger in strangers} & colours.keys()
    assert len(colours) == 10


def test_parallel_coordinates_run_from_the_factors_to_the_score(view: View) -> None:
    (plot,) = of_type(view, "Factors", "Parallel Coordinates Plot")
    factors = ["model", "task", "quantize", "distill", "prune", "sparsity", "seed"]
    outcomes = ["size.nominal_bytes", "size.artifact_bytes", "score_glue", "score_accuracy"]
    axes = [column["accessor"] for column in plot["columns"]]
    assert axes == [f"config:{name}.value" for name in factors] + [f"summary:{name}" for name in outcomes]
    assert [column["accessor"] for column in plot["columns"] if column.get("log")] == [
        "summary:size.nominal_bytes", "summary:size.artifact_bytes",
    ]  # fmt: skip


def test_methods_of_others_are_factors_too(server: WandbServer) -> None:
    """Their options and strengths, and what they log; a run of the first schema says what it can."""
    entries = [vars(entry("shave")), vars(entry("coach"))]
    coached: dict[str, Any] = {"methods": "coach+shave", "compression": entries, "schema": 2}
    add(server, "rte-mini-shave+coach-s0", "finished", {"cheers": 3, "coaching_loss": 0.2}, **coached)
    old = document("rte", "mini", "quantize", 60.0, seed=1) | {"schema": 1, "methods": "quantize"}
    del old["compression"]
    first = add(server, "rte-mini-quantize-s1", "finished", old, **old)
    dashboard.create("p")
    (plot,) = of_type(server.views[0], "Factors", "Parallel Coordinates Plot")
    axes = [column["accessor"] for column in plot["columns"]]
    assert axes[2:9] == [
        f"config:{name}.value" for name in ("quantize", "distill", "prune", "shave", "coach", "sparsity", "share")
    ]
    lines = of_type(server.views[0], "Training", "Run History Line Plot")
    assert {"cheers", "coaching_loss"} <= {line["metrics"][0] for line in lines}
    assert first.run_id in server.views[0].spec["section"]["customRunColors"]


def test_bars_are_means_by_task_methods_and_size(view: View) -> None:
    bars = of_type(view, "Scores by task, methods and size", "Bar Chart")
    assert {(*bar["metrics"], bar["groupBy"]) for bar in bars} == {
        (score, f"{factor}.value")
        for score in ("score_glue", "score_accuracy")
        for factor in ("task", "methods", "model")
    }
    assert all((bar["groupAgg"], bar["groupArea"], bar["aggregate"]) == ("mean", "stderr", True) for bar in bars)


def test_training_curves_run_over_the_steps(view: View) -> None:
    lines = of_type(view, "Training", "Run History Line Plot")
    assert all(line["xAxis"] == "global_step" for line in lines)
    assert {line["metrics"][0]: line.get("groupBy") for line in lines} == {
        "loss": None,
        "distillation_loss": None,
        "label_loss": None,
        "learning_rate": "methods.value",
        "sparsity": "methods.value",
        "ranges_frozen": "methods.value",
        "examples_per_second": "methods.value",
    }
    assert view.spec["section"]["settings"]["xAxis"] == "global_step"


def test_cost_in_seconds_throughput_and_memory(view: View) -> None:
    bars = of_type(view, "Cost", "Bar Chart")
    assert {(*bar["metrics"], bar["groupBy"]) for bar in bars} == {
        (metric, f"{factor}.value")
        for metric in ("timing.train_seconds", "timing.steps_per_second", "memory_bytes")
        for factor in ("model", "methods")
    }
    (scatter,) = of_type(view, "Cost", "Scatter Plot")
    assert (scatter["xAxis"], scatter["yAxis"]) == ("summary:timing.train_seconds", "summary:score_glue")
    (line,) = of_type(view, "Cost", "Run History Line Plot")
    assert line["metrics"] == ["memory_bytes"]


def test_failures_are_listed_with_their_causes(view: View) -> None:
    (text,) = of_type(view, "Failures", "Markdown Panel")
    rows = [line for line in text["value"].splitlines() if line.startswith("| rte")]
    assert rows == [
        "| rte-tiny-none-s0 | failed | ValueError: labels a\\|b do not fit |",
        "| rte-tiny-prune-s0 | crashed |  |",
    ]
    assert "**2 failed or crashed**" in text["value"]
    assert "1 runs of this project are none of these experiments" in text["value"]
    states, causes = of_type(view, "Failures", "Parallel Coordinates Plot")
    cells = [f"config:{factor}.value" for factor in ("task", "model", "methods")]
    assert [column["accessor"] for column in states["columns"]] == [*cells, "run:state"]
    assert [column["accessor"] for column in causes["columns"]] == [*cells, "run:state", "summary:failure"]
    (hours,) = of_type(view, "Failures", "Bar Chart")
    assert (hours["metrics"], hours["groupBy"], hours["groupAgg"]) == (["_runtime"], "state", "sum")


def test_runs_are_compared_side_by_side(view: View) -> None:
    assert of_type(view, "Compare runs", "Run Comparer") == [{"diffOnly": "split"}]


def test_useful_columns_are_pinned_and_no_run_is_hidden(view: View) -> None:
    (runset,) = view.spec["section"]["runSets"]
    pinned = runset["runFeed"]["columnPinned"]
    assert list(pinned)[:4] == ["run:displayName", "run:state", "config:task.value", "config:model.value"]
    assert {"summary:score_glue", "summary:size.artifact_bytes", "summary:failure"} <= pinned.keys()
    assert runset["selections"]["tree"] == []
    assert runset["grouping"] == []


def test_all_fields_are_ones_that_runs_have(view: View, compose: Compose) -> None:
    """Names in the summary are those of result.json, names in the config those that tracking writes."""
    document = json.dumps(view.spec)
    named = {text for text in document.replace("${", '"').replace("}", '"').split('"') if text.count(":") == 1}
    config = {text.removeprefix("config:").removesuffix(".value") for text in named if text.startswith("config:")}
    summary = {text.removeprefix("summary:") for text in named if text.startswith("summary:")}
    bars = [bar for section in sections(view) for bar in of_type(view, section, "Bar Chart")]
    summary |= {metric for bar in bars for metric in bar["metrics"]} - {"_runtime", "memory_bytes"}
    every = ("quantize=int8", "distill=kd", "prune=magnitude", "model=demo/tiny", "data=demo", "distill.teacher=mini")
    factors = factors_of(describe(compose(*every), "0" * 12))
    assert config == {"model", "task", "methods", "quantize", "distill", "prune", "sparsity", "seed"}
    assert config <= factors.keys()
    assert len(summary) == 7
    for key in summary - {"failure"}:
        value: Any = RESULT
        for part in key.split("."):
            value = value[part]
        assert isinstance(value, (int, float)) or value in ("int", "float"), key  # the record names types
    logged = {line["metrics"][0] for line in of_type(view, "Training", "Run History Line Plot")} | {"memory_bytes"}
    source = "".join(path.read_text() for path in (ROOT / "compress").rglob("*.py"))
    assert [key for key in logged if f'"{key}"' not in source] == []


def test_another_call_updates_the_same_view(server: WandbServer) -> None:
    first = dashboard.create("p")
    view = server.views[0]
    view.display_name = "renamed by hand"
    late = add(server, "rte-base-distill-s0", "running", **of("distill"))
    assert dashboard.create("p") == first
    (again,) = server.views
    assert (again.view_id, again.saves, again.display_name) == (view.view_id, 2, "Combining Compressions")
    assert again.spec["section"]["customRunColors"][late.run_id] == colour("distill")
    assert server.counts["Runs"] == 2


def test_the_url_leads_to_the_view_and_other_views_stay(server: WandbServer) -> None:
    other = View("theirs", "p", ENTITY, "nw-theirs-v", "Combining Compressions", "project-view", {"by": "hand"})
    server.store.views["theirs"] = other
    url = dashboard.create("p", ENTITY)
    assert other.spec == {"by": "hand"}
    ours = next(view for view in server.views if view is not other)
    assert url == f"{server.url}/{ENTITY}/p?nw={ours.name.removeprefix('nw-').removesuffix('-v')}"
    import wandb_workspaces.workspaces as ws

    assert ws.Workspace.from_url(url).name == "Combining Compressions"


def test_each_project_has_its_own_view_name() -> None:
    names = {dashboard.view_name(entity, project) for entity in ("a", "b") for project in ("p", "q")}
    assert len(names) == 4
    assert all(len(name) == 16 and "-v" not in name[3:-2] for name in names)


# --- what can go wrong


def wrong_key(server: WandbServer) -> None:
    server.key = "another" * 6


def gone(server: WandbServer) -> None:
    server.fault = Fault(refuse=True)


def broken(server: WandbServer) -> None:
    server.fault = Fault(status=503)


def silent(server: WandbServer) -> None:
    server.fault = Fault("graphql", hang=True)


def dies_in_the_middle(server: WandbServer) -> None:
    server.fault = Fault("graphql", hang=True, after=2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (wrong_key, "not logged in.*WANDB_API_KEY"),
        (gone, "cannot be reached.*WANDB_BASE_URL"),
        (broken, "answers 503"),
        (silent, "asking who the key belongs to"),
        (dies_in_the_middle, "reading the project"),
    ],
)
def test_a_server_that_does_not_help_is_told_in_one_line(
    server: WandbServer, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[WandbServer], None], message: str
) -> None:
    monkeypatch.setattr(dashboard, "SECONDS", 1.0)
    spoil(server)
    with pytest.raises(ConfigError, match=message) as error:
        dashboard.create("p")
    assert "\n" not in str(error.value)
    assert server.views == []


def test_without_a_key_it_says_how_to_get_one(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(ConfigError, match=r"no key for .*wandb login"):
        dashboard.create("p")
    assert server.counts == {}


def test_a_project_that_is_not_there(server: WandbServer) -> None:
    with pytest.raises(ConfigError, match=r"project=absent: tester has no such project.*--entity"):
        dashboard.create("absent")
    assert server.views == []


def test_a_missing_package_is_named(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(ConfigError, match=r"wandb_workspaces is not installed.*\[tracking\]"):
        dashboard.create("p")


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "{'wandb', 'wandb_workspaces', 'pandas', 'torch'}"
    code = f"import sys, analysis.dashboard.dashboard; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_many_failures_are_cut_short() -> None:
    failed = {"failure": "out of memory"}
    runs = [TrackedRun(str(i), of("none"), failed, "failed", name=f"run {i}") for i in range(12)]
    text = panels.failure_list(runs, now=0.0, longest=10)
    assert text.count("out of memory") == 10
    assert "1970-01-01 00:00 UTC" in text
    assert text.endswith("… and 2 more")


def test_no_failures_no_table() -> None:
    text = panels.failure_list([TrackedRun("a", of("none"), {}, "finished")], now=0.0)
    assert "**0 failed" in text
    assert "| run |" not in text
