"""The finished uncompressed model that a compressed one starts from: an ordinary experiment's artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.artifact import store
from compress.config import identity
from compress.config.schema import start_experiment
from compress.errors import ConfigError
from compress.model.encoder import Start
from compress.model.structure import mark_new

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compress.config.schema import Config
    from compress.runs.result import Result


def load(config: Config, result: Result) -> tuple[PreTrainedModel, Start]:
    """The model of the start's result, to be trained further, and what it says of itself; no random number is drawn.

    What no checkpoint had brought when that was trained counts as new here too (`prune.spare_new`).

    Raises:
        ConfigError: the artifact is not there, or not the one that the result is of.
    """
    from compress.model import architecture

    folder = identity.run_folder(start_experiment(config)) / "artifact"
    if not folder.is_dir():
        raise ConfigError(
            f"model.start=finished: {folder.parent} has its result but no artifact any more; "
            "remove that folder, and it is trained anew"
        )
    store.check(folder, result.artifact_sha256)
    model, before = store.load(folder), result.start or {}
    layout = architecture.layout(model.config)
    parts = {"head": layout.head, "pooler": layout.pooler}
    mark_new(model, [name for part, names in parts.items() if part in before.get("new", ()) for name in names])
    note = f"started from the finished uncompressed model (run {result.run_id}), and trained further"
    start = Start(
        checkpoint=before.get("checkpoint"),
        commit=before.get("commit"),
        sha256=store.digest(folder),
        new=[],
        prefix="",
        unused=[],
        notes=[note],
        run_id=result.run_id,
    )
    return model, start
