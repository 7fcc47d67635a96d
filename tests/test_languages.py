"""Language tags: one tag a language, asked for by range, everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

import langcodes
import pytest
from langcodes import data_dicts
from typer.testing import CliRunner

from babelmix.batches import BatchPlan, CorpusIndex, strategy
from babelmix.corpus import (
    Corpus,
    canonical_language,
    find_language,
    is_language_tag,
    languages,
    match_languages,
    open_corpus,
)
from babelmix.corpus.codeswitch import code_switched
from babelmix.corpus.languages import IMAGE, check_distinct, not_a_tag
from babelmix.corpus.lexicons import read_lexicon
from babelmix.errors import CorpusError, PlanError, ReaderError, SearchError
from babelmix.search import Index, Policy, Row, Searcher, Where, index_rows, open_rows
from babelmix.search.documents import RowSource

ALIASES = [
    ("iw", "he"), ("in", "id"), ("ji", "yi"), ("jw", "jv"), ("mo", "ro"), ("sh", "sr-Latn"), ("tl", "fil"), ("eng", "en"),
    ("deu", "de"), ("ger", "de"), ("zho", "zh"), ("chi", "zh"), ("cmn", "zh"), ("zh-cmn", "zh"), ("zh-cmn-Hans", "zh-Hans"),
    ("cmn-Hant-TW", "zh-Hant-TW"), ("arb", "ar"), ("arb-EG", "ar-EG"), ("zsm", "ms"), ("swh", "sw"), ("pes", "fa"),
    ("prs", "fa-AF"), ("twi", "tw"), ("eng-US", "en-US"), ("en-UK", "en-GB"), ("en-gb-oed", "en-GB-oxendict"),
    ("i-klingon", "tlh"), ("art-lojban", "jbo"), ("zh-min-nan", "nan"), ("zh-yue", "yue"), ("zh-yue-HK", "yue-HK"),
    ("no-bok", "nb"), ("ar-arz", "arz"), ("ar-arz-EG", "arz-EG"), ("sgn-ase", "ase"), ("sh-Cyrl", "sr-Cyrl"),
]  # fmt: skip
APART = [
    "no", "nb", "nn", "yue", "wuu", "hak", "nan", "arz", "ary", "ak", "tw", "sr", "hr", "bs", "zh-Hant", "zh-Hans", "zh-TW",
    "sr-Cyrl", "pt-BR", "en-Latn", "en-US", "x-foo", "en-x-foo", "qaa", "mul", "und",
]  # fmt: skip


@pytest.mark.parametrize(("tag", "canonical"), ALIASES)
def test_canonical(tag, canonical):
    assert is_language_tag(tag)
    assert canonical_language(tag) == canonical
    assert canonical_language(canonical) == canonical


def test_what_is_apart_stays_apart():
    assert [canonical_language(tag) for tag in APART] == APART


def whole_table() -> list[str]:
    """Every tag of the tables of aliases that langcodes carries, and the languages of ISO 639-1 in both of its lengths."""
    tags = {
        *data_dicts.LANGUAGE_REPLACEMENTS, *data_dicts.LANGUAGE_REPLACEMENTS.values(), *data_dicts.MACROLANGUAGES,
        *data_dicts.NORMALIZED_MACROLANGUAGES, *data_dicts.LANGUAGE_ALPHA3, *data_dicts.LANGUAGE_ALPHA3.values(),
        *data_dicts.LANGUAGE_ALPHA3_BIBLIOGRAPHIC.values(), *data_dicts.DEFAULT_SCRIPTS, *data_dicts.LIKELY_SUBTAGS,
    }  # fmt: skip
    return sorted(filter(is_language_tag, tags))


def test_a_canonical_tag_is_its_own_in_the_whole_table():
    tags = whole_table()
    assert len(tags) > 2500
    for tag in tags:
        once = canonical_language(tag)
        assert is_language_tag(once), tag
        assert canonical_language(once) == once, tag
        assert find_language(tag, ["zxx", once]) == once
        for rest in ("-Cyrl", "-AQ", "-Cyrl-AQ", "-1994", "-x-mine"):
            if is_language_tag(tag + rest) and "-x-" not in once:
                made = canonical_language(tag + rest)
                assert canonical_language(made) == made, tag + rest
                assert set(rest[1:].split("-")) <= set(made.split("-")), f"{tag + rest} lost something: {made}"


def test_every_alias_of_a_language_of_the_registry_is_unified_with_it():
    for old, new in data_dicts.LANGUAGE_REPLACEMENTS.items():
        if is_language_tag(old) and is_language_tag(new):
            assert canonical_language(old) == canonical_language(new), (old, new)
    for two, three in data_dicts.LANGUAGE_ALPHA3.items():
        assert canonical_language(three) == canonical_language(two)


def test_no_two_languages_of_iso_639_1_are_merged():
    # ISO 639-1 withdrew these six.
    living = {tag for tag in data_dicts.LANGUAGE_ALPHA3 if len(tag) == 2} - {"in", "iw", "ji", "jw", "mo", "sh"}
    assert len(living) > 180
    assert len({canonical_language(tag) for tag in living}) == len(living)


@pytest.mark.parametrize(
    ("wanted", "langs", "found"),
    [
        ("en", "en-US de en-GB en", "en-US en-GB en"),
        ("zh", "zh-CN zh-Hant yue", "zh-CN zh-Hant"),
        ("zh-Hant", "zh-Hant-TW zh-TW zh-Hant", "zh-Hant-TW zh-Hant"),
        ("*", "de zxx", "de zxx"),
        ("eng", "en-US enm", "en-US"),
        ("en-US", "en en-US", "en-US"),
        ("he,iw,de", "de iw", "iw de"),
        ("cmn", "zh-TW", "zh-TW"),
        ("sr", "sh sr-Cyrl hr", "sh sr-Cyrl"),
    ],
)
def test_ranges(wanted, langs, found):
    assert match_languages(wanted.split(","), langs.split(), "it") == found.split()


@pytest.mark.parametrize(
    ("wanted", "langs", "said"),
    [
        ("fr", "de en", r"it has no fr; it has de, en$"),
        ("en-US", "en de", r"it has no en-US; it has de, en; did you mean 'en'\?"),
        ("zh-CN", "zh-TW de", r"did you mean 'zh-TW'\?"),
        ("nn", "nb de", r"did you mean 'nb'\?"),
        ("jp", "ja", r"it has no jp; it has ja; did you mean 'ja'\?"),
        ("en_US", "en de", r"it has no en_US; it has de, en; did you mean 'en'\?"),
        ("xx", "de", r"it has no xx; it has de$"),
        ("kr", "ko de", r"it has no kr; it has de, ko; did you mean 'ko'\?"),
        ("", "de", "it has no ''; it has de$"),
        ("*-CH", "de-CH", r"it has no \*-CH; it has de-CH$"),
        ("de", "", "it has no de; it has no language$"),
    ],
)
def test_a_range_that_matches_nothing_says_what_there_is(wanted, langs, said):
    with pytest.raises(CorpusError, match=said):
        match_languages(wanted, langs.split(), "it")


@pytest.mark.parametrize(
    ("tag", "meant"),
    [
        ("en_US", "en-US"), ("EN", "en"), ("zh-hant", "zh-Hant"), ("jp", "ja"), ("cn", "zh"), ("ge", "ka"), ("cz", "cs"),
    ],
)  # fmt: skip
def test_the_likely_intention(tag, meant):
    assert not is_language_tag(tag)
    assert not_a_tag(tag).endswith(f"; did you mean {meant!r}?")


@pytest.mark.parametrize("tag", ["xx", "qwertyuiop", "english", "zz", "", "-", "de-", "日本語"])
def test_no_guess_where_there_is_none(tag):
    assert not_a_tag(tag) == f"{tag!r} is not a BCP 47 language tag such as 'de' or 'pt-BR'"


def test_two_tags_of_one_language():
    check_distinct(["en", "en-US", "de"], "it")
    with pytest.raises(CorpusError, match="it: 'en' and 'eng' are the same language"):
        check_distinct(["en", "de", "eng"], "it")


def corpus(*langs: str) -> Corpus:
    rows = [{"item": "a", "lang": lang, "text": f"a text in {lang}"} for lang in langs]
    return Corpus.from_rows(rows, rows, [("a", "a")], name="c")


def test_a_corpus_has_one_tag_a_language():
    made = corpus("eng", "en", "de", "iw")
    assert made.langs == ("de", "en", "he")
    assert made.meta["languages_read_as"] == {"eng": {"as": "en", "rows": 2}, "iw": {"as": "he", "rows": 2}}
    assert made.queries["text"].to_pylist() == ["a text in eng", "a text in en", "a text in de", "a text in iw"]
    assert "languages_read_as" not in corpus("en", "de").meta


def test_a_corpus_saved_with_other_tags_still_opens(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("babelmix.corpus.schema.canonical_language", lambda tag: tag)
        old = corpus("eng", "iw", "de")
        assert old.langs == ("de", "eng", "iw")
        old.save(tmp_path / "old")
    opened = Corpus.load(tmp_path / "old")
    assert opened.langs == ("de", "en", "he")
    assert opened.only_langs("eng").langs == ("en",)


def test_only_langs_takes_ranges():
    made = corpus("en-US", "en-GB", "de", "zh-Hant-TW")
    assert made.only_langs(["en"]).langs == ("en-GB", "en-US")
    assert made.only_langs("zh-Hant").langs == ("zh-Hant-TW",)
    assert made.only_langs("*").langs == made.langs
    with pytest.raises(CorpusError, match="languages: the list is empty"):
        made.only_langs([])
    with pytest.raises(CorpusError, match="c has no fr; it has de, en-GB, en-US, zh-Hant-TW"):
        made.only_langs(["de", "fr"])


def test_the_first_text_of_a_range_is_the_plain_language_s():
    made = corpus("en-US", "en", "de")
    assert made.first_texts("queries", "en") == {"a": "a text in en"}
    assert made.first_texts("queries", "en-US") == {"a": "a text in en-US"}
    assert made.first_texts("queries", None) == {}


def test_columns_of_one_language_are_refused(tmp_path):
    file = tmp_path / "c.csv"
    file.write_text("item,query_en,query_eng,passage_de\na,one,two,eins\n")
    with pytest.raises(ReaderError, match="'en' and 'eng' are the same language"):
        open_corpus(str(file))
    file.write_text("item,lang,query,passage\na,en,one,two\na,eng,one,drei\n")
    with pytest.raises(ReaderError, match="repeats row 2: the same item, language and text"):
        open_corpus(str(file))
    file.write_text("item,query_eng,passage_en,passage_de\na,one,two,eins\n")
    assert open_corpus(str(file)).langs == ("de", "en")


def test_what_data_says(tmp_path):
    from babelmix.cli.app import app

    file = tmp_path / "c.csv"
    file.write_text("item,query_eng,passage_iw\na,one,two\nb,three,four\n")
    run = CliRunner().invoke(app, ["data", str(file)])
    assert "eng is read as en, the same language (2 rows)" in run.output
    assert "iw is read as he, the same language (2 rows)" in run.output
    run = CliRunner().invoke(app, ["data", str(file), "--json"])
    assert json.loads(run.output)["meta"]["languages_read_as"]["eng"] == {"as": "en", "rows": 2}


def documents(folder: Path, *langs: str) -> str:
    file = folder / "d.jsonl"
    rows = [{"item": f"i{number}", "lang": lang, "text": f"water {number}"} for number, lang in enumerate(langs)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return str(file)


def test_documents_are_read_under_canonical_tags(tmp_path):
    rows = open_rows(documents(tmp_path, "eng", "en-US", "de"))
    assert [row.lang for item in rows.items() for row in item] == ["en", "en-US", "de"]
    assert rows.read_as == {"eng": {"as": "en", "rows": 1}}
    assert open_rows(documents(tmp_path, "eng", "en-US", "de"), langs="en").count == 2
    for langs, said in (([], "the list is empty"), (["fr"], "has no fr; it has de, en-US, eng")):
        with pytest.raises(CorpusError, match=said):
            open_rows(documents(tmp_path, "eng", "en-US", "de"), langs=langs)


def test_rows_filters_and_policies():
    assert Row("a", "cmn-Hans", "水").lang == "zh-Hans"
    with pytest.raises(SearchError, match="did you mean 'ja'"):
        Row("a", "jp", "水")
    assert Where("en").langs == ("en",)
    assert Where(("en",)).among(["en-US", "de"], "it").langs == ("en-US",)
    assert Policy.parse("prefer=eng,*:2").among(["de", "en-GB"], "it").langs == ("en-GB", "de")
    with pytest.raises(SearchError, match=r"only: 'en_US' is not .* did you mean 'en-US'\?"):
        Policy.parse("only=en_US")


def test_plain_tags_are_what_langcodes_says_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = languages._PLAIN
    monkeypatch.setattr(languages, "_PLAIN", frozenset())
    two = {first + second for first in ascii_lowercase for second in ascii_lowercase}
    found = {tag for tag in two if is_language_tag.__wrapped__(tag) and canonical_language.__wrapped__(tag) == tag}
    assert plain == found | {IMAGE}
    assert canonical_language.__wrapped__(IMAGE) == IMAGE


def test_langcodes_knows_what_is_relied_upon():
    # Twi is not Akan to ISO 639-1; see `languages._KEPT`.
    assert langcodes.Language.get("tw").prefer_macrolanguage().to_tag() == "ak"


def test_english_batches_are_of_every_english():
    langs = ("de", "en-GB", "en-US")
    rows = [{"item": str(n), "lang": lang, "text": f"{n} {lang}"} for n in range(20) for lang in langs]
    made = Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(20)])
    plan = BatchPlan(CorpusIndex(made), strategy("english"), 4, seed=1)
    assert {plan[step].lang for step in range(40)} == {"en-GB", "en-US"}
    one = BatchPlan(CorpusIndex(made, "en-US"), strategy("english"), 4, seed=1)
    assert {one[step].lang for step in range(5)} == {"en-US"}
    assert CorpusIndex(made, ["en"]).langs == ("en-GB", "en-US")
    with pytest.raises(PlanError, match="has no fr; it has de, en-GB, en-US"):
        CorpusIndex(made, ["fr"])


def test_english_of_one_tag_has_the_batches_it_had():
    """Computed before a language was a range."""
    rows = [{"item": str(n), "lang": lang, "text": f"{n} {lang}"} for n in range(12) for lang in ("de", "en")]
    made = Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(12)])
    plan = BatchPlan(CorpusIndex(made), strategy("english"), 4, seed=3)
    assert [plan[step].query_rows.tolist() for step in range(3)] == [[13, 19, 23, 17], [11, 9, 15, 1], [21, 3, 7, 5]]


def test_lexicons_are_of_canonical_languages_and_switch_ranges(tmp_path):
    file = tmp_path / "en-he.txt"
    file.write_text("water מים\n")
    lexicon = read_lexicon(f"eng:iw={file}")
    assert (lexicon.source, lexicon.target) == ("en", "he")
    with pytest.raises(ReaderError, match="with two languages"):
        read_lexicon(f"en:eng={file}")
    rows = [{"item": "a", "lang": "en-GB", "text": "water"}, {"item": "b", "lang": "en-US", "text": "water here"}]
    made = Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")])
    switched = code_switched(made, [lexicon], share=1.0)
    assert switched.langs == ("en-GB", "en-US", "he")
    # An item that has its own text in a region of the target keeps that alone.
    rows.append({"item": "a", "lang": "he-IL", "text": "מים"})
    switched = code_switched(Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")]), [lexicon], share=1.0)
    assert [row["item"] for row in switched.queries.to_pylist() if row["lang"] == "he"] == ["b"]


@pytest.fixture(scope="module")
def searcher(tmp_path_factory, tiny_static) -> Iterator[Searcher]:
    """An index of five languages whose `iw` and `eng` were written before tags were unified."""
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    index = Index.create(str(tmp_path_factory.mktemp("langs") / "ix"), tiny_static, "static")
    rows = [
        Row(f"i{number}", lang, f"water {lang}")
        for number, lang in enumerate(("en-US", "en-GB", "zh-CN", "he", "de", "en"))
    ]
    for row, old in zip(rows, (None, None, None, "iw", None, "eng"), strict=True):
        object.__setattr__(row, "lang", old or row.lang)
    index_rows(index, tiny_static, RowSource("rows", len(rows), lambda: ([row] for row in rows)))
    yield Searcher(index, tiny_static)
    index.close()


@pytest.mark.parametrize(
    ("policy", "langs", "found"),
    [
        ("only=en", None, {"en-US", "en-GB", "eng"}),
        ("only=eng,zh", None, {"en-US", "en-GB", "eng", "zh-CN"}),
        ("only=he", None, {"iw"}),
        ("only=*", None, {"en-US", "en-GB", "eng", "zh-CN", "iw", "de"}),
        ("any", "en", {"en-US", "en-GB", "eng"}),
        ("any", ["iw", "de"], {"iw", "de"}),
        ("only=en", ["en-GB", "de"], {"en-GB"}),
        ("balanced", ["zh"], {"zh-CN"}),
    ],
)
def test_a_search_takes_ranges(searcher, policy, langs, found):
    where = searcher.index.where(langs, {})
    assert {hit.lang for hit in searcher.search("water", policy=policy, where=where)} == found
    assert {hit.lang for hit in searcher.search("water", policy=policy, where=Where(langs))} == found


def test_a_language_is_preferred_by_range(searcher):
    first = searcher.search("water", policy="prefer=en:9")[:3]
    assert {hit.lang for hit in first} == {"en-US", "en-GB", "eng"}


@pytest.mark.parametrize("policy", ["only=fr", "prefer=fr", "only=en,fr"])
def test_a_search_in_what_is_not_there_says_what_is(searcher, policy):
    with pytest.raises(SearchError, match="has no fr; it has de, en-GB, en-US, eng, iw, zh-CN"):
        searcher.search("water", policy=policy)


def test_a_search_in_no_language_is_refused(searcher):
    with pytest.raises(SearchError, match="has no fr; it has de"):
        searcher.index.where(["fr"], {})
    with pytest.raises(SearchError, match="langs: the list is empty"):
        searcher.index.where([], {})
    with pytest.raises(SearchError, match="languages: the list is empty"):
        searcher.search("water", where=Where(()))
    with pytest.raises(SearchError, match="the policy only=de and the filter by zh-CN leave no language"):
        searcher.search("water", policy="only=de", where=Where(("zh",)))
