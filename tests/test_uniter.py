"""UNITER: its block, its sequences, its tokens and its heads."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from babelmix.encoders import uniter
from babelmix.encoders.uniter import Regions, Uniter, UniterConfig, WordPiece, score_pairs
from babelmix.encoders.uniter.block import Block
from babelmix.encoders.uniter.heads import alignment_loss, hard_label_loss, soft_label_loss
from babelmix.encoders.uniter.tokenizer import SPECIAL
from babelmix.encoders.uniter.transport import transport_distance, transport_plan
from babelmix.errors import EncoderError

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


@pytest.mark.slow
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
