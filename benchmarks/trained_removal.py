"""Training and removal together, against the row of XLM-R on XQuAD-R in arXiv 2408.10536.

    python benchmarks/trained_removal.py train   --to runs/trained libreoffice-help=PATH
    python benchmarks/trained_removal.py embed   --to runs/trained xquad-r=PATH --ntrex PATH
    python benchmarks/trained_removal.py measure --to runs/trained xquad-r=PATH

`train` trains `e5-small-offline` on help pages: hybrid batches, consistency 1, 100 steps of 32 pairs, as in `recipe.py`, one
encoder for each seed. An encoder is kept for each share of the start. `embed` embeds XQuAD-R, and NTREX in its languages, both
as queries and as passages, in int8 with OpenVINO; `--sentences 400` saves time, and then the rows that need more sentences have
fewer seeds. `measure` fits removals on NTREX only, unless a row says otherwise, and writes docs/remedies.md. The encoder's seed
also draws the 400 sentences. Finished parts are not repeated, so a killed call goes on.
"""

from __future__ import annotations

import argparse
import copy
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from marked import write
from recipe import AIMS, SETTINGS, Recipe, Search, of_recipe
from results import ROOT, shown, table
from sentence_transformers import SentenceTransformer

from babelmix.corpus import Corpus, open_corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.embed import encode
from babelmix.encoders.removal import AnyRemoval, Embedded, RemovalOptions, removal_method
from babelmix.evaluation import Measure, RankTable, compare_all, measures
from babelmix.evaluation.scoring import rank_table
from babelmix.training import train
from babelmix.training.flat import MOVED
from babelmix.training.settings import changed
from babelmix.training.weights import average_with, copied, trained

RECIPE = Recipe("hybrid(0.5)", {"consistency": 1})
SHARES = (0.15, 0.3)
SAME = "bias/same-language recall@10"
SHOWN = (*AIMS, SAME)
HEAD = ["mono mAP", "cross mAP", "multi mAP", "rank distance", "same-language R@10"]
PAIRS, ALL = 400, 1997

Floats = npt.NDArray[np.float32]


def encoder_of(to: Path, share: float, seed: int) -> Path:
    """The folder of an encoder."""
    return to / f"{'best' if share == SHARES[0] else f'share{share * 100:.0f}'}-{seed}"


def train_all(corpus: str, to: Path, seeds: list[int]) -> None:
    """Train the encoders that are not there yet, and average each with its start."""
    experiment = of_recipe("e5-libreoffice", corpus)
    search = Search(experiment, SETTINGS["e5-libreoffice"], to / "runs", {}, "openvino")
    for seed in seeds:
        folder = search.model(RECIPE, seed)
        if not (folder / "training.json").is_file():
            changes = {MOVED.get(name, name): value for name, value in (search.changes | RECIPE.changes).items()}
            settings = changed(experiment.run_settings(RECIPE.strategy, seed), changes)
            train(copy.deepcopy(search.start), search.training, settings, folder, base=experiment.encoder.name)
        for share in SHARES:
            place = encoder_of(to, share, seed)
            if place.is_dir():
                continue
            model = SentenceTransformer(str(folder), device="cpu")
            average_with(trained(model), copied(trained(search.start)), share)
            scratch = place.with_name(f"{place.name}.part")
            shutil.rmtree(scratch, ignore_errors=True)
            model.save(str(scratch), create_model_card=False)
            scratch.rename(place)


def embed_all(corpus: Corpus, ntrex: Path, to: Path, seeds: list[int], sentences: int) -> None:
    """Embed with each encoder what is not embedded yet; of NTREX so many sentences, those that the seed draws first."""
    for share, seed in ((share, seed) for share in SHARES for seed in seeds):
        place = encoder_of(to, share, seed)
        if place.is_dir():
            embed_with(place, _vectors(to, share, seed), corpus, ntrex, drawn(seed, sentences))


def embed_with(place: Path, folder: Path, corpus: Corpus, ntrex: Path, rows: npt.NDArray[np.int64]) -> None:
    """Embed with an encoder what is not embedded yet: the benchmark, and some rows of NTREX."""
    table_of = pl.read_parquet(ntrex)
    texts = {
        ("xquad-r", "query"): corpus.queries["text"].to_pylist(), ("xquad-r", "passage"): corpus.passages["text"].to_pylist(),
        **{(f"ntrex.{lang}", kind): table_of[lang].to_list() for kind in ("passage", "query") for lang in corpus.langs},
    }  # fmt: skip
    left = [(*key, some) for key, some in texts.items() if not (folder / f"{key[0]}.{key[1]}.npy").is_file()]
    if not left:
        return
    folder.mkdir(exist_ok=True)
    encoder = load_encoder(str(place), backend="openvino", max_seq_length=512)
    for name, kind, some in left:
        benchmark = name == "xquad-r"
        encoder.max_seq_length = 512 if benchmark else 128
        order = sorted(range(len(some)) if benchmark else rows, key=lambda row, some=some: len(some[row] or ""))
        side = "document" if kind == "passage" else kind
        found = encode(encoder, [some[row] or "" for row in order], side, batch_size=64)
        vectors = np.full((len(some), found.shape[1]), np.nan, dtype=np.float32)
        vectors[order] = found
        file = folder / f"{name}.{kind}.npy"
        np.save(file.with_suffix(".part.npy"), vectors)
        file.with_suffix(".part.npy").rename(file)


