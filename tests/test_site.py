"""The documents: links lead somewhere, the site builds, and asks nothing of anyone else."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from surface import INTERFACE, PUBLIC

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_between_files_lead_somewhere(document: Path) -> None:
    """As they are read on a code host; what stands in code is no link."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (document.parent / path).resolve() if path else document
        assert file.is_file(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_the_page_of_an_experiments_keys_is_up_to_date() -> None:
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))["experiments"]()
    assert (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8") == made, "run  python docs/generate.py"
    assert made.count("\n## `[") > 10
    assert "| `drop_leaks` | `false` | " in made


class Loaded(HTMLParser):
    """What a browser would load by itself, or follow from a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.files: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.files.add(given.get("href") or "")
        if tag in ("script", "img", "iframe", "source", "audio", "video"):
            self.files.add(given.get("src") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    place = tmp_path_factory.mktemp("site")
    pages = [sys.executable, "docs/generate.py"]
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    for command in (pages, build):
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.mark.slow
def test_every_page_loads_files_of_the_site_only(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        for file in Loaded(page.read_text(encoding="utf-8")).files - {""}:
            if page.name == "404.html":  # which has to work from anywhere
                assert file.startswith("/"), file
            else:
                assert (page.parent / file.partition("?")[0].partition("#")[0]).exists(), f"{page.name}: {file}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\'\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.name


@pytest.mark.slow
def test_every_document_is_a_page(site: Path) -> None:
    for document in (ROOT / "docs").glob("*.md"):
        assert (site / f"{document.stem}.html").is_file(), document.name
    home = (site / "index.html").read_text(encoding="utf-8")
    assert home.count("<table>") == 1
    assert 'href="results.html"' in home
    assert not (site / "generate.py").exists()
    for page in site.glob("*.html"):
        assert page.read_text(encoding="utf-8").count("<h1") == 1, page.name


@pytest.mark.slow
def test_everything_public_is_in_the_reference(site: Path) -> None:
    anchors = "".join(page.read_text(encoding="utf-8") for page in site.glob("api*.html"))
    shown = {name.split(".")[-1] for name in re.findall(r'id="(babelmix\.[\w.]+)"', anchors)}
    commands = (site / "cli.html").read_text(encoding="utf-8")
    keys = (site / "experiments.html").read_text(encoding="utf-8")
    section, command = "", ""
    for line in (PUBLIC.read_text(encoding="utf-8") + INTERFACE.read_text(encoding="utf-8")).splitlines():
        section = line[2:] if line.startswith("# ") else section
        if section.startswith("babelmix") and re.match(r"(class )?[^\W_]", line):
            assert re.match(r"(?:class )?(\w+)", line)[1] in shown, line
        elif section == "the command line" and line.startswith("babelmix "):
            command = commands[commands.index(f'id="{line.replace(" ", "-")}"') :] if "--" not in line else commands
        elif section == "the command line" and line.startswith("  -"):
            assert line.split()[0].split("/")[0] in command.split("<h2")[0], line
        elif section.startswith("an experiment") and "." in line:
            assert f"<code>{line.split('.')[-1]}</code>" in keys, line
