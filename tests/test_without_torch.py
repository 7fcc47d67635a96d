"""Searching and serving with the packages of `babelmix[search]` alone: no torch, no tables.

A folder holds links to these packages of the test environment. A Python that sees only this folder and the standard library opens
an index that was made with torch.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import httpx
import pytest
from conftest import parallel_corpus
from packaging.requirements import Requirement

pytest.importorskip("qdrant_edge", reason="the extra 'search' is not installed")
pytest.importorskip("fastapi", reason="the extra 'search' is not installed")
pytest.importorskip("onnxruntime", reason="the extra 'search' is not installed")

from babelmix.search import MODES, POLICIES, build_index, open_index

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
ABSENT = ("torch", "sentence_transformers", "transformers", "polars", "pyarrow", "scipy", "datasets", "openvino")
NAMED = ("any", "balanced", "equal", "adaptive", "own=3", "quota=2", "prefer=de,fr", "only=de,ja")


def installed(extra: str) -> dict[str, Distribution]:
    """The distributions that an extra of babelmix installs, with all that they need, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"][extra])]
    found: dict[str, Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        try:
            found[name] = distribution(wanted.name)
        except PackageNotFoundError:
            continue  # for another system
        for line in found[name].requires or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": one}) for one in ("", *wanted.extras)):
                waiting.append(inner)
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a Python that has `babelmix[search]` alone."""
    farm = tmp_path_factory.mktemp("only-search")
    for one in (*installed("search").values(), distribution("babelmix")):
        for file in one.files or ():
            top = file.parts[0]
            source = Path(str(one.locate_file(top)))
            if top not in ("..", "__pycache__") and not top.endswith(".pth") and source.exists():
                (farm / top).unlink(missing_ok=True)
                (farm / top).symlink_to(source)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(farm)])}
    return [sys.executable, "-S", "-W", "error"], environment


def run(python: tuple[list[str], dict[str, str]], *words: str) -> subprocess.CompletedProcess[str]:
    command, environment = python
    return subprocess.run([*command, *words], env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """An index whose rows and queries are embedded by an exported graph."""
    folder = tmp_path_factory.mktemp("index") / "toy"
    build_index(parallel_corpus(), str(folder), model=str(tiny_bert), backend="onnx-fp32")
    with open_index(str(folder)) as searcher:  # the export is kept in the cache
        assert searcher.search("Katze", k=3)
    return folder


def test_the_environment_has_no_torch(python: tuple[list[str], dict[str, str]]) -> None:
    code = (
        "import importlib.util, numpy, onnxruntime, tokenizers, fastapi, qdrant_edge, PIL\n"
        f"print([name for name in {ABSENT} if importlib.util.find_spec(name)])"
    )
    done = run(python, "-c", code)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


SEARCH = f"""
import json, sys
import babelmix as bm
found = {{}}
with bm.open_index(sys.argv[1]) as index:
    for policy in {NAMED}:
        for mode in {MODES}:
            hits = index.search("Katze Hund 5", k=5, policy=policy, mode=mode, query_langs="de")
            found[policy + " " + mode] = [[hit.item, hit.lang, hit.score] for hit in hits]
print(json.dumps([found, sorted(set({ABSENT}) & set(sys.modules))]))
"""


def test_an_index_is_searched_under_every_policy_and_in_every_mode(
    python: tuple[list[str], dict[str, str]], index: Path
) -> None:
    assert {name.partition("=")[0] for name in NAMED} == set(POLICIES)
    done = run(python, "-c", SEARCH, str(index))
    assert done.returncode == 0, done.stderr
    found, imported = json.loads(done.stdout)
    assert imported == []
    assert len(found) == len(POLICIES) * len(MODES)
    with open_index(str(index)) as searcher:
        for name, hits in found.items():
            policy, mode = name.split()
            answer = searcher.search("Katze Hund 5", k=5, policy=policy, mode=mode, query_langs="de")
            assert [hit[:2] for hit in hits] == [[hit.item, hit.lang] for hit in answer], name
            assert [hit[2] for hit in hits] == pytest.approx([hit.score for hit in answer], abs=1e-6), name


def test_the_command_searches(python: tuple[list[str], dict[str, str]], index: Path) -> None:
    done = run(python, "-m", "babelmix", "search", "Katze Hund", "--in", str(index), "-k", "3")
    assert done.returncode == 0, done.stderr
    assert "Katze" in done.stdout


@pytest.fixture
def address(python: tuple[list[str], dict[str, str]], index: Path) -> Iterator[str]:
    """The address of a service of the index."""
    command, environment = python
    with subprocess.Popen(
        [*command, "-m", "babelmix", "serve", str(index), "--port", "0"],
        env=environment, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if " is served at " in line:
                break
        else:
            pytest.fail(f"the service ends: {said}")
        yield said.split(" is served at ")[1].split()[0]
        process.terminate()
        process.communicate()


def test_an_index_is_served_and_written(address: str) -> None:
    with httpx.Client(base_url=address, timeout=60) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "<html" in page.text
        row = {"item": "new", "lang": "de", "text": "Katze Hund 777"}
        assert client.post("/items", json={"rows": [row]}).status_code == 200
        found = client.post("/search", json={"query": "Katze Hund 777", "k": 1}).json()["hits"]
        assert [hit["item"] for hit in found] == ["new"]
        assert client.delete("/items/new").status_code == 200
        found = client.post("/search", json={"query": "Katze Hund 777", "k": 1}).json()["hits"]
        assert [hit["item"] for hit in found] != ["new"]


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        # Those that need torch do not name the smaller extra `data` first.
        (["audit", "e5-small-offline", "-c", "docs/shop.csv"], "torch", "train"),
        (["train", "-c", "docs/shop.csv", "--model", "static"], "torch", "train"),
        (["compare", "demo"], "torch", "train"),
        (["mine", "e5-small-offline", "-c", "docs/shop.csv", "--out", "nowhere"], "torch", "train"),
        (["frontier", "e5-small-offline", "-c", "docs/shop.csv"], "torch", "train"),
        (["doctor", "e5-small-offline", "-c", "docs/shop.csv"], "torch", "train"),
        (["encoders", "export", "e5-small-offline", "--to", "nowhere"], "torch", "train"),
        (["audit", "-c", "docs/shop.csv", "--run", "docs/shop.csv"], "polars|pyarrow", "data"),
        (["data", "docs/shop.csv"], "polars|pyarrow", "data"),
    ],
)
def test_what_is_missing_is_one_sentence(
    words: list[str], package: str, extra: str, python: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    command, environment = python
    done = subprocess.run(
        [*command, "-m", "babelmix", *words], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert done.stdout == ""
    said = rf"error: .* needs the package '({package})': run  pip install 'babelmix\[({extra})\]'\n"
    assert re.fullmatch(said, done.stderr), done.stderr


def test_a_reranker_in_this_process_needs_torch(
    python: tuple[list[str], dict[str, str]], index: Path, tmp_path: Path
) -> None:
    done = run(python, "-m", "babelmix", "search", "Katze", "--in", str(index), "--rerank", str(tmp_path))
    said = "A reranker in this process needs the package 'sentence_transformers': run  pip install 'babelmix[train]'"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {said}\n")


@pytest.mark.parametrize("words", [["--help"], ["search", "--help"], ["serve", "--help"], ["encoders"]])
def test_what_needs_no_more_works(words: list[str], python: tuple[list[str], dict[str, str]]) -> None:
    done = run(python, "-m", "babelmix", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_model_that_is_not_exported_is_told(
    python: tuple[list[str], dict[str, str]], index: Path, tmp_path: Path
) -> None:
    command, environment = python
    without = {**environment, "BABELMIX_CACHE": str(tmp_path)}
    done = run((command, without), "-m", "babelmix", "search", "Katze", "--in", str(index))
    assert done.returncode == 1
    assert "babelmix encoders export" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_exported_encoder_goes_to_another_machine(
    python: tuple[list[str], dict[str, str]], index: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    from babelmix.api.exporting import export_model

    export_model(str(tiny_bert), tmp_path / "export", backend="onnx-fp32")
    command, environment = python
    without = {**environment, "BABELMIX_CACHE": str(tmp_path / "cache")}
    where = ["--in", str(index), "--model", str(tmp_path / "export")]
    done = run((command, without), "-m", "babelmix", "search", "Katze", *where)
    assert done.returncode == 0, done.stderr
    assert "Katze" in done.stdout
