"""What the tests of the page stand on: a browser, and a stand-in for the service with canned answers and failures."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import png

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if not (CHROMIUM := shutil.which("chromium")):
    pytest.skip("there is no browser named chromium on this machine", allow_module_level=True)

PAGE = Path(__file__).resolve().parents[1] / "src" / "babelmix" / "search" / "service" / "page.html"

TRAP = "<img src=x onerror=\"document.title='run'\"> is not run"

# Item, language, text (None: a picture) and score of every row, best first.
ROWS: list[tuple[str, str, str | None, float]] = [
    ("save-image", "de", "Ein Bild speichern: Wählen Sie im Kontextmenü den Eintrag „Bild speichern unter“.", 0.912),
    ("export-image", "de", "Bilder lassen sich als PNG, WebP oder JPEG ausgeben.", 0.897),
    ("trap", "de", TRAP, 0.881),
    ("save-image", "en", "Save an image: choose “Save image as” in the context menu.", 0.874),
    ("export-image", "en", "Images can be written as PNG, WebP or JPEG.", 0.868),
    (
        "save-image",
        "fr",
        "Enregistrer une image : choisissez « Enregistrer l’image sous » dans le menu contextuel.",
        0.861,
    ),
    ("save-image", "ar", "حفظ صورة: اختر «حفظ الصورة باسم» من القائمة المختصرة (PNG أو WebP).", 0.858),
    ("save-image", "ja", "画像を保存する：コンテキストメニューで「名前を付けて画像を保存」を選びます。", 0.852),
    ("save-image", "he", "שמירת תמונה: בחרו „שמירת תמונה בשם” בתפריט ההקשר.", 0.847),
    ("long", "de", " ".join(f"Satz {n} einer langen Seite über das Speichern von Bildern." for n in range(60)), 0.841),
    ("save-image", "hi", "छवि सहेजें: संदर्भ मेनू में “छवि इस रूप में सहेजें” चुनें।", 0.836),
    ("save-image", "zh", "保存图像：在右键菜单中选择“图片另存为”。", 0.829),
    ("save-image", "zxx", None, 0.402),
    ("export-image", "zxx", None, 0.377),
]
# Metadata of some rows: a title with the address of a page, one that would run a script, one of no place, and an address alone.
TITLES: dict[tuple[str, str], dict[str, str]] = {
    ("save-image", "de"): {"title": "Bilder speichern", "url": "https://help.example/de/save?a=1&b=2"},
    ("export-image", "de"): {"title": "Bilder ausgeben", "url": "javascript:document.title='run'"},
    ("trap", "de"): {"title": "<b onclick=alert()>Falle</b>", "url": "//help.example/relative"},
    ("save-image", "en"): {"url": "http://help.example/en/save"},
    ("save-image", "ar"): {"title": "حفظ صورة", "url": "https://help.example/ar/save"},
    ("export-image", "en"): {"title": " ", "url": "data:text/html,<script>document.title='run'</script>"},
}

# What is offered to search with.
EXAMPLES = [("Wie speichere ich ein Bild?", "de"), ("حفظ صورة", "ar"), ("<img src=x onerror=alert()>", "en")]

COLOURS = {"save-image": (210, 96, 58), "export-image": (47, 143, 131)}


ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

# Give the page a file, by a `drop` or a `paste`.
GIVE = """([data, type, name]) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], 'file', { type }));
    const how = { dataTransfer: carried, clipboardData: carried, bubbles: true, cancelable: true };
    if (name === 'drop') document.body.dispatchEvent(new DragEvent('dragover', how));
    document.body.dispatchEvent(name === 'drop' ? new DragEvent(name, how) : new ClipboardEvent(name, how));
}"""

# The contrast of each kind of text with what is behind it, by WCAG's formula.
CONTRASTS = """() => {
    const brush = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const luminance = colour => {
        brush.fillStyle = colour;
        brush.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour !== 'rgba(0, 0, 0, 0)' || !element.parentElement ? colour : ground(element.parentElement);
    };
    const kinds = '.tag, .text, .title, .title a, .also, .alone-here, h2, .meta dd, .meta dt, .score, #status, .solid, .pick bdi,'
        + ' label';
    const texts = document.querySelectorAll(kinds);
    return [...texts].map(element => {
        const [one, other] = [getComputedStyle(element).color, ground(element)].map(luminance);
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        return [contrast, element.textContent.slice(0, 40)];
    });
}"""


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser, with nothing on its screen."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        # Limits that only end a hang.
        sync_api.expect.set_options(timeout=120_000)
        yield browser
        browser.close()


@contextmanager
def a_page(browser: Any, address: str) -> Iterator[tuple[Any, list[str]]]:
    """A page without a past, and what its browser complains of or asks of others than `address`."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, locale="en", reduced_motion="reduce")
    context.set_default_timeout(120_000)
    page, troubles = context.new_page(), []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    own = (f"{address}/", "data:", f"blob:{address}")
    page.on("request", lambda request: None if request.url.startswith(own) else troubles.append(request.url))
    try:
        yield page, troubles
    finally:
        context.close()


