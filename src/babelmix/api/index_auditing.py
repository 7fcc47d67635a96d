"""Measure the answers of an index under language policies: `babelmix audit --through`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, recorded, slug
from babelmix._lists import as_list
from babelmix._progress import console
from babelmix._tables import Result, Table
from babelmix.api._folders import Out, folder_of
from babelmix.api._loading import opened, with_queries
from babelmix.api.gating import Gate
from babelmix.corpus import Corpus
from babelmix.corpus.loading import PARTS, load_corpus
from babelmix.corpus.opening import has_option

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from babelmix.evaluation.gates import GateResult
    from babelmix.evaluation.measures import Measure
    from babelmix.search import Searcher
    from babelmix.search.options import Show
    from babelmix.search.through import PolicyComparison
    from babelmix.search.variants import Weights


@dataclass(frozen=True, eq=False)
class PolicyReport(Result):
    """Language policies on one index, compared.

    Args:
        comparison: the measures of each policy, the time of a search, and the tests.
        folder: the folder of the saved report; None if it is not saved.
        gate: the result of the rules `fail_if`; None without rules.

    """

    comparison: PolicyComparison
    folder: Path | None = None
    gate: GateResult | None = None

    def judged(self) -> dict[str, Mapping[str, Measure]]:
        """The measures that rules are checked on, by policy."""
        return dict(self.comparison.measured)

    def pool_shares(self) -> dict[str, float]:
        """The share of each language in the index."""
        return dict(self.comparison.pool_shares)

    def tables(self) -> list[Table]:
        """The measures of each policy, and the tests."""
        return self.comparison.tables()

    def lead(self) -> str:
        """The verdict on the first policy."""
        return self.comparison.lead()

    def lines(self) -> list[str]:
        """The verdict on each policy, and the finding in a sentence."""
        return self.comparison.lines()

    def places(self) -> dict[str, str]:
        """The path of the report; empty if it is not saved."""
        return {} if self.folder is None else {"report": str(self.folder / "report.html")}

    def to_frame(self) -> pl.DataFrame:
        """One row per number: policy, measure, cell (null for the macro-average), value, low, high."""
        return self.comparison.to_frame()

    def as_json(self) -> dict[str, Any]:
        """The content of `policies.json`, with the gate, if there is one."""
        return self.comparison.as_json() | ({"gate": self.gate.as_json()} if self.gate is not None else {})

    def print_to(self, console: Console) -> None:
        """Print the tables, the sentence and the path of the report, then the gate."""
        super().print_to(console)
        if self.gate is not None:
            self.gate.print_to(console)

    def save(self, folder: str | Path) -> PolicyReport:
        """Write `policies.json` and `report.html`.

        Returns:
            A copy of the report that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        from babelmix.experiment.report.policies import write_policies_report

        place = self.comparison.save(folder)
        found = self.comparison
        facts = [(name, str(value)) for name, value in found.about.items()]
        write_policies_report(
            found.found, found.cost, found.comparisons, found.pool_shares, facts, place / "report.html",
            lead=found.lead(),
        )  # fmt: skip
        return replace(self, folder=place)


