"""Someone else's tables on a real PostgreSQL: what is found, what an audit measures, and that nothing is written."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from postgres_server import postgres_server

import babelmix as bm
from babelmix.api.store_debiasing import debias_store
from babelmix.api.through_auditing import audit_through
from babelmix.corpus import Corpus
from babelmix.errors import BabelmixError, MissingExtraError, SearchError
from babelmix.search.engines.opening import foreign_engine, open_engine
from babelmix.search.foreign.postgres_collection import PostgresCollection
from babelmix.search.rows import Where

pytestmark = pytest.mark.slow

ODD = 'odd "% {table}'


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_server() as found:
        yield found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_static: Any) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_static.save(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def vectors(tiny_static: Any) -> np.ndarray:
    """The vectors of the passages of the toy corpus, as its owner stored them: not of length one."""
    found = tiny_static.encode_document(parallel_corpus().passages["text"].to_pylist())
    return found * (1 + np.arange(len(found)) % 3)[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def at(url: str, vectors: np.ndarray) -> Callable[..., str]:
    """Tables as others make them; gives the address of one, with options."""
    import psycopg
    from psycopg import sql

    passages = parallel_corpus().passages.to_pylist()
    with psycopg.connect(url, autocommit=True) as connection:
        run = connection.execute
        run("CREATE EXTENSION IF NOT EXISTS vector")
        for name, kind in (
            ("plain", "vector(16)"),
            ("half", "halfvec(16)"),
            ("dots", "vector"),
            ("unit", "vector(16)"),
        ):
            run(sql.SQL(
                "CREATE TABLE {} (key uuid PRIMARY KEY, doc_id text, doc text, lang varchar, body text, year int, price numeric, "
                "meta jsonb, embedding " + kind + ")"
            ).format(sql.Identifier(name)))  # fmt: skip
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            with connection.cursor() as cursor:
                cursor.executemany(
                    sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)").format(sql.Identifier(name)),
                    [
                        (
                            uuid.UUID(int=n), f"{p['item']}/{p['lang']}", p["item"], p["lang"], p["text"], 2000 + n % 3, n / 4,
                            json.dumps({"at": {"lang": p["lang"].upper()}}),
                            str((unit if name == "unit" else vectors)[n].tolist()),
                        )
                        for n, p in enumerate(passages)
                    ],
                )  # fmt: skip
        run("CREATE INDEX ON half USING hnsw (embedding halfvec_cosine_ops)")
        run("ALTER TABLE dots ALTER embedding TYPE vector(16)")
        run("CREATE INDEX ON dots USING hnsw (embedding vector_ip_ops)")
        run("CREATE INDEX ON unit USING ivfflat (embedding vector_l2_ops) WITH (lists = 4)")
        run("ALTER TABLE dots ALTER embedding TYPE vector")
        run(sql.SQL(
            'CREATE TABLE {} AS SELECT key AS "the % {{key}}", doc, CASE WHEN year > 2000 THEN upper(lang) END AS "Lang""%", '
            'body AS "b%s", CASE WHEN year <> 2001 THEN embedding END AS "v%" FROM plain'
        ).format(sql.Identifier(ODD)))  # fmt: skip
        run(
            "CREATE VIEW long AS SELECT key, doc, lang, body AS title, repeat(body || ' ', 9) AS text, embedding FROM plain"
        )
        run("CREATE VIEW seen AS SELECT doc_id, lang, body, embedding FROM plain")
        run("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")

    def address(table: str, user: str = "postgres", **options: str) -> str:
        from urllib.parse import quote, urlencode

        place, _, query = url.replace("postgres@", f"{user}@").partition("?")
        return f"{place}/{quote(table, safe='')}?{query}&{urlencode(options)}"

    return address


def opened(address: str, similarity: Any = "cosine") -> Any:
    engine = PostgresCollection.open(address)
    engine.use(similarity)
    return closing(engine)


@pytest.mark.parametrize(("table", "metric", "close"), [
    ("plain", "cosine", 1e-5), ("half", "cosine", 2e-3), ("dots", "dot", 1e-4), ("unit", "cosine", 1e-5),
])  # fmt: skip
def test_the_nearest_are_those_of_all_vectors(
    at: Callable[..., str], vectors: np.ndarray, table: str, metric: str, close: float
) -> None:
    passages = parallel_corpus().passages.to_pylist()
    kept = vectors if metric == "dot" else vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    with opened(at(table, id="doc_id")) as engine:
        assert (engine.similarity, engine.dimension, engine.read_only) == (metric, 16, True)
        assert engine.langs() == {"de": 40, "en": 40, "fr": 40, "ja": 40}
        assert engine.columns == {"key": "text", "doc": "text", "year": "integer", "price": "number"}
        for exact in (False, True):
            wheres = [
                Where(), Where(("ja",)), Where(("de", "fr"), {"year": (2001, 2002)}), Where(None, {"item": ("i3/en",)}),
                Where(("en",), {"price": (0.25, 1.25)}), Where((), {}),
            ]  # fmt: skip
            queries = kept[[5, 9, 70, 1, 2, 3]]
            for query, where, hits in zip(
                queries, wheres, engine.nearest(queries, wheres, 25, exact=exact), strict=True
            ):
                passes = [
                    (where.langs is None or p["lang"] in where.langs)
                    and (2000 + n % 3) in where.fields.get("year", (2000, 2001, 2002))
                    and n / 4 in where.fields.get("price", (n / 4,))
                    and f"{p['item']}/{p['lang']}" in where.fields.get("item", (f"{p['item']}/{p['lang']}",))
                    for n, p in enumerate(passages)
                ]
                best = np.sort((kept @ query)[passes])[::-1][:25]
                assert len(hits) == len(best)
                if table == "unit" and not exact:
                    continue  # IVFFlat looks at one of four lists
                np.testing.assert_allclose([hit.score for hit in hits], best, atol=close)
                assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)
                by_id = {f"{p['item']}/{p['lang']}": (p["lang"], p["text"]) for p in passages}
                assert all((hit.lang, hit.text) == by_id[hit.item] for hit in hits)
        some = engine.sample("ja", 10)
        assert some.shape == (10, 16)
        np.testing.assert_array_equal(some, engine.sample("ja", 10))
        if metric == "cosine":
            np.testing.assert_allclose(np.linalg.norm(some, axis=1), 1, atol=1e-5)


def indexed(url: str, name: str, vectors: np.ndarray, every: int) -> None:
    """A table of English rows with an HNSW index, in which every so many-th row is Swahili."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, lang text, text text, v vector({vectors.shape[1]}))"
        )
        with connection.cursor() as cursor:
            rows = [(n, "en" if n % every else "sw", str(n), str(v.tolist())) for n, v in enumerate(vectors)]
            cursor.executemany(f"INSERT INTO {name} VALUES (%s, %s, %s, %s)", rows)
        connection.execute(f"CREATE INDEX ON {name} USING hnsw (v vector_cosine_ops); ANALYZE {name}")


