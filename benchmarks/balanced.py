"""The policy `balanced` in one search: time against `any` and against an earlier build, and quality against the exact policy.

python benchmarks/balanced.py --ntrex PATH --xquad PATH --vectors FOLDER --to FOLDER --before WORKTREE [--rows 200000]

Rows are passages of NTREX (and of XQuAD-R, with 11 languages), embedded by `e5-small-offline`. Embeddings are kept in
`--vectors` as `ntrex.LANG.passage.npy` and so on, and used again. To reach `--rows`, further rows are mixed from two random
passages of a language. The language's mean is subtracted from both, and their weights' squares add to one, so that mean and
covariance of the language stay. With 11 languages the queries are XQuAD-R's questions; with 32, sentences of NTREX in 11 of them,
embedded as queries. Right are the answers, or the sentence itself, in all languages.

Each build makes its own index and is searched in its own process, one query at a time, with texts and metadata. Blocks of queries
alternate between builds and policies. `--before` is a worktree of the earlier build. Writes the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine
import marked
import numpy as np

K = 20
BLOCK = 20
ELEVEN = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
MODEL = "e5-small-offline"
COLUMNS = {"written": 1, "seconds": 1, "disk": 1e-6}
"""What is told of a build, and in which unit."""
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Make rows, build, search in turn, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ntrex", help="the folder with sentences.parquet: a column a language")
    parser.add_argument("--xquad", help="the folder of XQuAD-R")
    parser.add_argument("--vectors", type=Path, help="the folder that keeps embeddings")
    parser.add_argument("--to", type=Path, help="the folder for indexes; what is built there already is used again")
    parser.add_argument("--before", type=Path, help="a worktree of the earlier build")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--languages", type=int, nargs="+", default=[11, 32])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--copied", action="store_true", help="the earlier build searches a copy of this build's index"
    )
    parser.add_argument("--only-build", action="store_true")
    parser.add_argument(
        "--quick", action="store_true", help="small, with drawn vectors, to see that it runs; writes nothing"
    )
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(*given.worker)
        return
    if given.quick:
        import tempfile

        given.rows, given.languages, given.queries, given.rounds = 1500, [3], 20, 1
        with tempfile.TemporaryDirectory() as folder:
            given.to = Path(folder)
            print("\n".join(table(given, 3)))
        return
    if not (given.vectors and given.to and given.ntrex and given.xquad):
        parser.error("give --ntrex, --xquad, --vectors and --to")
    parts = {f"balanced-{count}": "\n".join(table(given, count)) for count in given.languages}
    if given.only_build:
        return
    for part, lines in parts.items():
        print(lines)
        marked.write(ROOT / "docs" / "benchmarks.md", {part: f"{lines}\n\n{machine.note()}"})


def table(given: argparse.Namespace, languages: int) -> list[str]:
    """The lines of the table for a number of languages."""
    folder = given.to / f"{languages}-{given.rows}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data.npz").exists():
        drawn(folder, given) if given.quick else prepare(folder, languages, given)
    builds = {"this": ROOT} | ({"before": given.before} if given.before else {})
    for name, root in builds.items():
        if (folder / f"{name}.json").exists():
            continue
        if name == "before" and given.copied:
            shutil.copytree(folder / "this", folder / name, dirs_exist_ok=True)
            facts = {"rows": given.rows}
        else:
            with Worker(folder, name, root) as worker:
                facts = worker({"do": "build"})
            print(f"{languages} languages, {name}: built in {facts['seconds']:.0f} s", file=sys.stderr, flush=True)
        (folder / f"{name}.json").write_text(json.dumps(facts))
    if given.only_build:
        return []
    with np.load(folder / "data.npz") as data:
        right = [set(np.flatnonzero(row).tolist()) for row in data["right"]]
    return measured(given, folder, builds, languages, right)


def measured(
    given: argparse.Namespace, folder: Path, builds: dict[str, Path], languages: int, right: list[set[int]]
) -> list[str]:
    """Search in turn, and compare with the exact policy."""
    built = {name: json.loads((folder / f"{name}.json").read_text()) for name in builds}
    ways = [(name, policy) for name in builds for policy in ("any", "balanced")]
    times: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    found: dict[tuple[str, str], dict[int, list[int]]] = {way: {} for way in ways}
    searches: list[int] = []
    workers = {name: Worker(folder, name, root) for name, root in builds.items()}
    try:
        for name, policy in ways:
            # The first searches read the files.
            workers[name]({"do": "search", "policy": policy, "queries": list(range(BLOCK))})
        rng = np.random.default_rng(0)
        blocks = [list(range(start, min(start + BLOCK, given.queries))) for start in range(0, given.queries, BLOCK)]
        for turn in range(given.rounds):
            for block in blocks:
                for place in rng.permutation(len(ways)):
                    name, policy = ways[place]
                    answer = workers[name]({"do": "search", "policy": policy, "queries": block})
                    times[name, policy] += answer["seconds"]
                    found[name, policy] |= dict(zip(block, answer["rows"], strict=True))
                    if (name, policy) == ("this", "balanced") and not turn:
                        searches += answer["searches"]
            print(f"round {turn + 1} of {given.rounds}", file=sys.stderr, flush=True)
        memory = {name: worker({"do": "memory"}) for name, worker in workers.items()}
        exact = workers["this"]({"do": "exact", "queries": given.queries})["rows"]
    finally:
        for worker in workers.values():
            worker.close()
    best = statistics.mean(precision(rows, right[i]) for i, rows in enumerate(exact))
    plain = statistics.median(times["this", "any"])
    name_of = {"this": "this build", "before": "the build before"}
    lines = [
        f"{built['this']['rows']:,} rows in {languages} languages, {given.queries} queries one by one, first {K}; medians of "
        f"{given.rounds} rounds. Exact policy (`--exact`, all rows compared): mAP@{K} {best:.4f}.",
        "",
        f"| | ms | times `any` | mAP@{K} | of the exact policy's | rows of the exact policy found |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, policy in ways:
        lists = [found[name, policy][i] for i in range(given.queries)]
        value = statistics.mean(precision(rows, right[i]) for i, rows in enumerate(lists))
        same = statistics.mean(len(set(a) & set(b)) / max(len(b), 1) for a, b in zip(lists, exact, strict=True))
        took = statistics.median(times[name, policy])
        cells = [f"{took * 1e3:.2f}", f"{took / plain:.2f}", f"{value:.4f}"]
        cells += [f"{value / best:.4f}", f"{same:.4f}"] if policy == "balanced" else ["", ""]
        lines.append(f"| {name_of[name]}, `{policy}` | {' | '.join(cells)} |")
    lines += [
        "",
        f"{statistics.mean(count > 1 for count in searches):.1%} of the queries needed more candidates than a first search gave; "
        f"{statistics.mean(count == 0 for count in searches):.1%} were searched in each language.",
        "",
        "| | written, s | with its graphs, s | disk, MB | memory after the searches, MB | without files, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, facts in built.items():
        cells = [f"{facts[key] * scale:,.0f}" if key in facts else "" for key, scale in COLUMNS.items()]
        size = memory[name]
        cells += [f"{size['all'] / 1e6:,.0f}", f"{(size['all'] - size['files']) / 1e6:,.0f}"]
        lines.append(f"| {name_of[name]} | {' | '.join(cells)} |")
    if given.copied:
        lines += ["", "The build before searched a copy of the index of this build."]
    return lines


def precision(rows: list[int], right: set[int]) -> float:
    """Average precision of a list, of its first `K` rows."""
    hits, total = 0, 0.0
    for rank, row in enumerate(rows[:K], start=1):
        if row in right:
            hits += 1
            total += hits / rank
    return total / min(len(right), K)


def prepare(folder: Path, languages: int, given: argparse.Namespace) -> None:
    """Write the rows, the queries and which rows are right."""
    import polars as pl

    from babelmix.corpus import open_corpus

    sentences = pl.read_parquet(Path(given.ntrex) / "sentences.parquet")
    columns = {name.removeprefix("text_"): name for name in sentences.columns}
    every = [*ELEVEN, *sorted(p.name.split(".")[1] for p in given.vectors.glob("ntrex.*.passage.npy"))]
    langs = list(dict.fromkeys(every))[:languages]
    rng = np.random.default_rng(0)
    corpus = open_corpus(f"xquad-r={given.xquad}")
    vectors: list[np.ndarray] = []
    tags: list[str] = []
    texts: list[str] = []
    items: list[str] = []
    for lang in langs:
        own = [text or "-" for text in sentences[columns[lang]].to_list()]
        names = [f"n{i}" for i in range(len(own))]
        made = embedded(given.vectors, f"ntrex.{lang}", own, "passage")
        if languages == len(ELEVEN):
            some = [i for i, tag in enumerate(corpus.passages["lang"].to_pylist()) if tag == lang]
            made = np.concatenate(
                [embedded(given.vectors, "xquad-r", corpus.passages["text"].to_pylist(), "passage")[some], made]
            )
            own = corpus.passages["text"].take(some).to_pylist() + own
            names = corpus.passages["item"].take(some).to_pylist() + names
        count = given.rows // languages
        more = max(count - len(made), 0)
        pairs = rng.integers(0, len(made), (2, more))
        weights = rng.uniform(0.3, 0.7, (more, 1)).astype(np.float32)
        centred = made - made.mean(axis=0)
        mixed = made.mean(axis=0) + np.sqrt(weights) * centred[pairs[0]] + np.sqrt(1 - weights) * centred[pairs[1]]
        vectors.append(normal(np.concatenate([made, mixed])[:count]))
        texts += (own + [own[i] for i in pairs[0]])[:count]
        items += (names + ["" for _ in range(more)])[:count]
        tags += [lang] * len(vectors[-1])
    order = rng.permutation(len(tags))
    places: dict[str, list[int]] = {}
    for row, old in enumerate(order):
        places.setdefault(items[old], []).append(row)
    if languages == len(ELEVEN):
        asked = embedded(given.vectors, "xquad-r", corpus.queries["text"].to_pylist(), "query")
        answering: dict[str, set[str]] = {}
        for query, passage in zip(
            corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True
        ):
            answering.setdefault(query, set()).add(passage)
        wanted = [answering.get(item, set()) for item in corpus.queries["item"].to_pylist()]
    else:
        sides = {lang: [text or "-" for text in sentences[columns[lang]].to_list()] for lang in ELEVEN}
        asked = np.concatenate([embedded(given.vectors, f"ntrex.{lang}", sides[lang], "query") for lang in ELEVEN])
        wanted = [{f"n{i}"} for lang in ELEVEN for i in range(len(sides[lang]))]
    asking = [i for i, some in enumerate(wanted) if any(item in places for item in some)]
    chosen = rng.permutation(asking)[: given.queries]
    right = np.zeros((len(chosen), len(order)), dtype=bool)
    for i, query in enumerate(chosen):
        right[i, [row for item in wanted[query] for row in places.get(item, [])]] = True
    keep(
        folder,
        np.concatenate(vectors)[order],
        [tags[i] for i in order],
        [texts[i] for i in order],
        normal(asked[chosen]),
        right,
    )


def drawn(folder: Path, given: argparse.Namespace) -> None:
    """Rows and queries of drawn vectors."""
    rng = np.random.default_rng(0)
    tags = [("de", "en", "fr")[i % 3] for i in range(given.rows)]
    middles = {lang: rng.normal(size=16) for lang in ("de", "en", "fr")}
    vectors = normal(np.array([middles[lang] + rng.normal(size=16) for lang in tags]))
    right = rng.random((given.queries, given.rows)) < 0.01
    keep(folder, vectors, tags, ["a text"] * given.rows, vectors[: given.queries], right)


def keep(folder: Path, vectors: Any, tags: list[str], texts: list[str], queries: Any, right: Any) -> None:
    """Write what both builds read."""
    np.save(folder / "vectors.npy", vectors)
    (folder / "rows.json").write_text(json.dumps({"langs": tags, "texts": texts}))
    np.savez(folder / "data.npz", queries=queries, right=right)


def embedded(folder: Path, label: str, texts: list[str], kind: str) -> np.ndarray:
    """Embeddings of texts, float32, shape (texts, dimension); kept in a file."""
    file = folder / f"{label}.{kind}.npy"
    if not file.exists():
        from babelmix.encoders import encode, load_encoder

        made = encode(load_encoder(MODEL, backend="openvino"), texts, "query" if kind == "query" else "document")
        np.save(file, made)
    return np.load(file)


def normal(vectors: np.ndarray) -> np.ndarray:
    """Vectors normalised to length one, float32."""
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


class Worker:
    """A process with one build of babelmix, which builds or searches its index."""

    def __init__(self, folder: Path, name: str, root: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(root / "src")}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(folder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip

    def __call__(self, order: dict[str, Any]) -> Any:
        """Send an order, and wait for its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def work(folder: str, name: str) -> None:
    """Follow the orders of `main`, with the babelmix of this process."""
    from babelmix.encoders import static
    from babelmix.search import Index, Searcher

    place = Path(folder)
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    with np.load(place / "data.npz") as data:
        queries = data["queries"]
    encoder = static.from_scratch(["a text"], vocabulary=40, dimension=vectors.shape[1])
    address = place / name
    searcher: Any = None
    answer: Any
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "build":
            answer = build(place, address, encoder)
        else:
            if searcher is None:
                searcher = Searcher(Index.open(str(address)), encoder)
            if order["do"] == "search":
                answer = search(searcher, queries, order)
            elif order["do"] == "memory":
                status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
                size = {key: 1024 * int(status[key].split()[0]) for key in ("VmRSS", "RssFile")}
                answer = {"all": size["VmRSS"], "files": size["RssFile"]}
            else:
                answer = {
                    "rows": exactly(searcher, vectors, json.loads((place / "rows.json").read_text())["langs"], queries)
                }
        print(json.dumps(answer), flush=True)
    if searcher is not None:
        searcher.close()


