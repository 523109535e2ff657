"""The README.md of a published model, with the head that the hub reads: all of it from the run's result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compress.config.conf_files import conf_folder, option_values, options
from compress.runs.result import Result
from compress.storage.repositories import local_folder, looks_like_path
from compress.task.metrics import METRICS
from compress.wording import megabytes

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

SAME = {"pearson": "pearsonr", "spearman": "spearmanr"}  # what the hub calls metrics of ours
GLUE = "nyu-mll/glue"
LEFT_OUT = ("name", "source", "hub", "revision", "path", "version", "teacher")  # keys that no command gives


@dataclass(frozen=True)
class Folder:
    """What is published.

    Attributes:
        format: safetensors, onnx or openvino.
        file: of the weights, and its size in bytes.
        snippet: that loads it, with texts to answer.
        about: sentences on what the file holds.
        difference: the greatest between its logits and the artifact's, and of how many texts.
    """

    format: str
    file: str
    size: int
    snippet: str
    about: Sequence[str]
    difference: float
    tried: int


def card(result: Result, folder: Folder, name: str, licence: str | None) -> str:
    """The whole README.md."""
    parts = [
        f"# {name}", _opening(result, folder), "## Use", f"```python\n{folder.snippet}```", *folder.about,
        f"These lines were run when this folder was made: on {folder.tried} texts their logits are those of the model "
        f"that was scored{f', to {folder.difference:.1g}' if folder.difference else ''}.",
        "## Scores", _scores(result), "## Size", _sizes(result, folder), "## How it was made", *_made(result),
        "## Limits", _limits(result),
    ]  # fmt: skip
    return f"---\n{_head(result, folder, name, licence)}\n---\n\n" + "\n\n".join(part.strip() for part in parts) + "\n"


def _hub_data(result: Result) -> dict[str, Any] | None:
    """The data set on the hub that the run was made of; None for local and generated data."""
    data, task = result.config["data"], result.config["task"]
    if data["source"] == "demo" or data.get("path"):
        return None
    place = task if task.get("hub") else data
    hub = place.get("hub")
    if not hub or local_folder(hub) or looks_like_path(hub):
        return None
    return {
        "hub": hub,
        "revision": place.get("revision"),
        "subset": task.get("subset") or (None if task.get("hub") else result.task),
    }


def _checkpoint(result: Result) -> str | None:
    """The checkpoint's name on the hub; None for a folder, or from scratch."""
    return (result.start or {}).get("checkpoint") if (result.start or {}).get("commit") else None