def test_a_rare_language_is_found_behind_the_index(at: Callable[..., str], url: str) -> None:
    """HNSW looks at few rows: without iterative scans and the exact search, a filter would leave none."""
    many = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    indexed(url, "rare", many, 500)
    unit = many / np.linalg.norm(many, axis=1, keepdims=True)
    with opened(at("rare")) as engine:
        for query in unit[:5]:
            hits = engine.nearest(query[None], [Where(("sw",))], 10)[0]
            best = np.argsort(-unit[::500] @ query, kind="stable") * 500
            assert [int(hit.id) for hit in hits] == best.tolist()
    # A limit on the iterative scan of the address: the exact search finds the others.
    with opened(at("rare", options="-c hnsw.max_scan_tuples=1")) as engine:
        assert len(engine.nearest(unit[:1], [Where(("sw",))], 10)[0]) == 6


def test_an_index_of_lists_that_are_not_all_read_is_told(at: Callable[..., str]) -> None:
    for table, probes, told in ("unit", "1", True), ("unit", "4", False), ("half", "1", False):
        with opened(at(table, id="doc_id", options=f"-c ivfflat.probes={probes}")) as engine:
            assert any("looks at 1 of its 4 lists" in note for note in engine.notes) == told


def test_a_filtered_search_behind_the_index_finds_nearly_all(at: Callable[..., str], url: str) -> None:
    """Iterative scans in strict order leave rows out."""
    rng = np.random.default_rng(1)
    indexed(url, "tenth", rng.standard_normal((4000, 64)).astype(np.float32), 10)
    found = 0
    with opened(at("tenth", options="-c enable_sort=off")) as engine:
        for query in rng.standard_normal((20, 64)).astype(np.float32):
            hits, best = (engine.nearest(query[None], [Where(("sw",))], 10, exact=exact)[0] for exact in (False, True))
            found += len({hit.id for hit in hits} & {hit.id for hit in best})
    assert found >= 190


