"""`babelmix audit --through`: language policies through an index."""

from __future__ import annotations

from pathlib import Path

from babelmix.cli.options import listed, print_json, read_corpus, say


def through_command(
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
    from babelmix._files import check_output_folder, place_apart, recorded, slug
    from babelmix.corpus.loading import PARTS
    from babelmix.corpus.opening import has_option
    from babelmix.experiment.report.policies import write_policies_report
    from babelmix.search.through import DEFAULT_POLICIES, FILE, audit_through

    # Of a source with parts of its own, the part has its own passages.
    own_part = part in PARTS and has_option(corpus, "part")
    whole = read_corpus(corpus, "", part if own_part else "all")
    asked = (read_corpus(corpus, langs, part) if langs or part != "all" else whole).queries
    folder = out or place_apart(
        Path("runs") / f"audit-through-{slug(address)}-{slug(whole.name)}",
        lambda place: (
            recorded(place / FILE, "about", "corpus") not in (None, whole.name)
            or Path(recorded(place / FILE, "about", "index") or address) != Path(address)
        ),
    )
    check_output_folder(folder, [FILE])
    found = audit_through(
        address, whole, policies=policies or DEFAULT_POLICIES, k=k, queries=asked, count=count, metrics=listed(metrics) or None,
        batch_size=batch_size, model=model, backend=backend, trust_code=trust_code, say=lambda note: say(note, err=True),
    )  # fmt: skip
    found.save(folder)
    facts = [(name, str(value)) for name, value in found.about.items()]
    report = folder / "report.html"
    write_policies_report(
        found.found, found.cost, found.comparisons, found.pool_shares, facts, report, lead=found.lines()[0]
    )
    if json_output:
        print_json(found.as_json())
        return
    from babelmix.cli.listing import out as console

    found.print_to(console)
    say(f"report: {report}")
