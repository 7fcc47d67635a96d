"""Measure ranked lists, of run files, services or functions: `babelmix audit --run` and `--through URL`."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelmix._files import check_output_folder, distinct_slugs, recorded, slug
from babelmix._lists import as_list
from babelmix.api._folders import Out, folder_of
from babelmix.api._loading import judged_by, opened
from babelmix.api.gating import Gate, judged_before
from babelmix.api.list_comparing import check_same, tested
from babelmix.api.list_reports import ANSWERS, ListReport
from babelmix.corpus import Corpus
from babelmix.corpus.copies import check_copies
from babelmix.corpus.loading import PARTS, load_corpus
from babelmix.corpus.opening import has_option
from babelmix.corpus.query_groups import groups_of_corpus
from babelmix.errors import ArgumentError, AuditError, ConfigError, first_line

if TYPE_CHECKING:
    from babelmix.evaluation.lists import ListAudit
    from babelmix.evaluation.systems import ListSystem, Search
    from babelmix.search.options import Show
    from babelmix.search.variants import Weights

_FUNCTION = re.compile(r"(?P<place>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
"""An adapter: a file or a module, and the name of a function in it."""

ALONE = "alone"
"""The saved answers of a search in the searchers' languages alone."""


def lists_among(models: Any) -> dict[str, ListSystem] | None:
    """The systems of ranked lists among what is to be audited, by name; None if there are none.

    Raises:
        ConfigError: there are both ranked lists and other systems.

    """
    some = (
        models.values() if isinstance(models, Mapping) else models if isinstance(models, (list, tuple)) else [models]
    )
    lists = [hasattr(one, "retrieve") and hasattr(one, "facts") for one in some]
    if not any(lists):
        return None
    if not all(lists):
        raise ConfigError(
            "ranked lists cannot be compared with systems that score every passage; audit them apart, or save the first answers "
            "of each as a run"
        )
    return named_systems(models)


