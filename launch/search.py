"""`hydra/sweeper=optuna`: a search with Optuna, in which every trial is an ordinary experiment.

The overrides that are swept are the space: `interval(1e-5,1e-3)`, `choice(a,b)` or `a,b`, `range(1,5)`, and
`tag(log, …)`. Trials are launched like any sweep, so many at a time, and what is finished is not run again: with a
seed, the same command goes on where it was stopped.
"""

from __future__ import annotations

import math
import shlex
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus
from pydantic import Field, field_validator

from compress import extras
from compress.checked import checked
from compress.config.schema import type_of
from compress.config.words import Options, swept
from compress.errors import ConfigError, nearest
from compress.storage.files import write_text
from compress.wording import plural

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

Launch = Callable[[list[list[str]], int], Sequence[JobReturn]]
SAMPLERS = ("tpe", "random", "gp", "cmaes", "nsgaii", "qmc")
FILE = "optimization_results.yaml"


@checked
class SearchSettings:
    """`hydra/sweeper=optuna`."""

    n_trials: int = Field(description="runs in all", ge=1)
    n_jobs: int = Field(description="runs at once; a new trial is proposed from the runs that have ended", ge=1)
    direction: str | list[str] = Field(description="maximize or minimize; a list if the objective is a list")
    sampler: str = Field(description="Optuna's sampler: tpe, random, gp, cmaes, nsgaii or qmc")
    seed: int | None = Field(description="seed of the sampler; null: other trials each time", ge=0)
    storage: str | None = Field(description="where the study is kept, such as sqlite:///study.db; null: nowhere")
    study_name: str | None = Field(description="name of the study in the storage")
    params: dict[str, object] | None = Field(description="the search space, if it is not typed on the command line")
    max_batch_size: None = None

    @field_validator("direction")
    @classmethod
    def _directions(cls, given: str | list[str]) -> str | list[str]:
        for one in [given] if isinstance(given, str) else given:
            if one not in ("maximize", "minimize"):
                raise ValueError("must be maximize or minimize" + nearest(one, ("maximize", "minimize")))
        return given

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SAMPLERS:
            raise ValueError(f"must be of {', '.join(SAMPLERS)}{nearest(name, SAMPLERS)}")
        return name

    def directions(self, objective: str | Sequence[str]) -> list[str]:
        """One for each key of the objective."""
        count = 1 if isinstance(objective, str) else len(objective)
        given = [self.direction] * count if isinstance(self.direction, str) else list(self.direction)
        if len(given) != count:
            raise ConfigError(f"hydra.sweeper.direction={','.join(given)}: hydra.launcher.objective has "
                              f"{plural(count, 'key')}; give as many directions")  # fmt: skip
        return given


def search(
    overrides: Sequence[Override], options: Options, settings: SearchSettings, objective: str | Sequence[str],
    launch: Launch, folder: Path,
) -> int:  # fmt: skip
    """Run trials by `launch`, print the best and write it into a folder; 1 if a trial failed.

    ConfigError if nothing is swept, something cannot be searched over, or Optuna is not here.
    """
    optuna = _optuna()
    fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    space = {o.get_key_element(): distribution(o, options) for o in overrides if o.is_sweep_override()}
    if not space:
        raise ConfigError(
            "hydra/sweeper=optuna: nothing is searched over; give train.learning_rate=interval(1e-5,1e-3)"
        )
    study: Study = optuna.create_study(
        storage=settings.storage, study_name=settings.study_name, load_if_exists=True,
        sampler=_sampler(settings), directions=settings.directions(objective),
    )  # fmt: skip
    failed = 0
    while (left := settings.n_trials - len(_ended(study))) > 0:
        trials = [
            study.ask({key: known for key, (known, _) in space.items()}) for _ in range(min(left, settings.n_jobs))
        ]
        jobs = [[*fixed, *_words(trial, space)] for trial in trials]
        returns = launch(jobs, trials[0].number)
        if len(returns) != len(jobs):
            raise ConfigError(f"the launcher answered {len(returns)} of {plural(len(jobs), 'trial')}")
        for trial, answer in zip(trials, returns, strict=True):
            failed += _tell(study, trial, answer)
    best = _best(study)
    write_text(folder / FILE, _as_yaml(best, space))
    for one in best:
        names = [objective] if isinstance(objective, str) else objective
        scores = ", ".join(f"{name} {number:g}" for name, number in zip(names, one.values, strict=True))
        words = shlex.join(_words(one, space))
        print(f"best of {plural(len(_ended(study)), 'trial')}: {scores}: {words}  ({one.user_attrs.get('folder', '')})")
    return 1 if failed or not best else 0


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"hydra/sweeper=optuna: {extras.missing('optuna')}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sampler(settings: SearchSettings) -> BaseSampler:
    from optuna import samplers

    made: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: samplers.TPESampler(seed=settings.seed, constant_liar=settings.n_jobs > 1),
        "random": lambda: samplers.RandomSampler(seed=settings.seed),
        "gp": lambda: samplers.GPSampler(seed=settings.seed),
        "cmaes": lambda: samplers.CmaEsSampler(seed=settings.seed),
        "nsgaii": lambda: samplers.NSGAIISampler(seed=settings.seed),
        "qmc": lambda: samplers.QMCSampler(seed=settings.seed),
    }
    try:
        return made[settings.sampler]()
    except ImportError as error:
        raise ConfigError(f"hydra.sweeper.sampler={settings.sampler}: {error}; install that, or take tpe") from error


