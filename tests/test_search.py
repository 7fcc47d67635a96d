"""Index and search: what is written is found, under filters and language policies, and survives a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus

from babelmix.errors import BabelmixError, ConfigError, ReaderError, SearchError
from babelmix.search import Index, Policy, Row, Searcher, Where, index_rows, open_rows
from babelmix.search.applying import with_quota
from babelmix.search.calibration import Calibration, Moments
from babelmix.search.documents import rows_of_corpus
from babelmix.search.rows import Hit, points_of

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


def vectors_of(searcher: Searcher, texts: list[str]) -> np.ndarray:
    return searcher.index.ready(searcher.encoder.encode_document(texts))


def all_scores(searcher: Searcher, query: str) -> list[tuple[float, str, str]]:
    """Score, item and language of every passage, best first: the slow, obvious way."""
    table = parallel_corpus().passages
    scores = vectors_of(searcher, table["text"].to_pylist()) @ searcher.embed([query])[0]
    rows = zip(scores.tolist(), table["item"].to_pylist(), table["lang"].to_pylist(), strict=True)
    return sorted(rows, key=lambda row: -row[0])


def test_search_is_brute_force(searcher: Searcher) -> None:
    for query in ("cat river", "Katze", "猫 川"):
        found = searcher.search([query], k=20)[0]
        assert [hit.score for hit in found] == pytest.approx(
            [s for s, *_ in all_scores(searcher, query)[:20]], abs=1e-5
        )


def test_several_queries_are_each_alone(searcher: Searcher) -> None:
    together = searcher.search(["cat", "chien"], k=5)
    assert together == [searcher.search(["cat"], k=5)[0], searcher.search(["chien"], k=5)[0]]


def test_only_these_languages(searcher: Searcher) -> None:
    found = searcher.search(["cat"], k=15, policy="only=de,ja")[0]
    expected = [row for row in all_scores(searcher, "cat") if row[2] in ("de", "ja")][:15]
    assert {hit.lang for hit in found} <= {"de", "ja"}
    assert [hit.score for hit in found] == pytest.approx([row[0] for row in expected], abs=1e-5)


def test_balanced_merges_calibrated_scores_of_every_language(searcher: Searcher) -> None:
    vector = searcher.embed(["Katze Haus"])
    calibration = searcher.index.calibration
    scales = {lang: calibration.scale(lang, vector) for lang in searcher.index.langs()}
    rows = [((s - scales[lang][0][0]) / scales[lang][1][0]) for s, _, lang in all_scores(searcher, "Katze Haus")]
    found = searcher.search(["Katze Haus"], k=12, policy="balanced")[0]
    assert [hit.score for hit in found] == pytest.approx(sorted(rows, reverse=True)[:12], abs=1e-4)


def test_preferred_languages_are_raised_by_the_spread(searcher: Searcher) -> None:
    spread = searcher.index.calibration.spreads(searcher.embed(["dog"]))[0]
    raised = sorted((-(s + 2 * spread * (lang == "fr")) for s, _, lang in all_scores(searcher, "dog")))[:9]
    found = searcher.search(["dog"], k=9, policy="prefer=fr:2")[0]
    assert [-hit.score for hit in found] == pytest.approx(raised, abs=1e-5)


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_a_quota_is_kept_where_it_can_be(searcher: Searcher, mode: str) -> None:
    found = searcher.search(["cat 3"], k=4, policy="quota=4", mode=mode)[0]  # type: ignore[arg-type]
    assert len(found) == 4
    # Every passage has a number, so that there are words in common in every language.
    assert len({hit.lang for hit in found}) == 4
    assert len(searcher.search(["cat"], k=2, policy="quota=4")[0]) == 2


def test_quota_takes_the_last_of_languages_that_have_several() -> None:
    def hit(name: str, lang: str, score: float) -> Hit:
        return Hit(name, score, name, lang, name, name)

    hits = [hit("a", "de", 4), hit("b", "de", 3), hit("c", "en", 2)]
    assert [h.id for h in with_quota(hits, [hit("d", "de", 2.5), hit("e", "fr", 1)], 3)] == ["a", "c", "e"]
    assert [h.id for h in with_quota(hits, [hit("e", "fr", 1)], 2)] == ["a", "b", "c"]
    assert [h.id for h in with_quota(hits, [], 9)] == ["a", "b", "c"]


def test_words_find_what_has_them(searcher: Searcher) -> None:
    found = searcher.search(["chien"], k=100, mode="words")[0]
    expected = {text for text in parallel_corpus().passages["text"].to_pylist() if "chien" in text.split()}
    assert {hit.text for hit in found} == expected
    assert searcher.search(["nothinghasthisword"], mode="words") == [[]]


def test_each_item_once(searcher: Searcher) -> None:
    found = searcher.search(["cat 3"], k=40, once=True)[0]
    assert len({hit.item for hit in found}) == len(found) == 40
    best = {}
    for _, item, lang in all_scores(searcher, "cat 3"):
        best.setdefault(item, lang)
    assert best[found[0].item] == found[0].lang


def test_upsert_replaces_whole_items_and_leaves_equal_rows(searcher: Searcher) -> None:
    index, encoder = searcher.index, searcher.encoder
    again = index_rows(index, encoder, rows_of_corpus(parallel_corpus()))
    assert (again.written, again.unchanged, again.removed) == (0, 160, 0)
    changes = index.changes([Row("i0", "de", "neu und anders"), Row("i0", "en", "new too")])
    assert (len(changes.points), len(changes.stale), changes.unchanged) == (2, 2, 0)
    index.write(changes, encoder.encode_document([p.row.text for p in changes.points]))
    left = index.engine.digests(["i0"])
    assert set(left) == {point.id for point in points_of([Row("i0", "de", "x"), Row("i0", "en", "x")])}
    assert index.delete(["i0", "nowhere"]) == 1
    assert index.langs() == {"de": 39, "en": 39, "fr": 39, "ja": 39}


def test_prune_removes_what_the_collection_lacks(searcher: Searcher) -> None:
    done = index_rows(searcher.index, searcher.encoder, rows_of_corpus(parallel_corpus(items=30)), prune=True)
    assert (done.written, done.removed) == (0, 40)
    assert set(searcher.index.items()) == {f"i{i}" for i in range(30)}


def test_metadata_filters(tmp_path: Path, tiny_static) -> None:
    file = tmp_path / "docs.jsonl"
    rows = [
        {"item": f"i{n}", "lang": "en", "text": f"cat {n}", "year": 2000 + n % 3, "weight": n / 4, "good": n % 2 == 0,
         "site": f"s {n % 5}"}
        for n in range(20)
    ]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, rows)))
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, open_rows(str(file)))
        assert index.columns == {"year": "integer", "weight": "number", "good": "boolean", "site": "text"}
        searcher = Searcher(index, tiny_static)
        for fields in (
            {"year": [2001]},
            {"weight": [1.5, 2]},
            {"good": [True], "site": ["s 1", "s 2"]},
            {"item": ["i7"]},
        ):
            where = index.where(None, fields)
            found = {hit.item for hit in searcher.search(["cat"], k=30, where=where)[0]}
            assert found == {r["item"] for r in rows if all(r[name] in values for name, values in fields.items())}
        for fields, match in (({"nope": [1]}, "no column"), ({"year": ["x"]}, "type"), ({"year": []}, "no values")):
            with pytest.raises(SearchError, match=match):
                index.where(None, fields)
        with pytest.raises(SearchError, match="the column's is integer"):
            index.changes([Row("i1", "en", "x", fields={"year": "two thousand"})])


def test_an_index_refuses_another_encoder(searcher: Searcher, tiny_static, tmp_path: Path) -> None:
    import copy

    other = copy.deepcopy(tiny_static)
    other[0].embedding.weight.data += 1
    with pytest.raises(SearchError, match="other weights"):
        Searcher(searcher.index, other)
    other.prompts = {"query": "q: "}
    with pytest.raises(SearchError, match="prompts"):
        Searcher(searcher.index, other)
    with pytest.raises(SearchError, match="already"):
        Index.create(searcher.index.address, tiny_static, "tiny")
    with pytest.raises(SearchError, match="another process"):
        Index.open(searcher.index.address)


def test_a_reopened_index_has_everything(searcher: Searcher) -> None:
    before = searcher.search(["cat"], k=10, policy="balanced")
    searcher.index.close()
    with Index.open(searcher.index.address) as index:
        assert Searcher(index, searcher.encoder).search(["cat"], k=10, policy="balanced") == before


def test_calibration_takes_the_moments_of_scores() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(500, 12)) * np.linspace(0.2, 2, 12) + 1).astype(np.float32)
    queries = rng.normal(size=(5, 12)).astype(np.float32)
    mean, variance = Moments.of(vectors).score_moments(queries)
    scores = queries @ vectors.T
    assert mean == pytest.approx(scores.mean(axis=1), abs=1e-4)
    assert variance == pytest.approx(scores.var(axis=1), rel=1e-3)
    fitted = Calibration.fit(lambda lang, count: vectors[:count] + (lang == "de"), {"de": 500, "en": 500})
    read = Calibration.from_json(json.loads(json.dumps(fitted.as_json())))
    assert read.spreads(queries) == pytest.approx(fitted.spreads(queries))
    assert not fitted.is_stale({"de": 520, "en": 490}, 0.1)
    assert fitted.is_stale({"de": 600, "en": 500}, 0.1)
    assert fitted.is_stale({"de": 500}, 0.1)


def test_pictures_are_indexed_with_thumbnails(tmp_path: Path, tiny_static) -> None:
    rows = rows_of_corpus(picture_corpus(items=3))
    first = next(rows.items())[0]
    assert (first.lang, first.text) == ("zxx", None)
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        changes = index.changes([row for item in rows.items() for row in item])
        index.write(changes, np.eye(3, 16, dtype=np.float32))
        found = index.engine.nearest(np.eye(3, 16, dtype=np.float32)[:1], [Where()], 3)[0]
        assert found[0].score == pytest.approx(1)
        assert found[0].thumbnail
        with pytest.raises(BabelmixError, match="cannot embed pictures"):
            index_rows(index, tiny_static, rows_of_corpus(picture_corpus(items=4)))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("best", "unknown"), ("any=3", "takes no"), ("quota", "how many"), ("quota=0", "how many"), ("prefer", "languages"),
        ("prefer=de:x", "boost"), ("prefer=de:nan", "boost"), ("only=english!", "language tag"), ("only=de:2", "languages alone"),
    ],
)  # fmt: skip
def test_wrong_policies_are_refused(text: str, match: str) -> None:
    with pytest.raises(SearchError, match=match):
        Policy.parse(text)


@pytest.mark.parametrize(
    "text", ["any", "balanced", "equal", "quota=3", "prefer=de,fr", "prefer=de:1.5", "only=de,zh-Hant"]
)
def test_policies_are_written_as_they_are_read(text: str) -> None:
    assert str(Policy.parse(text)) == text


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"item": ""}, "1 to 512 characters"),
        ({"item": "x" * 513}, "1 to 512 characters"),
        ({"item": "ab\x07"}, r"item 'ab\\x07': character 3 is U\+0007, a control character"),
        ({"item": "a\n"}, r"character 2 is U\+000A"),
        ({"item": "\ud800"}, r"character 1 is U\+D800, half of a surrogate pair"),
        ({"group": "x\x85"}, r"its group: character 2 is U\+0085"),
        ({"fields": {"a": "x\x1b[2J"}}, r"column 'a': character 2 is U\+001B"),
        ({"fields": {"a": "x\udc00"}}, r"column 'a': character 2 is U\+DC00"),
        ({"fields": {"a": "x" * 1025}}, "1,025 characters"),
        ({"lang": "english!"}, "language tag"),
        ({"text": " "}, "empty"),
        ({"text": None}, "neither"),
        ({"lang": "zxx"}, "picture"),
        ({"text": "x" * 1_000_001}, "cut it"),
        ({"text": "\ud800"}, "surrogate"),
        ({"fields": {"a b": 1}}, "letters"),
        ({"fields": {"a": float("nan")}}, "finite"),
        ({"fields": {"a": [1]}}, "list"),
        ({"fields": {"a": 1 << 70}}, "64 bits"),
    ],
)  # fmt: skip
def test_wrong_rows_are_refused(row: dict, match: str) -> None:
    with pytest.raises(SearchError, match=match):
        Row(**{"item": "a", "lang": "en", "text": "x", **row})


@pytest.mark.parametrize(
    "text", ["می\u200cخواهم", "東京\u3000タワー", "Que faire\u00a0?", "क्\u200dष", "\u200fعنوان", "a\u2028b", "\ue000"]
)
def test_spaces_joiners_and_marks_of_direction_are_ordinary_text(text: str) -> None:
    row = Row(text, "und", text, group=text, fields={"title": text, "lines": f"{text}\r\n\t{text}"})
    assert (row.item, row.text, row.group, row.fields["title"]) == (text, text, text, text)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", "lang,text\nde,Hund\n", "item"),
        ("a.csv", "item,lang,text\na,de,Hund\nb,,x\n", "row 3, field 'lang'"),
        ("a.jsonl", '{"item": "a", "lang": "de", "text": ["x"]}\n', "row 1, field 'text': holds .'x'., but a text"),
        ("a.jsonl", '{"item": "a", "lang": "de", "text": "x"}\n{not json\n', "row 2: is not JSON"),
        ("a.csv", "item,lang,text\na,deutsch!,x\n", "row 2"),
    ],
)
def test_wrong_documents_are_refused(tmp_path: Path, name: str, content: str, match: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ReaderError, match=match):
        list(open_rows(str(tmp_path / name)).items())


def test_items_of_a_file_come_together(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,lang,text,year\nb,de,Hund,1\na,de,Katze,2\nb,en,dog,\n")
    items = list(open_rows(str(tmp_path / "a.csv")).items())
    assert [[row.text for row in item] for item in items] == [["Katze"], ["Hund", "dog"]]
    assert [dict(row.fields) for row in items[1]] == [{"year": 1}, {}]


def test_wrong_addresses_are_refused(tmp_path: Path, tiny_static) -> None:
    with pytest.raises(SearchError, match="is no address of an index"):
        Index.open("ftp://somewhere/x")
    with pytest.raises(SearchError, match="is not an index"):
        Index.open(str(tmp_path))
    (tmp_path / "file").write_text("x")
    with pytest.raises(BabelmixError, match="other files"):
        Index.create(str(tmp_path), tiny_static, "tiny")


WORKER = """
import sys
from pathlib import Path
from babelmix.encoders import load_encoder
from babelmix.search import Index, index_rows
from babelmix.search.documents import rows_of_corpus
from conftest import parallel_corpus

