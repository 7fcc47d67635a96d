"""Full disks, caches that cannot be written to, clocks that go backwards, interrupts, and two at work in one place.

Kills at random moments are `benchmarks/faults.py`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from test_encoders import Counting

from babelmix import _cache, _files
from babelmix._files import clear_leftovers, remove_folder, replacing_file, replacing_folder, write_json, write_text
from babelmix.encoders import encode
from babelmix.encoders.store import EmbeddingStore, _checks, text_keys
from babelmix.errors import BabelmixError, WriteError
from babelmix.evaluation import Audit

Run = Callable[..., tuple[int, str, str]]


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith(".part")]


@contextlib.contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """A disk that takes no file of more bytes: the system answers "File too large"."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- files that are whole or absent


def test_what_a_dead_process_left_goes_and_what_a_live_one_writes_stays(tmp_path) -> None:
    for name in (".a.abcd1234.part", ".a.json.abcd1234.part", ".b.abcd1234.part"):
        (tmp_path / name / "half").mkdir(parents=True)
    with replacing_file(tmp_path / "a") as slow:
        slow.write_text("slow")
        write_text(tmp_path / "a", "fast")
        assert slow.read_text() == "slow"
        assert sorted(temporary(tmp_path)) == sorted([".a.json.abcd1234.part", ".b.abcd1234.part", slow.parent.name])
    assert (tmp_path / "a").read_text() == "slow"
    assert sorted(temporary(tmp_path)) == [".a.json.abcd1234.part", ".b.abcd1234.part"]
    clear_leftovers(tmp_path)
    assert temporary(tmp_path) == []
    clear_leftovers(tmp_path / "nowhere")


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked"])
def test_a_temporary_folder_that_another_process_took_for_a_leftover_is_made_again(
    tmp_path, monkeypatch, moment: str
) -> None:
    taken: list[Path] = []

    def take(folder: Path) -> None:
        if not taken:
            taken.append(folder)
            folder.rmdir()

    def made(**kwargs: Any) -> str:
        folder = mkdtemp(**kwargs)
        if moment == "before it is opened":
            take(Path(folder))
        return folder

    def opened(folder: Path, flags: int) -> int:
        handle = os_open(folder, flags)
        if moment == "before it is locked":
            take(folder)
        return handle

    mkdtemp, os_open = tempfile.mkdtemp, os.open
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", made)
        patched.setattr(os, "open", opened)
        scratch = _files._scratch(tmp_path / "a")
        folder = scratch.__enter__()
    assert folder.is_dir()
    scratch.__exit__(None, None, None)
    assert len(taken) == 1
    assert taken[0] != folder
    assert temporary(tmp_path) == []


