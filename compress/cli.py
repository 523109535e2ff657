"""The command line: Hydra's, with every override checked first and each mistake told in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from compress.config import conf_folder
from compress.errors import ConfigError, exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 if all that was asked for is done, 1 if an experiment failed, 2 if the input was wrong.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _do(words))


def _do(words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words):
        from compress import help as page

        print(page.render(conf_folder()))
        return 0
    if {"-sc", "--shell-completion"} & set(words):
        from compress import completion

        print(completion.answer(words, conf_folder()))
        return 0
    from compress.overrides import check_words

    check_words(words, conf_folder())
    return _run_hydra(words)


def _run_hydra(words: Sequence[str]) -> int:
    """Hand over to Hydra, which composes the configuration and calls `job` for every experiment."""
    import hydra
    from omegaconf import DictConfig

    worst = 0

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(composed: DictConfig) -> None:
        nonlocal worst
        from hydra.core.hydra_config import HydraConfig

        from compress.config import from_hydra

        sources = HydraConfig.get().runtime.config_sources
        config = from_hydra(composed, [Path(source.path) for source in sources if source.schema == "file"])
        from compress import checkpoint, experiment  # after the check: it brings torch

        try:
            experiment.run(config)
        except checkpoint.Stopped as stopped:
            raise SystemExit(128 + stopped.signum) from stopped
        except (ConfigError, experiment.ExperimentError) as error:
            print(f"error: {error}", file=sys.stderr)
            worst = max(worst, 2 if isinstance(error, ConfigError) else 1)

    sys.argv[1:] = words
    job()
    return worst
