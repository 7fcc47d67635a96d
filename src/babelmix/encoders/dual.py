"""Dual encoders: a text tower and an image tower in one `SentenceTransformer`, whose router sends each input to its own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.router import Router
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from sentence_transformers.util import get_device_name
from torch.nn import Identity

from babelmix._progress import quiet_transformers
from babelmix.encoders import image_tower, static, unigram
from babelmix.encoders.composing import composing
from babelmix.encoders.known import TINY, TINY_CLIP
from babelmix.encoders.opening import open_encoder
from babelmix.errors import EncoderError

LONGEST = 64
"""Tokens that a tiny text tower reads."""
WIDTH = 128
"""Of a tiny text tower's layers."""
LAYERS = 2
"""Of a tiny text tower."""
VOCABULARY = 8_000
"""Pieces of a tiny text tower's vocabulary at most."""


def is_dual_name(name: str) -> bool:
    """Whether a name is that of two towers, `tiny-clip` or `IMAGE+TEXT`, and not of a folder that is there."""
    return (name == TINY_CLIP or "+" in name) and not Path(name).exists()


def make_dual(
    name: str,
    texts: Iterable[str],
    *,
    dimension: int = 128,
    size: int = VOCABULARY,
    seed: int = 0,
    trust_code: bool = False,
) -> SentenceTransformer:
    """Put two towers together; what they have no weights for is random.

    Args:
        name: `IMAGE+TEXT`. IMAGE is `tiny`, or a CLIP or SigLIP model: a hub name, or a folder, also of a dual encoder.
            TEXT is `tiny`, `static`, or any encoder of texts. `tiny-clip` is `tiny+tiny`.
        texts: training texts, from which a vocabulary is learned where the text tower has none.
        dimension: of the embeddings, where the image tower does not decide it.
        size: pieces of a learned vocabulary at most.
        seed: of random weights.
        trust_code: let code that a tower's model brings, or names, run; see `load_encoder`.

    Raises:
        EncoderError: a tower cannot be loaded.
        MissingExtraError: Pillow is not installed.

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
    # Where sentence-transformers loads encoders to; random weights above are the CPU's, the same everywhere.
    return join_towers(image, text, prompts).to(get_device_name())


def towers_named(name: str) -> tuple[str, str]:
    """What a name says of the image tower and of the text tower."""
    image, _, text = (f"{TINY}+{TINY}" if name == TINY_CLIP else name).partition("+")
    return image, text


def join_towers(
    image: list[torch.nn.Module], text: list[torch.nn.Module], prompts: dict[str, str] | None = None
) -> SentenceTransformer:
    """One encoder of an image tower and the modules of a text tower, on the device of the latter; embeddings have length one.

    Args:
        image: from pixels to an embedding.
        text: from tokens to an embedding of the same dimension.
        prompts: put before texts, see `SentenceTransformer`.

    """
    router = Router(
        {"text": text, "image": image},  # type: ignore[dict-item,arg-type,list-item,unused-ignore]
        route_mappings={(None, "text"): "text", (None, "image"): "image"},
    )
    place = next((str(parameter.device) for module in text for parameter in module.parameters()), "cpu")
    return SentenceTransformer(modules=[router, Normalize()], device=place, prompts=prompts or {})


def initialise(encoder: SentenceTransformer, name: str, seed: int) -> None:
    """Give the towers that a name calls random new weights, and the layer beside a text tower that is not.

    Args:
        encoder: what `make_dual` made.
        name: that it was made by.
        seed: of the weights.

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


def with_image_tower(encoder: SentenceTransformer, other: SentenceTransformer) -> SentenceTransformer:
    """A dual encoder with the image tower of another."""
    return join_towers(
        tower_of(other, "image"), tower_of(encoder, "text"), {k: p or "" for k, p in encoder.prompts.items()}
    )


def is_dual(encoder: torch.nn.Module) -> bool:
    """Whether an encoder is of two towers that a router joins."""
    first = next(iter(encoder.children()), None)
    return isinstance(first, Router) and "image" in first.sub_modules and "text" in first.sub_modules


def tower_of(encoder: torch.nn.Module, modality: str) -> list[torch.nn.Module]:
    """The modules of one tower of a dual encoder.

    Args:
        encoder: of two towers.
        modality: `"text"` or `"image"`.

    Raises:
        EncoderError: it is not of two towers.

    """
    if not is_dual(encoder):
        raise EncoderError(
            "this encoder is not of two towers; make one that is, as in  openai/clip-vit-base-patch32+xlm-roberta-base"
        )
    router = cast(Any, next(iter(encoder.children())))
    return list(router.sub_modules[modality])


def way_of_pictures(encoder: torch.nn.Module) -> list[torch.nn.Module]:
    """What a picture goes through: the image tower, and what stands behind both towers, as of `debias`.

    Raises:
        EncoderError: it is not of two towers.

    """
    return [*tower_of(encoder, "image"), *list(encoder.children())[1:]]


def image_fingerprint(encoder: torch.nn.Module) -> str:
    """SHA-256 over what decides the embedding of a picture: another text tower leaves it as it is."""
    digest = hashlib.sha256()
    digest.update(repr([type(module).__name__ for module in encoder.children()]).encode())
    for number, module in enumerate(way_of_pictures(encoder)):
        processor = getattr(module, "processor", None)
        digest.update(repr(sorted(processor.to_dict().items()) if processor is not None else "").encode())
        # What weights do not say: activations, which output is taken.
        activation = getattr(getattr(getattr(module, "model", None), "config", None), "hidden_act", None)
        digest.update(repr((getattr(module, "get_config_dict", dict)(), activation)).encode())
        digest_weights(digest, module, f"{number} ")
    return digest.hexdigest()


def digest_weights(digest: hashlib._Hash, module: torch.nn.Module, prefix: str = "") -> None:
    """Add a module's weights to a digest, in the order of their names.

    Args:
        digest: of `hashlib`.
        module: with the weights.
        prefix: put before each name.

    """
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{prefix}{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _image_tower(name: str, trust_code: bool) -> list[torch.nn.Module]:
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
    from babelmix.encoders.loading import is_made, load_encoder, make_static

    if is_made(name):
        source = make_static(name, texts, trust_code=trust_code)
    else:
        source = load_encoder(name, device="cpu", trust_code=trust_code)
    if is_dual(source):
        modules = tower_of(source, "text")
    else:
        modules = [module for module in source.children() if not isinstance(module, Normalize)]
    width = source.get_embedding_dimension()
    if width is None:
        raise EncoderError(f"{name}: does not say how long its embeddings are, so no image tower can be put beside it")
    # As M-CLIP has it (Carlsson et al., LREC 2022): a linear layer after the pooling.
    modules.append(Dense(int(width), dimension, bias=True, activation_function=Identity()))
    # A caption is a query in one direction and a passage in the other; it is encoded once.
    prompt = source.prompts.get("query") or ""
    return modules, {"query": prompt, "document": prompt} if prompt else {}


def _tiny_text_tower(texts: Iterable[str], size: int, dimension: int) -> list[torch.nn.Module]:
    """A few layers over a vocabulary learned from the texts, mean-pooled."""
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


__all__ = [
    "VOCABULARY",
    "digest_weights",
    "image_fingerprint",
    "initialise",
    "is_dual",
    "is_dual_name",
    "join_towers",
    "make_dual",
    "tower_of",
    "with_image_tower",
]
