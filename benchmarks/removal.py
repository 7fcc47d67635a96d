"""Remedies against language bias, side by side, for vectors that exist. Writes docs/remedies.md.

python benchmarks/removal.py --data DATA
python benchmarks/removal.py --data DATA --vectors FOLDER --encoders e5-small-offline --questions 238 --sets sentences

DATA has the folders ntrex, courses, libreoffice-help and xquad-r. Nothing is fitted or chosen on XQuAD, except where a row says
that it uses the passages of the collection, without labels. What is fitted on a sample of texts is fitted on several draws of
them: a value is the mean over draws, ± their deviation, with a bootstrap interval over the groups of the test set. Tests are
paired randomisation tests over groups, with Holm's correction over all tests of a table. Results are kept in the folder, so that
a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import removal_data as data
from marked import write
from removal_data import Store, TestSet
from removal_rows import REMEDIES, SHIFT, UNTOUCHED, Remedy
from removal_scores import adjusted
from results import shown, table

from babelmix._cache import place_for
from babelmix._files import slug
from babelmix.encoders.removal import AnyRemoval, Embedded, load_removal
from babelmix.errors import ArgumentError, EncoderError
from babelmix.evaluation import compare_all, estimates, measures
from babelmix.evaluation.scoring import rank_table
from babelmix.evaluation.significance import group_count

FILE = Path(__file__).resolve().parents[1] / "docs" / "remedies.md"

RENAMED = {"zh": "zh-CN"}
"""A language of the fitting texts that the help pages name otherwise."""

TARGETS: dict[str, Callable[[Mapping[str, float], Mapping[str, float]], bool]] = {
    "mono": lambda now, start: now["mono/mAP"] >= start["mono/mAP"],
    "cross .69": lambda now, start: now["cross/mAP"] >= 0.69,
    "multi .58": lambda now, start: now["multi/mAP"] >= 0.58,
    "multi .60": lambda now, start: now["multi/mAP"] >= 0.60,
    "distance 550": lambda now, start: now["bias/rank distance"] <= 550,
    "distance 480": lambda now, start: now["bias/rank distance"] <= 480,
    "same-language R@10 98% and multi .48": lambda now, start: (
        now[SAME] >= 0.98 * start[SAME] and now["multi/mAP"] >= 0.48
    ),
}
"""What was aimed at on all questions of XQuAD-R."""

SAME = "bias/same-language recall@10"


class Bench:
    """One encoder on one test set.

    Args:
        store: the vectors of the encoder.
        test: the test set.
        given: the arguments of the script.
        trained: the same test set with the vectors of trained encoders.

    """

    def __init__(self, store: Store, test: TestSet, given: argparse.Namespace, trained: Sequence[Bench] = ()) -> None:
        self.store, self.test, self.given, self.trained = store, test, given, trained
        self.folder = given.results / slug(store.encoder) / slug(test.name)

    @cached_property
    def _base(self) -> Any:
        return rank_table(self.test.corpus, self.test.queries, self.test.passages)

    def texts(self, remedy: Remedy, draw: int) -> Embedded:
        """The texts that a remedy is fitted on, as far as their languages are in the test set."""
        source = remedy.texts.removeprefix("all of ").split(",")[0]
        langs = {*self.test.langs["queries"], *self.test.langs["passages"]}
        if source == "collection":
            return data.collection(self.test)
        whole = self.given.data
        if source == "ntrex":
            names = {own: there for own, there in RENAMED.items() if there in langs}
            back = {there: own for own, there in names.items()}
            asked = sorted(back.get(lang, lang) for lang in langs)
            found = data.renamed(data.ntrex(self.store, whole / "ntrex" / "sentences.parquet", asked), names)
        elif source == "courses":
            found = data.courses(self.store, whole / "courses" / "sections.parquet")
        else:
            found = data.help_texts(self.store, f"libreoffice-help={whole / 'libreoffice-help' / 'blocks.parquet'}")
            found = data.renamed(found, {"zh-CN": "zh"} if "zh" in langs else {})
        return data.drawn(data.only_langs(found, sorted(langs)), remedy.number, draw)

    def draws(self, remedy: Remedy) -> int:
        """How often a remedy is fitted."""
        if remedy.trained:
            return len(self.trained)
        sampled = remedy.fit is not None and remedy.number and not remedy.texts.startswith("collection")
        return self.given.draws if sampled else 1

    def fitted(self, remedy: Remedy, draw: int) -> AnyRemoval:
        """The removal of one draw; kept in the folder, as several rows and test sets have the same."""
        assert remedy.fit is not None
        langs = sorted({*self.test.langs["queries"], *self.test.langs["passages"]})
        on = self.folder if remedy.texts == "collection" else remedy.texts.split(",")[0]
        key = f"{self.store.folder}|{remedy.fit.__name__}|{on}|{remedy.number}|{draw}|{langs}"
        file = self.given.results / "removals" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            remedy.fit(self.texts(remedy, draw)).save(file)
        removal = load_removal(file)
        return removal if remedy.alpha is None else removal.with_alpha(remedy.alpha)

    def measured(self, remedy: Remedy, draw: int) -> Mapping[str, Any]:
        """The measures of one draw; kept in the folder."""
        if remedy.trained:
            return self.trained[draw].measured(replace(remedy, trained=False), 0)
        version = (
            "3"
            if remedy.adjust is not None
            else "2"
            if "linear-map" in remedy.name or "shipped" in remedy.name
            else ""
        )
        key = f"{remedy.name}|{remedy.texts}|{remedy.number}|{draw}|{len(self.test.queries)}{version}"
        file = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.pickle"
        if file.exists():
            return dict(pickle.loads(file.read_bytes()))
        sides = {"query": self.test.queries, "passage": self.test.passages}
        if remedy.fit is not None:
            removal = self.fitted(remedy, draw)
            langs = {"query": self.test.langs["queries"], "passage": self.test.langs["passages"]}
            for kind in ("query", "passage") if remedy.sides == "both" else (remedy.sides,):
                sides[kind] = removal.apply(sides[kind], langs[kind], kind)
        if remedy.adjust is None:
            ranks = rank_table(self.test.corpus, sides["query"], sides["passage"])
        else:
            ranks = adjusted(
                self._base, sides["query"], sides["passage"], self.test.langs["passages"], remedy.adjust, remedy.own
            )
        found = measures(ranks, list(self.test.metrics))
        kept = {name: found[name] for name in self.test.measures}
        self.folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(kept))
        print(
            self.store.encoder,
            self.test.name,
            remedy.name,
            draw,
            *(f"{m.macro():.3f}" for m in kept.values()),
            flush=True,
        )
        return kept

    def results(self) -> dict[Remedy, list[Mapping[str, Any]]]:
        """The measures of all remedies, one mapping a draw. A remedy whose method is not there is left out."""
        found = {}
        for remedy in REMEDIES:
            try:
                runs = [self.measured(remedy, draw) for draw in range(self.draws(remedy))]
            except (EncoderError, ArgumentError) as error:
                print(f"left out: {remedy.name}, {remedy.texts}: {error}", flush=True)
                runs = []
            if runs:
                found[remedy] = runs
        return found

    def table(self) -> str:
        """The table of all remedies, with tests against the first and against SHIFT."""
        results = self.results()
        systems = {self.label(remedy): runs for remedy, runs in results.items()}
        names = list(self.test.measures)
        worse: dict[tuple[str, str, str], str] = {}
        named = {remedy.name: self.label(remedy) for remedy in results}
        for against, mark in ((named[UNTOUCHED], "*"), (named[SHIFT], "†")):
            for test in compare_all(systems, names, against=against, resamples=200):
                if test.p_holm is not None and test.p_holm < 0.05:
                    worse[test.second, test.measure, mark] = mark
        rows = []
        for remedy, runs in results.items():
            name = self.label(remedy)
            cells = []
            for measure in names:
                values = [run[measure].macro() for run in runs]
                text = shown(measure, float(np.mean(values)))
                if len(values) > 1:
                    text += f" ± {shown(measure, float(np.std(values, ddof=1)))}"
                text += "".join(worse.get((name, measure, mark), "") for mark in "*†")
                cells.append(text)
            rows.append([remedy.name, remedy.texts or "nothing", *cells])
        first = estimates({name: next(iter(results.values()))[0][name] for name in names})
        spans = ", ".join(
            f"{head} {shown(name, first[name][0].low)} to {shown(name, first[name][0].high)}"
            for name, head in self.test.measures.items()
        )
        return (
            f"{table(['remedy', 'fitted on', *self.test.measures.values()], rows)}\n\n"
            f"95% intervals of the untouched encoder over {group_count(measures(self._base, ['mAP'])):,} groups: {spans}."
        )

    def targets(self) -> str:
        """The rows that the targets are about, on all questions, with intervals, and what each reaches."""
        kept = [
            remedy for remedy in REMEDIES if remedy.name == UNTOUCHED or (remedy.number == 0 and not remedy.trained)
        ]
        runs = {remedy.name: [self.measured(remedy, 0)] for remedy in kept}
        start = {name: measure.macro() for name, measure in runs[UNTOUCHED][0].items()}
        tests = {
            (t.second, t.measure): t
            for t in compare_all(runs, list(self.test.measures), against=UNTOUCHED, resamples=200)
        }
        rows = []
        for name, (found,) in runs.items():
            spans = estimates(found)
            cells = []
            for measure in self.test.measures:
                span, test = spans[measure][0], tests.get((name, measure))
                mark = "" if test is None else f", p {test.p_holm:.4f}"
                cells.append(
                    f"{shown(measure, span.value)} [{shown(measure, span.low)}, {shown(measure, span.high)}]{mark}"
                )
            value = {measure: found[measure].macro() for measure in found}
            reached = [title for title, met in TARGETS.items() if name != UNTOUCHED and met(value, start)]
            rows.append([name, *cells, "; ".join(reached) or "none"])
        return table(["remedy", *self.test.measures.values(), "targets reached"], rows)

    @staticmethod
    def label(remedy: Remedy) -> str:
        """A name that no other row has."""
        return f"{remedy.name} | {remedy.texts} | {remedy.number}"


def tests_of(store: Store, given: argparse.Namespace) -> dict[str, Callable[[], list[TestSet]]]:
    """The test sets, by the part of the document that they write."""
    xquad = f"xquad-r={given.data / 'xquad-r'}"
    pages = f"libreoffice-help={given.data / 'libreoffice-help' / 'blocks.parquet'}"
    return {
        "sentences": lambda: [data.xquad_sentences(store, xquad, given.questions)],
        "paragraphs": lambda: [
            data.xquad_paragraphs(store, xquad, "unit=paragraph&langs=en,de,es", data.QDRANT),
            data.xquad_paragraphs(store, xquad, "pool=shift&queries=en", data.SHIFT),
        ],
        "one-language": lambda: [data.one_language(data.xquad_sentences(store, xquad, given.questions))],
        "help": lambda: [data.help_pages(store, pages)],
    }


NEEDED = {
    "sentences": "xquad-r.query",
    "paragraphs": "xquad-p.passage",
    "one-language": "xquad-r.query",
    "help": "help-test.query",
}
"""A file that a trained encoder's folder has if it has the vectors of a part."""


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--vectors", type=Path, default=place_for("vectors", "benchmarks", "removal"), help="a folder for each encoder"
    )
    parser.add_argument("--results", type=Path, default=Path("runs") / "removal")
    parser.add_argument("--encoders", nargs="+", default=["e5-small-offline", "use-multilingual-offline"])
    parser.add_argument("--backend", default="openvino", help="as of `babelmix audit`")
    parser.add_argument("--questions", type=int, default=0, help="of XQuAD-R's sentences; 0: all")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=["sentences", "paragraphs", "one-language", "help", "targets"])
    parser.add_argument("--no-embedding", action="store_true", help="leave out what lacks vectors in the folder")
    parser.add_argument("--trained", nargs="*", type=Path, default=[], help="folders of vectors of trained encoders")
    given = parser.parse_args()
    if "targets" in given.sets:
        store = Store(given.encoders[0], given.backend, given.vectors / given.encoders[0])
        test = data.xquad_sentences(store, f"xquad-r={given.data / 'xquad-r'}", 0)
        write(
            FILE,
            {"removal-targets": f"{test.about[:1].upper()}{test.about[1:]}:\n\n{Bench(store, test, given).targets()}"},
        )
    for part in given.sets:
        if part == "targets":
            continue
        texts = []
        for encoder in given.encoders:
            store = Store(encoder, given.backend, given.vectors / encoder, not given.no_embedding)
            seeds = (
                [Store(folder.name, "", folder, embeds=False) for folder in given.trained]
                if encoder == given.encoders[0]
                else []
            )
            seeds = [seed for seed in seeds if (seed.folder / f"{NEEDED[part]}.npy").exists()]
            others = [tests_of(seed, given)[part]() for seed in seeds]
            for n, test in enumerate(tests_of(store, given)[part]()):
                trained = [Bench(seed, other[n], given) for seed, other in zip(seeds, others, strict=True)]
                texts.append(f"**`{encoder}`**, {test.about}:\n\n{Bench(store, test, given, trained).table()}")
        write(FILE, {f"removal-{part}": "\n\n".join(texts)})


if __name__ == "__main__":
    main()
