"""Known items: parts of texts ask for the rest; a folder, a log of queries, and clicks as corpora."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import babelmix as bm
from babelmix.corpus import Corpus, load_corpus
from babelmix.corpus.known_items import known_items
from babelmix.corpus.openings import first_heading, first_sentence, size
from babelmix.corpus.readers._documents import Document
from babelmix.errors import ArgumentError, BabelmixError, CorpusError, ReaderError

BODY = {
    "en": "Hold the button for ten seconds, until the light blinks. Then release it, and wait until it has started again.",
    "de": "Halten Sie die Taste zehn Sekunden lang, bis die Lampe blinkt. Lassen Sie sie dann los, und warten Sie eine Minute.",
    "zh": "按住按钮十秒钟，直到指示灯闪烁。然后松开按钮，等待一分钟，直到设备重新启动完成。",
}
TITLES = {"en": "Reset the machine", "de": "Das Gerät zurücksetzen", "zh": "重置机器"}


def documents(items: int = 3, title: bool = True) -> list[Document]:
    return [
        Document(str(i), lang, f"({i}) {BODY[lang]}", f"{TITLES[lang]} {i}" if title else "", str(i), "", 1)
        for i in range(items)
        for lang in BODY
    ]


def articles(folder: Path, rows: list[dict[str, object]] | None = None, name: str = "articles.jsonl") -> Path:
    made = rows or [
        {"id": f"{d.item}-{d.lang}", "item": d.item, "lang": d.lang, "title": d.title, "text": d.text}
        for d in documents()
    ]
    file = folder / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    return file


def folder_of_clicks(folder: Path) -> Path:
    """A folder with passages and clicks."""
    articles(folder, name="passages.jsonl")
    (folder / "clicks.csv").write_text("query,lang,clicked_id,count,position\nreset,en,0-en,6,1\nreset,de,1,2,3\n")
    return folder


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One. Two.", "One."),
        ("Dr. Wu left. He came.", "Dr. Wu left."),
        ("Am 3. Mai regnet es. Dann nicht.", "Am 3. Mai regnet es."),
        ("Die Datei, z. B. ein Bild, fehlt. Sonst nichts.", "Die Datei, z. B. ein Bild, fehlt."),
        ("Pay 3.50 now. Or later.", "Pay 3.50 now."),
        ("He said “Stop!” Then he left.", "He said “Stop!”"),
        ("一句话。第二句。", "一句话。"),
        ("保存します。閉じます。", "保存します。"),
        ("फ़ाइल सहेजें। फिर बंद करें।", "फ़ाइल सहेजें।"),
        ("هل تحفظ؟ ثم أغلق.", "هل تحفظ؟"),
        ("Το αρχείο; Ναι.", "Το αρχείο;"),
        ("คลิกที่ปุ่มเพื่อบันทึกไฟล์ของคุณ จากนั้นปิดหน้าต่าง", "คลิกที่ปุ่มเพื่อบันทึกไฟล์ของคุณ"),
        ("A line that is\nwrapped ends here. More.", "A line that is wrapped ends here."),
        ("A paragraph without an end\n\nAnother one.", "A paragraph without an end"),
        ("No end at all", "No end at all"),
    ],
)
def test_the_first_sentence_and_the_rest_make_the_text(text, sentence):
    found = first_sentence(text)
    assert found.asked == sentence
    assert " ".join(f"{found.asked} {found.rest}".split()) in (
        " ".join(text.split()),
        f"{sentence} {found.rest}".strip(),
    )
    assert sentence not in found.rest


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("## Reset ##\nHold it.", "Reset"),
        ("Reset\n=====\nHold it.", "Reset"),
        ("<h2 id='a'>Reset <b>now</b></h2><p>Hold it.</p>", "Reset now"),
        ("Reset\n\nHold it.", "Reset"),
        ("Hold it.\n\nThen wait.", None),
        ("Hold it\nand wait", None),
        ("x" * 121 + "\n\nHold it.", None),
    ],
)
def test_the_first_heading(text, heading):
    found = first_heading(text)
    assert (found and found.asked) == heading


def test_titles_ask_for_the_rest_in_every_language():
    corpus = known_items(documents())
    assert corpus.queries.num_rows == corpus.passages.num_rows == 9
    assert corpus.meta["labels"] == "known items: titles ask for the rest of their text"
    assert corpus.meta["known_items"] == {"titles": 3}
    assert sorted(corpus.qrels.to_pydict()["query_item"]) == ["0", "1", "2"]
    for query, passage in zip(corpus.queries["text"].to_pylist(), corpus.passages["text"].to_pylist(), strict=True):
        assert query not in passage


def test_a_title_at_the_head_of_the_text_is_removed_from_it():
    texts = [Document("1", "en", f"# Reset it\n\n{BODY['en']}", "Reset it", "1", "", 1)]
    texts += [Document("2", "en", f"Pay by card: {BODY['en']}", "Pay by card", "2", "", 1)]
    assert known_items(texts).passages["text"].to_pylist() == [BODY["en"]] * 2


def test_all_languages_of_an_item_are_asked_by_the_same_kind():
    some = documents(2)
    some[0] = Document("0", "en", some[0].text, "", "0", "", 1)
    corpus = known_items(some)
    assert corpus.meta["known_items"] == {"titles": 1, "sentences": 1}
    assert corpus.meta["labels"] == "known items: titles and first sentences ask for the rest of their text"
    rows = corpus.queries.to_pylist()
    asked = {(row["item"], row["lang"]): row["text"] for row in rows}
    assert asked["0", "de"] == "(0) Halten Sie die Taste zehn Sekunden lang, bis die Lampe blinkt."
    assert asked["1", "de"] == "Das Gerät zurücksetzen 1"


def test_what_cannot_be_asked_is_left_out_and_counted():
    some = documents(3)
    some += [Document(str(i), lang, f"{BODY[lang]} {i}!", "Intro", str(i), "", 1) for i in (7, 8) for lang in ("en",)]
    some += [
        Document("9", "en", "Too short.", "A title", "9", "", 1),
        Document("10", "en", BODY["en"], "X", "10", "", 1),
    ]
    some += [Document("11", lang, f"{BODY[lang]} 11", "LibreOffice", "11", "", 1) for lang in ("en", "de")]
    some += [Document("12", "en", f"{BODY['en']} 12", "", "12", "", 1)]
    corpus = known_items(some, ask="titles")
    assert corpus.meta["left_out"] == {
        "texts with too little left when what asks is removed": 1,
        "texts without a title, which nothing asks for": 1,
        "queries that are the text of several items": 2,
        "queries that are too short": 1,
        "queries that are the same in several languages of an item": 2,
    }
    assert set(corpus.queries["item"].to_pylist()) == {"0", "1", "2"}
    # All but the text that is too short stay in the pool.
    assert set(corpus.passages["item"].to_pylist()) == {"0", "1", "2", "7", "8", "10", "11", "12"}


def test_items_are_drawn_by_their_names_and_the_pool_stays_whole():
    corpus = known_items(documents(30), items=5)
    again = known_items(reversed(documents(30)), items=5)
    assert len(set(corpus.queries["item"].to_pylist())) == 5
    assert set(again.queries["item"].to_pylist()) == set(corpus.queries["item"].to_pylist())
    assert corpus.passages.num_rows == 90


def test_without_anything_to_ask_the_message_says_why():
    with pytest.raises(CorpusError, match=r"no text of which enough is left .*too little left.*: 1"):
        known_items([Document("1", "en", "One. Two.", "", "1", "", 1)])
    with pytest.raises(CorpusError, match="ask with something else"):
        known_items(documents(2, title=False), ask="titles")
    with pytest.raises(CorpusError, match="what asks is auto, titles, headings, sentences, templates, cloze or mixed"):
        known_items(documents(2), ask="words")


def test_wide_characters_say_more():
    assert size("十秒") == 4
    assert size("ab, c1!") == 4


def test_queries_are_made_in_memory_and_in_a_folder_alike(tmp_path: Path):
    file = articles(tmp_path)
    made = bm.make_queries(file, queries_from="titles", out=tmp_path / "asked")
    assert sorted(one.name for one in (tmp_path / "asked").iterdir()) == [
        "meta.json", "passages.jsonl", "qrels.jsonl", "queries.jsonl",
    ]  # fmt: skip
    assert "Labels: known items: titles ask" in "\n".join(made.lines())
    read, again = load_corpus(tmp_path / "asked"), load_corpus(file, queries_from="titles")
    assert read.fingerprint() == again.fingerprint() == made.corpus.fingerprint()
    assert read.meta["labels"] == made.corpus.meta["labels"]
    with pytest.raises(CorpusError, match="made of known items already"):
        bm.make_queries(read)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(BabelmixError):
        bm.make_queries(file, out=tmp_path / "other")
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"


def test_the_own_ids_of_a_collection_are_kept_and_name_passages_in_a_run(tmp_path: Path):
    bm.make_queries(articles(tmp_path), queries_from="titles", out=tmp_path / "asked")
    first = json.loads((tmp_path / "asked" / "passages.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (first["id"], first["item"], first["lang"]) == ("0-en", "0", "en")
    corpus = load_corpus(str(tmp_path / "asked"))
    assert corpus.passages["id"].to_pylist() == [f"{d.item}-{d.lang}" for d in documents()]
    run = tmp_path / "mine.trec"
    run.write_text("".join(f"{name} Q0 {name.split('/')[0]}-en 1 0.5 mine\n" for name in corpus.row_ids("queries")))
    report = bm.audit(bm.Run(run), corpus)
    assert report.macro("bias/same-language share@10") == pytest.approx(1 / 3)
    # A log of queries, and a corpus that is asked again, keep them too.
    log = tmp_path / "log.csv"
    log.write_text("text,lang\nreset,en\n")
    bm.make_queries(articles(tmp_path), queries_from=log, out=tmp_path / "log")
    asked = load_corpus(str(tmp_path / "log"))
    again = load_corpus(asked, queries_from="sentences")
    assert asked.passages["id"].to_pylist() == again.passages["id"].to_pylist() == corpus.passages["id"].to_pylist()


def test_a_row_without_an_id_of_its_own_has_none(tmp_path: Path):
    rows: list[dict[str, object]] = [
        {"id": f"{d.item}-{d.lang}", "item": d.item, "lang": d.lang, "title": d.title, "text": d.text}
        for d in documents()
    ]
    del rows[1]["id"]
    made = bm.make_queries(articles(tmp_path, rows), queries_from="titles", out=tmp_path / "asked").corpus
    assert made.passages["id"].to_pylist()[:3] == ["0-en", None, "0-zh"]
    assert load_corpus(str(tmp_path / "asked")).passages["id"].to_pylist() == made.passages["id"].to_pylist()


def test_a_wide_table_and_a_corpus_are_collections_too(tmp_path: Path):
    file = tmp_path / "sections.csv"
    rows = ["heading_en,text_en,heading_de,text_de"]
    rows += [f'"{TITLES["en"]} {i}","{BODY["en"]} {i}","{TITLES["de"]} {i}","{BODY["de"]} {i}"' for i in range(3)]
    file.write_text("\n".join(rows), encoding="utf-8")
    corpus = load_corpus(file, queries_from="auto")
    assert corpus.counts().rows() == [("de", 3, 3), ("en", 3, 3)]
    rows_of = [{"item": d.item, "lang": d.lang, "text": d.text} for d in documents()]
    labelled = Corpus.from_rows(rows_of, rows_of, [(str(i), str(i)) for i in range(3)], name="labelled")
    ambiguous = load_corpus(labelled.only_groups(["1"]), queries_from="sentences")
    assert ambiguous.meta["known_items"] == {"sentences": 1}
    assert ambiguous.meta["source"] == "labelled"


def test_a_log_of_queries_has_no_labels(tmp_path: Path):
    passages = articles(tmp_path)
    log = tmp_path / "log.csv"
    log.write_text("text,lang,item\nhow to reset,en,a\nzurücksetzen,de,a\nhow to pay,en,b\nhow to pay,en,b\n")
    corpus = load_corpus(passages, queries_from=log)
    assert (corpus.queries.num_rows, corpus.passages.num_rows, corpus.qrels.num_rows) == (3, 9, 0)
    assert corpus.meta["left_out"] == {"repeated queries": 1}
    # A title is part of the text of a passage.
    assert corpus.passages["text"][0].as_py().startswith("Reset the machine 0 (0) Hold")
    log.write_text("text,group\nhow to reset,a\n")
    with pytest.raises(ReaderError, match=r"lang.*is missing: add the language of each text"):
        load_corpus(passages, queries_from=log)
    assert load_corpus(passages, queries_from=log, lang="en").queries["item"].to_pylist() == ["a"]
    log.write_text("text,lang\nhow to reset,\n")
    with pytest.raises(ReaderError, match=r"log.csv, row 2, field 'lang': is empty"):
        load_corpus(passages, queries_from=log)


def test_clicks_become_qrels_and_their_facts_are_named(tmp_path: Path):
    passages = articles(tmp_path)
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(
        "query,lang,clicked_id,count,position\nreset,en,0-en,6,1\nreset,en,0-de,1,2\nreset,en,1-en,1,3\n"
        "zurücksetzen,de,1/de,4,1\npay,en,gone,2,1\n"
    )
    corpus = load_corpus(passages, queries_from=clicks)
    assert {(r["query_item"], r["passage_item"], r["grade"]) for r in corpus.qrels.to_pylist()} == {
        ("en: reset", "0", 1), ("en: reset", "1", 1), ("de: zurücksetzen", "1", 1),
    }  # fmt: skip
    facts = corpus.meta["clicks"]
    assert facts["clicks"] == 12
    assert facts["own_language"] == pytest.approx(11 / 12)
    assert facts["own_language_in_pool"] == pytest.approx(1 / 3)
    assert facts["at_first_position"] == pytest.approx(10 / 12)
    assert corpus.meta["left_out"] == {"clicks on passages that are nowhere": 2}
    more = load_corpus(passages, queries_from=clicks, min_clicks=2, grades="log2")
    assert {(r["query_item"], r["passage_item"], r["grade"]) for r in more.qrels.to_pylist()} == {
        ("en: reset", "0", 2), ("de: zurücksetzen", "1", 2),
    }  # fmt: skip
    assert more.meta["labels"].startswith("clicks: from 2 clicks on a passage is relevant; the grade")
    said = "\n".join(bm.inspect_corpus(corpus).lines())
    assert "never acquit it" in said
    assert "92% of the clicks are on answers in the query's own language, which is 33% of the passages" in said


def test_the_columns_of_a_log_may_have_other_names(tmp_path: Path):
    passages = articles(tmp_path)
    log = tmp_path / "ctr.parquet"
    pl.DataFrame({
        "term": ["reset", "zurücksetzen"], "lang": ["x", "y"], "ui": ["en", "de"], "doc": ["0-en", "1/de"], "n": [6, 4],
        "tags": [["a"], ["b"]],
    }).write_parquet(log)  # fmt: skip
    named = f"{log}?query=term&lang=ui&clicked_id=doc&count=n"
    corpus = load_corpus(passages, queries_from=named)
    assert {(r["query_item"], r["passage_item"]) for r in corpus.qrels.to_pylist()} == {
        ("en: reset", "0"), ("de: zurücksetzen", "1")
    }  # fmt: skip
    assert corpus.meta["clicks"]["clicks"] == 10
    made = bm.make_queries(passages, queries_from=f"{log}?text=term&lang=ui", out=tmp_path / "asked")
    assert made.corpus.queries["text"].to_pylist() == ["reset", "zurücksetzen"]
    for wrong, message in (
        (log, r"ctr.parquet has no column query or text; name the ones that it has \(term, lang, ui, doc, n, tags\)"),
        (f"{log}?query=trem", r"query=trem: ctr.parquet has no column 'trem' \(did you mean 'term'\?\)"),
        (f"{log}?query=term&clicks=n", r"'clicks' is no column of a log"),
        (
            f"{log}?query=term&lang=de",
            r"has no column 'de'.*one language for all queries is the option lang \(--lang\)",
        ),
    ):
        with pytest.raises(ArgumentError, match=message):
            load_corpus(passages, queries_from=wrong)
    with pytest.raises(ReaderError, match=r"holds List\(String\)|holds list"):
        load_corpus(passages, queries_from=f"{log}?query=tags&lang=ui")
    # A file whose name looks like that is a file.
    strange = tmp_path / "log.csv?query=x.csv"
    strange.write_text("text,lang\nhow to reset,en\n")
    assert load_corpus(passages, queries_from=str(strange)).queries.num_rows == 1


def test_the_languages_of_logs_and_clicks_may_be_spelled_as_databases_do(tmp_path: Path):
    passages = articles(tmp_path)
    log = tmp_path / "log.csv"
    log.write_text("text,lang\nhow to reset,en_US\nzurücksetzen,de\nopcje,PL_pl\n")
    assert load_corpus(passages, queries_from=log).queries["lang"].to_pylist() == ["en-US", "de", "pl-PL"]
    log.write_text("query,lang,clicked_id\nreset,en_US,0-en\nzurücksetzen,de_DE,1/de\n")
    assert load_corpus(passages, queries_from=log).queries["lang"].to_pylist() == ["en-US", "de-DE"]
    log.write_text("text,lang\nhow to reset,english\n")
    with pytest.raises(ReaderError, match="row 2, field 'lang': 'english' is not a BCP 47"):
        load_corpus(passages, queries_from=log)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,count\na,1\n", "field 'clicked_id': is missing"),
        ("query,clicked_id\nreset,0-en\n", "row 2, field 'lang': the language of the query is missing"),
        (
            "query,lang,clicked_id,count\nreset,en,0-en,0\n",
            "row 2, field 'count': '0' is not a whole number from 1 on",
        ),
        ("query,lang,clicked_id\nreset,en,x\n", "row 2, field 'clicked_id': 'x' is the id of no passage"),
        ("query,lang,clicked_id\n,en,0-en\n", "row 2, field 'query': is empty"),
    ],
)
def test_malformed_clicks_are_refused_with_row_and_field(tmp_path: Path, text, message):
    (tmp_path / "clicks.csv").write_text(text)
    articles(tmp_path, name="passages.jsonl")
    with pytest.raises(ReaderError, match=message):
        load_corpus(tmp_path)


def test_a_folder_has_queries_with_qrels_clicks_or_no_labels(tmp_path: Path):
    articles(tmp_path, name="passages.jsonl")
    with pytest.raises(ReaderError, match="nor a folder with passages and queries"):
        load_corpus(tmp_path)
    (tmp_path / "queries.csv").write_text("item,lang,query\na,en,how to reset\na,de,reset wie\n")
    assert load_corpus(tmp_path).qrels.num_rows == 0
    (tmp_path / "qrels.tsv").write_text("query_item\tpassage_item\tgrade\na\t0\t2\n")
    assert load_corpus(f"folder={tmp_path}").qrels.to_pylist() == [
        {"query_item": "a", "passage_item": "0", "grade": 2}
    ]
    (tmp_path / "clicks.csv").write_text("query,clicked_id\nhow to reset,0\n")
    with pytest.raises(ReaderError, match="has qrels and clicks"):
        load_corpus(tmp_path)
    (tmp_path / "qrels.tsv").unlink()
    assert load_corpus(tmp_path).qrels.to_pylist() == [{"query_item": "a", "passage_item": "0", "grade": 1}]
    (tmp_path / "queries.jsonl").write_text("{}")
    with pytest.raises(ReaderError, match="keep one of them"):
        load_corpus(tmp_path)


def test_what_asks_is_a_known_word_or_a_file(tmp_path: Path):
    file = articles(tmp_path)
    with pytest.raises(
        ArgumentError, match="neither auto, titles, headings, sentences, templates, cloze, mixed nor a file"
    ):
        load_corpus(file, queries_from="title")
    for wrong in ("logs/clicks", "clicks.csv", tmp_path / "clicks"):
        with pytest.raises(ArgumentError, match=r"clicks(\.csv)?': there is no such file"):
            load_corpus(file, queries_from=wrong)
    with pytest.raises(ArgumentError, match="no such file"):
        bm.make_queries(file, queries_from="clicks.csv", min_clicks=2)
    with pytest.raises(ArgumentError, match="is a folder; name the file in it"):
        load_corpus(file, queries_from=tmp_path)
    with pytest.raises(ArgumentError, match="for a log of clicks"):
        bm.make_queries(file, min_clicks=2)


def test_the_command_makes_queries_and_the_audit_names_the_regime(tmp_path: Path, capsys, monkeypatch):
    from babelmix.cli import main

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["babelmix", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0, capsys.readouterr().err
        return " ".join(capsys.readouterr().out.split())

    file = articles(tmp_path)
    said = run("data", "make-queries", str(file), "--queries-from", "titles", "--out", str(tmp_path / "asked"))
    assert "titles ask for the rest of their text" in said
    assert "9 queries, 9 passages" in run("data", str(tmp_path / "asked"))
    # The item of a log is no label: the help and the output say it in the same words.
    log = tmp_path / "log.csv"
    log.write_text("text,lang,item\nhow to reset,en,0\nzurücksetzen,de,0\n")
    meaning = "item joins translations of one query, and is no label; a clicked_id is one"
    said = run("data", "make-queries", str(file), "--queries-from", str(log), "--out", str(tmp_path / "logged"))
    assert "0 relevant pairs" in said
    assert f"note: log.csv: {meaning}" in said
    assert meaning in run("data", str(tmp_path / "logged"))
    log.write_text("text,lang\nhow to reset,en\n")
    said = run("data", "make-queries", str(file), "--queries-from", str(log), "--out", str(tmp_path / "logged"))
    assert "is no label" not in said
    assert meaning in " ".join(run("data", "make-queries", "--help").replace("│", " ").split())


def test_the_regime_is_in_the_audit_and_its_report(tmp_path: Path):
    file = articles(tmp_path)
    report = bm.audit(tiny(), file, queries_from="titles", out=tmp_path / "audit")
    assert report.audit.table.about.labels == "known items: titles ask for the rest of their text"
    assert "do not read mAP as quality" in " ".join(report.lines())
    assert "titles ask for the rest of their text" in (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "audit" / "metrics.json").read_text())["about"]["labels"].startswith("known items")
    log = tmp_path / "log.csv"
    log.write_text("text,lang,item\nhow to reset,en,a\nzurücksetzen,de,a\n")
    without = bm.audit(tiny(), file, queries_from=log)
    assert "bias/answer overlap@10" in without.audit.measures
    assert "No claim about quality" in " ".join(without.lines())
    with pytest.raises(ArgumentError, match="has no labels"):
        bm.audit(tiny(), file, queries_from=log, perturb="typos")


def tiny():
    from babelmix.encoders.kinds import make_encoder

    return make_encoder("static", [*BODY.values(), *TITLES.values()], dimension=8, seed=0)


def test_an_index_asks_for_its_own_rows(tmp_path: Path):
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    from babelmix.search import Row, Searcher
    from babelmix.search.index import Index
    from babelmix.search.indexing import write_rows
    from babelmix.search.known_items import corpus_of_index, documents_of_index

    encoder = tiny()
    rows = [Row(d.item, d.lang, d.text, None, d.group, {"title": d.title}) for d in documents(70)]
    with Index.create(str(tmp_path / "index"), encoder, "tiny") as index:
        write_rows(index, encoder, rows)
        found = sorted((one.item, one.lang, one.text, one.title) for one in documents_of_index(index))
        assert found == sorted((row.item, row.lang, row.text, row.fields["title"]) for row in rows)
        # The title is no part of the text, so the texts need not change.
        corpus = corpus_of_index(index, "titles")
        assert corpus.meta["labels"] == "known items: titles ask for the rest of their text"
        contained = corpus_of_index(index, "sentences", items=0)
        assert set(contained.passages["text"].to_pylist()) == {row.text for row in rows}
        log = tmp_path / "log.csv"
        log.write_text("text,lang,item\nhow to reset,en,a\nzurücksetzen,de,a\n")
        assert contained.meta["labels"].endswith("ask for their text, which contains them")
        report = bm.audit_index(Searcher(index, encoder), queries_from=log, policies="any")
        assert "nothing here says whether an answer is right" in " ".join(report.lines())
        report = bm.audit_index(Searcher(index, encoder), queries_from="titles", policies="any", k=10)
        assert "titles ask for the rest" in " ".join(report.lines())
    with pytest.raises(ArgumentError, match="lang: is for a log of queries or clicks"):
        bm.make_queries(tmp_path / "index", queries_from="titles", lang="de")
    log.write_text("query,clicked_id\nhow to reset,0\nhow to pay,1\n")
    made = bm.make_queries(tmp_path / "index", queries_from=log, lang="en", min_clicks=1)
    assert made.corpus.queries["lang"].to_pylist() == ["en", "en"]
    made = bm.make_queries(tmp_path / "index", queries_from="titles", out=tmp_path / "asked", langs=["de", "en"])
    assert made.corpus.langs == ("de", "en")
    assert made.corpus.queries.num_rows == 140


def test_a_title_is_cut_off_at_the_end_of_a_word_only():
    text = "Category pages list every product of the shop, and a filter narrows the list down."
    texts = [
        Document("1", "en", text, "Cat", "1", "", 1),
        Document("2", "en", f"Cat: {BODY['en']}", "Cat food", "2", "", 1),
    ]
    assert known_items(texts).passages["text"].to_pylist() == [text, f"Cat: {BODY['en']}"]


def test_two_texts_of_an_item_with_one_title_ask_once():
    texts = [Document("1", "en", f"{n}: {BODY['en']}", "Reset it", "1", str(n), 1) for n in (1, 2)]
    corpus = known_items(texts)
    assert corpus.queries["text"].to_pylist() == ["Reset it"]
    assert corpus.passages.num_rows == 2
    assert corpus.meta["left_out"] == {"queries that another text of the item asks in the same words": 1}


def test_items_are_drawn_among_those_of_the_chosen_languages(tmp_path: Path):
    rows: list[dict[str, object]] = [
        {"item": f"e{n}", "lang": "en", "title": f"Topic {n}", "text": f"({n}) {BODY['en']}"} for n in range(30)
    ]
    rows += [
        {"item": "d", "lang": lang, "title": TITLES[lang], "text": f"(d) {BODY[lang]}"} for lang in ("de", "en", "zh")
    ]
    file = articles(tmp_path, rows)
    made = bm.make_queries(file, queries_from="titles", items=1, langs="de", out=tmp_path / "made").corpus
    assert made.queries["item"].to_pylist() == ["d"]
    assert made.meta["known_items"] == {"titles": 1}
    assert load_corpus(str(file), queries_from="titles", langs="de").queries.num_rows == 1
    log = tmp_path / "log.csv"
    log.write_text("text,lang\nhow,en\n")
    with pytest.raises(CorpusError, match="no query is left in de"):
        bm.make_queries(file, queries_from=log, langs="de", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_not_for_a_log_is_refused(tmp_path: Path):
    file, queries = articles(tmp_path), tmp_path / "asked.csv"
    queries.write_text("text,lang\nhow,en\n")
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("query,lang,clicked_id\nhow,en,0\n")
    for more in ({"min_clicks": 5}, {"grades": "log2"}):
        with pytest.raises(ArgumentError, match=r"is for a log of clicks, and asked\.csv has no column clicked_id"):
            bm.make_queries(file, queries_from=queries, **more)
    for log in (queries, clicks):
        with pytest.raises(ArgumentError, match="items: is for parts of texts that ask"):
            bm.make_queries(file, queries_from=log, items=1)
