"""Screenshots of the search page for the documents: `page-search.png` and `page-phone.png`.

babelmix serve my-index &
python benchmarks/screenshots.py http://127.0.0.1:8765 'Wie speichere ich ein Bild?' 'save an image'

The first query is asked on a wide screen and the last one on a phone's, both with the policy `balanced`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from urllib.parse import urlencode

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
# Name, width and height in pixels.
SCREENS = (("page-search", 1100, 800), ("page-phone", 390, 844))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def main() -> None:
    """Ask, then take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of a running service")
    parser.add_argument("queries", nargs="+", help="in any language")
    parser.add_argument("--policy", default="balanced")
    parser.add_argument("--to", type=Path, default=IMAGES, help="the folder of the pictures")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="path of Chromium")
    given = parser.parse_args()
    if not given.browser:
        parser.error("there is no browser named chromium; give --browser")

    from playwright.sync_api import Error, sync_playwright

    given.to.mkdir(parents=True, exist_ok=True)
    queries = (given.queries[0], given.queries[-1])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.browser, args=ARGUMENTS)
        for (name, width, height), query in zip(SCREENS, queries, strict=True):
            # Without motion nothing is caught on its way.
            page = browser.new_page(viewport={"width": width, "height": height}, locale="en", reduced_motion="reduce")
            address = f"{given.url.rstrip('/')}/?{urlencode({'q': query, 'policy': given.policy})}"
            try:
                page.goto(address)
                shown = page.locator(".hit, #problem, #empty, #ask").locator("visible=true").first
                shown.wait_for()
            except Error as error:
                raise SystemExit(f"{address} cannot be opened: {error.message.splitlines()[0]}") from None
            if not page.locator(".hit").count():
                raise SystemExit(f"{address} shows no answers: {shown.inner_text().splitlines()[0]}")
            page.locator("#box").blur()
            file = given.to / f"{name}.png"
            page.screenshot(path=file)
            print(file)
        browser.close()


if __name__ == "__main__":
    main()
