"""Which methods there are: found, checked, never needed by name; what is off counts for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field
from torch import nn

from compress.artifact import kinds
from compress.checked import checked
from compress.config import identity
from compress.config.schema import document, from_mapping
from compress.errors import ConfigError
from compress.methods import registry
from compress.methods.base import LearnsFromTeacher, Method
from compress.methods.registry import Option
from tests.conftest import Compose

BASE = ("model=demo/tiny", "data=demo", "train=demo", "task=rte")


@checked
class RoundConfig:
    """Options of a method that nobody has."""

    name: Literal["decimal"] = Field(description="which method")
    digits: float = Field(description="that are kept", gt=0)


class Round(Method):
    """Does nothing, and can be seen."""

    def trace(self, stored: nn.Module) -> bool:
        return True


def option(**changes: object) -> Option:
    values = {"group": "round", "name": "decimal", "noun": "rounding", "config": RoundConfig, "build": Round}
    return Option(**{**values, "acts": 25, "strength": "digits", **changes})  # type: ignore[arg-type]


OPTION = option()
NO_OPTION = "text"


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of things in this module that a package declares to be methods."""
    values: list[str] = []

    def entry_points(group: str) -> EntryPoints:
        given = values if group == "combining_compressions.methods" else []
        return EntryPoints(EntryPoint(name=value.rpartition(":")[2], value=value, group=group) for value in given)

    monkeypatch.setattr(kinds, "entry_points", entry_points)
    registry.registry.cache_clear()
    yield values
    registry.registry.cache_clear()


def test_methods_are_named_in_one_order_and_act_in_another() -> None:
    assert list(registry.registry())[:3] == ["quantize", "distill", "prune"]
    every = {group: next(iter(options.values())).acts for group, options in registry.registry().items()}
    assert every["prune"] < every["quantize"] < every["distill"], "mask, then fake-quantize, then the loss"


def test_a_method_of_another_package_is_one_of_them(declared: list[str]) -> None:
    declared.append(f"{__name__}:OPTION")
    assert registry.registry()["round"] == {"decimal": OPTION}
    assert list(registry.registry())[-1] == "round"
    assert registry.read("round", {"name": "decimal", "digits": 2}) == RoundConfig(name="decimal", digits=2)
    described = registry.describe({"round": RoundConfig(name="decimal", digits=2)})
    assert [(own.method, own.option, own.noun, own.strength, own.value, own.shrinks) for own in described] == [
        ("round", "decimal", "rounding", "digits", 2, True)
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"strength": "digit"},
            r"^round=decimal: strength=digit: its configuration has no such key \(did you mean",
        ),
        (
            {"weights_until": "end"},
            r"^round=decimal: weights_until=end: its configuration has no such key; it has",
        ),
        ({"build": Method}, r"^round=decimal: Method has no trace\(stored\), which says how the method is seen in"),
        ({"group": "train"}, r"^train=decimal: the framework has a group of this name itself; choose another$"),
        ({"conf": Path("/nowhere")}, r"^round=decimal: /nowhere/round/decimal.yaml: no such file; conf is a folder"),
    ],
)
def test_what_a_module_declares_is_checked_when_it_is_read(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        option(**changes)


def test_a_version_is_another_identity(compose: Compose, declared: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(compose(*BASE), methods={"round": RoundConfig(name="decimal", digits=2)})
    declared.append(f"{__name__}:OPTION")
    registry.registry.cache_clear()
    before = identity.run_id(config)
    monkeypatch.setitem(registry.registry()["round"], "decimal", option(version=1))
    assert identity.run_id(config) != before


def test_a_stored_configuration_with_a_method_that_is_not_installed_is_told(compose: Compose) -> None:
    values = document(compose(*BASE)) | {"round": {"name": "decimal", "digits": 2}}
    with pytest.raises(ConfigError, match=r"^round: no method of this name is installed here; install the package"):
        from_mapping(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            ["tests.no_such_module:OPTION"],
            r"the method OPTION of .* cannot be imported \(ModuleNotFoundError: .*\); mend",
        ),
        ([f"{__name__}:NO_OPTION"], r"the method NO_OPTION .* is a str, not a compress.methods.registry.Option$"),
        ([f"{__name__}:OPTION", f"{__name__}:OPTION"], r"^round=decimal: two modules implement it; remove one"),
    ],
)
def test_a_package_whose_method_is_none_is_told_in_a_line(declared: list[str], values: list[str], told: str) -> None:
    declared.extend(values)
    with pytest.raises(ConfigError, match=told):
        registry.registry()


def test_an_option_that_no_module_implements_is_refused_before_anything_runs(compose: Compose) -> None:
    with pytest.raises(
        ConfigError, match=r"^prune.name=magnitud: no module implements it \(did you mean magnitude\?\)"
    ):
        compose(*BASE, "prune=magnitude", "prune.name=magnitud")


def test_values_of_a_method_that_is_off_must_still_be_right(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"^prune.sparsity=2: must be less than 1$"):
        compose(*BASE, "prune.sparsity=2")


def test_methods_that_contradict_each_other_are_refused(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"^quantize.freeze=0.5: must be at least prune.end=0.7, since ranges change"):
        compose(*BASE, "quantize=int8", "prune=magnitude", "quantize.freeze=0.5")
    learning = compose(*BASE, "distill=kd", "distill.teacher=mini").methods["distill"]
    assert isinstance(learning, LearnsFromTeacher)
    with pytest.raises(ConfigError, match=r"^distill and other: both learn from a teacher, which one method does;"):
        registry.check({"distill": learning, "other": replace(learning)})


def test_what_is_off_is_nowhere(compose: Compose) -> None:
    config = compose(*BASE, "prune=magnitude")
    assert list(config.methods) == ["prune"]
    values = document(config)
    assert {"quantize", "distill"}.isdisjoint(values)
    assert {"quantize", "distill"}.isdisjoint(identity.scientific(config))
    assert from_mapping(values) == config, "groups that are not there are off"
    assert from_mapping(values | {"quantize": {"name": "none"}}) == config


def test_a_method_that_is_added_changes_no_identity(compose: Compose, declared: list[str]) -> None:
    words = (BASE, (*BASE, "quantize=int8", "prune=magnitude"), (*BASE, "distill=kd", "distill.teacher=mini"))
    configs = [compose(*each) for each in words]
    before = [identity.run_id(config) for config in configs]
    declared.append(f"{__name__}:OPTION")
    registry.registry.cache_clear()
    assert "round" in registry.registry()
    assert [identity.run_id(config) for config in configs] == before


def test_a_method_must_say_what_it_leaves_behind(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="Method does not say how to see in the artifact"):
        Method().trace(None)  # type: ignore[arg-type]
