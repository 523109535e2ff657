"""Any encoder: its checkpoints load whole or not at all, its structure is told by itself, every subset works on it."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from compress import experiment
from compress.artifact import plain, store
from compress.cli import main
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config, document
from compress.errors import ConfigError
from compress.methods.factorize import rank_of
from compress.model import architecture, encoder
from compress.model.pretrained import check_fit, read_weights
from compress.model.structure import Structure, structure, takes
from compress.training.checkpoint import Stopped
from compress.training.reporting import Reporter
from launch import cost
from tests import families
from tests.odd_inputs import Values, changed

METHODS = {"quantize": "int8", "distill": "kd", "prune": "magnitude", "factorize": "svd"}
SUBSETS = [subset for size in range(len(METHODS) + 1) for subset in itertools.combinations(METHODS, size)]
STEPS = 4
PREFIXES = {"modernbert": "model", "deberta-v2": "deberta"}  # of the base model, where it is not the family's name
EMBEDDINGS = {"distilbert": 2, "deberta-v2": 1, "modernbert": 1}  # that ids are looked up in, where not three
SHARING = {"deberta-v2": 2, "modernbert": 0}  # Linear layers of a block's attention that read the same, where not three

Checkpoint = Callable[[str], Path]
Configured = Callable[..., Config]


@pytest.fixture(params=families.CONFIGS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight rows of RTE; checkpoints, and what is trained of them, are put beside them."""
    folder = tmp_path_factory.mktemp("encoders")
    (folder / "data" / "rte").mkdir(parents=True)
    texts = {
        "sentence1": ["The teacher repaired the car.", "A lawyer sold bread"],
        "sentence2": ["the car was mended", "soup was bought by a lawyer in the market"],
    }
    table = pa.table({name: column * 4 for name, column in texts.items()} | {"label": [0, 1] * 4})
    for split in ("train", "validation"):
        pq.write_table(table, folder / "data" / "rte" / f"{split}.parquet")
    return folder


@pytest.fixture
def checkpoint(place: Path) -> Checkpoint:
    """A function of a family that gives a checkpoint as they are published."""

    def made(family: str) -> Path:
        folder = place / family
        return folder if folder.exists() else families.checkpoint(folder, family)

    return made


@pytest.fixture(scope="session")
def values(cache: Path, place: Path) -> Callable[[tuple[str, ...]], Values]:
    """A function of a subset that gives a configuration with it, of any checkpoint and teacher."""

    @lru_cache
    def composed(subset: tuple[str, ...]) -> Values:
        words = [
            "model=pretrained", "model.pretrained=some/one", "task=rte", f"data.path={place / 'data'}", "train=demo",
            f"train.max_steps={STEPS}", "train.batch_size=4", "train.learning_rate=1e-2", "tracking=none", "device=cpu",
            "data.max_length=32", f"paths.runs={place / 'runs'}",
            *(f"{method}={METHODS[method]}" for method in subset),
            *(["distill.weak_teacher=true", "distill.copies=0"] if "distill" in subset else []),
            *(["prune.spare_new=false"] if "prune" in subset else []),
        ]  # fmt: skip
        return document(next(compositions(words, conf_folder(), multirun=False)))

    return composed


@pytest.fixture
def configured(values: Callable[[tuple[str, ...]], Values]) -> Configured:
    """A function of a checkpoint's folder, a subset and other settings that gives an experiment.

    The teacher is the checkpoint itself, uncompressed.
    """
    torch.set_num_threads(1)

    def made(folder: Path, subset: tuple[str, ...] = (), **settings: Any) -> Config:
        teacher = {"distill.teacher": str(folder)} if "distill" in subset else {}
        given = {name.replace("__", "."): value for name, value in settings.items()}
        return changed({**values(subset), "teacher": None}, {"model.pretrained": str(folder), **teacher, **given})

    return made


def weights_of(config: Config) -> bytes:
    return (identity.run_folder(config) / "artifact" / "model.safetensors").read_bytes()


