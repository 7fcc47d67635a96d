"""The data set card of a saved corpus."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import parallel_corpus
from huggingface_hub import DatasetCard

import babelmix as bm
from babelmix.errors import ArgumentError
from babelmix.evaluation import audit, measure_info

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def found(tiny_static, tmp_path: Path) -> Path:
    """The folder of an audit of the toy corpus."""
    audit(tiny_static, parallel_corpus(20), name="tiny", store=False).save(tmp_path / "found")
    return tmp_path / "found"


def test_a_card_says_what_is_in_the_corpus_and_what_audits_found(found: Path, tmp_path: Path) -> None:
    corpus = parallel_corpus(20).named("toy", licence="CC0", machine_made=["ja"])
    bm.inspect_corpus(corpus, to=tmp_path / "saved", audits=found)
    text = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    card = DatasetCard(text)
    assert sorted(card.data.language) == ["de", "en", "fr", "ja"]
    assert "| de | 20 | 20 |" in text
    assert "- licence: CC0" in text
    assert "- machine made: ja" in text
    shown = re.findall(r"^\| tiny \| (.+) \|$", text, re.MULTILINE)
    assert len(shown) == 1
    kept = json.loads((found / "metrics.json").read_text(encoding="utf-8"))["macro"]["multi/mAP"]
    assert f"{kept['value']:.3f} [{kept['low']:.3f}, {kept['high']:.3f}]" in shown[0]
    assert measure_info("multi/mAP").title in text


def test_the_card_tells_the_hub_where_the_tables_are(tmp_path: Path) -> None:
    """The library of the hub reads the folder by its card."""
    from babelmix.corpus import from_hub

    corpus = parallel_corpus(20)
    bm.inspect_corpus(corpus, to=tmp_path / "saved")
    text = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "What audits found" not in text
    assert [one["config_name"] for one in DatasetCard(text).data.configs] == ["queries", "passages", "qrels"]
    assert from_hub(str(tmp_path / "saved")).fingerprint() == corpus.fingerprint()
    assert bm.load_corpus(tmp_path / "saved").fingerprint() == corpus.fingerprint()


def test_an_audit_of_another_corpus_is_refused_before_anything_is_written(found: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="audit of another corpus"):
        bm.inspect_corpus(parallel_corpus(24), to=tmp_path / "saved", audits=[found])
    assert not (tmp_path / "saved").exists()
    with pytest.raises(ArgumentError, match="also name the folder"):
        bm.inspect_corpus(parallel_corpus(20), audits=[found])


def test_the_card_names_no_place_of_this_machine(tmp_path: Path) -> None:
    table = tmp_path / "pets.csv"
    table.write_text("item,en,de\na,dog,Hund\nb,cat,Katze\n", encoding="utf-8")
    bm.inspect_corpus(table, to=tmp_path / "saved")
    text = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "- source: pets.csv" in text


def test_the_command_writes_the_same_card(found: Path, tmp_path: Path, babelmix: Run) -> None:
    parallel_corpus(20).save(tmp_path / "source")
    code, _, err = babelmix("data", str(tmp_path / "source"), "--to", str(tmp_path / "saved"), "--audits", str(found))
    assert code == 0, err
    assert "## What audits found" in (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    code, _, err = babelmix("data", str(tmp_path / "source"), "--audits", str(found))
    assert code == 1
    assert "the folder to save it into" in " ".join(err.split())
