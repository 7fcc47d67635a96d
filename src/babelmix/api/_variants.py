"""The same model with fewer dimensions or coarser embeddings, as models of their own to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from babelmix._lists import as_list
from babelmix.errors import ArgumentError

M = TypeVar("M")


class Variant(NamedTuple, Generic[M]):
    """A model with some of its dimensions, or with a precision.

    Args:
        model: the model.
        dimensions: how many dimensions are kept; None: as the model has them.
        precision: see `babelmix.evaluation.coarser`; None: as the model has it.

    """

    model: M
    dimensions: int | None = None
    precision: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether it differs from the model."""
        return self.dimensions is not None or self.precision is not None


def variants(
    models: Mapping[str, M], dimensions: int | Sequence[int] | None, precision: str | Sequence[str] | None
) -> dict[str, Variant[M]]:
    """Every model with every number of dimensions and every precision, by names such as `e5, 64 dimensions, int8`.

    Raises:
        ArgumentError: a number of dimensions is not positive, a value is given twice, or a list is empty.
        ConfigError: there is no such precision.

    """
    from babelmix.evaluation.coarser import check_precision

    kept: list[int | None] = [None]
    if dimensions is not None:
        kept = [dimensions] if isinstance(dimensions, int) else list(dimensions)
        for one in kept:
            if not isinstance(one, int) or isinstance(one, bool) or one < 1:
                raise ArgumentError("dimensions", f"{one!r} is no positive whole number")
        if not kept:
            raise ArgumentError("dimensions", "the list is empty; name numbers such as 64, or leave it out")
    coarse: list[str | None] = [None]
    if precision is not None:
        coarse = [check_precision(one) for one in as_list(precision, "precision", empty=False)]
    for name, given in (("dimensions", kept), ("precision", coarse)):
        if len(set(given)) < len(given):
            raise ArgumentError(name, "a value is given twice; give each once")
    return {
        ", ".join(
            [name, *([f"{kept_} dimensions"] if kept_ is not None else []), *([coarse_] if coarse_ else [])]
        ): Variant(model, kept_, coarse_)
        for name, model in models.items()
        for kept_ in kept
        for coarse_ in coarse
    }


__all__ = ["Variant", "variants"]
