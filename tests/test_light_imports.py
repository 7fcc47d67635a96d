"""Which packages are not imported: by a search, by help and lists, and by what reads finished audits.

Seconds depend on the machine, so nothing here measures them: the tests look at what is imported. The first one reads the modules'
own imports and names the chain that leads to a package. The others run what a user runs, and look at `sys.modules`.
"""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest
from conftest import WORDS, parallel_corpus

SOURCE = Path(__file__).resolve().parents[1] / "src"
TORCH = frozenset(
    {"torch", "sentence_transformers", "transformers", "datasets", "peft", "accelerate", "sentencepiece"}
)
HEAVY = TORCH | {"scipy", "matplotlib"}
SEARCH = HEAVY | {"polars", "pyarrow", "pandas"}
"""What the extra `search` does not install."""

DOORS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            "babelmix.cli.app", "babelmix.corpus", "babelmix.search", "babelmix.search.searcher", "babelmix.search.serving",
            "babelmix.search.service.app", *(
                f"babelmix.encoders.{name}"
                for name in (
                    "composing", "cured", "embed", "fingerprints", "kinds", "limits", "loading", "origin", "own_kinds",
                    "precision", "prompts", "removal", "runtime", "store", "towers",
                )
            ),
        ),
        SEARCH,
    ),
    **dict.fromkeys(
        (
            "babelmix.api.auditing", "babelmix.api.comparing", "babelmix.api.describing", "babelmix.api.gating",
            "babelmix.api.index_auditing", "babelmix.api.list_auditing", "babelmix.api.list_reports",
            "babelmix.api.making_queries", "babelmix.evaluation.gates", "babelmix.evaluation.lists",
            "babelmix.evaluation.run", "babelmix.evaluation.systems.run_file", "babelmix.experiment.audits",
            "babelmix.experiment.config", "babelmix.experiment.report", "babelmix.training.card", "babelmix.training.settings",
        ),
        HEAVY,
    ),
    # The products of vectors need torch itself.
    "babelmix.evaluation.systems.vectors": HEAVY - {"torch"},
}  # fmt: skip
"""For each module: the packages that its import must not import."""


@functools.cache
def parsed(name: str) -> ast.Module | None:
    """The code of a module of babelmix; None if there is no such module."""
    file = SOURCE.joinpath(*name.split("."))
    for place in (file.with_suffix(".py"), file / "__init__.py"):
        if place.is_file():
            return ast.parse(place.read_text("utf-8"))
    return None


@functools.cache
def homes(name: str) -> dict[str, str]:
    """The modules that a package imports when a name is asked of it: its `_HOMES`."""
    tree = parsed(name)
    for node in tree.body if tree is not None else ():
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == "_HOMES" and isinstance(node, ast.Assign):
            return {key: f"{name}.{home.partition(':')[0]}" for key, home in ast.literal_eval(node.value).items()}
    return {}


