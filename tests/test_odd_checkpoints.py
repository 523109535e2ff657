"""Checkpoints as people have them: loaded as the good one is, or refused in one line before anything is written."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertForSequenceClassification, PreTrainedTokenizerBase

from compress import experiment
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config
from compress.data import tokenization
from compress.data.texts import Texts
from compress.errors import ConfigError
from compress.model.encoder import Start, label
from tests import odd_checkpoints as odd
from tests import odd_tokenizers, odd_weights
from tests.conftest import Compose
from tests.odd_inputs import Case, Refused, Taken, Values, asking, assert_one_line, cases, changed, taken

KINDS = [*odd_weights.KINDS, *odd_tokenizers.KINDS]
TAKEN, REFUSED = cases(KINDS, Taken), cases(KINDS, Refused)
START = {"new": ["head"], "prefix": "", "unused": [], "notes": []}
FIRST = ["the film is good", "Café, naïve: the MOVIE's plot!", "très étrange 電影 (zyx) 42", "film " * 40, ""]
SECOND = ["the movie is bad", "b", "but not very", "movie " * 40, "a tale"]
LENGTH = 24  # tokens; the fourth texts are longer


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good checkpoint, beside eight rows of some tasks."""
    folder = tmp_path_factory.mktemp("odd")
    for task, labels in (("sst2", [0, 1]), ("rte", [0, 1]), ("stsb", [0.0, 5.0])):
        texts = {"sentence": FIRST[:2]} if task == "sst2" else {"sentence1": FIRST[:2], "sentence2": SECOND[:2]}
        (folder / "data" / task).mkdir(parents=True)
        for split in ("train", "validation"):
            table = pa.table({name: column * 4 for name, column in texts.items()} | {"label": labels * 4})
            pq.write_table(table, folder / "data" / task / f"{split}.parquet")
    return odd.good(folder / "good")


@pytest.fixture(scope="session")
def values(cache: Path, good: Path) -> Callable[[str], Values]:
    """A function of a task that gives a configuration with the good checkpoint."""

    @lru_cache
    def composed(task: str) -> Values:
        words = ["model=pretrained", f"model.pretrained={good}", f"task={task}", f"data.path={good.parent / 'data'}",
                 "train=demo", "data.max_length=64", "train.max_steps=2", "tracking=none", "device=cpu"]  # fmt: skip
        return asdict(next(compositions(words, conf_folder(), multirun=False)))

    return composed


Make = Callable[[Case], Callable[[], Config]]


@pytest.fixture
def asked(good: Path, values: Callable[[str], Values], tmp_path: Path) -> Make:
    """A function that makes a case's folder, and gives one that asks for an experiment with it."""

    return lambda case: asking(case, values, "model.pretrained", good, tmp_path)


def loaded(config: Config) -> tuple[PreTrainedTokenizerBase, BertForSequenceClassification, Start]:
    tokenizer = experiment.load_tokenizer(config)
    return tokenizer, *experiment.build_model(config, tokenizer)


def tokens(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """What is made of texts, alone and in pairs, by ids, row lengths and lengths of first texts."""
    made = [tokenization.tokenize(Texts(columns, [0] * 5), tokenizer, LENGTH) for columns in ([FIRST], [FIRST, SECOND])]
    return [array.tolist() for found in made for array in (found.ids, found.offsets, found.seconds)]


def assert_weights_are_the_good_ones(model: BertForSequenceClassification, new: list[str]) -> None:
    state = model.bert.state_dict()
    for name, expected in odd.weights().items():
        if not (name in odd.POOLER and "pooler" in new):
            assert state[name].dtype == torch.float32, name
            rows = min(len(state[name]), len(expected))  # of embeddings; everything else has all of them
            assert torch.equal(state[name][:rows], expected[:rows]), name


@pytest.fixture(scope="session")
def good_tokens(values: Callable[[str], Values]) -> list[list[int]]:
    return tokens(loaded(changed(values("sst2"), {}))[0])


@pytest.mark.parametrize("name", TAKEN)
def test_taken_as_the_good_one_is(asked: Make, good_tokens: list[list[int]], name: str) -> None:
    """Weights, tokens, and what the result says of the start."""
    expected = TAKEN[name].expected
    assert isinstance(expected, Taken)
    tokenizer, model, start = loaded(asked(TAKEN[name])())
    assert {field: getattr(start, field) for field in START} == START | dict(expected.start)
    assert_weights_are_the_good_ones(model, start.new)
    for text, pieces in expected.tokens.items():
        assert tokenizer.tokenize(text) == pieces
    if not expected.tokens:
        assert tokens(tokenizer) == good_tokens


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_and_nothing_is_written(asked: Make, tmp_path: Path, name: str) -> None:
    expected, ask = REFUSED[name].expected, asked(REFUSED[name])
    assert isinstance(expected, Refused)
    with pytest.raises(ConfigError) as caught:
        experiment.run(ask())
    assert_one_line(caught.value, expected)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint"]
    assert not (tmp_path / "checkpoint" / "sprung").exists()


def test_the_trap_would_have_sprung(good: Path, tmp_path: Path) -> None:
    """What is refused above would have run a command where it is unpickled without care."""
    shutil.copytree(good, tmp_path / "c")
    odd.trapped(tmp_path / "c")
    torch.load(tmp_path / "c" / odd.PICKLE, weights_only=False)
    assert (tmp_path / "c" / "sprung").is_dir()


KEPT = [
    name for name, case in TAKEN.items() if isinstance(case.expected, Taken) and case.expected.start.get("new") == []
]


@pytest.mark.parametrize("name", KEPT)
def test_a_head_that_is_kept_computes_what_the_checkpoint_does(asked: Make, tmp_path: Path, name: str) -> None:
    _, model, _ = loaded(asked(TAKEN[name])())
    reference = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    ids = torch.arange(60).view(3, 20)
    with torch.inference_mode():
        ours, theirs = model.eval()(ids).logits, reference.eval()(ids).logits
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6), (
        "the last block for the first token alone may round otherwise"
    )


