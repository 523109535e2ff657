"""The page conf/README.md, made from the dataclasses and files of the configuration: `make manual` writes it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from pathlib import Path

import yaml
from pydantic.fields import FieldInfo

from compress.checked import description
from compress.config import identity
from compress.config.conf_files import option_values, options
from compress.config.schema import DERIVED, GROUPS, Config, groups
from compress.methods import registry
from compress.wording import enumerated
from launch.batches import SlurmSettings
from launch.local import LocalSettings
from launch.search import SearchSettings
from tests.manual import ROOT

CONF = ROOT / "conf"
PAGE = CONF / "README.md"
HEAD = """\
# Configuration

This page lists every group, every option and every key. `make manual` makes it from the program; do not edit it.
`python -m compress --help` prints a short form in the terminal.

## How to write groups and keys

```sh
python -m compress model=tiny task=rte train.epochs=5              # GROUP=OPTION and GROUP.KEY=VALUE
python -m compress -m model=tiny,mini seed=0,1,2                   # -m: a sweep over every combination
python -m compress -m +experiment=grid model=tiny                  # +experiment: a stored sweep, here with one model
python -m compress -m +experiment=demo hydra/launcher=slurm hydra.launcher.partition=gpu     # settings of a launcher
python -m compress model=tiny task=rte --cfg job --resolve         # show all values, run nothing
```

- `GROUP=OPTION` chooses a file, `conf/GROUP/OPTION.yaml`. `GROUP.KEY=VALUE` then changes one value of it. The order on
  the command line does not matter.
- A method (QUANTIZE) is off with the option `none`, which is the default of each method.
- `null` stands for "no value", a list is written `[a,b]`, and a table `{a: 1, b: 2}`. Quote lists and tables for the
  shell.
- `resources.timeout_min.mini=60` changes one entry of a table, and `+resources.partition.large=bigmem` adds one.
- Files of your own: `--config-dir DIR` adds a folder with files `DIR/GROUP/OPTION.yaml`. A file that begins with
  `defaults: [OPTION, _self_]` takes all other values from that option.
- Below, each group has a table of its options and one of its keys. An option has the defaults of the second table,
  except for the values that its row in the first table lists.

## Which keys count in the run id

The run id is a hash of everything that decides the result, and it names the run's folder. If the result of a run id is
there already, the program does not train again. All keys count, except these, which cannot change a result:

INFRASTRUCTURE

Local checkpoints and data sets count by the contents of their files, not by where they lie. Keys of a method that is
off do not count. FURTHER count only if the run starts from a fine-tuned
model (`model.start`). A student's teacher counts by its own run id.

