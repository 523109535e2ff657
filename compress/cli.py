"""The command line: Hydra's, with every override checked first and each mistake told in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from compress.called import as_typed
from compress.config.conf_files import conf_folder
from compress.errors import ConfigError, exit_code, tell

if TYPE_CHECKING:
    from compress.config.overrides import Request
    from compress.config.schema import Config

STOPPED = 128  # exit codes above it are those of signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if all that it asks for is done, 1 if an experiment failed, 2 if the input was wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _do(words))


def _do(words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words):
        from compress.config import help as page

        print(as_typed(page.render(conf_folder())))
        return 0
    if {"-sc", "--shell-completion"} & set(words):
        from compress.config import completion

        print(completion.answer(words, conf_folder()))
        return 0
    from compress.config import arguments as flags

    arguments = flags.read(words)
    if arguments.version:
        from importlib.metadata import version

        print(f"combining-compressions {version('combining-compressions')}")
        return 0
    from compress.config.composing import opened
    from compress.config.overrides import check, read_request

    with opened(arguments, conf_folder()) as composer:
        if arguments.hydra_help:
            composer.explain()
            return 0
        request = read_request(composer, arguments)
        if arguments.info:
            composer.inform(arguments.info, arguments.overrides)
            return 0
        check(request)
        if arguments.cfg:
            print(composer.show(arguments.overrides, arguments.cfg, arguments.package, arguments.resolve))
            return 0
        return _run(request)


def _run(request: Request) -> int:
    """Hand over to Hydra, which composes the configuration and calls `job` for every experiment."""
    from omegaconf import DictConfig

    from compress.config.schema import from_hydra

    codes = [0]

    def job(composed: DictConfig) -> None:
        codes.append(conduct(lambda: from_hydra(composed, request.folders)))
        if codes[-1] > STOPPED:
            raise SystemExit(codes[-1])

    request.composer.run(request.words, job, multirun=request.multirun)
    return max(codes)


def conduct(configuration: Callable[[], Config]) -> int:
    """Run one experiment, and tell in a line what it, or what makes its configuration, failed of.

    Returns 0 if it is finished, 1 if it failed, 2 if its input was wrong, 128 and the signal's number if stopped.
    """
    from compress import experiment  # after the check: it brings torch
    from compress.training import checkpoint

    try:
        experiment.run(configuration())
    except checkpoint.Stopped as stopped:
        return STOPPED + stopped.signum
    except (ConfigError, experiment.ExperimentError, OSError) as error:  # OSError: a full disk, say
        tell(error)
        return 2 if isinstance(error, ConfigError) else 1
    return 0
