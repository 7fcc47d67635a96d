"""Every page there is, in a real browser: it shows what it is for, and the browser complains of nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

import uvicorn
from conftest import parallel_corpus
from page_server import a_page, browsing
from playwright.sync_api import Browser, expect

from babelmix.encoders import static
from babelmix.evaluation import audit
from babelmix.experiment import write_audit_report
from babelmix.search import Index, Searcher, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.service import Settings, create_app
from babelmix.search.service.app import _hashes

pytestmark = pytest.mark.slow

VIOLATIONS = """
    window.violations = [];
    document.addEventListener('securitypolicyviolation', event => window.violations.push(event.effectiveDirective));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running service."""
    corpus = parallel_corpus(6)
    encoder = static.from_scratch(corpus.passages["text"].to_pylist(), vocabulary=100, dimension=4)
    with Index.create(str(tmp_path_factory.mktemp("pages") / "index"), encoder, "tiny") as index:
        index_rows(index, encoder, rows_of_corpus(corpus))
        app = create_app(Searcher(index, encoder), Settings())
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            server.should_exit = True
            thread.join()


def test_the_description_of_the_api(browser: Browser, address: str) -> None:
    with a_page(browser, address) as (page, troubles):
        page.add_init_script(VIOLATIONS)
        page.goto(f"{address}/docs")
        for path in ("/search", "/items", "/items/{item}", "/about", "/health", "/metrics"):
            expect(page.locator(f'.opblock-summary-path[data-path="{path}"]').first).to_be_visible()
        page.locator('.opblock:has([data-path="/search"]) button').first.click()
        expect(page.get_by_text("words in any language").first).to_be_visible()
        # A request from there is let through too.
        health = page.locator('.opblock:has([data-path="/health"])')
        health.locator("button").first.click()
        health.get_by_role("button", name="Try it out").click()
        health.get_by_role("button", name="Execute").click()
        expect(health.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
        assert page.evaluate("window.violations") == []
    assert troubles == []


def test_the_page_to_search_on(browser: Browser, address: str) -> None:
    with a_page(browser, address) as (page, troubles):
        page.add_init_script(VIOLATIONS)
        page.goto(address)
        expect(page.locator("#first")).to_contain_text("24 rows in 4 languages")
        assert page.evaluate("window.violations") == []
    assert troubles == []


def test_the_description_for_programs(browser: Browser, address: str) -> None:
    with a_page(browser, address) as (page, troubles):
        answer = page.goto(f"{address}/openapi.json")
        assert answer is not None
        assert "/search" in json.loads(answer.text())["paths"]
    assert [trouble for trouble in troubles if "favicon" not in trouble] == []


def test_a_report_as_a_file(browser: Browser, tmp_path: Path) -> None:
    corpus = parallel_corpus(6)
    encoder = static.from_scratch(corpus.passages["text"].to_pylist(), vocabulary=100, dimension=4)
    write_audit_report(audit(encoder, corpus, name="<b>x", store=False), tmp_path / "report.html")
    place = (tmp_path / "report.html").as_uri()
    with a_page(browser, place.removesuffix("/report.html")) as (page, troubles):
        page.goto(place)
        expect(page.locator("h1")).to_contain_text("<b>x")
        expect(page.locator("table").locator("visible=true").first).to_be_visible()
    assert troubles == []


@pytest.mark.slow
def test_what_a_browser_takes_for_a_script_has_its_digest() -> None:
    # An element without text must not take the next one's along.
    html = '<script src="a.js"></script>\n<!-- <script>no</script> -->\n<SCRIPT type="x">a < b && "&amp;"</SCRIPT>'
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(b'a < b && "&amp;"').digest()).decode()
    assert _hashes(html, "script") == f"'sha256-{digest}'"
