"""One experiment: configuration → data → model → methods → training → artifact → scores → result.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a finished run and its tokenizer: in float32 on the CPU, in evaluation mode.

    The model computes what the stored one does: its weights have the values that the int8, pruned or factorized layers
    stand for, and inputs are rounded where training rounded them.

    Args:
        folder: a run folder, `runs/<task>/<model>/<methods>/<run_id>`, or an `artifact` folder, wherever it lies.

    Raises:
        compress.errors.ConfigError: the folder holds no whole model, or not the one that the run's scores are of.
    """
    from transformers import AutoTokenizer

    from compress.artifact import store
    from compress.export import open_run

    place = Path(folder).expanduser()
    if not (place / store.CONFIG).is_file():
        open_run(place)
        place = place / "artifact"
    return store.load(place), AutoTokenizer.from_pretrained(place)
