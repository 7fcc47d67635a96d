"""The tutorial and the guides run as they stand, with a small encoder in place of the one they install."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import word_bert
from PIL import Image

from babelmix.encoders.removal import Removal
from babelmix.evaluation import Audit

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

DOCS = Path(__file__).resolve().parents[1] / "docs"
Run = Callable[..., tuple[int, str, str]]
NOTHING = Removal("offsets", ("*",), np.zeros((2, 1, 32), dtype=np.float32))
"""A removal that changes nothing, for the small encoder of these tests."""


def blocks(page: str, kind: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^ *```{kind}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def weights_of(*folders: Path) -> list[Path]:
    return [next(folder.rglob("model.safetensors")) for folder in folders]


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, babelmix: Run) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DOCS / "shop.csv", tmp_path)
    words = sorted(set(re.findall(r"\w+", (DOCS / "shop.csv").read_text(encoding="utf-8"))))
    model = word_bert(tmp_path / "words", words)
    # Only the encoder of the page has statistics in the package.
    monkeypatch.setattr("babelmix.search.removal.shipped_removal", lambda name: NOTHING)
    lines = "".join(blocks("tutorial.md", "bash")).splitlines()
    assert lines[0] == "export MODEL=e5-small-offline"
    printed = {}
    for line in lines[1:]:
        parts = shlex.split(line.replace("$MODEL", str(model)))
        assert parts[0] == "babelmix", line
        code, printed[line], err = babelmix(*parts[1:])
        assert code == 0, f"{line}: {err}"
    counted, *_, balanced, french = printed.values()
    assert re.search(r"de +24 +24", counted)
    answers = r"^ *-?\d\.\d+ +([a-z]{2}) "
    assert len(re.findall(answers, balanced, re.MULTILINE)) == 4
    assert re.findall(answers, french, re.MULTILINE) == ["fr"]
    before, after = Audit.load(tmp_path / "before"), Audit.load(tmp_path / "after")
    assert before.table.query_langs == ("de", "en", "es", "fr")
    assert after.table.about.encoder == "my-encoder"
    record = json.loads((tmp_path / "my-encoder/training.json").read_text(encoding="utf-8"))
    assert record["steps"] == record["settings"]["steps"] > 10
    # The losses of so few steps with random weights say nothing; other tests train for long enough.
    before_training, after_training = (file.read_bytes() for file in weights_of(model, tmp_path / "my-encoder"))
    assert before_training != after_training
    check_the_service(tmp_path / "my-index")
    (code,) = blocks("tutorial.md", "python")
    names: dict = {"__name__": "example"}
    exec(compile(code.replace("e5-small-offline", str(model)), "docs/tutorial.md", "exec"), names)
    assert names["report"].macro("multi/mAP") == pytest.approx(before.macro("multi/mAP"))


def check_the_service(index: Path) -> None:
    """What the tutorial asks of it with curl."""
    from starlette.testclient import TestClient

    from babelmix.search import Searcher
    from babelmix.search.service import create_app

    serve, curl = blocks("tutorial.md", "sh")[-2:]
    assert shlex.split(serve) == ["babelmix", "serve", index.name]
    command, address, header, name, data, body = shlex.split(curl)
    assert (command, header, name, data) == ("curl", "-H", "Content-Type: application/json", "-d")
    path = address.removeprefix("http://127.0.0.1:8765")
    searcher = Searcher.open(str(index))
    with searcher.index, TestClient(create_app(searcher), base_url="http://localhost") as client:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert len(answer.json()["hits"]) == json.loads(body)["k"]


def test_the_rows_the_tutorial_shows_are_those_of_its_file() -> None:
    import csv

    shown = list(csv.DictReader(blocks("tutorial.md", "csv")[0].splitlines()))
    with (DOCS / "shop.csv").open(encoding="utf-8", newline="") as file:
        whole = {row["item"]: row for row in csv.DictReader(file)}
    assert shown
    for row in shown:
        assert row.items() <= whole[row["item"]].items()


def test_your_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, babelmix: Run) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text(blocks("own-data.md", "csv")[0], encoding="utf-8")
    (command, *_), parts, (save, *_) = (block.splitlines() for block in blocks("own-data.md", "bash"))
    code, out, err = babelmix(*shlex.split(command)[1:])
    assert code == 0, err
    assert re.search(r"de +4 +3", out)
    assert re.search("4 relevant pairs of items, 2 groups", out)
    code, _, err = babelmix(*shlex.split(save)[1:])
    assert code == 0, err
    assert (tmp_path / "corpora/mine/corpus.json").is_file()
    assert [shlex.split(line)[:3] for line in parts] == [["babelmix", "data", "my.csv"]] * 2


def test_the_experiment_that_chooses_alpha() -> None:
    import tomllib

    from babelmix.experiment.config import parse_experiment

    experiment = parse_experiment(tomllib.loads(blocks("choose-alpha.md", "toml")[0]), "alpha.toml")
    for strategy in experiment.compare.strategies:
        assert experiment.run_settings(strategy, 0).steps == 100


def commands(page: str) -> list[list[str]]:
    """The commands of babelmix on a page, without its installation."""
    lines = "".join(blocks(page, "bash")).splitlines()
    return [shlex.split(line.partition("  #")[0]) for line in lines if line.startswith("babelmix ")]


@pytest.mark.slow
def test_the_page_of_those_who_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, babelmix: Run) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DOCS / "shop.csv", tmp_path / "my.csv")
    words = sorted(set(re.findall(r"\w+", (DOCS / "shop.csv").read_text(encoding="utf-8"))))
    model = str(word_bert(tmp_path / "words", words))
    for command in commands("train-encoders.md"):
        code, _, err = babelmix(*[model if part == "$MODEL" else part for part in command[1:]])
        assert code in ((0, 3) if "--fail-if" in command else (0,)), f"{command}: {err}"
    assert Audit.load(tmp_path / "after").table.about.encoder == "my-encoder"
    assert "What audits found" in (tmp_path / "my-encoder" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_of_those_who_do_research(tmp_path: Path) -> None:
    """In processes of their own: the page's parts are registered for a whole process."""
    shutil.copy(DOCS / "shop.csv", tmp_path / "qa.csv")
    words = sorted(set(re.findall(r"\w+", (DOCS / "shop.csv").read_text(encoding="utf-8"))))
    model = word_bert(tmp_path / "words", words)
    (experiment,) = blocks("research.md", "toml")
    (tmp_path / "alpha.toml").write_text(experiment.replace("e5-small-offline", str(model)), encoding="utf-8")
    parts, lines = blocks("research.md", "python")
    (tmp_path / "my_parts.py").write_text(parts, encoding="utf-8")
    (tmp_path / "photos").mkdir()
    captions = []
    for number in range(30):
        picture = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "photos" / f"p{number}.png")
        captions += [
            {"image_id": f"p{number}", "image": f"photos/p{number}.png", "lang": lang, "text": f"{word} {number}"}
            for lang, word in (("de", "Bild"), ("en", "picture"), ("fr", "image"))
        ]
    text = "".join(json.dumps(row) + "\n" for row in captions)
    (tmp_path / "captions.jsonl").write_text(text, encoding="utf-8")
    given = commands("research.md")
    assert [command[1] for command in given] == ["data", "--plugin", "data", "train", "audit"]
    for command in [*([sys.executable, "-m", *parts] for parts in given[:2]), [sys.executable, "-c", lines]]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index(r"\begin{tabular}") :]
    assert "hybrid(0.25)" in table
    results = json.loads((tmp_path / "runs/alpha/results.json").read_text(encoding="utf-8"))
    assert {"multi/P@5", "mono/mAP"} <= results["entries"][-1]["macro"].keys()
    for command in given[2:]:
        done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "pictures" / "report.html").is_file()
    (pictures,) = blocks("image-text.md", "toml")
    # The model's path comes last: a folder of a test may have such numbers in its name.
    shorter = pictures.replace("steps = 100", "steps = 2").replace("32", "8").replace("[0, 1, 2]", "[0]")
    (tmp_path / "pictures.toml").write_text(shorter.replace("e5-small-offline", str(model)), encoding="utf-8")
    (command,) = commands("image-text.md")
    done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"multi/hit@1", "cross/hit@1"} <= results_of(tmp_path / "runs/pictures")


def results_of(folder: Path) -> set[str]:
    """The measures that an experiment tested."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {test["measure"] for tests in found["tests"].values() for test in tests}