@pytest.mark.parametrize("meanwhile", ["gone", "another"])
def test_a_folder_that_changes_while_it_is_listed_is_listed_again(tmp_path, monkeypatch, meanwhile: str) -> None:
    place = tmp_path / "c"
    place.mkdir()
    for name in ("m", "other"):
        (place / name).write_text("")
    iterdir, listed = Path.iterdir, []

    def half(folder: Path) -> Iterator[Path]:
        names = list(iterdir(folder))
        if not listed:
            # What another process sees of a folder that is replaced and removed.
            folder.rename(tmp_path / "old")
            names = [folder / "other"]
            if meanwhile == "another":
                place.mkdir()
                (place / "m").write_text("")
        listed.append(folder)
        return iter(names)

    monkeypatch.setattr(Path, "iterdir", half)
    _files.check_output_folder(place, ["m"])
    assert len(listed) == (2 if meanwhile == "another" else 1)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr(_files, "_exchanged", lambda one, other: False)
    for content in ("first", "second"):
        with replacing_folder(tmp_path / "c", ["m"]) as new:
            (new / "m").write_text(content)
            (new / "m").chmod(0o600)
        assert (tmp_path / "c" / "m").read_text() == content
        # Some libraries write what only its owner may read.
        assert (tmp_path / "c" / "m").stat().st_mode & 0o777 == 0o666 & ~_files._umask()
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "c", ["m"]) as new:
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_process_that_died_between_two_renames_is_finished_by_the_next(tmp_path) -> None:
    for part in ("old", "new"):
        (tmp_path / ".c.abcd1234.part" / part).mkdir(parents=True)
        (tmp_path / ".c.abcd1234.part" / part / "m").write_text(part)
    clear_leftovers(tmp_path, "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert (tmp_path / "c" / "m").read_text() == "new"


def test_a_folder_is_removed_whole(tmp_path, monkeypatch) -> None:
    (tmp_path / "c" / "d").mkdir(parents=True)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_folder(tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert len(temporary(tmp_path)) == 1
    remove_folder(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        # As tokenizers and safetensors say it, and torch and numpy.
        (Exception("No space left on device (os error 28)"), "No space left on device"),
        (RuntimeError("I/O error: Read-only file system (os error 30)"), "Read-only file system"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "the disk takes no more"),
        (OSError("1000 requested and 0 written"), "the disk takes no more"),
    ],
)
def test_a_full_disk_is_one_sentence_whoever_says_so(tmp_path, raised: Exception, why: str) -> None:
    write_text(tmp_path / "a", "before")
    with (
        pytest.raises(WriteError, match=r"a: cannot be written \(.*\); make room") as error,
        replacing_file(tmp_path / "a"),
    ):
        raise raised
    assert error.value.why == why
    assert (tmp_path / "a").read_text() == "before"
    assert temporary(tmp_path) == []


def test_other_errors_stay_what_they_are(tmp_path) -> None:
    for raised in (ValueError("x"), PermissionError(errno.EACCES, "Permission denied"), BabelmixError("os error 28)")):
        with pytest.raises(type(raised)) as error, replacing_file(tmp_path / "a"):
            raise raised
        assert error.value is raised


# --- commands


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, tiny_static, tiny_bert: Path) -> Path:
    """What the commands below read."""
    folder = tmp_path_factory.mktemp("data")
    corpus = parallel_corpus(40)
    corpus.save(folder / "corpus")
    corpus.only_langs(["en"]).save(folder / "english")
    tiny_static.save(str(folder / "static"))
    shutil.copytree(tiny_bert, folder / "bert")
    (folder / "en-de.txt").write_text("cat Katze\ndog Hund\nhouse Haus\n", encoding="utf-8")
    (folder / "x.toml").write_text(
        f'name = "x"\n[data]\ncorpus = "{folder}/corpus"\nsplit = {{ train = 0.6, test = 0.4 }}\n'
        '[encoder]\nname = "static"\nsize = 200\ndimension = 16\n[training]\nsteps = 2\nbatch_size = 8\n'
        '[compare]\nstrategies = ["mono", "hybrid"]\nseeds = [0]\n',
        encoding="utf-8",
    )
    return folder


COMMANDS = {
    "audit": "audit DATA/static -c DATA/corpus --out OUT",
    "audit, stored": "audit DATA/bert -c DATA/corpus --out OUT",
    "train": "train -c DATA/corpus --model static --steps 2 --batch-size 8 --out OUT",
    "train, checkpoints": "train -c DATA/corpus --model DATA/bert --steps 2 --batch-size 8 --checkpoint-every 1 --out OUT",
    "compare": "compare DATA/x.toml --out OUT",
    "data": "data DATA/corpus --to OUT",
    "index": "index DATA/corpus --to OUT --model DATA/static",
    "mine": "mine DATA/static -c DATA/corpus --out OUT",
    "codeswitch": "codeswitch -c DATA/english --lexicon en:de=DATA/en-de.txt --out OUT",
    "debias": "debias DATA/static --on DATA/corpus --out OUT",
}


