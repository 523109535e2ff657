"""Every group is one dataclass, and every wrong value one line that names the key, the value and what is allowed."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from compress.config.conf_files import conf_folder, options
from compress.config.memo import Memo
from compress.config.schema import GROUPS, Config
from compress.errors import ConfigError
from tests.conftest import Compose

GROUP_FILES = sorted(
    path for group in GROUPS if group != "paths" for path in (conf_folder() / group).rglob("*.yaml")
)  # fmt: skip

WRONG = {
    "train.epochs=0": "greater than or equal to 1",
    "train.epochs=two": "valid integer",
    "train.epochs=1.5": "valid integer",
    "train.epochs=true": "valid integer",
    "train.max_steps=0": "greater than or equal to 1",
    "train.batch_size=-3": "greater than or equal to 1",
    "train.learning_rate=0": "greater than 0",
    "train.learning_rate=fast": "valid number",
    "train.weight_decay=-0.1": "greater than or equal to 0",
    "train.warmup=1.1": "less than or equal to 1",
    "train.clip=0": "greater than 0",
    "train.precision=bf15": "did you mean bf16?",
    "train.select=lats": "did you mean last?",
    "train.compile=perhaps": "valid boolean",
    "data.max_length=513": "less than or equal to 512",
    "data.max_length=4": "greater than or equal to 8",
    "data.max_validation=0": "greater than or equal to 1",
    "data.max_train=0": "greater than or equal to 1",
    "data.source=glu": "did you mean glue?",
    "data.seed=-1": "greater than or equal to 0",
    "model.heads=3": "must divide model.hidden=128",
    "model.dropout=1.0": "less than 1",
    "model.layers=0": "greater than or equal to 1",
    "task.metrics=[acuracy]": "did you mean accuracy?",
    "task.text=[]": "at least 1 item",
    "seed=-1": "greater than or equal to 0",
    "seed=null": "valid integer",
    "device=tpu": "auto, cpu, cuda or cuda:N",
    "force=1": "valid boolean",
    "paths.runs=''": "at least 1 character",
}


@pytest.mark.parametrize(("override", "told"), WRONG.items())
def test_a_wrong_value_is_told_with_its_key_and_what_is_allowed(compose: Compose, override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose(override)
    message = str(error.value)
    key, value = override.split("=", 1)
    assert message.startswith(f"{key}={value.strip('[]').strip(chr(39))}") or message.startswith(f"{key}={value}")
    assert told in message
    assert "\n" not in message


def test_contradictions_are_told_with_the_way_out(compose: Compose) -> None:
    contradictions = {
        ("data=demo", "data.path=x"): ("data.path=x", "leave data.path out"),
        ("data.hub=null",): ("data.path=null", "data=demo"),
        ("data.path=/no/such/folder",): ("data.path=/no/such/folder", "no such folder"),
        ("model=pretrained",): ("model.pretrained", "give model.pretrained="),
        ("model=pretrained", "model.pretrained=null"): ("model.pretrained=null", "choose a size"),
        ("model.pretrained=./no/such",): ("model.pretrained=./no/such", "no such folder"),
        ("model.pretrained=null", "model.tokenizer=null"): ("model.tokenizer=null", "give a folder or a hub name"),
        ("model.positions=64",): ("data.max_length=128", "at most model.positions=64"),
        ("data=demo", "task.name=wnli"): ("task=wnli", "qnli"),
    }
    for overrides, (key, way_out) in contradictions.items():
        with pytest.raises(ConfigError) as error:
            compose(*overrides)
        assert str(error.value).startswith(key), overrides
        assert way_out in str(error.value), overrides


def test_a_checkpoint_of_another_shape_is_refused_before_it_is_loaded(compose: Compose, weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model.layers=4: the checkpoint .* has 2; model=pretrained takes"):
        compose("model=mini", f"model.pretrained={weights / 'standin-tiny'}")
    with pytest.raises(ConfigError, match=r"^model.pretrained=.*bert-base-uncased: the folder lacks config.json"):
        compose("model=base", f"model.pretrained={weights / 'bert-base-uncased'}")


def test_an_added_key_that_no_dataclass_has_is_refused(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"^train.epoch: no such key \(did you mean epochs\?\); train has epochs, "):
        compose("+train.epoch=4")
    with pytest.raises(ConfigError, match=r"^sed: no such key \(did you mean seed\?\)"):
        compose("+sed=4")


@pytest.mark.parametrize("path", GROUP_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_of_a_group_has_the_keys_of_its_dataclass(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    group = path.relative_to(conf_folder()).parts[0]
    inherits = values.pop("defaults", None) is not None
    keys = {field.name for field in fields(GROUPS[group])}
    assert set(values) <= keys if inherits else set(values) == keys


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "paths"])
def test_every_option_of_every_group_composes(compose: Compose, group: str) -> None:
    for path in GROUP_FILES:
        if path.relative_to(conf_folder()).parts[0] == group and path.stem != "pretrained":
            option = path.relative_to(conf_folder() / group).with_suffix("")
            assert isinstance(compose(f"{group}={option}", "data=demo"), Config)


def test_the_learning_rate_is_the_models_own_unless_it_is_given(compose: Compose) -> None:
    assert compose("model=tiny").train.learning_rate == 3e-4
    assert compose("model=large").train.learning_rate == 2e-5
    assert compose("model=large", "train.learning_rate=1e-3").train.learning_rate == 1e-3


def test_a_function_is_called_once_for_the_same_objects_and_again_for_equal_ones() -> None:
    called: list[list[int]] = []

    def length(values: list[int]) -> int:
        called.append(values)
        return len(values)

    once, values = Memo(), [1, 2]
    assert [once(length, values), once(length, values), once(length, [1, 2])] == [2, 2, 2]
    assert len(called) == 2
    assert once(len, values) == 2
    assert [once(length, [1], by=(values,)), once(length, [1, 2, 3], by=(values,))] == [2, 2]
    assert [once(length, list(range(size))) for size in range(9)] == list(range(9))  # though none of them is kept here


def test_a_folder_that_is_not_there_has_no_options(tmp_path: Path) -> None:
    assert options(tmp_path / "nowhere") == {}
