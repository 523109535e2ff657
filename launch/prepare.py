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
from compress.errors import LacksWordNet
from compress.methods import registry
from compress.methods.base import EnlargesData
from compress.storage.hub import use_cache_without_network
from compress.storage.hub_cache import cache_folder
from compress.wording import plural


def configurations(words: Sequence[str]) -> list[Config]:
    """Those of a sweep; if they need WordNet and this machine has none, it is fetched first, or ConfigError raised."""
    try:
        return read_sweep(words, conf_folder())[0]
    except LacksWordNet as missing:
        from huggingface_hub import constants

        use_cache_without_network()
        if missing.cache is None or constants.HF_HUB_OFFLINE:
            raise
        print(experiment.fetch_wordnet(missing.cache), flush=True)
    return read_sweep(words, conf_folder())[0]


def prepare(configs: Sequence[Config]) -> None:
    """Load each checkpoint, and tokenize each task for each vocabulary and augmentation, or raise ConfigError."""
    for config in configs:
        if kept := experiment.keep_wordnet(config):
            print(kept, flush=True)
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
    print(f"jobs on other machines must see both folders: {places} (COMPRESS_CACHE), {cache_folder()} (HF_HOME)")
