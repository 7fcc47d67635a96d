"""The disk that corrected vectors take, and how far corrections may be off until corrected vectors have to be made anew.

python benchmarks/balanced_stale.py FOLDER

FOLDER is one that benchmarks/balanced.py made, such as TO/11-200000. Writes two parts of docs/benchmarks.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import machine
import marked
import numpy as np
from balanced import ROOT, K

from babelmix.search.calibration import Calibration
from babelmix.search.corrected import Correction, Corrections, Scores

COUNTS = (60, 240)
"""Of candidates: for 20 rows, and where these are not certain to be the first."""


def main() -> None:
    """Compare corrections that are off by more and more."""
    folder = Path(sys.argv[1])
    parts = {"balanced-disk": disk(folder / "this"), "balanced-stale": "\n".join([*table(folder), "", machine.note()])}
    print("\n\n".join(parts.values()))
    marked.write(ROOT / "docs" / "benchmarks.md", parts)


def disk(index: Path) -> str:
    """The disk that the files of an index take, and those of its corrected vectors."""
    sizes = {file: 512 * file.stat().st_blocks for file in index.rglob("*") if file.is_file()}
    parts = {
        name: sum(size for file, size in sizes.items() if any(part.startswith(name) for part in file.parts))
        for name in (
            "vector_storage-corrected",
            "vector_index-corrected",
            "vector_storage-dense",
            "vector_index-dense",
        )
    }
    codes, graph, own, own_graph = (f"{size / 1e6:,.0f}" for size in parts.values())
    return (
        f"Of {sum(sizes.values()) / 1e6:,.0f} MB on the disk, corrected vectors take {codes} MB and their graph {graph} MB; the "
        f"rows' own vectors take {own} MB and their graph {own_graph} MB."
    )


def table(folder: Path, some: int = 60_000, asked: int = 100) -> list[str]:
    """How many queries need more candidates, and which rows are candidates, where corrections no longer fit. No graph is used."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")[:some]
    tags = np.array(json.loads((folder / "rows.json").read_text())["langs"][:some])
    with np.load(folder / "data.npz") as data:
        queries = data["queries"][:asked]
    langs = sorted(set(tags.tolist()))
    counts = {lang: int((tags == lang).sum()) for lang in langs}
    calibration = Calibration.fit(lambda lang, count: vectors[np.flatnonzero(tags == lang)[:count]], counts)
    fresh, rng = Corrections.fit(calibration, vectors[-500:]), np.random.default_rng(0)
    plain = queries @ vectors.T
    balanced = np.empty_like(plain)
    for lang in langs:
        mean, spread = calibration.scale(lang, queries)
        balanced[:, tags == lang] = (plain[:, tags == lang] - mean[:, None]) / spread[:, None]
    best = np.argsort(-balanced, axis=1)[:, :K]

    def line(name: str, changed: int, shift: float, stretch: float) -> str:
        own = dict(fresh.langs)
        for lang in rng.permutation(langs)[:changed].tolist():
            # Away from the mean as a passage lies: as if the language had come to be about something else.
            aside = vectors[rng.choice(np.flatnonzero(tags == lang))] - own[lang].mean
            size = np.sqrt(np.mean((queries @ aside / calibration.scale(lang, queries)[1]) ** 2))
            own[lang] = Correction(own[lang].mean + np.float32(shift / size) * aside, own[lang].scale * stretch)
        scores = Scores(calibration, Corrections(own, fresh.others), langs)
        corrected = np.empty_like(plain)
        for lang in langs:
            corrected[:, tags == lang] = (plain[:, tags == lang] - (queries @ own[lang].mean)[:, None]) / own[
                lang
            ].scale
        cells = []
        for count in COUNTS:
            first = np.argpartition(-corrected, count, axis=1)[:, :count]
            least = np.take_along_axis(corrected, first, axis=1).min(axis=1)
            sure = [
                np.sort(balanced[i][first[i]])[-K] >= scores.of(query).bound(float(least[i]), langs)
                for i, query in enumerate(queries)
            ]
            there = [len(set(a) & set(b)) / K for a, b in zip(best.tolist(), first.tolist(), strict=True)]
            cells += [f"{np.mean(there):.3f}", f"{1 - np.mean(sure):.2f}"]
        return f"| {name} | {' | '.join(cells)} |"

    half = len(langs) // 2
    return [
        f"{len(vectors):,} rows in {len(langs)} languages, {len(queries)} queries, first {K}, without a graph.",
        "",
        f"| corrections | first rows among {COUNTS[0]} candidates | queries that need more | among {COUNTS[1]} | need more |",
        "|---|---:|---:|---:|---:|",
        line("as fitted", 0, 0, 1),
        *(line(f"{half} means off by {off} spreads", half, off, 1) for off in (0.1, 0.25, 0.5, 1.0)),
        *(line(f"{half} scales off by {off:.0%}", half, 0, 1 + off) for off in (0.05, 0.15, 0.3)),
    ]


if __name__ == "__main__":
    main()