def drawn(seed: int, count: int) -> npt.NDArray[np.int64]:
    """The numbers of the sentences that a seed draws."""
    return np.random.default_rng(seed).permutation(ALL)[:count]


ADAPTIVE_TOP = 10
"""As of the policy: the level of a language is the mean of a query's first 10 scores in it."""


@dataclass(frozen=True)
class Space:
    """The vectors of an encoder.

    Args:
        corpus: XQuAD-R.
        folder: the folder of the vectors.
        seed: of the draw of sentences.

    """

    corpus: Corpus
    folder: Path
    seed: int

    def read(self, name: str) -> Floats:
        """The vectors of a file, float32, shape (texts, dimension)."""
        return np.load(self.folder / f"{name}.npy")

    def translations(self, count: int) -> Embedded:
        """So many sentences of NTREX in all languages, as queries and as passages."""
        rows = drawn(self.seed, count)
        langs = tuple(sorted(self.corpus.langs))
        found = [self.read(f"ntrex.{lang}.{kind}")[rows] for kind in ("query", "passage") for lang in langs]
        numbers, items = np.repeat(np.arange(len(langs)), count), np.tile(np.arange(count), len(langs))
        kinds = np.repeat([0, 1], len(numbers))
        vectors = np.concatenate(found).astype(np.float64)
        return Embedded(vectors, np.tile(numbers, 2), kinds, langs, np.tile(items, 2), "cosine")

    def own_means(self) -> Embedded:
        """XQuAD-R's passages, without labels; queries are corrected like passages of their language."""
        langs = tuple(sorted(self.corpus.langs))
        numbers = np.array([langs.index(lang) for lang in self.corpus.passages["lang"].to_pylist()])
        vectors = self.read("xquad-r.passage").astype(np.float64)
        return Embedded(vectors, numbers, np.zeros_like(numbers), langs, None, "cosine")

    def ranked(self, removal: AnyRemoval | None, policy: str) -> RankTable:
        """The ranks, after a removal, and under a policy: `any`, `balanced` or `adaptive`."""
        sides = [(self.read(f"xquad-r.{kind}"), kind) for kind in ("query", "passage")]
        if removal is not None:
            langs = {"query": self.corpus.queries["lang"], "passage": self.corpus.passages["lang"]}
            sides = [(removal.apply(some, langs[kind].to_pylist(), kind), kind) for some, kind in sides]
        (queries, _), (passages, _) = sides
        found = rank_table(self.corpus, queries, passages)
        return found if policy == "any" else levelled(found, queries, passages, self.corpus, policy)


def levelled(found: RankTable, queries: Floats, passages: Floats, corpus: Corpus, policy: str) -> RankTable:
    """The table of scores that are levelled by language, as `balanced` or `adaptive`. Ties count as not outranking."""
    places = {lang: number for number, lang in enumerate(found.passage_langs)}
    lang = np.array([places[one] for one in corpus.passages["lang"].to_pylist()])
    members = [np.flatnonzero(lang == number) for number in range(len(places))]
    order = np.argsort(found.pair_query, kind="stable")
    starts = np.searchsorted(found.pair_query[order], np.arange(len(queries) + 1))
    counts = np.zeros_like(found.outranking_counts)
    for begin in range(0, len(queries), 256):
        scores = queries[begin : begin + 256] @ passages.T
        for some in members:
            part = scores[:, some]
            if policy == "balanced":
                scores[:, some] = (part - part.mean(axis=1, keepdims=True)) / part.std(axis=1, keepdims=True)
            else:
                best = np.partition(part, part.shape[1] - ADAPTIVE_TOP, axis=1)[:, -ADAPTIVE_TOP:]
                scores[:, some] = part - best.mean(axis=1, keepdims=True)
        for row, values in enumerate(scores, begin):
            pairs = order[starts[row] : starts[row + 1]]
            own = values[found.pair_passage[pairs]]
            for number, some in enumerate(members):
                below = np.searchsorted(np.sort(values[some]), own, side="right")
                counts[pairs, number] = len(some) - below
    # The first answers stay those of the plain scores: shares of languages must not be read from this table.
    return replace(found, outranking_counts=counts)


def measured(space: Space) -> dict[str, dict[str, Measure]]:
    """The measures of each system. They are kept in the folder of the vectors."""
    file = space.folder / "measures.pkl"
    kept: dict[str, dict[str, Measure]] = pickle.loads(file.read_bytes()) if file.is_file() else {}
    for label, made in systems(space).items():
        if label not in kept:
            values = measures(made(), ["mAP"])
            kept[label] = {name: values[name] for name in SHOWN}
            print(space.folder.stem, label, [shown(n, values[n].macro()) for n in SHOWN], flush=True)
            file.write_bytes(pickle.dumps(kept))
    return kept