def build(place: Path, address: Path, encoder: Any) -> dict[str, float]:
    """Write all rows into an index, and build its graphs."""
    from babelmix.search import Index, Row

    rows = json.loads((place / "rows.json").read_text())
    vectors = np.load(place / "vectors.npy")
    shutil.rmtree(address, ignore_errors=True)
    began = time.perf_counter()
    with Index.create(str(address), encoder, "benchmark") as index:
        numbered = enumerate(zip(rows["langs"], rows["texts"], strict=True))
        for some in iter(lambda: list(itertools.islice(numbered, 2000)), []):
            changes = index.changes([Row(str(i), lang, text) for i, (lang, text) in some])
            index.write(changes, vectors[[int(point.row.item) for point in changes.points]])
        written = time.perf_counter() - began
        # As a run of `babelmix index` ends.
        index.calibrate()
        index.settle()
    seconds = time.perf_counter() - began
    # The library removes old files when the index is closed and opened again.
    Index.open(str(address)).close()
    disk = sum(512 * file.stat().st_blocks for file in address.rglob("*") if file.is_file())
    return {"rows": len(vectors), "written": written, "seconds": seconds, "disk": disk}


def search(searcher: Any, queries: np.ndarray, order: dict[str, Any]) -> dict[str, Any]:
    """The time of each search, the rows found, and how many searches by corrected vectors each needed."""
    engine = searcher.index.engine
    seconds, rows, searches = [], [], []
    counts = list(counted(engine))
    for query in order["queries"]:
        before = len(counts[0]) if counts else 0
        began = time.perf_counter()
        hits = searcher.search([""], k=K, policy=order["policy"], vectors=queries[query : query + 1])[0]
        seconds.append(time.perf_counter() - began)
        rows.append([int(hit.item) for hit in hits])
        searches.append(len(counts[0]) - before if counts else 0)
    return {"seconds": seconds, "rows": rows, "searches": searches}


