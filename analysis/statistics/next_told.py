"""What `next_runs` says, in words, and its looks on disk."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

from analysis import names
from analysis.options import Options
from analysis.statistics.inventory import Run
from analysis.statistics.next_runs import Next
from analysis.statistics.open_claims import FUTILE, TASKS, WANTED, Claim, History
from compress.errors import ConfigError, one_line
from compress.wording import plural

FARTHEST = math.log(1000)  # that is written out, of a factor
MANY = 100  # tasks that are not told any more


def sentences(said: Next, seeds: int) -> list[str]:
    """What is settled, what is open and why, and what to run, a few lines."""
    lines = [f"settled: {_told(claim)}: {claim.verdict}" for claim in said.claims if claim.settled]
    lines += [f"open: {_told(claim)}: {_prospect(claim, seeds)}" for claim in said.open]
    if not said.runs:
        return [*lines, "", f"nothing to run: {said.why}"]
    lines += ["", f"to run: {plural(len(said.runs), 'run')}, {said.hours:.2g} device-hours"]
    of_model: dict[str, list[Run]] = defaultdict(list)
    for run in said.runs:
        of_model[run.model].append(run)
    for model, runs in of_model.items():
        tasks = ", ".join(names.task_label(task) for task in dict.fromkeys(run.task for run in runs))
        numbers = ", ".join(str(seed) for seed in sorted({run.seed for run in runs}))
        word = "seed" if len({run.seed for run in runs}) == 1 else "seeds"
        hours = sum(run.seconds for run in runs if math.isfinite(run.seconds)) / 3600
        lines.append(f"  {model}: {plural(len(runs), 'run')} on {tasks}, {word} {numbers}: {hours:.2g} device-hours")
    soon = [claim.name for claim in said.open if claim.soon]
    later = [claim.name for claim in said.open if not claim.soon and not claim.lacks]
    lines += [f"these runs would settle, if the estimates stay the same: {', '.join(soon)}"] if soon else []
    lines += [f"these runs bring nearer to a verdict: {', '.join(later)}"] if later else []
    return lines


def _told(claim: Claim) -> str:
    if not math.isfinite(claim.low):
        return claim.name
    low, value, high = (math.exp(min(number, FARTHEST)) for number in (claim.low, claim.estimate, claim.high))
    return f"{claim.name} {value:.2f} [{low:.2f}, {high:.2f}]"


def _prospect(claim: Claim, seeds: int) -> str:
    """What would settle it."""
    chance = f"chance of {_percent(claim.chance)} that {seeds} seeds in every cell settle it"
    if claim.lacks == TASKS:
        tasks = f"about {claim.needed}" if claim.needed <= MANY else "far more"
        return f"{chance}; {tasks} tasks would be needed"
    if claim.reason and math.isfinite(claim.low):
        return claim.reason
    if claim.lacks:
        return f"{claim.reason or chance}; {WANTED[claim.lacks]}"
    if claim.chance < FUTILE:
        return f"{chance}, as far as fewer than three seeds tell"
    return chance if math.isfinite(claim.chance) else f"no interval ({claim.reason})"


def _percent(share: float) -> str:
    """`12 %`."""
    return "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def looks_document(said: Next, options: Options) -> dict[str, object]:
    """All looks so far, for `read_looks`."""
    return {"version": 1, "score": options.score, "bytes": options.bytes, "looks": said.looks}


def read_looks(file: Path, options: Options) -> History:
    """Earlier looks; none if there is no such file; ConfigError if they are not of these options, or cannot be read."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    try:
        document = json.loads(text)
        looks: History = [
            {claim: {key: float(of_claim[key]) for key in ("information", "low", "high")}
             for claim, of_claim in look.items()}
            for look in document["looks"]
        ]  # fmt: skip
        of = document["score"], document["bytes"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{file}: not looks as `python -m launch extend` records them ({one_line(str(error))})"
        raise ConfigError(f"{reason}; remove it, and levels no longer account for earlier looks") from error
    if of != (options.score, options.bytes):
        raise ConfigError(f"{file}: these looks were at --score {of[0]} --bytes {of[1]}; give these, or another file")
    return looks
