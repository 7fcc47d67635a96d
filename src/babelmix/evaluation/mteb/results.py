"""An audit as mteb's result files, which `TaskResult.from_disk` and `ResultCache` read; mteb is not needed to write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._files import write_json
from babelmix.errors import AuditError
from babelmix.evaluation.measure_info import SETTINGS
from babelmix.evaluation.measures import Measure, measures
from babelmix.evaluation.mteb.names import CUTOFF, K_VALUES, SPLIT, model_name, subset_codes, subset_name, task_name
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.run import Audit

_METRICS = ("mAP", *(f"{metric}@{k}" for metric in ("nDCG", "mAP", "R", "MRR") for k in K_VALUES))


def as_mteb_results(audit: Audit) -> dict[str, dict[str, Any]]:
    """Convert an audit to the contents of mteb's result files.

    Tasks, subsets, dataset revision and main score are those of `mteb_tasks`. The scores follow mteb's definitions: `map_at_k`
    divides by all relevant passages, where `mAP@k` of an audit divides by at most k. Additional scores are `map`, without a
    cut-off, and in the multilingual setting the bias measures, such as `rank_distance`. Scores are not rounded. The mteb
    version is null, because mteb computed nothing.

    Args:
        audit: the audit.

    Returns:
        The contents by task name.

    Raises:
        AuditError: the audit has no name or fingerprint of the encoder or the corpus, or the corpus has images or a language
            without an ISO 639-3 code.

    """
    table = audit.table
    _check_facts(table)
    found = measures(table, _METRICS)
    results: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        if f"{setting}/mAP" not in found:
            continue
        scores = _ranking_scores(table, setting, found)
        if setting == "multi":
            for measure in found.values():
                if measure.setting == "bias":
                    _fill(scores, _key(measure.metric), measure, measure.cell_values())
        entries = [
            {
                **values,
                "main_score": values[f"map_at_{CUTOFF}"],
                "hf_subset": subset,
                "languages": subset_codes(query_lang, passage_langs),
            }
            for subset, query_lang, passage_langs, values in (
                (*_subset(cell, setting, table), values) for cell, values in scores.items()
            )
        ]
        name = task_name(str(table.about.corpus), setting)
        results[name] = {
            "dataset_revision": str(table.about.fingerprint)[:40],
            "task_name": name,
            "mteb_version": None,
            "scores": {SPLIT: entries},
            "evaluation_time": None,
            "kg_co2_emissions": None,
            "date": None,
        }
    return results


def write_mteb_results(audit: Audit, folder: Path) -> list[Path]:
    """Write `results/MODEL/REVISION/TASK.json` for each setting, and `model_meta.json`, each file atomically.

    `mteb.ResultCache(folder).load_results()` reads them. Audits of other corpora and encoders can be written to the same
    folder. The revision is the encoder's fingerprint.

    Args:
        audit: the audit.
        folder: the folder for the results.

    Returns:
        The files; `model_meta.json` is the last, because mteb ignores the others without it.

    Raises:
        AuditError: see `as_mteb_results`.

    """
    results, meta = as_mteb_results(audit), _model_meta(audit.table)
    home = folder / "results" / meta["name"].replace("/", "__").replace(" ", "_") / meta["revision"]
    files = {home / f"{name}.json": result for name, result in results.items()} | {home / "model_meta.json": meta}
    for file, value in files.items():
        write_json(file, value)
    return list(files)


def _check_facts(table: RankTable) -> None:
    for fact in ("encoder", "encoder_fingerprint", "corpus", "fingerprint"):
        if getattr(table.about, fact) is None:
            raise AuditError(f"the audit does not say its {fact.replace('_', ' ')}; run  babelmix audit  again")


def _ranking_scores(table: RankTable, setting: str, found: dict[str, Measure]) -> dict[str, dict[str, float]]:
    """The scores of mteb, by cell and name."""
    sizes = _sizes(table, setting)
    scores: dict[str, dict[str, float]] = {}

    def add(name: str, measure: Measure, values: npt.NDArray[np.float64]) -> None:
        counts = np.bincount(measure.cell, minlength=len(measure.cells))
        _fill(scores, name, measure, np.bincount(measure.cell, values, minlength=len(measure.cells)) / counts)

    for k in K_VALUES:
        ndcg, precision, recall, mrr = (found[f"{setting}/{metric}@{k}"] for metric in ("nDCG", "mAP", "R", "MRR"))
        add(f"ndcg_at_{k}", ndcg, ndcg.values)
        add(f"map_at_{k}", precision, precision.values * np.minimum(sizes, k) / sizes)
        add(f"recall_at_{k}", recall, recall.values)
        add(f"precision_at_{k}", recall, recall.values * sizes / k)
        add(f"mrr_at_{k}", mrr, mrr.values)
        add(f"hit_rate_at_{k}", recall, (recall.values > 0).astype(np.float64))
    add("map", found[f"{setting}/mAP"], found[f"{setting}/mAP"].values)
    return scores


def _sizes(table: RankTable, setting: str) -> npt.NDArray[np.int64]:
    """The number of relevant passages behind each value of the measures of a setting, in the order of the values."""
    own = np.array(table.query_langs, dtype=object)[table.query_lang[table.pair_query]]
    same = own == np.array(table.passage_langs, dtype=object)[table.pair_lang]
    keep = {"mono": same, "cross": ~same, "multi": np.ones(len(same), dtype=bool)}[setting]
    list_of_pair = table.pair_query[keep] * len(table.passage_langs)
    if setting == "cross":
        list_of_pair = list_of_pair + table.pair_lang[keep]
    return np.unique(list_of_pair, return_counts=True)[1]


def _fill(scores: dict[str, dict[str, float]], name: str, measure: Measure, values: npt.NDArray[np.float64]) -> None:
    for cell, value in zip(measure.cells, values.tolist(), strict=True):
        scores.setdefault(cell, {})[name] = value


def _key(metric: str) -> str:
    """The name of a bias metric in mteb's spelling: `same_language_share_at_10`."""
    return metric.replace("@", "_at_").replace(" ", "_").replace("-", "_")


def _subset(cell: str, setting: str, table: RankTable) -> tuple[str, str, tuple[str, ...]]:
    """The name, the query language and the passage languages of a cell."""
    query_lang, _, passage_lang = cell.partition(" > ")
    if setting == "cross":
        return subset_name(query_lang, passage_lang), query_lang, (passage_lang,)
    return query_lang, query_lang, table.passage_langs if setting == "multi" else (query_lang,)


def _model_meta(table: RankTable) -> dict[str, Any]:
    """The fields of mteb's `ModelMeta` that have no default; unknown ones are null."""
    unknown = dict.fromkeys(
        [
            "loader", "release_date", "languages", "n_parameters", "memory_usage_mb", "embed_dim", "license",
            "open_weights", "public_training_code", "public_training_data", "use_instructions", "training_datasets",
        ]
    )  # fmt: skip
    about = table.about
    return {
        "name": model_name(str(about.encoder)),
        "revision": str(about.encoder_fingerprint)[:40],
        "max_tokens": about.max_seq_length,
        "similarity_fn_name": about.similarity,
        "framework": ["Sentence Transformers", "PyTorch"],
        **unknown,
    }