def counted(engine: Any) -> Iterator[list[int]]:
    """A list that grows with each search by corrected vectors; nothing if the build has none."""
    near = getattr(engine, "nearest_corrected", None)
    if near is None:
        return
    calls: list[int] = getattr(near, "calls", [])
    if not hasattr(near, "calls"):

        def counting(*given: Any, **named: Any) -> Any:
            calls.append(1)
            return near(*given, **named)

        counting.calls = calls  # type: ignore[attr-defined]
        engine.nearest_corrected = counting
    yield calls


def exactly(searcher: Any, vectors: Any, langs: list[str], queries: np.ndarray) -> list[list[int]]:
    """The first rows under the exact policy: the formula over all rows, with the calibration of the index."""
    calibration, tags = searcher.index.calibration, np.array(langs)
    rows, whole = [], np.asarray(vectors)
    for start in range(0, len(queries), BLOCK):
        some = queries[start : start + BLOCK]
        scores = some @ whole.T
        for lang in np.unique(tags):
            mean, spread = calibration.scale(str(lang), some)
            of = tags == lang
            scores[:, of] = (scores[:, of] - mean[:, None]) / spread[:, None]
        rows += np.argsort(-scores, axis=1)[:, :K].tolist()
    return rows


if __name__ == "__main__":
    main()
