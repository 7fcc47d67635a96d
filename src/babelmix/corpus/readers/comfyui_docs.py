"""`comfyui-docs`: documentation of ComfyUI, from the installed package `comfyui-embedded-docs`.

The package has about a thousand pages in 15 languages, as Markdown files of the same outline (GPL-3.0; babelmix reads them in
place and does not redistribute them). The query is the first paragraph of a page. The passage is the rest: the descriptions of
inputs and outputs, and the notes. All pages say that their text is AI-generated; `meta["machine_made"]` lists the languages.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from babelmix._cache import keeping, say_made_again
from babelmix._files import cache_folder
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._parallel import ParallelPair, corpus_from_pairs
from babelmix.corpus.storage import is_corpus_folder
from babelmix.errors import ReaderError, require

LAYOUT = 3
"""The version of the parser. A cached corpus of another version is not used."""

_GENERATED = re.compile(r"github\.com/Comfy-Org/embedded-docs")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_HTML = re.compile(r"<[^>]+>")
_RULE = re.compile(r"^\|?[\s:|-]+\|?$")
_SPACE = re.compile(r"\s+")


@dataclass
class Page:
    """A Markdown page: its title, first paragraph, table rows and other paragraphs."""

    title: str = ""
    opening: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    generated: bool = False

    @property
    def body(self) -> str:
        """The page without its first paragraph, as one text. Names and types of parameters are left out."""
        return " ".join([description for _, description in self.rows] + self.notes)


def plain_text(markdown: str) -> str:
    """Remove inline Markdown, and reduce white space to single spaces."""
    text = _HTML.sub(" ", _LINK.sub(r"\1", markdown)).replace("`", "").replace("**", "").replace("\\_", "_")
    return _SPACE.sub(" ", text).strip()


def parse_page(markdown: str) -> Page:
    """Parse a page line by line.

    A page has headings, paragraphs, tables with a description in the second column, and a block quote that says that the text is
    AI-generated. Code blocks, and the fingerprint after a horizontal rule, are dropped.
    """
    page = Page()
    paragraph: list[str] = []
    in_code = in_table = False

    def close_paragraph() -> None:
        text = plain_text(" ".join(paragraph))
        paragraph.clear()
        if not text:
            return
        if not page.opening:
            page.opening = text
        else:
            page.notes.append(text)

    for line in markdown.splitlines():
        stripped = line.strip()
        if stripped.startswith("```"):
            in_code = not in_code
            continue
        if in_code:
            continue
        if stripped.startswith(">"):
            page.generated = page.generated or bool(_GENERATED.search(stripped))
            continue
        if stripped == "---":
            break
        if stripped.startswith("|"):
            close_paragraph()
            cells = [plain_text(cell) for cell in stripped.strip("|").split(" | ")]
            if _RULE.match(stripped):
                in_table = True
            elif in_table and len(cells) > 1 and len(cells[1]) > 1:
                page.rows.append((cells[0], cells[1]))
            continue
        in_table = False
        if stripped.startswith("#"):
            close_paragraph()
            if not page.title:
                page.title = plain_text(stripped.lstrip("#"))
        elif stripped:
            paragraph.append(stripped.lstrip("-* ") if stripped[:2] in ("- ", "* ") else stripped)
        else:
            close_paragraph()
    close_paragraph()
    return page


def read(path: str | None = None, *, rows: bool = False) -> Corpus:
    """Read the documentation pages.

    Args:
        path: a folder with one folder for each page; by default that of the installed package.
        rows: add an item for each parameter, as further pairs for training: the query is "title: parameter", and the passage is
            the description. The group is that of the page.

    Raises:
        MissingExtraError: the package is not installed.
        ReaderError: the folder holds no pages.

    """
    if path is not None:
        return _parse(Path(path), rows, version="unknown")
    package = require("comfyui_embedded_docs", "offline", "The corpus comfyui-docs")
    version = importlib.metadata.version("comfyui-embedded-docs")
    folder = cache_folder() / "corpora" / f"comfyui-docs-{version}-{LAYOUT}{'-rows' if rows else ''}"
    if is_corpus_folder(folder):
        try:
            return Corpus.load(folder)
        except ReaderError:
            say_made_again("corpora", folder)
            shutil.rmtree(folder, ignore_errors=True)
    corpus = _parse(Path(str(package.__file__)).parent / "docs", rows, version)
    with keeping("corpora"):
        corpus.save(folder, keep_existing=True)
    return corpus


def _parse(root: Path, rows: bool, version: str) -> Corpus:
    pages = sorted(folder for folder in root.iterdir() if (folder / "en.md").is_file()) if root.is_dir() else []
    if not pages:
        raise ReaderError("holds no folders with an en.md: give the docs folder of comfyui-embedded-docs", file=root)
    pairs: list[ParallelPair] = []
    generated: Counter[str] = Counter()
    for folder in pages:
        parsed = {file.stem: parse_page(_decode(file)) for file in sorted(folder.glob("*.md"))}
        generated.update(lang for lang, page in parsed.items() if page.generated)
        pairs.append(
            ParallelPair(
                item=folder.name,
                group=folder.name,
                query={lang: page.opening for lang, page in parsed.items()},
                passage={lang: page.body for lang, page in parsed.items()},
            )
        )
        if rows:
            pairs += _row_pairs(folder.name, parsed)
    return corpus_from_pairs(
        pairs,
        name="comfyui-docs",
        source_lang="en",
        meta={
            "source": f"comfyui-embedded-docs {version}",
            "licence": "GPL-3.0",
            "machine_made": sorted(generated),
            "machine_made_note": "the pages themselves say: this documentation was AI-generated",
            "rows": rows,
        },
    )


def _row_pairs(name: str, pages: dict[str, Page]) -> list[ParallelPair]:
    english = pages["en"]
    # A translation with another number of rows cannot be aligned.
    aligned = {lang: page for lang, page in pages.items() if len(page.rows) == len(english.rows)}
    return [
        ParallelPair(
            item=f"{name}#{number}",
            group=name,
            query={lang: f"{page.title}: {page.rows[number][0]}" for lang, page in aligned.items()},
            passage={lang: page.rows[number][1] for lang, page in aligned.items()},
        )
        for number in range(len(english.rows))
    ]


def _decode(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ReaderError(f"is not UTF-8 at byte {error.start}", file=file) from error
