"""What tells experiments apart that have the same task, model, methods and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from compress.config.run_names import as_text
from compress.config.schema import flat

PLAIN = 40  # characters of a text that is shown as it is


def told_apart(experiments: Mapping[str, tuple[Hashable, Mapping[str, object]]]) -> dict[str, str]:
    """The settings in which experiments of the same name differ, `quantize=int4 train.learning_rate=3e-4`, by run id.

    Args:
        experiments: by run id the name and the configuration, nested plain values.
    """
    alike: dict[Hashable, dict[str, Mapping[str, object]]] = defaultdict(dict)
    for run_id, (name, config) in experiments.items():
        alike[name][run_id] = {key: value for key, value in config.items() if key != "teacher"}  # it follows
    words: dict[str, str] = {}
    for members in alike.values():
        if len(members) > 1:
            words |= {run_id: " ".join(said) for run_id, said in _differences(members).items()}
    return words


def _differences(members: Mapping[str, Mapping[str, object]]) -> dict[str, list[str]]:
    """By run id, options first; of a group whose options differ, settings only among those of the same option."""
    values = {run_id: flat(config) for run_id, config in members.items()}
    said: dict[str, list[str]] = {run_id: [] for run_id in members}
    choosing = [key.removesuffix(".name") for key in _differing(list(values.values())) if key.endswith(".name")]
    for group in choosing:
        for run_id in members:
            said[run_id].append(f"{group}={values[run_id].get(f'{group}.name')}")
    options: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for run_id in members:
        options[tuple(said[run_id])].append(run_id)
    shared = {run_id: {key: value for key, value in own.items() if key.partition(".")[0] not in choosing}
              for run_id, own in values.items()}  # fmt: skip
    further = _differing(list(shared.values()))
    for same in options.values():
        within = _differing([values[run_id] for run_id in same])
        for key in dict.fromkeys([*further, *within]):
            for run_id in same:
                said[run_id].append(f"{key}={_text(values[run_id].get(key))}")
    return said


def _differing(values: Sequence[Mapping[str, object]]) -> list[str]:
    """The keys whose values are not all the same; of keys that always have the same value the first."""
    keys = dict.fromkeys(key for one in values for key in one)
    columns = {key: [repr(one.get(key)) for one in values] for key in keys}
    differing: dict[tuple[str, ...], str] = {}
    for key, column in columns.items():
        if len(set(column)) > 1:
            differing.setdefault(tuple(column), key)
    return list(differing.values())


def _text(value: object) -> str:
    plain = isinstance(value, str) and len(value) <= PLAIN and not any(letter.isspace() for letter in value)
    return str(value) if plain else as_text(value)