def audit_index(
    index: str | Path | Searcher,
    corpus: str | Path | Corpus | None = None,
    *,
    policies: str | Sequence[str] | None = None,
    k: int = 10,
    queries: int | None = None,
    out: Out = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    metrics: str | Sequence[str] | None = None,
    batch_size: int = 32,
    model: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
    depth: int | None = None,
    fail_if: str | Sequence[str] | None = None,
    significant: bool = False,
    junit: str | Path | None = None,
    summary: str | Path | None = None,
    queries_from: str | Path | None = None,
    mode: str | Sequence[str] | None = None,
    words_weight: Weights | None = None,
    query_langs: str | None = None,
    fusion: str | Sequence[str] | None = None,
    show: Show | None = None,
    rerank: str | None = None,
    query_vectors: str | Path | None = None,
) -> PolicyReport:
    """Search an index for the queries of a corpus under each language policy, and test the differences.

    Args:
        index: the address of the index, or the `Searcher` that `babelmix.open_index` returned. It must hold the passages of the
            corpus.
        corpus: see `babelmix.load_corpus`. None: the rows of the index itself; see `queries_from`.
        policies: language policies, such as `balanced`; the others are tested against the first. None: `any` and `balanced`.
        k: the number of answers that users see, 10 to 1,000. Each policy is applied to a search for so many.
        queries: the number of queries, drawn with a fixed seed; None: all.
        out: save the result into this folder; None: nothing is saved, see `PolicyReport.save`.
        langs: send only the queries in these languages. The index must hold all languages of the corpus in any case.
        part: send only the queries of this part; see `babelmix.load_corpus`.
        metrics: ranking metrics with cut-offs of `depth` at most; None: mAP@depth and nDCG@10.
        batch_size: texts in one forward pass.
        model: the name or folder of the index's encoder, if it was moved.
        backend: the engine that runs the encoder; None: the engine with which the index was made.
        trust_code: run code that the encoder contains or names; see `babelmix.load_model`.
        depth: the number of answers that are judged, k to 1,000. Those after the first k come from a second search, which is not
            timed. None: 100, or k if it is larger.
        fail_if: rules that say when the audit fails, such as `own-language share@10 > 0.4`; each policy is checked. See
            docs/ci.md. The result is `gate` of the report.
        significant: with `fail_if`: a rule is broken only if the 95 % interval says so.
        junit: with `fail_if`: also write the result into this file, as JUnit XML.
        summary: with `fail_if`: also write the result into this file, as Markdown; None: `$GITHUB_STEP_SUMMARY`, if it is set.
        queries_from: the queries of a collection, or of an index, that has none: parts of its texts, or a log; see
            `babelmix.load_corpus`. None: those of the corpus; without a corpus `auto`.
        mode: `dense`, `words` or `hybrid`; see `Searcher.search`. Several, such as `["dense", "hybrid"]` or `dense,hybrid`, are
            compared under each policy. None: `dense`.
        words_weight: with `hybrid`: the weight of the list of words; see `Searcher.search`. Several, such as `[0, 0.1, 1]` or
            `0,0.1,1`, are compared. None: 0.2.
        query_langs: what a removal kept with the index is told of the languages of the queries: None: nothing, as most users say
            nothing; `known`: those that the corpus states; `detect`: from the text; or the language of all queries.
        fusion: with `hybrid`: how the lists of vectors and words are merged; see `Searcher.search`. Several are compared.
        show: `found` or `mine`; see `Searcher.search`. None: `found`.
        rerank: a reranker; see `babelmix.open_index`. None: nothing is reranked.
        query_vectors: a file with the vectors of the corpus's queries, in the forms of `babelmix.Vectors`. It stands in place of
            the encoder of a collection that babelmix did not make.

    Raises:
        SearchError: the index does not hold the corpus's passages, or k, depth, a policy, the mode, the weight or the language is
            wrong.
        CorpusError: the corpus cannot be read.
        EncoderError: the encoder cannot be loaded.

    Examples:
        >>> print(audit_index("my-index", "my.csv", policies=["any", "balanced"]))  # doctest: +SKIP

    """
    from babelmix.evaluation.lists import checked_metrics, measure_names
    from babelmix.search.foreign.opening import shown_address
    from babelmix.search.options import SearchOptions
    from babelmix.search.through import DEFAULT_POLICIES, audit_through, depth_of
    from babelmix.search.variants import several_options

    others = SearchOptions(query_langs=query_langs, show=show or "found")
    options = several_options(others, mode, words_weight, fusion)
    gate = Gate.of(fail_if, significant, junit, summary)
    wanted = None if metrics is None else as_list(metrics, "metrics", empty=False)
    if gate is not None:
        gate.check_no_before("an audit of an index")
        judged = depth_of(k, depth)
        gate.check_cutoffs(judged)
        wanted = gate.metrics(checked_metrics(wanted, judged, cut=True), exact=False)
        gate.check_names(measure_names(checked_metrics(wanted, judged, cut=True), judged))
    # If a source defines its own parts, each part has its own pool of passages. Otherwise the pool is that of the whole corpus.
    held = corpus is None
    if corpus is None:
        corpus = _of_index(index, queries_from, langs)
    elif queries_from is not None:
        corpus = with_queries(corpus, queries_from, langs)
    own_part = isinstance(corpus, str) and part in PARTS and has_option(corpus, "part")
    whole = opened(corpus, part=part if own_part else "all")
    asked = load_corpus(whole, langs=langs, part="all" if own_part else part)
    address = str(index) if isinstance(index, (str, Path)) else index.index.address
    # Without the password that the address of a collection may have.
    shown = shown_address(address)
    folder = folder_of(
        out,
        f"audit-through-{slug(shown)}-{slug(whole.name)}",
        lambda place: (
            recorded(place / "policies.json", "about", "corpus") not in (None, whole.name)
            or Path(recorded(place / "policies.json", "about", "index") or address) not in (Path(address), Path(shown))
        ),
    )
    if folder is not None:
        check_output_folder(folder, ["policies.json"])
    named = DEFAULT_POLICIES if policies is None else as_list(policies, "policies", empty=False)
    found = audit_through(
        index, whole, policies=named, k=k, queries=asked.queries, count=queries or 0,
        metrics=wanted, batch_size=batch_size,
        model=model, backend=backend, trust_code=trust_code, depth=depth, held=held, options=options, rerank=rerank,
        query_vectors=query_vectors,
        say=lambda note: console.print(note, markup=False, highlight=False, soft_wrap=True),
    )  # fmt: skip
    report = PolicyReport(found)
    result = None if gate is None else gate.result(report, None, whole.name)
    saved = report if folder is None else report.save(folder)
    return replace(saved, gate=result)


def _of_index(
    index: str | Path | Searcher, queries_from: str | Path | None, langs: str | Sequence[str] | None
) -> Corpus:
    """The rows of an index, with queries from its own texts, or from a log."""
    from babelmix.corpus.copies import with_copies
    from babelmix.search.known_items import corpus_at, corpus_of_index

    ask = queries_from or "auto"
    of_rows = (
        corpus_at(str(index), ask, langs=langs)
        if isinstance(index, (str, Path))
        else corpus_of_index(index.index, ask, langs=langs)
    )
    return with_copies(of_rows)


__all__ = ["PolicyReport", "audit_index"]
