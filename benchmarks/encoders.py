"""The two real encoders that install from PyPI, as they are: audits, and the languages that they hardly know.

python benchmarks/encoders.py xquad-r=PATH

Writes the tables of docs/results.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import marked
from results import table

import babelmix as bm
from babelmix.evaluation import Audit
from babelmix.evaluation.measure_info import CROSS_MAP, MONO_MAP, measure_info
from babelmix.evaluation.weak_languages import by_language

ENCODERS = {"e5-small-offline": "openvino", "use-multilingual-offline": "torch"}
"""Encoders, and the backend of each."""
NAMES = ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance", "bias/same-language share@10")


def headline(audits: dict[str, Audit]) -> str:
    """One row an encoder, each measure with its interval."""
    rows = [
        [f"`{name}`", *(measure_info(one).with_interval(audit.estimates[one][0]) for one in NAMES)]
        for name, audit in audits.items()
    ]
    return table(["encoder", *(measure_info(one).short for one in NAMES)], rows)


def languages(audits: dict[str, Audit]) -> str:
    """For each language mAP within it, and from and to other languages; weak languages are bold."""
    settings = {"within": MONO_MAP, "from and to others": CROSS_MAP}
    columns = [
        (f"`{name}`, {words}", by_language(audit.estimates[one][1]), audit.weak.langs if audit.weak else ())
        for name, audit in audits.items()
        for words, one in settings.items()
    ]
    langs = next(iter(audits.values())).table.query_langs
    rows = []
    for lang in langs:
        cells = [measure_info(MONO_MAP).with_interval(cells[lang]) for _, cells, _ in columns]
        bold = [f"**{c}**" if lang in weak else c for c, (_, _, weak) in zip(cells, columns, strict=True)]
        rows.append([lang, *bold])
    return table(["mAP", *(head for head, _, _ in columns)], rows)


def main() -> None:
    """Audit both encoders, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="xquad-r=PATH")
    parser.add_argument("--quick", action="store_true", help="one encoder; writes no document")
    given = parser.parse_args()
    corpus = bm.load_corpus(given.corpus)
    names = [name for name in ENCODERS if not given.quick or ENCODERS[name] == "torch"]
    audits = {name: bm.audit(name, corpus, backend=ENCODERS[name]).audit for name in names}
    parts = [
        f"XQuAD-R, {corpus.queries.num_rows:,} questions and {corpus.passages.num_rows:,} sentences in {len(corpus.langs)} "
        "languages; `e5-small-offline` in int8 (OpenVINO):",
        headline(audits),
        *(f"> {audit.weak.line(name)}" for name, audit in audits.items() if audit.weak is not None),
        languages(audits),
    ]
    print("\n\n".join(parts))
    if not given.quick:
        marked.write(Path(__file__).resolve().parents[1] / "docs" / "results.md", {"encoders": "\n\n".join(parts)})


if __name__ == "__main__":
    main()
