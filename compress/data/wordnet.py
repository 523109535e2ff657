"""Synonyms from the database files of WordNet (Fellbaum, 1998); wndb(5) and cntlist(5) describe their format."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from compress.errors import ConfigError, LacksWordNet

PLACES = (
    "~/nltk_data/corpora/wordnet",
    "/usr/share/nltk_data/corpora/wordnet",
    "/usr/local/share/nltk_data/corpora/wordnet",
    "/usr/share/wordnet",
)
KINDS = {"noun": "1", "verb": "2", "adj": "35", "adv": "4"}  # of word, with what a sense key calls them
FILES = ("cntlist.rev", *(f"index.{kind}" for kind in KINDS), *(f"{kind}.exc" for kind in KINDS))
MAIN_SHARE = 0.5  # of a word's counted uses that its main sense must have

IN_CACHE = "wordnet"  # below paths.cache
ADDRESS = (
    "https://raw.githubusercontent.com/nltk/nltk_data/550b6625bcef1f2abff2ff770a5a0d272c9c6b2a"
    "/packages/corpora/wordnet.zip"
)
WAYS = (
    "python -m launch prepare with the same overrides fetches it into paths.cache; by hand, unpack "
    f"{ADDRESS} into ~/nltk_data/corpora (neither needs root), install Debian's package wordnet-base, "
    "or give distill.wordnet=DIR, the folder of its database files"
)


def find(given: str | None, key: str = "wordnet", cache: str | None = None) -> Path:
    """The folder of the database files: the one that is given, or the first of the usual places that has them.

    Args:
        given: the value of the key that messages name; None for the usual places.
        cache: `paths.cache`, whose copy comes before all other places: whoever shares the cache reads the same files.
    """
    usual = ((f"{cache}/{IN_CACHE}",) if cache else ()) + PLACES
    for place in usual if given is None else (given,):
        folder = Path(os.path.expanduser(place))  # where no home is known, `~` stays, and nothing is found
        if not (missing := lacking(folder)):
            return folder
    if given is None:
        raise LacksWordNet(f"{key}=null: WordNet is in none of {', '.join(usual)}; {WAYS}", cache)
    raise ConfigError(f"{key}={given}: the folder lacks {', '.join(missing)}; {WAYS}")


def lacking(folder: Path) -> list[str]:
    """The database files that are not in a folder, or that this user may not read."""
    return [name for name in FILES if not (os.path.isfile(folder / name) and os.access(folder / name, os.R_OK))]


@cache
def synonyms(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Word -> the words that mostly mean the same, each a single lower-case word.

    A word's main sense is the one that at least half of its uses in tagged text have; words are exchangeable here if
    they share their main sense. So `film` and `movie` are, while `bank` (many senses) and `twelvemonth` (never used in
    tagged text) are left alone. Nouns come in the regular plural too; other inflected forms are left out, since they
    look like other words. Refuses files that are not WordNet's, or not whole.
    """
    try:
        table = _table(folder)
    except (OSError, ValueError, KeyError, IndexError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{folder}: its files are not WordNet's ({cause}); {WAYS}") from error
    if not table:
        raise ConfigError(f"{folder}: there are no synonyms in its files; {WAYS}")
    return table


def _table(folder: Path) -> dict[str, tuple[str, ...]]:
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for word, sense in _main_senses(folder).items():
        together[sense].append(word)
    irregular = {line.split()[-1] for line in (folder / "noun.exc").read_text().splitlines()}
    table: dict[str, tuple[str, ...]] = {}
    for (kind, _), words in together.items():
        plural = kind == "noun" and all(word[-1] not in "syxzhfo" and word not in irregular for word in words)
        for word in words if len(words) > 1 else ():
            table[word] = tuple(sorted(other for other in words if other != word))
            if plural:
                table[f"{word}s"] = tuple(f"{other}s" for other in table[word])
    return table


def _main_senses(folder: Path) -> dict[str, tuple[str, str]]:
    """Word -> kind and offset of its main synset, where it has one."""
    counts: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)  # (word, kind) -> number of a sense -> uses
    named = {code: kind for kind, codes in KINDS.items() for code in codes}
    for line in (folder / "cntlist.rev").read_text(encoding="latin-1").splitlines():
        key, rank, count = line.split()
        word, _, rest = key.partition("%")
        counts[word, named[rest[0]]][int(rank)] = int(count)
    senses: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)  # word -> synset -> uses
    for kind in KINDS:
        for line in (folder / f"index.{kind}").read_text(encoding="latin-1").splitlines():
            if line.startswith(" "):  # the licence
                continue
            fields = line.split()
            word, how_many = fields[0], int(fields[2])
            if word.isascii() and word.isalpha():
                for number, offset in enumerate(fields[-how_many:], 1):
                    senses[word][kind, offset] = counts.get((word, kind), {}).get(number, 0)
    of_kind = {kind: {word for word, uses in senses.items() if any(k == kind for k, _ in uses)} for kind in KINDS}
    irregular = {line.split()[0] for kind in KINDS for line in (folder / f"{kind}.exc").read_text().splitlines()}
    main = {}
    for word, uses in senses.items():
        synset, most = max(uses.items(), key=lambda entry: entry[1])
        plain = word not in irregular and not _is_inflected(word, of_kind["verb"], of_kind["noun"])
        if plain and most and most >= MAIN_SHARE * sum(uses.values()):
            main[word] = synset
    return main


def _is_inflected(word: str, verbs: set[str], nouns: set[str]) -> bool:
    """Whether a word is also a regular form of another: `works`, `going`, `making`, `planned`."""
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 1 and {stem, f"{stem}e", stem[:-1] if stem[-1] == stem[-2] else stem} & verbs:
            return True
    return word.endswith("s") and (word[:-1] in nouns or word[:-1] in verbs)
