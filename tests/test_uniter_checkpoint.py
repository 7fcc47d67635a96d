"""UNITER's published checkpoints, our own folders, and configurations."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_uniter import SMALL, WORDS, small

from babelmix.encoders import uniter
from babelmix.encoders.uniter import UniterConfig, WordPiece
from babelmix.encoders.uniter.tokenizer import SPECIAL
from babelmix.errors import BabelmixError, EncoderError


def published(path: Path, kind: str, *, old: bool = False, prefix: str = "") -> dict[str, torch.Tensor]:
    """Write a checkpoint with the published names, made here by hand, and give what is in it."""
    rng = torch.Generator().manual_seed(7)

    def new(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(shape, generator=rng)

    state: dict[str, torch.Tensor] = {}

    def linear(name: str, out: int, into: int) -> None:
        state.update({f"{name}.weight": new(out, into), f"{name}.bias": new(out)})

    def norm(name: str) -> None:
        weight, bias = ("gamma", "beta") if old else ("weight", "bias")
        state.update({f"{name}.{weight}": new(16), f"{name}.{bias}": new(16)})

    for name, rows in (("word", 13), ("position", 32), ("token_type", 2)):
        state[f"uniter.embeddings.{name}_embeddings.weight"] = new(rows, 16)
    norm("uniter.embeddings.LayerNorm")
    linear("uniter.img_embeddings.img_linear", 16, 6)
    linear("uniter.img_embeddings.pos_linear", 16, 7)
    for name in ("img_layer_norm", "pos_layer_norm", "LayerNorm"):
        norm(f"uniter.img_embeddings.{name}")
    state["uniter.img_embeddings.mask_embedding.weight"] = new(2, 6)
    for layer in range(2):
        at = f"uniter.encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            linear(f"{at}.attention.self.{name}", 16, 16)
        linear(f"{at}.attention.output.dense", 16, 16)
        norm(f"{at}.attention.output.LayerNorm")
        linear(f"{at}.intermediate.dense", 24, 16)
        linear(f"{at}.output.dense", 16, 24)
        norm(f"{at}.output.LayerNorm")
    linear("uniter.pooler.dense", 16, 16)
    linear("itm_output", 2, 16)
    if kind == "fine-tuned":
        linear("rank_output", 1, 16)
    else:
        linear("cls.predictions.transform.dense", 16, 16)
        norm("cls.predictions.transform.LayerNorm")
        state["cls.predictions.bias"] = new(13)
        state["cls.predictions.decoder.weight"] = state["uniter.embeddings.word_embeddings.weight"]
        for head in ("feat_regress", "region_classifier"):
            linear(f"{head}.net.0", 16, 16)
            norm(f"{head}.net.2")
        linear("region_classifier.net.3", 5, 16)
        state["feat_regress.weight"] = state["uniter.img_embeddings.img_linear.weight"]
        state["feat_regress.bias"] = new(6)
    state = {prefix + name: tensor for name, tensor in state.items()}
    write(path, state)
    return state


def write(path: Path, state: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """A configuration in the published style, and a vocabulary."""
    values = {
        "attention_probs_dropout_prob": 0.0, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 16,
        "initializer_range": 0.02, "intermediate_size": 24, "max_position_embeddings": 32, "num_attention_heads": 4,
        "num_hidden_layers": 2, "type_vocab_size": 2, "vocab_size": 13, "region_size": 6, "label_size": 5, "max_text": 10,
    }  # fmt: skip
    (tmp_path / "base.json").write_text(json.dumps(values))
    WordPiece([*SPECIAL, *WORDS]).save(tmp_path / "vocab.txt")
    return tmp_path / "base.json", tmp_path / "vocab.txt"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", ["pre-trained", "fine-tuned"])
def test_published_names_load(suffix, kind, tmp_path, files) -> None:
    plain = published(tmp_path / f"plain{suffix}", kind)
    model = uniter.load_checkpoint(tmp_path / f"plain{suffix}", *files)
    assert not model.training
    assert (model.config.layers, model.config.attention_dropout, model.config.max_positions) == (2, 0.0, 32)
    own = model.state_dict()
    assert {name for name in plain if name not in own} <= {"cls.predictions.decoder.weight", "feat_regress.weight"}
    for name in own:
        if name in plain:
            assert torch.equal(own[name], plain[name]), name
    published(tmp_path / f"old{suffix}", kind, old=True, prefix="module.")
    old = uniter.load_checkpoint(tmp_path / f"old{suffix}", *files)
    assert all(torch.equal(tensor, own[name]) for name, tensor in old.state_dict().items() if name in plain)
    if kind == "fine-tuned":
        assert torch.equal(model.rank_output.weight, plain["rank_output.weight"])
        assert not torch.equal(model.rank_output.weight, model.itm_output.weight[1:])
        assert model.new_heads == ("cls", "feat_regress", "region_classifier")
    else:
        assert torch.equal(model.rank_output.weight, plain["itm_output.weight"][1:])
        assert torch.equal(model.rank_output.bias, plain["itm_output.bias"][1:])
        assert model.new_heads == ()


def test_the_ranking_head_is_a_copy() -> None:
    model = small()
    before = model.itm_output.weight.clone()
    with torch.no_grad():
        model.rank_output.weight += 1
    assert torch.equal(model.itm_output.weight, before)
    model.initialise_ranking()
    assert torch.equal(model.rank_output.weight, before[1:])


def test_checkpoints_that_do_not_fit_are_refused(tmp_path, files) -> None:
    path = tmp_path / "model.pt"
    whole = published(path, "pre-trained")
    embeddings = "uniter.embeddings.word_embeddings.weight"

    def refused(match: str, **changes: torch.Tensor | None) -> None:
        state = {name: tensor for name, tensor in {**whole, **changes}.items() if tensor is not None}
        write(path, state)
        with pytest.raises(EncoderError, match=match):
            uniter.load_checkpoint(path, *files)

    refused(r"lacks uniter.pooler.dense.bias;", **{"uniter.pooler.dense.bias": None})
    refused(r"lacks feat_regress.bias;", **{"feat_regress.bias": None})
    refused(r"has uniter.extra, which UNITER does not have", **{"uniter.extra": torch.ones(2)})
    refused(r"neither itm_output nor rank_output", **{"itm_output.weight": None, "itm_output.bias": None})
    refused(
        r"itm_output.bias: has shape \(3,\), but the configuration says \(2,\)", **{"itm_output.bias": torch.ones(3)}
    )
    refused(r"decoder.weight: is not the same", **{embeddings: torch.ones(13, 16)})
    refused("not finite", **{"itm_output.bias": torch.tensor([0.0, float("nan")])})
    refused("twice", **{"module.itm_output.bias": torch.zeros(2)})
    torch.save({"model": whole}, path)
    with pytest.raises(EncoderError, match="'model': is not a tensor"):
        uniter.load_checkpoint(path, *files)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(EncoderError, match="cannot be read"):
        uniter.load_checkpoint(path, *files)
    with pytest.raises(EncoderError, match="cannot be read"):
        uniter.load_checkpoint(tmp_path / "absent.safetensors", *files)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_checkpoint_cannot_run_anything(how, tmp_path, files) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "trace"
    state = published(path, "pre-trained") | {"extra": Malicious(trace)}
    if how == "torch":
        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(trace)))
    with pytest.raises(EncoderError, match="cannot be read as weights only"):
        uniter.load_checkpoint(path, *files)
    assert not trace.exists()


def test_a_folder_is_read_as_it_was_written(tmp_path) -> None:
    model = small()
    uniter.save(model, tmp_path / "model")
    assert {f.name for f in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors", "vocab.txt"}
    again = uniter.load(tmp_path / "model")
    assert again.config == model.config
    assert again.tokenizer.pieces == model.tokenizer.pieces
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in again.state_dict().items())
    uniter.save(small(1), tmp_path / "model")
    assert not torch.equal(uniter.load(tmp_path / "model").rank_output.weight, model.rank_output.weight)
    (tmp_path / "model" / "vocab.txt").unlink()
    with pytest.raises(EncoderError, match=r"no vocab\.txt"):
        uniter.load(tmp_path / "model")


def test_other_folders_are_not_replaced(tmp_path) -> None:
    for name in ("bert", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    for name in ("bert", "notes"):
        before = {f.name: f.read_text() for f in (tmp_path / name).iterdir()}
        with pytest.raises(BabelmixError, match="would be lost"):
            uniter.save(small(), tmp_path / name)
        assert {f.name: f.read_text() for f in (tmp_path / name).iterdir()} == before


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"hidden_size": 10, "num_attention_heads": 4}, "evenly"),
        ({"num_locs": 5}, "'num_locs' is no setting"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"layers": 2, "num_hidden_layers": 2}, "twice"),
        ({"layers": 0}, "layers of a UNITER model is 0"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_positions": 61}, "do not fit in 61 positions"),
    ],
)
def test_configurations_that_are_wrong(values, match, tmp_path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(values))
    with pytest.raises(EncoderError, match=match) as raised:
        UniterConfig.from_json(tmp_path / "c.json")
    assert "c.json" in str(raised.value)


def test_configurations_survive_their_file(tmp_path) -> None:
    SMALL.to_json(tmp_path / "c.json")
    assert UniterConfig.from_json(tmp_path / "c.json") == SMALL
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(EncoderError, match="no JSON object"):
        UniterConfig.from_json(tmp_path / "c.json")
