"""`python -m analysis`: results into a report, tables, figures, advice."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import names
from analysis.options import Options
from compress import extras
from compress.errors import ConfigError, Parser, exit_code
from compress.wording import MEGABYTE

if TYPE_CHECKING:
    import pandas as pd

    from analysis.read.results import Results

DESCRIPTION = """\
From results to the paper's figure and table, and to verdicts with error bars:

  report RUNS --out DIR   report.html, figures (PDF, SVG, PNG) and tables (CSV, Markdown, LaTeX)
  report RUNS --serve     a local page that follows a running grid, and is the report when it ends
  table RUNS              Table 1: reductions at the uncompressed score, the study's numbers beside them
  interactions RUNS       do methods together reduce sizes by more than the product of what each does
  ablation RUNS           what each setting of a method gains: distillation's controls, say, or ways to prune
  figure RUNS --out DIR   Figure 1 alone: score against size
  advise RUNS             the best measured model for --max-mb, --max-ms, --max-train-hours or --min-score
  next RUNS               which verdicts are open, and the cheapest further seeds that would settle them
  collect RUNS … --out F  results and predictions without the models: one small file that can be given for RUNS
  dashboard --project P   a W&B dashboard of a project, made or renewed

RUNS is a folder of runs (paths.runs), or a file that `collect` has written; with --source offline a folder that has
.wandb files somewhere below it; with --source wandb [entity/]project.
"""
ONE_MODEL = """\
One model of all tasks: how many times smaller a method makes models at equal score; of a combination, observed over \
expected reduction. Each is learned × arithmetic"""
FRONTS = "Each task's own score-size curves"
SOURCES = ("runs", "wandb", "offline")
FORMATS = ("text", "csv", "markdown", "latex")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if all that was asked for is done, 1 if nothing fits it, 2 if the input was wrong."""

    def work() -> int:
        options = _parser().parse_args(arguments)
        if options.verb in ALONE:
            return ALONE[options.verb](options)
        if getattr(options, "serve", False):
            return _serve(options)
        if options.verb == "report":
            _require_out(options)
        tolerance = getattr(options, "tolerance", 0.5)
        chosen = Options(options.score, options.bytes, tolerance, options.bootstrap, options.seed)
        return VERBS[options.verb][0](_read(options), chosen, options)

    return exit_code(work)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join([*VERBS, *ALONE]))
    for verb, (_, what) in VERBS.items():
        words = verbs.add_parser(verb, help=what)
        words.add_argument("runs", metavar="RUNS", help="folder of runs, file of results, or W&B project")
        words.add_argument("--source", choices=SOURCES, default="runs", help="what RUNS is (default runs)")
        words.add_argument("--recipe", metavar="DIGITS",
                           help="keep the runs of this recipe (default: each task's most frequent one)")  # fmt: skip
        words.add_argument("--score", choices=tuple(names.SCORES), default="glue",
                           help="the official metrics' mean, or accuracies as in the study (default glue)")  # fmt: skip
        words.add_argument("--bytes", choices=tuple(names.SIZES), default="nominal",
                           help="the study's arithmetic, or the file's size (default nominal)")  # fmt: skip
        words.add_argument("--bootstrap", type=int, default=1000, metavar="N",
                           help="replicates for the curves' intervals; 0: none (default 1000)")  # fmt: skip
        words.add_argument("--seed", type=int, default=0, help="random seed of the replicates (default 0)")
        if verb in ("report", "figure"):
            told = "a folder, made if it is not there"
            words.add_argument("--out", type=Path, required=verb == "figure", metavar="DIR", help=told)
        if verb == "report":
            words.add_argument("--pdf", action="store_true",
                               help="report.pdf as well, on A4 pages; needs Chromium, Chrome or Edge")  # fmt: skip
            told = "a page on this machine that follows a running grid and becomes its report at the end"
            words.add_argument("--serve", action="store_true", help=told)
            words.add_argument("--port", type=int, metavar="N", help="of that page (default 8384; 0: a free one)")
        if verb in ("table", "interactions", "ablation", "advise", "next"):
            words.add_argument("--json", action="store_true", help="one document, nothing else")
        if verb in ("table", "interactions", "ablation"):
            words.add_argument("--format", choices=FORMATS, default="text", help="of what is printed (default text)")
        if verb in ("report", "table"):
            words.add_argument("--tolerance", type=float, default=0.5, metavar="POINTS",
                               help="a compressed model counts if its score is at most POINTS below the "
                               "uncompressed one (default 0.5)")  # fmt: skip
        if verb == "advise":
            words.add_argument("--max-mb", type=_positive, metavar="MB", help="the greatest size, decimal megabytes")
            words.add_argument("--max-ms", type=_positive, metavar="MS",
                               help="the greatest latency of a batch, where compress.latency measured it")  # fmt: skip
            words.add_argument("--shape", type=_shape, default=(1, 128), metavar="BATCHxTOKENS",
                               help="of the batch (default 1x128)")  # fmt: skip
            words.add_argument("--max-train-hours", type=_positive, metavar="HOURS",
                               help="the greatest time of training on a device, its teacher's included")  # fmt: skip
            words.add_argument("--min-score", type=float, metavar="POINTS", help="the least score")
            words.add_argument("--task", help="one task (default: the mean over all)")
        if verb == "next":
            words.add_argument("--seeds", type=_count, default=5, metavar="N",
                               help="the most seeds that a cell may have in the end (default 5)")  # fmt: skip
            words.add_argument("--hours", type=_positive, default=math.inf, metavar="H",
                               help="the most device-hours to propose (default: no limit)")  # fmt: skip
            words.add_argument("--looks", type=Path, metavar="FILE",
                               help="a file of earlier looks at these runs, which widen the intervals; `launch extend` "
                               "keeps one in RUNS/.sweeps/extend.json (default: none)")  # fmt: skip
    collect = verbs.add_parser("collect", help="results and predictions as one small file")
    collect.add_argument("runs", metavar="RUNS", type=Path, nargs="+",
                         help="folders of runs or files of results; a run in several comes from the first")  # fmt: skip
    collect.add_argument("--out", metavar="FILE", type=Path, required=True, help="to write, *.jsonl.gz")
    dashboard = verbs.add_parser("dashboard", help="a W&B dashboard")
    dashboard.add_argument("--project", required=True)
    dashboard.add_argument("--entity", help="user or team (default: that of your API key)")
    return parser


