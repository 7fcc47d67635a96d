"""The readers of translated sections and sentences, and bitexts."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from conftest import shared

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.aligning import align_lines
from babelmix.corpus.labels import NEXT, TRANSLATIONS, what_labels_mean
from babelmix.corpus.openings import sentences
from babelmix.corpus.readers import libreoffice_help
from babelmix.errors import ReaderError

SECTIONS = [
    ("s", "p1", 1, "Overview", "Überblick", "Cells hold numbers and texts.", "Zellen enthalten Zahlen und Texte."),
    ("s", "p1", 2, "Cells", "Zellen", "A cell is one field of a table.", "Eine Zelle ist ein Feld einer Tabelle."),
    ("s", "p1", 3, "Summary", "Zusammenfassung", "You know what cells are.", "Sie kennen nun die Zellen."),
    ("s", "p2", 1, "Rows", "Zeilen", "A row is a line of a table.", "Eine Zeile gehört zur Tabelle."),
    ("s", "p2", 2, "Summary", "Zusammenfassung", "You know what rows are.", None),
    ("s", "p2", 3, "Overview", None, "Rows are numbered from one on.", "Rows are numbered from one on."),
]
COLUMNS = ["source", "page", "section", "heading_en", "heading_de", "text_en", "text_de"]

LISTS = [
    (
        "p", "Tea",
        "You need two large things: - a very hot kettle - a clean white cup",
        "Sie brauchen zwei große Dinge: - einen heißen Kessel - eine saubere weiße Tasse",
        "Il faut deux grandes choses : - une bouilloire bien chaude",
        "",
    ),
    (
        "p", "Water",
        "Fill the kettle with water. Wait until it boils loudly.",
        "Füllen Sie den Kessel mit Wasser. Warten Sie, bis es laut kocht.",
        "Remplissez la bouilloire d'eau et attendez qu'elle bouille.",
        "เติมน้ำลงในกาต้มน้ำ แล้วรอจนน้ำเดือดเสียงดัง",
    ),
]  # fmt: skip


def sections(folder: Path, rows: list[tuple[object, ...]] | None = None) -> str:
    file = folder / "sections.parquet"
    pl.DataFrame(rows or SECTIONS, schema=COLUMNS, orient="row").write_parquet(file)
    return str(file)


def lists(folder: Path) -> str:
    columns = ["page", "heading_en", "text_en", "text_de", "text_fr", "text_th"]
    pl.DataFrame(LISTS, schema=columns, orient="row").write_csv(folder / "lists.csv")
    return str(folder / "lists.csv")


def sentence_table(folder: Path) -> str:
    rows = [
        ("a", "The train leaves at nine.", "Der Zug fährt um neun.", "Le train part à neuf heures."),
        ("a", "It arrives before noon.", "Er kommt vor Mittag an.", None),
        ("a", "The way back takes longer.", "Die Rückfahrt dauert länger.", "Le retour dure plus longtemps."),
        ("b", "Bread is baked at night.", "Brot wird nachts gebacken.", "Le pain est cuit la nuit."),
        ("b", "It is sold in the morning.", "Es wird morgens verkauft.", "Il est vendu le matin."),
    ]
    file = folder / "news.parquet"
    pl.DataFrame(rows, schema=["document", "en", "de", "fr"], orient="row").write_parquet(file)
    return str(file)


def texts(corpus: Corpus, side: str) -> dict[tuple[str, str], str]:
    rows = corpus.queries if side == "query" else corpus.passages
    return {(row["item"], row["lang"]): row["text"] for row in rows.to_pylist()}


def test_sections_ask_by_their_headings(tmp_path) -> None:
    corpus = open_corpus(f"parallel-sections={sections(tmp_path)}?machine_made=all")
    queries, passages = texts(corpus, "query"), texts(corpus, "passage")
    # The title of a page is its first heading that no other page has: "Cells", not "Overview".
    assert queries["s/p1#1", "de"] == "Zellen: Überblick"
    assert queries["s/p1#2", "de"] == "Zellen"
    assert (queries["s/p1#3", "en"], queries["s/p2#2", "en"]) == ("Cells: Summary", "Rows: Summary")
    assert ("s/p2#3", "de") not in queries
    assert ("s/p2#2", "de") not in passages
    assert ("s/p2#3", "de") not in passages  # untranslated: equal to English
    assert corpus.meta["left_out"] == {"texts identical to the source": 1}
    assert corpus.meta["machine_made"] == ["de"]
    assert (
        dict(zip(corpus.queries["item"].to_pylist(), corpus.queries["group"].to_pylist(), strict=True))["s/p2#3"]
        == "s/p2"
    )
    assert open_corpus(f"parallel-sections={tmp_path}", machine_made="de").fingerprint() == corpus.fingerprint()
    german = open_corpus(f"parallel-sections={tmp_path}", langs=["de"])
    assert (german.langs, german.meta["machine_made"]) == (("de",), [])
    assert texts(german, "query")["s/p1#1", "de"] == "Zellen: Überblick"


def test_the_source_language_may_be_another(tmp_path) -> None:
    corpus = open_corpus(f"parallel-sections={sections(tmp_path)}?source_lang=de&machine_made=all")
    assert corpus.meta["machine_made"] == ["en"]
    # Without a German heading there is no pair.
    assert "s/p2#3" not in set(corpus.queries["item"].to_pylist())


def test_rows_without_a_page_are_their_own_group(tmp_path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text(
        "heading_en,text_en,heading_de,text_de\nReset,Press it.,Neustart,Drücken.\nReset,Wait.,Neu,Warten.\n"
    )
    corpus = open_corpus(f"parallel-sections={file}")
    assert corpus.queries["group"].to_pylist() == ["1", "1"]  # the second heading is a repeated query
    assert corpus.meta["left_out"] == {"repeated pairs": 1}


def test_lines_and_sentences_are_a_bitext(tmp_path) -> None:
    spec = f"parallel-sections={lists(tmp_path)}"
    lines = open_corpus(f"{spec}?unit=line")
    assert lines.queries.equals(lines.passages)
    found = texts(lines, "query")
    assert found["p#1.1", "de"] == "Sie brauchen zwei große Dinge:"
    assert not any(item.startswith("p#1") and lang == "fr" for item, lang in found)  # one item of the list is missing
    assert found["p#2.1", "th"] == LISTS[1][5]
    assert lines.meta["left_out"]["translations with other parts"] == 1
    assert lines.meta["labels"] == TRANSLATIONS
    assert "monolingual figures mean nothing" in what_labels_mean(lines.meta["labels"])
    assert lines.meta["one_text_per_language"]
    assert set(lines.queries["group"].to_pylist()) == {"p"}
    cut = texts(open_corpus(f"{spec}?unit=sentence"), "query")
    assert (cut["p#2.1.2", "en"], cut["p#2.1.2", "de"]) == (
        "Wait until it boils loudly.",
        "Warten Sie, bis es laut kocht.",
    )
    assert not any(lang == "fr" for _, lang in cut)


def test_short_lines_are_left_out(tmp_path) -> None:
    file = tmp_path / "short.jsonl"
    file.write_text(
        '{"heading_en": "a", "text_en": "one two\\nthree hundred kettles of water", '
        '"heading_ja": "b", "text_ja": "一二\\n三百個のやかんに入った水がある"}\n'
    )
    found = texts(open_corpus(f"parallel-sections={file}?unit=line"), "passage")
    assert found == {("1.2", "en"): "three hundred kettles of water", ("1.2", "ja"): "三百個のやかんに入った水がある"}


def test_parts_that_are_much_longer_are_other_parts() -> None:
    long, short = "a long sentence about many things that nobody reads to its end " * 2, "a short one about nothing"
    found = align_lines({"en": f"{long}\n{short}", "de": f"{short}\n{long}", "fr": f"{long}\n{short}"}, "en")
    assert [{lang: part.text for lang, part in one.items()} for one in found.parts] == [
        {"en": long.strip(), "fr": long.strip()},
        {"en": short, "fr": short},
    ]
    assert found.unlike == ["de"]


def test_sentences_find_their_translations(tmp_path) -> None:
    corpus = open_corpus(f"parallel-sentences={sentence_table(tmp_path)}?machine_made=fr")
    assert corpus.queries.equals(corpus.passages)
    assert corpus.queries.num_rows == 14
    assert sorted(set(corpus.queries["group"].to_pylist())) == ["a", "b"]
    assert (corpus.meta["labels"], corpus.meta["machine_made"]) == (TRANSLATIONS, ["fr"])
    assert open_corpus(f"parallel-sentences={sentence_table(tmp_path)}", langs="de").langs == ("de",)


def test_a_sentence_asks_for_the_next(tmp_path) -> None:
    corpus = open_corpus(f"parallel-sentences={sentence_table(tmp_path)}?ask=next")
    queries, passages = texts(corpus, "query"), texts(corpus, "passage")
    # The third sentence of document a has none after it: it does not ask for the first of document b.
    assert {item for item, _ in queries} == {"a#1", "b#4"}
    assert (queries["a#1", "fr"], passages["a#1", "en"]) == ("Le train part à neuf heures.", "It arrives before noon.")
    assert ("a#1", "fr") not in passages
    assert not set(queries.values()) & set(passages.values())
    assert corpus.meta["labels"] == NEXT
    assert "one_text_per_language" not in corpus.meta


@pytest.mark.parametrize(
    ("name", "content", "spec", "message"),
    [
        (
            "a.csv",
            "heading_de,text_de\na,b\n",
            "parallel-sections={}",
            "no texts in the source language 'en'.*source_lang",
        ),
        ("a.csv", "heading_en,text_de\na,b\n", "parallel-sections={}", "field 'text_en': is missing"),
        (
            "a.csv",
            "heading_en,text_en,text_german1\na,b,c\n",
            "parallel-sections={}",
            "field 'german1': 'german1' is not",
        ),
        ("a.csv", "heading_en,text_en,text_eng\na,b,c\n", "parallel-sections={}", "'en' and 'eng'"),
        ("a.csv", "heading_en,text_en\n", "parallel-sections={}", "has no rows"),
        (
            "a.csv",
            "heading_en,text_en\na,b\n",
            "parallel-sections={}?unit=word",
            "unit is section, line or sentence, not",
        ),
        ("a.csv", "heading_en,text_en\na,b\n", "parallel-sections={}?machine_made=de", "machine_made.*has no de"),
        ("a.csv", "heading_en,text_en\na,b\n", "parallel-sections={}?langs=ja", "has no ja"),
        (
            "a.csv",
            "page,section,heading_en,text_en\np,1,a,b\np,1,c,d\n",
            "parallel-sections={}",
            "row 3, field 'section': 'p#1' is already the section of row 2",
        ),
        (
            "a.jsonl",
            '{"heading_en": "a", "text_en": [1]}\n',
            "parallel-sections={}",
            r"row 1, field 'text_en': holds \[1\]",
        ),
        ("a.csv", "en,de,note\na,b,c\n", "parallel-sentences={}", "field 'note': is neither a language tag"),
        (
            "a.csv",
            "item,en\n1,b\n1,c\n",
            "parallel-sentences={}",
            "row 3, field 'item': '1' is already the item of row 2",
        ),
        ("a.csv", "de,fr\na,b\n", "parallel-sentences={}", "no texts in the source language 'en'"),
        (
            "a.csv",
            "en,de\na,b\n",
            "parallel-sentences={}?ask=before",
            "the option ask is sentence or next, not 'before'",
        ),
        ("a.txt", "en\n", "parallel-sentences={}", "has the suffix"),
    ],
)
def test_bad_tables(tmp_path, name: str, content: str, spec: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ReaderError, match=message):
        open_corpus(spec.format(tmp_path / name))


def test_rows_without_a_source_text_are_counted(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("en,de\nOne.,Eins.\n,Zwei.\n")
    corpus = open_corpus(f"parallel-sentences={tmp_path / 'a.csv'}")
    assert corpus.meta["left_out"] == {"rows without a source text": 1}
    assert corpus.meta["left_out_examples"] == {"rows without a source text": ["a.csv, row 3"]}


def test_blocks_of_help_are_a_bitext() -> None:
    rows = [
        ("p", "h", "h1", "A heading that is quite long", "Eine Überschrift, die recht lang ist"),
        ("p", "a", "p", "The first paragraph of a page.", "Der erste Absatz einer Seite."),
        ("p", "b", "p", "Short one.", "Kurz."),
        ("p", "a", "p", "Another one with the same id.", "Ein anderer mit derselben id."),
        ("p", "c", "p", "An untranslated paragraph here.", None),
    ]
    blocks = pl.DataFrame(rows, schema=["page", "block", "tag", "en-US", "de"], orient="row")
    corpus = libreoffice_help.parse(blocks, unit="block")
    assert texts(corpus, "query") == texts(corpus, "passage") == {
        ("p#a", "en"): rows[1][3], ("p#a", "de"): rows[1][4], ("p#c", "en"): rows[4][3],
    }  # fmt: skip
    assert corpus.meta["left_out"]["texts that are too short"] == 4
    with pytest.raises(ReaderError, match="unit is section or block, not 'page'"):
        libreoffice_help.read(unit="page")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Er kam am 3. Mai. Dann ging er.", ["Er kam am 3. Mai.", "Dann ging er."]),
        ("一つ目です。二つ目です。", ["一つ目です。", "二つ目です。"]),
        ("पहला वाक्य। दूसरा वाक्य।", ["पहला वाक्य।", "दूसरा वाक्य।"]),
        ("هل هذا سؤال؟ نعم.", ["هل هذا سؤال؟", "نعم."]),
        ("Τι είναι; Ένα τεστ.", ["Τι είναι;", "Ένα τεστ."]),
        ("กดปุ่มค้างไว้สิบวินาทีจนไฟดับ แล้วปล่อย", ["กดปุ่มค้างไว้สิบวินาทีจนไฟดับ", "แล้วปล่อย"]),
        ("No end\nSecond line", ["No end", "Second line"]),
        ("… --- !", []),
    ],
)
def test_sentences_of_many_scripts(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.slow
def test_real_sections() -> None:
    corpus = open_corpus(f"parallel-sections={shared('courses/sections.parquet')}?machine_made=all")
    counts = {lang: passages for lang, _, passages in corpus.counts().iter_rows()}
    assert (len(counts), counts["en"] > 3_400, counts["th"] > 2_000) == (27, True, True)
    assert len(corpus.meta["machine_made"]) == 26


@pytest.mark.slow
def test_real_sentences() -> None:
    corpus = open_corpus(f"parallel-sentences={shared('ntrex/sentences.parquet')}")
    assert len(corpus.langs) == 37
    assert corpus.qrels.num_rows == 1_997
    assert len(set(corpus.queries["group"].to_pylist())) == 123