def test_names_that_need_quotes_missing_languages_and_missing_vectors(at: Callable[..., str]) -> None:
    address = at(ODD, id="the % {key}", item="doc", lang='Lang"%', text="b%s", vector="v%")
    with opened(address) as engine:
        langs = engine.langs()
        assert sum(langs.values()) == 107
        assert langs["und"] == 54
        assert "54 of 107 rows have no language" in " ".join(engine.notes)
        hits = engine.nearest(np.ones((1, 16), dtype=np.float32), [Where(("und",))], 100)[0]
        assert (len(hits), {hit.lang for hit in hits}) == (54, {"und"})
        assert (
            len(engine.nearest(np.ones((1, 16), dtype=np.float32), [Where(("ja", "de"))], 100)[0])
            == langs["ja"] + langs["de"]
        )
        assert {hit.item for hit in hits} <= {f"i{n}" for n in range(40)}
        assert len(engine.sample("und", 1000)) == 54
        # A query of zeros has no cosine.
        assert len(engine.nearest(np.zeros((1, 16), dtype=np.float32), [Where(None, {"item": ("i1",)})], 9)[0]) > 0
    with opened(at("plain", lang="meta.at.lang")) as engine:
        assert engine.langs() == {"de": 40, "en": 40, "fr": 40, "ja": 40}
        assert len(engine.nearest(np.ones((1, 16), dtype=np.float32), [Where(("fr",))], 100)[0]) == 40


def test_the_audit_is_that_of_the_vectors(
    at: Callable[..., str], vectors: np.ndarray, tiny_static: Any, model: str, tmp_path: Path
) -> None:
    corpus = parallel_corpus()
    asked = tiny_static.encode_query(corpus.queries["text"].to_pylist())
    files = bm.audit(bm.Vectors(asked, vectors), corpus, metrics=["mAP@200", "nDCG@10"])
    np.save(tmp_path / "queries.npy", asked)
    balanced = set()
    for options in ({"id": "key", "item": "doc"}, {"id": "doc,lang"}, {"user": "reader", "id": "doc_id"}):
        report = audit_through(
            at("plain", **options), corpus, policies=["any", "balanced"], depth=200,
            metrics=["mAP@200", "nDCG@10"], model=model,
        )  # fmt: skip
        got = {
            (policy, measure): estimate.value
            for policy, found in report.comparison.found.items()
            for measure, (estimate, _) in found.items()
        }
        for measure in ("multi/mAP@200", "multi/nDCG@10"):
            assert got["any", measure] == pytest.approx(files.macro(measure), abs=1e-6), options
        # However rows are named, a policy finds the same.
        balanced.add(round(got["balanced", "multi/mAP@200"], 6))
    assert len(balanced) == 1
    given = audit_through(
        at("seen", id="doc_id"), corpus, policies="any", depth=200, metrics="mAP@200",
        query_vectors=tmp_path / "queries.npy", out=tmp_path / "out",
    )  # fmt: skip
    assert given.comparison.found["any"]["multi/mAP@200"][0].value == pytest.approx(
        files.macro("multi/mAP@200"), abs=1e-6
    )
    assert "no index of vectors" in " ".join(given.comparison.about["notes"])


def test_the_rows_of_a_table_ask_for_themselves(at: Callable[..., str], model: str) -> None:
    report = audit_through(at("long", id="key", item="doc"), queries_from="titles", policies="any", model=model)
    assert report.comparison.about["passages"] == 160