def audit_ranked(
    systems: ListSystem | Sequence[ListSystem] | Mapping[str, ListSystem],
    corpus: str | Path | Corpus,
    *,
    out: Out = None,
    against: str | Path | None = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    metrics: str | Sequence[str] | None = None,
    depth: int | None = None,
    queries: int | None = None,
    rows: Sequence[int] | None = None,
    copies: str | None = None,
    qrels: str | Path | None = None,
    fail_if: str | Sequence[str] | None = None,
    significant: bool = False,
    junit: str | Path | None = None,
    summary: str | Path | None = None,
    reads: Sequence[str] = (),
    alone: ListSystem | None = None,
) -> ListReport:
    """Measure the ranked lists of systems. `babelmix.audit` calls this for run files, services and functions.

    Args:
        systems: a system, or several as a list or as a dictionary by name; each is tested against each.
        corpus: see `babelmix.load_corpus`.
        out: save the result into this folder. The answers of live systems are kept there as they come: after an interruption, the
            same call goes on. None: nothing is saved.
        against: the folder of a finished audit of ranked lists of the same corpus; the differences from it are tested.
        langs: judge only the queries in these languages. The systems search all languages of the corpus in any case.
        part: judge only the queries of this part; see `babelmix.load_corpus`.
        metrics: ranking metrics; None: mAP@depth and nDCG@10. A metric without a cut-off is known within bounds.
        depth: the number of answers to judge, 10 or more; None: as many as every system has, at most 100 of a live system.
        queries: the number of queries, drawn with a fixed seed; None: all.
        rows: the numbers of the corpus's queries to judge, in ascending order, in place of `langs` and `part`; None: all.
        copies: how copies of right answers are counted: as `wrong` (also None), `relevant` or `excluded`.
        qrels: a file of qrels, in the form of TREC or BEIR, that replace those of the corpus.
        fail_if: rules that say when the audit fails; see docs/ci.md. `before` stands for the audit `against`.
        significant: with `fail_if`: see `babelmix.audit`.
        junit: with `fail_if`: see `babelmix.audit`.
        summary: with `fail_if`: see `babelmix.audit`.
        reads: what searchers are assumed to read; see `audit_lists`.
        alone: a system that searches these languages alone; see there.

    Returns:
        The report.

    Raises:
        ConfigError: an argument is wrong.
        CorpusError: the corpus cannot be read.
        AuditError: ids of a run are not in the corpus, a system fails, or `against` is of another corpus.

    """
    from babelmix.evaluation.lists import KnownLists, audit_lists
    from babelmix.evaluation.systems.resuming import Resuming

    named = named_systems(systems)
    gate = Gate.of(fail_if, significant, junit, summary)
    # If a source defines its own parts, each part has its own pool of passages. Otherwise the pool is that of the whole corpus.
    own_part = isinstance(corpus, str) and part in PARTS and has_option(corpus, "part")
    whole = opened(judged_by(corpus, qrels), part=part if own_part else "all")
    asked = load_corpus(whole, langs=langs, part="all" if own_part else part).queries
    if langs is None and (own_part or part == "all"):
        asked = whole.queries
    if rows is not None:
        asked = whole.queries.take(np.asarray(rows, dtype=np.int64))
    if queries and queries < asked.num_rows:
        asked = asked.take(np.sort(np.random.default_rng(0).permutation(asked.num_rows)[:queries]))
    folder = _folder(out, list(named), whole.name)
    count = check_copies(copies or "wrong")
    before = None if against is None else _saved(Path(against), whole, count, folder)
    if gate is not None and gate.needed():
        metrics = [*(["nDCG@10"] if metrics is None else as_list(metrics, "metrics")), *gate.needed()]
    running: dict[str, ListSystem] = dict(named)
    if folder is not None:
        short = distinct_slugs(named)
        for name, system in named.items():
            if not isinstance(system, KnownLists):
                running[name] = Resuming(system, folder / ANSWERS / f"{short[name]}.jsonl", whole)
        alone = None if alone is None else Resuming(alone, folder / ANSWERS / f"{ALONE}.jsonl", whole)
    audits = audit_lists(
        running, whole, k=depth, metrics=metrics, queries=asked, copies=count, reads=reads, alone=alone,
    )  # fmt: skip
    report = _report(named, audits, whole, count, before)
    if gate is not None:
        judged = None if before is None else judged_before(report, before)
        report = replace(report, gate=gate.result(report, judged, whole.name))
    if folder is None:
        return report
    saved = report.save(folder)
    shutil.rmtree(folder / ANSWERS, ignore_errors=True)
    return saved


def audit_service(
    url: str, corpus: str | Path | Corpus, *, policies: str | Sequence[str] | None = None, k: int | None = None,
    depth: int | None = None, mode: str | Sequence[str] | None = None, words_weight: Weights | None = None,
    query_langs: str | None = None, fusion: str | Sequence[str] | None = None, show: Show | None = None, **options: Any,
) -> ListReport:  # fmt: skip
    """Measure the answers of a service of `babelmix serve` under language policies, over HTTP.

    Args:
        url: the URL of the service, such as `http://localhost:8765`. If it needs a key, set the environment variable
            `BABELMIX_KEY`.
        corpus: see `babelmix.load_corpus`. The index behind the service must hold its passages.
        policies: language policies; None: `any` and `balanced`. They are tested against each other.
        k: the number of answers that users see, 10 to 100: each policy is applied to a search for so many. None: 10.
        depth: the number of answers to judge, at most 100; those after the first k come from a second search. None: 100.
        mode: see `babelmix.audit_index`; as for the next four.
        words_weight: see there.
        query_langs: see there.
        fusion: see there.
        show: see there.
        options: see `audit_ranked`.

    Raises:
        SearchError: the service cannot be reached, or refuses.

    """
    from babelmix.search.options import SearchOptions
    from babelmix.search.remote import MAX_HITS, service_systems
    from babelmix.search.through import DEFAULT_POLICIES, SHOWN
    from babelmix.search.variants import several_options, variants

    shown, judged = SHOWN if k is None else k, MAX_HITS if depth is None else depth
    if not SHOWN <= shown <= judged <= MAX_HITS:
        raise ArgumentError(
            "depth", f"a service gives at most {MAX_HITS} answers: {SHOWN} <= k <= depth <= {MAX_HITS}"
        )
    ways = several_options(SearchOptions(query_langs=query_langs, show=show or "found"), mode, words_weight, fusion)
    chosen = variants(DEFAULT_POLICIES if policies is None else policies, ways)
    systems, reads, alone = service_systems(url, chosen, shown=shown, judged=judged)
    return audit_ranked(systems, corpus, depth=judged, reads=reads, alone=alone, **options)


