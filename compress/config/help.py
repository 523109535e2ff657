"""The page that --help prints: groups with their options, keys with their defaults, examples. No Hydra is needed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from pathlib import Path

import yaml

from compress.checked import description
from compress.config.conf_files import option_values, options
from compress.config.schema import DERIVED, GROUPS, Config, groups, keys_of
from compress.methods import registry
from compress.wording import enumerated

EXAMPLES = """\
Examples:
  python -m compress model=demo/tiny data=demo train=demo task=rte        a second or two, needs no network
  python -m compress model=tiny task=sst2 train.learning_rate=1e-4        Google's BERT TINY on GLUE, from the hub
  python -m compress model=pretrained model.pretrained=DIR task=mrpc data.path=DIR      from local folders
  python -m compress -m +experiment=demo task=cola,rte seed=0,1                         a sweep: every combination
  python -m compress model=tiny task=sst2 quantize=int8 distill=kd prune=magnitude prune.sparsity=0.6
  python -m compress model=tiny task=sst2 --cfg job --resolve             show the configuration, run nothing"""


def render(conf: Path) -> str:
    """The whole page."""
    lines = ["usage: python -m compress [-m] [GROUP=OPTION ...] [KEY=VALUE ...]", ""]
    lines += [
        "Fine-tune BERT on one task (GLUE's or your own), compress it, and store the model with its scores.",
        "",
    ]
    lines += ["Groups (GROUP=OPTION; the first option is the default; a group with a + has none):"]
    folders, main = (conf, *registry.folders()), yaml.safe_load((conf / "config.yaml").read_text())
    defaults = {key: option for entry in main["defaults"] if isinstance(entry, dict) for key, option in entry.items()}
    defaults |= dict.fromkeys(registry.registry(), registry.OFF)
    choices = options(*folders)
    for group, names in choices.items():
        default = defaults.get(group)
        listed = ([default] if default else []) + [option for option in names if option != default]
        prefix = f"  {'' if default else '+'}{group}"
        lines += textwrap.wrap(" ".join(listed), 108, initial_indent=f"{prefix:<14}", subsequent_indent=" " * 14)
    lines += ["", "Keys (KEY=VALUE; shown with their defaults):"]
    for group in groups():
        if group in registry.registry():
            lines += _keys_of_method(group, choices[group], folders)
            continue
        values = main[group] if group in main else option_values(folders, group, str(defaults[group]), yaml.safe_load)
        lines += [line for name, field in keys_of(group).items() if name in values
                  for line in _key(f"{group}.{name}", values[name], field)]  # fmt: skip
    lines += [line for field in fields(Config) if field.name in main and field.name not in (*GROUPS, *DERIVED)
              for line in _key(field.name, main[field.name], field)]  # fmt: skip
    lines += ["", EXAMPLES, ""]
    lines += ["Other commands, each with -h:"]
    lines += ["  python -m compress.task FILE    look at a file of yours, and write the YAML of its task"]
    lines += ["  python -m compress.augment      show the rewritten texts that a student trains on"]
    lines += ["  python -m compress.predict RUN  predict a file of yours, or GLUE's test splits"]
    lines += ["  python -m compress.publish RUN  write a folder for the hub: weights, model card, how to load them"]
    lines += ["  python -m compress.export RUN   write a finished model as ONNX or OpenVINO, and check its answers"]
    lines += ["  python -m compress.latency RUN  measure the latency of finished models, int8 against float32", ""]
    lines += ["Other flags: -m (sweep), --cfg job [--resolve], --info, --hydra-help, --config-dir DIR (a folder with"]
    lines += ["options of your own), --config-name NAME (DIR/NAME.yaml in place of config.yaml). Tab completion:"]
    lines += ['  eval "$(python -m compress -sc install=bash)"']
    return "\n".join(lines)


def _keys_of_method(group: str, names: Sequence[str], folders: Sequence[Path]) -> Iterator[str]:
    """Each key once, below the options that have it, the first one's default and which others have another."""
    methods = sorted(registry.registry()[group].values(), key=lambda option: (option.position, option.name))
    listed = dict.fromkeys([*(method.name for method in methods), *names])  # then those that are based on one of them
    values = {name: option_values(folders, group, name, yaml.safe_load) for name in listed if name != registry.OFF}
    by_options: dict[tuple[str, ...], list[str]] = {}
    for key in dict.fromkeys(field.name for method in methods for field in fields(method.config)):
        if key != "name" and (having := tuple(name for name in values if key in values[name])):
            by_options.setdefault(having, []).append(key)
    for having, keys in by_options.items():
        yield f"  with {group}={enumerated(having, 'or')}:"
        for key in keys:
            default = values[having[0]][key]
            others = [f"{name}: {_as_text(values[name][key])}" for name in having if values[name][key] != default]
            yield from _key(f"{group}.{key}", default, keys_of(group)[key], f" ({', '.join(others)})" if others else "")


def _as_text(value: object) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value)).replace("'", "")


def _key(name: str, value: object, field: Field[object], more: str = "") -> Iterator[str]:
    left = f"  {name}={_as_text(value)}"
    if len(left) > 42:
        yield left
        left = ""
    yield from textwrap.wrap(description(field) + more, 110, initial_indent=f"{left:<44}", subsequent_indent=" " * 44)