def words(command: str, data: Path, out: Path) -> list[str]:
    return [word.replace("DATA", str(data)).replace("OUT", str(out)) for word in COMMANDS[command].split()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_ends_a_command_with_one_sentence(
    babelmix: Run, data: Path, tmp_path, monkeypatch, command: str
) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    with full_disk():
        code, printed, said = babelmix(*words(command, data, out))
    assert (code, printed) == (1, "")
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "File too large" in line or "cannot be" in line
    assert temporary(tmp_path) == []
    # The folder of an experiment, and that of checkpoints, is there for the next try; nothing else is.
    assert not any(path.is_file() and path.stat().st_size for path in out.rglob("*") if "locks" not in path.parts)


def test_an_older_result_survives_a_full_disk(babelmix: Run, data: Path, tmp_path) -> None:
    out = tmp_path / "out"
    assert babelmix(*words("codeswitch", data, out))[0] == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with full_disk(1000):
        assert babelmix(*words("codeswitch", data, out), "--seed", "1")[0] == 1
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_an_index_is_not_begun_on_a_disk_that_is_nearly_full(babelmix: Run, data: Path, tmp_path, monkeypatch) -> None:
    out = tmp_path / "out"
    usage = shutil.disk_usage(tmp_path)
    left = [f"error: {out}: its disk has 9 MiB left, and 96 have to be free; make room, and try again"]
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9 << 20))
        code, _, said = babelmix(*words("index", data, out))
        # The rows were checked before.
        assert (code, said.splitlines()[-1:]) == (1, left)
        assert list(tmp_path.iterdir()) == []
    assert babelmix(*words("index", data, out))[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9 << 20))
        assert babelmix("index", "--to", str(out), "--delete", "i1")[0] == 1
        # The library's log would end the process by SIGBUS.
        code, _, said = babelmix("search", "cat", "--in", str(out))
        assert (code, said.splitlines()) == (1, left)
    code, printed, _ = babelmix("index", "--to", str(out), "--delete", "i1", "--json")
    assert (code, json.loads(printed)["items_removed"]) == (0, 1)


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