def audit_function(adapter: str, corpus: str | Path | Corpus, **options: Any) -> ListReport:
    """Measure the answers of a search function: `FILE.py:FUNCTION` or `MODULE:FUNCTION`. Its code is run.

    Args:
        adapter: where the function is; see `babelmix.Search` for what it takes and returns.
        corpus: see `babelmix.load_corpus`.
        options: see `audit_ranked`.

    Raises:
        ConfigError: there is no such file, module or function, or its code fails.

    """
    return audit_ranked(search_of(adapter), corpus, **options)


def is_adapter(address: str) -> bool:
    """Whether an address names a search function: `FILE.py:FUNCTION` or `MODULE:FUNCTION`.

    Examples:
        >>> is_adapter("my_adapter.py:search"), is_adapter("my-index"), is_adapter("http://localhost:8765")
        (True, False, False)

    """
    return _FUNCTION.fullmatch(address) is not None and not Path(address).exists()


def search_of(adapter: str) -> Search:
    """The system of a search function; see `audit_function`."""
    from babelmix._checksums import checksum
    from babelmix.evaluation.systems import Search

    found = _FUNCTION.fullmatch(adapter)
    if found is None:
        raise ConfigError(f"{adapter}: name a function as FILE.py:FUNCTION or MODULE:FUNCTION")
    place, name = found["place"], found["name"]
    version = ""
    try:
        if place.endswith(".py"):
            file = Path(place)
            spec = importlib.util.spec_from_file_location(file.stem, file)
            if spec is None or spec.loader is None or not file.is_file():
                raise ConfigError(f"{place}: there is no such file")
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(file.stem, module)
            spec.loader.exec_module(module)
            version = f"{checksum(file):08x}"
        else:
            module = importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:  # the adapter's own code may raise anything
        raise ConfigError(f"{place}: the adapter fails: {type(error).__name__}: {first_line(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ConfigError(f"{place}: has no function {name!r}; there are {', '.join(there) or 'none'}")
    return Search(function, f"{Path(place).stem}:{name}", version=version)


def named_systems(systems: ListSystem | Sequence[ListSystem] | Mapping[str, ListSystem]) -> dict[str, ListSystem]:
    """The systems by their names in reports.

    Raises:
        ConfigError: there is none, or two have one name.

    """
    if isinstance(systems, Mapping):
        return dict(systems)
    listed: list[ListSystem] = list(systems) if isinstance(systems, (list, tuple)) else [systems]  # type: ignore[list-item]
    names = [str(one.name) for one in listed]
    if len(set(names)) < len(names):
        # Two runs of one name are told apart by their folders.
        names = [str(getattr(one, "file", name)) for one, name in zip(listed, names, strict=True)]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(names) or 'no system'}: give each system once, or name them: {{name: system}}")
    return dict(zip(names, listed, strict=True))


def _folder(out: Out, names: Sequence[str], corpus: str) -> Path | None:
    from babelmix.evaluation.saved_lists import FILE

    called = f"lists-{slug(names[0])}-{slug(corpus)}" if len(names) == 1 else f"lists-{slug(corpus)}"

    def of_another(place: Path) -> bool:
        return recorded(place / FILE, "about", "corpus") not in (None, corpus)

    folder = folder_of(out, called, of_another)
    if folder is not None:
        check_output_folder(folder, [FILE, ANSWERS])
        if of_another(folder):
            raise ArgumentError(
                "out",
                f"{folder} holds an audit on {recorded(folder / FILE, 'about', 'corpus')}; name another folder, or delete it",
            )
    return folder