Known = tuple["BaseDistribution", Mapping[str, str]]  # what Optuna draws from, and a choice's name -> its override


def distribution(override: Override, options: Options) -> Known:
    """What an override that sweeps lets be drawn; ConfigError if that cannot be."""
    from optuna import distributions

    value, key = override.value(), override.get_key_element()
    try:
        if isinstance(value, IntervalSweep):
            start, end, log = value.start, value.end, "log" in value.tags
            assert start is not None
            assert end is not None
            if _takes_integers(override.key_or_group) or (isinstance(start, int) and isinstance(end, int)):
                return distributions.IntDistribution(math.ceil(start), math.floor(end), log=log), {}
            return distributions.FloatDistribution(float(start), float(end), log=log), {}
        if isinstance(value, RangeSweep) and not value.shuffle:
            numbers = [float(str(number)) for number in swept(override, options)]
            log, step = "log" in value.tags, value.step
            if all(number == int(number) for number in numbers):
                return distributions.IntDistribution(
                    int(min(numbers)), int(max(numbers)), log=log, step=abs(int(step))
                ), {}
            if not log:
                return distributions.FloatDistribution(min(numbers), max(numbers), step=abs(float(step))), {}
    except ValueError as error:
        raise ConfigError(f"{override.input_line}: {error}") from error
    words = [str(Override._get_value_element_as_str(element)) for element in swept(override, options)]
    named = {word: f"{key}={word}" for word in words}
    return distributions.CategoricalDistribution(list(named)), named


def _takes_integers(key: str) -> bool:
    hint = type_of(key)
    kinds = (hint, *typing.get_args(hint))
    return int in kinds and float not in kinds


def _words(trial: Trial | FrozenTrial, space: Mapping[str, Known]) -> list[str]:
    """The overrides of a trial."""
    values = ((key, named, trial.params[key]) for key, (_, named) in space.items())
    return [named.get(str(value), f"{key}={value!r}") for key, named, value in values]


def _tell(study: Study, trial: Trial, answer: JobReturn) -> bool:
    """Say what became of a trial, to the study and, if it failed, to who looks on; whether it failed."""
    from optuna.trial import TrialState

    trial.set_user_attr("folder", answer.working_dir or "")
    values = None
    cause: object = answer._return_value
    if answer.status == JobStatus.COMPLETED:
        try:
            values = [float(number) for number in cause] if isinstance(cause, list | tuple) else [float(str(cause))]
        except (TypeError, ValueError):
            cause = f"its objective is {cause}, no number"
    if values is None:
        study.tell(trial, state=TrialState.FAIL)
        print(f"trial {trial.number} failed: {cause}", flush=True)
        return True
    study.tell(trial, values)
    return False


def _ended(study: Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _best(study: Study) -> list[FrozenTrial]:
    """The best trial; of several objectives those that none is better than in all."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return [study.best_trial] if len(study.directions) == 1 else study.best_trials


def _as_yaml(best: Sequence[FrozenTrial], space: Mapping[str, Known]) -> str:
    import yaml

    solutions = [{"params": dict(trial.params), "values": list(trial.values)} for trial in best]
    if len(solutions) != 1 or len(best[0].values) != 1:
        return yaml.safe_dump({"name": "optuna", "solutions": solutions}, sort_keys=False)
    (one,) = solutions
    document = {"name": "optuna", "best_params": one["params"], "best_value": best[0].values[0]}
    return yaml.safe_dump(document, sort_keys=False)
