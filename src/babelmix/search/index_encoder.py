"""The encoder of an index: its export, which starts in a moment, or else the encoder with torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix.encoders import load_encoder
from babelmix.encoders.exported.facts import is_export
from babelmix.encoders.exported.finding import open_export, open_known, run_by
from babelmix.encoders.removal import load_removal
from babelmix.errors import SearchError
from babelmix.search.engines.opening import foreign_engine
from babelmix.search.facts import IndexFacts, facts_of
from babelmix.search.foreign.checking import another_encoder
from babelmix.search.foreign.engine import ForeignEngine
from babelmix.search.index import Index
from babelmix.search.removal import check_removal, packed

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder


def encoder_of(
    index: Index,
    *,
    model: str | None = None,
    device: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
    max_seq_length: int | None = None,
    revision: str | None = None,
) -> Encoder:
    """Open the encoder of an index.

    Args:
        index: the index.
        model: where the encoder is now, if it was moved: an encoder, or an export of it.
        device: a torch device; if one is given, torch runs the encoder.
        backend: see `load_encoder`; None: the fastest whose vectors are those of the rows.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.
        max_seq_length: another limit than that of the index, which is an error.
        revision: another revision of the encoder.

    Raises:
        SearchError: the index was made with another encoder.
        EncoderError: the encoder cannot be loaded, or the backend cannot run it.
        MissingExtraError: there is no export, and torch is not installed; or the backend is not installed.

    """
    about = index.about

    def load(name: str) -> Any:
        loaded = load_encoder(
            name,
            # Exports are for a CPU.
            device=_device(device, backend),
            max_seq_length=max_seq_length or about.max_seq_length,
            revision=revision or (about.revision if name == about.encoder else None),
            trust_code=trust_code,
        )
        # Before it is exported, which takes long.
        index.check_encoder(loaded)
        return loaded

    if max_seq_length not in (None, about.max_seq_length) or revision not in (None, about.revision):
        # Another encoder, perhaps: the check of its fingerprint tells.
        load(model or about.encoder)
    return open_known(
        about.encoder,
        key=about.fingerprint,
        rows=index.backend,
        load=load,
        backend="torch" if backend is None and device not in (None, "cpu") else backend,
        moved_to=None if model in (None, about.encoder) else model,
    )


def index_with_encoder(
    address: str,
    *,
    model: str | Encoder | None = None,
    device: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
) -> tuple[Index, Encoder]:
    """Open an index, or someone else's collection for reading, with its encoder.

    Args:
        address: the address of an index or of a collection.
        model: where the encoder of an index is now, if it was moved; the encoder of a collection; or an encoder that is loaded.
        device: see `encoder_of`.
        backend: see `load_encoder`.
        trust_code: see `load_encoder`.

    Raises:
        SearchError: there is nothing at the address, or it is of another encoder, or no encoder of a collection is named.
        EncoderError: the encoder cannot be loaded.

    """
    kind = foreign_engine(address)
    if kind is None:
        index = Index.open(address)
        try:
            if model is not None and not isinstance(model, str):
                return index, model
            return index, encoder_of(index, model=model, device=device, backend=backend, trust_code=trust_code)
        except BaseException:
            index.close()
            raise
    collection = kind.open(address)
    try:
        if model is None:
            raise SearchError(
                f"{collection.address}: is {collection.what}, and does not say which encoder made its vectors; name it:  "
                "--model NAME"
            )
        encoder = model
        if isinstance(encoder, str):
            chosen = "torch" if backend is None and device not in (None, "cpu") else backend
            encoder = encoder_of_new(encoder, backend=chosen, trust_code=trust_code)
        name = model if isinstance(model, str) else str(getattr(model, "name", "the encoder"))
        index = Index(collection, facts_of_collection(collection, encoder, name))
        if (warning := another_encoder(collection, encoder, index.removal)) is not None:
            collection.say(warning)
        return index, encoder
    except BaseException:
        collection.close()
        raise


def facts_of_collection(collection: ForeignEngine, encoder: Encoder, name: str) -> IndexFacts:
    """The facts of an index, of an encoder and someone else's collection. The removal is that of the address, if it names one.

    Raises:
        SearchError: the vectors have different dimensions, or the removal is for others.
        EncoderError: the removal cannot be read.

    """
    about = facts_of(encoder, name, None)
    if about.dimension != collection.dimension:
        raise SearchError(
            f"{collection.address}: its vectors have {collection.dimension:,} dimensions, and those of {name} have "
            f"{about.dimension:,}; name the encoder that made them, with the same number of dimensions"
        )
    collection.use(about.similarity)
    assert collection.similarity is not None
    if collection.similarity != about.similarity:
        collection.say(f"{name} compares by {about.similarity}, and {collection.address} by {collection.similarity}.")
    about = about.model_copy(update={"similarity": collection.similarity, "columns": dict(collection.columns)})
    if collection.removal is None:
        return about
    removal = load_removal(collection.removal)
    check_removal(removal, about.dimension, about.similarity, collection.address)
    return about.with_removal(packed(removal, collection.address))


def encoder_of_new(
    name: str,
    *,
    backend: str | None = None,
    max_seq_length: int | None = None,
    revision: str | None = None,
    trust_code: bool = False,
) -> Encoder:
    """Open the encoder for a new index.

    Args:
        name: an encoder, or an export of one.
        backend: see `load_encoder`; None: `auto`, the fastest that agrees with float32.
        max_seq_length: cut texts after this many tokens; None: the encoder's own limit.
        revision: branch, tag or commit of a hub model.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.

    Raises:
        EncoderError: the encoder cannot be loaded, or the backend cannot run it.
        MissingExtraError: the encoder is no export, and torch is not installed; or the backend is not installed.

    """
    if is_export(name):
        return open_export(name, backend=backend, max_seq_length=max_seq_length)
    loaded = load_encoder(
        name, device=_device(None, backend), max_seq_length=max_seq_length, revision=revision, trust_code=trust_code
    )
    return run_by(loaded, backend or "auto", name=name)


def _device(device: str | None, backend: str | None) -> str | None:
    """The device of torch: exports are for a CPU."""
    return device or ("cpu" if backend not in (None, "auto", "torch") else None)


__all__ = ["encoder_of", "encoder_of_new", "facts_of_collection", "index_with_encoder"]