def _saved(against: Path, corpus: Corpus, copies: str, folder: Path | None) -> ListReport:
    if folder is not None and against.resolve() == folder.resolve():
        raise ArgumentError("against", f"{against} is where the new audit goes; choose another folder with out")
    found = ListReport.load(against)
    check_same(
        str(against),
        found.about,
        "this audit",
        {"corpus": corpus.name, "fingerprint": corpus.fingerprint(), "copies": copies},
    )
    return found


def _report(
    systems: Mapping[str, ListSystem],
    audits: dict[str, ListAudit],
    corpus: Corpus,
    copies: str,
    before: ListReport | None,
) -> ListReport:
    """The report on finished audits, with the tests between them and against an earlier one."""
    from babelmix.evaluation import compare, compare_all, holm

    facts: dict[str, Any] = {}
    cost: dict[str, dict[str, float]] = {}
    notes: list[str] = []
    k = 0
    pools: dict[str, int] = {}
    for name, audit in audits.items():
        lists, system = audit.lists, systems[name]
        assert lists is not None
        k = lists.k
        for lang, size in zip(lists.langs, lists.pool.max(axis=0).tolist(), strict=True):
            pools[lang] = max(size, pools.get(lang, 0))
        strange = int((lists.passage < 0).sum())
        facts[name] = {
            **{
                key: value for key, value in system.facts(corpus).extra.items() if isinstance(value, (str, int, float))
            },
            "answers": len(lists.query),
            "median depth": int(np.median(lists.depth)),
            "queries without answers": int((lists.depth == 0).sum()),
            "relevant": len(lists.pair_rank),
            "missing": int((lists.pair_rank < 0).sum()),
        }
        if seconds := list(getattr(system, "seconds", [])):
            cost[name] = {
                "median": 1000 * float(np.median(seconds)), "p95": 1000 * float(np.quantile(seconds, 0.95)),
            }  # fmt: skip
        notes += getattr(system, "notes", [])
        if strange and not getattr(system, "notes", []):
            notes.append(
                f"{name}: {strange:,} of {len(lists.query):,} answers are passages that {corpus.name} does not have; they count "
                "as wrong"
            )
        if (longest := int(getattr(system, "longest", 0))) > k:
            notes.append(f"{name}: has up to {longest:,} answers to a query; the first {k:,} are judged")
    if not corpus.qrels.num_rows:
        notes.append(f"{corpus.name} has no qrels: only the languages of the answers are measured, not their quality")
    if grouped := groups_of_corpus(corpus).note():
        notes.append(grouped)
    total = sum(pools.values())
    about = {
        "corpus": corpus.name, "fingerprint": corpus.fingerprint(), "queries": len(next(iter(audits.values())).lists.query_lang),  # type: ignore[union-attr]
        "passages": corpus.passages.num_rows, "copies": copies, "pool": total, "k": k,
        "pool_shares": {lang: size / total for lang, size in pools.items() if size}, "systems": facts,
    }  # fmt: skip
    measured = {name: [audit.measures] for name, audit in audits.items()}
    names = tested(list(next(iter(audits.values())).measures))
    tests = compare_all(measured, names) if len(audits) > 1 else []
    if before is not None:
        for name, audit in audits.items():
            old = name if name in before.audits else next(iter(before.audits))
            shared = [one for one in names if one in before.audits[old].measures]
            if not shared:
                raise AuditError(
                    f"{before.folder}: has none of the measures {', '.join(names)}; audit both to the same depth, as in  --depth "
                    f"{before.about['k']}"
                )
            pair = compare([audit.measures], [before.audits[old].measures], shared)
            tests += [replace(one, first=name, second=f"{old} before") for one in pair]
        tests = holm(tests)
    return ListReport(about, audits, tests, notes, cost)


__all__ = ["audit_function", "audit_ranked", "audit_service", "is_adapter", "search_of"]