def run_at_import(body: Sequence[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run with a module: not those in functions, and not those for type checkers."""
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node
            case ast.If():
                yield from run_at_import(node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else node.body)
            case ast.With() | ast.ClassDef():
                yield from run_at_import(node.body)
            case ast.Try():
                yield from run_at_import([*node.body, *node.orelse, *node.finalbody])


@functools.cache
def imported(name: str) -> tuple[str, ...]:
    """The modules of babelmix that a module imports, and the packages."""
    found: list[str] = []
    tree = parsed(name)
    for node in run_at_import(tree.body) if tree is not None else ():
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
            continue
        package = str(node.module)
        for alias in node.names:
            inner = f"{package}.{alias.name}"
            found += [package, inner if parsed(inner) is not None else homes(package).get(alias.name, package)]
    outer = [part if part.startswith("babelmix") else part.partition(".")[0] for part in found]
    return tuple(dict.fromkeys(whole for part in [name, *outer] for whole in with_packages(part)))


def with_packages(name: str) -> Iterator[str]:
    """A module and the packages that it is in, which are imported before it."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def chains(door: str, forbidden: Collection[str]) -> list[str]:
    """How importing a module leads to forbidden packages; empty if it leads to none."""
    asked_by: dict[str, str | None] = {door: None}
    waiting, found = [door], []
    while waiting:
        name = waiting.pop(0)
        for other in imported(name):
            if other in forbidden:
                way, at = [other], name
                while at:
                    way.append(at)
                    at = asked_by[at] or ""
                found.append(" <- ".join(way))
            elif other not in asked_by:
                asked_by[other] = name
                if parsed(other) is not None:
                    waiting.append(other)
    return found


@pytest.mark.parametrize("door", DOORS)
def test_no_chain_of_imports_leads_to_a_heavy_package(door: str) -> None:
    assert parsed(door) is not None, f"there is no module {door}"
    assert chains(door, DOORS[door]) == []


def test_a_chain_is_found_and_named() -> None:
    found = chains("babelmix.training.trainer", TORCH)
    assert "torch <- babelmix.training.trainer" in found
    # A name that a package imports on first use.
    assert homes("babelmix.encoders")["load_encoder"] == "babelmix.encoders.loading"
    assert "babelmix.encoders.loading" in imported("babelmix.search.workers")


def loaded_after(code: str, folder: Path, *, packages: Collection[str]) -> list[str]:
    """Those of the packages that are imported once a process has run the code."""
    code = (
        f"{code}\nimport sys\nprint([name for name in {sorted(packages)!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1].replace("'", '"'))
    return found


COMMANDS = """
import sys
from babelmix.cli import main

for words in {lines!r}:
    sys.argv = ["babelmix", *words.split()]
    try:
        main()
    except SystemExit as error:
        assert not error.code, words
"""


def test_help_imports_neither_numpy_nor_pydantic(tmp_path: Path) -> None:
    names = (
        "audit", "train", "compare", "data", "data make-queries", "encoders",
        "encoders export", "index", "search", "serve", "debias", "frontier",
        "codeswitch", "mine",
    )  # fmt: skip
    lines = ["--help", "--version", *(f"{name} --help" for name in names)]
    assert loaded_after(COMMANDS.format(lines=lines), tmp_path, packages=SEARCH | {"numpy", "pydantic"}) == []


def test_lists_import_no_tables(tmp_path: Path) -> None:
    lines = ["data", "data --json", "encoders", "encoders --json"]
    assert loaded_after(COMMANDS.format(lines=lines), tmp_path, packages=SEARCH | {"numpy"}) == []


def test_tables_and_finished_audits_are_read_without_torch(tmp_path: Path, tiny_static) -> None:
    import babelmix as bm

    corpus = parallel_corpus(12)
    corpus.save(tmp_path / "corpus")
    for name in ("before", "after"):
        bm.audit(tiny_static, corpus, out=tmp_path / name)
    queries, passages = corpus.row_ids("queries"), corpus.row_ids("passages")
    lines = [f"{query} Q0 {passages[rank]} {rank + 1} {9 - rank} run" for query in queries for rank in range(3)]
    (tmp_path / "run.trec").write_text("\n".join(lines), encoding="utf-8")
    said = "The first {0} of this long story is here today. Another {0} may be green or red, and nobody knows why it is so. "
    texts = [
        said.format(word) * 2 + f"In the end every {word} is as old as the hills behind it." for word in WORDS["en"]
    ]
    rows = [json.dumps({"item": str(number), "lang": "en", "text": text}) for number, text in enumerate(texts)]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    code = COMMANDS.format(
        lines=[
            "data corpus", "compare demo --print", "compare before after", "audit -c corpus --run run.trec --out lists",
            "data make-queries texts.jsonl --out asked",
        ]
    )  # fmt: skip
    code += "\nimport babelmix as bm\nassert bm.check('before', ['multi/mAP < 0.001']).passed\n"
    assert loaded_after(code, tmp_path, packages=TORCH) == []


SEARCHES = """
import numpy as np

import babelmix.search.index
from babelmix.encoders.embed import encode_batch
from babelmix.search.index import Index
from babelmix.search.searcher import Searcher


class Encoder:
    prompts, max_seq_length, similarity_fn_name = {"query": "", "document": ""}, None, "cosine"

    def __init__(self, about):
        self.fingerprint, self.dimension, self.backend = about.fingerprint, about.dimension, about.backend

    def get_embedding_dimension(self):
        return self.dimension

    def encode_query(self, texts, **options):
        return np.random.default_rng(len(texts)).standard_normal((len(texts), self.dimension)).astype(np.float32)

    encode_document = encode_query


babelmix.search.index.fingerprint = lambda encoder: encoder.fingerprint
index = Index.open("index")
with Searcher(index, Encoder(index.about)) as searcher:
    assert encode_batch(searcher.encoder, ["a dog", "a cat"], "document").shape == (2, index.about.dimension)
    for policy in ("any", "balanced", "prefer=de", "only=de,en", "own=1"):
        for mode in ("dense", "words", "hybrid"):
            assert searcher.search("a dog", policy=policy, mode=mode, langs="de,en".split(","), query_langs="de")
"""


def test_a_search_imports_nothing_that_its_extra_does_not_install(tmp_path: Path, tiny_static) -> None:
    import babelmix as bm

    tiny_static.save(str(tmp_path / "model"))
    bm.build_index(parallel_corpus(12), tmp_path / "index", model=str(tmp_path / "model"))
    assert loaded_after(SEARCHES, tmp_path, packages=SEARCH) == []
