"""The bridge to mteb: encoders, settings as tasks, tasks as corpora, results as files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mteb
import numpy as np
import pytest
from conftest import parallel_corpus, png
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.models import EncoderProtocol
from mteb.results import TaskResult
from sentence_transformers import SentenceTransformer

from babelmix.corpus import Corpus
from babelmix.corpus.readers.mteb_task import language_tag
from babelmix.encoders import fingerprint
from babelmix.errors import AuditError, ConfigError, ReaderError
from babelmix.evaluation import Audit, audit
from babelmix.evaluation.mteb import as_mteb_results, cached_encoder, corpus_of_task, mteb_tasks, write_mteb_results
from babelmix.evaluation.mteb.names import language_code, model_name, task_name

pytestmark = [
    # mteb calls parameters and methods that it or sentence-transformers deprecated.
    pytest.mark.filterwarnings("ignore:The (fill_missing|compute_metadata) parameter:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*get_sentence_embedding_dimension.*"),
]


def evaluate(model, tasks, **options) -> dict[str, TaskResult]:
    options = {"cache": None, "co2_tracker": False, "show_progress_bar": False} | options
    found = mteb.evaluate(model, tasks, **options)
    return {result.task_name: result for result in found.task_results}


def by_subset(result: TaskResult) -> dict[str, dict]:
    return {entry["hf_subset"]: entry for entry in result.scores["test"]}


def sparse_toy() -> Corpus:
    """Tie-free texts, grades, two passages of one item in a language, missing languages, and a query without an answer."""
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(60)]
    queries, passages = [], []
    for i in range(12):
        for lang in ("de", "en", "ja"):
            if not (lang == "ja" and i % 3 == 0):
                queries.append({"item": f"q{i}", "lang": lang, "text": " ".join(rng.choice(words, 9))})
            for _ in range(1 + (i == 4 and lang == "en")):
                if not (lang == "de" and i % 4 == 1):
                    passages.append({"item": f"p{i}", "lang": lang, "text": " ".join(rng.choice(words, 25))})
    passages.append({"item": "only", "lang": "pt-BR", "text": " ".join(rng.choice(words, 25))})
    qrels = [(f"q{i}", f"p{i}", 2) for i in range(11)]
    qrels += [(f"q{i}", f"p{(i + 5) % 12}", 1) for i in range(0, 11, 2)] + [("q1", "only", 3)]
    return Corpus.from_rows(queries, passages, qrels, name="sparse-toy")


@pytest.fixture(scope="module")
def toy() -> Corpus:
    return sparse_toy()


@pytest.fixture(scope="module")
def encoder(toy: Corpus) -> SentenceTransformer:
    from babelmix.encoders import static

    made = static.from_scratch([*toy.queries["text"].to_pylist(), *toy.passages["text"].to_pylist()], vocabulary=120)
    made.prompts = {"query": "ask w1: ", "document": "w2: "}
    return made


@pytest.fixture(scope="module")
def done(encoder: SentenceTransformer, toy: Corpus) -> Audit:
    return audit(encoder, toy, name="tiny", store=False)


# --- settings as tasks


def test_the_tasks_are_those_of_the_corpus(toy: Corpus) -> None:
    mono, cross, multi = mteb_tasks(toy)
    assert [t.metadata.name for t in (mono, cross, multi)] == ["SparseToy-mono", "SparseToy-cross", "SparseToy-multi"]
    assert mono.metadata.eval_langs == {"de": ["deu-Latn"], "en": ["eng-Latn"], "ja": ["jpn-Jpan"]}
    assert set(cross.hf_subsets) == {f"{q}-{p}" for q in ("de", "en", "ja") for p in ("de", "en", "ja", "pt-BR")} - {
        "de-de", "en-en", "ja-ja",
    }  # fmt: skip
    assert cross.metadata.eval_langs["ja-pt-BR"] == ["jpn-Jpan", "por-Latn"]
    assert multi.metadata.eval_langs["ja"] == ["jpn-Jpan", "deu-Latn", "eng-Latn", "por-Latn"]
    assert multi.metadata.main_score == "map_at_1000"
    assert multi.metadata.revision == toy.fingerprint()[:40]
    for task in (mono, cross, multi):
        task.load_data()
    assert multi.dataset["de"]["test"]["corpus"] is multi.dataset["ja"]["test"]["corpus"]
    assert len(multi.dataset["de"]["test"]["corpus"]) == toy.passages.num_rows
    assert mono.dataset["de"]["test"]["corpus"] is cross.dataset["en-de"]["test"]["corpus"]
    grades = Counter(g for found in multi.dataset["en"]["test"]["relevant_docs"].values() for g in found.values())
    assert set(grades) == {1, 2, 3}
    assert [t.metadata.name for t in mteb_tasks(toy, ["multi"])] == ["SparseToy-multi"]


@pytest.mark.slow
def test_mteb_finds_what_an_audit_finds(encoder, toy: Corpus, done: Audit, monkeypatch) -> None:
    """All three settings, by mteb's own scoring of the plain SentenceTransformer; per query, for mteb rounds its means."""
    per_query: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    tasks = mteb_tasks(toy)
    for task in tasks:
        original = task.task_specific_scores

        def spied(scores, *rest, _task=task, _original=original, **names):
            per_query[_task.setting, names["hf_subset"]] = scores
            return _original(scores, *rest, **names)

        monkeypatch.setattr(task, "task_specific_scores", spied)
    found = evaluate(encoder, tasks)
    for setting, cells in (("mono", 3), ("cross", 9), ("multi", 3)):
        for metric, key in (("mAP", "map_cut_1000"), ("nDCG@10", "ndcg_cut_10"), ("R@10", "recall_10")):
            measure = done.measures[f"{setting}/{metric}"]
            assert len(measure.cells) == cells
            for cell, value in zip(measure.cells, measure.cell_values(), strict=True):
                scores = per_query[setting, cell.replace(" > ", "-")].values()
                assert np.mean([s[key] for s in scores]) == pytest.approx(value, abs=1e-6)
    multi = by_subset(found["SparseToy-multi"])
    for name, key in (
        ("rank distance", "rank_distance_at_1000"),
        ("same-language share@10", "same_language_share_at_10"),
    ):
        measure = done.measures[f"bias/{name}"]
        if name == "rank distance":
            assert [multi[lang][key] for lang in measure.cells] == pytest.approx(measure.cell_values().tolist())
        else:
            # A share counts the query without an answer too, which mteb leaves out.
            assert [multi[lang][key] for lang in measure.cells] == pytest.approx(
                measure.cell_values().tolist(), abs=0.1
            )
    assert "rank_distance_at_1000" not in by_subset(found["SparseToy-cross"])["en-de"]


