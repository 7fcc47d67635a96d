"""A reader of German in a collection of several languages: what each policy gives.

python benchmarks/readers.py DATA            # the whole: writes the table of docs/search.md
python benchmarks/readers.py DATA --quick    # few queries: does everything run?

DATA holds `libreoffice-help/blocks.parquet` and `xquad-r/`. Two collections:

- a help centre: headings of LibreOffice's help are the queries, the texts below them the items. Each item is in a random subset
  of eight languages: 40 % of the items in one language only, the others in two to eight, equally often. Texts are cut at 300
  characters.
- XQuAD-R in five languages. The sentence of each language is an item of its own there, so nothing is another rendering of it.

The queries are German, and the reader reads German and English (`reads=own,en`). A heading that several items have is left out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import marked
import numpy as np

from babelmix.corpus import Corpus, load_corpus, open_corpus
from babelmix.search import open_index
from babelmix.search.building import build_index
from babelmix.search.options import SearchOptions
from babelmix.search.through import PolicyComparison, audit_through

LANGS = ("de", "en", "es", "fr", "it", "ja", "pt-BR", "zh-CN")
XQUAD_LANGS = ("ar", "de", "en", "ru", "zh")
QUERY_LANG = "de"
ALONE = 0.4
"""The share of the items that are in one language only."""
CUT = 300
"""The most characters of a text."""

COLUMNS = (
    ("found", "only=own"), ("found", "any"), ("found", "balanced"), ("found", "reads=own,en"),
    ("found", "balanced,reads=own,en"), ("mine", "reads=own,en"), ("mine", "balanced,reads=own,en"),
)  # fmt: skip
TITLES = {
    "bias/item recall@10": "item recall@10",
    "bias/item nDCG@10": "item nDCG@10",
    "bias/readable share@10": "readable share of the first 10",
    "bias/found through other languages@10": "found through other languages@10",
    "bias/languages@10": "languages @10",
}


class Pool(NamedTuple):
    """A collection and its German queries."""

    title: str
    corpus: Corpus


def help_centre(file: Path, items: int, seed: int = 0) -> Corpus:
    """Items of LibreOffice's help, each in some languages only."""
    whole = load_corpus(f"libreoffice-help={file}", langs=list(LANGS))
    texts: dict[str, dict[str, str]] = {}
    for row in whole.passages.to_pylist():
        texts.setdefault(row["item"], {})[row["lang"]] = row["text"][:CUT]
    headings = {row["item"]: row["text"] for row in whole.queries.to_pylist() if row["lang"] == QUERY_LANG}
    often = Counter(headings.values())
    there = sorted(item for item, by in texts.items() if len(by) == len(LANGS) and often[headings.get(item, "")] == 1)
    draw = np.random.default_rng(seed)
    passages, queries, qrels = [], [], []
    for item in draw.permutation(there)[:items].tolist():
        count = 1 if draw.random() < ALONE else int(draw.integers(2, len(LANGS) + 1))
        for lang in draw.permutation(LANGS)[:count].tolist():
            passages.append({"item": item, "lang": lang, "text": texts[item][lang]})
        queries.append({"item": item, "lang": QUERY_LANG, "text": headings[item]})
        qrels.append((item, item))
    return Corpus.from_rows(queries, passages, qrels, name="help centre")


def audited(corpus: Corpus, model: str, backend: str | None, count: int) -> dict[tuple[str, str], PolicyComparison]:
    """The audit of each column."""
    queries = load_corpus(corpus, langs=[QUERY_LANG]).queries
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        build_index(corpus, f"{folder}/index", model=model, backend=backend)
        with open_index(f"{folder}/index") as index:
            for show in ("found", "mine"):
                policies = [policy for one, policy in COLUMNS if one == show]
                options = SearchOptions(query_langs="known", show=show)  # type: ignore[arg-type]
                audit = audit_through(
                    index, corpus, policies=policies, k=10, depth=10, queries=queries, count=count, metrics=["nDCG@10"],
                    held=True, options=options,
                )  # fmt: skip
                found |= {(show, policy): audit for policy in policies}
    return found


def table(pool: Pool, found: dict[tuple[str, str], PolicyComparison]) -> list[str]:
    """The table of one collection."""
    about = found[COLUMNS[0]].about
    per_item = Counter(row["item"] for row in pool.corpus.passages.select(["item", "lang"]).to_pylist())
    alone = sum(count == 1 for count in per_item.values()) / len(per_item)
    heads = [f"`{policy}`{', `show=mine`' if show == 'mine' else ''}" for show, policy in COLUMNS]
    lines = [
        f"{pool.title}: {about['queries']:,} German queries, {len(per_item):,} items, {about['pool']:,} texts, {alone:.0%} of "
        f"the items in one language only, `{about['encoder']}`.",
        "",
        f"| | {' | '.join(heads)} |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    for name, title in TITLES.items():
        cells = []
        for show, policy in COLUMNS:
            one = found[show, policy].found[policy]
            cells.append(f"{one[name][0].value:.3f}" if name in one else "")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    """Make the collections, audit, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="e5-small-offline")
    parser.add_argument("--backend", help="the engine that runs the encoder")
    parser.add_argument("--items", type=int, default=400, help="items of the help centre")
    parser.add_argument("--queries", type=int, default=200, help="queries to XQuAD-R")
    parser.add_argument(
        "--quick", action="store_true", help="few items and queries, the help centre alone, writes no document"
    )
    arguments = parser.parse_args()
    items, count = (60, 20) if arguments.quick else (arguments.items, arguments.queries)
    pools = [Pool("A help centre", help_centre(arguments.data / "libreoffice-help" / "blocks.parquet", items))]
    if not arguments.quick:
        xquad = load_corpus(open_corpus(f"xquad-r={arguments.data / 'xquad-r'}"), langs=list(XQUAD_LANGS))
        pools.append(Pool("XQuAD-R", xquad))
    how = f" --backend {arguments.backend}" if arguments.backend else ""
    lines = ["```", f"python benchmarks/readers.py DATA{how}", "```", ""]
    for pool in pools:
        whole = pool.title == "A help centre" and not arguments.quick
        lines += table(pool, audited(pool.corpus, arguments.model, arguments.backend, 0 if whole else count))
        if not arguments.quick:
            # After each collection, so that an interrupted run leaves a table.
            marked.write(
                Path(__file__).resolve().parents[1] / "docs" / "search.md", {"readers": "\n".join(lines).rstrip()}
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
