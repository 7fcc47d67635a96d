"""Screenshots for the documents: the search page (`page-search.png`, `page-phone.png`), and the reports of audits.

babelmix serve my-index &
python benchmarks/screenshots.py http://127.0.0.1:8765 'Wie speichere ich ein Bild?' 'save an image'

The first query is asked on a wide screen, under `any` and `balanced` side by side, and the last one on a phone's, under
`balanced`.

babelmix debias static-e5 --on xquad-r=PATH --langs ar,de,en,es,zh --out static-e5-debiased
babelmix audit static-e5-debiased static-e5 -c xquad-r=PATH --langs ar,de,en,es,zh --out audits
python benchmarks/screenshots.py --audit audits/static-e5/report.html --comparison audits/report.html

These are `report-audit.png`, what a wide screen shows first and the next screen below it, and `report-comparison.png`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
# Name, width and height in pixels, and policy.
SCREENS = (("page-search", 1280, 900, "compare"), ("page-phone", 390, 844, "balanced"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def main() -> None:
    """Ask, then take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="of a running service")
    parser.add_argument("queries", nargs="*", help="in any language")
    parser.add_argument("--audit", type=Path, help="the report of an audit")
    parser.add_argument("--comparison", type=Path, help="the report of a comparison")
    parser.add_argument("--to", type=Path, default=IMAGES, help="the folder of the pictures")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="path of Chromium")
    given = parser.parse_args()
    if not given.browser:
        parser.error("there is no browser named chromium; give --browser")

    from playwright.sync_api import sync_playwright

    given.to.mkdir(parents=True, exist_ok=True)
    if bool(given.url) != bool(given.queries) or not (given.url or given.audit or given.comparison):
        parser.error("give the url of a service and queries, or --audit or --comparison with the file of a report")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.browser, args=ARGUMENTS)
        for report, name, height in (
            (given.audit, "report-audit", 1850),
            (given.comparison, "report-comparison", 780),
        ):
            if report is not None:
                page = browser.new_page(viewport={"width": 1180, "height": height}, locale="en")
                page.goto(report.resolve().as_uri())
                file = given.to / f"{name}.png"
                page.screenshot(path=file)
                print(file)
        if given.url:
            _search_pages(browser, given)
        browser.close()


def _search_pages(browser: Browser, given: argparse.Namespace) -> None:
    """Ask on each screen, and take its screenshot."""
    from playwright.sync_api import Error

    queries = (given.queries[0], given.queries[-1])
    for (name, width, height, policy), query in zip(SCREENS, queries, strict=True):
        # Without motion nothing is caught on its way.
        page = browser.new_page(viewport={"width": width, "height": height}, locale="en", reduced_motion="reduce")
        address = f"{given.url.rstrip('/')}/?{urlencode({'q': query, 'policy': policy})}"
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


if __name__ == "__main__":
    main()
