# packages: ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 ranx==0.3.21 mteb==2.26.24 beir==2.2.0 trectools==0.0.50 sentence-transformers==6.2.0 scikit-learn==1.9.1 torch==2.13.0 datasets==5.2.0 numpy==2.4.6 pandas==3.1.1 setuptools==80.9.0
# ruff: noqa: E402, PTH123 (what is imported reads the environment set first)
"""What evaluators do with ties, missing queries, grades, copies, odd scores and ids: each cell is measured on a small run.

An evaluator is a function of judgements and a run, both {query: {document: number}}, which gives nDCG@100, AP, RR and P@10. The
rank at which it saw the one relevant document follows from nDCG@100. Files go through the evaluator's own reader.
"""

import contextlib
import datetime
import functools
import importlib.metadata
import io
import logging
import math
import os
import warnings

os.environ["TQDM_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import ir_measures
import numpy as np
import pytrec_eval
import ranx
import torch
from beir.retrieval.evaluation import EvaluateRetrieval
from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score
from trectools import TrecEval, TrecQrel, TrecRun

K = 100


def copies(nested):
    return {key: dict(inner) for key, inner in nested.items()}


def as_run_file(run):
    lines = run if isinstance(run, list) else [(q, d, s) for q, docs in run.items() for d, s in docs.items()]
    with open("run.trec", "w", encoding="utf-8") as out:
        out.writelines(f"{q} Q0 {d} {rank} {score!r} name\n" for rank, (q, d, score) in enumerate(lines, 1))
    return "run.trec"


def as_qrels_file(qrels):
    with open("qrels.trec", "w", encoding="utf-8") as out:
        out.writelines(f"{q} 0 {d} {grade}\n" for q, docs in qrels.items() for d, grade in docs.items())
    return "qrels.trec"


def by_ir_measures(qrels, run):
    names = {
        "nDCG": ir_measures.nDCG @ K,
        "AP": ir_measures.AP,
        "RR": ir_measures.RR,
        "RR@100": ir_measures.RR @ K,
        "P": ir_measures.P @ 10,
    }
    if isinstance(run, list):
        qrels, run = (
            list(ir_measures.read_trec_qrels(as_qrels_file(qrels))),
            list(ir_measures.read_trec_run(as_run_file(run))),
        )
    found = ir_measures.calc_aggregate(list(names.values()), qrels, run)
    return {name: found[measure] for name, measure in names.items()}


def by_pytrec_eval(qrels, run):
    if isinstance(run, list):
        with open(as_qrels_file(qrels)) as judged, open(as_run_file(run)) as ranked:
            qrels, run = pytrec_eval.parse_qrel(judged), pytrec_eval.parse_run(ranked)
    found = (
        pytrec_eval.RelevanceEvaluator(qrels, {f"ndcg_cut.{K}", "map", "recip_rank", "P.10"}).evaluate(run).values()
    )
    names = {"nDCG": f"ndcg_cut_{K}", "AP": "map", "RR": "recip_rank", "P": "P_10"}
    return {name: float(np.mean([query[key] for query in found])) for name, key in names.items()}


def by_ranx(qrels, run, **options):
    if isinstance(run, list):
        qrels, run = (
            ranx.Qrels.from_file(as_qrels_file(qrels), kind="trec"),
            ranx.Run.from_file(as_run_file(run), kind="trec"),
        )
    else:
        qrels, run = ranx.Qrels(copies(qrels)), ranx.Run(copies(run))
    names = {"nDCG": f"ndcg@{K}", "AP": "map", "RR": "mrr", "P": "precision@10"}
    found = ranx.evaluate(qrels, run, list(names.values()), **options)
    return {name: float(found[key]) for name, key in names.items()}


def by_mteb(qrels, run):
    found = calculate_retrieval_scores(copies(run), copies(qrels), [1, 10, K])
    return {
        "nDCG": found.ndcg[f"NDCG@{K}"],
        "AP": found.map[f"MAP@{K}"],
        "RR": found.mrr[f"MRR@{K}"],
        "P": found.precision["P@10"],
    }


def by_beir(qrels, run):
    ndcg, ap, _, precision = EvaluateRetrieval.evaluate(copies(qrels), copies(run), [1, 10, K])
    found = {"nDCG": ndcg[f"NDCG@{K}"], "AP": ap[f"MAP@{K}"], "P": precision["P@10"]}
    with contextlib.suppress(KeyError):  # its own error about a query without judgements
        found["RR"] = EvaluateRetrieval.evaluate_custom(copies(qrels), copies(run), [K], "mrr")[f"MRR@{K}"]
    return found


def by_trectools(qrels, run):
    found = TrecEval(TrecRun(as_run_file(run)), TrecQrel(as_qrels_file(qrels)))
    return {
        "nDCG": found.get_ndcg(K),
        "AP": found.get_map(),
        "RR": found.get_reciprocal_rank(),
        "P": found.get_precision(10),
    }


class Numbers:
    """Stands for a model: the embedding of a text is its number, so that the scores are those of the run."""

    def encode_query(self, texts, **_):
        return torch.tensor([[float(text)] for text in texts])

    encode_document = encode_query


def by_sentence_transformers(qrels, run):
    queries = list(run)
    documents = list(dict.fromkeys(document for docs in run.values() for document in docs))
    scores = torch.tensor(
        [[run[query].get(document, -math.inf) for document in documents] for query in queries], dtype=torch.float64
    )
    evaluator = InformationRetrievalEvaluator(
        {query: str(i) for i, query in enumerate(queries)}, {document: str(i) for i, document in enumerate(documents)}, qrels,
        mrr_at_k=[K], ndcg_at_k=[K], map_at_k=[K], accuracy_at_k=[1], precision_recall_at_k=[10],
        score_functions={"run": lambda asked, held: scores[asked[:, 0].long()][:, held[:, 0].long()]},
    )  # fmt: skip
    found = evaluator.compute_all_metrics(Numbers())["run"]
    return {
        "nDCG": float(found["ndcg@k"][K]),
        "AP": float(found["map@k"][K]),
        "RR": float(found["mrr@k"][K]),
        "P": float(found["precision@k"][10]),
    }


def by_scikit_learn(qrels, run):
    grades, scores = [], []
    for query, docs in run.items():
        grades.append([qrels[query].get(document, 0) for document in docs])
        scores.append(list(docs.values()))
    found = {"nDCG": float(ndcg_score(grades, scores, k=K))}
    with contextlib.suppress(ValueError):  # it takes 0 and 1 only
        found["AP"] = float(label_ranking_average_precision_score(grades, scores))
    return found


EVALUATORS = {
    "ir-measures": by_ir_measures, "pytrec-eval-terrier": by_pytrec_eval, "ranx": by_ranx, "mteb": by_mteb, "beir": by_beir,
    "trectools": by_trectools, "sentence-transformers": by_sentence_transformers, "scikit-learn": by_scikit_learn,
}  # fmt: skip
TAKES_FILES = {"ir-measures", "pytrec-eval-terrier", "ranx", "trectools"}
RAISED = "error"


def quiet(evaluate, *arguments):
    """The values, or None for an error."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return evaluate(*arguments)
    except Exception:
        return None


def near(value, other):
    return value is not None and abs(value - other) < 1e-3


def named(value, names):
    """The name of a measured value, or the value."""
    for expected, name in names.items():
        if near(value, expected):
            return name
    return "NaN" if math.isnan(value) else f"{value:.3g}"


def rank_of(ndcg):
    """The rank of the one relevant document, from nDCG."""
    if math.isnan(ndcg):
        return "NaN"
    if ndcg < 1e-6:
        return "none"
    rank = 2 ** (1 / ndcg) - 1
    return f"{round(rank)}" if abs(rank - round(rank)) < 1e-2 else f"{rank:.1f}"


def of_one(evaluate, grades, scores):
    return quiet(evaluate, {"1": grades}, {"1": scores})


def two_tied(evaluate, _):
    said = {}
    found = {
        (right, order): of_one(evaluate, {right: 1}, dict.fromkeys(order, 1.0))
        for right in "ab"
        for order in ("ab", "ba")
    }
    for measure in next(iter(found.values())):
        first = {order: [right for right in "ab" if near(found[right, order][measure], 1)] for order in ("ab", "ba")}
        if first == {"ab": ["b"], "ba": ["b"]}:
            said[measure] = "greater id first"
        elif first == {"ab": ["a"], "ba": ["a"]}:
            said[measure] = "smaller id first"
        elif first == {"ab": ["a"], "ba": ["b"]}:
            said[measure] = "as given"
        elif measure != "P":
            said[measure] = f"mean of the orders: {found['a', 'ab'][measure]:.3g}"
    ranked = {measure: text for measure, text in said.items() if measure != "P"}
    if len(set(ranked.values())) == 1:
        return next(iter(ranked.values()))
    return "; ".join(
        f"{', '.join(m for m in ranked if ranked[m] == text)}: {text}" for text in dict.fromkeys(ranked.values())
    )


def many_tied(evaluate, _):
    ranks = []
    for count in (10, 30):
        found = of_one(evaluate, {"d00": 1}, {f"d{i:02}": 1.0 for i in range(count)})
        rank = rank_of(found["nDCG"])
        ranks.append(f"{rank} of {count}" if rank.isdigit() else "mean of the orders")
    return ", ".join(dict.fromkeys(ranks))


def small_difference(evaluate, _):
    tops = (of_one(evaluate, {right: 1}, {"a": 0.9, "b": 0.9} | {right: 0.9 + 1e-9}) for right in "ab")
    return "kept" if all(near(found["nDCG"], 1) for found in tops) else "lost: tied"


def of_mean(evaluate, qrels, run):
    found = quiet(evaluate, qrels, run)
    if found is None:
        return RAISED
    text = named(found["nDCG"], {1: "left out of the mean", 0.5: "counts 0"})
    return text if "RR" in found else f"{text}; RR: {RAISED}"


ANSWERED = {"a": 2.0, "b": 1.0}


def not_in_run(evaluate, name):
    text = (
        "cannot be given"
        if name == "scikit-learn"
        else of_mean(evaluate, {"1": {"a": 1}, "2": {"b": 1}}, {"1": ANSWERED})
    )
    if name == "ranx":
        text += "; `make_comparable`: " + of_mean(
            functools.partial(evaluate, make_comparable=True), {"1": {"a": 1}, "2": {"b": 1}}, {"1": ANSWERED}
        )
    return text


def empty_list(evaluate, name):
    if name in {"scikit-learn", "sentence-transformers", "trectools"}:
        return "cannot be given"
    return of_mean(evaluate, {"1": {"a": 1}, "2": {"b": 1}}, {"1": ANSWERED, "2": {}})


def not_judged(evaluate, name):
    text = (
        "cannot be given"
        if name == "scikit-learn"
        else of_mean(evaluate, {"1": {"a": 1}}, {"1": ANSWERED, "9": ANSWERED})
    )
    if name == "ranx":
        text += "; `make_comparable`: " + of_mean(
            functools.partial(evaluate, make_comparable=True), {"1": {"a": 1}}, {"1": ANSWERED, "9": ANSWERED}
        )
    return text


def only_zeros(evaluate, _):
    found = quiet(evaluate, {"1": {"a": 1}, "2": {"a": 0}}, {"1": ANSWERED, "2": ANSWERED})
    if found is None:
        return RAISED
    said = {m: named(found[m], {1: "counts 1", 0.5: "counts 0"}) for m in ("nDCG", "AP") if m in found}
    alone = quiet(evaluate, {"1": {"a": 0}}, {"1": ANSWERED})
    for measure, text in said.items():
        if text == "counts 1" and (alone is None or not near(alone[measure], 1)):
            said[measure] = "left out of the mean"
    return said["nDCG"] if len(set(said.values())) == 1 else "; ".join(f"{m}: {text}" for m, text in said.items())


def gains(evaluate, _):
    found = of_one(evaluate, {"a": 1, "b": 3}, {"a": 2.0, "b": 1.0})
    log = math.log2(3)
    return named(
        found["nDCG"],
        {
            (1 + 3 / log) / (3 + 1 / log): "linear",
            (1 + 7 / log) / (7 + 1 / log): "exponential",
            1: "none: grades are not read",
        },
    )


def judged_zero(evaluate, _):
    found = of_one(evaluate, {"a": 0, "b": 1}, {"a": 2.0, "b": 1.0})
    measure = "RR" if "RR" in found else "AP"
    return named(found[measure], {1: "relevant", 0.5: "not relevant"})


def below_zero(evaluate, _):
    found = of_one(evaluate, {"a": -1, "b": 1}, {"a": 2.0, "b": 1.0})
    if found is None:
        return RAISED
    text = f"nDCG {named(found['nDCG'], {1 / math.log2(3): 'as grade 0', 1: 'as relevant'})}"
    return text + (f", RR {named(found['RR'], {1: 'as relevant', 0.5: 'as grade 0'})}" if "RR" in found else "")


def twice(evaluate, name):
    if name not in TAKES_FILES:
        return "cannot be given"
    found = quiet(evaluate, {"1": {"a": 1}}, [("1", "a", 0.9), ("1", "x", 0.8), ("1", "a", 0.7)])
    if found is None:
        return RAISED
    if near(found["P"], 0.2):
        return f"both count: AP {found['AP']:.3g}"
    return f"{named(found['RR'], {1: 'the better place', 0.5: 'the last line'})}"


def own_id(evaluate, name):
    if name == "scikit-learn":
        return "has no ids"
    found = quiet(evaluate, {"1": {"1": 1}}, {"1": {"1": 2.0, "2": 1.0}})
    return named(found["nDCG"], {1: "kept", 0: "dropped, though relevant"})


def odd_score(score):
    def cell(evaluate, _):
        ranks = []
        for place in range(3):
            scores = {"a": 3.0, "b": 2.0, "c": 1.0} | {"abc"[place]: score}
            found = of_one(evaluate, {"abc"[place]: 1}, scores)
            ranks.append(RAISED if found is None else rank_of(found["nDCG"]))
        return (
            f"rank {ranks[0]}"
            if len(set(ranks)) == 1 and ranks[0] != RAISED
            else RAISED
            if set(ranks) == {RAISED}
            else "rank " + ", ".join(ranks)
        )

    return cell


def short_list(evaluate, _):
    found = of_one(evaluate, {"a": 1}, {"a": 2.0, "b": 1.0})
    return "no such measure" if "P" not in found else named(found["P"], {0.1: "divided by 10", 0.5: "divided by 2"})


def numbers(evaluate, name):
    if name == "scikit-learn":
        return "has no ids"

    def pure(qrels, scores):  # through the reader, where there is one
        found = quiet(
            evaluate, qrels, [("1", d, s) for d, s in scores.items()] if name in TAKES_FILES else {"1": scores}
        )
        return RAISED if found is None else named(found["nDCG"], {1: "one document", 0: "two"})

    alone, mixed = pure({"1": {"7": 1}}, {"007": 2.0, "8": 1.0}), pure({"1": {"7": 1}}, {"007": 2.0, "x": 1.0})
    same = pure({"1": {"007": 1}}, {"007": 2.0, "x": 1.0})
    text = alone if alone == mixed else f"{alone}; {mixed} as soon as another id has a letter"
    return text if same == "one document" else f"{text}, and 007 is not found in the judgements then"


ROWS = {
    "Two documents with one score: which is first": two_tied,
    "Equal scores: rank of the first that was given, whose id is the smallest": many_tied,
    "A difference of 1e-9 between scores near 1": small_difference,
    "A judged query that the run does not have": not_in_run,
    "A judged query with an empty list": empty_list,
    "A query of the run without judgements": not_judged,
    "A query whose judgements are all 0": only_zeros,
    "Grades: gain in nDCG, by default": gains,
    "A document judged 0, for AP and RR": judged_zero,
    "A document judged -1, at rank 1": below_zero,
    "One document twice in a list (file)": twice,
    "A document with the id of its query": own_id,
    "Score NaN, in place 1, 2, 3 of three": odd_score(math.nan),
    "Score infinite": odd_score(math.inf),
    "Score minus infinite": odd_score(-math.inf),
    "P@10 of a list of two": short_list,
    "Documents 7 and 007 (file where there is a reader)": numbers,
}

print(
    f"Measured {datetime.date.today()}: "
    + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in EVALUATORS)
    + ".\n"
)
print("| | " + " | ".join(EVALUATORS) + " |")
print("|---" * (len(EVALUATORS) + 1) + "|")
for title, cell in ROWS.items():
    print(
        f"| {title} | " + " | ".join(cell(evaluate, name) for name, evaluate in EVALUATORS.items()) + " |", flush=True
    )
