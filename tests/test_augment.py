"""Synonym replacement: the same for a seed, and of what decides a label nothing is touched."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.augment import main
from compress.data import demo, wordnet
from compress.data.augmentation import KEPT, augment, replace_words, replaceable
from compress.data.texts import Texts
from compress.errors import ConfigError
from tests.conftest import missing

TABLE = {"film": ("movie",), "movie": ("film",), "big": ("large",), "not": ("non",), "few": ("many",), "don": ("put",)}
TEXTS = Texts([["a big film", "no 3 Films", "it is not big"], ["a movie", "the End", "big big big"]], [0, 1, 0])


@pytest.fixture(scope="module")
def folder() -> Path:
    """WordNet's files; the test is skipped without them, and fails without them in CI."""
    try:
        return wordnet.find(None)
    except ConfigError as error:
        missing(str(error))


# --- rewriting --------------------------------------------------------------------------------------------------------


def test_a_share_of_one_replaces_all_that_may_be_and_of_zero_just_one() -> None:
    assert replace_words("a big, big film!", TABLE, 1.0, random.Random(0)) == "a large, large movie!"
    once = {replace_words("a big, big film!", TABLE, 0.0, random.Random(seed)) for seed in range(20)}
    assert once == {"a large, big film!", "a big, large film!", "a big, big movie!"}
    assert replace_words("not few", TABLE, 1.0, random.Random(0)) == "not few"


@pytest.mark.parametrize(
    "text", ["not few", "Film", "FILM", "film's", "film-maker", "don't", "3film", "BigFilm", "films"]
)
def test_negations_quantifiers_names_and_parts_of_words_stay(text: str) -> None:
    assert not replaceable(text, TABLE)


@given(st.text(alphabet=st.sampled_from("abfilmg .'-NT03"), max_size=60), st.integers(0, 99))
def test_nothing_but_replaceable_words_changes(text: str, seed: int) -> None:
    written = replace_words(text, TABLE, 0.5, random.Random(seed))
    words, ours = re.split(r"\b", text), re.split(r"\b", written)
    assert len(words) == len(ours)
    for before, after in zip(words, ours, strict=True):
        assert before == after or after in TABLE[before]


def test_copies_follow_the_rows_with_their_labels_and_sources() -> None:
    enlarged = augment(TEXTS, TABLE, copies=2, share=1.0, seed=0)
    assert [column[:3] for column in enlarged.texts.columns] == TEXTS.columns
    # in the second row nothing can be replaced; another copy of the others would read the same
    assert (enlarged.sources, enlarged.copies) == ([0, 1, 2, 0, 2], [0, 0, 0, 1, 1])
    assert enlarged.texts.labels == [0, 1, 0, 0, 0]
    assert enlarged.texts.columns[0][3:5] == ["a large movie", "it is not large"]
    assert enlarged.texts.columns[1][3:5] == ["a film", "large large large"]


def test_copies_that_are_not_rewritten_are_as_many_and_of_the_same_rows() -> None:
    train = demo.generate("qqp")["train"]
    texts = Texts([list(map(str, train[f"question{number}"])) for number in (1, 2)], list(map(int, train["label"])))
    rewritten, repeated = (augment(texts, demo.SYNONYMS, 3, 0.5, seed=0, rewrite=rewrite) for rewrite in (True, False))
    assert (repeated.sources, repeated.copies, repeated.texts.labels) == (
        rewritten.sources, rewritten.copies, rewritten.texts.labels
    )  # fmt: skip
    assert repeated.texts.columns == [[column[row] for row in repeated.sources] for column in texts.columns]
    assert rewritten.texts.columns != repeated.texts.columns


def test_a_copy_depends_on_the_seed_and_its_own_row_alone() -> None:
    train = demo.generate("sst2")["train"]
    texts = Texts([list(map(str, train["sentence"]))], list(map(int, train["label"])))
    first = augment(texts, demo.SYNONYMS, 1, 0.5, seed=0).texts
    assert augment(texts, demo.SYNONYMS, 1, 0.5, seed=0).texts == first
    assert augment(texts, demo.SYNONYMS, 1, 0.5, seed=1).texts != first
    half = augment(texts[::2], demo.SYNONYMS, 1, 0.5, seed=0).texts
    assert set(half.columns[0]) <= set(first.columns[0])
    longer = augment(texts, demo.SYNONYMS, 2, 0.5, seed=0).texts
    assert longer.columns[0][: len(first.labels)] == first.columns[0]


# --- WordNet ----------------------------------------------------------------------------------------------------------


def test_words_are_exchangeable_if_they_mostly_mean_the_same(folder: Path) -> None:
    table = wordnet.synonyms(folder)
    assert table["film"] == ("movie",)
    assert table["movies"] == ("films",)
    assert set(table["car"]) == {"auto", "automobile", "motorcar"}
    assert {"help", "buy", "quickly", "big"} <= set(table)
    for word in ("bank", "good", "said", "going", "works", "men", "twelvemonth", "good", "people"):
        assert word not in table
    for word, others in table.items():
        assert word not in others
        assert all(word in table[other] for other in others)


def test_real_sentences_change_in_a_few_words_and_never_in_a_negation(folder: Path, glue: Path) -> None:
    table = wordnet.synonyms(folder)
    sentences = pq.read_table(glue / "sst2" / "train.parquet")["sentence"].to_pylist()[:2000]
    changed = 0
    for number, sentence in enumerate(sentences):
        written = replace_words(sentence, table, 1.0, random.Random(number))
        before, after = sentence.split(), written.split()
        assert len(before) == len(after)
        changed += sum(one != other for one, other in zip(before, after, strict=True))
        assert [word for word in before if word in KEPT] == [word for word in after if word in KEPT]
    assert 0.03 < changed / sum(len(sentence.split()) for sentence in sentences) < 0.15


# --- python -m compress.augment ---------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_examples_are_shown_with_what_was_replaced(capsys: pytest.CaptureFixture) -> None:
    out = shown(capsys, "task=qqp", "data=demo", "-n", "5", "distill.copies=2")
    head, *rows = out.split("\n\n")
    assert re.fullmatch(r"2000 rows and \d{4} copies of them", head)
    assert len(rows) == 5
    train = demo.generate("qqp")["train"]
    for row in rows:
        label, first, second, *copies = row.strip().splitlines()
        number = int(label.split(":")[0])
        assert label == f"{number}: label {train['label'][number]}"
        assert (first.strip(), second.strip()) == (train["question1"][number], train["question2"][number])
        assert len(copies) in (2, 4)
        assert all("[" in "".join(copies[start : start + 2]) for start in range(0, len(copies), 2))
    assert shown(capsys, "task=qqp", "data=demo", "-n", "5", "distill.copies=2") == out
    assert shown(capsys, "task=qqp", "data=demo", "-n", "5", "distill.copies=2", "seed=1") != out


def test_wrong_words_are_told(capsys: pytest.CaptureFixture) -> None:
    assert main(["task=rtr", "data=demo"]) == 2
    assert capsys.readouterr().err.startswith("error: task=rtr: no such option (did you mean rte?)")
    assert main(["task=rte", "data=demo", "distill.copies=0"]) == 2
    assert capsys.readouterr().err == "error: distill.copies=0: nothing is rewritten; give at least 1\n"


def test_real_texts_are_shown(capsys: pytest.CaptureFixture, cache: Path, glue: Path, folder: Path) -> None:
    out = shown(capsys, "task=mrpc", f"data.path={glue}", "-n", "3")
    assert out.startswith("3668 rows and ")
    assert out.count("label ") == 3
