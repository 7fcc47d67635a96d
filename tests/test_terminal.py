"""What reaches a terminal: nothing foreign steers it, and any encoding takes it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import parallel_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.progress import Progress, TextColumn

from babelmix import _terminal
from babelmix._tables import Table, plain
from babelmix._terminal import PlainConsole, VisibleFormatter, json_line, toml_text, visible, visible_in_line
from babelmix.cli import main
from babelmix.search import Row, Searcher

Run = Callable[..., tuple[int, str, str]]

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eabc"
ENCODINGS = ("utf-8", "cp1252", "ascii", "latin-1", "shift_jis")
RAW = {
    *map(chr, range(32)),
    *map(chr, range(127, 160)),
    *"\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
}
RAW -= {"\n", "\t"}


def test_controls_are_shown() -> None:
    assert visible("a\x1b[1m\x07\r\x9b\x7f\n\tb") == "a\\x1b[1m\\x07\\x0d\\x9b\\x7f\n\tb"
    assert visible("\u202e\u2066\u2028\ud800") == "\\u202e\\u2066\\u2028\\ud800"
    assert visible_in_line("a\n\tb") == "a\\n\\tb"
    # What languages need to be written stays.
    for text in ("می‌خواهم", "क्‍ष", "👩‍👩‍👧", "Ärger", "שלום\u200f", "\u3000\xa0"):
        assert visible(text) == text
    assert plain("a\r\nb\tc\x1b") == "a  b c\\x1b"


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_nothing_raw_is_left(text: str) -> None:
    assert not RAW & set(visible(text))
    visible(text).encode()


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.text() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
@pytest.mark.parametrize("encoding", [*ENCODINGS, None, "none-such"])
def test_json_is_json_in_every_encoding(encoding: str | None, value: object) -> None:
    line = json_line(value, encoding)
    assert json.loads(line) == value
    assert not (RAW | {"\n", "\t"}) & set(line)
    line.encode(encoding if encoding in ENCODINGS else "ascii")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_toml_is_toml_in_every_encoding(encoding: str) -> None:
    import tomli_w

    value = {"a": HOSTILE + "水😀\xe9", "Ä": 1}
    text = toml_text(tomli_w.dumps(value), encoding)
    assert tomllib.loads(text.encode(encoding).decode(encoding)) == value
    assert not RAW & set(text)


def test_a_console_keeps_its_own_styles_and_no_others() -> None:
    sink = io.StringIO()
    console = PlainConsole(file=sink, force_terminal=True, color_system="standard", markup=False, width=100)
    console.print(Table([HOSTILE, "b"], [[HOSTILE, "[red]x"]], title=HOSTILE).as_rich())
    console.print(HOSTILE, style="bold")
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task(HOSTILE, total=1)
    shown = sink.getvalue()
    assert "\x1b[1m" in shown
    for part in ("\x1b]0;", "\x1b[2J\x9b", "\x9b", "\x07", "\u202e"):
        assert part not in shown
    assert "[red]x" in shown
    assert shown.count("\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eabc") >= 2
    # Measured as they are shown: the columns stand one below the other.
    lines = [line for line in shown.splitlines() if line.rstrip().endswith(("b", "[red]x"))]
    assert len({len(line.rstrip()) for line in lines if "owned" in line}) <= 2


@pytest.mark.parametrize(
    "words",
    [
        ["data", "PLACE"], ["data", "FILE"], ["data", f"table={HOSTILE}"], ["data", f"{HOSTILE}=x"], ["data", "x", HOSTILE],
        ["data", "COLUMNS"], ["data", "LANG"], ["encoders", "PLACE"], ["encoders", "TYPE"], ["compare", "PLACE"],
        ["compare", "TOML"], ["compare", "PLACE", "PLACE"], ["audit", "static-e5", "-c", "PLACE"],
        ["audit", "PLACE", "-c", "GOOD"],
        ["train", "-c", "PLACE"], ["train", "-c", "GOOD", "--strategy", HOSTILE], ["mine", "PLACE", "-c", "GOOD"],
        ["debias", "PLACE", "--on", "GOOD", "--out", "o"],
        ["codeswitch", "-c", "GOOD", "--lexicon", f"en:de={HOSTILE}", "--out", "o"],
        ["index", "PLACE", "--to", "new", "--model", "static-e5"], ["index", "DOCUMENTS", "--to", "INDEX"],
        ["index", "CELL", "--to", "INDEX"], ["search", "x", "--in", "PLACE"],
        ["search", "x", "--in", "INDEX", "--policy", HOSTILE],
        ["search", "x", "--in", "INDEX", "--where", f"{HOSTILE}=1"], ["search", "x", "--in", "INDEX", "--mode", HOSTILE],
        ["search", "--image", "PLACE", "--in", "INDEX"], ["serve", "PLACE"], ["serve", "INDEX", "--allow-host", HOSTILE],
        ["serve", "INDEX", "--keys", "KEYS"], ["--" + HOSTILE], [HOSTILE],
    ],
    ids=lambda words: " ".join(words).replace(HOSTILE, "HOSTILE"),
)  # fmt: skip
def test_no_error_steers_the_terminal(
    babelmix: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, words: list[str]
) -> None:
    """Hostile names of files, columns and types, hostile cells and options: one line that shows them."""
    address = ""
    if "INDEX" in words:
        searcher = request.getfixturevalue("searcher")
        address = searcher.index.address
        # An export of its encoder, which another test may have made, would do in the place of the encoder.
        monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
        if words[0] == "search":
            monkeypatch.setattr(Searcher, "open", lambda *_, **__: searcher)
        else:
            searcher.index.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    place = HOSTILE.replace("/", "")
    (tmp_path / "good.csv").write_text("item,de,en\na,Katze,cat\nb,Hund,dog\n", encoding="utf-8")
    (tmp_path / place).mkdir()
    (tmp_path / f"{place}.csv").write_text("item,lang\na,b\n", encoding="utf-8")
    (tmp_path / "columns.csv").write_text(f'item,"{HOSTILE}","{HOSTILE}"\na,b,c\n', encoding="utf-8")
    (tmp_path / "lang.csv").write_text(f'item,lang,query,passage\na,"{HOSTILE}",b,c\n', encoding="utf-8")
    (tmp_path / "documents.csv").write_text(f'item,lang,text,"{HOSTILE}"\na,de,b,1\n', encoding="utf-8")
    (tmp_path / "cell.csv").write_text(f'item,lang,text\n"{HOSTILE}",de,b\n', encoding="utf-8")
    (tmp_path / "x.toml").write_text(f"{json.dumps(HOSTILE)} = 1\n", encoding="utf-8")
    (tmp_path / "keys").write_text(f"{HOSTILE} 1\n", encoding="utf-8")
    (tmp_path / "type").mkdir()
    (tmp_path / "type" / "config.json").write_text(json.dumps({"model_type": HOSTILE}), encoding="utf-8")
    known = {
        "PLACE": place, "FILE": f"{place}.csv", "COLUMNS": "columns.csv", "LANG": "lang.csv", "DOCUMENTS": "documents.csv",
        "CELL": "cell.csv", "TOML": "x.toml", "KEYS": "keys", "TYPE": "type", "INDEX": address, "GOOD": "good.csv",
    }  # fmt: skip
    code, out, err = babelmix(*(known.get(word, word) for word in words))
    assert code == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert not RAW & set(out + err)
    assert "Traceback" not in err


def test_no_result_steers_the_terminal(babelmix: Run, searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"Katze {HOSTILE}\nHund"
    monkeypatch.setattr(Searcher, "open", lambda *_, **__: searcher)
    monkeypatch.setenv("COLUMNS", "200")
    changes = searcher.index.changes([Row("hostile", "de", text, fields={"note": "x"})])
    searcher.index.write(changes, searcher.encoder.encode([text]))
    monkeypatch.setattr(searcher.index, "close", lambda: None)
    code, out, err = babelmix("search", text, "--in", "x", "--mode", "words")
    assert (code, RAW & set(out + err)) == (0, set())
    assert out.count("\\x1b]0;owned") == 2
    code, out, err = babelmix("search", text, "--in", "x", "--mode", "words", "--json")
    assert (code, (RAW | {"\t"}) & set(out + err)) == (0, set())
    (hit,) = [hit for hit in json.loads(out)["hits"] if hit["item"] == "hostile"]
    assert (hit["text"], hit["fields"]) == (text, {"note": "x"})


def test_a_corpus_s_own_words_steer_no_terminal(babelmix: Run, tmp_path: Path) -> None:
    corpus = parallel_corpus(4)
    from dataclasses import replace

    replace(corpus, name=HOSTILE, meta={"license": HOSTILE, HOSTILE: [HOSTILE]}).save(tmp_path / "c")
    code, out, err = babelmix("data", str(tmp_path / "c"))
    assert (code, RAW & set(out + err)) == (0, set())
    assert out.count("owned") == 4


def test_warnings_and_log_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["babelmix", "--version"])
    before = logging.getLogRecordFactory()
    try:
        with pytest.raises(SystemExit):
            main()
        assert not RAW & set(warnings.formatwarning(UserWarning(HOSTILE), UserWarning, "f", 1, "x"))
        handler = logging.StreamHandler(sink := io.StringIO())
        log = logging.getLogger("somebody.else")
        log.addHandler(handler)
        log.warning("%s", HOSTILE)
        handler.setFormatter(VisibleFormatter("%(message)s"))
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.exception("failed")
        log.removeHandler(handler)
        assert not RAW & set(sink.getvalue())
        assert "ValueError: \\x1b" in sink.getvalue()
    finally:
        logging.setLogRecordFactory(before)


class _Stream(io.TextIOWrapper):
    """A standard stream of another encoding."""

    def __init__(self, encoding: str) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, errors="strict", write_through=True)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "words",
    [
        ["search", "水 😀 é", "--in", "x", "--mode", "words"], ["search", "水 😀 é", "--in", "x", "--json"], ["data", "CORPUS"],
        ["data", "CORPUS", "--json"], ["data"], ["encoders"], ["--help"], ["search", "--help"], ["data", "nowhere/水😀.csv"],
        ["compare", "demo", "--print"], ["--水"], ["compare", "demo", "--print", "-c", "水😀"],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode(),
)  # fmt: skip
def test_any_encoding_takes_it(
    tmp_path: Path, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, encoding: str, words: list[str]
) -> None:
    parallel_corpus(4).save(tmp_path / "猫 é")
    monkeypatch.setattr(Searcher, "open", lambda *_, **__: searcher)
    monkeypatch.setattr(searcher.index, "close", lambda: None)
    monkeypatch.setattr(sys, "argv", ["babelmix", *(str(tmp_path / "猫 é") if w == "CORPUS" else w for w in words)])
    out, err = _Stream(encoding), _Stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as end:
        main()
    said, wrong = (stream.bytes.getvalue().decode(encoding) for stream in (out, err))
    fails = "nowhere" in " ".join(words) or words == ["--水"]
    assert end.value.code == (1 if fails else 0), wrong
    assert "Traceback" not in wrong
    if fails:
        assert wrong.startswith("error: ")
        assert ("水" if encoding in ("utf-8", "shift_jis") else "\\u6c34") in wrong
    elif "--json" in words:
        for line in said.splitlines():
            assert json.loads(line)
        if words[0] == "search":
            assert json.loads(said)["query"] == "水 😀 é"
    elif "--print" in words:
        assert tomllib.loads(said)["data"]["corpus"] == ("水😀" if "-c" in words else "comfyui-docs")
    else:
        assert said


def test_streams_without_an_encoding_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    before = logging.getLogRecordFactory()
    try:
        _terminal.prepare()
    finally:
        logging.setLogRecordFactory(before)
    assert json_line({"a": "水"}, sys.stdout.encoding) == '{"a": "\\u6c34"}'


def test_an_old_spelling_in_a_file_is_said_in_a_line(tmp_path: Path) -> None:
    """In a process of its own: here every warning is an error."""
    file = tmp_path / "old.toml"
    file.write_text('name = "old"\n[data]\ncorpus = "x"\n[training]\nconsistency = 0.5\n', encoding="utf-8")
    command = [sys.executable, "-m", "babelmix", "compare", str(file), "--print"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "consistency = 0.5" in done.stdout
    assert done.stderr.startswith("deprecated: training settings are in sections now: consistency is loss.consistency")
    assert done.stderr.count("\n") == 1
