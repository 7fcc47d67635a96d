"""UNITER: its block, its sequences, its checkpoints and the scores it gives."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment

from babelmix.encoders import uniter
from babelmix.encoders.uniter import Regions, Uniter, UniterConfig, WordPiece, score_matrix, score_pairs, scoring
from babelmix.encoders.uniter.block import Block
from babelmix.encoders.uniter.heads import alignment_loss, hard_label_loss, soft_label_loss
from babelmix.encoders.uniter.scoring import _before_all_others
from babelmix.encoders.uniter.tokenizer import SPECIAL
from babelmix.encoders.uniter.transport import transport_distance, transport_plan
from babelmix.errors import BabelmixError, EncoderError

WORDS = ["cat", "dog", "Haus", "猫", "green", "##s", "Fluss", "."]
SMALL = UniterConfig(
    vocab_size=13, hidden_size=16, layers=2, heads=4, intermediate_size=24, region_size=6, label_size=5, max_positions=32,
    max_text=10, dropout=0.1, initial_deviation=0.3,
)  # fmt: skip
TEXTS = ["cat", "a green dog on the Haus .", "cats 猫 Fluss", "dogs . green", "Haus Haus Haus Haus", "猫"]


def small(seed: int = 0) -> Uniter:
    return Uniter(SMALL, WordPiece([*SPECIAL, *WORDS]), seed=seed).eval()


def images(count: int, seed: int = 0, labels: int = 0) -> list[Regions]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        number = int(rng.integers(1, 8))
        soft = rng.dirichlet(np.ones(labels), number).astype(np.float32) if labels else None
        features = rng.standard_normal((number, 6)).astype(np.float32)
        found.append(Regions(features, rng.random((number, 7), dtype=np.float32), soft))
    return found


# The block


def obvious_block(block: Block, hidden: torch.Tensor, heads: int, there: torch.Tensor) -> torch.Tensor:
    """One position, one head and one key at a time; only keys that are there."""

    def linear(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([(row * x).sum() for row in layer.weight]) + layer.bias

    def normal(layer: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        spread = ((x - x.mean()) ** 2).mean()
        return (x - x.mean()) / torch.sqrt(spread + 1e-12) * layer.weight + layer.bias

    attention, size = block.attention.self, hidden.shape[2] // heads
    result = []
    for sequence, present in zip(hidden, there, strict=True):
        rows = []
        for x in sequence:
            parts = []
            for h in range(heads):
                cut = slice(h * size, (h + 1) * size)
                query = linear(attention.query, x)[cut]
                kept = [y for y, is_there in zip(sequence, present, strict=True) if is_there]
                logits = torch.stack([(query * linear(attention.key, y)[cut]).sum() / math.sqrt(size) for y in kept])
                weights = torch.exp(logits) / torch.exp(logits).sum()
                parts.append(sum(w * linear(attention.value, y)[cut] for w, y in zip(weights, kept, strict=True)))
            mixed = linear(block.attention.output.dense, torch.cat(parts))
            mixed = normal(block.attention.output.LayerNorm, mixed + x)
            wide = linear(block.intermediate.dense, mixed)
            wide = wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2)))
            rows.append(normal(block.output.LayerNorm, linear(block.output.dense, wide) + mixed))
        result.append(torch.stack(rows))
    return torch.stack(result)


def test_the_block_is_what_its_definition_says() -> None:
    torch.manual_seed(0)
    config = UniterConfig(hidden_size=6, heads=2, intermediate_size=9)
    block = Block(config).double().eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    hidden = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    there = torch.tensor([[True] * 5, [True, True, True, False, False]])
    mask = torch.where(there, 0.0, -10000.0).double()[:, None, None]
    ours, theirs = block(hidden, mask), obvious_block(block, hidden, 2, there)
    torch.testing.assert_close(ours[there], theirs[there], rtol=0, atol=1e-12)
    torch.testing.assert_close(block(hidden, mask, first_only=True), ours[:, :1], rtol=0, atol=1e-12)
    weights = torch.randn_like(theirs[there])
    wanted = [hidden, *block.parameters()]
    of_ours = torch.autograd.grad((ours[there] * weights).sum(), wanted)
    of_theirs = torch.autograd.grad((theirs[there] * weights).sum(), wanted)
    for one, other in zip(of_ours, of_theirs, strict=True):
        assert one.abs().max() > 1e-3 or other.abs().max() < 1e-9  # A key's bias changes nothing.
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_what_is_padded_has_no_weight() -> None:
    block = Block(SMALL).eval()
    hidden = torch.randn(1, 4, 16)
    mask = torch.tensor([0.0, 0.0, 0.0, -10000.0])[None, None, None]
    other = hidden.clone()
    other[0, 3] = 1e3
    assert torch.equal(block(hidden, mask)[0, :3], block(other, mask)[0, :3])


# Sequences


def test_regions_follow_the_text_without_a_gap() -> None:
    model, found = small(), images(3)
    tokens = model.tokenizer.encode(TEXTS)
    with torch.no_grad():
        texts, seen = model.uniter.embed_texts(tokens), model.uniter.embed_regions(found)
        packed = model.uniter.pair(texts, seen, np.array([[1, 0], [0, 2]]))
        for number, (text, image) in enumerate([(1, 0), (0, 2)]):
            length = len(tokens[text]) + len(found[image])
            alone = [
                model.uniter.embed_texts([tokens[text]]).values,
                model.uniter.embed_regions([found[image]]).values,
            ]
            torch.testing.assert_close(packed.states[number, :length], torch.cat(alone))
            assert packed.is_text()[number].tolist() == [i < len(tokens[text]) for i in range(packed.states.shape[1])]
            assert packed.is_region()[number].sum() == len(found[image])
            assert packed.is_region()[number, len(tokens[text]) : length].all()


def test_embeddings_are_sums_that_are_normalised() -> None:
    model, (image,) = small().double(), images(1)
    body, norm = model.uniter, torch.nn.functional.layer_norm
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                torch.nn.init.normal_(module.weight)
                torch.nn.init.normal_(module.bias)
        tokens = torch.from_numpy(model.tokenizer.encode(TEXTS[:1])[0])
        e, i = body.embeddings, body.img_embeddings

        def normal(layer, x):
            return norm(x, (16,), layer.weight, layer.bias, 1e-12)

        kinds = e.token_type_embeddings.weight
        text = normal(e.LayerNorm, e.word_embeddings.weight[tokens] + e.position_embeddings.weight[:3] + kinds[0])
        features = torch.from_numpy(image.features).double()
        where = normal(i.pos_layer_norm, torch.from_numpy(image.locations).double() @ i.pos_linear.weight.T)
        for masked in (None, np.arange(len(image)) == 0):
            if masked is not None:
                features[0] = i.mask_embedding.weight[1]
            seen = normal(i.img_layer_norm, features @ i.img_linear.weight.T + i.img_linear.bias)
            torch.testing.assert_close(
                body.embed_regions([image], masked).values, normal(i.LayerNorm, seen + where + kinds[1])
            )
        torch.testing.assert_close(body.embed_texts([tokens.numpy()]).values, text)


def test_a_pair_does_not_depend_on_its_batch() -> None:
    model, found = small(), images(5)
    pairs = np.stack(np.meshgrid(np.arange(len(TEXTS)), np.arange(5)), -1).reshape(-1, 2)
    together = score_pairs(model, TEXTS, found, pairs, batch_size=len(pairs))
    assert np.ptp(together) > 0.1
    for size in (1, 4):
        np.testing.assert_allclose(score_pairs(model, TEXTS, found, pairs, batch_size=size), together, atol=2e-6)
    shuffled = np.random.default_rng(0).permutation(len(pairs))
    np.testing.assert_allclose(score_pairs(model, TEXTS, found, pairs[shuffled]), together[shuffled], atol=2e-6)
    for (text, image), score in zip(pairs, together, strict=True):
        with torch.no_grad():
            body = model.uniter
            tokens = model.tokenizer.encode([TEXTS[text]])
            packed = body.pair(body.embed_texts(tokens), body.embed_regions([found[image]]), np.array([[0, 0]]))
            assert packed.mask() is None
            assert float(model.rank(body.pool(body(packed)))) == pytest.approx(float(score), abs=2e-6)


# Tokens


def test_tokens_are_those_of_transformers() -> None:
    from transformers import BertTokenizerFast

    for lowercase in (False, True):
        ours = uniter.learn_vocabulary([*TEXTS, "lumière naïve ÉTÉ 漢字"], 60, lowercase=lowercase)
        theirs = BertTokenizerFast(
            vocab={piece: number for number, piece in enumerate(ours.pieces)}, do_lower_case=lowercase
        )
        for text in [*TEXTS, "lumière naïve ÉTÉ 漢字", "never-seen [MASK]\tZ"]:
            wanted = theirs(text.replace("[MASK]", "[ MASK ]"))["input_ids"]
            assert ours.encode([text])[0].tolist() == wanted, text


def test_a_vocabulary_survives_its_file(tmp_path) -> None:
    # Characters that end a line for Unicode, but not in a vocabulary file.
    tokenizer = WordPiece([*SPECIAL, "\x85", "a", "\u2028"])
    tokenizer.save(tmp_path / "vocab.txt")
    assert WordPiece.from_file(tmp_path / "vocab.txt").pieces == tokenizer.pieces
    (tmp_path / "vocab.txt").write_bytes("\r\n".join([*SPECIAL, "a"]).encode())
    assert WordPiece.from_file(tmp_path / "vocab.txt").pieces == (*SPECIAL, "a")


def test_learned_pieces_cover_the_texts() -> None:
    texts = [" ".join(f"w{i * j}" for j in range(5)) for i in range(60)]
    tokenizer = uniter.learn_vocabulary(texts, 50)
    assert 40 < len(tokenizer) <= 50
    assert tokenizer.pieces == uniter.learn_vocabulary(reversed(texts), 50).pieces
    assert all(tokenizer.unknown not in tokens for tokens in tokenizer.encode(texts))
    # Frequent words are one piece.
    assert len(tokenizer.encode(["w0"])[0]) == 3
    # The rarest characters are left out where there is no room.
    few = uniter.learn_vocabulary(["aaaa bbb cc d"], 9)
    assert len(few) <= 9
    assert few.encode(["d", "a"])[0].tolist()[1] == few.unknown != few.encode(["a"])[0].tolist()[1]


def test_the_same_vocabulary_in_every_process() -> None:
    code = (
        "from babelmix.encoders.uniter import learn_vocabulary\n"
        "print(learn_vocabulary(['rot grün Katze', 'blau weiß Hund', 'red cat', 'blue dog', 'green house'], 60).pieces)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert len({run.stdout for run in runs}) == 1
    assert "'cat'" in runs[0].stdout


def test_long_texts_are_cut_and_empty_ones_refused(tmp_path) -> None:
    tokenizer = WordPiece([*SPECIAL, *WORDS])
    assert [len(t) for t in tokenizer.encode(["cat " * 100, "cat"])] == [62, 3]
    assert tokenizer.encode(["cat " * 100], max_text=5)[0].tolist() == [2, 5, 5, 5, 5, 5, 3]
    with pytest.raises(EncoderError, match="text 1 is empty"):
        tokenizer.encode(["cat", " \n"])
    with pytest.raises(EncoderError, match=r"lacks \[PAD\]"):
        WordPiece(["[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    with pytest.raises(EncoderError, match="'a' twice"):
        WordPiece([*SPECIAL, "a", "b", "a"])
    with pytest.raises(EncoderError, match="absent"):
        WordPiece.from_file(tmp_path / "absent.txt")
    for texts, size in (([], 40), (TEXTS, 5)):
        with pytest.raises(EncoderError, match="vocabulary"):
            uniter.learn_vocabulary(texts, size)


# Checkpoints


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
    refused(r"has uniter.extra, which UNITER has not", **{"uniter.extra": torch.ones(2)})
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
    with pytest.raises(EncoderError, match="cannot be read as weights and nothing else"):
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


# Heads


def test_tied_heads_have_no_weight_of_their_own() -> None:
    model, states = small(), torch.randn(3, 16)
    assert model.word_logits(states).shape == (3, 13)
    assert model.region_features(states).shape == (3, 6)
    assert model.region_logits(states).shape == (3, 5)
    assert model.match(states).shape == (3, 2)
    grads = torch.autograd.grad(
        model.word_logits(states).sum() + model.region_features(states).square().sum(),
        [model.uniter.embeddings.word_embeddings.weight, model.uniter.img_embeddings.img_linear.weight],
    )
    assert all(grad.abs().max() > 0 for grad in grads)
    assert not {"cls.predictions.decoder.weight", "feat_regress.weight"} & set(model.state_dict())


@torch.no_grad()
def test_region_losses() -> None:
    soft = torch.tensor([[0.7, 0.1, 0.2], [0.2, 0.5, 0.3]])
    assert float(soft_label_loss(soft.log(), soft)) == pytest.approx(0, abs=1e-7)
    other = torch.tensor([[0.3, 0.3, 0.4], [0.2, 0.2, 0.6]])
    wanted = float((soft * (soft / other).log()).sum() / 2)
    assert float(soft_label_loss(other.log(), soft)) == pytest.approx(wanted, rel=1e-5)
    # The background is likeliest in the first row, but no target.
    wanted = -float(other.log()[[0, 1], [2, 1]].mean())
    assert float(hard_label_loss(other.log(), soft)) == pytest.approx(wanted, rel=1e-5)


# Optimal transport


@pytest.mark.parametrize("seed", range(3))
def test_transport_nears_the_exact_plan(seed) -> None:
    cost = torch.rand(2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    all_there = torch.ones(2, 6, dtype=torch.bool)
    plan = transport_plan(cost, all_there, all_there, beta=0.05, iterations=500)
    for problem, found in zip(cost, plan, strict=True):
        exact = problem[linear_sum_assignment(problem)].sum() / 6
        assert float((problem * found).sum()) == pytest.approx(float(exact), abs=1e-3)
    torch.testing.assert_close(plan.sum(2), torch.full((2, 6), 1 / 6, dtype=torch.float64), rtol=0, atol=1e-4)


def test_marginals_and_padding_of_a_plan() -> None:
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(3, 5, 7, dtype=torch.float64, generator=generator)
    sources = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]
    targets = torch.arange(7) >= torch.tensor([0, 2, 6])[:, None]
    plan = transport_plan(cost, sources, targets)
    assert (plan >= 0).all()
    assert plan.masked_select(~(sources[:, :, None] & targets[:, None])).eq(0).all()
    torch.testing.assert_close(plan.sum(1), targets.double() / targets.sum(1, keepdim=True))
    torch.testing.assert_close(plan.sum(2), sources.double() / sources.sum(1, keepdim=True), rtol=0, atol=0.02)
    # What is not there changes nothing.
    alone = transport_plan(cost[1:2, :3, 2:], sources[1:2, :3], targets[1:2, 2:])
    torch.testing.assert_close(plan[1:2, :3, 2:], alone)


def test_distance_falls_with_alignment() -> None:
    words = torch.randn(1, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    there = torch.ones(1, 4, dtype=torch.bool)
    same = transport_distance(words, words[:, [2, 0, 3, 1]] * 5, there, there)
    assert same.item() == pytest.approx(0, abs=1e-3)
    far = transport_distance(words, -words, there, there)
    assert far.item() > 0.5
    (grad,) = torch.autograd.grad(far, words)
    assert torch.isfinite(grad).all()
    assert grad.abs().max() > 0


@torch.no_grad()
def test_alignment_is_for_pairs_that_belong_together() -> None:
    model, found = small(), images(2)
    body = model.uniter
    texts, seen = body.embed_texts(model.tokenizer.encode(TEXTS[:2])), body.embed_regions(found)
    packed = body.pair(texts, seen, np.array([[0, 0], [1, 1]]))
    states = body(packed)
    distances = []
    for row in range(2):
        t, n = int(packed.text_lengths[row]), int(packed.lengths[row])
        words, regions = states[row : row + 1, :t], states[row : row + 1, t:n]
        ones = [torch.ones(1, part.shape[1], dtype=torch.bool) for part in (words, regions)]
        distances.append(float(transport_distance(words, regions, *ones)))
    both = float(alignment_loss(states, packed, torch.tensor([True, True])))
    assert both == pytest.approx(sum(distances) / 2, rel=1e-4)
    one = float(alignment_loss(states, packed, torch.tensor([True, False])))
    assert one == pytest.approx((distances[0] - distances[1]) / 2, abs=1e-5)


# Scores


def test_reranking_all_is_scoring_all() -> None:
    model, found = small(), images(5)
    full = score_matrix(model, TEXTS, found)
    assert (full.mode, full.k, full.query, full.pairs) == ("full", None, None, 30)
    pairs = np.stack(np.meshgrid(np.arange(len(TEXTS)), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(full.scores.ravel(), score_pairs(model, TEXTS, found, pairs), atol=2e-6)
    first = np.random.default_rng(0).random((len(TEXTS), 5), dtype=np.float32)
    for query, k in (("text", 5), ("image", 6), ("text", 99)):
        again = score_matrix(model, TEXTS, found, mode="rerank-topk", first_stage=first, k=k, query=query)
        assert (again.mode, again.k, again.query, again.pairs) == (
            "rerank-topk",
            min(k, 5 + (query == "image")),
            query,
            30,
        )
        np.testing.assert_allclose(again.scores, full.scores, atol=2e-6)


def test_blocks_of_texts_and_images_change_nothing(monkeypatch) -> None:
    model, found = small(), images(5)
    whole = score_matrix(model, TEXTS, found).scores
    # The last pairs name texts and images of other blocks, and some twice.
    pairs = np.array([[5, 4], [0, 0], [5, 0], [3, 2], [0, 4], [5, 4], [1, 2]])
    monkeypatch.setattr(scoring, "_TEXTS", 2)
    monkeypatch.setattr(scoring, "_IMAGES", 2)
    np.testing.assert_allclose(score_matrix(model, TEXTS, found).scores, whole, atol=2e-6)
    np.testing.assert_allclose(score_pairs(model, TEXTS, found, pairs), whole[pairs[:, 0], pairs[:, 1]], atol=2e-6)


@pytest.mark.parametrize("query", ["text", "image"])
def test_what_is_reranked_stands_first_and_all_else_in_the_first_order(query) -> None:
    model, found = small(), images(5)
    # Few values, so that there are ties, at the border too.
    first = np.random.default_rng(1).integers(0, 3, (len(TEXTS), 5)).astype(np.float32)
    full = score_matrix(model, TEXTS, found).scores
    result = score_matrix(model, TEXTS, found, mode="rerank-topk", first_stage=first, k=2, query=query)
    assert result.pairs == 2 * (len(TEXTS) if query == "text" else 5)
    if query == "image":
        first, full, scores = first.T, full.T, result.scores.T
    else:
        scores = result.scores
    for before, wanted, row in zip(first, full, scores, strict=True):
        best = np.argsort(-before, kind="stable")[:2]
        rest = np.argsort(-before, kind="stable")[2:]
        order = np.argsort(-row, kind="stable")
        assert order.tolist() == [*best[np.argsort(-wanted[best], kind="stable")], *rest]
        np.testing.assert_allclose(row[best], wanted[best], atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_law_of_order(data) -> None:
    queries, answers = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    k = data.draw(st.integers(1, answers))
    cell = st.sampled_from([-3e38, -2.0, -1.0000001, -1.0, 0.0, 1e-40, 1.0, 3e38])
    first = np.array(
        data.draw(st.lists(cell, min_size=queries * answers, max_size=queries * answers)), dtype=np.float32
    )
    first = first.reshape(queries, answers)
    best = np.stack([np.argsort(-row, kind="stable")[:k] for row in first])
    score = st.floats(-1e4, 1e4, width=32)
    read = data.draw(st.lists(score, min_size=queries * k, max_size=queries * k))
    read = np.array(read, dtype=np.float32).reshape(queries, k)
    result = _before_all_others(first, best, read)
    for before, chosen, own, row in zip(first, best, read, result, strict=True):
        rest = np.setdiff1d(np.arange(answers), chosen)
        assert np.array_equal(row[chosen], own)
        if len(rest):
            assert row[rest].max() < read.min()
            for compare in (np.less, np.equal):
                assert np.array_equal(compare.outer(row[rest], row[rest]), compare.outer(before[rest], before[rest]))


def test_the_mode_of_every_module_is_restored() -> None:
    model, found = small().train(), images(2)
    model.cls.eval()
    before = [module.training for module in model.modules()]
    once = score_matrix(model, TEXTS, found).scores
    assert [module.training for module in model.modules()] == before
    assert np.array_equal(once, score_matrix(model, TEXTS, found).scores)  # No dropout.
    with pytest.raises(EncoderError, match="text 1 is empty"):
        score_matrix(model, ["cat", ""], found)
    assert [module.training for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scores_that_cannot_be_given() -> None:
    model, found = small(), images(3)
    first = np.zeros((len(TEXTS), 3), dtype=np.float32)
    with pytest.raises(EncoderError, match="no use for first-stage"):
        score_matrix(model, TEXTS, found, first_stage=first)
    rerank = {"mode": "rerank-topk", "first_stage": first}
    for changed, match in (
        ({"first_stage": None}, "needs first-stage"),
        ({"first_stage": first.T}, r"of shape \(6, 3\), but of \(3, 6\)"),
        ({"first_stage": first + np.nan}, "not finite"),
        ({"k": 0}, "best 0 answers"),
        ({"query": "region"}, "neither"),
        ({"mode": "some"}, "no mode 'some'"),
        ({"batch_size": 0}, "a batch of 0"),
    ):
        with pytest.raises(EncoderError, match=match):
            score_matrix(model, TEXTS, found, **{**rerank, **changed})
    for texts, regions in (([], found), (TEXTS, [])):
        with pytest.raises(EncoderError, match="nothing to score"):
            score_matrix(model, texts, regions)
    for pairs, match in (
        (np.array([[0, 3]]), "pair 0 names row 3 of 3 images"),
        (np.array([[0, 0], [-1, 0]]), "pair 1 names row -1 of 6 texts"),
        (np.zeros((2, 3), dtype=int), "shape"),
        (np.zeros((2, 2)), "float64"),
    ):
        with pytest.raises(EncoderError, match=match):
            score_pairs(model, TEXTS, found, pairs)
    assert score_pairs(model, TEXTS, found, np.zeros((0, 2), dtype=np.int64)).shape == (0,)
    wide = Regions(np.ones((2, 9), dtype=np.float32), np.ones((2, 7), dtype=np.float32))
    with pytest.raises(EncoderError, match="image 3: its regions have 9 features, but the model reads 6"):
        score_pairs(model, TEXTS, [*found, wide], np.array([[0, 3]]))
    with torch.no_grad():
        model.rank_output.bias[0] = float("inf")
    with pytest.raises(EncoderError, match="not finite"):
        score_matrix(model, TEXTS, found)
