"""Files are found by their names in any spelling, or the message says why not."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_readers import write
from test_readers_captions import add_pictures, lines, picture, texts, unusable

from babelmix.corpus import open_corpus
from babelmix.corpus.file_names import FileNames, name_key
from babelmix.corpus.readers._captions import NoPicture
from babelmix.corpus.readers._pictures import Folder
from babelmix.errors import PictureError, ReaderError
from babelmix.search.documents import open_rows

NFC, NFD = "phở Café.jpg", unicodedata.normalize("NFD", "phở Café.jpg")
ENCODED = "ph%E1%BB%9F%20Caf%C3%A9.jpg"


@pytest.mark.parametrize("there", [NFC, NFD, ENCODED, "ph%e1%bb%9f%20Caf%c3%a9.jpg", "phở Café.JPG", f"{NFD[:-3]}JPG"])
@pytest.mark.parametrize("asked", [NFC, NFD, ENCODED, "phở Café.JPG"])
def test_every_spelling_of_a_name_is_found(tmp_path, there: str, asked: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / there).write_bytes(b"x")
    for path in (f"photos/{asked}", f"photos\\{asked}", f"./photos//{asked}", str(tmp_path / "photos" / there)):
        assert FileNames(tmp_path).find(path).read_bytes() == b"x"
    folder = Folder(tmp_path, "it is one")
    assert list(folder.pictures([asked]).values()) == [tmp_path / "photos" / there]
    assert list(folder.pictures([f"elsewhere\\{asked}"], whole=True).values()) == [tmp_path / "photos" / there]


@given(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/\\\0"), min_size=1, max_size=12)
)
@settings(max_examples=200, deadline=None)
def test_a_name_has_the_key_of_its_other_spellings(name: str) -> None:
    from urllib.parse import quote

    plain = name.replace("%", "")
    assert name_key(quote(plain)) == name_key(plain)
    for form in ("NFC", "NFD"):
        assert name_key(unicodedata.normalize(form, plain)) == name_key(plain)


def test_names_with_slashes_in_them(tmp_path) -> None:
    # As unpacked on Linux from an archive that Windows made, and as a browser writes them.
    for name in ("photos\\7.jpg", "a%2Fb.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    names = FileNames(tmp_path)
    assert names.find("photos/7.jpg").read_bytes() == b"photos\\7.jpg"
    assert names.find("photos\\7.jpg").read_bytes() == b"photos\\7.jpg"
    assert names.find("a/b.jpg").read_bytes() == b"a%2Fb.jpg"


def why(names: FileNames, name: str) -> str:
    with pytest.raises(PictureError) as error:
        names.find(name)
    return str(error.value)


def test_a_name_that_is_not_found_says_why(tmp_path) -> None:
    for name in (
        "photos/Dog.jpg",
        "photos/a%20b.jpg",
        "photos/a b.JPG",
        "pics/sub/far.png",
        *(f"{n}/n.png" for n in "uvwxyz"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    names = FileNames(tmp_path)
    assert why(names, "photos/dog.jpg") == (
        "photos/dog.jpg cannot be read (there is no such file; photos/Dog.jpg differs in upper and lower case)"
    )
    assert (
        why(names, "photos/a b.jpg")
        == "photos/a b.jpg could be photos/a b.JPG and photos/a%20b.jpg: rename one of them"
    )
    assert names.find("photos/a b.JPG").read_bytes() == b"photos/a b.JPG"
    assert (
        why(names, "far.png")
        == "far.png cannot be read (there is no such file; of this name there is pics/sub/far.png)"
    )
    assert why(names, "n.png").endswith("; of this name there is u/n.png, v/n.png, w/n.png and 3 others)")
    assert why(names, "none.png") == "none.png cannot be read (there is no such file)"
    for odd in ("x" * 5000, "a\0b", "/nowhere/a.jpg"):
        assert "there is no such file" in why(FileNames(tmp_path / "photos"), odd)


def test_nothing_outside_of_the_folder_is_found_by_another_spelling(tmp_path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"s")
    (tmp_path / "in").mkdir()
    names = FileNames(tmp_path / "in")
    for path in (
        "%2E%2E/secret.jpg",
        "..%2Fsecret.jpg",
        "%2e%2e%2fsecret.jpg",
        "..\\secret.jpg",
        "../Secret.JPG",
        "../secret.JPG",
    ):
        assert "there is no such file" in why(names, path)


def test_wit_names_percent_encoded_or_not(tmp_path) -> None:
    urls = ["a/ab/Viborg_%28aviser%29.jpg", "b/bc/B%C3%A9ja%C3%AFa.JPG", "c/cd/Plain.png", "d/de/Łódź.png"]
    rows = [
        {"image_url": f"https://x/{url}", "caption_reference_description": url[0], "language": "da"} for url in urls
    ]
    write(tmp_path, "test_da.jsonl", lines(*rows))
    add_pictures(tmp_path, "Viborg_%28aviser%29.jpg", "Béjaïa.JPG", "Plain.png", "%C5%81%C3%B3d%C5%BA.png")
    corpus = open_corpus(f"wit={tmp_path}")
    assert texts(corpus, "da") == [
        ("Viborg_(aviser).jpg", "a"), ("Béjaïa.JPG", "b"), ("Plain.png", "c"), ("Łódź.png", "d"),
    ]  # fmt: skip
    assert "left_out" not in corpus.meta


def test_of_several_files_with_one_name_none_is_taken_unawares(tmp_path) -> None:
    for place, name in (
        ("full", "a.jpg"),
        ("small", "a.jpg"),
        ("full", "b.jpg"),
        ("small", "b.jpg"),
        ("full", "C.jpg"),
    ):
        write(tmp_path, f"{place}/{name}", f"{name} {place if name == 'a.jpg' else ''}")
    folder = Folder(tmp_path, "it is one")
    assert folder.pictures(["a.jpg", "b.jpg", "c.jpg"]) == {
        "a": NoPicture("a.jpg could be full/a.jpg and small/a.jpg: keep one of them"),
        "b": tmp_path / "full" / "b.jpg",
        "c": NoPicture("c.jpg cannot be read (there is no such file; full/C.jpg differs in upper and lower case)"),
    }
    assert folder.pictures(["small/a.jpg"]) == {"a": tmp_path / "small" / "a.jpg"}
    write(tmp_path, "x/list.txt", "1\n")
    write(tmp_path, "y/list.txt", "2\n")
    again = Folder(tmp_path, "it is one")
    message = r"holds different files list\.txt: x/list\.txt and y/list\.txt; give the folder that holds one"
    for look in (lambda: again.file("list.txt"), lambda: list(again.matching(r"(list)\.txt"))):
        with pytest.raises(ReaderError, match=message):
            look()
    assert list(again.matching(r"(list)\.txt", lambda name: name != "list")) == []


def test_own_captions_and_documents_find_pictures_in_any_spelling(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / NFD).write_bytes(picture("a"))
    for form, known in ((f"photos\\{NFC}", True), ("Photos/x.jpg", False)):
        write(tmp_path, "own.jsonl", json.dumps({"image_id": 1, "image": form, "lang": "en", "text": "A."}) + "\n")
        write(tmp_path, "docs.jsonl", json.dumps({"item": "1", "lang": "zxx", "image": form, "text": None}) + "\n")
        if known:
            assert open_corpus(f"captions={tmp_path / 'own.jsonl'}").passages.num_rows == 1
            assert [row.image for item in open_rows(str(tmp_path / "docs.jsonl")).items() for row in item] == [
                picture("a")
            ]
            continue
        with pytest.raises(
            ReaderError, match=r"none of 1 pictures can be used; the first: Photos/x\.jpg cannot be read"
        ):
            open_corpus(f"captions={tmp_path / 'own.jsonl'}")
        with pytest.raises(
            ReaderError, match=r"row 1, field 'image': Photos/x\.jpg cannot be read \(there is no such file\)"
        ):
            list(open_rows(str(tmp_path / "docs.jsonl")).items())
    write(
        tmp_path, "own.jsonl",
        lines(*({"image_id": i, "image": name, "lang": "en", "text": "A."} for i, name in enumerate((f"photos/{NFC}", NFC)))),
    )  # fmt: skip
    assert unusable(open_corpus(f"captions={tmp_path / 'own.jsonl'}")) == [
        f"{NFC} cannot be read (there is no such file; of this name there is photos/{NFD})"
    ]


def test_a_link_leads_where_it_leads(tmp_path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / NFD).write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "store", target_is_directory=True)
    assert FileNames(tmp_path / "in").find(f"linked/{NFC}") == Path(tmp_path / "in" / "linked" / NFD)
