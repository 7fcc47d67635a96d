"""`data`, `audit`, `train`, `mine` and `index` give one verdict on a file, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from babelmix.corpus import load_corpus
from babelmix.corpus.readers._rows import MAX_TEXT
from babelmix.errors import BabelmixError, ReaderError, SearchError
from babelmix.evaluation.run_files import read_run
from babelmix.search.documents import open_rows
from babelmix.search.indexing import check_rows

TABLE = "item,lang,query,passage\na,en,cat?,{}\na,de,Katze?,eine Katze\n"
DOCUMENTS = "item,lang,text\na,en,{}\na,de,eine Katze\n"

# A file, its content, and the sentence of every command; None: every command takes it.
BOTH: dict[str, tuple[str, str | None]] = {
    "good.csv": (TABLE.format("a cat"), None),
    "wide.csv": ("item,en,de\na,cat,Katze\nb,dog,Hund\n", None),
    "a text of 159,321 bytes.csv": (TABLE.format("w" * 159_321), None),
    "long text.csv": (TABLE.format("w" * (MAX_TEXT + 1)), ", row 2, field 'passage': has 1,000,001 bytes; cut the text"),
    "no item.csv": ("lang,query,passage\nen,cat?,a cat\n", ", field 'item': is missing; the columns are lang, query, passage"),
    "bad lang.csv": ("item,lang,query,passage\na,english,cat?,a cat\n", ", row 2, field 'lang': 'english' is not a BCP 47"),
    "no lang.csv": ("item,lang,query,passage\na,,cat?,a cat\n", ", row 2, field 'lang': is empty"),
    "blank.csv": (TABLE.format("  "), ", row 2, field 'passage': is blank; write the text, or leave the cell empty"),
    "twice.csv": ("item,lang,query,passage\na,en,cat?,x\na,en,cat?,y\n", ", row 3, field 'query': repeats row 2: the same item"),
    "group.csv": (
        "item,lang,query,passage,group\na,en,cat?,a,x\na,de,Katze?,b,y\n",
        ", row 3, field 'group': item 'a' is in group 'y' here and 'x' elsewhere",
    ),
    "long item.csv": (f"item,lang,query,passage\n{'x' * 600},en,cat?,a\n", ", row 2, field 'item': has 600 characters"),
    "control.csv": ("item,lang,query,passage\na\x01,en,cat?,a\n", ", row 2, field 'item': character 2 is U+0001, a control"),
    "empty item.csv": ("item,lang,query,passage\n ,en,cat?,a\n", ", row 2, field 'item': is empty"),
    "empty.csv": ("", ": is empty: there is no header row"),
    "corpus.jsonl": ('{"_id": "1", "title": "x", "text": "y"}\n', ": has the columns of BEIR's corpus.jsonl (_id, "),
    "pairs.csv": ("query,positive\ncat?,a cat\n", ": has pairs of a query and a text (query, positive)"),
    "title.csv": ("id,lang,title,body\n1,en,Cat,The cat\n", ": there is no column of the texts (id, lang, title, body)"),
    "my captions.jsonl": (
        '{"image_id": "p", "image": "p.jpg", "lang": "de", "text": "Hund"}\n',
        ": has pictures and captions (image_id, image, lang, text): read it with  'captions=",
    ),
    "captions.csv": ("image,caption_en\ncat.png,a cat\n", ": has pictures and captions (image, caption_en)"),
    "words.txt": ("hello", ": has the suffix '.txt'; babelmix reads .csv, "),
}  # fmt: skip

# Files of documents: `index` takes them or says what is wrong, and the others say that there are no queries.
ALONE: dict[str, tuple[str, str | None]] = {
    "good.csv": (DOCUMENTS.format("a cat"), None),
    "long.csv": (DOCUMENTS.format("w" * 159_321), None),
    "longer.csv": (DOCUMENTS.format("w" * (MAX_TEXT + 1)), ", row 2, field 'text': has 1,000,001 bytes; cut the text"),
    "no item.csv": ("lang,text\nen,a cat\n", ", field 'item': is missing; the columns are lang, text"),
    "bad lang.csv": ("item,lang,text\na,english,a cat\n", ", row 2, field 'lang': 'english' is not a BCP 47"),
    "no lang.csv": ("item,lang,text\na,,a cat\n", ", row 2, field 'lang': is empty"),
    "blank.csv": (DOCUMENTS.format("  "), ", row 2, field 'text': is blank; write the text, or leave the cell empty"),
    "twice.csv": ("item,lang,text\na,en,x\nb,en,x\na,en,x\n", ", row 4, field 'text': repeats row 2: the same item"),
    "group.csv": (
        "item,lang,text,group\na,en,a,x\na,de,b,y\n",
        ", row 3, field 'group': item 'a' is in group 'y' here and 'x'",
    ),
    "long item.csv": (f"item,lang,text\n{'x' * 600},en,a\n", ", row 2, field 'item': has 600 characters; at most 512"),
    "control.csv": ("item,lang,text\na\x01,en,a\n", ", row 2, field 'item': character 2 is U+0001, a control"),
    "empty item.csv": ("item,lang,text\n ,en,a\n", ", row 2, field 'item': is empty"),
    "no rows.csv": ("item,lang,text\n", ": has no rows"),
}


def commands(file: Path, place: Path) -> dict[str, list[str]]:
    return {
        "data": ["data", str(file)],
        "audit": ["audit", "nowhere", "-c", str(file), "--out", str(place / "audit")],
        "train": ["train", "-c", str(file), "--model", "nowhere", "--out", str(place / "trained")],
        "mine": ["mine", "nowhere", "-c", str(file), "--out", str(place / "mined")],
        "index": ["index", str(file), "--to", str(place / "index"), "--model", "nowhere"],
    }


def told(babelmix, words: list[str], file: Path) -> str | None:
    """The error of a command about its file; None if it is another one, such as that there is no encoder."""
    code, _, errors = babelmix(*words)
    last = errors.splitlines()[-1] if errors else ""
    return last if code and last.startswith(f"error: {file}") else None


@pytest.mark.parametrize("name", BOTH)
def test_every_command_says_the_same(name: str, babelmix, tmp_path: Path) -> None:
    content, sentence = BOTH[name]
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    said = {command: told(babelmix, words, file) for command, words in commands(file, tmp_path).items()}
    assert len(set(said.values())) == 1, said
    if sentence is None:
        assert said["data"] is None
    else:
        assert str(said["data"]).startswith(f"error: {file}{sentence}"), said
    # Nothing is written before everything is checked.
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ALONE)
def test_documents_are_for_an_index(name: str, babelmix, tmp_path: Path) -> None:
    content, sentence = ALONE[name]
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    said = {command: told(babelmix, words, file) for command, words in commands(file, tmp_path).items()}
    indexed = said.pop("index")
    assert len(set(said.values())) == 1, said
    assert "has documents without queries" in str(said["data"])
    assert "babelmix index takes it" in str(said["data"])
    assert (indexed is None) == (sentence is None), indexed
    assert sentence is None or str(indexed).startswith(f"error: {file}{sentence}")
    assert list(tmp_path.iterdir()) == [file]


def test_an_engine_with_short_texts_says_so_before_a_row_is_written(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text(DOCUMENTS.format("w" * 159_321), encoding="utf-8")
    with pytest.raises(
        SearchError, match="item 'a': the text has 159,321 bytes, and this engine holds at most 60,000"
    ):
        check_rows(open_rows(str(file)), max_text=60_000)
    check_rows(open_rows(str(file)), max_text=159_321)


def test_an_index_in_a_folder_holds_a_long_text(tmp_path: Path, tiny_static) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    from babelmix.search import Index, index_rows

    file = tmp_path / "long.csv"
    text = "Katze " * 30_000
    file.write_text(DOCUMENTS.format(text), encoding="utf-8")
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, open_rows(str(file)))
        vector = index.ready(tiny_static.encode_document([text]))
        (hits,) = index.engine.nearest(vector, [index.where("en", {})], 1, exact=True)
        assert hits[0].text == text
        index.engine.max_text = 10
        with pytest.raises(BabelmixError, match="holds at most 10"):
            index_rows(index, tiny_static, open_rows(str(file)))


@pytest.mark.parametrize(
    ("name", "header", "said"),
    [
        ("a.csv", "item;lang;query;passage", "separated by ';', and a CSV has commas: save it with commas"),
        ("a.csv", '"item";"lang";"query";"passage"', "separated by ';', and a CSV has commas: save it with commas"),
        (
            "a.csv",
            "item\tlang\tquery\tpassage",
            "separated by tabs, and a CSV has commas: name it .tsv, or save it with",
        ),
        (
            "a.tsv",
            "item,lang,query,passage",
            "separated by commas, and a TSV has tabs: name it .csv, or save it with tabs",
        ),
        ("a.tsv", "item;lang;query;passage", "separated by ';', and a TSV has tabs: save it with tabs"),
    ],
)
def test_a_table_with_another_separator_is_refused_at_its_header(tmp_path: Path, name, header, said):
    file = tmp_path / name
    # Commas and quotes in the cells break a CSV further below.
    file.write_text(f'{header}\n1;en;what, "now"?;"a", b\n', encoding="utf-8")
    for read in (lambda: load_corpus(file), lambda: read_run(file), lambda: open_rows(str(file))):
        with pytest.raises(ReaderError) as error:
            read()
        assert f"{name}, row 1: its columns seem to be {said}" in str(error.value)
    passages = tmp_path / "passages.csv"
    passages.write_text("item,lang,text\n1,en,a cat\n")
    for log in (header, header.replace("passage", "clicked_id")):
        file.write_text(f"{log}\n", encoding="utf-8")
        with pytest.raises(ReaderError, match="its columns seem to be separated by"):
            load_corpus(passages, queries_from=file)


def test_a_table_with_one_column_has_no_separator(tmp_path: Path):
    passages, log = tmp_path / "passages.csv", tmp_path / "log.csv"
    passages.write_text("item,lang,text\n1,en,a cat\n")
    log.write_text('text\nwhat is a cat; and a dog?\n"cats, dogs"\n')
    corpus = load_corpus(passages, queries_from=log, lang="en")
    assert corpus.queries["text"].to_pylist() == ["what is a cat; and a dog?", "cats, dogs"]
