"""XTD10, Crossmodal-3600, xFlickr&CO, WIT and Flickr30k-200 in their published layouts, written here."""

from __future__ import annotations

import re
from pathlib import Path

import datasets
import pytest
from test_readers import write
from test_readers_captions import add_pictures, check, hub, image_rows, lines, picture, texts, unusable

from babelmix.corpus import is_language_tag, open_corpus
from babelmix.corpus.readers import flickr30k_200, xm3600
from babelmix.errors import ReaderError

FLICKR = ["1007129816.jpg", "1009434119.jpg", "101362133.jpg"]


# --- XTD10

XTD = [f"COCO_{part}2014_{number:012d}.jpg" for number, part in enumerate(["train"] * 4 + ["val"])]


def xtd_folder(folder: Path) -> Path:
    write(folder, "XTD10/test_image_names.txt", "\n".join(XTD) + "\n")
    for place in (
        "MIC/test_1kcaptions_en",
        "MIC/test_1kcaptions_de",
        "STAIR/test_1kcaptions_jp",
        "XTD10/test_1kcaptions_zh",
    ):
        write(folder, f"{place}.txt", "".join(f"{place[-2:]} {name}\n" for name in XTD))
    add_pictures(folder / "images", *XTD)
    return folder


def test_xtd10(tmp_path) -> None:
    corpus = open_corpus(f"xtd10={xtd_folder(tmp_path)}")
    check(corpus, 5)
    assert corpus.langs == ("de", "en", "ja", "zh", "zxx")
    assert texts(corpus, "ja")[4] == (XTD[4][:-4], f"jp {XTD[4]}")
    assert corpus.meta["contains"] == {"mscoco-train2014": 4, "mscoco-val2014": 1}
    assert {lang: list(made) for lang, made in corpus.meta["provenance"].items()} == {
        "de": ["translated"], "en": ["human"], "ja": ["human"], "zh": ["translated"],
    }  # fmt: skip
    assert corpus.meta["evaluation_only"]
    assert open_corpus(f"xtd10={tmp_path}", langs=["ja"]).counts().rows() == [("ja", 5, 0), ("zxx", 0, 5)]
    (tmp_path / "images" / XTD[0]).unlink()
    less = open_corpus(f"xtd10={tmp_path}")
    check(less, 4)
    assert unusable(less) == [f"{XTD[0]} cannot be read (there is no such file)"]
    assert less.meta["contains"] == {"mscoco-train2014": 3, "mscoco-val2014": 1}


def test_bad_xtd10_folders(tmp_path) -> None:
    with pytest.raises(ReaderError, match=r"holds no file test_1kcaptions_LANG\.txt"):
        open_corpus(f"xtd10={tmp_path}")
    xtd_folder(tmp_path)
    # A line separator within a caption is no end of a line.
    write(tmp_path, "MIC/test_1kcaptions_en.txt", "a\u2028b\n\nc\nd\ne\n")
    corpus = open_corpus(f"xtd10={tmp_path}", langs=["en"])
    assert [text for _, text in texts(corpus, "en")] == ["a\u2028b", "c", "d", "e"]
    assert corpus.meta["left_out"] == {"blank captions in en": 1}
    check(corpus, 4)
    # A last caption that is blank is no superfluous line.
    write(tmp_path, "MIC/test_1kcaptions_en.txt", "a\nb\nc\nd\n\n")
    assert open_corpus(f"xtd10={tmp_path}", langs=["en"]).meta["left_out"] == {"blank captions in en": 1}
    write(tmp_path, "MIC/test_1kcaptions_xx1.txt", "a\n")
    with pytest.raises(ReaderError, match=r"test_1kcaptions_xx1\.txt: 'xx1' is not a BCP 47 language tag"):
        open_corpus(f"xtd10={tmp_path}")


# --- Crossmodal-3600

XM_LANGS = re.findall(
    r"\w+",
    "ar bn cs da de el en es fa fi fil fr he hi hr hu id it ja ko mi nl no pl pt quz ro ru sv sw te th tr uk vi zh",
)


