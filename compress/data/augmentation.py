"""A training set enlarged by synonym replacement (as the study's distillation uses; compare Wei & Zou, 2019).

Label-preserving by construction: only plain lower-case words are replaced, and only by words that mean the same.
Numbers, names (anything with a capital), negations, quantifiers and other function words neither go nor come.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.data import demo, wordnet
from compress.data.corpus import DataConfig
from compress.data.texts import Texts
from compress.methods.base import EnlargesData
from compress.methods.registry import Active, group_of, the_one
from compress.storage.digests import digest_files

VERSION = 1  # part of the identity of whatever was trained on rewritten rows: raise it when any of them changes
WORD = re.compile(r"(?<![\w'’-])[a-z]{3,}(?![\w'’-])")  # no part of `don't`, `co-op`, `B2b`, `iPhone`

_FUNCTION_WORDS = """
    no not nor never none nothing nobody nowhere neither without hardly scarcely barely rarely seldom except but
    however though although yet unless if whether because since while until till when where why how what which
    who whom whose that this these those there here then than thus the and for with from into onto upon over
    under above below about along across after before again against among around behind beside between beyond
    down during near off out past round through toward towards underneath within all any both each either enough
    every few half less least little lot many more most much several some such too very only even just also
    almost nearly pretty quite rather still already always often sometimes usually ever once twice one two three four
    five six seven eight nine ten hundred thousand million billion first second third last next other another
    same different can could may might must shall should will would ought need dare used did does done doing
    have has had having are was were been being its his her hers him she they them their theirs our ours your
    yours you mine myself yourself himself herself itself ourselves themselves someone somebody something anyone
    anybody anything everyone everybody everything percent percentage per yes okay please maybe perhaps possibly
    probably and away back forth
"""
KEPT = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True)
class Enlarged:
    """Rows, then the first copies of those that have one, then the second copies, and so on."""

    texts: Texts
    sources: list[int]  # for each the number of the row that it is made of, or is
    copies: list[int]  # for each 0, or the number of its copy from 1 on


def unchanged(texts: Texts) -> Enlarged:
    """The rows alone."""
    return Enlarged(texts, list(range(len(texts.labels))), [0] * len(texts.labels))


@dataclass(frozen=True)
class Augmentation:
    """How a training set is enlarged."""

    copies: int  # rewritten ones of each row
    share: float  # of the replaceable words that a copy replaces
    seed: int
    wordnet: Path | None  # folder of its database files; None: the synonyms that the generated data brings
    rewrite: bool = True  # whether copies are rewritten, or stand there as their rows do

    def identity(self) -> dict[str, object]:
        """What decides the rewritten rows; WordNet counts by its contents, not by where it lies."""
        source = f"demo {demo.VERSION}"
        if self.wordnet is not None:
            source = digest_files([self.wordnet / name for name in wordnet.FILES])
        asked = {"copies": self.copies, "replace": self.share, "seed": self.seed}
        return asked | {"synonyms": source, "version": VERSION} | ({} if self.rewrite else {"rewrite": False})

    def apply(self, texts: Texts) -> Enlarged:
        """The rows, and rewritten copies of them."""
        synonyms = demo.SYNONYMS if self.wordnet is None else wordnet.synonyms(self.wordnet)
        return augment(texts, synonyms, self.copies, self.share, self.seed, rewrite=self.rewrite)


def of(methods: Active, data: DataConfig, seed: int, cache: str | None = None) -> Augmentation | None:
    """The augmentation that one of the active methods asks for, refused where it lacks WordNet; None if none does.

    `cache` is `paths.cache`, where WordNet may be.
    """
    enlarges = the_one(methods, EnlargesData)
    if enlarges is None or enlarges.copies == 0:
        return None
    comes_with_data = enlarges.wordnet is None and data.generated
    key = f"{group_of(methods, enlarges)}.wordnet"
    folder = None if comes_with_data else wordnet.find(enlarges.wordnet, key, cache)
    return Augmentation(enlarges.copies, enlarges.replace, seed, folder, enlarges.rewrite)


def replaceable(text: str, synonyms: Mapping[str, Sequence[str]]) -> list[tuple[re.Match[str], list[str]]]:
    """The words of a text that may be replaced, in order, and what by."""
    words = (word for word in WORD.finditer(text) if word[0] not in KEPT)
    pairs = ((word, [other for other in synonyms.get(word[0], ()) if other not in KEPT]) for word in words)
    return [(word, others) for word, others in pairs if others]


def replace_words(text: str, synonyms: Mapping[str, Sequence[str]], share: float, rng: random.Random) -> str:
    """The text with about a `share` of its replaceable words, at least one, replaced by a synonym at random."""
    candidates = replaceable(text, synonyms)
    chosen = [rng.random() < share for _ in candidates]
    if candidates and not any(chosen):
        chosen[rng.randrange(len(candidates))] = True
    written, done = "", 0
    for (word, others), replaced in zip(candidates, chosen, strict=True):
        if replaced:
            written += text[done : word.start()] + rng.choice(others)
            done = word.end()
    return written + text[done:]


def augment(
    texts: Texts, synonyms: Mapping[str, Sequence[str]], copies: int, share: float, seed: int, *, rewrite: bool = True
) -> Enlarged:
    """The rows followed by `copies` rewritten ones of each, with their labels; of pairs both texts are rewritten.

    What a copy reads depends on the seed, its number and its row's own text, not on the other rows. A copy in which
    nothing was replaced, or that reads like another copy of its row, is left out: it would only count a row twice.
    Without `rewrite` there are exactly as many copies, of the same rows, and each reads like its row.
    """
    columns = [list(column) for column in texts.columns]
    sources = list(range(len(texts.labels)))
    numbers = [0] * len(sources)
    read: list[set[tuple[str, ...]]] = [set(row) for row in zip(zip(*texts.columns, strict=True), strict=True)]
    for copy in range(copies):
        for row, original in enumerate(zip(*texts.columns, strict=True)):
            rng = random.Random(f"{seed} {copy} {list(original)}")
            written = tuple(replace_words(text, synonyms, share, rng) for text in original)
            if written not in read[row]:
                read[row].add(written)
                sources.append(row)
                numbers.append(copy + 1)
                for column, text in zip(columns, written if rewrite else original, strict=True):
                    column.append(text)
    return Enlarged(Texts(columns, [texts.labels[row] for row in sources]), sources, numbers)