def test_a_result_says_what_its_training_started_from(asked: Make) -> None:
    """A prefix and a missing pooler; then a head that is kept."""
    bare = odd.weighing(lambda state: odd.prefixed("module.")(odd.dropping("pooler")(state)))
    result = experiment.run(asked(taken(bare))()).document()
    assert result["start"]["prefix"] == "module."
    assert result["start"]["new"] == ["head", "pooler"]
    assert odd_weights.NEW_POOLER in result["notes"]
    assert re.fullmatch("[0-9a-f]{64}", result["start"]["sha256"])


def test_a_result_says_that_the_checkpoints_head_was_kept(asked: Make) -> None:
    result = experiment.run(asked(TAKEN["head: the task's classes"])()).document()
    assert (result["start"]["new"], result["start"]["unused"]) == ([], [])
    assert odd_weights.KEPT_HEAD in result["notes"]


def test_texts_that_are_unknown_in_no_small_part_are_noted(asked: Make) -> None:
    texts = odd.with_texts("the film is good 電", "the film is bad and dull")
    result = experiment.run(asked(taken(texts, settings={"data.path": "{folder}/texts"}))()).document()
    assert "7% of the tokens in train are unknown ([UNK])" in result["notes"]


def test_a_folder_may_be_called_anything(compose: Compose, good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "ünïcode näme ✓ x")
    config = compose("model=pretrained", f"model.pretrained='{folder}'", "data=demo", "data.max_length=64")
    assert_weights_are_the_good_ones(loaded(config)[1], new=["head"])
    assert label(config.model) == "ünïcode näme ✓ x"


def test_weights_that_are_replaced_under_the_same_time_and_size_are_others(asked: Make, tmp_path: Path) -> None:
    ask, file = asked(taken(lambda folder: None)), tmp_path / "checkpoint" / odd.WEIGHTS
    before, status = identity.run_id(ask()), file.stat()
    odd.weighing(lambda state: odd.weights(seed=1))(file.parent)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert identity.run_id(ask()) != before
    _, model, _ = loaded(ask())
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, odd.weights(seed=1)[odd.EMBEDDINGS])


CUT = {
    odd.WEIGHTS: (),
    odd.PICKLE: (odd.pickled(),),
    "of old torch": (odd.pickled(_use_new_zipfile_serialization=False),),
    "config.json": (),
    "tokenizer_config.json": (),
    "tokenizer.json": (odd.only_whole_tokenizer(),),
    "vocab.txt": (),
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_anywhere_is_refused(asked: Make, tmp_path: Path, name: str) -> None:
    """But for `vocab.txt` inside its last line, and its last line end: nobody knows what stood there."""
    ask = asked(taken(odd.both(*CUT[name])))
    file = tmp_path / "checkpoint" / (odd.PICKLE if name == "of old torch" else name)
    whole = file.read_bytes()
    end = whole.rstrip(b"\n").rindex(b"\n") if name == "vocab.txt" else len(whole)
    for length in {0, 1, end - 1, *random.Random(name).sample(range(end), 12)}:
        file.write_bytes(whole[:length])
        with pytest.raises(ConfigError) as caught:
            loaded(ask())
        assert_one_line(caught.value, Refused(r"^model\.pretrained=.*(; fetch|; give|; save|; add)"))


@pytest.mark.parametrize("name", [odd.WEIGHTS, odd.PICKLE, "of old torch"])
def test_weights_with_any_bytes_are_refused_or_whole(asked: Make, tmp_path: Path, name: str) -> None:
    """Bytes put in anywhere make it other weights; no class of error comes through."""
    ask = asked(taken(odd.both(*CUT[name])))
    file = tmp_path / "checkpoint" / (odd.WEIGHTS if name == odd.WEIGHTS else odd.PICKLE)
    whole, generator = file.read_bytes(), random.Random(name)
    for _ in range(12):
        place = generator.randrange(min(len(whole), 4000))
        file.write_bytes(whole[:place] + generator.randbytes(3) + whole[place:])
        with pytest.raises(ConfigError, match=r"^model\.pretrained=.*; \w"):
            loaded(ask())


ODD_VALUES: tuple[Any, ...] = (None, 7, -1, 1.5, "x", [], ["a"], {}, {"a": 1}, True)
FULL = odd.both(
    odd.as_transformers_saves(lambda tokenizer: None),
    odd.setting("config.json", **odd.NAMED, hidden_act="gelu", hidden_dropout_prob=0.1, layer_norm_eps=1e-12),
    odd.setting("special_tokens_map.json", cls_token="[CLS]", pad_token={"content": "[PAD]"}),
)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json"])
def test_any_value_of_a_json_file_may_be_of_any_type(asked: Make, tmp_path: Path, name: str) -> None:
    """It is refused in a line, or makes no difference that anybody would have to be told of as an error."""
    ask, file = asked(taken(FULL)), tmp_path / "checkpoint" / name
    whole = json.loads(file.read_text())
    refused = 0
    for key in whole:
        for value in random.Random(key).sample(ODD_VALUES, 4):
            file.write_text(json.dumps(whole | {key: value}))
            try:
                loaded(ask())
            except ConfigError as error:
                assert_one_line(error, Refused(r"^model\.pretrained="))
                refused += 1
    assert refused
