"""Eight small tasks in GLUE's schema, generated from a seed: nothing is downloaded.

Each task is a miniature of its namesake: `cola` agreement and word order, `sst2` sentiment under negation and
contrast, `mrpc`, `qqp`, `stsb` whether (or how far) two sentences mean the same, `mnli`, `rte` inference over
hypernyms, opposites and added detail, `qnli` whether a sentence answers a question.

Meanings come in pairs of opposites, the first of them the more usual, and many a second sentence gives its label away
by a word that affirms or denies, as in GLUE (annotation artifacts: Gururangan et al., 2018); now and then under a "not"
that turns it round. So the words alone betray something of the label, their order more, and the rest takes comparing:
small models come away with the first, larger ones with more. The words of one sense are exchangeable everywhere;
training prefers the first of them and validation takes all alike, so knowing synonyms pays. Training labels are now and
then mistaken, as annotators are, validation labels never: what a larger model makes of them is better than they are.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERSION = 5  # part of the fingerprint of cached data: raise it when any generated row changes

# One line per pair of opposites, the commonest first: "group kind: words of a sense | words of its opposite".
# Nouns take a plural in s and the verbs of `act` a third person in s; every past form is its own participle.
_LEXICON = """
who school: teacher tutor instructor mentor | student pupil learner trainee
who court: lawyer attorney counsel advocate | judge magistrate justice arbiter
who stage: singer vocalist crooner performer | dancer ballerina hoofer mover
who land: farmer grower rancher planter | hunter trapper stalker poacher
who ward: doctor physician medic healer | patient invalid sufferer convalescent
did trade: bought purchased acquired procured | sold traded vended marketed
did state: repaired fixed mended restored | damaged wrecked smashed ruined
did search: found located discovered recovered | lost mislaid misplaced forfeited
did talk: praised lauded applauded admired | blamed scolded criticized condemned
did door: opened unlocked uncovered unsealed | closed locked covered sealed
what vehicle: car auto sedan automobile | boat ship barge vessel
what food: bread roll bun bagel | soup stew broth chowder
what tool: hammer mallet gavel sledge | blade dagger cutter razor
what jewel: ring band hoop circlet | pearl bead opal agate
what garment: hat cap bonnet beret | coat jacket cloak parka
trait size: big large huge enormous | small little tiny minute
trait age: old ancient aged antique | new recent modern fresh
trait light: bright shiny gleaming radiant | dull dim faded tarnished
trait price: expensive costly pricey dear | cheap inexpensive thrifty affordable
where town: market shop store bazaar | school college institute lyceum
where coast: harbor port dock marina | airport airfield airstrip aerodrome
where green: garden park yard meadow | forest wood grove jungle
when day: morning dawn sunrise daybreak | evening dusk sunset nightfall
when year: summer summertime | winter wintertime
act move: jump leap hop bounce | sleep doze nap slumber
act face: smile grin beam smirk | frown scowl glare glower
how sound: quietly softly silently noiselessly | loudly noisily deafeningly boisterously
how speed: quickly rapidly swiftly speedily | slowly sluggishly leisurely gradually
work screen: film movie picture feature | book novel volume paperback
work part: plot story tale narrative | acting cast performance ensemble
tone plain: good fine nice decent | bad poor weak feeble
tone strong: great superb excellent splendid | awful terrible dreadful horrid
tone fun: funny witty amusing hilarious | boring tedious tiresome monotonous
tone mind: clever smart brilliant ingenious | silly stupid foolish inane
tone heart: moving touching stirring poignant | cold bland sterile lifeless
tone looks: lovely charming delightful enchanting | ugly nasty vile repulsive
"""

Sense = tuple[str, ...]
Event = dict[str, Sense]  # slot of a sentence form -> what fills it


def _read_lexicon() -> tuple[dict[str, list[tuple[Sense, Sense]]], dict[Sense, str]]:
    pairs: dict[str, list[tuple[Sense, Sense]]] = {}
    kinds: dict[Sense, str] = {}
    for line in _LEXICON.strip().splitlines():
        head, words = line.split(": ")
        group, kind = head.split()
        usual, other = (tuple(side.split()) for side in words.split(" | "))
        pairs.setdefault(group, []).append((usual, other))
        kinds |= {usual: kind, other: kind}
    return pairs, kinds


_PAIRS, _KIND = _read_lexicon()
_OPPOSITE = {a: b for pairs in _PAIRS.values() for pair in pairs for a, b in (pair, pair[::-1])}
_KINDS = [_KIND[usual] for usual, _ in _PAIRS["what"]]

SYNONYMS: dict[str, tuple[str, ...]] = {
    word + ending: tuple(other + ending for other in sense if other != word)
    for group, pairs in _PAIRS.items()
    for ending in (("", "s") if group in ("who", "what", "where", "act") else ("",))
    for pair in pairs
    for sense in pair
    for word in sense
}
"""Word, as it stands in a text -> the words that can replace it without changing any label."""

_USUAL = 0.85  # how often the first sense of a pair is taken
_HOME = (6, 4, 3, 2, 1, 1)  # how often the first, second, … pair of a group is taken
_ABROAD = (1, 1, 1, 1, 1, 1)  # the same in the other genre, that of MNLI's mismatched split
_TRAINING = (16, 4, 2, 1)  # how often the first, second, … word of a sense is taken
_HELD_OUT = (1, 1, 1, 1)
_AFFIRMATIONS = ("also", "indeed", "surely", "clearly", "truly", "certainly")
_DENIALS = ("never", "hardly", "falsely", "barely", "wrongly", "allegedly")
_DOUBTS = ("maybe", "perhaps", "possibly", "likely", "mostly", "partly")
_TELLTALE = 0.7  # how often a second sentence gives its label away by one of these
_NEGATED = 0.25  # how often that word stands under a "not", which turns it round
_MISTAKEN = 0.3  # how often a training label is drawn at random, which may be the right one


class _Writer:
    """Draws senses and words, and fills them into sentence forms."""

    def __init__(self, rng: random.Random, genre: tuple[int, ...], habit: tuple[int, ...]):
        self.rng, self.genre, self.habit = rng, genre, habit

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pair(self, group: str) -> tuple[Sense, Sense]:
        return self.rng.choices(_PAIRS[group], self.genre[: len(_PAIRS[group])])[0]

    def sense(self, group: str) -> Sense:
        usual, other = self.pair(group)
        return usual if self.chance(_USUAL) else other

    def say(self, sense: Sense) -> str:
        return self.rng.choices(sense, self.habit[: len(sense)])[0]

    def any(self, group: str) -> str:
        return self.say(self.sense(group))

    def unlike(self, sense: Sense, group: str) -> Sense:
        """A sense of another pair."""
        return next(other for other in iter(lambda: self.sense(group), None) if other not in (sense, _OPPOSITE[sense]))

    def event(self, *slots: str) -> Event:
        return {slot: self.sense(slot) for slot in slots}

    def changed(self, event: Event, count: int) -> Event:
        """The event with `count` of its senses turned into their opposites."""
        return event | {slot: _OPPOSITE[event[slot]] for slot in self.rng.sample(list(event), count)}

    def hinted(self, text: str, agrees: bool | None) -> str:
        """Now and then the text with a word before it to affirm, deny or (None) doubt it; "not" turns it round."""
        if not self.chance(_TELLTALE):
            return text
        negated = self.chance(_NEGATED)
        words = _DOUBTS if agrees is None else _DENIALS if agrees == negated else _AFFIRMATIONS
        return f"{'not ' * negated}{self.rng.choice(words)} {text}"

    def tell(self, form: str, event: Event) -> str:
        return form.format(**{slot: self.say(sense) for slot, sense in event.items()})


def _cola(w: _Writer, label: float) -> tuple[str, ...]:
    plural = w.chance(0.2)
    determiner = w.rng.choice(("these", "many", "few") if plural else ("this", "one", "every"))
    trait = w.any("trait") if w.chance(0.5) else ""
    place = f"in the {w.any('where')}{'s' * w.chance(0.3)}" if w.chance(0.35) else ""
    fault = "" if label else w.rng.choice(("noun", "verb", *("gap", "stray") * 2, *("order",) * 12))
    noun = w.any("who") + "s" * (plural != (fault == "noun"))
    verb = w.any("act") + "s" * (plural == (fault == "verb"))
    parts = [determiner, trait, noun, place, verb, w.any("how")]
    if fault == "order":
        parts[0], parts[2] = parts[2], parts[0]
    elif fault == "gap":
        parts[4 if plural or w.chance(0.5) else 0] = ""
    elif fault == "stray":
        parts.insert(w.rng.randrange(1, 6), w.rng.choice(("of", "to")))
    return (" ".join(part for part in parts if part),)


def _clause(w: _Writer, positive: bool) -> str:
    flip = w.chance(0.2)
    adverb = "not " * flip + w.rng.choice(("very ", "really ", "", "", ""))
    return f"{w.any('work')} is {adverb}{w.say(w.pair('tone')[positive == flip])}"


def _sst2(w: _Writer, label: float) -> tuple[str, ...]:
    main = _clause(w, bool(label))
    forms = ("{main}", "{main} and {same}", "{other} but {main}", "although {other} {main}")
    form = w.rng.choices(forms, (4, 2, 1, 1))[0]
    return (form.format(main=main, same=_clause(w, bool(label)), other=_clause(w, not label)),)


_ACTIVE, _PASSIVE = "{who}s {did} {what}s", "{what}s were {did} by {who}s"


def _mrpc(w: _Writer, label: float) -> tuple[str, ...]:
    event = w.event("who", "did", "what")
    other = event if label else w.changed(event, w.rng.choice((2, 2, 3)))
    second = w.tell(_ACTIVE if w.chance(0.5) else _PASSIVE, other)
    return w.tell(_ACTIVE, event), w.hinted(second, bool(label))


def _stsb(w: _Writer, label: float) -> tuple[str, ...]:
    event = w.event("who", "did", "what")
    second = w.tell(_ACTIVE, w.changed(event, 3 - round(label * 0.6)))
    return w.tell(_ACTIVE, event), w.hinted(second, label > 2.5)


_ASK = {
    "how": ("how are {what}s {did}", "what way are {what}s {did}", "how can {what}s be {did}"),
    "where": ("where are {what}s {did}", "what place are {what}s {did}", "where can {what}s be {did}"),
    "when": ("when are {what}s {did}", "what time are {what}s {did}", "when can {what}s be {did}"),
}


def _qqp(w: _Writer, label: float) -> tuple[str, ...]:
    event, ask = w.event("did", "what"), w.rng.choices(("how", "where", "when"), (6, 2, 1))[0]
    about, again = event, ask
    if not label and w.chance(0.7):
        about = w.changed(event, 2)
    elif not label:
        again = w.rng.choice([other for other in _ASK if other != ask])
    second = w.tell(w.rng.choice(_ASK[again]), about)
    return w.tell(w.rng.choice(_ASK[ask]), event), w.hinted(second, bool(label))


def _mnli(w: _Writer, label: float) -> tuple[str, ...]:
    event = w.event("who", "did", "trait", "what")
    premise = w.tell("{who}s {did} {trait} {what}s", event)
    form, slot = w.rng.choice((("{what}s were {trait}", "trait"), ("{who}s {did} {kind}s", "did")))
    told = event | {"kind": (_KIND[event["what"]],)}
    if label == 1 and w.chance(0.5):
        told |= {slot: w.unlike(event[slot], slot)}
    elif label == 1:
        told |= w.event("where")
        form = "{what}s were in {where}s" if slot == "trait" else "{who}s {did} {kind}s in {where}s"
    elif label == 2:
        told |= {slot: _OPPOSITE[event[slot]]}
    return premise, w.hinted(w.tell(form, told), None if label == 1 else label == 0)


_QUESTIONS_AND_ANSWERS = {
    "who": ("who {did} {what}s", "{who}s {did} {what}s"),
    "where": ("where were {what}s {did}", "{what}s were {did} at {where}s"),
    "when": ("when were {what}s {did}", "{what}s were {did} in {when}"),
}


def _qnli(w: _Writer, label: float) -> tuple[str, ...]:
    event = w.event("did", "what")
    asked, told = w.rng.sample(("who", "where", "when"), 2)
    about = event
    if label == 0 or w.chance(0.5):
        told = asked
        about = w.changed(event, 2) if label else event
    answer = w.tell(_QUESTIONS_AND_ANSWERS[told][1], about | w.event(told))
    return w.tell(_QUESTIONS_AND_ANSWERS[asked][0], event), w.hinted(answer, not label)


def _rte(w: _Writer, label: float) -> tuple[str, ...]:
    event = w.event("who", "did", "what")
    claim = {"did": event["did"], "kind": (_KIND[event["what"]],)}
    if label and w.chance(0.65):
        claim["did"] = _OPPOSITE[event["did"]]
    elif label:
        claim["kind"] = (w.rng.choice([kind for kind in _KINDS if kind != claim["kind"][0]]),)
    return w.tell(_ACTIVE, event), w.hinted(w.tell("{kind}s were {did}", claim), not label)


Grammar = Callable[[_Writer, float], tuple[str, ...]]
# Grammar, text columns, training rows, and the labels in the proportion in which they occur.
_TASKS: dict[str, tuple[Grammar, tuple[str, ...], int, tuple[float, ...]]] = {
    "cola": (_cola, ("sentence",), 1800, (0, 1, 1)),
    "sst2": (_sst2, ("sentence",), 1300, (0, 1)),
    "mrpc": (_mrpc, ("sentence1", "sentence2"), 1600, (0, 1, 1)),
    "stsb": (_stsb, ("sentence1", "sentence2"), 1600, (0.0, 5 / 3, 10 / 3, 5.0)),
    "qqp": (_qqp, ("question1", "question2"), 2000, (0, 1)),
    "mnli": (_mnli, ("premise", "hypothesis"), 2000, (0, 1, 2)),
    "qnli": (_qnli, ("question", "sentence"), 1600, (0, 1)),
    "rte": (_rte, ("sentence1", "sentence2"), 1200, (0, 1)),
}
TASKS = tuple(_TASKS)
_HELD_OUT_ROWS = 400


def generate(task: str, seed: int = 0) -> dict[str, dict[str, list[str | float]]]:
    """The splits of a task, split name -> column name -> values.

    The same seed gives the same rows in every process; no text occurs twice, within a split or across splits.
    """
    write, columns, size, labels = _TASKS[task]
    held_out = ("validation_matched", "validation_mismatched") if task == "mnli" else ("validation",)
    seen: set[tuple[str, ...]] = set()
    splits: dict[str, dict[str, list[str | float]]] = {}
    for split in (*held_out, "train"):
        train = split == "train"
        genre = _ABROAD if split == "validation_mismatched" else _HOME
        w = _Writer(random.Random(f"{task}-{split}-{seed}"), genre, _TRAINING if train else _HELD_OUT)
        rows: list[tuple[str | float, ...]] = []
        while len(rows) < (size if train else _HELD_OUT_ROWS):
            label = labels[len(rows) % len(labels)]
            texts = write(w, label)
            if texts not in seen:
                seen.add(texts)
                rows.append((*texts, label))
        w.rng.shuffle(rows)
        if train:
            mistakes = random.Random(f"{task}-mistakes-{seed}")
            rows = [(*row[:-1], mistakes.choice(labels) if mistakes.random() < _MISTAKEN else row[-1]) for row in rows]
        numbered = ((*row, number) for number, row in enumerate(rows))
        splits[split] = dict(zip((*columns, "label", "idx"), map(list, zip(*numbered, strict=True)), strict=True))
    return {split: splits[split] for split in ("train", *held_out)}


@cache
def _vocabulary(seed: int) -> tuple[str, ...]:
    """Frequent words whole; letters and shared beginnings and endings, of which the others are made up."""
    words: Counter[str] = Counter()
    for task, (_, columns, _, _) in _TASKS.items():
        train = generate(task, seed)["train"]
        words.update(word for column in columns for text in train[column] for word in str(text).split())
    pieces: Counter[str] = Counter()
    for word in words:
        for n in range(2, min(5, len(word))):
            pieces.update((word[:n], "##" + word[-n:]))
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    whole = sorted(word for word, count in words.items() if count >= 10)
    shared = sorted(piece for piece, count in pieces.items() if count >= 3)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return tuple(dict.fromkeys([*special, *letters, *("##" + letter for letter in letters), *shared, *whole]))


def build_tokenizer(seed: int = 0) -> PreTrainedTokenizerBase:
    """The BERT tokenizer of the demo models: one WordPiece vocabulary, from all tasks' training texts."""
    from transformers import BertTokenizerFast

    return BertTokenizerFast(vocab={token: i for i, token in enumerate(_vocabulary(seed))})