def test_a_cut_off_bounds_the_rank_distance(encoder, toy: Corpus, done: Audit) -> None:
    (task,) = mteb_tasks(toy, ["multi"], cutoff=12)
    assert task.metadata.main_score == "map_at_12"
    assert task.k_values == (1, 3, 5, 10, 12)
    found = by_subset(evaluate(encoder, task)["SparseToy-multi"])
    distance = done.measures["bias/rank distance"]
    exact = dict(zip(distance.cells, distance.cell_values(), strict=True))
    for lang, scores in found.items():
        assert 0 < scores["rank_distance_at_12"] < exact[lang]


def test_ties_fall_as_in_an_audit(encoder) -> None:
    queries = [{"item": "q", "lang": lang, "text": "w1 w2"} for lang in ("de", "en")]
    passages = [{"item": f"p{i}", "lang": lang, "text": "w3 w4"} for i in range(12) for lang in ("de", "en")]
    tied = Corpus.from_rows(queries, passages, [("q", "p7")], name="tied")
    expected = audit(encoder, tied, name="x", store=False)
    found = evaluate(encoder, mteb_tasks(tied))
    for setting in ("mono", "cross", "multi"):
        value = expected.macro(f"{setting}/mAP")
        assert found[f"Tied-{setting}"].get_score() == pytest.approx(value, abs=5e-6)


def test_a_setting_that_is_not_there(toy: Corpus) -> None:
    assert [t.setting for t in mteb_tasks(toy.only_langs(["de"]))] == ["mono", "multi"]
    with pytest.raises(AuditError, match="no query has a relevant passage in cross"):
        mteb_tasks(toy.only_langs(["de"]), ["cross"])
    with pytest.raises(ConfigError, match="no setting 'all'"):
        mteb_tasks(toy, ["all"])
    with pytest.raises(ConfigError, match="below 10"):
        mteb_tasks(toy, cutoff=5)


@pytest.mark.parametrize(("tag", "reason"), [("zxx", "images"), ("qaa-Latn", "mteb does not know the language")])
def test_languages_that_mteb_cannot_have(tag: str, reason: str) -> None:
    rows = [{"item": "a", "lang": tag, **({"image": png((0, 0, 0))} if tag == "zxx" else {"text": "x"})}]
    with pytest.raises(AuditError, match=reason):
        mteb_tasks(Corpus.from_rows(rows, rows, [("a", "a")]))


