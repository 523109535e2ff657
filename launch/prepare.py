"""Fetch what a sweep needs into the caches, on a machine that has a network, for those that have none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.memo import Memo
from compress.config.overrides import read_sweep
from compress.config.schema import Config, prerequisites
from compress.data import augmentation, wordnet, wordnet_archive
from compress.methods import registry
from compress.methods.base import EnlargesData
from compress.storage.hub import use_cache_without_network
from compress.storage.hub_cache import cache_folder
from compress.wording import plural


def configurations(words: Sequence[str]) -> list[Config]:
    """Those of a sweep; if they need WordNet and this machine has none, it is fetched first, or ConfigError raised."""
    try:
        return read_sweep(words, conf_folder())[0]
    except wordnet.Missing as missing:
        from huggingface_hub import constants

        use_cache_without_network()
        if missing.cache is None or constants.HF_HUB_OFFLINE:
            raise
        print(f"WordNet: in {wordnet_archive.fetch(missing.cache)}, from {wordnet.ADDRESS}", flush=True)
    return read_sweep(words, conf_folder())[0]


def prepare(configs: Sequence[Config]) -> None:
    """Load each checkpoint, and tokenize each task for each vocabulary and augmentation, or raise ConfigError."""
    for cache, folder in {(config.paths.cache, folder) for config in configs if (folder := _wordnet_of(config))}:
        _keep(folder, cache)
    memo = Memo()
    both = [*configs, *(needed for config in configs for needed in prerequisites(config, memo).values())]
    models = {config.model: config for config in both if config.model.start != "finished"}
    texts = {(config.model.pretrained, config.model.revision, config.model.tokenizer, config.task.name,
              config.data.whole, registry.the_one(config.methods, EnlargesData), config.seed): config
             for config in both}  # fmt: skip
    with tqdm(total=len(models) + len(texts), disable=not sys.stderr.isatty(), unit="file") as bar:
        for config in models.values():
            for note in experiment.fetch_model(config).notes:
                tqdm.write(note)
            bar.update()
        for config in texts.values():
            experiment.load_data(config)
            bar.update()
    places = " and ".join(sorted({str(Path(config.paths.cache).expanduser()) for config in both}))
    print(f"{plural(len(models), 'checkpoint')} and {plural(len(texts), 'tokenized task')} are in the caches")
    print(f"experiments that run elsewhere must see both: {places} (COMPRESS_CACHE), {cache_folder()} (HF_HOME)")


def _wordnet_of(config: Config) -> Path | None:
    """The folder that an experiment reads WordNet from, if none is given and it needs one."""
    asked = augmentation.of(config.methods, config.data, config.seed, config.paths.cache)
    enlarges = registry.the_one(config.methods, EnlargesData)
    return asked.wordnet if asked is not None and enlarges is not None and enlarges.wordnet is None else None


def _keep(folder: Path, cache: str) -> None:
    """Copy WordNet into the cache: the nodes of a cluster may lack what is installed here."""
    if folder != Path(cache).expanduser() / wordnet.IN_CACHE:
        print(f"WordNet: {folder} copied to {wordnet_archive.keep(folder, cache)}", flush=True)
