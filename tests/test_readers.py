"""Readers: what they make of good sources and what they say of bad ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from conftest import shared

from babelmix.corpus import open_corpus
from babelmix.corpus.readers import comfyui_docs, libreoffice_help
from babelmix.errors import ReaderError

WIDE = "item,query_en,query_de,passage_en,passage_de\n1,cat?,Katze?,a cat,eine Katze\n2,dog?,,a dog,ein Hund\n"
LONG = (
    "item,lang,query,passage,group\n1,en,cat?,a cat,animals\n1,de,Katze?,eine Katze,animals\n2,en,dog?,a dog,animals\n"
)


def write(folder: Path, name: str, content: str | bytes) -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def test_wide_and_long_tables_in_every_format(tmp_path) -> None:
    wide = open_corpus(write(tmp_path, "wide.csv", WIDE))
    assert (wide.queries.num_rows, wide.passages.num_rows, wide.qrels.num_rows) == (3, 4, 2)
    assert wide.name == "wide"
    assert wide.counts().rows() == [("de", 1, 2), ("en", 2, 2)]
    frame = pl.read_csv(WIDE.encode())
    frame.write_parquet(tmp_path / "wide.parquet")
    frame.write_ndjson(tmp_path / "wide.jsonl")
    frame.write_csv(tmp_path / "wide.tsv", separator="\t")
    for name in ("wide.parquet", "wide.jsonl", "wide.tsv"):
        assert open_corpus(str(tmp_path / name)).fingerprint() == wide.fingerprint()
    assert open_corpus(f"table={tmp_path / 'wide.csv'}").fingerprint() == wide.fingerprint()
    long = open_corpus(write(tmp_path, "long.csv", LONG))
    assert set(long.queries["group"].to_pylist()) == {"animals"}
    assert long.counts().rows() == [("de", 1, 1), ("en", 2, 2)]


def test_one_text_per_language_and_sides(tmp_path) -> None:
    corpus = open_corpus(write(tmp_path, "p.csv", "\ufeffen,de\ncat,Katze\ndog,Hund\n"))
    assert corpus.queries["text"].to_pylist() == corpus.passages["text"].to_pylist() == ["cat", "Katze", "dog", "Hund"]
    assert corpus.queries["item"].to_pylist() == ["1", "1", "2", "2"]
    assert corpus.meta["one_text_per_language"]
    spaced = open_corpus(write(tmp_path, "p.jsonl", '\n{"en": "cat", "de": "Katze"}\n\n{"en": "dog", "de": "Hund"}\n'))
    assert spaced.queries["item"].to_pylist() == ["1", "1", "2", "2"]
    sides = open_corpus(write(tmp_path, "s.csv", "item,side,en,de\n1,query,cat?,Katze?\n1,passage,a cat,eine Katze\n"))
    assert (sides.queries.num_rows, sides.passages.num_rows) == (2, 2)
    long = open_corpus(write(tmp_path, "l.csv", "item,lang,side,text\n1,en,query,a\n1,de,passage,b\n"))
    assert (long.queries["lang"].to_pylist(), long.passages["lang"].to_pylist()) == (["en"], ["de"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "there is no header row"),
        ("a.csv", "item,en,en\n1,a,b\n", "row 1, field 'en': is the name of two columns"),
        ("a.csv", "item,query_en,passage_en\n1,a,b,c\n", "row 2: has 4 cells, but the header has 3"),
        ("a.csv", "item,query_en,passage_en\n", "has no rows"),
        (
            "a.csv",
            "item,question,answer\n1,a,b\n",
            "no language column: name the columns  item, lang, text .*are item, question, answer$",
        ),
        ("a.csv", "doc_id,article_id,language,body\n1,2,en,a\n", "columns are doc_id, article_id, language, body$"),
        ("a.csv", "item,group\n1,a\n", "no language column"),
        ("a.csv", "item,query_en,passage_xx1y\n1,a,b\n", "field 'passage_xx1y'"),
        ("a.csv", "item,query_en,passage_en\n1,a,b\n1,c,d\n", "row 3, field 'item': '1' is already the item of row 2"),
        ("a.csv", "item,query_en,passage_en\n1,a,b\n,c,d\n", "row 3, field 'item': is empty"),
        ("a.csv", "item,query_en,passage_en\n1,a,  \n", "row 2, field 'passage_en': is blank"),
        ("a.csv", "item,query_en,passage_en\n1,a,\n", "row 2: item '1' has a query but no passage"),
        ("a.csv", "item,query_en,passage_en\n1,,b\n", "row 2: item '1' has a passage but no query"),
        ("a.csv", b"item,query_en,passage_en\n1,a,b\n2,\xff\xfe,d\n", "row 3: is not UTF-8: byte 0xff at offset"),
        ("a.csv", 'item,query_en,passage_en\n1,"a,b\n', "row 2: is not well-formed"),
        ("a.csv", "item,lang,query\n1,en,a\n", "field 'passage': is missing"),
        (
            "a.csv",
            "query,doc_id,clicks\na,1,5\n",
            r"a log of queries or clicks .* --queries-from .*a.csv  \(clicks: a column",
        ),
        ("a.csv", "item,lang,query,passage\n1,english,a,b\n", "row 2, field 'lang': 'english' is not a BCP 47"),
        ("a.csv", "item,lang,query,passage\n1,en,a,b\n1,en,a,c\n", "row 3, field 'query': repeats row 2"),
        ("a.csv", "item,lang,query,passage\n1,en,,\n", "row 2, field 'query': has no text"),
        ("a.csv", "item,lang,side,text\n1,en,left,a\n", "row 2, field 'side': 'left' is neither"),
        (
            "a.csv",
            "item,lang,query,passage,group\n1,en,a,b,g\n1,de,c,d,h\n",
            "row 3, field 'group': item '1' is in group 'h'",
        ),
        ("a.jsonl", '{"item": "1", "query_en": "a", "passage_en": "b"}\n{"item": \n', "row 2: is not JSON"),
        ("a.csv", "id,en,de\n1,a,b\n", "field 'id': may mean the item or Indonesian"),
        ("a.csv", "item,query,passage,query_de\n1,a,b,c\n", "field 'query': names no language"),
        ("a.csv", "item,query_EN,passage_en\n1,a,b\n", "field 'query_EN'"),
        (
            "a.jsonl",
            '{"item": "1", "query_en": "\\ud800", "passage_en": "b"}\n',
            "field 'query_en': holds half a character",
        ),
        ("a.jsonl", "[" * 100_000, "row 1: is not JSON"),
        ("a.jsonl", '{"item": ' + "1" * 5000 + "}\n", "row 1: is not JSON"),
        ("a.jsonl", "[1, 2]\n", "row 1: is not a JSON object"),
        (
            "a.jsonl",
            '{"item": "1", "query_en": ["a"], "passage_en": "b"}\n',
            r"row 1, field 'query_en': holds \['a'\]",
        ),
        ("a.jsonl", '{"item": "1", "query_en": "", "passage_en": "b"}\n', "row 1, field 'query_en': is blank"),
        (
            "a.csv",
            'item,query_en,passage_en\n\n1,"a\n\nb",c\n\n1,c,d\n',
            "row 7, field 'item': '1' is already .* of row 3",
        ),
        ("a.csv", 'item,lang,query,passage\n\n1,en,"a\n",b\n\n1,xyz9,c,d\n', "row 6, field 'lang': 'xyz9'"),
        ("a.csv", 'item,query_en,"passage_\nen"\n1,a\n', "row 3: has 2 cells"),
        ("a.csv", 'item,query_en,passage_en\r\n\r\n1,"a\r\nb",c\r\n1,a\r\n', "row 5: has 2 cells"),
        ("a.csv", 'item,query_en,passage_en\n\n1,"a\n",b\n2,"c\n\n,d\n', "row 5: is not well-formed"),
        ("a.tsv", "item\tquery_en\tpassage_en\n\n1\ta\t \n", "row 3, field 'passage_en': is blank"),
        ("a.jsonl", '\n{"item": "1", "query_en": "a"}\n', "row 2: item '1' has a query but no passage"),
        ("a.jsonl", '{"en": "a"}\n\n \n{"en": " "}\n', "row 4, field 'en': is blank"),
        (
            "a.jsonl",
            '\n{"item": "1", "lang": "en", "query": "a", "passage": "b"}\n\n{"item": "2"}\n',
            "row 4, field 'lang'",
        ),
        ("a.parquet", b"PAR1 broken", "not a readable Parquet"),
        ("a.xlsx", "x", "suffix '.xlsx'"),
    ],
)
def test_bad_tables_say_file_row_and_field(tmp_path, name: str, content, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(ReaderError, match=message) as caught:
        open_corpus(path)
    assert str(caught.value).startswith(path)


def test_a_parquet_column_of_numbers_is_refused(tmp_path) -> None:
    pl.DataFrame({"item": [1], "query_en": [0.5], "passage_en": ["b"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ReaderError, match=r"row 1, field 'query_en': holds 0\.5, but a text"):
        open_corpus(str(tmp_path / "a.parquet"))


def test_unknown_sources_are_named(tmp_path) -> None:
    for spec, message in (
        ("nothing-here", "no such corpus"),
        ("xquad-r", "needs a path"),
        (str(tmp_path), "neither a babelmix corpus"),
        (f"xquad-r={tmp_path}", "no JSON file named by language"),
        (f"xquad-r={tmp_path}/absent", "is not a folder"),
        ("table=absent.csv", "no such file"),
        (f"comfyui-docs={tmp_path}", r"no folders with an en\.md"),
        (f"libreoffice-help={tmp_path}", "holds no en-US/text"),
        (f"libreoffice-help={tmp_path}/absent", "no such file or folder"),
    ):
        with pytest.raises(ReaderError, match=message):
            open_corpus(spec)
    for options, message in (
        ({"colour": "red"}, "no such option: colour; it has rows"),
        ({"rows": "no"}, "true or false, not 'no'"),
        ({"path": "x"}, "no such option: path"),
    ):
        with pytest.raises(ReaderError, match=message):
            open_corpus("comfyui-docs", **options)
    with pytest.raises(ReaderError, match="no such option: rows; it has none"):
        open_corpus(write(tmp_path, "w.csv", WIDE), rows=True)
    with pytest.raises(ReaderError, match="a text or a list of texts, not int"):
        open_corpus("libreoffice-help", langs=7)


# --- BEIR


def beir(folder: Path, queries: str | None = None, corpus: str | None = None, qrels: str | None = None) -> str:
    write(folder, "queries.jsonl", queries or '{"_id": "q1", "text": "cat?", "lang": "en", "item": "1"}\n')
    passages = (
        '{"_id": "d1", "title": "Cat", "text": "a cat", "lang": "en", "item": "1"}\n'
        '{"_id": "d2", "text": "eine Katze", "lang": "de", "item": "1"}\n'
    )
    write(folder, "corpus.jsonl", corpus or passages)
    write(folder, "qrels/test.tsv", qrels or "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n")
    return str(folder)


def test_beir_folder(tmp_path) -> None:
    corpus = open_corpus(beir(tmp_path))
    assert corpus.passages["text"].to_pylist() == ["Cat a cat", "eine Katze"]
    assert corpus.qrels.to_pylist() == [{"query_item": "1", "passage_item": "1", "grade": 1}]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"queries": '{"_id": "q1", "text": "a"}\n'}, r"queries\.jsonl, row 1, field 'lang': is missing"),
        ({"queries": '{"_id": 5.5, "text": "a", "lang": "en"}\n'}, "field '_id': holds 5.5"),
        (
            {"corpus": '{"_id": "d1", "text": "a", "lang": "en"}\n{"_id": "d1", "text": "b", "lang": "en"}\n'},
            "row 2, field '_id': 'd1' occurs twice, and in row 1 with another text",
        ),
        ({"corpus": '{"_id": "d1", "text": "a", "lang": "xyz9"}\n'}, "row 1, field 'lang': 'xyz9'"),
        ({"corpus": '{"_id": "d1", "text": "a", "lang": "en", "item": true}\n'}, "field 'item': holds True"),
        ({"corpus": '{"_id": "d1", "text": "a", "lang": "en", "title": ["l"]}\n'}, "field 'title': holds"),
        ({"corpus": '{"_id": "d1", "text": " ", "lang": "en"}\n'}, "no relevant pair .left out: empty documents: 1, "),
        (
            {"qrels": "query-id\tcorpus-id\tscore\nq1\td9\t1\n"},
            "no relevant pair .left out: judgements of documents that are nowhere: 1",
        ),
        ({"qrels": "q1\td1\n"}, "row 1: has 2 columns"),
        ({"qrels": "q1\td1\tmuch\n"}, "field 'score': 'much' is not a number"),
        ({"qrels": "q1\td1\t0\n"}, "holds no relevant pair"),
    ],
)
def test_bad_beir_folders(tmp_path, files: dict[str, str], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        open_corpus(beir(tmp_path, **files))


# --- ComfyUI


def test_a_page_is_parsed() -> None:
    page = comfyui_docs.parse_page(
        "# Load `Image`\n\nReads an **image**.\n\n## Inputs\n\n| Parameter | Description | Type |\n| --- | --- | --- |\n"
        "| `image` | The [file](x.md) to read | STRING |\n| `mask` | - | MASK |\n\nNote: be careful.\n\n```py\ncode\n```\n"
        "> AI-generated. [Edit](https://github.com/Comfy-Org/embedded-docs/x)\n\n---\n**Source fingerprint:** `ab`\n"
    )
    assert (page.title, page.opening) == ("Load Image", "Reads an image.")
    assert page.rows == [("image", "The file to read")]
    assert page.notes == ["Note: be careful."]
    assert page.generated
    assert page.body == "The file to read Note: be careful."


def test_comfyui_folder_aligns_and_drops(tmp_path) -> None:
    table = "\n\n| P | D |\n| - | - |\n| a | {0} |\n| b | {0} too |\n"
    for page, opening in (("One", "First thing"), ("Two", "Second thing"), ("Copy", "Second thing")):
        write(tmp_path, f"{page}/en.md", f"# {page}\n\n{opening}.{table.format('what ' + page)}")
        write(tmp_path, f"{page}/de.md", f"# {page}\n\nDeutsch {opening}.{table.format('was ' + page)}")
        write(tmp_path, f"{page}/fr.md", f"# {page}\n\n{opening}.{table.format('quoi ' + page)}")
    corpus = open_corpus(f"comfyui-docs={tmp_path}")
    assert corpus.qrels["query_item"].to_pylist() == ["Copy", "One"]  # "Two" repeats "Copy"
    assert corpus.counts().rows() == [("de", 2, 2), ("en", 2, 2), ("fr", 0, 2)]  # French openings are English
    assert corpus.meta["left_out"]["repeated pairs"] == 1
    assert corpus.meta["machine_made"] == []
    rows = open_corpus(f"comfyui-docs={tmp_path}", rows=True)
    assert "One#0" in rows.queries["item"].to_pylist()
    write(tmp_path, "One/de.md", b"\xff")
    with pytest.raises(ReaderError, match=r"de\.md: is not UTF-8"):
        open_corpus(f"comfyui-docs={tmp_path}")


@pytest.mark.slow
def test_installed_comfyui_docs() -> None:
    pytest.importorskip("comfyui_embedded_docs", reason="the extra 'offline' is not installed")
    corpus = open_corpus("comfyui-docs")
    assert len(corpus.langs) == 15
    assert corpus.qrels.num_rows > 900
    assert corpus.meta["machine_made"] == list(corpus.langs)
    assert open_corpus("comfyui-docs").fingerprint() == corpus.fingerprint()  # the cached copy


# --- LibreOffice

BLOCKS = [
    ("p1", "h", "h1", "Cells", "Zellen", None),
    ("p1", "a", "p", "All about cells.", "Alles über Zellen.", "Tout."),
    ("p1", "x", "h2", "Example", "Beispiel", "Exemple"),
    ("p1", "b", "p", "A cell in use.", "Eine Zelle.", None),
    ("p2", "h", "h1", "Rows", "Zeilen", "Lignes"),
    ("p2", "c", "p", "A short one.", "Kurz.", "Court."),
    ("p2", "d", "p", "And one that is very much longer than that.", None, "Et un bien plus long."),
    ("p2", "x", "h2", "Example", "Beispiel", "Exemple"),
    ("p2", "e", "p", "A row in use.", "Eine Zeile.", "Une ligne."),
    ("p2", "y", "h2", "Nothing under it", "Nichts darunter", "Rien"),
]


def blocks() -> pl.DataFrame:
    return pl.DataFrame(BLOCKS, schema=["page", "block", "tag", "en-US", "de", "fr"], orient="row")


def test_libreoffice_blocks(tmp_path) -> None:
    corpus = libreoffice_help.parse(blocks())
    texts = {(r["item"], r["lang"]): r["text"] for r in corpus.queries.to_pylist()}
    assert texts["p1#x", "en"] == "Cells: Example"
    assert texts["p2#x", "de"] == "Zeilen: Beispiel"
    assert ("p1#h", "fr") not in texts
    assert ("p1#x", "fr") not in texts  # its page has no French title
    passages = {(r["item"], r["lang"]): r["text"] for r in corpus.passages.to_pylist()}
    assert passages["p2#h", "en"].startswith("A short one. And one")
    assert ("p2#h", "de") not in passages  # less than half of it is translated
    assert passages["p2#h", "fr"] == "Court. Et un bien plus long."
    assert not any(item == "p2#y" for item, _ in passages)
    assert set(corpus.queries["group"].to_pylist()) == {"p1", "p2"}
    blocks().write_parquet(tmp_path / "b.parquet")
    assert open_corpus(f"libreoffice-help={tmp_path / 'b.parquet'}").fingerprint() == corpus.fingerprint()
    assert libreoffice_help.parse(blocks(), langs=["de"]).langs == ("de",)
    with pytest.raises(ReaderError, match="has no ja"):
        libreoffice_help.parse(blocks(), langs=["ja"])
    with pytest.raises(ReaderError, match="field 'tag': is missing"):
        libreoffice_help.parse(blocks().drop("tag"))
    with pytest.raises(ReaderError, match="field 'klingonish': is not a BCP 47"):
        libreoffice_help.parse(blocks().rename({"de": "klingonish"}))


def test_libreoffice_html_gives_the_same_blocks(tmp_path) -> None:
    pytest.importorskip("lxml", reason="the extra 'offline' is not installed")
    for column, lang in (("en-US", "en-US"), ("de", "de")):
        for page in ("p1", "p2"):
            body = "".join(
                f'<{row["tag"]} id="{row["block"]}">{row[column]}</{row["tag"]}>'
                for row in blocks().filter(pl.col("page") == page).iter_rows(named=True)
                if row[column]
            )
            write(tmp_path, f"{lang}/text/{page}", f"<html><body>{body}</body></html>")
            (tmp_path / lang / "text" / page).rename(tmp_path / lang / "text" / f"{page}.html")
    found = libreoffice_help.blocks_from_html(tmp_path)
    expected = blocks().select("page", "block", "tag", "de", "en-US").with_columns(pl.col("page") + ".html")
    assert found.equals(expected.select(found.columns))


@pytest.mark.slow
def test_libreoffice_real_data() -> None:
    corpus = open_corpus(f"libreoffice-help={shared('libreoffice-help/blocks.parquet')}")
    counts = {lang: passages for lang, _, passages in corpus.counts().iter_rows()}
    assert counts["en"] > 9_000
    assert counts["de"] > 8_000
    assert (
        len(set(zip(corpus.passages["lang"].to_pylist(), corpus.passages["text"].to_pylist(), strict=True)))
        == corpus.passages.num_rows
    )


def test_options_may_follow_a_named_source(tmp_path) -> None:
    file = tmp_path / "blocks.parquet"
    from babelmix.corpus.opening import _options
    from babelmix.corpus.readers import parallel_qa, xquad_r

    assert _options("xquad-r", xquad_r.read, "check=false") == {"check": False}
    assert _options("parallel-qa", parallel_qa.read, "query=frage&passage=antwort") == {
        "query": "frage", "passage": "antwort",
    }  # fmt: skip
    for spec, message in (
        (f"xquad-r={file}?check=maybe", "the option check of the reader 'xquad-r' is true or false, not 'maybe'"),
        (f"xquad-r={file}?nothing=1", "has no such option: nothing"),
        (f"mmarco={file}?pairs=many", "is a whole number from 0 on, not 'many'"),
        (f"mmarco={file}?langs", "is not written as name=value"),
    ):
        with pytest.raises(ReaderError, match=message):
            open_corpus(spec)
