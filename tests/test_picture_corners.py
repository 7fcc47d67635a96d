"""Pictures where encoders, files and names are not the usual ones."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus, png
from PIL import Image
from sentence_transformers import SentenceTransformer

from babelmix.batches import BatchPlan, strategy
from babelmix.corpus import Corpus, images, open_corpus
from babelmix.corpus.images import Pictures, open_picture
from babelmix.encoders import encode
from babelmix.encoders.debias import debiased
from babelmix.encoders.dual import make_dual
from babelmix.encoders.fingerprints import image_fingerprint
from babelmix.encoders.image_tower import pixels_of
from babelmix.errors import CorpusError, EncoderError, ReaderError, TrainingError
from babelmix.evaluation import audit
from babelmix.training import TrainingData, train
from babelmix.training.resolving import resolved_for_encoder as resolved
from babelmix.training.weights import freeze_image_tower

array = pa.array
CORPUS = picture_corpus()
TEXTS = CORPUS.queries["text"].to_pylist()


@pytest.fixture
def tiny() -> SentenceTransformer:
    return make_dual("tiny-clip", TEXTS, dimension=32, size=200)


def without_language(encoder: SentenceTransformer, method: str) -> SentenceTransformer:
    texts = {lang: CORPUS.only_langs([lang, "zxx"]).queries["text"].to_pylist() for lang in ("de", "en", "fr")}
    return debiased(encoder, texts, method=method)


def test_what_debias_puts_behind_the_towers_is_part_of_a_pictures_key(tiny: SentenceTransformer) -> None:
    pictures = Pictures(CORPUS.passages)
    first, second = (without_language(tiny, method) for method in ("centred", "whiten"))
    assert len({image_fingerprint(one) for one in (tiny, first, second)}) == 3
    encode(first, pictures, "document")
    kept = encode(second, pictures, "document")
    np.testing.assert_allclose(kept, encode(second, pictures, "document", store=False), atol=1e-6)


def test_locked_pictures_stay_behind_what_debias_put_there(tiny: SentenceTransformer) -> None:
    encoder = without_language(tiny, "centred")
    freeze_image_tower(encoder)
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".text." in f".{name}" for name in trained)


@pytest.mark.slow
def test_a_static_text_tower_is_trained_saved_and_read(tmp_path: Path, babelmix) -> None:
    encoder = make_dual("tiny+static", TEXTS, dimension=32, size=200)
    settings = flat_settings(strategy="mono", steps=2, batch_size=8, max_seq_length=16)
    train(encoder, CORPUS, settings, tmp_path / "m", base="tiny+static")
    again = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    assert audit(again, CORPUS, name="x", store=False).macro("multi/mAP") > 0
    CORPUS.save(tmp_path / "corpus")
    words = ["train", "-c", str(tmp_path / "corpus"), "--model", "tiny+static", "--steps", "1", "--batch-size", "4"]
    assert babelmix(*words, "--out", str(tmp_path / "n"))[0] == 0
    assert (tmp_path / "n" / "training.json").is_file()
    code, _, error = babelmix(*words, "--out", str(tmp_path / "o"), "--max-seq-length", "64")
    assert (code, "this encoder has no limit" in error) == (1, True)


def test_towers_that_learn_at_different_rates_are_asked_for_one(
    tiny: SentenceTransformer, tiny_bert: Path, tmp_path: Path
) -> None:
    tiny.save_pretrained(str(tmp_path / "clip"))
    image = tmp_path / "clip"
    for base, locked, rate in (
        ("tiny-clip", False, 1e-3), ("tiny+static", False, 1e-3), (f"{image}+{tiny_bert}", False, 2e-5),
        (f"{image}+static", True, 5e-3), (f"{image}+tiny", True, 1e-3), (f"tiny+{tiny_bert}", False, None),
        (f"{image}+static", False, None), (f"{image}+tiny", False, None),
    ):  # fmt: skip
        encoder = make_dual(base, TEXTS, dimension=32, size=200)
        settings = flat_settings(lock_images=locked)
        if rate is None:
            with pytest.raises(TrainingError, match="say which with --learning-rate"):
                resolved(settings, encoder, base)
            assert resolved(settings.model_copy(update={"learning_rate": 0.5}), encoder, base).learning_rate == 0.5
        else:
            assert resolved(settings, encoder, base).learning_rate == rate


def test_no_more_pictures_are_open_than_a_pass_takes(
    tiny: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    encoded = tiny.encode_document

    def counted(batch: list, **options: object) -> np.ndarray:
        sizes.append(len(batch))
        return encoded(batch, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny, "encode_document", counted)
    found = encode(tiny, Pictures(CORPUS.passages), "document", store=False, batch_size=7)
    assert (max(sizes), sum(sizes)) == (7, 40)
    np.testing.assert_allclose(
        found, encoded([open_picture(one["bytes"]) for one in CORPUS.passages["image"].to_pylist()]), atol=1e-6
    )


def test_pixels_do_not_depend_on_how_many_are_made(tiny: SentenceTransformer) -> None:
    from babelmix.encoders.dual import tower_of

    tower, pictures = tower_of(tiny, "image"), [open_picture(png((10 * i, 0, 99), size=20 + i)) for i in range(3)]
    together = tower[0].processor(images=pictures, return_tensors="pt")["pixel_values"]  # type: ignore[union-attr]
    assert torch.equal(pixels_of(tower, iter(pictures)), together)


def turned(orientation: int) -> bytes:
    """A picture of 40 x 20 whose left half is red, and what its camera says."""
    picture = Image.new("RGB", (40, 20), "blue")
    picture.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    sink = io.BytesIO()
    picture.save(sink, "PNG", exif=exif)
    return sink.getvalue()


def test_pictures_are_turned_as_their_camera_says() -> None:
    assert (open_picture(turned(1)).size, open_picture(turned(6)).size) == ((40, 20), (20, 40))
    upright = open_picture(turned(6))
    assert (upright.getpixel((10, 5)), upright.getpixel((10, 35))) == ((255, 0, 0), (0, 0, 255))
    assert open_picture(turned(3)).getpixel((5, 5)) == (0, 0, 255)
    # What it says of itself is damaged, the picture is not.
    broken = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(broken, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert open_picture(broken.getvalue()).size == (4, 4)


def test_a_photo_with_a_preview_behind_it_is_a_photo() -> None:
    sink = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    frames[0].save(sink, "MPO", save_all=True, append_images=frames[1:])
    red, green, _ = open_picture(sink.getvalue()).getpixel((4, 4))
    assert (red > 200, green < 50) == (True, True)


def folder_of(place: Path, files: dict[str, str], *pictures: str) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    for number, name in enumerate(pictures):
        (place / "images").mkdir(exist_ok=True)
        (place / "images" / name).write_bytes(png((20 * number, 40, 90)))
    return place


def test_names_that_differ_in_their_suffix_are_two_pictures(tmp_path: Path) -> None:
    rows = "".join(
        f'{{"image_url": "https://x/Turm.{suffix}", "caption_reference_description": "{text}"}}\n'
        for suffix, text in (("jpg", "ein roter Turm"), ("png", "ein blauer Turm"))
    )
    corpus = open_corpus(f"wit={folder_of(tmp_path / 'wit', {'test_de.jsonl': rows}, 'Turm.jpg', 'Turm.png')}")
    assert sorted(corpus.passages["item"].to_pylist()) == ["Turm.jpg", "Turm.png"]
    assert corpus.qrels.num_rows == 2
    rows = "".join(f'{{"sentences": ["ein Turm"], "img_path": "Turm.{suffix}"}}\n' for suffix in ("jpg", "png"))
    folder = folder_of(tmp_path / "xflickrco", {"de/test.jsonl": rows}, "Turm.jpg", "Turm.png")
    with pytest.raises(ReaderError, match=r"Turm\.jpg and Turm\.png differ only in their suffix"):
        open_corpus(f"xflickrco={folder}")


def test_captions_of_one_name_in_two_folders_are_refused_unless_they_are_the_same(tmp_path: Path) -> None:
    row = '{{"sentences": ["{}"], "img_path": "Turm.jpg"}}\n'
    files = {
        "de/test.jsonl": row.format("neu"),
        "old/de/test.jsonl": row.format("alt"),
        "aaa/bbb/de/test.jsonl": row.format("alt"),
    }
    with pytest.raises(ReaderError, match=r"different files de/test\.jsonl"):
        open_corpus(f"xflickrco={folder_of(tmp_path, files, 'Turm.jpg')}")
    (tmp_path / "de/test.jsonl").write_text(row.format("alt"), encoding="utf-8")
    assert open_corpus(f"xflickrco={tmp_path}").queries["text"].to_pylist() == ["alt"]


def test_images_is_an_option_of_the_test_part(tmp_path: Path) -> None:
    (tmp_path / "dataset_coco.json").write_text('{"images": []}')
    for option in ("split=validation&images=1k", "split=train&images=1k"):
        with pytest.raises(ReaderError, match="images=1k is of Karpathy's test part"):
            open_corpus(f"mscoco={tmp_path}?{option}")


def test_a_name_has_one_plus() -> None:
    from babelmix.encoders import load_encoder

    with pytest.raises(EncoderError, match=r"more than one \+"):
        load_encoder("tiny+b+c")


@pytest.mark.parametrize("spec", ["paired", "text_text"])
def test_small_batches_of_pictures_have_two_items(spec: str) -> None:
    data = TrainingData(CORPUS)
    for size in (2, 3):
        batch = BatchPlan(data.index, strategy(spec), size)[0]
        assert len(batch.query_rows) >= 2


def test_what_a_collection_says_of_itself_steers_no_terminal(tmp_path: Path, babelmix) -> None:
    corpus = copy.copy(parallel_corpus(items=4)).named("x\x1b[31m", left_out=["q\x1b[31mRED is no picture"])
    corpus.save(tmp_path / "corpus")
    code, out, _ = babelmix("data", str(tmp_path / "corpus"))
    assert code == 0
    assert "RED is no picture" in out
    assert "\x1b" not in out


def test_options_of_a_corpus_need_one(babelmix, tmp_path: Path) -> None:
    for words in (["--langs", "de"], ["--part", "test"], ["--to", str(tmp_path / "x")]):
        code, _, error = babelmix("data", *words)
        assert (code, "are for a corpus" in error) == (1, True)


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_pictures_are_stored_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    rows = "".join(
        f'{{"image_id": "{i}", "image": "images/p{i}.png", "text": "Bild {i}", "lang": "de"}}\n' for i in range(7)
    )
    folder_of(tmp_path, {"captions.jsonl": rows}, *(f"p{i}.png" for i in range(7)))
    corpus = open_corpus(f"captions={tmp_path / 'captions.jsonl'}")
    corpus.save(tmp_path / "whole", format=format)
    monkeypatch.setattr(images, "_AT_ONCE", 3)
    sizes: list[int] = []
    monkeypatch.setattr(pa, "array", lambda cells, *a, **k: sizes.append(len(cells)) or array(cells, *a, **k))
    corpus.save(tmp_path / "some", format=format)
    assert max(sizes) == 3
    monkeypatch.undo()
    assert Corpus.load(tmp_path / "some").passages.equals(Corpus.load(tmp_path / "whole").passages)
    monkeypatch.setattr(images, "_AT_ONCE", 3)
    (tmp_path / "images" / "p4.png").write_bytes(png((1, 2, 3)))
    with pytest.raises(CorpusError, match=r"picture 5: .*p4\.png has changed"):
        corpus.save(tmp_path / "changed", format=format)
    assert not (tmp_path / "changed").exists()


def test_the_command_line_stores_pictures_to_be_read_where_they_lie(tmp_path: Path, babelmix) -> None:
    CORPUS.save(tmp_path / "corpus")
    assert babelmix("data", str(tmp_path / "corpus"), "--to", str(tmp_path / "again"))[0] == 0
    assert (tmp_path / "again" / "passages.arrow").is_file()
    assert Corpus.load(tmp_path / "again").fingerprint() == CORPUS.fingerprint()
