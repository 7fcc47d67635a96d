"""Removal of language together with BM25: which weight of words, which policy, and what it costs within a language.

python benchmarks/words.py xquad-r=PATH --ntrex sentences.parquet --vectors FOLDER --cells FILE

Everything that an index computes is computed here for all queries at once: exact scores, the policies, BM25 over the words of
`babelmix.search.words`, and weighted reciprocal rank fusion. The weight is chosen on the articles of one half and
measured on those of the other. Writes the block `words` of docs/remedies.md.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import marked
import numpy as np
import numpy.typing as npt
import polars as pl
from detectors import fitted
from embedded import embedded
from fused_lists import METRICS, Data, Floats, Found, Integers, K, Pair, measured, ranked

from babelmix.corpus import Corpus, open_corpus
from babelmix.evaluation import Measure, compare, estimates, holm

PAIRS, DRAWS = 400, 3
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
KEEP = (0.98, 0.95, 0.9)
"""The shares of same-language recall@10 that have to be kept, one after the other."""
POLICIES = ("any", "balanced", "equal")
LATIN = ("de", "en", "es", "tr", "vi")


def macros(measures: Mapping[str, Measure]) -> list[float]:
    """The macro-averages, in the order of `METRICS`."""
    return [measures[name].macro() for name in METRICS]


def removals(
    sentences: pl.DataFrame,
    langs: Sequence[str],
    folder: Path,
    draw: int,
    passages: Floats,
    passage_langs: Sequence[str],
) -> dict[str, Callable[[Floats, Sequence[str], str], Floats]]:
    """The ways to take language out, by name."""
    rows = np.sort(np.random.default_rng(draw).permutation(sentences.height)[:PAIRS])
    offsets = fitted(sentences, langs, rows, folder, parts=False)
    own = offsets.offsets.copy()
    means = np.stack([passages[np.array(passage_langs) == lang].mean(axis=0) for lang in langs])
    own[1] = means - means.mean(axis=0)
    collection = replace(offsets, offsets=own)
    return (
        {"untouched": lambda vectors, langs, kind: vectors}
        | {f"offsets, alpha {alpha:g}": offsets.with_alpha(alpha).apply for alpha in ALPHAS}
        | {f"own means, alpha {alpha:g}": collection.with_alpha(alpha).apply for alpha in (0.5, 1.0)}
    )


@dataclass(frozen=True, eq=False)
class Cell:
    """A removal, a policy and a weight: the values of each query, averaged over the draws of the fitting text.

    Args:
        values: by metric, float64, shape (queries,).
        deviation: of mAP over the draws.

    """

    values: dict[str, npt.NDArray[np.float64]]
    deviation: float

    @classmethod
    def of(cls, drawn: Sequence[Mapping[str, Measure]]) -> Cell:
        """Average over the draws."""
        values = {name: np.mean([one[name].values for one in drawn], axis=0) for name in METRICS}
        maps = [one["mAP@20"].macro() for one in drawn]
        return cls(values, float(np.std(maps, ddof=1)) if len(maps) > 1 else float("nan"))

    def part(self, data: Data, rows: Integers) -> dict[str, Measure]:
        """The measures of some queries."""
        return {
            name: Measure("multi", name, data.langs, data.queries[rows], data.group[rows], one[rows])
            for name, one in self.values.items()
        }


Cells = dict[tuple[str, str, str, float], Cell]
"""By removal, policy, kind of weight and weight."""


def policies_of(name: str) -> tuple[str, ...]:
    """The policies with which a removal is measured: all with half and whole removals, else the first."""
    return POLICIES if name == "untouched" or name.endswith((" 0.5", " 1")) else POLICIES[:1]


def swept(
    corpus: Corpus,
    data: Data,
    sentences: pl.DataFrame,
    folder: Path,
    kinds: Mapping[str, tuple[Integers, Floats]],
    done: Cells,
) -> Cells:
    """All removals, policies and weights, but for removals that are done."""
    queries = embedded(folder, "xquad-r", corpus.queries["text"].to_pylist(), "query")
    passages = embedded(folder, "xquad-r", corpus.passages["text"].to_pylist(), "passage")
    query_langs, passage_langs = corpus.queries["lang"].to_pylist(), corpus.passages["lang"].to_pylist()
    drawn: dict[tuple[str, str, str, float], list[dict[str, Measure]]] = {}
    for draw in range(DRAWS):
        for name, apply in removals(sentences, data.langs, folder, draw, passages, passage_langs).items():
            if (draw and name == "untouched") or (name, "any", "all", 0.0) in done:
                continue
            moved = apply(queries, query_langs, "query"), apply(passages, passage_langs, "passage")
            for policy in policies_of(name):
                dense = ranked(*moved, data, policy)
                for kind, (words, share) in kinds.items():
                    if kind != "all" and (draw or policy != "any"):
                        continue
                    pair = Pair.of(dense, words)
                    for weight in WEIGHTS if kind == "all" else WEIGHTS[1:]:
                        lists = pair.fused(weight * share, data)
                        drawn.setdefault((name, policy, kind, weight), []).append(measured(lists, data))
                zero, one = (macros(drawn[name, policy, "all", weight][-1]) for weight in (0.0, 1.0))
                print(draw, name, policy, *(f"{a:.3f}/{b:.3f}" for a, b in zip(zero, one, strict=True)), flush=True)
    return done | {key: Cell.of(some) for key, some in drawn.items()}


def untranslated(corpus: Corpus, data: Data, sentences: pl.DataFrame, folder: Path) -> list[str]:
    """The rows of a table: each article is in one language only, by chance, so that one passage answers a question."""
    queries = embedded(folder, "xquad-r", corpus.queries["text"].to_pylist(), "query")
    passages = embedded(folder, "xquad-r", corpus.passages["text"].to_pylist(), "passage")
    articles, of_passage = np.unique(corpus.passages["group"].to_pylist(), return_inverse=True)
    drawn: dict[tuple[str, str], list[list[float]]] = {}
    for draw in range(DRAWS):
        lang = np.random.default_rng(draw).permutation(np.arange(len(articles)) % len(data.langs))
        rows = np.flatnonzero(data.passages == lang[of_passage])
        pool = data.of_passages(rows)
        langs = [data.langs[one] for one in pool.passages]
        for name, apply in removals(sentences, data.langs, folder, draw, passages[rows], langs).items():
            moved = (
                apply(queries, [data.langs[one] for one in data.queries], "query"),
                apply(passages[rows], langs, "passage"),
            )
            for policy in POLICIES if len(policies_of(name)) > 1 else ():
                lists = ranked(*moved, pool, policy)[:, :K]
                drawn.setdefault((name, policy), []).append(macros(measured(lists, pool)))
    return [
        f"| {name} | `{policy}` | {' | '.join(f'{one:.3f}' for one in np.mean(found, axis=0))} |"
        for (name, policy), found in drawn.items()
    ]


Way = Callable[[str, str, str, float], bool]
"""Which removals, policies, kinds of weight and weights may be chosen."""

WAYS: dict[str, Way] = {
    "a smaller alpha, no words": lambda name, policy, kind, weight: policy == "any" and not weight,
    "alpha 1, and words": lambda name, policy, kind, weight: (
        policy == "any" and kind == "all" and name.endswith("alpha 1")
    ),
    "untouched, `balanced`, and words": lambda name, policy, kind, weight: (
        policy == "balanced" and kind == "all" and name == "untouched"
    ),
    "untouched, `equal`, and words": lambda name, policy, kind, weight: (
        policy == "equal" and kind == "all" and name == "untouched"
    ),
    "alpha and words, any policy": lambda name, policy, kind, weight: kind == "all",
    "alpha, and a weight by the query": lambda name, policy, kind, weight: kind != "all" or not weight,
}
"""Ways to keep same-language recall, with `offsets`."""


def chosen(cells: Cells, data: Data, rows: Integers, way: Way, least: float) -> tuple[str, str, str, float] | None:
    """What has the best mAP of what keeps same-language recall, on the validation half; None: nothing keeps it."""
    fit = {}
    for key, cell in cells.items():
        if way(*key) and not key[0].startswith("own"):
            part = cell.part(data, rows)
            if part["same-language recall@10"].macro() >= least:
                fit[key] = part["mAP@20"].macro()
    return max(fit, key=lambda key: fit[key]) if fit else None


def shown(part: Mapping[str, Measure]) -> list[str]:
    """The metrics with intervals."""
    found = estimates(part)
    return [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one, _ in (found[name] for name in METRICS)]


def main() -> None:
    """Measure, and write the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="xquad-r=PATH")
    parser.add_argument(
        "--ntrex", type=Path, required=True, help="a Parquet file with a column of sentences per language"
    )
    parser.add_argument("--vectors", type=Path, required=True, help="the folder of vectors; missing ones are made")
    parser.add_argument(
        "--cells", type=Path, required=True, help="a file that keeps what is measured; a later run goes on"
    )
    arguments = parser.parse_args()
    corpus = open_corpus(arguments.corpus)
    data = Data.of(corpus)
    found = Found.of(corpus, data)
    latin = np.array([lang in LATIN for lang in data.langs])[data.queries]
    everyone = np.ones(len(latin), dtype=np.float32)
    kinds = {
        "all": (found.lists, everyone),
        "Latin script": (found.lists, latin.astype(np.float32)),
        "other scripts": (found.lists, (~latin).astype(np.float32)),
        "words found": (found.lists, (found.covered >= np.median(found.covered)).astype(np.float32)),
        "equal words": (found.equal, everyone),
    }
    done: Cells = {}
    if arguments.cells.is_file():
        done = {key: Cell(**fields) for key, fields in pickle.loads(arguments.cells.read_bytes()).items()}
    sentences = pl.read_parquet(arguments.ntrex)
    cells = swept(corpus, data, sentences, arguments.vectors, kinds, done)
    arguments.cells.write_bytes(pickle.dumps({key: asdict(cell) for key, cell in cells.items()}))
    articles = np.random.default_rng(0).permutation(np.unique(data.group))
    half = np.isin(data.group, articles[: len(articles) // 2])
    lines = [
        *of_weights(cells, data, np.arange(len(half)), found),
        *of_choices(cells, data, np.flatnonzero(half), np.flatnonzero(~half)),
        *of_queries(cells, data, np.arange(len(half))), "",
        f"A collection without translations: each article is in one language only, by chance ({DRAWS} draws), so that one "
        "passage answers a question; no words:", "", f"| removal | policy | {' | '.join(METRICS)} |",
        "|---|---|" + "---:|" * len(METRICS), *untranslated(corpus, data, sentences, arguments.vectors),
    ]  # fmt: skip
    marked.write(Path(__file__).resolve().parents[1] / "docs" / "remedies.md", {"words": "\n".join(lines)})


def of_weights(cells: Cells, data: Data, rows: Integers, found: Found) -> list[str]:
    """The table of removals, policies and weights."""
    alone, first_ten = measured(found.lists[:, :K], data), found.lists[:, :10]
    own = (data.passages[first_ten] == data.queries[:, None])[first_ten >= 0].mean()
    lines = [
        "mAP@20 / same-language recall@10 in the pool of all languages, all questions of XQuAD-R, by the weight of words; "
        f"`offsets` of {PAIRS} NTREX sentences, mean of {DRAWS} draws; `own means`: passages by their own collection's means, "
        f"queries by NTREX. BM25 alone: {own:.0%} of its first 10 are in the query's language; mAP@20 "
        f"{alone['mAP@20'].macro():.3f}.", "",
        f"| removal | policy | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} |", "|---|---|" + "---:|" * len(WEIGHTS),
    ]  # fmt: skip
    for name in dict.fromkeys(name for name, *_ in cells):
        for policy in policies_of(name):
            parts = [cells[name, policy, "all", weight].part(data, rows) for weight in WEIGHTS]
            row = [f"{one['mAP@20'].macro():.3f} / {one['same-language recall@10'].macro():.3f}" for one in parts]
            lines.append(f"| {name} | `{policy}` | {' | '.join(row)} |")
    return lines


def of_choices(cells: Cells, data: Data, validation: Integers, test: Integers) -> list[str]:
    """The table of what is chosen on one half, measured on the other."""
    start = cells["untouched", "any", "all", 0.0]
    rows: list[tuple[str, str, str, dict[str, Measure]]] = []
    tests, tested = [], []
    for keep in KEEP:
        least = keep * start.part(data, validation)["same-language recall@10"].macro()
        base = None
        for title, way in WAYS.items():
            if (key := chosen(cells, data, validation, way, least)) is None:
                rows.append((f"{keep:.0%}", title, "none keeps it", {}))
                continue
            name, policy, kind, weight = key
            words = f"weight {weight:g}{'' if kind == 'all' else f' ({kind})'}" if weight else "no words"
            part = cells[key].part(data, test)
            if base is None:
                base = part
            else:
                tests += compare([part], [base], ["mAP@20"] if "mAP@20" in part else [])
                tested.append(len(rows))
            rows.append((f"{keep:.0%}", title, f"{name}, `{policy}`, {words}", part))
    p = dict(zip(tested, [one.p_holm or 0 for one in holm(tests)], strict=True))
    lines = [
        "", "What may be lost of same-language recall@10 (of the untouched vectors alone), and what is best under it: chosen by "
        f"mAP@20 on the questions of {len(np.unique(data.group[validation]))} articles, measured on those of the other "
        f"{len(np.unique(data.group[test]))}, with 95 % intervals over articles. Bold: different from the smaller alpha, p < .05 "
        "after Holm's correction:", "",
        f"| kept | way | chosen | {' | '.join(METRICS)} |", "|---:|---|---|" + "---:|" * len(METRICS),
        f"| | start | untouched, `any`, no words | {' | '.join(shown(start.part(data, test)))} |",
    ]  # fmt: skip
    for number, (keep, title, choice, part) in enumerate(rows):
        texts = shown(part) if part else [""] * len(METRICS)
        if p.get(number, 1.0) < 0.05:
            value, _, rest = texts[0].partition(" ")
            texts[0] = f"**{value}** {rest}"
        lines.append(f"| {keep} | {title} | {choice} | {' | '.join(texts)} |")
    return lines


def of_queries(cells: Cells, data: Data, rows: Integers) -> list[str]:
    """The table of weights by the query."""
    lines = [
        "", "A weight by the query, policy `any`, all questions, one draw, mAP@20 / same-language recall@10: words for all, only "
        "for queries in Latin script, only for others, only where the best passage has much of the query's words (more than for "
        "half of the queries), or for all by lists of BM25 with equal numbers of each language (`equal words`):", "",
        f"| removal | words for | {' | '.join(f'{weight:g}' for weight in WEIGHTS[1:])} |",
        "|---|---|" + "---:|" * (len(WEIGHTS) - 1),
    ]  # fmt: skip
    for name in ("untouched", "offsets, alpha 0.5", "offsets, alpha 1"):
        for kind in dict.fromkeys(kind for _, _, kind, _ in cells):
            parts = [cells[name, "any", kind, weight].part(data, rows) for weight in WEIGHTS[1:]]
            row = [f"{one['mAP@20'].macro():.3f} / {one['same-language recall@10'].macro():.3f}" for one in parts]
            lines.append(f"| {name} | {kind} | {' | '.join(row)} |")
    return lines


if __name__ == "__main__":
    main()
