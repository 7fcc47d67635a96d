"""Vectors of any size: corrected in chunks and bounded memory, after a kill, and as lines of numpy."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from biased_vectors import LANGS, made_for
from conftest import parallel_corpus

import babelmix as bm
import babelmix.api._debias_writing as writing
from babelmix.api._debias_export import lines_of_numpy
from babelmix.api._debias_fitting import drawn
from babelmix.corpus import Corpus
from babelmix.encoders.removal import Removal, load_removal


@pytest.fixture
def toy() -> Corpus:
    return parallel_corpus(40)


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_where_it_stopped(toy: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, passages = made_for(toy)
    np.save(tmp_path / "q.npy", queries)
    np.save(tmp_path / "p.npy", passages)
    whole = bm.debias(bm.Vectors(queries, passages), toy)
    monkeypatch.setattr(writing, "_CHUNK", 16 * 4 * 32)
    applied: list[int] = []
    real = Removal.apply

    def dying(limit: int) -> Callable[..., Any]:
        def apply(self: Removal, vectors: Any, langs: Any, kind: str) -> Any:
            if len(applied) == limit:
                raise Killed
            applied.append(len(vectors))
            return real(self, vectors, langs, kind)

        return apply

    def run(limit: int, **more: Any) -> Any:
        monkeypatch.setattr(Removal, "apply", dying(limit))
        given = bm.Vectors(str(tmp_path / "q.npy"), str(tmp_path / "p.npy"))
        return bm.debias(given, toy, out=tmp_path / "out", **more)

    for limit in (2, 7):  # in the queries, in the passages
        with pytest.raises(Killed):
            run(limit)
        assert not (tmp_path / "out").exists()
    # What was written but not recorded is written again.
    with (tmp_path / ".out.unfinished" / "passages.npy").open("ab") as file:
        file.write(b"half a row")
    run(100)
    assert applied == [32] * 10
    for side in ("queries", "passages"):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{side}.npy"), getattr(whole.vectors, side))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "p.npy", "q.npy"]
    # Another removal, or other vectors, begin anew.
    applied.clear()
    with pytest.raises(Killed):
        run(2, alpha=0.5)
    np.save(tmp_path / "p.npy", 2 * passages)
    run(100, alpha=0.5)
    assert sum(applied) == 64 + 320
    assert load_removal(tmp_path / "out" / "removal.safetensors").alpha == 0.5


@pytest.mark.slow
def test_a_run_that_a_signal_kills_goes_on_and_ends_as_one_that_was_not(toy: Corpus, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60_000, 64), dtype=np.float32)
    np.save(tmp_path / "p.npy", vectors)
    (tmp_path / "p.ids.txt").write_text("".join(f"{n}/{LANGS[n % 4]}\n" for n in range(len(vectors))))
    code = (
        "import babelmix as bm, babelmix.api._debias_writing as w, os, signal, sys\n"
        "w._CHUNK = 64 * 4 * 4096\n"
        "real, left = w.write_json, int(sys.argv[1])\n"
        "def counting(file, value):\n"
        "    global left\n"
        "    real(file, value)\n"
        "    left -= 1\n"
        "    if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "w.write_json = counting\n"
        "bm.debias(bm.Vectors(None, 'p.npy'), out='out')\n"
    )
    ends = [subprocess.run([sys.executable, "-c", code, str(n)], cwd=tmp_path).returncode for n in (4, 5, 1000)]
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0]
    expected = bm.debias(bm.Vectors(None, str(tmp_path / "p.npy")))
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "passages.npy"), expected.vectors.passages)
    assert (tmp_path / "out" / "passages.ids.txt").read_text() == (tmp_path / "p.ids.txt").read_text()


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, width = 60_000, 64
    np.save(tmp_path / "p.npy", rng.standard_normal((rows, width), dtype=np.float32))
    pl.DataFrame({"lang": [LANGS[n % 4] for n in range(rows)]}).write_parquet(tmp_path / "langs.parquet")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writing, "_CHUNK", 1 << 18)
        patched.setattr("babelmix.api._debias_fitting.sample_of.__kwdefaults__", {"most": 2000})
        tracemalloc.start()
        bm.debias(
            bm.Vectors(None, str(tmp_path / "p.npy")), passages_langs=tmp_path / "langs.parquet", out=tmp_path / "out"
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # The vectors alone are 15 MB.
    assert peak < 8 << 20
    assert np.load(tmp_path / "out" / "passages.npy", mmap_mode="r").shape == (rows, width)


def test_a_sample_keeps_translations_together_and_rare_languages_whole() -> None:
    lang = np.concatenate([np.tile([0, 1], 20_000), np.full(300, 2)])
    key = np.concatenate([np.repeat(np.arange(20_000), 2), np.arange(300)])
    rows = drawn(lang, key, 4000)
    counts = np.bincount(lang[rows])
    assert counts[0] == counts[1]
    assert 3000 < counts[0] + counts[1] < 5000
    assert counts[2] == 300
    np.testing.assert_array_equal(rows, drawn(lang, key, 4000))
    assert len(drawn(lang, key, 10**6)) == len(lang)


@pytest.mark.filterwarnings("ignore:the removal of language was not fitted on fr")
@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("langs", [("de", "en"), ("*",)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_exported_lines_do_what_the_removal_does(
    maps: bool, similarity: str, langs: tuple[str, ...], dtype: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    shape = (2, len(langs))
    left, right = (rng.standard_normal((*shape, *s)).astype(np.float32) / 6 for s in ((6, 3), (3, 6)))
    removal = Removal(
        "x", langs, rng.standard_normal((*shape, 6)).astype(np.float32) / 6, left if maps else None, right if maps else None,
        0.7, similarity,
    )  # fmt: skip
    file = removal.save(tmp_path / "removal.safetensors", dtype=dtype)
    code = lines_of_numpy(file)
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]) <= 17
    names: dict[str, Any] = {}
    exec(compile(code, "exported", "exec"), names)
    x = rng.standard_normal((5, 6))
    given = ["de", "en", "fr", "en", "de"]
    again = load_removal(file)
    for kind in ("query", "passage"):
        np.testing.assert_allclose(names["without_language"](x, given, kind), again.apply(x, given, kind), atol=1e-6)


def test_the_exported_lines_know_a_language_in_any_spelling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    langs = ("de_DE", "en", "pt-BR", "pt-PT")
    removal = Removal("x", langs, rng.standard_normal((2, 4, 6)).astype(np.float32))
    code = lines_of_numpy(removal.save(tmp_path / "removal.safetensors"))
    assert "LANGS, ALPHA = ['de-DE', 'en', 'pt-BR', 'pt-PT'], 1.0  # canonical tags (BCP 47)" in code
    names: dict[str, Any] = {}
    exec(compile(code, "exported", "exec"), names)
    given = ["de-DE", "de_DE", "de", "de-AT", "EN_us", "pt_BR", "pt", "sw"]
    x = rng.standard_normal((len(given), 6))
    np.testing.assert_allclose(
        names["without_language"](x, given, "passage"), removal.apply(x, given, "passage"), atol=1e-6
    )
    assert "does not know them: pt sw" in capsys.readouterr().out