def picture(width: int, height: int) -> str:
    """A plain picture, as base64 of a PNG."""
    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (width, height), (20, 120, 220)).save(sink, "PNG")
    return base64.b64encode(sink.getvalue()).decode()


@dataclass
class Stand:
    """What the server is to do, and what it was asked.

    `failure` is the status and body of every answer but the page; `key` is asked for if there is one; `pictures` says
    whether a picture may be the query; `modes` are those of the index; `gates` hold back the
    answers to queries of their names until they are set.
    """

    address: str = ""
    failure: tuple[int, str] | None = None
    key: str = ""
    pictures: bool = True
    modes: tuple[str, ...] = ("dense", "words", "hybrid")
    gates: dict[str, threading.Event] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)


def policy_of_page(page: str) -> str:
    """The Content-Security-Policy of the service, with the hashes of the page's style and script."""

    def hashed(tag: str) -> str:
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data: blob:; connect-src 'self'; style-src {hashed('style')}; "
        f"script-src {hashed('script')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def hits() -> list[dict[str, Any]]:
    return [
        {
            "id": f"00000000-0000-0000-0000-{place:012}",
            "item": item,
            "lang": lang,
            "group": "pictures" if item == "save-image" else item,
            "text": text,
            "picture": None if text else f"data:image/png;base64,{base64.b64encode(png(COLOURS[item])).decode()}",
            "score": score,
            "fields": {"year": 2020 + place, "section": "menu", **TITLES.get((item, lang), {})},
            "also": [],
        }
        for place, (item, lang, text, score) in enumerate(ROWS)
    ]


def chosen(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The canned answers under the policy asked for: not the true policies, but with their effect on languages."""
    found = [] if asked.get("query") == "nothing" else hits()
    policy, _, reads = asked.get("policy", "any").partition(",reads=")
    name, _, given = policy.partition("=")
    langs = given.partition(":")[0].split(",")
    if asked.get("show") == "mine":
        for hit in found:
            others = {one["lang"] for one in found if one["item"] == hit["item"]} - {hit["lang"], "zxx"}
            hit["also"] = sorted(others)
    if reads:
        found = [hit for hit in found if hit["lang"] in reads.split(",")]
    if name == "only":
        found = [hit for hit in found if hit["lang"] in langs]
    if name == "prefer":
        found.sort(key=lambda hit: hit["lang"] not in langs)
    if name in ("balanced", "quota"):
        seen: list[str] = []
        for hit in found:
            seen.append(hit["lang"])
            hit["turn"] = seen.count(hit["lang"])
        found.sort(key=lambda hit: hit.pop("turn"))
    if asked.get("once"):
        found = list({hit["item"]: hit for hit in reversed(found)}.values())[::-1]
    if "image" in asked:
        found.sort(key=lambda hit: hit["lang"] != "zxx")
    return found[: asked.get("k", 10)]


def about(stand: Stand) -> dict[str, Any]:
    langs = [lang for _, lang, *_ in ROWS]
    return {
        "encoder": "canned", "similarity": "cosine", "dimension": 384, "rows": len(ROWS),
        "langs": {lang: langs.count(lang) for lang in sorted(set(langs))},
        "columns": {"year": "integer", "section": "text"}, "modes": stand.modes,
        "policies": ["any", "balanced", "own", "quota", "prefer", "only"], "pictures": stand.pictures, "detects": True,
        "writable": False, "version": "0",
    }  # fmt: skip


def handler_of(stand: Stand) -> type[BaseHTTPRequestHandler]:
    page = PAGE.read_text(encoding="utf-8")

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: str, kind: str = "application/json", **headers: str) -> None:
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(data)

        def api(self, result: dict[str, Any]) -> None:
            if stand.key and self.headers["Authorization"] != f"Bearer {stand.key}":
                self.answer(401, json.dumps({"error": "This key is not known; give another."}))
            elif stand.failure:
                self.answer(*stand.failure)
            else:
                self.answer(200, json.dumps(result))

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/":
                self.answer(200, page, "text/html", Content_Security_Policy=policy_of_page(page))
            elif path == "/about":
                self.api(about(stand))
            elif path == "/examples":
                self.api({"examples": [{"text": text, "lang": lang} for text, lang in EXAMPLES]})
            else:
                self.answer(404, json.dumps({"error": "There is nothing here."}))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stand.asked.append(asked)
            if gate := stand.gates.get(asked.get("query", "")):
                gate.wait()
            try:
                mode = asked.get("mode", "dense")
                self.api({"hits": chosen(asked), "policy": asked["policy"], "mode": mode, "took_ms": 1.5})
            except (BrokenPipeError, ConnectionResetError):
                pass  # The page has asked for something newer.

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving() -> Iterator[Stand]:
    """The stand-in on a free port of this machine."""
    stand = Stand()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(stand))
    stand.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stand
    finally:
        for gate in stand.gates.values():
            gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
