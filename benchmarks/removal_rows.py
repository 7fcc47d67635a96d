"""The rows of `removal.py`: each remedy, what it is fitted on, and with which options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from removal_scores import Adjust, adaptive, balanced

from babelmix.encoders.removal import AnyRemoval, Embedded, RemovalOptions, removal_method
from babelmix.encoders.removal.shipped import shipped_removal
from babelmix.errors import EncoderError

PAIRS = 400
"""Translated texts of a draw."""
UNTOUCHED, SHIFT = "untouched", "SHIFT: `offsets`, pivot English, both sides"
CENTRE, RIDGE = 0.75, 0.3
"""Chosen by `linear-map` itself on held-out sentences of NTREX: how well their translations are found."""
WHOLE = 384
"""The rank of maps that are fitted on all of NTREX: all directions of the smaller encoder."""
OWN = 0.04
"""Of 0.02, 0.04 and 0.06 the first with which courses keep 98% of their same-language recall@10."""
SHIPPED_RANK, SHIPPED_ALPHA = 4, 0.75
"""Of the removals that come with the package."""


@dataclass(frozen=True)
class Remedy:
    """A row of the table.

    Args:
        name: what it says.
        texts: what it is fitted on: `ntrex`, `courses`, `help`, `collection` (passages of the test set), or nothing.
        fit: from embedded texts to a removal; None: vectors stay as they are.
        sides: whether queries, passages or both are changed.
        adjust: how the scores of a query are changed, from the passages' vectors and languages.
        number: texts of a draw; 0: all.
        trained: whether the vectors are those of trained encoders; each seed is a draw.
        alpha: how much is applied; None: as it was fitted.
        own: with `adjust`: what is added to the scores of the query's language.

    """

    name: str
    texts: str = ""
    fit: Callable[[Embedded], AnyRemoval] | None = None
    sides: str = "both"
    adjust: Adjust | None = None
    number: int = PAIRS
    trained: bool = False
    own: float = 0.0
    alpha: float | None = None


def method(name: str, **options: Any) -> Callable[[Embedded], AnyRemoval]:
    """What fits a method with some options."""

    def fit(embedded: Embedded) -> AnyRemoval:
        return removal_method(name).fit_removal(embedded, RemovalOptions(**options))

    fit.__name__ = f"{name} {options}"
    return fit


ENGLISH, MEAN = method("offsets", pivot="en", centre=0.0), method("offsets", centre=0.0)
CENTRED = method("offsets", centre=CENTRE)
MAP = method("linear-map", ridge=1.0, centre=0.0)
GOOD = method("linear-map", ridge=RIDGE, centre=CENTRE, rank=WHOLE)
CHOSEN = method("linear-map", ridge=3.0, centre=1.0, rank=WHOLE)
"""What `removal_choice.py` chooses on texts that are not of the test sets."""
FEW = method("linear-map", ridge=1.0, centre=CENTRE)
"""For some hundred pairs: fewer directions, and a stronger ridge."""


def shipped(embedded: Embedded) -> AnyRemoval:
    """What comes with the package for this encoder."""
    found = shipped_removal(SHIPPED_NAMES[embedded.vectors.shape[1]])
    if found is None:
        raise EncoderError("nothing is shipped for this encoder")
    return found


SHIPPED_NAMES = {384: "e5-small-offline", 512: "use-multilingual-offline"}
"""The encoder of a removal that is shipped, by the dimension of its vectors."""


FAVOURED = f"`adaptive`, own language + {OWN:g}"
MAPS = f"`linear-map`, centre {CENTRE:g}"
AS_IT_IS = "`linear-map`, its defaults: options chosen on held-out sentences of NTREX"
HELD_OUT = "`linear-map`, centre 1, alpha 1: chosen on NTREX and courses"

REMEDIES = (
    Remedy(UNTOUCHED),
    Remedy("SHIFT: `offsets`, pivot English, passages only", "ntrex", ENGLISH, "passage"),
    Remedy(SHIFT, "ntrex", ENGLISH),
    Remedy("`offsets`, pivot mean of languages", "ntrex", MEAN),
    Remedy("`offsets`, pivot mean of languages", "courses", MEAN),
    Remedy("`offsets`, pivot mean of languages", "help", MEAN),
    Remedy("`centred`", "ntrex", method("centred")),
    Remedy("`components` (LIR)", "ntrex", method("components", rank=1)),
    Remedy("`subspace` (LSAR)", "ntrex", method("subspace")),
    Remedy("`whiten`", "ntrex", method("whiten")),
    Remedy("`means`", "ntrex", method("means")),
    Remedy("`own-means`", "collection", method("own-means")),
    Remedy("`linear-map`", "ntrex", MAP),
    Remedy("`langsae` (LangSAE)", "ntrex", method("langsae")),
    Remedy("policy `balanced`", "collection", adjust=balanced),
    Remedy("policy `adaptive`", "", adjust=adaptive),
    Remedy(f"`offsets`, centre {CENTRE:g}", "ntrex", CENTRED),
    Remedy(MAPS, "ntrex", FEW),
    Remedy(f"{MAPS}, alpha 1", "all of ntrex", GOOD, number=0),
    Remedy(f"{MAPS}, alpha 0.75", "all of ntrex", GOOD, alpha=0.75, number=0),
    Remedy(f"{MAPS}, alpha 0.5", "all of ntrex", GOOD, alpha=0.5, number=0),
    Remedy(AS_IT_IS, "all of ntrex", method("linear-map"), number=0),
    Remedy(HELD_OUT, "all of ntrex", CHOSEN, number=0),
    Remedy("shipped with the package", "all of ntrex", shipped, number=0),
    Remedy(f"{MAPS}, then `balanced`", "ntrex, collection", FEW, adjust=balanced),
    Remedy(f"{MAPS}, then `adaptive`", "ntrex", FEW, adjust=adaptive),
    Remedy(f"{MAPS}, alpha 1, then `adaptive`", "all of ntrex", GOOD, adjust=adaptive, number=0),
    Remedy(f"{MAPS}, alpha 0.75, then `adaptive`", "all of ntrex", GOOD, alpha=0.75, adjust=adaptive, number=0),
    Remedy(f"{MAPS}, alpha 0.5, then `adaptive`", "all of ntrex", GOOD, alpha=0.5, adjust=adaptive, number=0),
    Remedy(f"{AS_IT_IS}, then `adaptive`", "all of ntrex", method("linear-map"), adjust=adaptive, number=0),
    Remedy(f"{HELD_OUT}, then `adaptive`", "all of ntrex", CHOSEN, adjust=adaptive, number=0),
    Remedy("shipped with the package, then `adaptive`", "all of ntrex", shipped, adjust=adaptive, number=0),
    Remedy(f"{MAPS}, alpha 0.75, then {FAVOURED}", "all of ntrex", GOOD, alpha=0.75, adjust=adaptive, number=0, own=OWN),
    Remedy(f"{MAPS}, alpha 0.5, then {FAVOURED}", "all of ntrex", GOOD, alpha=0.5, adjust=adaptive, number=0, own=OWN),
    Remedy("`own-means`, then `adaptive`", "collection", method("own-means"), adjust=adaptive),
    Remedy("trained: recipe `best`", trained=True),
    Remedy("trained, then `adaptive`", adjust=adaptive, trained=True),
    Remedy("trained, then `linear-map`", "all of ntrex", GOOD, alpha=0.75, number=0, trained=True),
    Remedy("trained, then `linear-map`, `adaptive`", "all of ntrex", GOOD, alpha=0.75, adjust=adaptive, number=0, trained=True),
)  # fmt: skip
