"""Pictures from strangers: few are unpacked at once, none takes long, and none becomes much larger than it was."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture_corpus, png

pytest.importorskip("PIL", reason="the extra 'images' is not installed")
pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

from PIL import Image

from babelmix.corpus import images
from babelmix.corpus.images import Pictures, open_picture, pixels_of
from babelmix.encoders import embed, encode, image_tower
from babelmix.encoders.dual import make_dual, tower_of
from babelmix.errors import EncoderError, PictureError
from babelmix.search import Index, Searcher, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.service import Settings, answers
from babelmix.search.service.metrics import Metrics
from babelmix.search.service.models import RowRequest, SearchRequest
from babelmix.search.service.unpacking import PixelBudget


def progressive(scans: int) -> bytes:
    """A JPEG whose last scan comes again and again."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG", progressive=True)
    data = out.getvalue()
    starts = [match.start() for match in re.finditer(b"\xff\xda", data)]
    return data[:-2] + data[starts[-1] : -2] * (scans - len(starts)) + data[-2:]


def test_a_jpeg_of_many_scans_is_refused() -> None:
    assert open_picture(progressive(images.MAX_SCANS)).size == (64, 64)
    with pytest.raises(PictureError, match="is a JPEG of 101 scans; at most 100 are read, so save it again"):
        open_picture(progressive(images.MAX_SCANS + 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_what_takes_too_long_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor's time of the thread, which here is over at the second look at the clock."""
    out = io.BytesIO()
    Image.effect_noise((400, 400), 90).convert("RGB").save(out, kind)
    assert open_picture(out.getvalue()).size == (400, 400)
    ticks = iter(range(10**6))
    monkeypatch.setattr(images.time, "thread_time", lambda: 1e-6 * next(ticks))
    monkeypatch.setattr(images, "DECODE_SECONDS", 1e-6)
    with pytest.raises(PictureError, match="seconds to decode; save it again"):
        open_picture(out.getvalue())


def test_a_header_tells_the_pixels() -> None:
    assert pixels_of(png((1, 2, 3), 30)) == 900
    with pytest.raises(PictureError, match="at most 899 are read"):
        pixels_of(png((1, 2, 3), 30), max_pixels=899)


def test_no_picture_is_scaled_to_more_than_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP's processor scales the shorter side, cuts the middle afterwards, and is never asked to."""
    encoder = make_dual("tiny-clip", ["red green", "rot grün"], dimension=32, size=200)
    tower = tower_of(encoder, "image")
    processor: Any = tower[0].processor  # type: ignore[union-attr]
    own = getattr(processor, "image_processor", processor)
    monkeypatch.setattr(own, "size", type(own.size)(shortest_edge=1000))
    long = Image.new("RGB", (51 * 4, 4))
    for ask in (
        lambda: embed.encode_batch(encoder, [long], "query"),
        lambda: image_tower.pixels_of(tower, [long]),
    ):
        with pytest.raises(
            EncoderError, match=r"a picture of 204 x 4 pixels would be scaled to 1000 at its shorter side"
        ):
            ask()
    image_tower.check_resized(tower, Image.new("RGB", (50 * 4, 4)))


def test_no_more_is_opened_at_once_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_dual("tiny-clip", ["red green", "rot grün"], dimension=32, size=200)
    corpus = picture_corpus(items=12)
    before = encode(encoder, Pictures(corpus.passages), "document", store=False, batch_size=5)
    opened: list[tuple[int, int]] = []
    method = encoder.encode_document

    def counted(batch: list[Any], **options: Any) -> Any:
        opened.append((len(batch), sum(one.width * one.height for one in batch)))
        return method(batch, **options)

    monkeypatch.setattr(encoder, "encode_document", counted)
    one = Pictures(corpus.passages)[0]
    monkeypatch.setattr(embed, "PIXELS_AT_ONCE", 2 * one.width * one.height)
    after = encode(encoder, Pictures(corpus.passages), "document", store=False, batch_size=5)
    assert sum(count for count, _ in opened) == 12
    assert max(count for count, _ in opened) == 2
    assert max(pixels for _, pixels in opened) <= 2 * one.width * one.height
    assert np.allclose(before, after, atol=1e-6)


def test_pictures_wait_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty searches at once by pictures of the largest size, some of which give up: few are unpacked at any time."""
    encoder = make_dual("tiny-clip", ["red green", "rot grün"], dimension=32, size=200)
    alive, most = 0, 0

    def counted(data: bytes, **options: Any) -> Any:
        nonlocal alive, most
        picture = open_picture(data, **options)
        with lock:
            alive += picture.width * picture.height
            most = max(most, alive)
        weakref.finalize(picture, gone, picture.width * picture.height)
        return picture

    def gone(pixels: int) -> None:
        nonlocal alive
        with lock:
            alive -= pixels

    lock = threading.RLock()
    monkeypatch.setattr(answers, "open_picture", counted)
    allowed = Settings(max_pixels=40_000)
    pictures = [base64.b64encode(png((number, 0, 99), 200)).decode() for number in range(40)]
    with Index.create(str(tmp_path / "index"), encoder, "tiny") as index:
        index_rows(index, encoder, rows_of_corpus(picture_corpus(items=6)))
        service = answers.Service(Searcher(index, encoder), allowed, Metrics(index.langs))

        async def all_at_once() -> list[Any]:
            searches = [asyncio.create_task(service.search(SearchRequest(image=one, k=1))) for one in pictures]
            rows = RowRequest(item="new", lang="zxx", image=pictures[0])
            searches.append(asyncio.create_task(service.write([rows] * 3)))
            await asyncio.sleep(0)
            for search in searches[5:40:5]:
                search.cancel()
            return await asyncio.gather(*searches, return_exceptions=True)

        answered = asyncio.run(all_at_once())
        service.close()
    # One more may be alive for the moment in which the thread that embedded it returns.
    assert 0 < most <= (answers.AT_ONCE + 1) * allowed.max_pixels
    kinds = Counter(type(one).__name__ for one in answered)
    assert kinds == {"SearchAnswer": 33, "CancelledError": 7, "WriteAnswer": 1}


def test_room_for_pixels() -> None:
    """Whoever comes first goes first, a picture larger than all room goes alone, and who gives up takes none."""
    budget = PixelBudget(10)
    done: list[str] = []

    async def work(name: str) -> None:
        assert budget.taken <= 10
        await asyncio.sleep(0)
        done.append(name)
        if name == "fails":
            raise ValueError(name)

    async def all_at_once() -> None:
        wanted = {"a": 6, "fails": 6, "large": 99, "small": 1, "gone": 5, "last": 10}
        tasks = {n: asyncio.create_task(budget.within(p, lambda n=n: work(n))) for n, p in wanted.items()}
        await asyncio.sleep(0)
        tasks["gone"].cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    asyncio.run(all_at_once())
    assert (done, budget.taken) == (["a", "fails", "large", "small", "last"], 0)