def stop_at(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    """Ask training to stop at a step, once."""
    real, left = Reporter.progress, [wanted]

    def progress(self: Reporter, step: int, total: int, loss: float | None) -> None:
        real(self, step, total, loss)
        if self.unit == "step" and step in left:
            left.remove(step)
            os.kill(os.getpid(), signal.SIGUSR2)

    monkeypatch.setattr(Reporter, "progress", progress)


@pytest.mark.parametrize("subset", SUBSETS, ids=lambda subset: "+".join(subset) or "none")
def test_every_subset_trains_resumes_and_reloads(
    family: str,
    subset: tuple[str, ...],
    checkpoint: Checkpoint,
    configured: Configured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scores are those of training, the file has the bytes that arithmetic says, and a stopped run ends alike."""
    config = configured(checkpoint(family), subset)
    result = experiment.run(config)
    assert set(result.methods) == set(subset)
    assert result.metrics == result.metrics_training
    whole = weights_of(config)
    assert len(whole) == result.size.artifact_bytes
    assert data_bytes(whole) == expected_bytes(families.model(family), config)

    stop_at(monkeypatch, STEPS // 2)
    with pytest.raises(Stopped):
        experiment.run(replace(config, force=True))
    again = experiment.run(config)
    assert (again.timing.resumed, result.timing.resumed) == (1, 0)
    assert weights_of(config) == whole
    assert again.size == result.size


def test_the_first_layers_are_a_model_of_their_own(
    family: str, checkpoint: Checkpoint, configured: Configured, tmp_path: Path
) -> None:
    """It computes what the checkpoint computes up to there, trains with every method, and is another experiment."""
    subset = tuple(METHODS)
    whole, cut = (configured(checkpoint(family), subset, model__first_layers=count) for count in (None, 1))
    assert identity.run_id(whole) == identity.run_id(configured(checkpoint(family), subset))
    assert identity.run_id(cut) != identity.run_id(whole)
    assert (encoder.label(whole.model), encoder.label(cut.model)) == (family, f"{family}-first1")

    tokenizer = experiment.load_tokenizer(whole)
    models = [experiment.build_model(config, tokenizer)[0].eval() for config in (whole, cut)]
    assert [len(structure(model).blocks) for model in models] == [1 if family == "albert" else 2, 1]
    written = [outputs_of_blocks(model) for model in models]
    assert len(written[0]) == 2
    assert len(written[1]) == 1
    torch.testing.assert_close(written[0][0][:, 0], written[1][0][:, 0], rtol=1e-4, atol=1e-4)  # all of a last block

    result = experiment.run(cut)
    assert result.metrics == result.metrics_training
    assert "of the checkpoint only the first 1 layer" in result.notes
    smaller = sum(p.numel() for p in models[0].parameters()) - sum(p.numel() for p in models[1].parameters())
    assert (smaller == 0) == (family == "albert")  # whose layers are one, gone through again
    assert result.size.parameters < sum(p.numel() for p in models[0].parameters()) or family == "albert"


def outputs_of_blocks(model: PreTrainedModel) -> list[torch.Tensor]:
    """What the blocks give for a text, one after the other."""
    given: list[torch.Tensor] = []
    for name in structure(model).blocks:
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: given.append(output[0] if isinstance(output, tuple) else output)
        )
    ids = torch.arange(5, 12)[None]
    with torch.inference_mode():
        model.base_model(ids, attention_mask=torch.ones_like(ids))
    return given


@pytest.mark.parametrize("spared", [True, False])
def test_pruning_may_spare_what_no_checkpoint_brought(
    family: str, spared: bool, checkpoint: Checkpoint, configured: Configured
) -> None:
    """A new pooler, or a head's own; of a model from scratch all is new, and all matrices are pruned."""
    settings = {"prune__spare_new": spared, "prune__sparsity": 0.5, "prune__scope": "layer"}
    config = configured(checkpoint(family), ("factorize", "prune"), **settings)
    one, other = (drawn(config, seed) for seed in (0, 1))
    new = {name for name in one if not torch.equal(one[name].weight, other[name].weight)}
    assert len(new) == (family in ("bert", "albert"))  # the others' poolers belong to the head, which is not pruned
    experiment.run(config)
    pruned = {
        name: bool((layer.weight == 0).any())
        for name, layer in plain.matrices(store.load(identity.run_folder(config) / "artifact")).items()
    }
    assert pruned == {name: not (spared and name.startswith(tuple(new))) for name in pruned}


def drawn(config: Config, seed: int) -> dict[str, nn.Linear]:
    """The matrices of a model that is about to be trained, the new ones drawn with a seed."""
    torch.manual_seed(seed)
    return plain.matrices(experiment.build_model(config, experiment.load_tokenizer(config))[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model__first_layers": 3}, "model.first_layers=3: the checkpoint {folder} has 2; must be from 1 to 2"),
        ({"model__first_layers": 1, "model__pretrained": None}, "give model.layers instead"),
        ({"model__first_layers": 0}, "model.first_layers=0: must be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_layers_that_are_not_there_cannot_be_kept(
    checkpoint: Checkpoint, configured: Configured, settings: dict[str, Any], said: str
) -> None:
    folder = checkpoint("bert")
    sizes = {"layers": 2, "hidden": 16, "heads": 2, "intermediate": 32, "positions": 130, "dropout": 0.1,
             "initializer_range": 0.02, "tokenizer": str(folder)}  # fmt: skip
    scratch = {f"model__{key}": value for key, value in sizes.items()} if "model__pretrained" in settings else {}
    with pytest.raises(ConfigError, match=re.escape(said.format(folder=folder))):
        configured(folder, **scratch, **settings)


def data_bytes(file: bytes) -> int:
    """Of a safetensors file: all behind its header."""
    return len(file) - 8 - int.from_bytes(file[:8], "little")


def expected_bytes(model: PreTrainedModel, config: Config) -> int:
    """What a plain model's tensors take when they are compressed so."""
    told = structure(model)
    methods: dict[str, Any] = config.methods
    is_int8 = "quantize" in methods
    number, total = (1 if is_int8 else 4), 0
    for name, module in model.named_modules():
        if type(module) is nn.Linear:
            for rows, columns in shapes(module, name, told, config):
                total += (4 * rows + 4 + 4) * is_int8  # scales, and the input's scale and zero point
                count = rows * columns
                if name in told.matrices and "prune" in methods:
                    total += math.ceil(count / 8)
                    count -= round(methods["prune"].sparsity * count)
                total += count * number
            total += 0 if module.bias is None else 4 * len(module.bias)
        elif isinstance(module, nn.Embedding) and name in told.embeddings:
            total += module.weight.numel() * number + 4 * len(module.weight) * is_int8
        else:
            total += sum(4 * parameter.numel() for parameter in module.parameters(recurse=False))
    return total


def shapes(linear: nn.Linear, name: str, told: Structure, config: Config) -> list[tuple[int, int]]:
    """Of a Linear's matrices: its own, or those of its two factors."""
    outputs, inputs = linear.weight.shape
    method: Any = config.methods.get("factorize") if name in told.matrices else None
    rank = method and rank_of(method.rank, outputs, inputs)
    return [(outputs, inputs)] if rank is None else [(rank, inputs), (outputs, rank)]


@pytest.mark.parametrize("head", ["none", "masked", "classes"])
def test_a_checkpoint_computes_what_it_computes_in_transformers(
    family: str, head: families.Head, configured: Configured, tmp_path: Path
) -> None:
    """Whatever head it has, and so whatever stands before its names; what is not the encoder's is told."""
    folder = families.checkpoint(tmp_path / "checkpoint", family, head)
    config, reference = configured(folder), families.model(family, head)
    ours, start = experiment.build_model(config, experiment.load_tokenizer(config))
    base = f"{ours.base_model_prefix}."
    assert start.prefix == ("" if head == "none" else base)
    assert start.new[0] == "head"
    assert all(not name.startswith(base) or ".pooler." in name for name in start.unused)
    ids = torch.randint(5, 100, (3, 17), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = (reference if head == "none" else reference.base_model)(ids)[0]
        states = ours.base_model.eval()(ids)[0]  # of the first token, where the head reads that one alone
    assert torch.allclose(states, theirs[:, : states.shape[1]], rtol=0, atol=1e-6 * float(theirs.abs().max()))


def test_a_head_for_the_tasks_classes_is_kept(family: str, configured: Configured, tmp_path: Path) -> None:
    names = {0: "entailment", 1: "not_entailment"}
    changes: dict[str, Any] = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    folder = families.checkpoint(tmp_path / "checkpoint", family, "classes", **changes)
    config, reference = configured(folder), families.model(family, "classes", **changes)
    ours, start = experiment.build_model(config, experiment.load_tokenizer(config))
    assert (start.new, start.unused) == ([], [])
    ids = torch.randint(5, 100, (3, 17), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, expected = ours.eval()(ids).logits, reference(ids).logits
    assert torch.allclose(logits, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_every_tensor_of_an_encoder_must_be_there_and_of_its_shape(
    family: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder, what = shutil.copytree(checkpoint(family), tmp_path / "checkpoint"), "model.pretrained=some/one"
    whole, layout = load_file(folder / "model.safetensors"), architecture.layout(families.config(family))
    check_fit(read_weights(folder, layout, what).tensors, layout, what)
    for name in layout.encoder:
        for state, told in (
            ({key: value for key, value in whole.items() if key != name}, "must hold one encoder|1 of its .* missing"),
            (whole | {name: torch.cat([whole[name], whole[name][:1]])}, "has the shape"),
            (whole | {name: whole[name] * torch.nan}, "holds NaN"),
        ):
            save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
            with pytest.raises(ConfigError, match=rf"^model\.pretrained=.*({told})"):
                check_fit(read_weights(folder, layout, what).tensors, layout, what)


def test_the_artifact_makes_the_same_tokens(family: str, checkpoint: Checkpoint, configured: Configured) -> None:
    config = configured(checkpoint(family))
    experiment.run(config)
    ours = experiment.load_tokenizer(config)
    stored = AutoTokenizer.from_pretrained(identity.run_folder(config) / "artifact")
    for texts in (["The teacher repaired the car"], ["Café 電影 x", "was it?"]):
        made, again = ours(*texts)["input_ids"], stored(*texts)["input_ids"]
        assert made == again
        assert (made[0], made[-1]) == (ours.cls_token_id, ours.sep_token_id)


def test_an_empty_model_has_the_buffers_of_one_with_weights(family: str) -> None:
    before = torch.get_rng_state()
    empty, filled = encoder.empty(families.config(family)), families.model(family)
    assert torch.equal(torch.get_rng_state(), before)
    buffers = dict(filled.named_buffers())
    assert dict(empty.named_buffers()).keys() == buffers.keys()
    assert all(torch.equal(value, buffers[name]) for name, value in empty.named_buffers())
    empty.load_state_dict(filled.state_dict())
    ids = torch.arange(2, 20)[None]
    with torch.inference_mode():
        assert torch.equal(empty(ids).logits, filled(ids).logits)


def test_the_longest_text_is_taken_and_a_longer_one_refused(
    family: str, checkpoint: Checkpoint, configured: Configured
) -> None:
    longest = families.POSITIONS - (2 if family in ("roberta", "mpnet") else 0)
    assert architecture.longest(families.config(family)) == longest
    families.model(family)(torch.full((1, longest), 7))
    config = configured(checkpoint(family), data__max_length=longest)
    tokenizer = experiment.load_tokenizer(config)
    experiment.build_model(config, tokenizer)
    longer = replace(config, data=replace(config.data, max_length=longest + 1))
    with pytest.raises(ConfigError, match=rf"^data.max_length={longest + 1}: the longest .* takes is {longest}; must"):
        experiment.build_model(longer, tokenizer)


def test_a_model_is_given_what_it_takes(family: str) -> None:
    typed = family in ("bert", "roberta", "electra", "albert")
    assert takes(families.model(family)) == ("input_ids", "attention_mask", "token_type_ids")[: 2 + typed]


def test_matrices_are_the_linear_layers_of_the_blocks_and_the_base_models_pooler(family: str) -> None:
    model = families.model(family)
    told = structure(model)
    inside = [name for name in told.matrices if name.startswith(tuple(f"{block}." for block in told.blocks))]
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert inside == [name for name in linears if ".layer" in name or "_layers" in name]
    assert set(told.matrices) - set(inside) == set(told.head) & {"bert.pooler.dense", "albert.pooler"}
    assert len(told.blocks) == (1 if family == "albert" else 2)  # ALBERT's layers have their weights in common
    assert len(told.head) == 2
    assert len(told.embeddings) == EMBEDDINGS.get(family, 3)


def test_layers_that_share_an_input_read_the_same_values(family: str) -> None:
    model = families.model(family).eval()
    told = structure(model)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda m, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
    model(torch.arange(2, 12)[None])
    for group in told.shared_inputs:
        first, *others = (seen[name] for name in group)
        assert all(len(other) == len(first) and all(map(torch.equal, first, other)) for other in others)
    count = SHARING.get(family, 3)
    assert [len(group) for group in told.shared_inputs] == [count] * len(told.blocks) * bool(count)


def test_every_parameter_has_a_part_also_when_its_layer_is_replaced(family: str) -> None:
    model = families.model(family)
    told = structure(model)
    base, head = f"{PREFIXES.get(family, family)}.", []
    for name, _ in [*model.named_parameters(), *model.named_buffers()]:
        part = told.part(name)
        assert (part == "encoder") == (".layer" in name or "albert_layers" in name or "final_norm" in name), name
        assert (part == "head") == (".pooler" in name or not name.startswith(base)), name
        head += [name] if part == "head" else []
    assert head
    assert {
        told.part(f"{name}.first.weight_scale") for name in told.matrices if told.part(f"{name}.weight") == "encoder"
    } == {"encoder"}


def test_no_random_number_is_drawn_and_nothing_stays_behind(family: str) -> None:
    model = families.model(family).train()
    before = torch.get_rng_state()
    assert structure(model) == structure(model.eval())
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("family", ["squeezebert", "funnel-without-layers"])
def test_what_cannot_be_told_is_refused_in_a_line(family: str) -> None:
    kind, changes = ("squeezebert", {}) if family == "squeezebert" else ("bert", {"num_hidden_layers": 0})
    config = AutoConfig.for_model(kind, **(families.SIZES | changes), embedding_size=16, q_groups=1, k_groups=1)
    with pytest.raises(ConfigError, match=r"^model: \w+ has no list of equal layers .*: nothing to compress; choose"):
        structure(AutoModelForSequenceClassification.from_config(config))


OTHERS = {  # kinds of models that are no encoders of texts, small ones of them
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 300, "n_positions": 64},
    "llama": families.SIZES | {"vocab_size": 300},
    "t5": {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32, "d_kv": 8, "vocab_size": 300},
    "bart": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 300},
    "vit": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_encoder_ends_in_one_line(
    kind: str, place: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decoder, an encoder with a decoder, a model of images: exit code 2 before anything is written."""
    folder = families.checkpoint(tmp_path / kind, "roberta")
    AutoModel.from_config(AutoConfig.for_model(kind, **OTHERS[kind])).save_pretrained(folder)
    capsys.readouterr()
    words = ["model=pretrained", f"model.pretrained={folder}", "task=rte", f"data.path={place / 'data'}"]
    assert main([*words, "data.max_length=16", f"paths.runs={tmp_path / 'runs'}", "tracking=none"]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert re.match(
        rf"error: model\.pretrained=.*: its model_type is {kind}(, an encoder with a decoder)?; must be ", told
    )
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_that_does_not_say_its_type_is_told_it(configured: Configured, tmp_path: Path) -> None:
    """It is taken for BERT otherwise; a type that contradicts config.json is refused."""
    folder = families.checkpoint(tmp_path / "silent", "distilbert")
    described = json.loads((folder / "config.json").read_text())
    silent = {name: value for name, value in described.items() if name != "model_type"}
    (folder / "config.json").write_text(json.dumps(silent))
    with pytest.raises(ConfigError, match=r"hidden_size in its config\.json is null; must be"):
        experiment.load_tokenizer(configured(folder))
    told = configured(folder, model__type="distilbert")
    model, _ = experiment.build_model(told, experiment.load_tokenizer(told))
    assert model.config.model_type == "distilbert"
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=r"^model\.type=bert: config\.json says \"distilbert\"; leave"):
        configured(folder, model__type="bert")
    with pytest.raises(ConfigError, match=r"^model\.type=bort: config\.json says"):
        configured(folder, model__type="bort")


def test_the_type_counts_where_it_is_given_alone(checkpoint: Checkpoint, configured: Configured) -> None:
    """An experiment's identity is as it was before there was such a key."""
    config = configured(checkpoint("bert"))
    assert "type" not in encoder.identity(config.model, builds_vocabulary=False)
    told = configured(checkpoint("bert"), model__type="bert")
    assert encoder.identity(told.model, builds_vocabulary=False)["type"] == "bert"


def test_padding_that_positions_do_not_count_from_is_refused(configured: Configured, tmp_path: Path) -> None:
    folder = families.checkpoint(tmp_path / "other", "roberta", pad_token_id=0)
    config = configured(folder)
    with pytest.raises(ConfigError, match=r"positions count from behind padding's id, 0 by .*, but 1 by .*; "):
        experiment.build_model(config, experiment.load_tokenizer(config))


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
def test_dropout_and_deviation_are_the_configured_ones(
    family: str, checkpoint: Checkpoint, configured: Configured
) -> None:
    config = configured(checkpoint(family), model__dropout=0.25, model__initializer_range=0.5)
    model, _ = experiment.build_model(config, experiment.load_tokenizer(config))
    blocks = [model.get_submodule(name) for name in structure(model).blocks]
    rates = {module.p for block in blocks for module in block.modules() if isinstance(module, nn.Dropout)}
    assert rates == {0.25}
    assert 0.1 < model.get_submodule(structure(model).head[-1]).weight.std() < 1  # type: ignore[operator]


def test_what_a_plan_says_of_a_checkpoints_size(family: str, checkpoint: Checkpoint) -> None:
    shape = cost._checkpoint_shape(checkpoint(family))
    assert (shape["layers"], shape["hidden"], shape["intermediate"]) == (2, 16, 32)
