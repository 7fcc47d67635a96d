"""A fingerprint that is computed once is never that of an encoder that has changed since."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import normalizers

from babelmix.encoders import fingerprint, fingerprints, load_encoder
from babelmix.encoders.debias import debiased
from babelmix.encoders.dual import make_dual
from babelmix.encoders.fingerprints import image_fingerprint
from babelmix.training.rows import RowAdam, row_gradients
from babelmix.training.weights import average_with, averaged, copied


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """The modules whose weights are hashed."""
    hashed: list[torch.nn.Module] = []
    real = fingerprints.digest_weights

    def counting(digest, module, prefix=""):  # type: ignore[no-untyped-def]
        hashed.append(module)
        real(digest, module, prefix)

    monkeypatch.setattr(fingerprints, "digest_weights", counting)
    return hashed


def afresh(encoder: SentenceTransformer) -> str:
    """The fingerprint with nothing remembered."""
    fingerprints._digests.pop(encoder, None)
    return fingerprint(encoder)


def test_an_unchanged_encoder_is_hashed_once(tiny_bert, digests) -> None:
    encoder = load_encoder(str(tiny_bert), device="cpu")
    first = fingerprint(encoder)
    encoder.encode_query(["some text", "another"])
    assert fingerprint(encoder) == first
    assert len(digests) == 1
    other = load_encoder(str(tiny_bert), device="cpu")
    assert fingerprint(other) == first
    assert len(digests) == 2


def step(optimiser: Callable[..., torch.optim.Optimizer]) -> Callable[[SentenceTransformer], None]:
    def change(encoder: SentenceTransformer) -> None:
        parameters = [one for one in encoder.parameters() if one.requires_grad]
        for one in parameters:
            one.grad = torch.ones_like(one)
        optimiser(parameters).step()

    return change


def one_weight_through_data(encoder: SentenceTransformer) -> None:
    weight = next(encoder.parameters())
    weight.data.reshape(-1)[1234 % weight.numel()] += 0.5


def swapped_storage(encoder: SentenceTransformer) -> None:
    weight = next(encoder.parameters())
    weight.data = weight.data.flip(0).contiguous()


def through_numpy(encoder: SentenceTransformer) -> None:
    next(encoder.parameters()).detach().numpy().reshape(-1)[7] = 3.0


def prompts(encoder: SentenceTransformer) -> None:
    encoder.prompts = {"query": "look for: ", "document": ""}


def shorter(encoder: SentenceTransformer) -> None:
    encoder.max_seq_length = 5


def another_module(encoder: SentenceTransformer) -> None:
    encoder.append(torch.nn.Identity())


def lower_case(encoder: SentenceTransformer) -> None:
    encoder.tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.Strip()])


def new_token(encoder: SentenceTransformer) -> None:
    encoder.tokenizer.backend_tokenizer.add_tokens(["quokka"])


def half_of_the_start(encoder: SentenceTransformer) -> None:
    start = {name: value + 1 for name, value in copied(averaged(encoder)).items()}
    average_with(averaged(encoder), start, 0.5)


@pytest.mark.parametrize(
    "change",
    [
        step(lambda p: torch.optim.AdamW(p, lr=0.1)),
        step(lambda p: torch.optim.AdamW(p, lr=0.1, fused=True)),
        step(lambda p: torch.optim.SGD(p, lr=0.1, foreach=True)),
        one_weight_through_data, swapped_storage, through_numpy, prompts, shorter, another_module, lower_case, new_token,
        half_of_the_start,
    ],
)  # fmt: skip
def test_a_change_changes_the_fingerprint(tiny_bert, change: Callable[[SentenceTransformer], None]) -> None:
    encoder = load_encoder(str(tiny_bert), device="cpu")
    before = fingerprint(encoder)
    change(encoder)
    after = fingerprint(encoder)
    assert after != before
    assert after == afresh(encoder)


def test_training_by_rows_changes_the_fingerprint(tiny_static) -> None:
    encoder = copy.deepcopy(tiny_static)
    before = fingerprint(encoder)
    with row_gradients(encoder):
        features = encoder.tokenize(["cat"])
        optimiser = RowAdam(list(encoder.parameters()), lr=0.1)
        encoder(features)["sentence_embedding"].sum().backward()
        optimiser.step()
    assert isinstance(encoder[0], StaticEmbedding)
    assert fingerprint(encoder) == afresh(encoder) != before


def test_a_debiased_copy_has_its_own_fingerprint(tiny_static) -> None:
    texts = {"en": [f"cat {n}" for n in range(25)], "de": [f"Hund {n}" for n in range(25)]}
    before = fingerprint(tiny_static)
    found = debiased(tiny_static, texts)
    assert fingerprint(found) == afresh(found) != before
    assert fingerprint(tiny_static) == before


def test_pictures_have_a_fingerprint_that_is_kept_too(digests) -> None:
    encoder = make_dual("tiny-clip", ["a dog", "ein Hund"], dimension=8, size=60)
    first = image_fingerprint(encoder)
    hashed = len(digests)
    assert image_fingerprint(encoder) == first
    assert len(digests) == hashed
    next(module for module in encoder[0].sub_modules["image"].parameters()).data.reshape(-1)[0] += 1
    assert image_fingerprint(encoder) != first


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8])
@pytest.mark.parametrize("size", [0, 1, 3, 8, 1001])
def test_any_bit_counts(kind: torch.dtype, size: int) -> None:
    tensor = torch.ones(size + 1, dtype=kind)
    before = fingerprints._sums_of_bits(tensor[1:])
    assert before == fingerprints._sums_of_bits(tensor[1:].clone())
    for place in {0, size // 2, size - 1} if size else ():
        changed = tensor[1:].clone()
        changed[place] = 2
        assert fingerprints._sums_of_bits(changed) != before
