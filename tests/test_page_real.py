"""The page and the real service together: an index of texts and pictures, a browser, and nothing canned."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

import uvicorn
from conftest import parallel_corpus, picture_corpus
from page_server import GIVE, a_page, browsing, picture
from playwright.sync_api import Page, expect

from babelmix.encoders.dual import make_dual
from babelmix.search import Index, Searcher, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.service import Keys, Settings, create_app

pytestmark = pytest.mark.slow

KEY = "reading-key-0123456789"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running service that asks for a key."""
    texts = parallel_corpus().passages["text"].to_pylist()
    encoder = make_dual("tiny-clip", texts, dimension=32, size=200)
    with Index.create(str(tmp_path_factory.mktemp("page") / "index"), encoder, "tiny-clip") as index:
        for corpus in (parallel_corpus(items=12), picture_corpus(items=6)):
            index_rows(index, encoder, rows_of_corpus(corpus))
        app = create_app(Searcher(index, encoder), Settings(keys=Keys({KEY: "read"})))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            server.should_exit = True
            thread.join()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    with browsing() as browser, a_page(browser, address) as (page, troubles):
        page.goto(address)
        # The first answer is that there is no key.
        page.locator("#ask input").fill(KEY)
        page.locator("#ask input").press("Enter")
        expect(page.locator("#first")).to_be_visible()
        yield page
    assert [
        t for t in troubles if not t.startswith("Failed to load resource: the server responded with a status of 4")
    ] == []


@pytest.mark.slow
def test_words_and_policies(page: Page) -> None:
    page.locator("#box").fill("Katze 3")
    page.locator("#box").press("Enter")
    expect(page.locator(".hit")).to_have_count(10)
    page.locator("label", has=page.locator("input[value=quota]")).click()
    expect(page.locator("#legend button")).not_to_have_count(0)
    assert "policy=quota" in page.url
    page.locator("#legend button[data-lang=de]").click()
    expect(page.locator(".hit .tag").first).to_have_text("German")
    assert set(page.locator(".hit .tag").all_text_contents()) == {"German"}
    page.goto(f"{page.url.split('?')[0]}?q=zzzz&mode=words")
    expect(page.locator("#empty")).to_be_visible()


@pytest.mark.slow
def test_an_example_side_by_side(page: Page) -> None:
    page.locator("#examples button").first.click()
    expect(page.locator(".hit")).to_have_count(20)
    assert "policy=compare" in page.url


def test_a_dropped_picture(page: Page) -> None:
    page.evaluate(GIVE, [picture(64, 64), "image/png", "drop"])
    expect(page.locator("#chip")).to_be_visible()
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.locator(".hit .tag").first).to_have_text("Picture")
    assert page.locator(".hit img").first.evaluate("image => image.complete && image.naturalWidth > 0")