"""
ABOUT = {
    "model": "The encoder and its checkpoint. "
    "[compress/model/README.md](../compress/model/README.md) explains checkpoints and starts.",
    "task": "What is learned: texts, labels and metrics. "
    "[compress/task/README.md](../compress/task/README.md) shows how to write a task for your own data.",
    "data": "Where the rows come from, and how many are used.",
    "train": "How a model is fine-tuned.",
    "tracking": "Weights & Biases.",
    "resources": "What a job of a cluster requests. A value holds for all models, or is a table by the model's name.",
    "paths": "Where files go.",
    "experiment": "Stored sweeps, written `+experiment=OPTION`. Any value can be overridden.",
    "hydra/launcher": "What runs a sweep: this machine or a cluster. Its keys are written `hydra.launcher.KEY`. "
    "[launch/README.md](../launch/README.md) explains them.",
    "hydra/sweeper": "How a sweep's experiments are chosen. Its keys are written `hydra.sweeper.KEY`.",
}
METHODS = "[compress/methods/README.md](../compress/methods/README.md) explains the options."
PLUGINS: dict[str, dict[str, type]] = {
    "hydra/launcher": {"local": LocalSettings, "slurm": SlurmSettings},
    "hydra/sweeper": {"optuna": SearchSettings},
}
TOGETHER = "swept keys whose values are paired, such as [model,train.learning_rate] (only `grid`)"
PARAMS = "the swept keys with their values, if they are not typed on the command line"
GRID = {  # keys of the sweeper grid, which has no dataclass
    "together": ("hydra.sweeper.together", "list of keys, or null", "null", TOGETHER),
    "params": ("hydra.sweeper.params", "table of texts, or null", "null", PARAMS),
}
LIMITS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}
NAMES: dict[object, str] = {
    int: "integer", float: "number", str: "text", bool: "true or false", type(None): "null", object: "any value",
}  # fmt: skip


def page() -> str:
    """The whole page."""
    main = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    defaults = {key: value for entry in main["defaults"] if isinstance(entry, dict) for key, value in entry.items()}
    defaults |= dict.fromkeys(registry.registry(), registry.OFF)
    unchanging = [f"`{name}.…`" if name in GROUPS else f"`{name}`" for name in identity.INFRASTRUCTURE]
    unchanging += ["`train.checkpoint_seconds`", "`hydra.…`"]
    further = " and ".join(f"`train.{name}`" for name in identity.FURTHER)
    method = next(iter(registry.registry()))
    head = HEAD.replace("QUANTIZE", f"such as `{method}`")
    parts = [head.replace("INFRASTRUCTURE", ", ".join(unchanging) + ".").replace("FURTHER", further)]
    every = [name for name in groups() if name != "paths"]
    for group in every:
        kinds = _kinds(group)
        told = ABOUT.get(group) or f"A compression method. {METHODS}"
        parts += _section(group, group, told, str(defaults[group]), options(CONF)[group], kinds)
    parts += _section("experiment", "", ABOUT["experiment"], "", options(CONF)["experiment"], {})
    for group, of in PLUGINS.items():
        default = str(defaults.get(f"override {group}"))
        names = sorted(file.stem for file in (CONF / group).glob("*.yaml"))
        parts += _section(group, group.replace("/", "."), ABOUT[group], default, names, of)
    parts += ["## paths and keys outside groups\n\n", *_table(_plain_keys(main))]
    return "".join(parts).rstrip("\n") + "\n"


def _kinds(group: str) -> dict[str, type]:
    """The dataclass of each option's values; under "" that of all options."""
    if group in GROUPS:
        return {"": GROUPS[group]}
    return {name: option.config for name, option in registry.registry()[group].items()}


def _section(
    title: str, prefix: str, about: str, default: str, names: Sequence[str], kinds: Mapping[str, type]
) -> Iterator[str]:
    yield f"## {title}\n\n{about}\n\n"
    values = {name: _values(title, name) for name in names}
    base = {name: _base(name, kinds, default) for name in names}
    rows = []
    for name in sorted(names, key=lambda name: (name != default, "/" in name)):
        of = values.get(base[name], {})
        differing = [f"`{key}={_written(value)}`" for key, value in values[name].items()
                     if base[name] != name and key in of and of[key] != value and key != "name"]  # fmt: skip
        alone = name == registry.OFF or title == "experiment"
        rows.append((f"`{name}`" + (" (default)" if name == default else ""), _comment(title, name),
                     "" if alone else ", ".join(differing)))  # fmt: skip
    told = any(row[2] for row in rows)
    heads = ("option", "what it is", "values unlike the default below") if told else ("option", "what it is")
    yield from _table([heads, *(row[: len(heads)] for row in rows)])
    listed: dict[str, tuple[str, ...]] = {}
    if title == "hydra/sweeper":
        listed |= {name: (f"`{key}`", takes, f"`{of}`", told) for name, (key, takes, of, told) in GRID.items()}
        kinds = {**kinds, "grid": type}
    for option, kind in kinds.items():
        of = values.get(option) or values.get(default, {})
        for field in _fields(kind):
            if field.name in (*listed, "name") and not (field.name == "name" and title in ("model", "task")):
                continue
            owners = [name for name, other in kinds.items() if field.name in [own.name for own in _fields(other)]]
            only = f" (only `{'`, `'.join(owners)}`)" if len(owners) < len(kinds) else ""
            hint = typing.get_type_hints(kind, include_extras=True)[field.name]
            shown = f"`{_written(of[field.name])}`" if field.name in of else "–"
            listed[field.name] = f"`{prefix}.{field.name}`", allowed(hint, field), shown, description(field) + only
    if listed:
        yield from _table([("key", "value", "default", "meaning"), *listed.values()])