def test_the_languages_of_crossmodal_3600_are_tags() -> None:
    assert len(XM_LANGS) == 36
    assert all(is_language_tag(lang) for lang in XM_LANGS)
    records = [(1, {"image/key": "k"} | {lang: {"caption": [lang]} for lang in XM_LANGS})]
    assert [caption.lang for caption in xm3600.parse(records, Path("captions.jsonl"))] == XM_LANGS


def xm_folder(folder: Path) -> Path:
    record = {
        "image/locale": "en",
        "en": {"caption": ["one", "two"], "caption/tokenized": ["one"]},
        "quz": {"caption": ["huk"]},
    }
    write(folder, "captions.jsonl", lines({"image/key": "00a"} | record, {"image/key": "00b"} | record))
    add_pictures(folder / "images", "00a.jpg", "00b.jpg")
    return folder


def test_xm3600_folder(tmp_path) -> None:
    corpus = open_corpus(f"xm3600={xm_folder(tmp_path)}")
    check(corpus, 2)
    assert corpus.counts().rows() == [("en", 4, 0), ("qu", 2, 0), ("zxx", 0, 2)]
    assert corpus.meta["protocol"] == {"captions": "all"}
    first = open_corpus(f"xm3600={tmp_path}?captions=first&langs=en")
    assert texts(first, "en") == [("00a", "one"), ("00b", "one")]
    assert first.meta["protocol"] == {"captions": "first"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"en": {"caption": ["x"]}}, "row 3, field 'image/key': is missing"),
        ({"image/key": "00a"}, "row 3, field 'image/key': '00a' occurs twice"),
        ({"image/key": "c", "en": {}}, "row 3, field 'caption': is missing"),
        ({"image/key": "c", "en": {"caption": [3]}}, "row 3, field 'caption': holds 3, but a text"),
        ({"image/key": "c", "english": {"caption": ["x"]}}, "field 'english': 'english' is not a BCP 47"),
    ],
)
def test_bad_xm3600_rows(tmp_path, record: dict, message: str) -> None:
    file = xm_folder(tmp_path) / "captions.jsonl"
    file.write_text(file.read_text() + lines(record))
    with pytest.raises(ReaderError, match=rf"captions\.jsonl, {message}"):
        open_corpus(f"xm3600={tmp_path}")


def xm_rows(lang: str, count: int = 3) -> datasets.Dataset:
    """As the hub has them: the pictures in every split, as structs that are not of the feature `Image`."""
    rows = [
        {
            "image_id": f"k{i}",
            "image_locale": "en",
            "captions": [f"{lang} {i}", f"{lang} {i} again"],
            "image": picture(f"k{i}"),
        }
        for i in range(count)
    ]
    return image_rows(rows, feature=False)


def test_xm3600_from_the_hub(monkeypatch) -> None:
    hub(monkeypatch, "mteb/xm3600", {"en": xm_rows("en", 2), "fil": xm_rows("fil"), "quz": xm_rows("quz")})
    corpus = open_corpus("xm3600=mteb/xm3600?langs=en,fil")
    check(corpus, 3)
    assert corpus.counts().rows() == [("en", 4, 0), ("fil", 6, 0), ("zxx", 0, 3)]
    assert [cell["bytes"] for cell in corpus.passages["image"].to_pylist()] == [picture(f"k{i}") for i in range(3)]
    assert open_corpus("xm3600=mteb/xm3600?langs=en,fil&captions=first").queries.num_rows == 5
    with pytest.raises(ReaderError, match="name the languages with the option langs"):
        open_corpus("xm3600=mteb/xm3600")
    with pytest.raises(ReaderError, match="has no de; it has en, fil, quz"):
        open_corpus("xm3600=mteb/xm3600?langs=de")
    hub(monkeypatch, "mteb/xm3600", {"train": xm_rows("en")})
    with pytest.raises(ReaderError, match="'train' is not a BCP 47 language tag"):
        open_corpus("xm3600=mteb/xm3600?langs=en")


