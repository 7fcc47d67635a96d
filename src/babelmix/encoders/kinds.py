"""The kinds of encoders, and the facts about each kind that other parts of babelmix need.

| kind | a name of it | what it is |
|---|---|---|
| `static` | `static`, `static-e5`, `static:NAME` | token vectors, averaged |
| `dual` | `tiny-clip`, `IMAGE+TEXT` | a text tower beside an image tower |
| `debiased` | `debiased:NAME` | the encoder NAME with the removal of language that babelmix ships for it |
| `model` | everything else | a folder, a hub name, or `e5-small-offline` |

`kind_named` finds the kind of a name, before anything is loaded. `kind_of` finds the kind of an encoder in memory. They can
differ: the name of a folder is of the kind `model`, and the encoder in it may be `static`. `extend.encoder` adds a kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from babelmix._registry import Lazy, Registry
from babelmix.encoders.origin import origin_of
from babelmix.errors import ConfigError, EncoderError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.token_memory import TokenMemory

MODEL = "model"
"""The kind of all names that no other kind matches."""

LEARNING_RATE = 2e-5
TEMPERATURE = 0.05


class Load(Protocol):
    """Loads an encoder by its name."""

    def __call__(
        self, name: str, /, *, device: str | None, revision: str | None, trust_code: bool
    ) -> SentenceTransformer: ...


class Make(Protocol):
    """Makes an encoder from training texts; None for a size means the kind's own default."""

    def __call__(
        self,
        name: str,
        texts: Iterable[str] | None,
        *,
        vocabulary: int | None = None,
        dimension: int | None = None,
        seed: int = 0,
        trust_code: bool = False,
        memory: TokenMemory | None = None,
    ) -> SentenceTransformer: ...


def _usual_rate(encoder: SentenceTransformer, base: str, lock_images: bool) -> float:
    del encoder, base, lock_images
    return LEARNING_RATE


def _always(name: str) -> bool:
    del name
    return True


def _keep(encoder: SentenceTransformer, name: str, seed: int) -> None:
    del encoder, name, seed


@dataclass(frozen=True)
class EncoderKind:
    """One kind of encoder.

    Args:
        name: its name in `KINDS`.
        matches: whether a name asks for an encoder of this kind.
        load: loads such an encoder by its name.
        recognises: whether an encoder in memory is of this kind, by its modules. None: an encoder is of this kind if the kind
            loaded it.
        make: makes an encoder from training texts; None if encoders of this kind are only loaded.
        pretrained: whether an encoder of this name has trained weights. An encoder without them must be made from texts.
        reset: draws new weights, with a seed, for the parts that are random according to the name.
        learning_rate: the default of training, from an encoder, the name that it was made by, and whether its image tower is
            locked.
        temperature: the default of training.
        batch_size: texts per forward pass in encoding.
        stored: whether embeddings are kept in the user's cache. This is not worth it if encoding is faster than a disk.
        checkpoints: whether training writes checkpoints by default. This is not worth it if steps are very short.
        has_layers: whether there are layers after the token vectors. LoRA, GradCache, frozen token vectors, gradient
            checkpointing and bfloat16 need layers.
        sparse_gradients: whether a training step updates only the vectors of the tokens in its batch.
        many_processes: whether several processes can train one encoder together.
        has_image_tower: whether pictures have their own tower.
        device: the torch device of an encoder that was made from texts; None: the best one that is available.

    """

    name: str
    matches: Callable[[str], bool]
    load: Load
    recognises: Callable[[torch.nn.Module], bool] | None = None
    make: Make | None = None
    pretrained: Callable[[str], bool] = _always
    reset: Callable[[SentenceTransformer, str, int], None] = _keep
    learning_rate: Callable[[SentenceTransformer, str, bool], float] = _usual_rate
    temperature: float = TEMPERATURE
    batch_size: int = 32
    stored: bool = True
    checkpoints: bool = True
    has_layers: bool = True
    sparse_gradients: bool = False
    many_processes: bool = True
    has_image_tower: bool = False
    device: str | None = None


_BY_MODULES = ("static", "dual")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

KINDS: Registry[EncoderKind] = Registry(
    "encoder kind",
    {
        "static": Lazy("babelmix.encoders.own_kinds:STATIC"),
        "debiased": Lazy("babelmix.encoders.own_kinds:DEBIASED"),
        "dual": Lazy("babelmix.encoders.own_kinds:DUAL"),
        MODEL: Lazy("babelmix.encoders.own_kinds:SAVED"),
    },
)


def kind_named(name: str) -> EncoderKind:
    """The kind of encoder that a name asks for.

    Args:
        name: the name of an encoder, see `load_encoder`.

    Examples:
        >>> kind_named("static:bert-base-multilingual-cased").name, kind_named("tiny+static").name
        ('static', 'dual')
        >>> kind_named("intfloat/multilingual-e5-small").name
        'model'

    """
    found = (KINDS[kind] for kind in KINDS if kind != MODEL)
    return next((kind for kind in found if kind.matches(name)), KINDS[MODEL])