def test_clicks_name_the_rows_of_a_table_by_their_keys(at: Callable[..., str], model: str, tmp_path: Path) -> None:
    passages = parallel_corpus().passages.to_pylist()
    log = tmp_path / "ctr.csv"
    log.write_text(
        "term,ui,article,n\n"
        + "".join(f"{p['text']},{p['lang']},{uuid.UUID(int=n)},2\n" for n, p in enumerate(passages[:40]))
    )
    place, clicks = at("long", id="key", item="doc"), f"{log}?query=term&lang=ui&clicked_id=article&count=n"
    made = bm.make_queries(place, queries_from=clicks, out=tmp_path / "asked", grades="log2", min_clicks=1)
    asked = {(f"{p['lang']}: {p['text']}", p["item"], 2) for p in passages[:40]}
    assert {(one["query_item"], one["passage_item"], one["grade"]) for one in made.corpus.qrels.to_pylist()} == asked
    report = audit_through(place, tmp_path / "asked", policies="any", model=model)
    assert report.comparison.about["passages"] == 160
    again = audit_through(place, queries_from=clicks, policies="any", model=model)
    assert again.comparison.about["queries"] == report.comparison.about["queries"] == made.corpus.queries.num_rows


def test_words_are_those_of_each_language(at: Callable[..., str], url: str, model: str) -> None:
    import psycopg

    texts = [
        ("de", "Die Häuser am Fluss"), ("de", "Das Haus, das Haus"), ("en", "Houses by the river"), ("en", "A haus"),
        ("ja", "Haus 42"), (None, "Ein Haus am Meer"),
    ]  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE worded (id int PRIMARY KEY, lang text, text text, v vector(16))")
        with connection.cursor() as cursor:
            rows = [(n, lang, text, str([1.0] * 16)) for n, (lang, text) in enumerate(texts)]
            cursor.executemany("INSERT INTO worded VALUES (%s, %s, %s, %s)", rows)
        connection.execute("CREATE TABLE ready AS SELECT * FROM worded; ALTER TABLE ready ADD PRIMARY KEY (id)")
        connection.execute(
            "ALTER TABLE ready ADD words tsvector GENERATED ALWAYS AS (to_tsvector('german', text)) STORED; "
            "CREATE INDEX ON ready USING gin (words)"
        )
    with opened(at("worded")) as engine:
        found = engine.with_words(["Haus", "houses", "100% 'q' & | \\0", ""], [Where()] * 4, 10)
        # German words lose their endings, and so do English ones; other languages keep theirs.
        assert {hit.id for hit in found[0]} == {"0", "1", "3", "4", "5"}
        assert [hit.id for hit in found[1]] == ["2"]
        assert found[2:] == [[], []]
        assert [hit.id for hit in engine.with_words(["Haus"], [Where(("de",), {"item": ("1",)})], 9)[0]] == ["1"]
        assert "no index of full text" in " ".join(engine.notes)
    with opened(at("ready")) as engine:
        # The documents were made as German texts, whatever their language.
        assert {hit.id for hit in engine.with_words(["Häusern"], [Where()], 10)[0]} == {"0", "1", "3", "4", "5"}
        assert not any("full text" in note for note in engine.notes)
    with bm.open_index(at("worded"), model=model) as index:
        assert index.search("Häuser", mode="hybrid", policy="balanced", k=3)[0].lang == "de"
    with pytest.raises(SearchError, match="no column 'text' of the type tsvector"):
        bm.open_index(at("ready", words="text"), model=model)


def test_a_collection_with_other_things_is_no_bad_score(at: Callable[..., str], model: str) -> None:
    corpus = parallel_corpus()
    with pytest.raises(SearchError, match=r"its ids are not those of the corpus.*'00000000-0000.*'i0/de'"):
        audit_through(at("plain"), corpus, model=model)
    large = parallel_corpus(items=90)
    with pytest.raises(SearchError, match="holds 160 of 360 passages"):
        audit_through(at("plain", id="doc_id"), large, model=model)
    small = Corpus.from_rows(
        parallel_corpus(30).queries.to_pylist(), parallel_corpus(41).passages.to_pylist()[: 4 * 41],
        [(f"i{n}", f"i{n}") for n in range(30)], name="other",
    )  # fmt: skip
    report = audit_through(at("plain", id="doc_id"), small, policies="any", model=model)
    notes = " ".join(report.comparison.about["notes"])
    assert "the collection lacks 4" in notes