def test_a_copy_of_a_hub_data_set(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "copy" / "data").mkdir(parents=True)
    for lang in ("en", "quz"):
        xm_rows(lang).to_parquet(tmp_path / "copy" / "data" / f"{lang}-00000-of-00001.parquet")
    corpus = open_corpus(f"xm3600={tmp_path}/copy")
    check(corpus, 3)
    assert corpus.langs == ("en", "qu", "zxx")
    (tmp_path / "copy" / "data" / "de-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(ReaderError, match="copy: cannot be read as a data set"):
        open_corpus(f"xm3600={tmp_path}/copy")


# --- xFlickr&CO and WIT


def xflickrco_rows(lang: str, names: list[str]) -> list[dict]:
    return [{"sentences": [f"{lang} {name}"], "id": name.split(".")[0], "img_path": name} for name in names]


def test_xflickrco_folder(tmp_path) -> None:
    names = ["3497238310.jpg", "COCO_val2014_000000000042.jpg"]
    for lang in ("de", "id"):
        write(tmp_path, f"annotations/{lang}/test.jsonl", lines(*xflickrco_rows(lang, names)))
        write(tmp_path, f"annotations/{lang}/train_1.jsonl", "not read")
    write(tmp_path, "more/zh.jsonl", lines(*xflickrco_rows("zh", names[:1])))
    add_pictures(tmp_path / "images", *names)
    corpus = open_corpus(f"xflickrco={tmp_path}")
    check(corpus, 2)
    assert corpus.counts().rows() == [("de", 2, 0), ("id", 2, 0), ("zh", 1, 0), ("zxx", 0, 2)]
    assert texts(corpus, "id")[0] == ("3497238310", "id 3497238310.jpg")
    assert corpus.meta["contains"] == {"mscoco-val2014": 1}
    write(tmp_path, "annotations/de/test.jsonl", lines({"sentences": ["x"]}))
    with pytest.raises(ReaderError, match=r"de/test\.jsonl, row 1, field 'img_path': is missing"):
        open_corpus(f"xflickrco={tmp_path}")
    write(tmp_path, "annotations/de/test.jsonl", lines({"img_path": "a.jpg"}))
    with pytest.raises(ReaderError, match="row 1, field 'sentences': is missing"):
        open_corpus(f"xflickrco={tmp_path}", langs=["de"])
    with pytest.raises(ReaderError, match="holds no captions: no file such as de/test"):
        open_corpus(f"xflickrco={tmp_path / 'images'}")


def test_xflickrco_from_the_hub(monkeypatch) -> None:
    rows = [{"sentences": [f"s{i}"], "id": str(i), "image": picture(str(i))} for i in range(3)]
    rows[1]["image"] = picture("1")[:30]
    splits = {lang: image_rows(rows, feature=False) for lang in ("de", "tr")}
    hub(monkeypatch, "mteb/xflickrco", splits)
    corpus = open_corpus("xflickrco=mteb/xflickrco")
    check(corpus, 2)
    assert texts(corpus, "tr") == [("0", "s0"), ("2", "s2")]
    assert len(unusable(corpus)) == 1
    assert unusable(corpus)[0].startswith("1 is ")


def test_a_hub_that_does_not_answer() -> None:
    for name in ("xflickrco", "wit", "multi30k"):
        with pytest.raises(
            ReaderError, match=r"^nobody/nothing: is no local folder and cannot be loaded from the hub"
        ):
            open_corpus(f"{name}=nobody/nothing")


def test_wit_from_the_hub(monkeypatch) -> None:
    arabic = [
        {"image_id": f"a{i}", "captions": ["\xa0" if i == 1 else f"ar {i}", f"ar {i}b"], "image": picture(f"a{i}")}
        for i in range(3)
    ]
    danish = [{"image_id": "a2", "captions": ["\xa0"], "image": picture("a2")}]
    danish.append({"image_id": "d", "captions": ["da"], "image": picture("d")})
    hub(monkeypatch, "mteb/wit", {"ar": image_rows(arabic), "da": image_rows(danish)})
    corpus = open_corpus("wit=mteb/wit")
    check(corpus, 4)
    assert corpus.counts().rows() == [("ar", 5, 0), ("da", 1, 0), ("zxx", 0, 4)]
    assert corpus.meta["left_out"] == {"blank captions in ar": 1, "blank captions in da": 1}
    assert "not as published" in corpus.meta["protocol"]["pool"]
    one = open_corpus("wit=mteb/wit?langs=da")
    check(one, 1)
    assert one.meta["protocol"]["pool"] == "the pictures of da, as published"
    assert texts(open_corpus("wit=mteb/wit?langs=ar&captions=first"), "ar")[1] == ("a1", "ar 1b")


def test_wit_folder(tmp_path) -> None:
    url = "https://upload.wikimedia.org/wikipedia/commons/e/e2/B%C3%A9ja%C3%AFa.JPG"
    rows = [
        {"image_url": url, "caption_reference_description": "برج", "language": "ar"},
        {"image_url": "https://x/Tower.tif", "caption_reference_description": " \xa0", "language": "ar"},
        {"image_url": "https://x/Plan.svg", "caption_reference_description": "plan", "language": "ar"},
    ]
    write(tmp_path, "test_ar.jsonl", lines(*rows))
    write(tmp_path, "test_ar_gmt.jsonl", "not read")
    add_pictures(tmp_path / "images", "Béjaïa.JPG", "Tower.tif")
    write(tmp_path, "images/Plan.svg", "<svg/>")
    corpus = open_corpus(f"wit={tmp_path}")
    check(corpus, 1)
    assert texts(corpus, "ar") == [("Béjaïa.JPG", "برج")]
    assert corpus.meta["left_out"]["blank captions in ar"] == 1
    assert unusable(corpus) == ["Plan.svg is no picture, or damaged at its beginning; use PNG, JPEG or WebP"]
    write(tmp_path, "test_ar.jsonl", lines(rows[0] | {"caption_reference_description": None}))
    with pytest.raises(ReaderError, match=r"test_ar\.jsonl, row 1, field 'caption_reference_description': is missing"):
        open_corpus(f"wit={tmp_path}")
    (tmp_path / "test_ar.jsonl").unlink()
    with pytest.raises(ReaderError, match=r"holds no file test_LANG\.jsonl"):
        open_corpus(f"wit={tmp_path}")


# --- Flickr30k-200 and XTD-200


def nllb_folder(folder: Path, listed: str, names: list[str]) -> Path:
    for code in ("deu_Latn", "zho_Hant", "eng_captions", "aka_Latn", "twi_Latn", "pes_Arab", "prs_Arab"):
        write(folder, f"{code}.txt", "".join(f"{code} {name}\n" for name in names))
    write(folder, listed, "\n".join(names))
    add_pictures(folder / "images", *names)
    return folder


def test_flickr30k_200(tmp_path) -> None:
    corpus = open_corpus(f"flickr30k-200={nllb_folder(tmp_path / 'a', 'filenames.txt', FLICKR)}")
    check(corpus, 3)
    assert corpus.name == "flickr30k-200"
    assert corpus.langs == ("ak", "de", "en", "fa", "fa-AF", "tw", "zh-Hant", "zxx")
    assert corpus.meta["machine_made"] == ["ak", "de", "fa", "fa-AF", "tw", "zh-Hant"]
    assert corpus.meta["provenance"]["en"] == {"human": 3}
    xtd = open_corpus(f"flickr30k-200={nllb_folder(tmp_path / 'b', 'test_image_names.txt', XTD)}", langs=["de"])
    assert xtd.name == "xtd-200"
    assert xtd.meta["contains"] == {"mscoco-train2014": 4, "mscoco-val2014": 1}
    write(tmp_path, "a/eng_Latn.txt", "x\n")
    with pytest.raises(ReaderError, match=r"is in 'en', and so is eng_Latn\.txt; remove one of them"):
        open_corpus(f"flickr30k-200={tmp_path / 'a'}")
    write(tmp_path, "b/readme.txt", "x\n")
    with pytest.raises(ReaderError, match=r"readme\.txt: has a name that is not a FLORES-200 code"):
        open_corpus(f"flickr30k-200={tmp_path / 'b'}")
    with pytest.raises(ReaderError, match=r"holds no file filenames\.txt or test_image_names\.txt"):
        open_corpus(f"flickr30k-200={tmp_path / 'a' / 'images'}")


def test_nllb_languages_that_share_a_group_keep_their_own_tags() -> None:
    assert all(is_language_tag(tag) for tag in flickr30k_200._OWN.values())
