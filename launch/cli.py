"""`python -m launch`: what a sweep would do, how it goes on, again what failed, stop it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compress.config.conf_files import conf_folder
from compress.errors import ConfigError, Parser, exit_code, nearest

if TYPE_CHECKING:
    from launch.selection import Selection

DESCRIPTION = """\
Before and after a sweep (python -m compress -m …):

  plan OVERRIDES     what that sweep would run, on what, for how long; starts nothing
  prepare OVERRIDES  fetch its checkpoints, texts and WordNet into the caches, for nodes without a network
  status RUNS        where every experiment is, by size and methods; --watch follows them
  logs RUNS [WHICH]  the logs of failed experiments, or of those that WHICH names; -f goes on as a log grows
  retry RUNS         run again just what failed, was stopped or is missing
  extend RUNS        run further seeds until the verdicts on all combinations are settled, or nothing helps
  cancel RUNS        stop what runs or waits; experiments in training write their checkpoints
  tune RUNS --out D  choose a learning rate and epochs for each model and task, from +experiment=search
  sync RUNS          upload the runs that Weights & Biases does not have yet
"""
VERBS = ("plan", "prepare", "status", "logs", "retry", "extend", "cancel", "tune", "sync")
OF_SWEEPS = {"plan": "what a sweep would do", "prepare": "fill the caches for a sweep"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if all that was asked for is done, 1 if an experiment failed, 2 for wrong input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _do(_options(words)))


def _options(words: Sequence[str]) -> argparse.Namespace:
    """The verb with what it takes; what describes a sweep, as it does for `python -m compress -m`, as `words`."""
    verb = words[0] if words else ""
    if verb not in VERBS and not verb.startswith("-"):
        what = f"{verb}: no such command" if verb else "no command"
        raise ConfigError(f"{what}; must be one of {', '.join(VERBS)}{nearest(verb, VERBS)}")
    if verb not in OF_SWEEPS:
        return _intermixed(words)
    flags = [word for word in words[1:] if word in ("-h", "--help", "--json", "--sbatch")]
    options = _parser().parse_args([verb, *flags])
    options.words = [word for word in words[1:] if word not in flags]
    return options


def _intermixed(words: Sequence[str]) -> argparse.Namespace:
    """With words before, between and behind options; argparse takes them up to the first option only."""
    parser = _parser()
    options, left = parser.parse_known_args(words)
    for several in ("settings", "which"):
        if hasattr(options, several):
            getattr(options, several).extend(word for word in left if not word.startswith("-"))
            left = [word for word in left if word.startswith("-")]
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="python -m launch", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(VERBS))
    for verb, what in OF_SWEEPS.items():
        usage = f"python -m launch {verb} [-h] {'[--json | --sbatch] ' if verb == 'plan' else ''}[OVERRIDES ...]"
        flags = "and its flags: --config-dir DIR, --config-name NAME"
        described = f"OVERRIDES are those of python -m compress -m: +experiment=grid task=rte …, {flags}"
        parser_of_verb = verbs.add_parser(verb, help=what, usage=usage, description=described)
        if verb == "plan":
            shown = parser_of_verb.add_mutually_exclusive_group()
            shown.add_argument("--json", action="store_true", help="one document, nothing else")
            shown.add_argument("--sbatch", action="store_true", help="what SLURM would be given, nothing else")
    status = verbs.add_parser("status", help="where every experiment is")
    status.add_argument("--watch", action="store_true", help="a page that follows them until nothing runs or waits")
    status.add_argument("--json", action="store_true", help="one document, nothing else")
    logs = verbs.add_parser("logs", help="what experiments said")
    logs.add_argument("-n", "--lines", type=_lines, default=20, metavar="N",
                      help="lines to print from the end of a log that has no traceback "
                      "(default 20; 0: the whole log)")  # fmt: skip
    logs.add_argument("-f", "--follow", action="store_true", help="go on as the log of one experiment grows")
    retry = verbs.add_parser("retry", help="run what failed, was stopped or is missing")
    extend = verbs.add_parser("extend", help="run further seeds until the verdicts on combinations are settled")
    extend.add_argument("--hours", type=_hours, default=float("inf"), metavar="H",
                        help="the most hours of all runs, added up (default: no limit)")  # fmt: skip
    extend.add_argument("--rounds", type=_rounds, metavar="N", help="rounds at most (default: no limit)")
    extend.add_argument("--seeds", metavar="N", help="the most seeds that a cell may have in the end (default 5)")
    extend.add_argument("--score", help="glue or accuracy (default glue)")
    extend.add_argument("--bytes", help="nominal or artifact (default nominal)")
    cancel = verbs.add_parser("cancel", help="stop what runs or waits")
    sync = verbs.add_parser("sync", help="upload what Weights & Biases does not have; may be repeated")
    sync.add_argument("--project", help="instead of the one that each run names")
    sync.add_argument("--entity", help="likewise")
    tune = verbs.add_parser("tune", help="choose learning rates and epochs by a search")
    tune.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="write DIR/train/tuned.yaml; --config-dir DIR train=tuned uses it",
    )
    tune.add_argument("--tolerance", type=_points, default=0.5, metavar="POINTS",
                      help="choose a shorter training if its score is at most POINTS below the best "
                      "(default 0.5)")  # fmt: skip
    for parser_of_verb in (status, logs, retry, extend, cancel, tune, sync):
        parser_of_verb.add_argument("runs", type=Path, help="the folder of runs (paths.runs)")
    told = "words of their names (rte tiny seed 0) or a run id (default: "
    logs.add_argument("which", nargs="*", help=f"{told}those that failed)")
    cancel.add_argument("which", nargs="*", help=f"{told}all)")
    for parser_of_verb, example in ((cancel, "pending,waiting"), (retry, "failed,stopped")):
        parser_of_verb.add_argument("--state", help=f"only experiments in these states, for example {example}")
        parser_of_verb.add_argument("--sweep", metavar="NAME", help="only those of a sweep: last, or its folder's name")
        parser_of_verb.add_argument("-y", "--yes", action="store_true", help="do not ask on a terminal")
    for parser_of_verb in (retry, extend):
        told = "settings to change (hydra.launcher.KEY=VALUE, resources.KEY=VALUE)"
        told += "" if parser_of_verb is extend else ", and words that select experiments (rte tiny seed 0)"
        parser_of_verb.add_argument("settings", nargs="*", help=told)
    return parser


def _points(word: str) -> float:
    value = float(word)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} must be 0 or more")
    return value


def _lines(word: str) -> int:
    value = int(word)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{word} must be 0 or more")
    return value


def _hours(word: str) -> float:
    value = float(word)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{word} must be more than 0")
    return value


def _rounds(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{word} must be 1 or more")
    return value


def _do(options: argparse.Namespace) -> int:
    if hasattr(options, "runs") and not options.runs.is_dir():
        raise ConfigError(f"{options.runs}: no such folder; give the folder of runs, as in paths.runs")
    match options.verb:
        case "plan":
            return _plan(options.words, as_json=options.json, as_sbatch=options.sbatch)
        case "prepare":
            from launch.prepare import configurations, prepare

            prepare(configurations(options.words))
            return 0
        case "status":
            return _status(options.runs, as_json=options.json, watch=options.watch)
        case "logs":
            from launch.logs import logs

            return logs(options.runs, options.which, lines=options.lines, follow=options.follow)
        case "retry":
            from launch.retry import retry
            from launch.status import AGAIN

            settings = [word for word in options.settings if "=" in word or "." in word]
            meant = _selection(options, [word for word in options.settings if word not in settings], AGAIN)
            return retry(options.runs, settings, meant, yes=options.yes)
        case "extend":
            from launch.extend import extend

            given = {f"--{name}": getattr(options, name) for name in ("seeds", "score", "bytes")}
            asked = [word for name, value in given.items() if value is not None for word in (name, value)]
            return extend(options.runs, options.settings, hours=options.hours, rounds=options.rounds, options=asked)
        case "cancel":
            from launch.cancel import cancel
            from launch.status import GOING_ON

            return cancel(options.runs, _selection(options, options.which, GOING_ON), yes=options.yes)
        case "tune":
            from launch.tune import tune

            return tune(options.runs, options.out, options.tolerance)
        case _:
            from launch.sync import sync

            return sync(options.runs, options.project, options.entity)


def _selection(options: argparse.Namespace, words: Sequence[str], states: Collection[str]) -> Selection:
    from launch.selection import Selection, states_of
    from launch.status import STATES

    chosen = states_of(options.state, [state for state in STATES if state in states]) if options.state else []
    return Selection(words, chosen, options.sweep)


def _plan(words: Sequence[str], *, as_json: bool, as_sbatch: bool) -> int:
    from compress.config.overrides import read_sweep
    from launch import local, plan, slurm
    from launch.batches import SlurmSettings
    from launch.start import name_of_target, plan_for, settings_of

    configs, launcher = read_sweep(words, conf_folder())
    settings = settings_of(name_of_target(str(launcher["_target_"])), launcher)
    if as_sbatch and not isinstance(settings, SlurmSettings):
        raise ConfigError("--sbatch: hydra/launcher=local calls no sbatch; add hydra/launcher=slurm")
    planned = plan_for(configs, settings)
    if as_json:
        print(json.dumps(plan.as_document(planned)))
    elif as_sbatch and isinstance(settings, SlurmSettings):
        print(slurm.texts(planned, settings))
    elif isinstance(settings, SlurmSettings):
        print(plan.describe(planned, slurm.describe(planned, settings)))
    else:
        print(plan.describe(planned, local.describe(planned, settings)))
    return 0


def _status(runs: Path, *, as_json: bool, watch: bool) -> int:
    from launch import progress, status, usage
    from launch.sync import reminder

    if watch:
        from launch.watch import watch as follow

        surveyed = follow(runs, as_json=as_json)
    else:
        surveyed = status.survey(runs)
    if not as_json:
        ended = (each.folder(runs) for each in surveyed.experiments if each.state in ("finished", "failed"))
        jobs = [each.folder(runs) for each in surveyed.experiments if each.state == "finished" and each.job is not None]
        print("\n".join([progress.render(surveyed), *usage.lines(jobs), *reminder(runs, ended)]), flush=True)
    elif not watch:
        print(json.dumps(progress.as_document(runs, surveyed)))
    return 0