HALFWAY = {
    "audit": "babelmix.encoders.embed.encode_batch",
    "train": "babelmix.training.plan_trainer.PlanTrainer.training_step",
    "compare": "babelmix.experiment.running.add_audit",
    "index": "babelmix.search.encoding.PointEncoder.__call__",
    "mine": "babelmix.training.mining._mined",
    "codeswitch": "babelmix.corpus.codeswitch.switch",
    "debias": "babelmix.encoders.embed.encode_batch",
    "data": "babelmix.corpus.storage.write_json",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", HALFWAY)
def test_an_interrupt_is_one_line_and_status_130(
    babelmix: Run, data: Path, tmp_path, monkeypatch, command: str
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(os, "_exit", sys.exit)
        patched.setattr(HALFWAY[command], interrupt)
        code, printed, said = babelmix(*words(command, data, out))
    assert (code, printed) == (130, "")
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "interrupted: run the same command again to go on from what it kept"
    assert temporary(tmp_path) == []
    assert babelmix(*words(command, data, out))[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("why", ["read-only", "full"])
def test_a_cache_that_cannot_be_written_to_is_done_without(
    babelmix: Run, data: Path, tmp_path, monkeypatch, why: str
) -> None:
    monkeypatch.setattr(_cache, "_told", set())
    assert babelmix(*words("audit, stored", data, tmp_path / "right"))[0] == 0
    if why == "read-only":
        # Nothing can be made there, whoever asks.
        monkeypatch.setenv("BABELMIX_CACHE", "/proc/babelmix")
    else:
        monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
        add = EmbeddingStore.add

        def limited(*arguments: object) -> None:
            with full_disk():
                add(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(EmbeddingStore, "add", limited)
    code, _, said = babelmix(*words("audit, stored", data, tmp_path / "out"))
    assert code == 0, said
    assert said.count("embeddings are not kept, because") == 1
    right, found = (Audit.load(tmp_path / name) for name in ("right", "out"))
    assert np.array_equal(right.table.outranking_counts, found.table.outranking_counts)


def test_what_is_made_once_is_made_elsewhere_if_it_must(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_cache, "_told", set())
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    assert _cache.place_for("encoders", "encoders", "x") == tmp_path / "encoders" / "x"
    monkeypatch.setenv("BABELMIX_CACHE", "/proc/babelmix")
    first = _cache.place_for("encoders", "encoders", "x")
    write_json(first / "a.json", 1)
    assert _cache.place_for("encoders", "encoders", "x") == first


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_nothing(babelmix: Run, data: Path, tmp_path, monkeypatch) -> None:
    now = iter(range(1_700_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    for command in ("train, checkpoints", "audit", "index"):
        out = tmp_path / command
        code, _, said = babelmix(*words(command, data, out))
        assert code == 0, said
        for file in out.rglob("*"):
            os.utime(file, (next(now), next(now)))
    # What is finished is known by what it is, not by when it was made.
    ranks = (tmp_path / "audit" / "ranks.parquet").read_bytes()
    assert babelmix(*words("audit", data, tmp_path / "audit"))[0] == 0
    assert (tmp_path / "audit" / "ranks.parquet").read_bytes() == ranks
    code, printed, _ = babelmix(*words("index", data, tmp_path / "index"), "--json")
    assert (code, json.loads(printed)["written"], json.loads(printed)["unchanged"]) == (0, 0, 160)


@pytest.mark.slow
def test_what_a_kill_left_of_a_finished_run_goes(babelmix: Run, data: Path, tmp_path) -> None:
    out = tmp_path / "out"
    assert babelmix(*words("compare", data, out))[0] == 0
    seed = out / "runs" / "mono" / "seed-0"
    before = {file: file.read_bytes() for file in seed.rglob("*.parquet")}
    # It had finished, and was about to delete these.
    for name in ("model.checkpoints/checkpoint-1", ".model.checkpoints.abcd1234.part/checkpoint-1"):
        (seed / name).mkdir(parents=True)
    assert babelmix(*words("compare", data, out))[0] == 0
    assert sorted(path.name for path in seed.iterdir()) == ["audit", "model", "training.json"]
    assert before == {file: file.read_bytes() for file in seed.rglob("*.parquet")}


def test_a_result_does_not_depend_on_what_the_cache_holds(babelmix: Run, data: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    found = []
    for name in ("first", "second"):
        place = tmp_path / name
        given = ["debias", str(data / "bert"), "--on", str(data / "corpus"), "--out", str(place)]
        assert babelmix(*given)[0] == 0
        found.append({str(f.relative_to(place)): f.read_bytes() for f in place.rglob("*") if f.is_file()})
    assert found[0] == found[1]


# --- two at once


def test_two_share_a_cache(tiny_static, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    texts = [f"cat {i} dog" for i in range(900)]
    expected = tiny_static.encode_query(texts)
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        found[number] = encode(Counting(tiny_static), texts[:: (-1) ** number], "query")  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vectors in found.items():
        assert np.allclose(vectors[:: (-1) ** number], expected, atol=1e-6)
    again = Counting(tiny_static)
    assert np.allclose(encode(again, texts, "query"), expected, atol=1e-6)  # type: ignore[arg-type]
    assert (len(found), again.seen, temporary(tmp_path)) == (3, [], [])


def test_what_a_dead_process_left_in_a_cache_is_removed(tmp_path) -> None:
    keys, vectors = text_keys(["a", "b"]), np.ones((2, 3), dtype=np.float32)
    EmbeddingStore(tmp_path).add(keys, vectors)
    # It died between the two names, as it wrote, and is still at work.
    np.save(tmp_path / "dead.vectors.npy", vectors)
    np.save(tmp_path / "alive.vectors.npy", vectors)
    (tmp_path / ".x.keys.npy.abcd1234.part").mkdir()
    with replacing_file(tmp_path / "alive.keys.npy") as slow:
        EmbeddingStore(tmp_path).add(keys, vectors)
        with slow.open("wb") as sink:
            np.save(sink, np.column_stack([keys, _checks(keys, vectors)]))
    assert not (tmp_path / "dead.vectors.npy").exists()
    assert temporary(tmp_path) == []
    table, files = EmbeddingStore(tmp_path).load()
    assert (table.height, len(files)) == (2, 3)