def _fields(kind: type) -> list[Field[object]]:
    """The keys of a checked dataclass; those without a description are Hydra's, and not to be set."""
    return [field for field in fields(kind) if isinstance(field.default, FieldInfo)] if is_dataclass(kind) else []


def _base(name: str, kinds: Mapping[str, type], default: str) -> str:
    """The option whose values the table of keys shows, that others are compared with."""
    if name in kinds:
        return next(iter(kinds))
    return default if "" in kinds else next(iter(kinds), "")


def _plain_keys(main: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    yield "key", "value", "default", "meaning"
    for kind, prefix in ((GROUPS["paths"], "paths."), (Config, "")):
        for field in fields(kind):
            if prefix or field.name not in (*GROUPS, *DERIVED):
                of = main["paths"] if prefix else main
                assert isinstance(of, Mapping)
                hint = typing.get_type_hints(kind, include_extras=True)[field.name]
                yield (f"`{prefix}{field.name}`", allowed(hint, field), f"`{_written(of[field.name])}`",
                       description(field))  # fmt: skip


def _values(group: str, option: str) -> dict[str, object]:
    if group == "experiment":
        return {}
    if group.startswith("hydra/"):
        found = yaml.safe_load((CONF / group / f"{option}.yaml").read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return {str(key): value for key, value in found.items() if key != "_target_"}
    return option_values((CONF, *registry.folders()), group, option, yaml.safe_load)


def _comment(group: str, option: str) -> str:
    """What a file says of itself in its first lines."""
    said: list[str] = []
    for line in (CONF / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        said += [line.removeprefix("#").strip()] if "@package" not in line else []
    return " ".join(said).partition("; the values below")[0]


def allowed(hint: object, field: Field[object]) -> str:
    """What a key takes, in words."""
    limits = []
    for found in [field.default, *typing.get_args(hint)]:
        for limit in getattr(found, "metadata", ()):
            limits += [text.format(f"{value:g}") for name, text in LIMITS.items()
                       if (value := getattr(limit, name, None)) is not None]  # fmt: skip
    named = _type(hint)
    if named.startswith(("integer", "number")) and limits:
        first, *others = named.split(", or ")
        named = ", or ".join([f"{first} {', '.join(limits)}", *others])
    return named


def _type(hint: object) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _type(inside[0])
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in inside)
    if origin in (types.UnionType, typing.Union):
        return ", or ".join(_type(kind) for kind in inside)
    if origin is list:
        return f"list of {_plural(_type(inside[0]))}"
    if origin is dict:
        return f"table of {_plural(_type(inside[1]))}"
    return NAMES.get(hint, "table")


def _plural(name: str) -> str:
    kinds = [f"{kind}s" for kind in name.replace("true or false", "boolean").split(", or ")]
    return enumerated(kinds, "or")


def _written(value: object) -> str:
    """A value as YAML has it on one line."""
    if isinstance(value, str) and value:
        return re.sub(r"^\$\{oc\.env:(\w+),'(.*)'\}$", r"$\1, else \2", value)
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return str(dumped).removesuffix("\n").removesuffix("\n...").strip()


def _table(rows: Sequence[Sequence[str]] | Iterator[tuple[str, ...]]) -> Iterator[str]:
    head, *others = rows
    for row in (head, ["---"] * len(head), *others):
        yield "| " + " | ".join(re.sub(r"<(?=\w)", "&lt;", cell.replace("|", "\\|")) for cell in row) + " |\n"
    yield "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}: written")


if __name__ == "__main__":
    main()
