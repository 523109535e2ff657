"""Which interactions figures draw: those of one model of all tasks, and beside them the curves' and the study's."""

from __future__ import annotations

import pandas as pd

from analysis.statistics.equivalent_size import LEAST_SHARE
from analysis.statistics.interactions import CURVES, STUDY, UNDEFINED
from analysis.statistics.like_with_like import MAIN

KEY = ("contrast", "kind", "bytes")  # of the rows of one interaction
MODEL = "model"  # where the interval is from, beside `seeds` and `tasks`


def drawn(sizes: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Interactions in the form of `report.both_ways`, the scope of the curves' mean over tasks being `CURVES`.

    Args:
        sizes, contrasts: `equivalent_size.table` and `interactions.table`, of both ways of counting bytes.

    Returns:
        A task that says nothing of the mean has no interaction; `contrasts` itself where the model has no estimate.
    """
    own = sizes[sizes["kind"] != MAIN]
    if not own["estimate"].notna().any():
        return contrasts
    known, mean = own["low"].notna(), own["scope"] == "mean"
    by_tasks = own["tasks"].where(mean).groupby([own[key] for key in KEY]).transform("max") > 0
    tells_nothing = by_tasks & ~mean & ~(own["weight"] > LEAST_SHARE)
    modelled = own.assign(
        interaction=own["estimate"].mask(tells_nothing), shown_low=own["low"], shown_high=own["high"],
        shown_by=known.map({True: MODEL, False: ""}), tasks_verdict=UNDEFINED,
    )  # fmt: skip
    curves = contrasts[contrasts["scope"] == "mean"].assign(scope=CURVES)
    return pd.concat([modelled, curves, contrasts[contrasts["scope"] == STUDY]], ignore_index=True)
