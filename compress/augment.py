"""`python -m compress.augment`: show the rewritten training rows that a method trains on."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from compress.called import as_typed
from compress.data.augmentation import Augmentation, of
from compress.data.texts import Texts
from compress.errors import ConfigError, Parser, exit_code
from compress.methods import registry
from compress.methods.base import EnlargesData
from compress.storage.hub import use_cache_without_network

USAGE = """\
usage: python -m compress.augment [-n ROWS] [GROUP=OPTION ...] [KEY=VALUE ...]

Show rewritten training rows as distillation would make them: the row, then its copies, what was replaced in [brackets].

  python -m compress.augment task=sst2 -n 10
  python -m compress.augment task=mrpc data.path=DIR distill.copies=2 distill.replace=0.5 seed=1
  python -m compress.augment task=rte data=demo"""


def marked(before: str, after: str) -> str:
    """The rewritten text with every word that is not the original's in brackets."""
    words = re.compile(r"\b")
    pairs = zip(words.split(before), words.split(after), strict=True)
    return "".join(new if old == new else f"[{new}]" for old, new in pairs)


def examples(texts: Texts, augmentation: Augmentation, count: int) -> Iterator[str]:
    """The lines to show for `count` rows, drawn at random, that have a copy."""
    enlarged = augmentation.apply(texts)
    rows, sources = enlarged.texts, enlarged.sources
    copies: dict[int, list[int]] = {}
    for row, source in enumerate(sources[len(texts.labels) :], len(texts.labels)):
        copies.setdefault(source, []).append(row)
    yield f"{len(texts.labels)} rows and {len(sources) - len(texts.labels)} copies of them"
    for source in sorted(random.Random(augmentation.seed).sample(sorted(copies), min(count, len(copies)))):
        original = [column[source] for column in rows.columns]
        yield f"\n{source}: label {texts.labels[source]}\n    " + "\n    ".join(original)
        for row in copies[source]:
            copy = [marked(text, column[row]) for text, column in zip(original, rows.columns, strict=True)]
            yield "  > " + "\n    ".join(copy)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if done, 2 if the input was wrong."""
    return exit_code(lambda: _show(arguments))


def _show(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m compress.augment", add_help=False, allow_abbrev=False)
    parser.add_argument("-n", type=int, default=10)
    parser.add_argument("-h", "--help", action="store_true")
    options, words = parser.parse_known_args(arguments)
    if options.help:
        print(as_typed(USAGE))
        return 0
    from compress.config.conf_files import conf_folder
    from compress.config.overrides import read_one
    from compress.data.corpus import load_texts

    if options.n < 0:
        raise ConfigError(f"-n {options.n}: must be at least 0")
    every = (option for same in registry.registry().values() for option in same.values())
    option = next(option for option in every if issubclass(option.config, EnlargesData))
    config = read_one(["tracking=none", f"{option.group}={option.name}", *words], conf_folder())
    if (augmentation := of(config.methods, config.data, config.seed, config.paths.cache)) is None:
        raise ConfigError(f"{option.group}=none: nothing is rewritten; leave it out" if not config.methods else
                          f"{option.group}.copies=0: nothing is rewritten; give at least 1")  # fmt: skip
    use_cache_without_network()
    texts = load_texts(config.data, config.task, config.hub_seconds)["train"]
    print("\n".join(examples(texts, augmentation, options.n)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
