"""Encoders named `debiased:NAME`: the encoder NAME with the removal of language that babelmix ships for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from babelmix.encoders.kinds import kind_named
from babelmix.encoders.own_kinds import CURED_PREFIX
from babelmix.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_cured(name: str, *, device: str | None, revision: str | None, trust_code: bool) -> SentenceTransformer:
    """Load an encoder, and put the shipped removal of language at its end.

    Args:
        name: `debiased:NAME`, where NAME is the name of an encoder that babelmix ships a removal for.
        device: a torch device; None: the best one that is available.
        revision: branch, tag or commit of a hub model.
        trust_code: see `load_encoder`.

    Raises:
        EncoderError: babelmix ships no removal for this encoder, or the encoder cannot be loaded.

    """
    from babelmix.encoders.debias import with_removal
    from babelmix.encoders.removal.shipped import shipped_names, shipped_removal

    base = name.removeprefix(CURED_PREFIX)
    removal = shipped_removal(base)
    if removal is None:
        raise EncoderError(
            f"{name}: babelmix has a removal of language for {', '.join(shipped_names())} only; fit one for "
            f"{base or 'your encoder'} on texts of yours:  babelmix debias {base or 'MODEL'} --on TEXTS"
        )
    encoder = kind_named(base).load(base, device=device, revision=revision, trust_code=trust_code)
    return with_removal(encoder, removal)


__all__ = ["load_cured"]
