"""A training set enlarged by synonym replacement (as the study's distillation uses; compare Wei & Zou, 2019).

Label-preserving by construction: only plain lower-case words are replaced, and only by words that mean the same.
Numbers, names (anything with a capital), negations, quantifiers and other function words neither go nor come.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from compress.data import Texts

WORD = re.compile(r"(?<![\w'’-])[a-z]{3,}(?![\w'’-])")  # no part of `don't`, `co-op`, `B2b`, `iPhone`

_FUNCTION_WORDS = """
    no not nor never none nothing nobody nowhere neither without hardly scarcely barely rarely seldom except but
    however though although yet unless if whether because since while until till when where why how what which
    who whom whose that this these those there here then than thus the and for with from into onto upon over
    under above below about along across after before again against among around behind beside between beyond
    down during near off out past round through toward towards underneath within all any both each either enough
    every few half less least little lot many more most much several some such too very only even just also
    almost nearly quite rather still already always often sometimes usually ever once twice one two three four
    five six seven eight nine ten hundred thousand million billion first second third last next other another
    same different can could may might must shall should will would ought need dare used did does done doing
    have has had having are was were been being its his her hers him she they them their theirs our ours your
    yours you mine myself yourself himself herself itself ourselves themselves someone somebody something anyone
    anybody anything everyone everybody everything percent percentage per yes okay please maybe perhaps possibly
    probably and away back forth
"""
KEPT = frozenset(_FUNCTION_WORDS.split())


def replaceable(text: str, synonyms: Mapping[str, Sequence[str]]) -> list[tuple[re.Match[str], list[str]]]:
    """The words of a text that may be replaced, in order, and what by."""
    pairs = []
    for found in WORD.finditer(text):
        if found[0] not in KEPT and (others := [word for word in synonyms.get(found[0], ()) if word not in KEPT]):
            pairs.append((found, others))
    return pairs


def replace_words(text: str, synonyms: Mapping[str, Sequence[str]], share: float, rng: random.Random) -> str:
    """The text with about a `share` of its replaceable words replaced, each by one of its synonyms at random."""
    parts, done = [], 0
    for found, others in replaceable(text, synonyms):
        if rng.random() < share:
            parts += [text[done : found.start()], rng.choice(others)]
            done = found.end()
    return "".join([*parts, text[done:]])


def augment(
    texts: Texts, synonyms: Mapping[str, Sequence[str]], copies: int, share: float, seed: int
) -> tuple[Texts, list[int]]:
    """The rows followed by `copies` rewritten ones of each, with their labels; of pairs both texts are rewritten.

    What a copy reads depends on the seed, its number and its row's own text, not on the other rows. A copy in which
    nothing was replaced is left out: it would only count the row twice.

    Returns:
        The texts, and for each row the number of the row that it comes from.
    """
    columns = [list(column) for column in texts.columns]
    source = list(range(len(texts.labels)))
    for copy in range(copies):
        for row in range(len(texts.labels)):
            original = [column[row] for column in texts.columns]
            rng = random.Random(f"{seed} {copy} {original}")
            written = [replace_words(text, synonyms, share, rng) for text in original]
            if written != original:
                source.append(row)
                for column, text in zip(columns, written, strict=True):
                    column.append(text)
    return Texts(columns, [texts.labels[row] for row in source]), source