def test_names() -> None:
    codes = {"zh": "zho-Hans", "zh-Hant": "zho-Hant", "pt-BR": "por-Latn", "sr": "srp-Cyrl", "ar": "ara-Arab"}
    assert {tag: language_code(tag) for tag in codes} == codes
    tags = {
        "arb-Arab": "ar", "ara-Arab": "ar", "zho-Hans": "zh", "zho-Hant": "zh-Hant", "hin-Latn": "hi-Latn",
        "npi-Deva": "ne", "swa-Latn": "sw", "eng": "en", "srp-Latn": "sr-Latn",
    }  # fmt: skip
    assert {code: language_tag(code) for code in tags} == tags
    with pytest.raises(ReaderError, match="'python-Code'"):
        language_tag("python-Code")
    assert task_name("comfyui-docs/test", "mono") == "ComfyuiDocsTest-mono"
    assert task_name("...", "mono") == "Corpus-mono"
    assert model_name("intfloat/e5") == "intfloat/e5"
    assert model_name("/tmp/my model/") == "babelmix/tmp-my-model"
    assert model_name("tests") == "babelmix/tests"


# --- encoders


def count_texts(encoder: SentenceTransformer, monkeypatch) -> Counter:
    counted: Counter = Counter()
    for kind in ("query", "document"):
        original = getattr(encoder, f"encode_{kind}")

        def counting(texts, *rest, _kind=kind, _original=original, **names):
            counted.update((_kind, text) for text in texts)
            return _original(texts, *rest, **names)

        monkeypatch.setattr(encoder, f"encode_{kind}", counting)
    return counted


@pytest.mark.slow
@pytest.mark.parametrize("store", [True, False])
def test_each_text_of_a_kind_is_encoded_once(encoder, toy: Corpus, monkeypatch, tmp_path, store: bool) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    # A text that is a query and a document: the two have different prompts.
    rows = [
        *toy.queries.to_pylist(),
        {"item": "q0", "lang": "fr", "text": toy.passages["text"][0].as_py(), "group": "q0"},
    ]
    both = Corpus.from_rows(
        rows, toy.passages.to_pylist(), [tuple(q.values()) for q in toy.qrels.to_pylist()], name="toy"
    )
    plain = evaluate(encoder, mteb_tasks(both))
    counted = count_texts(encoder, monkeypatch)
    found = evaluate(cached_encoder(encoder, "tiny", store=store), mteb_tasks(both))
    assert bool(list(tmp_path.rglob("*.npy"))) == store
    answered = {q for q, _, _ in (tuple(q.values()) for q in both.qrels.to_pylist())}
    asked = {q["text"] for q in both.queries.to_pylist() if q["item"] in answered}
    assert set(counted.values()) == {1}
    assert set(counted) == {("query", t) for t in asked} | {("document", t) for t in both.passages["text"].to_pylist()}
    for name, result in plain.items():
        for subset, scores in by_subset(result).items():
            for key, value in scores.items():
                other = by_subset(found[name])[subset][key]
                assert other == (pytest.approx(value, abs=1e-6, nan_ok=True) if isinstance(value, float) else value)


def test_a_cached_encoder_is_what_mteb_wants(encoder, toy: Corpus) -> None:
    cached = cached_encoder(encoder, "some/model")
    assert isinstance(cached, EncoderProtocol)
    assert cached.mteb_model_meta.name == "some/model"
    assert cached.mteb_model_meta.revision == fingerprint(encoder)[:40]
    vectors = np.eye(3, dtype=np.float32)
    assert np.allclose(cached.similarity(vectors, vectors), np.eye(3))
    assert np.allclose(cached.similarity_pairwise(vectors, vectors), 1)


class TitledTask(AbsTaskRetrieval):
    metadata = mteb.TaskMetadata(
        name="Titled", description="t", type="Retrieval", category="t2t", eval_splits=["test"],
        eval_langs=["eng-Latn"], main_score="ndcg_at_10", dataset={"path": "none", "revision": "1"},
    )  # fmt: skip

    def load_data(self, num_proc=None, **kwargs) -> None:
        corpus = Dataset.from_dict({"id": ["a", "b"], "text": ["w5 w6 ", "w7"], "title": ["w1", ""]})
        queries = Dataset.from_dict({"id": ["q"], "text": ["w1 w5"]})
        parts = {"corpus": corpus, "queries": queries, "relevant_docs": {"q": {"a": 1}}, "top_ranked": None}
        self.dataset, self.data_loaded = {"default": {"test": parts}}, True


