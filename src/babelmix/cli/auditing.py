"""`babelmix audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from babelmix.cli.options import (
    AN_INDEX,
    BackendOption,
    CorpusOption,
    FailIfOption,
    JsonOption,
    JunitOption,
    LangsOption,
    PartOption,
    QueriesFromOption,
    QueryVectorsOption,
    SignificantOption,
    SummaryOption,
    ThroughModelOption,
    TrustOption,
    listed,
    split_name,
)

_INDEX, _LISTS, _VECTORS = AN_INDEX, "Ranked lists", "Vectors"
_ENCODER, _NOISE = "How texts are encoded", "Noise on the queries"
"""The groups of options in the help."""


def audit(
    corpus: CorpusOption = "",
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="An encoder: see `babelmix encoders`. Several are compared, with tests. With --through: none, or where the "
            "index's encoder is now.",
            metavar="MODEL...",
        ),
    ] = None,
    through: Annotated[
        str,
        typer.Option(
            help="Search this index, or the service at this URL, for the corpus's queries under language policies, instead of "
            "comparing with every passage. FILE.py:FUNCTION asks a search function of your own, and runs its code.",
            metavar="INDEX",
            rich_help_panel=_INDEX,
        ),
    ] = "",
    model: ThroughModelOption = None,
    query_vectors: QueryVectorsOption = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="With --through: a language policy, as in `babelmix search`; once for each. The others are tested against the "
            "first.  [default: any and balanced]",
            metavar="POLICY",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            help="With --through: answers of a search, as users see them.  [default: 10]",
            min=10,
            max=1000,
            rich_help_panel=_INDEX,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help="With --through: answers to judge; those after the first k are of a second search.  [default: 100] With --run: "
            "answers to judge.  [default: as many as each run has]",
            min=10,
            max=1000,
            rich_help_panel=_INDEX,
        ),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="With --through or --run: how many queries, drawn with a fixed seed; 0: all.",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the audit; of several models the folder of the comparison, with a folder in it for each audit.  "
            "[default: runs/audit-MODEL-CORPUS, runs/audits-CORPUS]"
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Test the differences from a finished audit: its folder.", metavar="AUDIT"),
    ] = None,
    langs: LangsOption = None,
    part: PartOption = "all",
    metrics: Annotated[
        str | None, typer.Option(help="Ranking metrics, separated by commas.", metavar="mAP,R@1,...")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in one forward pass.", rich_help_panel=_ENCODER)] = 32,
    max_seq_length: Annotated[
        int | None,
        typer.Option(min=0, help="Tokens to read of each text; 0: the encoder's own limit.", rich_help_panel=_ENCODER),
    ] = None,
    bf16: Annotated[
        bool,
        typer.Option(help="Encode in bfloat16 mixed precision: faster; see docs/audit.md.", rich_help_panel=_ENCODER),
    ] = False,
    backend: BackendOption = "",
    copies: Annotated[
        str | None,
        typer.Option(
            help="Passages with the text of a right answer, but without a judgement, count as: wrong, relevant, or excluded "
            "(neither).  [default: wrong]",
            metavar="WHAT",
        ),
    ] = None,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Noise on the queries, and what it costs: typos, case, script, spacing, separated by commas.",
            metavar="KIND,...",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    typo_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="With --perturb typos: share of letters with a typo.  [default: 0.05]",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    perturb_seed: Annotated[
        int | None, typer.Option(help="With --perturb: the seed.  [default: 0]", rich_help_panel=_NOISE)
    ] = None,
    mteb: Annotated[
        Path | None,
        typer.Option(help="Write the result into this folder in mteb's format too.", metavar="FOLDER"),
    ] = None,
    card: Annotated[
        bool, typer.Option(help="Write the result into the model card of an encoder that babelmix trained.")
    ] = False,
    fail_if: FailIfOption = None,
    significant: SignificantOption = False,
    junit: JunitOption = None,
    summary: SummaryOption = None,
    trust_code: TrustOption = False,
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            help="Audit vectors from files instead of an encoder: those of the queries and those of the passages (npy, npz, "
            "safetensors, Parquet, Arrow, JSON lines). NAME=QUERIES names them. Once for each pair of files; pairs are compared.",
            metavar="QUERIES PASSAGES",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    similarity: Annotated[
        str | None,
        typer.Option(
            help="With --vectors: cosine, dot, or hamming for packed bits.  [default: cosine]",
            metavar="WHICH",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    dimensions: Annotated[
        str | None,
        typer.Option(
            help="Cut the embeddings to so many dimensions; several numbers, separated by commas, are compared.",
            metavar="64,128,...",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Make the embeddings coarser: float32 (as they are), float16, bfloat16, int8, binary; several, separated by "
            "commas, are compared.",
            metavar="int8,binary,...",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="Audit the ranked lists of a run file instead of an encoder: a TREC run, CSV, JSON lines or Parquet. NAME=FILE "
            "names it. Once for each; several are compared, with tests.",
            metavar="FILE",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    unknown_ids: Annotated[
        str | None,
        typer.Option(
            help="With --run: passages that the corpus does not have are an error, or wrong (answers).  [default: error]",
            metavar="WHAT",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(help="Qrels, in the form of TREC or BEIR, that replace those of the corpus.", metavar="FILE"),
    ] = None,
    queries_from: QueriesFromOption = "",
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="With --through: dense, words or hybrid, as in `babelmix search`; several, separated by commas, are compared "
            "under each policy.  [default: dense]",
            metavar="MODE,...",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    words_weight: Annotated[
        list[str] | None,
        typer.Option(
            help="With --mode hybrid: how much the list of words counts, as in `babelmix search`; several, as 0,0.1,1, are "
            "compared.  [default: 0.2]",
            metavar="WEIGHT,...",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    query_lang: Annotated[
        str | None,
        typer.Option(
            help="With --through: what is said of the queries' languages, which a removal kept with the index uses: known (what "
            "the corpus states), detect, or a language.  [default: nothing, as most users say nothing]",
            metavar="WHAT",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    fusion: Annotated[
        list[str] | None,
        typer.Option(
            help="With --mode hybrid: how the lists are merged, as in `babelmix search`; once for each.",
            metavar="HOW",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    shown: Annotated[
        str | None,
        typer.Option(
            "--show",
            help="With --through: found or mine, as in `babelmix search`.  [default: found]",
            metavar="WHAT",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="With --through an index: audit each policy also with this reranker, as in `babelmix search`.",
            metavar="MODEL",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            help="Measure the searches that `babelmix serve --log` wrote; once for each file, the oldest first. With -c and a "
            "log with texts, searches that are queries of the corpus are judged.",
            metavar="FILE",
            rich_help_panel=_LISTS,
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Measure retrieval within a language, across languages and in a pool of all, and the bias between languages.

    Writes ranks.parquet, queries.parquet, metrics.json and report.html. An interrupted audit continues where it stopped. If the
    corpus has pictures, captions are the queries for pictures; a second audit, with pictures as queries for captions, is written
    to the sub-folder `image-to-text`.

    With `--through`, the command searches an index for the corpus's queries (those of `--langs` and `--part`) under each language
    policy, and measures the answers, their languages and the time of a search. Writes policies.json and report.html.

    With `--queries-from`, a collection without queries is audited: its titles ask for the rest of their texts, or a log asks.

    With `--fail-if`, the audit is a gate: it prints a line for each rule, and exits with status 3 if a rule is broken.

    With `--run`, or `--through` a service or a function, the command measures ranked lists. Writes lists.json, values.parquet,
    answers.parquet and report.html. The answers of a service or a function are kept as they come: an interrupted audit goes on.

    With `--log`, the command measures what a service answered to its users. Writes log.json and report.html.
    """
    from babelmix.errors import ArgumentError, require_train

    if not (log or through or run):
        require_train("The audit of an encoder or of vectors")
    from babelmix.api import auditing
    from babelmix.api._folders import RUNS
    from babelmix.cli.output import end, show

    if log:
        from babelmix.cli.log_auditing import audit_log

        audit_log(
            log, corpus,
            {
                "models": models, "through": through, "k": k, "depth": depth, "queries": queries, "against": against,
                "langs": langs, "metrics": metrics, "vectors": vectors, "run": run, "mode": mode, "fusion": fusion,
                "queries_from": queries_from, "mteb": mteb, "card": card, "perturb": perturb, "show": shown, "rerank": rerank,
                "words_weight": words_weight, "copies": copies, "unknown_ids": unknown_ids, "dimensions": dimensions,
                "precision": precision, "similarity": similarity, "part": part if part != "all" else None, "model": model,
                "query_vectors": query_vectors, "backend": backend, "batch_size": batch_size != 32,
                "max_seq_length": max_seq_length, "bf16": bf16, "typo_rate": typo_rate, "perturb_seed": perturb_seed,
                "trust_code": trust_code,
            },
            json_output,
            policies=policy, query_langs=query_lang, qrels=qrels, out=out or RUNS, fail_if=fail_if, significant=significant,
            junit=junit, summary=summary,
        )  # fmt: skip
        return
    if not corpus and not through:
        raise ArgumentError("corpus", "is missing: name the corpus, as in  -c my.csv")
    if through:
        _audit_through(
            [*(models or []), *([model] if model else [])],
            {
                "max_seq_length": max_seq_length, "bf16": bf16, "perturb": perturb, "mteb": mteb, "card": card,
                "typo_rate": typo_rate, "perturb_seed": perturb_seed, "vectors": vectors, "similarity": similarity,
                "dimensions": dimensions, "precision": precision, "run": run, "unknown_ids": unknown_ids,
            },
            json_output,
            address=through, corpus=corpus or None, queries_from=queries_from or None, policies=policy, k=k, depth=depth,
            queries=queries or None, out=out or RUNS,
            against=against, langs=listed(langs), part=part, metrics=listed(metrics), copies=copies, qrels=qrels,
            batch_size=batch_size, backend=backend or None, trust_code=trust_code, fail_if=fail_if, significant=significant,
            junit=junit, summary=summary, mode=mode, words_weight=words_weight, query_langs=query_lang,
            fusion=fusion, show=shown, rerank=rerank, query_vectors=query_vectors,
        )  # fmt: skip
        return
    for name, given in (
        ("policy", policy), ("k", k), ("mode", mode), ("words_weight", words_weight), ("query_lang", query_lang),
        ("fusion", fusion), ("show", shown), ("rerank", rerank), ("query_vectors", query_vectors), ("model", model),
    ):  # fmt: skip
        if given is not None:
            raise ArgumentError(name, "is for audits of an index; name one, as in  --through my-index")
    for name, given in (("depth", depth), ("queries", queries)):
        if given is not None and not run:
            raise ArgumentError(name, "is for audits of an index; name one, as in  --through my-index")
    if unknown_ids is not None and not run:
        raise ArgumentError("unknown_ids", "is for run files; name one with --run")
    for name, chosen in (("backend", backend), ("trust_code", trust_code), ("batch_size", batch_size != 32)):
        if chosen and (run or vectors):
            raise ArgumentError(name, "is for encoders; leave it out, or leave out --run and --vectors")
    if run and vectors:
        raise ArgumentError("run", "ranked lists and vectors are audited apart; leave out --vectors")
    if similarity is not None and not vectors:
        raise ArgumentError("similarity", "is for vectors from files; name them with --vectors")
    if run:
        audited: list[Any] = _runs(run, models or [], unknown_ids)
    else:
        audited = _vectors(vectors, models or [], similarity) if vectors else list(models or [])
    found: Any = auditing.audit(
        audited, corpus, out=out or RUNS,
        against=against, langs=listed(langs), part=part,
        metrics=listed(metrics), batch_size=batch_size, max_seq_length=max_seq_length or None, bf16=bf16,
        backend=backend or "torch", copies=copies, perturb=listed(perturb), typo_rate=typo_rate, perturb_seed=perturb_seed,
        mteb=mteb, card=card, trust_code=trust_code, dimensions=_numbers(dimensions), precision=listed(precision), depth=depth,
        queries=queries or None, qrels=qrels, fail_if=fail_if, significant=significant, junit=junit, summary=summary,
        queries_from=queries_from or None,
    )  # fmt: skip
    show(found, json_output)
    end(found.gate)