def kind_of(encoder: Any) -> EncoderKind:
    """The kind of an encoder in memory: by its modules, or else the kind that loaded it.

    Args:
        encoder: any encoder.

    Examples:
        >>> from babelmix.encoders import static
        >>> kind_of(static.from_scratch(["a dog", "ein Hund"], dimension=8)).batch_size
        256

    """
    if not hasattr(encoder, "modules"):
        # An encoder without torch: what it was exported from is known by its origin alone.
        origin = origin_of(encoder)
        return KINDS.get(origin.kind if origin is not None else MODEL, KINDS[MODEL])
    kinds = (KINDS[name] for name in _BY_MODULES)
    by_modules = next((kind for kind in kinds if kind.recognises is not None and kind.recognises(encoder)), None)
    origin = origin_of(encoder)
    own = None if origin is None or origin.kind in (*_BY_MODULES, MODEL) else KINDS.get(origin.kind)
    if own is None:
        return by_modules or KINDS[MODEL]
    if by_modules is None:
        return own
    # These fields follow from the modules, not from the registered kind.
    return replace(
        own, has_layers=by_modules.has_layers, sparse_gradients=by_modules.sparse_gradients,
        many_processes=by_modules.many_processes, has_image_tower=by_modules.has_image_tower,
    )  # fmt: skip


def register_kind(
    name: str,
    load: Callable[[str], SentenceTransformer],
    *,
    like: str = MODEL,
    batch_size: int | None = None,
    store: bool | None = None,
    learning_rate: float | None = None,
    temperature: float | None = None,
) -> None:
    """Add a kind of encoder to `KINDS`; see `babelmix.extend.encoder` for the arguments.

    Raises:
        ConfigError: the name is part of babelmix or malformed, or there is no kind `like`.

    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"an encoder kind cannot be named {name!r}; use a letter, then letters, digits, - and _")
    if like not in KINDS:
        raise ConfigError(f"like: there is no encoder kind {like!r}; use {', '.join(KINDS)}")

    def loaded(
        encoder_name: str, *, device: str | None, revision: str | None, trust_code: bool
    ) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        del revision, trust_code
        encoder = load(encoder_name)
        if not isinstance(encoder, SentenceTransformer):
            raise EncoderError(f"{encoder_name}: the function returned a {type(encoder).__name__}, not an encoder")
        return encoder if device is None else encoder.to(device)

    given: dict[str, Any] = {
        "batch_size": batch_size,
        "stored": store,
        "temperature": temperature,
        "learning_rate": None if learning_rate is None else lambda encoder, base, lock_images: learning_rate,
    }
    kind = replace(
        KINDS[like], name=name, matches=lambda asked: asked == name or asked.startswith(f"{name}:"), load=loaded, recognises=None,
        make=None, pretrained=_always, reset=_keep, **{field: value for field, value in given.items() if value is not None},
    )  # fmt: skip
    KINDS.register(name, kind)


def make_encoder(
    name: str,
    texts: Iterable[str] | None,
    *,
    vocabulary: int | None = None,
    dimension: int | None = None,
    seed: int = 0,
    trust_code: bool = False,
    memory: TokenMemory | None = None,
) -> SentenceTransformer:
    """Make an encoder from training texts: one with random weights, or one whose vocabulary is pruned to the texts.

    Args:
        name: a name of a kind that makes encoders, such as `static`, `static-e5`, `tiny-clip` or `tiny+static`.
        texts: the training texts; None: keep the whole vocabulary of a pretrained encoder.
        vocabulary: the largest number of pieces of a learned vocabulary; None: the kind's default.
        dimension: the dimension of embeddings, if the encoder leaves it open; None: the kind's default.
        seed: the seed of random weights. `static` always starts with the vectors of seed 0.
        trust_code: see `load_encoder`.
        memory: is filled with the token ids of the texts, if they are needed anyway.

    Returns:
        The encoder.

    Raises:
        EncoderError: encoders of this name are loaded, not made, or the encoder cannot be made.

    Examples:
        >>> encoder = make_encoder("static", ["a dog", "ein Hund", "a cat", "eine Katze"], dimension=8)
        >>> kind_of(encoder).name, encoder.encode(["a dog"]).shape
        ('static', (1, 8))

    """
    kind = kind_named(name)
    if kind.make is None:
        raise EncoderError(f"{name}: is loaded, not made from texts; use load_encoder")
    return kind.make(
        name, texts, vocabulary=vocabulary, dimension=dimension, seed=seed, trust_code=trust_code, memory=memory
    )


__all__ = [
    "KINDS", "LEARNING_RATE", "MODEL", "TEMPERATURE", "EncoderKind", "kind_named", "kind_of", "make_encoder",
    "register_kind",
]  # fmt: skip
