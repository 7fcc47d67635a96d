"""The benchmarks run as a suite, and what grows is measured, kept and drawn."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.evaluation import Audit, rank_table

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
TABLE = "print('| a | b |'); print('|---|---|'); print('| 1 | 2 |')"


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(name)


def test_every_benchmark_is_there_with_its_options_and_its_place(monkeypatch) -> None:
    suite = module("suite", monkeypatch)
    marked = set(re.findall(r"^<!-- ([\w-]+) -->$", (ROOT / "docs" / "benchmarks.md").read_text(), re.MULTILINE))
    written = {"machine"}
    for name, one in suite.BENCHMARKS.items():
        sources = []
        for command in suite.commands_of(one, Path("/data"), one.quick):
            if command[1] == "-m":
                continue
            source = Path(command[1]).read_text(encoding="utf-8")
            sources.append(source)
            for word in command[2:]:
                assert not word.startswith("--") or f'"{word}"' in source, f"{name}: {word}"
                assert "{" not in word
        parts = {one.part} if one.part else {part for part in marked if f'"{part}"' in "".join(sources)}
        # It writes a table for each number of languages.
        parts |= {part for part in marked if name == "balanced" and part.startswith("balanced-")}
        assert parts <= marked
        # These write into other documents.
        assert parts or name in ("encoders", "fusion", "policies", "published", "readers", "reranking", "switch-over")
        written |= parts
    # Faults are a check, not a measurement.
    assert written | {"faults"} == marked


def test_the_minutes_of_all_are_the_sum(monkeypatch) -> None:
    suite = module("suite", monkeypatch)
    last = suite.listed(None).splitlines()[-1]
    assert last.split()[:2] == ["all", f"{sum(one.minutes for one in suite.BENCHMARKS.values()):g}"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The suite with four small benchmarks."""
    suite, record = module("suite", monkeypatch), module("record", monkeypatch)
    (tmp_path / "data" / "there").mkdir(parents=True)
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- machine -->\n<!-- /machine -->\n\n<!-- one -->\nwhat was here\n<!-- /one -->\n")
    scripts = {
        "good.py": f"import sys; print('# Title', sys.argv[1]); {TABLE}",
        "bad.py": "import sys; print('half a table |'); sys.exit('no good')",
        "slow.py": "import time; time.sleep(60)",
        "silent.py": "print('nothing')",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
    made = suite.Benchmark
    monkeypatch.setattr(suite, "BENCHMARKS", {
        "good": made(1, (("good.py", "{data}/there"), ("good.py", "second")), part="one", data=("there",)),
        "bad": made(1, (("bad.py",),), part="one"),
        "slow": made(0, (("slow.py",),)),
        "silent": made(1, (("silent.py",),), part="one"),
        "elsewhere": made(1, (("good.py",),), data=("not there",)),
        "lacking": made(1, (("good.py",),), needs=("no_such_module",)),
    })  # fmt: skip
    monkeypatch.setattr(suite, "HERE", tmp_path)
    monkeypatch.setattr(suite, "PLACE", tmp_path / "runs")
    monkeypatch.setattr(suite, "state", lambda: "c0ffee")
    monkeypatch.setattr(record, "FILE", document)
    return suite


def run(suite: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["suite.py", *words])
    try:
        suite.main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_what_fails_is_told_and_what_is_done_is_not_done_again(made, tmp_path, monkeypatch, capsys) -> None:
    data = str(tmp_path / "data")
    assert run(made, monkeypatch, "--data", data) == 1
    out = capsys.readouterr().out
    assert "1 done, 2 left out, 3 failed" in out
    assert f"left out: elsewhere: {data} has no not there" in out
    assert "left out: lacking: the package no_such_module is not installed" in out
    assert "FAILED: bad: ended with 1; see " in out
    assert "no good" in (tmp_path / "runs" / "bad.log").read_text()
    assert "FAILED: slow: ended after 4 times the 0 minutes" in out
    assert "FAILED: silent: the benchmark printed no table" in out
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.index("### Title " + data + "/there") < page.index("### Title second") < page.index("Load before")
    assert "what was here" not in page
    assert re.search(r"\| cores \| \d+ \|", page)

    assert run(made, monkeypatch, "--data", data, "--only", "good") == 0
    assert "left out: good: done today at c0ffee" in capsys.readouterr().out
    assert run(made, monkeypatch, "--data", data, "--only", "good", "--again") == 0
    assert "good: done in" in capsys.readouterr().out
    monkeypatch.setattr(made, "state", lambda: "another")
    assert run(made, monkeypatch, "--data", data, "--only", "good") == 0
    assert json.loads((tmp_path / "runs" / "done.json").read_text())["good"]["commit"] == "another"

    assert run(made, monkeypatch, "--list") == 0
    assert "needs --data, a folder with there" in capsys.readouterr().out


def test_a_quick_run_writes_no_document(made, tmp_path, monkeypatch, capsys) -> None:
    before = (tmp_path / "benchmarks.md").read_text()
    assert run(made, monkeypatch, "--data", str(tmp_path / "data"), "--only", "good", "--quick") == 0
    assert "--quick" in (tmp_path / "runs" / "good-quick.log").read_text()
    assert (tmp_path / "benchmarks.md").read_text() == before
    assert not (tmp_path / "runs" / "done.json").exists()


# --- growth


def test_the_power_by_which_something_grows(monkeypatch) -> None:
    growth = module("growth", monkeypatch)
    rows = [{"size": 10.0**n, "same": 7.0, "even": 3 * 10.0**n, "square": 100.0**n, "none": 0.0} for n in (2, 3, 4)]
    assert [growth.power(rows, key) for key in ("same", "even", "square", "none")] == ["0.00", "1.00", "2.00", ""]
    assert growth.power(rows[:1], "even") == ""


@pytest.mark.slow
def test_what_is_kept_is_drawn_and_written(tmp_path, monkeypatch, capsys) -> None:
    growth = module("growth", monkeypatch)
    (tmp_path / "docs" / "images").mkdir(parents=True)
    names = ("growth", "growth-training", "growth-index")
    page = tmp_path / "docs" / "benchmarks.md"
    page.write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in names))
    keys = {
        "audit": "loading loading_cores scoring cores measures measures_cores product product_cores extra memory embeddings mAP",
        "items": "first cores memory memory_later batch",
        "index": "written written_cores graph graph_cores calibrated_cores memory disk vectors opening_cores search "
        "memory_searched recall",
    }
    kept = {
        part: {
            "note": f"note of {part}",
            "rows": [{"size": size} | {k.replace("_", " "): 1e-3 * size for k in words.split()} for size in (1000, 10_000)],
        }
        for part, words in keys.items()
    }  # fmt: skip
    (tmp_path / "growth.json").write_text(json.dumps(kept))
    monkeypatch.setattr(growth, "ROOT", tmp_path)
    monkeypatch.setattr(growth, "IMAGES", tmp_path / "docs" / "images")
    monkeypatch.setattr(growth, "KEPT", tmp_path / "growth.json")
    monkeypatch.setattr(sys, "argv", ["growth.py", "--parts"])
    growth.main()
    text = page.read_text()
    for part in keys:
        assert f"note of {part}" in text
    lines = [line for line in text.splitlines() if line.startswith("| power of the size")]
    assert len(lines) == 3
    assert all("1.00" in line for line in lines)
    for name in ("audit", "training", "index"):
        svg = (tmp_path / "docs" / "images" / f"growth-{name}.svg").read_text()
        ElementTree.fromstring(svg)
        assert f"](images/growth-{name}.svg)" in text
        assert "in proportion" in svg


