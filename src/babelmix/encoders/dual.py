"""Make dual encoders: a text tower beside an image tower, in one `SentenceTransformer`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from sentence_transformers.util import get_device_name
from torch.nn import Identity

from babelmix._progress import quiet_transformers
from babelmix.encoders import image_tower, lite_offline, static, unigram
from babelmix.encoders.composing import composing
from babelmix.encoders.kinds import LEARNING_RATE, kind_named
from babelmix.encoders.known import LITE_OFFLINE, TINY, TINY_CLIP
from babelmix.encoders.opening import open_encoder
from babelmix.encoders.own_kinds import is_dual_name
from babelmix.encoders.token_memory import TokenMemory
from babelmix.encoders.towers import is_dual, join_towers, tower_of, with_image_tower
from babelmix.errors import EncoderError, TrainingError

LONGEST = 64
"""Length limit of a tiny text tower, in tokens."""
WIDTH = 128
"""Hidden size of a tiny text tower."""
LAYERS = 2
"""Layers of a tiny text tower."""
RANDOM_LEARNING_RATE = 1e-3
"""The default learning rate of towers with random weights."""
VOCABULARY = 8_000
"""The largest number of pieces in the vocabulary of a tiny text tower."""


def make_dual(
    name: str,
    texts: Iterable[str],
    *,
    dimension: int = 128,
    size: int = VOCABULARY,
    seed: int = 0,
    trust_code: bool = False,
) -> SentenceTransformer:
    """Make a dual encoder of two towers. Layers without trained weights are random.

    Args:
        name: `IMAGE+TEXT`. IMAGE is `tiny`, `lite0-offline`, or a CLIP or SigLIP model or a dual encoder, by hub name or folder.
            TEXT is `tiny`, `static`, or any encoder of texts. `tiny-clip` is `tiny+tiny`.
        texts: training texts. A vocabulary is learned from them if the text tower has none.
        dimension: dimension of the embeddings, if the image tower leaves it open.
        size: the largest number of pieces of a learned vocabulary.
        seed: the seed of random weights.
        trust_code: run code that a tower's model contains or names; see `load_encoder`.

    Returns:
        The encoder, on the best device. Its embeddings have length one.

    Raises:
        EncoderError: a tower cannot be loaded.
        MissingExtraError: Pillow is not installed.

    Examples:
        >>> encoder = make_dual("tiny-clip", ["a dog", "ein Hund"], dimension=8, size=60)
        >>> encoder.encode(["a dog"]).shape
        (1, 8)

    """
    image_name, text_name = towers_named(name)
    if not image_name or not text_name:
        raise EncoderError(f"{name!r} names one tower; write IMAGE+TEXT, as in  tiny+static")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = (
            image_tower.tiny_tower(dimension=dimension) if image_name == TINY else _image_tower(image_name, trust_code)
        )
        text, prompts = _text_tower(text_name, texts, size, image_tower.dimension_of(image), trust_code)
    # Random weights are drawn on the CPU, so that they are the same on every device.
    return join_towers(image, text, prompts).to(get_device_name())


def towers_named(name: str) -> tuple[str, str]:
    """Split the name of a dual encoder into the names of the image tower and the text tower."""
    image, _, text = (f"{TINY}+{TINY}" if name == TINY_CLIP else name).partition("+")
    return image, text


def initialise(encoder: SentenceTransformer, name: str, seed: int) -> None:
    """Give new weights to all random parts of a dual encoder: random towers, and the projection of the text tower.

    Args:
        encoder: what `make_dual` returned; it is changed.
        name: the name that it was made by.
        seed: the seed of the weights.

    """
    image_name, text_name = towers_named(name)
    device = encoder.device
    encoder.to("cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for modality, random in (("image", image_name == TINY), ("text", text_name in (TINY, static.FROM_SCRATCH))):
            for module in tower_of(encoder, modality):
                if isinstance(module, Transformer) and random:
                    fresh = type(module.model)(module.model.config)
                    module.model.load_state_dict(fresh.state_dict())
                elif isinstance(module, StaticEmbedding) and random:
                    weight = module.embedding.weight
                    weight.data = torch.randn(weight.shape) / weight.shape[1] ** 0.5
                elif isinstance(module, Dense) and (random or modality == "text"):
                    module.linear.reset_parameters()
    encoder.to(device)


def _image_tower(name: str, trust_code: bool) -> list[torch.nn.Module]:
    if name == LITE_OFFLINE:
        return lite_offline.load_tower()
    if not (Path(name) / "modules.json").is_file():
        return image_tower.load_tower(name, trust_code=trust_code)
    encoder, _ = open_encoder(name, device="cpu", trust_code=trust_code)
    return tower_of(encoder, "image")


def _text_tower(
    name: str, texts: Iterable[str], size: int, dimension: int, trust_code: bool
) -> tuple[list[torch.nn.Module], dict[str, str]]:
    if name == TINY:
        return _tiny_text_tower(texts, size, dimension), {}
    if name == static.FROM_SCRATCH:
        made = static.from_scratch(texts, vocabulary=size, dimension=dimension)
        return [module for module in made.children() if not isinstance(module, Normalize)], {}
    kind = kind_named(name)
    if kind.make is not None:
        source = kind.make(name, texts, trust_code=trust_code)
    else:
        source = kind.load(name, device="cpu", revision=None, trust_code=trust_code)
    if is_dual(source):
        modules = tower_of(source, "text")
    else:
        modules = [module for module in source.children() if not isinstance(module, Normalize)]
    width = source.get_embedding_dimension()
    if width is None:
        raise EncoderError(f"{name}: does not say the dimension of its embeddings, so it cannot be a text tower")
    # A linear layer after the pooling, as in M-CLIP (Carlsson et al., LREC 2022).
    modules.append(Dense(int(width), dimension, bias=True, activation_function=Identity()))
    # A caption is a query in one direction and a passage in the other. With one prompt for both, it is encoded once.
    prompt = source.prompts.get("query") or ""
    return modules, {"query": prompt, "document": prompt} if prompt else {}


def _tiny_text_tower(texts: Iterable[str], size: int, dimension: int) -> list[torch.nn.Module]:
    """A small transformer with mean pooling. Its vocabulary is learned from the texts."""
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    tokenizer = composing(unigram.learn(texts, size))
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), dim=WIDTH, n_layers=LAYERS, n_heads=2, hidden_dim=4 * WIDTH,
        max_position_embeddings=LONGEST, pad_token_id=tokenizer.token_to_id("<pad>"), dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", model_max_length=LONGEST
    )
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        DistilBertModel(config).save_pretrained(folder)
        fast.save_pretrained(folder)
        transformer = Transformer(folder)
    return [transformer, Pooling(WIDTH), Dense(WIDTH, dimension, bias=False, activation_function=Identity())]


def load_dual(name: str, *, device: str | None, revision: str | None, trust_code: bool) -> SentenceTransformer:
    """Raise: two towers have no weights before training."""
    del device, revision, trust_code
    if name.count("+") > 1:
        raise EncoderError(f"{name!r} has more than one +; two towers are  IMAGE+TEXT")
    raise EncoderError(f"{name!r} has no weights before training: use  babelmix train --model {name}")


def make(
    name: str,
    texts: Iterable[str] | None,
    *,
    vocabulary: int | None = None,
    dimension: int | None = None,
    seed: int = 0,
    trust_code: bool = False,
    memory: TokenMemory | None = None,
) -> SentenceTransformer:
    """Make a dual encoder, see `make_dual`; None is the default of a size."""
    del memory
    return make_dual(
        name, texts or (), size=vocabulary or VOCABULARY, dimension=dimension or 128, seed=seed, trust_code=trust_code
    )


def learning_rate(encoder: SentenceTransformer, base: str, lock_images: bool) -> float:
    """The learning rate of the parts that are trained; an error if they need different ones."""
    if not is_dual_name(base):
        return LEARNING_RATE
    image, text = towers_named(base)
    has_static = any(isinstance(module, StaticEmbedding) for module in tower_of(encoder, "text"))
    of_text = RANDOM_LEARNING_RATE if text == TINY else static.LEARNING_RATE if has_static else LEARNING_RATE
    if lock_images:
        return of_text
    if image == TINY and text in (TINY, static.FROM_SCRATCH):
        return RANDOM_LEARNING_RATE
    if image != TINY and of_text == LEARNING_RATE:
        return LEARNING_RATE
    raise TrainingError(
        f"{base}: its towers learn at different rates (new ones at {RANDOM_LEARNING_RATE:g}, static ones at "
        f"{static.LEARNING_RATE:g}, others at {LEARNING_RATE:g}); say which with --learning-rate"
    )


__all__ = [
    "VOCABULARY", "initialise", "is_dual", "is_dual_name", "join_towers", "learning_rate", "load_dual",
    "make", "make_dual", "tower_of",
    "with_image_tower",
]  # fmt: skip