def systems(space: Space) -> dict[str, Callable[[], RankTable]]:
    """What is measured, by its name."""
    found: dict[str, Callable[[], RankTable]] = {}

    def both(label: str, fitted: Callable[[], AnyRemoval | None]) -> None:
        found[label] = lambda: space.ranked(fitted(), "any")
        for policy in ("balanced", "adaptive"):
            name = f"`{policy}`" if label == "alone" else f"{label}, then `{policy}`"
            found[name] = partial(lambda chosen: space.ranked(fitted(), chosen), policy)

    both("alone", lambda: None)
    both(f"offsets of {PAIRS} NTREX sentences", lambda: _fitted("offsets", space.translations(PAIRS)))
    both("the collection's own means", lambda: _fitted("own-means", space.own_means()))
    if np.isnan(space.read("ntrex.en.query")).any():
        return found
    both(f"offsets of {ALL:,}", lambda: _fitted("offsets", space.translations(ALL)))
    both(f"linear map of {ALL:,}", lambda: _fitted("linear-map", space.translations(ALL)))
    return found


def _fitted(method: str, texts: Embedded) -> AnyRemoval:
    fit = removal_method(method).fit_removal
    assert fit is not None
    return fit(texts, RemovalOptions())


def measure_all(corpus: Corpus, to: Path, seeds: list[int]) -> dict[str, str]:
    """The tables: each row is the mean over seeds, with the deviation, and says which columns of the paper it reaches."""
    rows, tests = [], []
    for share in SHARES:
        runs: dict[str, list[dict[str, Measure]]] = {}
        done = [seed for seed in seeds if (_vectors(to, share, seed) / "ntrex.zh.query.npy").is_file()]
        for seed in done:
            for label, values in measured(Space(corpus, _vectors(to, share, seed), seed)).items():
                runs.setdefault(label, []).append(values)
        for label, some in runs.items():
            rows.append([f"{share:.0%}", str(len(some)), label, *_cells(some)])
        whole = {label: some for label, some in runs.items() if len(some) == len(done)}
        if len(done) > 1:
            for c in compare_all(whole, list(AIMS), against="alone"):
                # What is compared against is first of each pair, so signs are turned.
                value, low, high = (
                    shown(c.measure, -v) for v in (c.difference.value, c.difference.high, c.difference.low)
                )
                tests.append([f"{share:.0%}", c.second, c.measure, f"{value} [{low}, {high}]", f"{c.p_holm:.4f}"])
    rows.append(["", "", "the paper's XLM-R, hybrid", *(shown(name, value) for name, value in AIMS.items()), "", ""])
    head = ["start", "seeds", "with", *HEAD, "reached"]
    return {
        "removal-trained": table(head, rows),
        "removal-trained-tests": table(
            ["start", "minus alone", "measure", "difference [95 %]", "p after Holm"], tests
        ),
    }


def _vectors(to: Path, share: float, seed: int) -> Path:
    place = encoder_of(to, share, seed)
    return place.with_name(f"{place.name}.vectors")


def _cells(runs: list[dict[str, Measure]]) -> list[str]:
    """The means with deviations, and the columns of the paper's row that the means reach."""
    cells, reached = [], []
    for name, title in zip(SHOWN, HEAD, strict=True):
        values = [run[name].macro() for run in runs]
        mean = float(np.mean(values))
        deviation = f" ± {shown(name, float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
        cells.append(shown(name, mean) + deviation)
        if name in AIMS and (mean <= AIMS[name] if name.startswith("bias/") else mean >= AIMS[name]):
            reached.append(title.removesuffix(" mAP"))
    return [*cells, ", ".join(reached) or "none"]


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["train", "embed", "measure"])
    parser.add_argument("corpus")
    parser.add_argument("--ntrex", type=Path, help="sentences.parquet, a column for each language")
    parser.add_argument(
        "--sentences", type=int, default=ALL, help="of NTREX to embed; rows that need more are left out"
    )
    parser.add_argument("--to", type=Path, default=Path("runs/trained"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments: Any = parser.parse_args()
    if arguments.stage == "train":
        train_all(arguments.corpus, arguments.to, arguments.seeds)
    elif arguments.stage == "embed":
        embed_all(open_corpus(arguments.corpus), arguments.ntrex, arguments.to, arguments.seeds, arguments.sentences)
    else:
        tables = measure_all(open_corpus(arguments.corpus), arguments.to, arguments.seeds)
        print(json.dumps({name: text.count("\n") - 1 for name, text in tables.items()}))
        for text in tables.values():
            print(text)
        write(ROOT / "docs" / "remedies.md", tables)


if __name__ == "__main__":
    main()