def _head(result: Result, folder: Folder, name: str, licence: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    where, split = _hub_data(result), result.config["task"]["validation"][0]
    plain = {key: value for key, value in result.metrics.items() if value is not None}
    shared: dict[str, Any] = {
        "task_type": "text-classification",
        "dataset_type": where["hub"] if where else result.task,
        "dataset_name": f"GLUE {result.task}" if where and where["hub"] == GLUE else result.task,
        "dataset_config": where["subset"] if where else None,
        "dataset_revision": where["revision"] if where else None,
        "dataset_split": split,
    }
    scores: list[EvalResult] = [
        EvalResult(metric_type=_metric(key), metric_name=key, metric_value=round(value, 4), **shared)
        for key, value in plain.items()
    ]
    data = ModelCardData(
        license=licence,
        language="en" if where and where["hub"] == GLUE else None,
        library_name={"safetensors": "transformers"}.get(folder.format, folder.format),
        pipeline_tag="text-classification",
        base_model=_checkpoint(result),
        datasets=[where["hub"]] if where else None,
        metrics=list(dict.fromkeys(map(_metric, plain))) or None,
        tags=["model-compression", *(method.noun for method in result.compression)],
        model_name=name if scores else None,
        eval_results=scores or None,
    )
    return data.to_yaml()


def _metric(key: str) -> str:
    """What the hub calls the metric of a key, which may end in the split's name."""
    longest = sorted(METRICS, key=len, reverse=True)
    name = next((name for name in longest if key == name or key.startswith(f"{name}_")), key)
    return SAME.get(name, name)


def _opening(result: Result, folder: Folder) -> str:
    how = " and ".join(method.noun for method in result.compression)
    whole = 4 * result.size.parameters
    made = f", compressed by {how}" if how else ""
    told = (
        f"{result.model}, fine-tuned on {result.task}{made}: {megabytes(folder.size)} MB of weights in `{folder.file}`"
    )
    return f"{told}; as float32 its parameters would take {megabytes(whole)} MB."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def _scores(result: Result) -> str:
    rows = [
        [key.replace("_", " "), "undefined" if value is None else f"{value:.4f}"]
        for key, value in result.metrics.items()
    ]
    split = " and ".join(result.config["task"]["validation"])
    told = f"On {split}, of the stored model, loaded again from its file. One seed ({result.seed})."
    return f"{told}\n\n{_table(['metric', 'value'], rows)}"


def _sizes(result: Result, folder: Folder) -> str:
    size = result.size
    rows = [
        ["parameters of the architecture, as float32", f"{4 * size.parameters:,}"],
        ["the numbers that survive, each by its bits", f"{size.nominal_bytes:,}"],
        ["the weight file that was scored", f"{size.artifact_bytes:,}"],
        [f"`{folder.file}` here", f"{folder.size:,}"],
    ]
    told = f"{size.nonzero:,} of {size.parameters:,} numbers survive."
    return f"{_table(['bytes', ''], [[what, number] for what, number in rows])}\n\n{told}"


def _made(result: Result) -> list[str]:
    start, environment, where = result.start or {}, result.environment, _hub_data(result)
    origin = _checkpoint(result) or ("a local checkpoint" if start.get("checkpoint") else "scratch")
    generated = result.config["data"]["source"] == "demo"
    data = f"{where['hub']} at {where['revision']}" if where else "generated texts" if generated else "local files"
    commit = f" (commit {start['commit']})" if start.get("commit") else ""
    lines = [f"- **Model**: {result.model}, from {origin}{commit}"]
    for method in result.compression:
        settings = {
            key: value for key, value in result.identity[method.method].items() if isinstance(value, str | int | float)
        }
        told = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "name")
        lines.append(f"- **{method.noun.capitalize()}** ({method.option}): {told}")
    lines.append(f"- **Data**: {result.task}, {data}")
    train = ", ".join(f"{key} {value}" for key, value in result.identity["train"].items() if value is not None)
    took = f"{result.timing.steps} steps, {result.timing.train_seconds or 0:.0f} s on {environment.get('device')}"
    lines.append(f"- **Training**: {train}; {took}")
    versions = ", ".join(
        f"{key} {environment[key]}" for key in ("python", "torch", "transformers") if key in environment
    )
    tool = f"Combining Compressions, commit {environment.get('git_commit') or 'unknown'}"
    lines.append(f"- **With**: {tool}; {versions}; run {result.run_id}")
    whole = json.dumps(dict(result.identity), indent=1, ensure_ascii=False)
    folded = f"<details><summary>Everything that decided the result</summary>\n\n```json\n{whole}\n```\n\n</details>"
    return ["\n".join(lines), f"```sh\n{command(result)}\n```", folded]


def command(result: Result) -> str:
    """A command that makes such a run; `DIR` stands for folders that only its maker has."""
    config, words = result.config, list[str]()
    model, data = config["model"], config["data"]
    places = (conf_folder(),)
    called = [name for name in (result.model, f"demo/{result.model}") if name in options(conf_folder())["model"]]
    of_options = {name: option_values(places, "model", name) for name in (*called, "pretrained")}
    known = next((name for name in called if of_options[name].get("pretrained") == model["pretrained"]), "pretrained")
    words.append(f"model={known}")
    words += [f"model.pretrained={_checkpoint(result) or 'DIR'}"] if known == "pretrained" else []
    words += [f"model.{key}={value}" for key, value in model.items() if key not in ("pretrained", "learning_rate") and
              isinstance(value, str | int | float) and value != of_options[known].get(key)]  # fmt: skip
    words += [f"task={result.task}"]
    words += ["data=demo", "train=demo"] if data["source"] == "demo" else ["data.path=DIR"] if data.get("path") else []
    words += [f"{method.method}={method.option}" for method in result.compression]
    for group in ("data", "train", *result.methods):
        values: Mapping[str, Any] = result.identity[group]
        words += [f"{group}.{key}={value}" for key, value in values.items() if key in config[group] and
                  isinstance(value, str | int | float) and key not in LEFT_OUT]  # fmt: skip
    return (
        " ".join(["python -m compress", *words, f"seed={result.seed}"])
        .replace("=True", "=true")
        .replace("=False", "=false")
    )


def _limits(result: Result) -> str:
    lines = [
        "It answers the task that it was trained on, for texts like those of its training, and has the biases of these "
        "texts and of its checkpoint.",
        "Scores are of one seed on a development set, which may have been looked at when settings were chosen.",
        "Compression may cost more on rare kinds of texts than the mean tells.",
        *result.notes,
    ]
    return "\n".join(f"- {line}" for line in lines)
