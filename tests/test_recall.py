"""A finished audit is read again without loading its encoder, as long as nothing has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus

import babelmix as bm
from babelmix.api import _recall
from babelmix.api._recall import RECORD, Asked
from babelmix.api.auditing import _report
from babelmix.errors import BabelmixError

GIVEN = {"part": "all"}


@pytest.fixture
def place(tmp_path: Path, tiny_static, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an encoder, a corpus, and the finished audit of both."""
    monkeypatch.setattr(_recall, "_SETTLED", 0)
    monkeypatch.setattr(_recall, "_has_plugins", lambda: False)
    tiny_static.save(str(tmp_path / "encoder"))
    parallel_corpus(items=8).save(tmp_path / "corpus")
    audited(tmp_path)
    return tmp_path


def audited(place: Path, **options: object) -> bm.AuditReport:
    found = bm.audit(str(place / "encoder"), str(place / "corpus"), out=place / "audit", **options)  # type: ignore[call-overload]
    assert isinstance(found, bm.AuditReport)
    return found


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The encoders that are audited in the usual way."""
    seen: list[str] = []

    def watched(name, *rest):
        seen.append(name)
        return _report(name, *rest)

    monkeypatch.setattr("babelmix.api.auditing._report", watched)
    return seen


def test_an_audit_of_unchanged_files_is_not_made_again(place: Path, loads: list[str]) -> None:
    first = json.loads((place / "audit" / "metrics.json").read_text("utf-8"))
    again = audited(place)
    assert loads == []
    assert again.as_json() == first
    assert again.places() == {"report": str(place / "audit" / "report.html")}
    assert str(again.audit.headline()) == str(bm.AuditReport("x", again.audit).headline())


def test_changed_weights_of_the_same_size_are_noticed(place: Path, loads: list[str]) -> None:
    weights = next((place / "encoder").rglob("*.safetensors"))
    before, about = weights.read_bytes(), weights.stat()
    changed = bytearray(before)
    changed[-4:] = np.float32(0.5).tobytes()
    weights.write_bytes(changed)
    # Somebody sets the times back, as `cp -p` and archives do.
    os.utime(weights, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert weights.stat().st_size == about.st_size
    first = (place / "audit" / "ranks.parquet").read_bytes()
    audited(place)
    assert len(loads) == 1
    assert (place / "audit" / "ranks.parquet").read_bytes() != first
    audited(place)
    assert len(loads) == 1


@pytest.mark.parametrize(
    "change",
    ["corpus", "new file", "removed file", "report", "ranks", "record", "version", "noise", "young"],
)
def test_what_is_in_doubt_is_audited_as_before(
    place: Path, loads: list[str], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = place / "audit"
    match change:
        case "corpus":
            parallel_corpus(items=9).save(place / "corpus")
            shutil.rmtree(audit)
            audit.mkdir()
            audit.rmdir()
        case "new file":
            (place / "encoder" / "new.json").write_text("{}", encoding="utf-8")
        case "removed file":
            (place / "encoder" / "README.md").unlink()
        case "report":
            (audit / "report.html").unlink()
        case "ranks":
            (audit / "ranks.parquet").write_bytes((audit / "ranks.parquet").read_bytes()[:-9])
        case "record":
            (audit / RECORD).write_text('{"version": 1, "files": []}', encoding="utf-8")
        case "version":
            monkeypatch.setattr(_recall, "_PACKAGES", ("numpy",))
        case "noise":
            audited(place, perturb="case")
            loads.clear()
        case "young":
            monkeypatch.setattr(_recall, "_SETTLED", 10**12)
    audited(place)
    assert len(loads) == 1


def test_other_arguments_are_other_audits(place: Path, loads: list[str]) -> None:
    assert "multi/R@3" in audited(place, metrics=["R@3"]).audit.measures
    assert len(loads) == 1
    assert "multi/R@3" in audited(place, metrics=["R@3"]).audit.measures
    assert len(loads) == 1
    audited(place, metrics=["R@3"], copies="excluded")
    assert len(loads) == 2
    with pytest.raises(BabelmixError):
        audited(place, typo_rate=0.1)


def test_a_file_that_changes_during_the_audit_leaves_no_record(place: Path) -> None:
    corpus = bm.load_corpus(str(place / "corpus"))
    asked = Asked.of(str(place / "encoder"), str(place / "corpus"), GIVEN)
    assert asked is not None
    (place / "audit" / RECORD).unlink()
    (place / "encoder" / "new.json").write_text("{}", encoding="utf-8")
    asked.remember(place / "audit", corpus, ["mAP"])
    assert not (place / "audit" / RECORD).exists()
    asked = Asked.of(str(place / "encoder"), str(place / "corpus"), GIVEN)
    assert asked is not None
    asked.remember(place / "audit", picture_corpus(4), ["mAP"])
    assert not (place / "audit" / RECORD).exists()
    asked.remember(place / "audit", corpus, ["mAP"])
    assert (place / "audit" / RECORD).exists()


def test_encoders_and_corpora_whose_files_are_not_known(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, corpus = str(place / "encoder"), str(place / "corpus")
    assert Asked.of(encoder, corpus, GIVEN) is not None
    for model, data in (
        ("intfloat/multilingual-e5-small", corpus), ("static", corpus), (f"static:{encoder}", corpus),
        (f"tiny+{encoder}", corpus), (encoder, "emoji"), (encoder, parallel_corpus(4)), (object(), corpus),
    ):  # fmt: skip
        assert Asked.of(model, data, GIVEN) is None
    monkeypatch.setattr(_recall, "_MOST", 2)
    assert Asked.of(encoder, corpus, GIVEN) is None
    monkeypatch.undo()
    (place / "encoder" / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert Asked.of(encoder, corpus, GIVEN) is None


def test_plugins_may_change_anything(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    import babelmix.extend  # noqa: F401

    assert Asked.of(str(place / "encoder"), str(place / "corpus"), GIVEN) is None


def test_neither_torch_nor_sentence_transformers_is_imported(
    place: Path, monkeypatch: pytest.MonkeyPatch, babelmix: Callable[..., tuple[int, str, str]]
) -> None:
    script = (
        "import sys; from babelmix.api import _recall; _recall._SETTLED = 0; from babelmix.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'sentence_transformers', 'transformers', 'datasets'} & set(sys.modules)), file=sys.stderr)"
    )
    monkeypatch.chdir(place)
    words = ["audit", "encoder", "-c", "corpus"]
    code, _, err = babelmix(*words)  # makes the audit, in this process
    assert (code, "scoring" in err) == (0, True), err
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=place, capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert "runs/audit-encoder-" in done.stdout