def _vectors(queries: list[str], passages: list[str], similarity: str | None) -> list[Any]:
    """The pairs of files after each `--vectors`: an option has one value, so the second file is an argument of the command."""
    from babelmix.errors import ArgumentError
    from babelmix.evaluation.systems import Vectors

    if len(queries) != len(passages):
        raise ArgumentError(
            "vectors",
            "name two files after each --vectors: those of the queries, then those of the passages; compare with an encoder by "
            "--against its audit",
        )
    pairs = []
    for first, second in zip(queries, passages, strict=True):
        name, file = split_name(first)
        pairs.append(Vectors(file, second, name, similarity or "cosine"))  # type: ignore[arg-type]
    return pairs


def _numbers(given: str | None) -> list[int] | None:
    from babelmix.errors import ArgumentError

    words = listed(given)
    if words is None:
        return None
    if bad := [word for word in words if not word.isdecimal()]:
        raise ArgumentError("dimensions", f"{bad[0]!r} is no whole number; write numbers such as 64,128")
    return [int(word) for word in words]


def _runs(files: list[str], models: list[str], unknown_ids: str | None) -> list[Any]:
    """The run files of each `--run`."""
    from babelmix.errors import ArgumentError
    from babelmix.evaluation.systems import Run

    if models:
        raise ArgumentError("run", f"ranked lists and encoders are audited apart; leave out {models[0]}")
    if unknown_ids not in (None, "error", "wrong"):
        raise ArgumentError("unknown_ids", f"{unknown_ids!r} is unknown; use error or wrong")
    return [Run(file, name, unknown_ids or "error") for name, file in map(split_name, files)]  # type: ignore[arg-type]


def _audit_through(models: list[str], unfit: dict[str, Any], json_output: bool, **options: Any) -> None:
    from babelmix.api import through_auditing
    from babelmix.cli.output import end, show
    from babelmix.errors import ArgumentError

    for name, given in unfit.items():
        if given is not None and given is not False:
            raise ArgumentError(name, "is for audits of an encoder; leave it out, or leave out --through")
    if len(models) > 1:
        raise ArgumentError("through", "an index has one encoder; name where it is now, or none")
    found = through_auditing.audit_through(model=models[0] if models else None, **options)
    show(found, json_output)
    end(found.gate)
