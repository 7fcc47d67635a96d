"""The expected rank distance of a random ranking."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NODES = 64
"""The largest number of points of the quadrature: exact for up to 127 relevant passages, and close for more."""


def distance_by_chance(counts: npt.NDArray[np.int64], pool: npt.NDArray[np.int64] | int) -> npt.NDArray[np.float64]:
    """Expected rank distance of queries whose pool is shuffled.

    Place m_l relevant passages in language l, M in total, at random in a pool of N passages. The best of any m of them has
    the expected rank (N + 1) / (m + 1), counted from 1. Each language has a best rank. The expected value of the worst of these
    best ranks is an alternating sum of such expected ranks (inclusion and exclusion over sets of languages). With
    1 / (m + 1) = int_0^1 t^m dt it is

        (N + 1) int_0^1 1 - prod_l (1 - t^m_l) dt.

    The distance is this minus (N + 1) / (M + 1). With one relevant passage in each of L languages it is
    (N + 1) (L - 1) / (L + 1). The integrand is a polynomial of degree M, integrated by Gauss-Legendre quadrature.

    Args:
        counts: relevant passages by language, int64, shape (queries, languages), 0 for none.
        pool: passages in the pool; or int64, shape (queries,), passages in the pool of each query.

    Returns:
        float64, shape (queries,); 0 if fewer than two languages have a relevant passage.

    Examples:
        >>> import numpy as np
        >>> distance_by_chance(np.array([[1, 1, 1]]), 11).round(3).tolist()
        [6.0]

    """
    counts = np.sort(counts, axis=1)
    if len(counts) and (counts == counts[0]).all():
        # A parallel corpus; np.unique would take most of the time.
        kinds, kind = counts[:1], np.zeros(len(counts), dtype=np.int64)
    else:
        kinds, kind = np.unique(counts, axis=0, return_inverse=True)
    nodes, weights = np.polynomial.legendre.leggauss(min(_NODES, int(kinds.sum(axis=1).max(initial=1)) // 2 + 1))
    at, weights = (nodes + 1) / 2, weights / 2
    share = np.zeros(len(kinds))
    for number, sizes in enumerate(kinds):
        present = sizes[sizes > 0]
        if len(present) > 1:
            worst = weights @ (1 - np.prod(1 - at[:, None] ** present, axis=1))
            share[number] = worst - 1 / (present.sum() + 1)
    return (pool + 1) * share[kind.ravel()]
