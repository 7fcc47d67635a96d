"""`babelmix audit --through`: language policies through an index."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from babelmix.cli.options import listed, print_json, read_corpus, say, tell_backend

FILE = "policies.json"


def audit_through(
    address: str,
    corpus: str,
    *,
    model: str | None,
    policies: list[str],
    k: int,
    count: int,
    out: Path | None,
    langs: str,
    part: str,
    metrics: str,
    batch_size: int,
    backend: str | None,
    trust_code: bool,
    json_output: bool,
) -> None:
    """Search an index for a corpus's queries under each policy, and write and print what that gave.

    Args:
        address: of the index.
        corpus: as typed.
        model: where the index's encoder is now.
        policies: the language policies; the others are tested against the first.
        k: answers of a search.
        count: how many queries; 0: all.
        out: the folder of the results.
        langs: of the queries.
        part: of the queries.
        metrics: ranking metrics.
        batch_size: texts a forward pass.
        backend: what runs the encoder.
        trust_code: let code that the encoder brings, or names, run.
        json_output: print JSON.

    """
    import numpy as np

    from babelmix._files import check_output_folder, place_apart, recorded, slug, write_json
    from babelmix.corpus.loading import PARTS
    from babelmix.corpus.opening import has_option
    from babelmix.evaluation import Comparison, compare, holm
    from babelmix.experiment.report.policies import write_policies_report
    from babelmix.search import Policy, Searcher
    from babelmix.search.through import DEFAULT_POLICIES, audit_policies

    named = list(dict.fromkeys(str(Policy.parse(policy)) for policy in policies or DEFAULT_POLICIES))
    # Of a source with parts of its own, the part has its own passages.
    own_part = part in PARTS and has_option(corpus, "part")
    whole = read_corpus(corpus, "", part if own_part else "all")
    asked = (read_corpus(corpus, langs, part) if langs or part != "all" else whole).queries
    if 0 < count < asked.num_rows:
        asked = asked.take(np.sort(np.random.default_rng(0).permutation(asked.num_rows)[:count]))
    folder = out or place_apart(
        Path("runs") / f"audit-through-{slug(address)}-{slug(whole.name)}",
        lambda place: (
            recorded(place / FILE, "about", "corpus") not in (None, whole.name)
            or Path(recorded(place / FILE, "about", "index") or address) != Path(address)
        ),
    )
    check_output_folder(folder, [FILE])
    searcher = Searcher.open(address, model=model, backend=backend, trust_code=trust_code)
    with searcher.index as index:
        tell_backend(searcher)
        found = audit_policies(
            searcher, whole, named, k=k, metrics=listed(metrics) or None, asked=asked, batch_size=batch_size
        )
        sizes = index.langs()
        about = {
            "corpus": whole.name, "fingerprint": whole.fingerprint(), "index": index.address, "encoder": index.about.encoder,
            "queries": asked.num_rows, "passages": whole.passages.num_rows, "pool": sum(sizes.values()), "k": k,
        }  # fmt: skip
    base, *others = found
    names = list(found[base].measures)
    tests: list[Comparison] = []
    for name in others:
        pair = compare([found[name].measures], [found[base].measures], names)
        tests += [replace(one, first=name, second=base) for one in pair]
    tests = holm(tests)
    estimates = {name: one.estimates() for name, one in found.items()}
    cost = {name: one.milliseconds() for name, one in found.items()}
    facts = {
        "about": about,
        "policies": {
            name: {
                "macro": {measure: asdict(macro) for measure, (macro, _) in estimates[name].items()},
                "cells": {
                    m: {lang: asdict(e) for lang, e in cells.items()} for m, (_, cells) in estimates[name].items()
                },
                "milliseconds": cost[name],
            }
            for name in found
        },
        "tests": [one.as_json() for one in tests],
    }
    fair = {lang: size / about["pool"] for lang, size in sizes.items()}
    write_json(folder / FILE, facts)
    report = folder / "report.html"
    write_policies_report(estimates, cost, tests, fair, [(key, str(value)) for key, value in about.items()], report)
    if json_output:
        print_json(facts)
        return
    from babelmix.cli.tables import print_policies

    print_policies(estimates, cost, tests, about)
    say(f"report: {report}")