folder, model = sys.argv[1:]
encoder = load_encoder(model)
index = Index.open(folder)
write = index.write
def loud(changes, vectors):
    write(changes, vectors)
    for item in {p.row.item for p in changes.points}:
        print(item, flush=True)
index.write = loud
print("start", flush=True)
index_rows(index, encoder, rows_of_corpus(parallel_corpus(items=400)), size=8)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, tiny_static) -> None:
    model, folder = str(tmp_path / "model"), str(tmp_path / "index")
    tiny_static.save(model)
    Index.create(folder, tiny_static, model).close()
    rng = random.Random(0)
    acknowledged: set[str] = set()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", "tests"]), "PYTHONWARNINGS": "default"}
    for _ in range(int(os.environ.get("BABELMIX_KILLS", "3"))):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, folder, model], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, cwd=Path(__file__).resolve().parents[1],
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first == "start\n", process.stderr.read()
        time.sleep(rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        printed = process.communicate()[0].split("\n")
        acknowledged |= set(printed[:-1]) - {"done"}
        with Index.open(folder) as index:
            held = list(index.engine._scroll(None, ["item", "lang"]))  # type: ignore[attr-defined]
            names = [(record.payload["item"], record.payload["lang"]) for record in held]
            assert len(names) == len(set(names))
            assert acknowledged <= {item for item, _ in names}
    with Index.open(folder) as index:
        done = index_rows(index, tiny_static, rows_of_corpus(parallel_corpus(items=400)))
        assert done.unchanged >= 4 * len(acknowledged)
        assert done.written + done.unchanged == 1600
        assert index.langs() == dict.fromkeys(("de", "en", "fr", "ja"), 400)


def test_a_text_that_is_found_steers_nothing(tmp_path: Path, tiny_static, babelmix) -> None:
    model, folder, file = str(tmp_path / "model"), str(tmp_path / "index"), tmp_path / "docs.csv"
    tiny_static.save(model)
    file.write_text(
        "item,lang,text\na,en,cat [/b] [red]house[/red]\nb,en,dog \x1b[31m \x9b31m\x07 river\n", encoding="utf-8"
    )
    assert babelmix("index", str(file), "--to", folder, "--model", model)[0] == 0
    code, printed, _ = babelmix("search", "cat [/x]", "--in", folder)
    assert code == 0
    assert "cat [/b] [red]house[/red]" in printed
    assert "cat [/x]" in printed
    assert not {"\x1b", "\x9b", "\x07"} & set(printed)


def test_the_command_line_indexes_and_searches(tmp_path: Path, tiny_static, babelmix) -> None:
    model, folder, file = str(tmp_path / "model"), str(tmp_path / "index"), tmp_path / "docs.csv"
    tiny_static.save(model)
    file.write_text("item,lang,text,year\na,de,Katze Haus,1\na,en,cat house,1\nb,en,dog river,2\n")
    code, _, error = babelmix("index", str(file), "--to", folder)
    assert (code, "--model" in error) == (1, True)
    code, printed, _ = babelmix("index", str(file), "--to", folder, "--model", model, "--json")
    assert (code, json.loads(printed)["written"]) == (0, 3)
    code, printed, _ = babelmix("search", "cat", "--in", folder, "--policy", "only=de", "--json")
    assert [hit["text"] for hit in json.loads(printed)["hits"]] == ["Katze Haus"]
    code, printed, _ = babelmix("search", "dog", "--in", folder, "--where", "year=2", "--mode", "hybrid")
    assert code == 0
    assert "dog river" in printed
    assert "cat house" not in printed
    code, printed, _ = babelmix("index", "--to", folder, "--delete", "a", "--json")
    assert (code, json.loads(printed)["langs"]) == (0, {"en": 1})
    for words, match in (
        (("search", "x", "--in", str(tmp_path / "no")), "is not an index"),
        (("search", "x", "--in", folder, "--where", "year=old"), "integer"),
        (("search", "x", "--in", folder, "--policy", "best"), "unknown"),
        (("search", "--in", folder), "give words"),
        (("search", "x"), "--in: is missing"),
    ):
        code, _, error = babelmix(*words)
        assert code == 1
        assert match in error
        assert "Traceback" not in error


def test_k_and_mode_are_checked(searcher: Searcher) -> None:
    for options, match in (({"k": 0}, "k is 0"), ({"k": 5000}, "5000"), ({"mode": "magic"}, "unknown")):
        with pytest.raises((SearchError, ConfigError), match=match):
            searcher.search(["x"], **options)  # type: ignore[arg-type]