def test_titles_are_joined_as_mteb_joins_them(encoder, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    counted = count_texts(encoder, monkeypatch)
    evaluate(cached_encoder(encoder, "tiny"), TitledTask())
    assert set(counted) == {("query", "w1 w5"), ("document", "w1 w5 w6"), ("document", "w7")}
    corpus = corpus_of_task(TitledTask())
    assert corpus.passages["text"].to_pylist() == ["w1 w5 w6", "w7"]
    assert corpus.langs == ("en",)


def test_a_prompt_for_the_task_is_not_mistaken_for_the_usual_one(encoder, toy: Corpus, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    monkeypatch.setattr(encoder, "prompts", {**encoder.prompts, "Retrieval-query": "w3 w4 w5 w6 "})
    tasks = ["multi"]
    plain = evaluate(encoder, mteb_tasks(toy, tasks))["SparseToy-multi"]
    cached = evaluate(cached_encoder(encoder, "tiny"), mteb_tasks(toy, tasks))["SparseToy-multi"]
    assert cached.get_score() == plain.get_score()
    monkeypatch.setattr(encoder, "prompts", {"query": "ask w1: ", "document": "w2: "})
    assert evaluate(encoder, mteb_tasks(toy, tasks))["SparseToy-multi"].get_score() != plain.get_score()


def test_a_trained_folder_runs_in_mteb_as_it_is(tiny_static, tmp_path) -> None:
    import copy

    from babelmix.training import TrainingSettings, train

    corpus = parallel_corpus()
    settings = TrainingSettings(strategy="hybrid", steps=10, batch_size=8, learning_rate=0.05)
    train(copy.deepcopy(tiny_static), corpus, settings, tmp_path / "model")
    loaded = SentenceTransformer(str(tmp_path / "model"))
    ours = audit(loaded, corpus, name="trained", store=False)
    (result,) = evaluate(loaded, mteb_tasks(corpus, ["mono"])).values()
    theirs = by_subset(result)
    for metric, key in (("nDCG@10", "ndcg_at_10"), ("mAP", "map_at_1000")):
        measure = ours.measures[f"mono/{metric}"]
        # mteb rounds a mean to five digits.
        assert [theirs[lang][key] for lang in measure.cells] == pytest.approx(measure.cell_values().tolist(), abs=6e-6)


# --- results


def test_results_are_those_of_mteb(encoder, toy: Corpus, done: Audit, tmp_path) -> None:
    written = write_mteb_results(done, tmp_path)
    assert [file.name for file in written] == [
        "SparseToy-mono.json", "SparseToy-cross.json", "SparseToy-multi.json", "model_meta.json",
    ]  # fmt: skip
    for name, theirs in evaluate(encoder, mteb_tasks(toy)).items():
        ours = TaskResult.from_disk(written[0].parent / f"{name}.json")
        assert ours.dataset_revision == theirs.dataset_revision
        assert ours.get_score() == pytest.approx(theirs.get_score(), abs=6e-6)
        subsets = by_subset(theirs)
        assert set(by_subset(ours)) == set(subsets)
        for subset, scores in by_subset(ours).items():
            assert scores["languages"] == subsets[subset]["languages"]
            both = {k for k in set(scores) & set(subsets[subset]) if isinstance(scores[k], float)}
            assert len(both) >= 6 * 7
            for key in both - {"same_language_share_at_10"}:
                assert scores[key] == pytest.approx(subsets[subset][key], abs=6e-6), (name, subset, key)
    multi = by_subset(TaskResult.from_disk(written[2]))
    distance = done.measures["bias/rank distance"]
    assert [multi[lang]["rank_distance"] for lang in distance.cells] == distance.cell_values().tolist()
    assert np.mean([s["map"] for s in multi.values()]) == pytest.approx(done.macro("multi/mAP"))
    assert {"same_language_share_at_10", "same_language_preference", "median_rank_distance"} <= set(multi["en"])


def test_mtebs_cache_reads_the_results(encoder, toy: Corpus, done: Audit, tmp_path, monkeypatch) -> None:
    write_mteb_results(done, tmp_path)
    cache = mteb.ResultCache(tmp_path)
    loaded = cache.load_results(include_remote=False)
    assert [(m.model_name, len(m.task_results)) for m in loaded.model_results] == [("babelmix/tiny", 3)]
    meta = mteb.models.ModelMeta.model_validate_json_resolved(next(tmp_path.rglob("model_meta.json")).read_text())
    assert meta.revision == done.table.about.encoder_fingerprint[:40]
    # mteb takes them for its own, and encodes nothing.
    counted = count_texts(encoder, monkeypatch)
    found = evaluate(cached_encoder(encoder, "tiny"), mteb_tasks(toy), cache=cache, overwrite_strategy="only-cache")
    assert found["SparseToy-multi"].get_score() == pytest.approx(done.macro("multi/mAP"))
    assert not counted


def test_an_audit_of_something_unknown_is_refused(done: Audit, tmp_path) -> None:
    unknown = Audit(replace(done.table, about={"encoder": "x"}), done.measures, done.estimates)
    with pytest.raises(AuditError, match="does not say its encoder fingerprint"):
        write_mteb_results(unknown, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("lang", "message"), [
    ("zxx", "--mteb: other has pictures; mteb's format is for results on texts"),
    ("x-own", "--mteb: the language 'x-own' has no ISO 639-3 code, which mteb needs; leave the language out"),
])  # fmt: skip
def test_what_mteb_cannot_have_is_said_before_anything_is_encoded(
    babelmix, tmp_path, monkeypatch, lang: str, message: str
) -> None:
    queries = [{"item": "a", "lang": "de", "text": "x"}]
    passages = [{"item": "a", "lang": lang, **({"image": png((0, 0, 0))} if lang == "zxx" else {"text": "y"})}]
    Corpus.from_rows(queries, passages, [("a", "a")], name="other").save(tmp_path / "other")
    monkeypatch.setattr("babelmix.encoders.load_encoder", None)
    words = (
        "audit",
        "x",
        "-c",
        str(tmp_path / "other"),
        "--out",
        str(tmp_path / "out"),
        "--mteb",
        str(tmp_path / "m"),
    )
    code, _, err = babelmix(*words)
    assert code == 1
    assert message in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


@pytest.mark.slow
def test_results_are_written_without_mteb(done: Audit, tmp_path) -> None:
    done.save(tmp_path / "audit")
    code = f"""if True:
        import sys
        sys.modules["mteb"] = None
        from pathlib import Path
        import babelmix.evaluation.mteb as bridge
        from babelmix.evaluation import Audit
        from babelmix.errors import MissingExtraError
        bridge.write_mteb_results(Audit.load(Path({str(tmp_path / "audit")!r})), Path({str(tmp_path)!r}))
        for name in ("mteb_tasks", "cached_encoder", "corpus_of_task"):
            try:
                getattr(bridge, name)
            except MissingExtraError as error:
                print(error)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.count("pip install 'babelmix[mteb]'") == 3
    again = json.loads(next(tmp_path.rglob("SparseToy-multi.json")).read_text())
    assert again == json.loads(json.dumps(as_mteb_results(done)["SparseToy-multi"]))


# --- and back


def test_our_own_tasks_come_back(toy: Corpus) -> None:
    (cross,) = mteb_tasks(toy, ["cross"])
    with pytest.raises(ReaderError, match="two languages, and mteb does not say which is the queries'"):
        corpus_of_task(cross)
    back = corpus_of_task(cross, pairs="query-passage")
    asked = {(r["lang"], r["text"]) for r in toy.queries.to_pylist() if r["item"] != "q11"}
    assert {(r["lang"], r["text"]) for r in back.queries.to_pylist()} == asked
    (multi,) = mteb_tasks(toy, ["multi"])
    with pytest.raises(ReaderError, match="mteb does not say which texts have which"):
        corpus_of_task(multi)
    (mono,) = mteb_tasks(toy, ["mono"])
    mono.load_data()
    assert corpus_of_task(mono).is_graded


# --- the guide

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "mteb.md").read_text(encoding="utf-8")


def test_the_guide_runs(tiny_static, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    lines = ["item,query_en,query_de,passage_en,passage_de"]
    lines += [f"i{i},cat dog {i},Katze Hund {i},bread {i} salt,Brot {i} Salz" for i in range(6)]
    (tmp_path / "my.csv").write_text("\n".join(lines), encoding="utf-8")
    tiny_static.save_pretrained("my-encoder")
    shown = []
    for code in re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/mteb.md", "exec"), {"__name__": "example"})
        shown.append(capsys.readouterr().out)
    evaluated, collapsed, written, read = shown
    assert "My-multi" in evaluated
    assert not written
    assert "de" in collapsed
    assert read.startswith("me/my-encoder {")
    scores = eval(read.removeprefix("me/my-encoder "))
    assert scores == pytest.approx(eval(evaluated), abs=6e-6)