def test_nothing_can_be_written(at: Callable[..., str], url: str) -> None:
    import psycopg

    with opened(at("plain")) as engine:
        for write in (
            lambda: engine.put([]), lambda: engine.remove(["a"]), lambda: engine.remember({}),
            lambda: engine.forget_corrected("de"), lambda: engine.correct(lambda vectors, langs: vectors),
            lambda: PostgresCollection.create(at("plain"), 8, {}),
        ):  # fmt: skip
            with pytest.raises(SearchError, match="read-only"):
                write()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            engine._connection.execute("DELETE FROM plain")
    for command in ("index", "debias"):
        with pytest.raises(BabelmixError):
            bm.build_index("x.csv", at("plain", id="doc_id")) if command == "index" else bm.debias_index(
                at("plain", id="key"), "y"
            )
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM plain").fetchone() == (160,)


@pytest.fixture(scope="module")
def articles(at: Callable[..., str], url: str, model: str) -> Callable[..., str]:
    """A table as a shop has it: `locale` is written as de_DE, and a headline is the title."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE kb_articles AS SELECT doc_id AS slug, doc AS article, lang || CASE lang WHEN 'de' THEN '_DE' WHEN 'en' "
            "THEN '_US' ELSE '' END AS locale, body AS headline, repeat(body || ' ', 9) AS content, embedding AS emb FROM plain"
        )
        connection.execute("ALTER TABLE kb_articles ADD PRIMARY KEY (slug)")
        connection.execute(
            "CREATE VIEW odd_articles AS SELECT slug, article, locale AS culture, content, emb FROM kb_articles"
        )
    return lambda table="kb_articles", **options: at(table, **options)


def test_a_locale_is_a_language_and_the_address_names_titles(articles: Callable[..., str], model: str) -> None:
    with opened(articles(item="article", title="headline")) as engine:
        assert engine.langs() == {"de-DE": 40, "en-US": 40, "fr": 40, "ja": 40}
        hit = engine.nearest(np.ones((1, 16), dtype=np.float32), [Where(("de",)).among(engine.langs(), "")], 1)[0][0]
        assert hit.fields["title"]
        assert "headline" not in hit.fields
    report = audit_through(
        articles(item="article", title="headline"), queries_from="titles", policies="any", model=model
    )
    assert report.comparison.about["passages"] == 160
    with pytest.raises(
        BabelmixError, match=r"no column is called title or heading; .*\?title=COLUMN  \(columns: .*headline"
    ):
        audit_through(articles(item="article"), queries_from="titles", policies="any", model=model)
    with pytest.raises(SearchError, match=r"has no column of texts 'head' .*columns: .*headline"):
        PostgresCollection.open(articles(title="head"))


def test_a_column_that_may_be_the_language_is_named(
    articles: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingExtraError("needs py3langid")

    monkeypatch.setattr("babelmix.search.foreign.detected.check_detector", missing)
    with pytest.raises(
        MissingExtraError, match=r"one states the language, name it:  \?lang=culture .*needs py3langid"
    ):
        PostgresCollection.open(articles("odd_articles", id="slug"))


def test_a_query_is_corrected_like_the_rows_of_its_locale(
    articles: Callable[..., str], model: str, tiny_static: Any, tmp_path: Path
) -> None:
    done = debias_store(
        articles(title="headline", similarity="cosine"), to_vector="less", write=True, out=tmp_path / "out"
    )
    assert {"de-DE", "en-US", "fr", "ja"} == set(done.removal.langs)
    address = articles(vector="less", similarity="cosine", removal=str(tmp_path / "out" / "removal.safetensors"))
    with bm.open_index(address, model=model) as index:
        plain = tiny_static.encode_query(["Katze Hund"])
        as_rows = done.removal.apply(plain, ["de-DE"], "passage")
        assert np.abs(as_rows - plain / np.linalg.norm(plain)).max() > 0.05
        for lang in ("de-DE", "de", "de-AT"):
            np.testing.assert_allclose(index.embed(["Katze Hund"], [lang]), as_rows, atol=1e-6)
    debias_store(
        articles(title="headline", similarity="cosine"),
        write=True,
        out=tmp_path / "default",
        removal=tmp_path / "out" / "removal.safetensors",
    )
    for removal, told in ({}, 1), ({"removal": str(tmp_path / "out" / "removal.safetensors")}, 0):
        with opened(articles(vector="embedding_debiased", **removal)) as engine:
            assert sum("queries are not corrected" in note for note in engine.notes) == told


def test_our_own_index_is_no_foreign_table(url: str, at: Callable[..., str], tiny_static: Any) -> None:
    address = at("mine").removesuffix("&")
    bm.search.Index.create(address, tiny_static, "tiny").close()
    assert foreign_engine(address) is None
    with closing(open_engine(address)) as engine:
        assert not engine.read_only
    assert foreign_engine(at("plain").removesuffix("&")) is PostgresCollection


def test_vectors_of_another_encoder_are_noticed(at: Callable[..., str], model: str, tmp_path: Path) -> None:
    from babelmix.encoders import static

    texts = parallel_corpus().passages["text"].to_pylist()
    static.from_scratch(" ".join(texts), vocabulary=200, dimension=16, seed=9).save(str(tmp_path / "other"))
    for table, name, problems in (
        ("plain", model, 0), ("dots", model, 0), ("half", model, 0), ("plain", str(tmp_path / "other"), 1),
    ):  # fmt: skip
        with bm.open_index(at(table, id="doc_id"), model=name) as index:
            assert sum("were not made by this encoder" in note for note in index.notes) == problems, (table, name)
        found = bm.doctor(model=name, through=at(table, id="doc_id")).found["encoder"]
        assert len(found) == problems
        assert all(one.serious and "median cosine of" in one.what for one in found)


def test_a_refused_login_names_where_a_password_may_be(at: Callable[..., str]) -> None:
    from babelmix.search.foreign.postgres import refused

    said = 'connection failed: FATAL:  password authentication failed for user "me"'
    assert str(refused("postgresql://me@db/x/y", Exception(said))).endswith(
        '"me"; set PGPASSWORD, or keep the password in ~/.pgpass (or in the file of PGPASSFILE)'
    )
    assert "PGPASSWORD" not in str(refused("postgresql://me@db/x/y", Exception("connection refused")))


def test_what_is_wrong_is_said(at: Callable[..., str], model: str, tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    from babelmix.encoders import static

    static.from_scratch("a cat", vocabulary=20, dimension=8).save(str(wide))
    for address, given, said in (
        (at("absent", id="x"), model, "no such table; there are .*plain"),
        (at("absent").removesuffix("&"), model, "no table of this name .there are .*plain"),
        (at("plain", vector="year"), model, "of the type int4"),
        (at("plain", id="nokey"), model, r"say which one it is with  \?id=COLUMN"),
        (at("plain", lang="language"), model, "has no column 'language'"),
        (at("seen"), model, "no primary key"), (at("plain", similarity="hamming"), model, "cosine, dot or l2"),
        (at("plain", similarity="l2"), model, "Euclidean distance.*similarity=cosine"), (at("plain"), None, "--model NAME"),
        (at("plain"), str(wide), "have 16 dimensions, and those of .* have 8"),
        ("postgresql://me:secret@127.0.0.1:9/x/y?id=a", model, "refused"),
    ):  # fmt: skip
        with pytest.raises(BabelmixError, match=said) as error:
            bm.open_index(address, model=given)
        assert "secret" not in str(error.value)


def test_the_commands(
    at: Callable[..., str], model: str, tmp_path: Path, babelmix: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    corpus = parallel_corpus()
    corpus.save(tmp_path / "toy")
    text = corpus.queries["text"][0].as_py()
    status, out, _ = babelmix(
        "search", text, "--in", at("half", id="doc_id"), "--model", model, "--policy", "balanced", "--json"
    )
    assert (status, len(json.loads(out)["hits"])) == (0, 10)
    status, out, err = babelmix("audit", "-c", "toy", "--through", at("half", id="doc_id"), "--model", model, "--json")
    assert status == 0, err
    assert set(json.loads(out)["policies"]) >= {"any", "balanced"}
    status, _, err = babelmix("audit", "-c", "toy", "--through", at("half", id="doc_id"))
    assert (status, "--model NAME" in err, "Traceback" in err) == (1, True, False)
    status, _, err = babelmix("audit", "-c", "toy", "e5-small-offline", "--query-vectors", "x.npy")
    assert status != 0
