"""Indexing by many workers of a Ray cluster: the same as by one, and nothing is lost or doubled when processes are killed."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from postgres_server import at, postgres_server

from babelmix.errors import SearchError
from babelmix.search import Index, Row, Where, workers
from babelmix.search.documents import RowSource
from babelmix.search.encoding import encode_points
from babelmix.search.workers import index_with_workers

pytest.importorskip("ray", reason="the extra 'scale' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

LANGS = ("de", "en", "fr")
TESTS = Path(__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}


@pytest.fixture
def command(tmp_path: Path, tiny_static) -> list[str]:
    """Indexes 3,000 rows of 1,000 items; an index and options are to follow."""
    tiny_static.save(str(tmp_path / "encoder"))
    rows = [{"item": f"i{i // 3:04}", "lang": LANGS[i % 3], "text": f"cat {i} {i % 7}"} for i in range(3000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return [
        sys.executable, "-m", "babelmix", "index", str(tmp_path / "rows.jsonl"), "--model", str(tmp_path / "encoder"),
        "--json", "--to",
    ]  # fmt: skip


def run(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def contents(address: Path | str) -> dict[str, tuple]:
    with Index.open(str(address)) as index:
        rows = index.engine.digests([f"i{i:04}" for i in range(1000)])
        query = np.ones((1, 16), dtype=np.float32)
        hits = index.engine.nearest(query, [Where()], 1000, exact=True)[0]
        scores = {hit.id: hit.score for hit in hits}
        return {name: (*row, round(scores.get(name, 0.0), 5)) for name, row in rows.items()}


@pytest.mark.slow
def test_many_workers_do_what_one_does(command: list[str], tmp_path: Path) -> None:
    assert run([*command, str(tmp_path / "one")])["written"] == 3000
    address = tmp_path / "many"
    many = [*command, str(address), "--ray", "local", "--workers", "2"]
    # The kill of the process that asks; workers that die are below.
    for _ in range(int(os.environ.get("BABELMIX_KILLS", "0"))):
        process = subprocess.Popen(many, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        while process.poll() is None and not (address / "index.json").exists():
            time.sleep(0.05)
        time.sleep(random.uniform(0, 10))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    told = run(many)
    assert told["written"] + told["unchanged"] == 3000
    assert told["langs"] == dict.fromkeys(LANGS, 1000)
    assert contents(address) == contents(tmp_path / "one")


@pytest.mark.slow
def test_workers_write_into_postgresql_themselves(command: list[str], tmp_path: Path) -> None:
    pytest.importorskip("pgvector", reason="the extra 'postgres' is not installed")
    assert run([*command, str(tmp_path / "one")])["written"] == 3000
    with postgres_server() as url:
        address = at(url, "many")
        many = [*command, address, "--ray", "local", "--workers", "2"]
        process = subprocess.Popen(many, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        # The driver is killed once the workers have written something.
        while process.poll() is None:
            with contextlib.suppress(SearchError), Index.open(address) as index:
                if index.langs():
                    break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        told = run(many)
        assert told["unchanged"] > 0
        assert told["written"] + told["unchanged"] == 3000
        assert told["langs"] == dict.fromkeys(LANGS, 1000)
        ours, folder = contents(address), contents(tmp_path / "one")
        assert {name: row[:2] for name, row in ours.items()} == {name: row[:2] for name, row in folder.items()}
        # Two engines round the last digits differently.
        scores = [sorted(row[2] for row in rows.values()) for rows in (ours, folder)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.slow
def test_killed_workers_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TESTS / "worker_faults.py"), str(tmp_path)], capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["killed"]
    assert told["results"] == [[number, 2 * number] for number in range(40)]
    assert told["nothing"] == []
    first, second = told["errors"]
    assert first == "cannot double -1"
    assert "4 workers died one after the other" in second
    # The piece that killed its worker was begun again, and no other piece was done again for nothing.
    assert len((tmp_path / "done-5").read_text()) == 2
    assert sum(len((tmp_path / f"done-{number}").read_text()) for number in range(40)) <= 44


@pytest.mark.parametrize("shared", [False, True])
def test_one_process_keeps_the_columns(searcher, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    """Batches under way agree on types, and workers that write themselves leave the index's facts alone."""
    index, encoder = searcher.index, searcher.encoder
    monkeypatch.setattr(index.engine, "shared", shared, raising=False)

    def spread(pieces, pack, make, address, *, workers):
        # All are handed out before the first is done.
        for changes in list(pieces):
            sent = pickle.loads(pack(changes))
            assert sent.columns == {}
            vectors = encode_points(encoder, sent.points)
            if shared:
                index.write(sent, vectors)
            yield changes, vectors.tobytes()

    monkeypatch.setattr(workers, "spread", spread)
    rows = [Row(f"new{i}", "de", f"cat {i}", fields={"year": i}) for i in range(4)]
    given = RowSource("new", 4, lambda: iter([row] for row in rows))
    assert index_with_workers(index, given, "tiny", key="", size=1).written == 4
    assert index.columns == {"year": "integer"}
    assert index.engine.about()["columns"] == {"year": "integer"}
    rows = [Row("x0", "de", "cat", fields={"page": 1}), Row("x1", "de", "cat", fields={"page": "one"})]
    with pytest.raises(SearchError, match="column 'page'"):
        index_with_workers(index, RowSource("new", 2, lambda: iter([row] for row in rows)), "tiny", key="", size=1)


@pytest.mark.slow
def test_a_cluster_that_is_not_there(command: list[str], tmp_path: Path, babelmix) -> None:
    status, _, said = babelmix(*command[3:], str(tmp_path / "index"), "--workers", "2")
    assert (status, said) == (1, "error: --workers: is for a Ray cluster; name one with  ray, such as  local\n")