def _positive(word: str) -> float:
    value = float(word)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{word} must be more than 0")
    return value


def _shape(word: str) -> tuple[int, int]:
    batch, _, tokens = word.partition("x")
    if not (batch.isdecimal() and tokens.isdecimal() and int(batch) and int(tokens)):
        raise argparse.ArgumentTypeError(f"{word} must be a batch and its tokens, 1x128")
    return int(batch), int(tokens)


def _count(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{word} must be 1 or more")
    return value


def _read(options: argparse.Namespace) -> Results:
    if options.source == "wandb":
        from analysis.read.online import read_wandb

        return read_wandb(options.runs, options.recipe)
    if options.source == "offline":
        from analysis.read.offline import read_offline

        return read_offline(Path(options.runs), options.recipe)
    from analysis.read.results import read_runs

    return read_runs(Path(options.runs), options.recipe)


def _require_out(options: argparse.Namespace) -> None:
    if options.out is None:
        raise ConfigError("--out DIR or --serve is required; python -m analysis report --help shows what it takes")
    if options.port is not None:
        raise ConfigError(f"--port {options.port}: belongs to --serve; add it")


def _serve(options: argparse.Namespace) -> int:
    """Follow a folder of runs; the report is made with the options that were given."""
    from analysis.report import serve

    if find_spec("matplotlib") is None:  # the report at the end draws with it
        raise ConfigError(extras.missing("matplotlib"))
    if options.source != "runs":
        raise ConfigError(f"--source {options.source}: --serve follows a folder of runs; leave it out")
    if options.pdf:
        raise ConfigError(
            "--pdf: not with --serve, which makes the report many times; leave it out until all has ended"
        )
    Options(options.score, options.bytes, options.tolerance, options.bootstrap, options.seed)  # refused now, not later
    given = ("recipe", "score", "bytes", "bootstrap", "seed", "tolerance")
    words = [f"--{name}={value}" for name in given if (value := getattr(options, name)) is not None]
    port = serve.PORT if options.port is None else options.port
    return serve.serve(Path(options.runs), words, score=options.score, port=port, out=options.out)


def _report(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis.report import closing, report

    written = report.write(results, options.out, chosen, as_pdf=options.pdf)
    runs = Path(options.runs) if options.source == "runs" else None
    print(*closing.lines(results, written, runs), sep="\n")
    return 0


def _figure(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis.figures import figures

    print(*figures.write(results, options.out, chosen.score), sep="\n")
    return 0


def _table(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis import reference
    from analysis.statistics import table1

    reductions = table1.table(results, chosen)
    more: dict[str, object] = {}
    if options.json:
        picks = table1.factors(results, chosen)
        ratios = {"runs": table1.products(picks, results.subsets), "study": table1.products_of_study()}
        more = {"picks": _records(picks), "study": reference.SOURCE}
        more["products"] = {of: _records(ratios_of) for of, ratios_of in ratios.items()}
    rule = f"Reductions at the uncompressed score − {chosen.tolerance:g}, mean over tasks"
    rule += f"; (study): {reference.SOURCE}" if reductions["paper"].notna().any() else ""
    if (reductions["model"] == table1.OVER_PRODUCT).any():
        rule += (
            f"\n{table1.OVER_PRODUCT}: a combination's reduction over the product of its methods' (the study's rule),"
            " geometric mean over architectures (least to greatest)"
        )
    nothing = "no reduction is defined: no architecture has an uncompressed score"
    if _print_answers(results, chosen, options, [Answer("table1", reductions, rule, nothing)], more):
        partial = reductions[(reductions["tasks"] < reductions["of"]) & (reductions["reason"] != "")].itertuples()
        said = [
            f"{row.methods} over the product: without {row.reason}"
            if row.model == table1.OVER_PRODUCT
            else f"{row.model} {row.methods}: mean over {row.tasks} of {row.of} tasks ({row.reason})"
            for row in partial
        ]
        _print_left_out(results, said)
    return 0


def _interactions(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis.statistics import claims, equivalent_size, interactions, priorities, sensitivity

    sizes, contrasts = equivalent_size.table(results, chosen), interactions.table(results, chosen)
    both = interactions.with_study(contrasts, results.methods)

    def vary() -> pd.DataFrame:
        curves = claims.curve_claims(contrasts, priorities.main_effects(results, chosen))
        return sensitivity.table(results, chosen, {claims.MODEL: claims.model_claims(sizes), claims.CURVES: curves})

    more: dict[str, object] = {}
    if options.json:
        varied = vary()
        hangs_on = {"claims": _records(sensitivity.certainty(varied)), "variations": _records(varied)}
        more = {"study": _records(both[both["scope"] == "study"]), "sensitivity": hangs_on}
    shown = sizes if options.format == "csv" else sizes[sizes["scope"] == "mean"]
    nothing = "no interaction is defined: the collection has fewer than two methods"
    answers = [
        Answer("equivalent_size", sizes if options.json else shown, ONE_MODEL, "no method was run"),
        Answer("interactions", contrasts if options.json else both, FRONTS, nothing),
    ]
    if _print_answers(results, chosen, options, answers, more):
        print()
        for row in contrasts[contrasts["scope"].isin(["mean", "repeated"])].to_dict("records"):
            print(interactions.sentence(row))
        if said := interactions.study_sentence(both, _plainly):
            print(said)
        _print_sensitivity(vary())
        undefined = contrasts[(contrasts["reason"] != "") & (contrasts["scope"] == "mean")].itertuples()
        of_curves = [f"each task's own curves, {row.contrast} ({row.kind}), mean: {row.reason}" for row in undefined]
        _print_left_out(results, [*(f"one model, {why}" for why in equivalent_size.reasons(shown)), *of_curves])
    return 0


def _print_sensitivity(varied: pd.DataFrame) -> None:
    """A line for each claim, with what it hangs on."""
    from analysis.statistics import sensitivity

    if varied.empty:
        return
    print(f"\n{sensitivity.MEANING}:")
    for by, rows in sensitivity.certainty(varied).groupby("by", sort=False):
        print(f"  {names.ESTIMATORS[str(by)]}:")
        for row in rows.to_dict("records"):
            claim = names.KINDS[row["kind"]].format(row["claim"])
            print("    " + "; ".join(filter(None, [f"{claim}: {row['verdict']}", sensitivity.sentence(row)])))


def _plainly(contrast: str, kind: str) -> str:
    return f"{contrast} ({kind})" if kind == "pure" else contrast


def _ablation(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis.statistics import ablation

    settings = ablation.table(results, chosen)
    rule = "Score with each setting, minus that of the run without the method that is otherwise the same"
    nothing = "no option has runs with several settings (python -m compress -m +experiment=ablation makes some)"
    if _print_answers(results, chosen, options, [Answer("ablation", settings, rule, nothing)], {}):
        _print_left_out(results, [])
    return 0


def _advise(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis.statistics import advice

    most = None if options.max_mb is None else options.max_mb * MEGABYTE
    time = options.max_ms, options.max_train_hours, options.shape
    answer = advice.advise(results, chosen, options.task, most, options.min_score, *time)
    if options.json:
        _print_document(results, chosen, {"advice": asdict(answer)})
    else:
        print("\n".join(advice.sentences(answer)))
        _print_left_out(results, [])
    return 0 if answer.chosen else 1


def _next(results: Results, chosen: Options, options: argparse.Namespace) -> int:
    from analysis.statistics import next_runs, next_told

    history = next_told.read_looks(options.looks, chosen) if options.looks else []
    said = next_runs.next_runs(results, chosen, history, options.seeds, options.hours)
    if options.json:
        claims = [{**asdict(claim), "name": claim.name, "settled": claim.settled} for claim in said.claims]
        told = {"settled": not said.open, "claims": _plain(claims), "runs": _plain(map(asdict, said.runs)),
                "hours": said.hours, "why": said.why, "looks": next_told.looks_document(said, chosen),
                "remarks": said.notes}  # fmt: skip
        _print_document(results, chosen, {"next": told})
    else:
        print(f"{results.source}: {len(results.runs)} runs; {chosen.told(results.tasks)}\n")
        print("\n".join(next_told.sentences(said, options.seeds)))
        _print_left_out(results, said.notes)
    return 0


def _collect(options: argparse.Namespace) -> int:
    from analysis.read import collection

    written = collection.write(options.runs, options.out)
    print(f"{options.out}: {len(written.documents)} results, {len(written.failures)} failures")
    _print_notes(written.remarks)
    return 0


def _dashboard(options: argparse.Namespace) -> int:
    from analysis.dashboard import dashboard

    print(dashboard.create(options.project, options.entity))
    return 0


VERBS: dict[str, tuple[Callable[[Results, Options, argparse.Namespace], int], str]] = {
    "report": (_report, "everything, as a page, figures and tables"),
    "table": (_table, "Table 1"),
    "interactions": (_interactions, "how methods combine"),
    "ablation": (_ablation, "what each setting of a method gains"),
    "figure": (_figure, "Figure 1"),
    "advise": (_advise, "what to use for a budget"),
    "next": (_next, "what to run next"),
}
ALONE: dict[str, Callable[[argparse.Namespace], int]] = {"collect": _collect, "dashboard": _dashboard}


@dataclass(frozen=True)
class Answer:
    """A table to print: its name, what stands above it in a text, and what is said if it is empty."""

    name: str
    table: pd.DataFrame
    heading: str
    nothing: str


def _print_answers(
    results: Results,
    chosen: Options,
    options: argparse.Namespace,
    answers: Sequence[Answer],
    more: Mapping[str, object],
) -> bool:
    """One document with `more`, tables alone, or what was read with the tables: then words may follow."""
    from analysis.tables import tables

    if options.json:
        _print_document(results, chosen, {**{answer.name: _records(answer.table) for answer in answers}, **more})
        return False
    text: bool = options.format == "text"
    if text:
        failed = f", {len(results.failures)} failed" if len(results.failures) else ""
        print(f"{results.source}: {len(results.runs)} runs{failed}; {chosen.told(results.tasks)}")
    made = {"csv": tables.csv, "markdown": tables.markdown, "latex": tables.latex, "text": tables.plain}
    for number, answer in enumerate(answers):
        if number:
            print()
        if text:
            print(answer.heading, end="\n\n")
        if text and answer.table.empty:
            print(answer.nothing)
        else:
            print(made[options.format](tables.PRESENTED[answer.name](answer.table)), end="")
    return text


def _print_left_out(results: Results, more: Sequence[str]) -> None:
    failed = [
        f"{row.task} {row.model} {row.methods} failed: {row.cause} (seed {row.seed}, {row.run_id})"
        for row in results.failures.itertuples()
    ]
    _print_notes([*results.notes, *failed, *more])


def _print_notes(said: Sequence[str]) -> None:
    print("".join(["\nnotes:\n", *(f"  {note}\n" for note in said)]) if said else "", end="")


def _print_document(results: Results, options: Options, answers: Mapping[str, object]) -> None:
    """One JSON document: what was read, how, and what that says."""
    failures = results.failures.astype({"seed": object}).where(results.failures.notna(), None)
    known = {"source": results.source, "runs": len(results.runs), "options": asdict(options), "notes": results.notes}
    print(json.dumps({**known, "failures": _records(failures), **answers}, allow_nan=False))


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    return _plain(table.to_dict("records"))


def _plain(rows: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows as JSON holds them: what is undefined is null."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in rows
    ]
