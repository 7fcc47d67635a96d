"""The same metrics with other evaluators, which receive finished embeddings."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from datasets import disable_progress_bars

DEPTH = 100
"""Answers that the peers keep of a query; the metrics below look no deeper."""

METRICS = ("mAP@100", "MRR@10", "nDCG@10", "R@1", "R@10", "R@100")


@dataclass(frozen=True)
class Task:
    """Some queries against one pool. `relevant` has the rows of each query's relevant passages in the pool."""

    queries: np.ndarray
    passages: np.ndarray
    relevant: list[list[int]]


def sentence_transformers(task: Task) -> dict[str, float]:
    """`InformationRetrievalEvaluator`."""
    from sentence_transformers.util import cos_sim

    try:
        from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    except ImportError:
        from sentence_transformers.evaluation import InformationRetrievalEvaluator

    class Given(InformationRetrievalEvaluator):
        def embed_inputs(
            self, model: Any, sentences: Any, encode_fn_name: str | None = None, **_: Any
        ) -> torch.Tensor:
            vectors = task.queries if encode_fn_name == "query" else task.passages
            return torch.from_numpy(vectors[sentences])

    evaluator = Given(
        {f"q{q}": q for q in range(len(task.queries))},
        {f"p{p}": p for p in range(len(task.passages))},
        {f"q{q}": {f"p{p}" for p in rows} for q, rows in enumerate(task.relevant)},
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[1],
        precision_recall_at_k=[1, 10, 100],
        map_at_k=[100],
        score_functions={"cosine": cos_sim},
    )
    found = evaluator.compute_all_metrics(SimpleNamespace())["cosine"]
    return {
        "mAP@100": found["map@k"][100],
        "MRR@10": found["mrr@k"][10],
        "nDCG@10": found["ndcg@k"][10],
        **{f"R@{k}": found["recall@k"][k] for k in (1, 10, 100)},
    }


def mteb(task: Task) -> dict[str, float]:
    """The `RetrievalEvaluator` of mteb over its `SearchEncoderWrapper`."""
    import mteb
    from datasets import Dataset
    from mteb._evaluators import RetrievalEvaluator
    from mteb.models.search_wrappers import SearchEncoderWrapper
    from mteb.timing import TimingStack

    class Given:
        mteb_model_meta = None

        def encode(self, inputs: Any, *, prompt_type: Any, **_: Any) -> np.ndarray:
            return task.queries if prompt_type.value == "query" else task.passages

        def similarity(self, left: np.ndarray, right: np.ndarray) -> torch.Tensor:
            from sentence_transformers.util import cos_sim

            return cos_sim(left, right)

    names = [f"p{p}" for p in range(len(task.passages))]
    asked = [f"q{q}" for q in range(len(task.queries))]
    evaluator = RetrievalEvaluator(
        Dataset.from_dict({"id": names, "title": [""] * len(names), "text": names}),
        Dataset.from_dict({"id": asked, "text": asked}),
        task_metadata=mteb.get_task("XQuADRetrieval").metadata,
        hf_split="test",
        hf_subset="all",
        top_k=DEPTH,
        timer=TimingStack(),
    )
    results = evaluator(SearchEncoderWrapper(Given()), encode_kwargs={"batch_size": 1024, "show_progress_bar": False})
    qrels = {f"q{q}": {f"p{p}": 1 for p in rows} for q, rows in enumerate(task.relevant)}
    found = evaluator.evaluate(qrels, results, (1, 10, 100))
    # What it reports is rounded to five decimals, save MRR.
    by_query = list(found.all_scores.values())

    def mean(key: str) -> float:
        return float(np.mean([scores[key] for scores in by_query]))

    return {
        "mAP@100": mean("map_cut_100"),
        "MRR@10": found.mrr["MRR@10"],
        "nDCG@10": mean("ndcg_cut_10"),
        **{f"R@{k}": mean(f"recall_{k}") for k in (1, 10, 100)},
    }


def ranx(task: Task) -> dict[str, float]:
    """The best passages, found by torch, evaluated by ranx."""
    import ranx

    unit = [torch.nn.functional.normalize(torch.from_numpy(v)) for v in (task.queries, task.passages)]
    run: dict[str, dict[str, float]] = {}
    for first in range(0, len(unit[0]), 1024):
        values, rows = torch.topk(unit[0][first : first + 1024] @ unit[1].T, min(DEPTH, len(unit[1])), dim=1)
        for q, (scores, columns) in enumerate(zip(values.tolist(), rows.tolist(), strict=True)):
            run[f"q{first + q}"] = {f"p{p}": score for p, score in zip(columns, scores, strict=True)}
    qrels = {f"q{q}": {f"p{p}": 1 for p in rows} for q, rows in enumerate(task.relevant)}
    keys = {"mAP@100": "map@100", "MRR@10": "mrr@10", "nDCG@10": "ndcg@10"} | {
        f"R@{k}": f"recall@{k}" for k in (1, 10, 100)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), list(keys.values()))
    return {name: float(found[key]) for name, key in keys.items()}


PEERS: dict[str, tuple[str, Callable[[Task], dict[str, float]]]] = {
    "sentence-transformers": ("sentence_transformers", sentence_transformers),
    "mteb": ("mteb", mteb),
    "ranx": ("ranx", ranx),
}
"""By name: the module it needs, and the function."""

logging.getLogger("mteb").setLevel(logging.ERROR)
disable_progress_bars()