def test_an_audit_and_an_index_of_made_rows(tmp_path, monkeypatch) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra serve is not installed")
    growing = module("growing", monkeypatch)
    monkeypatch.setattr(growing, "QUERIES", 40)
    monkeypatch.setattr(growing, "DIMENSION", 16)
    growing.write_collection(tmp_path, 200)
    found = growing.audit(tmp_path)
    assert found["embeddings"] == 200 * 16 * 4
    assert 0 < found["extra"] <= found["memory"] or sys.platform != "linux"
    assert 0.05 < found["mAP"] < 1
    written = growing.index(tmp_path)
    assert written["rows"] == 200
    # So few rows are looked through, every one.
    assert written["recall"] == 1
    assert written["disk"] > 0


@pytest.mark.parametrize("items", [False, True])
def test_plans_over_made_pairs(items: bool, tmp_path, monkeypatch) -> None:
    growing = module("growing", monkeypatch)
    growing.write_items(tmp_path, 50_000)
    found = growing.plan(tmp_path, 50_000, items)
    assert set(found) == {"first", "cores", "memory", "memory later", "batch"}
    assert found["first"] > 0


def test_a_stored_corpus_has_as_many_rows_as_pairs(tmp_path, monkeypatch) -> None:
    from babelmix.corpus import Corpus

    growing = module("growing", monkeypatch)
    growing.write_stored(tmp_path, 6000)
    corpus = Corpus.load(tmp_path / "corpus")
    assert corpus.queries.num_rows == corpus.passages.num_rows == 6000
    assert len(corpus.langs) == len(growing.LANGS)
    assert growing.stored(tmp_path)["first"] > 0


def test_what_is_lost_left_or_doubled_under_load_is_counted(monkeypatch) -> None:
    load = module("load", monkeypatch)
    right = {"de": "Hund", "en": "dog"}
    rows = [("de", "Hund"), ("en", "dog")]
    assert load.faults(right, rows) == {}
    assert load.faults({}, []) == {}
    assert load.faults(right, rows[:1]) == {"lost": 1}
    assert load.faults({}, rows) == {"still there": 2}
    assert load.faults(right, [*rows, rows[0]]) == {"doubled": 1}
    # A text that was replaced, in place of the new one and beside it.
    assert load.faults(right, [rows[0], ("en", "hound")]) == {"lost": 1}
    assert load.faults(right, [*rows, ("en", "hound")]) == {"doubled": 1}


@pytest.mark.parametrize("script", sorted(file.name for file in FOLDER.glob("*.py")))
def test_what_a_script_imports_of_babelmix_is_there(script: str) -> None:
    missing = []
    for node in ast.walk(ast.parse((FOLDER / script).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("babelmix"):
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names if not hasattr(module, alias.name)):
                if not hasattr(module, "__path__") or importlib.util.find_spec(f"{node.module}.{name}") is None:
                    missing.append(f"{node.module}.{name}")
    assert not missing


def test_published_figures_are_computed_twice(monkeypatch) -> None:
    published = module("published", monkeypatch)
    corpus = parallel_corpus(30, langs=("de", "en", "ja"))
    rng = np.random.default_rng(0)
    sides = [rng.standard_normal((table.num_rows, 8)) for table in (corpus.queries, corpus.passages)]
    audit = Audit.of(rank_table(corpus, *sides), ["R@10", "R@20", "nDCG@20"])
    slow = published.slowly(audit.table)
    assert set(slow) == set(published.NAMES)
    for name, value in slow.items():
        assert audit.macro(published.NAMES[name]) == pytest.approx(value, abs=1e-9)
        assert 0 < value < 1
