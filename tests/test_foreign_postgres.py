"""Language out of a real PostgreSQL with pgvector: odd names, keys of several columns, killed runs, what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from postgres_server import postgres_server

from babelmix.api.store_debiasing import debias_store
from babelmix.errors import ArgumentError, BabelmixError, SearchError
from babelmix.search.foreign import open_store

pytestmark = pytest.mark.slow

LANGS = ("de", "en", "ja")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
        yield url


@pytest.fixture
def connection(server: str) -> Iterator[Any]:
    import psycopg
    from pgvector.psycopg import register_vector

    with psycopg.connect(server, autocommit=True) as connection:
        register_vector(connection)
        yield connection


def rows(count: int = 300, dimension: int = 8) -> tuple[list[str | None], np.ndarray]:
    rng = np.random.default_rng(0)
    offsets = rng.standard_normal((3, dimension))
    vectors = offsets[np.arange(count) % 3] + 0.5 * rng.standard_normal((count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    langs: list[str | None] = [LANGS[n % 3] for n in range(count)]
    langs[::50] = [None] * len(langs[::50])
    return langs, vectors.astype(np.float32)


def between(langs: list[str | None], vectors: np.ndarray) -> float:
    means = np.stack([vectors[[one == lang for one in langs]].mean(axis=0) for lang in LANGS])
    return float(np.linalg.norm(means - means.mean(axis=0), axis=1).mean())


def address(server: str, table: str, **options: str) -> str:
    place, _, rest = server.partition("?")
    return f"{place}/{quote(table, safe='.')}?{rest}" + "".join(
        f"&{name}={quote(value)}" for name, value in options.items()
    )


def filled(
    connection: Any, table: str, key: dict[str, str] | None = None, kind: str = "vector(8)", lang: str = "lang"
) -> None:
    """A table with a key, a language, a text and a vector. Its last row has no vector."""
    from psycopg import sql

    key = key or {"id": "int"}
    langs, vectors = rows()
    makers: dict[str, Any] = {"int": int, "uuid": lambda n: uuid.UUID(int=n * 7919), "text": lambda n: f"it's {n}"}
    makers |= {"mood": lambda n: ("sad", "happy")[n % 2], "timestamptz": lambda n: f"2026-01-01 12:00:00.{n:06}+02"}
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    kinds = sql.SQL(", ").join(sql.SQL("{} " + of).format(sql.Identifier(name)) for name, of in key.items())
    where = sql.Identifier(table)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(where))
    connection.execute(
        sql.SQL("CREATE TABLE {} ({}, {} text, body text, embedding " + kind + ", PRIMARY KEY ({}))").format(
            where, kinds, sql.Identifier(lang), names
        )
    )
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(where)) as copy:
        for n, (one, vector) in enumerate(zip([*langs, "de"], [*vectors.tolist(), None], strict=True)):
            copy.write_row([*(makers[of](n) for of in key.values()), one, "x", vector and str(vector)])


def columns(connection: Any, table: str, *names: str, order: str = "id") -> list[Any]:
    listed = ", ".join(f'"{name}"' for name in names)
    return connection.execute(f"SELECT {listed} FROM {table} WHERE embedding IS NOT NULL ORDER BY {order}").fetchall()


def test_a_column_beside_the_old_one(server: str, connection: Any, tmp_path: Path) -> None:
    filled(connection, "articles")
    connection.execute("CREATE INDEX ON articles USING hnsw (embedding vector_cosine_ops)")
    langs, vectors = rows()
    found = debias_store(address(server, "articles"), write=True, out=tmp_path / "out")
    kept = columns(connection, "articles", "embedding", "embedding_debiased")
    old, new = (np.array([row[n].to_numpy() for row in kept]) for n in range(2))
    np.testing.assert_array_equal(old, vectors)
    assert found.written == 300
    assert found.rows == {"en": 100, "de": 96, "ja": 98, "no language": 6} or sum(found.rows.values()) == 300
    assert between(langs, new) < 0.2 * between(langs, old)
    np.testing.assert_allclose(new[1:2], found.removal.apply(old[1:2], ["en"], "passage"), atol=1e-6)
    np.testing.assert_array_equal(new[0], old[0])  # it has no language
    assert connection.execute("SELECT count(embedding_debiased) FROM articles WHERE embedding IS NULL").fetchone() == (
        0,
    )
    # The statements that it prints are valid, there and back.
    steps = found.steps
    connection.execute(steps["index"].partition(";")[0])
    for step, mark in (("search", "BEGIN"), ("back", "BEGIN")):
        statements = mark + steps[step].partition(mark)[2].partition("COMMIT;")[0] + "COMMIT;"
        connection.execute(statements)
    assert columns(connection, "articles", "embedding")[1][0].to_list() == pytest.approx(vectors[1].tolist())
    connection.execute(steps["back"].partition("remove it:")[2])


@pytest.mark.parametrize(
    ("table", "key", "kind", "lang"),
    [
        ('Odd "table"', {"id": "uuid"}, "vector(8)", "lang"),
        ("odd%s", {"id": "text"}, "halfvec(8)", "the {language}"),
        ("pairs", {"item %s": "text", "id": "int"}, "vector", "lang"),
        ("enumerated", {"kind": "mood", "id": "timestamptz"}, "vector(8)", "lang"),
    ],
)
def test_odd_names_and_keys(
    server: str, connection: Any, tmp_path: Path, table: str, key: dict[str, str], kind: str, lang: str
) -> None:
    from psycopg import sql

    filled(connection, table, key, kind, lang)
    _, vectors = rows()
    new = 'new "column"; DROP TABLE pairs; --%s'
    found = debias_store(address(server, table, lang=lang), to_vector=new, write=True, out=tmp_path / "out")
    assert found.written == 300
    if kind != "vector":  # without a dimension, nothing can be indexed
        connection.execute(found.steps["index"].partition("; VACUUM")[0])
    query = sql.SQL("SELECT embedding, {} FROM {} WHERE embedding IS NOT NULL").format(
        *map(sql.Identifier, (new, table))
    )
    kept = connection.execute(query).fetchall()
    old, made = (np.array([row[n].to_numpy() for row in kept], dtype=np.float32) for n in (0, 1))
    close = 1e-3 if kind.startswith("half") else 0
    np.testing.assert_allclose(np.sort(old, axis=0), np.sort(vectors, axis=0), atol=close)
    assert np.abs(made - old).max() > 0.1
    again = debias_store(address(server, table, lang=lang), to_vector=new, write=True, out=tmp_path / "out")
    assert again.written == 0
    other = debias_store(
        address(server, table, lang=lang), to_vector=new, write=True, out=tmp_path / "out", alpha=0.5, replace=True
    )
    assert other.written == 300


def test_a_schema_and_a_unique_index(server: str, connection: Any) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS other; DROP TABLE IF EXISTS other.t")
    connection.execute("CREATE TABLE other.t (id int NOT NULL, lang text, embedding vector(2), body vector(2))")
    place = address(server, "other.t")
    for options, said in (
        ({}, "2 columns of vectors"), ({"vector": "body"}, "no primary key"), ({"vector": "nine"}, "has no column 'nine'"),
        ({"vector": "lang"}, "type text"), ({"vector": "body", "id": "id"}, "no unique index"),
        ({"vector": "body", "lang": "l"}, "lang=COLUMN"),
        ({"vector": "body", "id": "id", "similarity": "l2"}, "no unique index"),
    ):  # fmt: skip
        with pytest.raises(SearchError, match=said):
            open_store(place + "".join(f"&{name}={value}" for name, value in options.items()))
    connection.execute("CREATE UNIQUE INDEX ON other.t (id)")
    store = open_store(place + "&vector=body&id=id&similarity=dot")
    assert (store.dimension, store.similarity, store.vector) == (2, "dot", "body")
    store.close()
    with pytest.raises(SearchError, match="no row with a vector"):
        debias_store(place + "&vector=body&id=id")
    connection.execute("CREATE VIEW other.v AS SELECT 1")
    with pytest.raises(SearchError, match="not a table"):
        open_store(address(server, "other.v"))
    with pytest.raises(SearchError, match="no such table"):
        open_store(address(server, "absent"))
    with pytest.raises(BabelmixError, match=r"postgresql://nobody@127\.0\.0\.1:9/x/t: ") as error:
        open_store("postgresql://nobody:secret@127.0.0.1:9/x/t")
    assert "secret" not in str(error.value)


def test_the_index_says_how_vectors_are_compared(server: str, connection: Any) -> None:
    for operators, similarity in (("vector_ip_ops", "dot"), ("vector_cosine_ops", "cosine"), ("vector_l2_ops", None)):
        connection.execute(
            "DROP TABLE IF EXISTS compared; CREATE TABLE compared (id int PRIMARY KEY, lang text, embedding vector(2))"
        )
        connection.execute(f"CREATE INDEX ON compared USING hnsw (embedding {operators})")
        store = open_store(address(server, "compared"))
        assert store.similarity == similarity
        assert operators in store.next_steps("new")["index"]
        store.close()


def test_what_others_made_is_kept(server: str, connection: Any, tmp_path: Path) -> None:
    filled(connection, "kept")
    connection.execute("ALTER TABLE kept ADD COLUMN theirs vector(8)")
    for name in ("theirs", "embedding", "body"):
        with pytest.raises((ArgumentError, SearchError), match=r"original|did not make"):
            debias_store(
                address(server, "kept", vector="embedding"),
                to_vector=name,
                write=True,
                replace=True,
                out=tmp_path / "out",
            )
    store = open_store(address(server, "kept", vector="embedding"))
    for name in ("theirs", "embedding"):
        with pytest.raises(SearchError, match="not one that babelmix added"):
            store.write(name, [(1,)], np.zeros((1, 8), dtype=np.float32))
        with pytest.raises(SearchError, match="not one that babelmix added"):
            store.drop(name)
    store.close()


def test_a_killed_process_goes_on(server: str, connection: Any, tmp_path: Path) -> None:
    filled(connection, "killed")
    connection.execute(
        "INSERT INTO killed SELECT 1000 * n + id, lang, 'more', embedding FROM killed, generate_series(1, 40) n WHERE id < 300"
    )
    count = connection.execute("SELECT count(embedding) FROM killed").fetchone()[0]
    command = [
        sys.executable, "-c", "import sys; from babelmix.api.store_debiasing import debias_store; "
        "debias_store(sys.argv[1], write=True, out=sys.argv[2])", address(server, "killed"), str(tmp_path / "out"),
    ]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
    query = "SELECT count(*) FROM killed WHERE to_jsonb(killed) ->> 'embedding_debiased' IS NOT NULL"
    while not (done := connection.execute(query).fetchone()[0]) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = connection.execute(query).fetchone()[0]
    assert 0 < done < count
    assert done % 1000 == 0
    found = debias_store(address(server, "killed"), write=True, out=tmp_path / "out")
    assert found.written == count - done
    kept = columns(connection, "killed", "lang", "embedding", "embedding_debiased")
    old, new = (np.array([row[n].to_numpy() for row in kept]) for n in (1, 2))
    langs = [row[0] for row in kept]
    known = [lang is not None for lang in langs]
    expected = found.removal.apply(old[known], [lang for lang in langs if lang], "passage")
    np.testing.assert_allclose(new[known], expected, atol=1e-6)
