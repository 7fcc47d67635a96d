"""Belebele, SQuADShifts and translated question-answer sets of one's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_readers import write

from babelmix.corpus import is_language_tag, open_corpus
from babelmix.corpus.readers import parallel_qa
from babelmix.corpus.readers.belebele import flores_tag
from babelmix.errors import ReaderError

BELEBELE_CODES = re.findall(
    r"\w+",
    """
acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab arz_Arab asm_Beng azj_Latn bam_Latn
ben_Beng ben_Latn bod_Tibt bul_Cyrl cat_Latn ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek eng_Latn est_Latn
eus_Latn fin_Latn fra_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hin_Latn hrv_Latn
hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kac_Latn kan_Knda kat_Geor kaz_Cyrl
kea_Latn khk_Cyrl khm_Khmr kin_Latn kir_Cyrl kor_Hang lao_Laoo lin_Latn lit_Latn lug_Latn luo_Latn lvs_Latn mal_Mlym
mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn npi_Deva npi_Latn nso_Latn nya_Latn ory_Orya pan_Guru
pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn rus_Cyrl shn_Mymr sin_Latn sin_Sinh slk_Latn slv_Latn sna_Latn
snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn
tha_Thai tir_Ethi tsn_Latn tso_Latn tur_Latn ukr_Cyrl urd_Arab urd_Latn uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn
yor_Latn zho_Hans zho_Hant zsm_Latn zul_Latn
""",
)


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# --- Belebele


def test_flores_codes_become_ordinary_tags() -> None:
    tags = {code: flores_tag(code) for code in BELEBELE_CODES}
    assert len(tags) == len(set(tags.values())) == 122
    assert all(tag is not None and is_language_tag(tag) for tag in tags.values())
    ordinary = {"eng_Latn": "en", "zho_Hans": "zh", "zho_Hant": "zh-Hant", "arb_Arab": "ar", "arb_Latn": "ar-Latn"}
    ordinary |= {"ary_Arab": "ary", "kor_Hang": "ko", "swh_Latn": "sw", "hin_Latn": "hi-Latn", "pes_Arab": "fa"}
    assert {code: tags[code] for code in ordinary} == ordinary
    for other in ("en", "eng", "eng-Latn", "zzq_Latn", "eng_Xxxx"):
        assert flores_tag(other) is None


def reading(link: str, number: int | str, lang: str) -> dict:
    return {
        "link": link,
        "question_number": number,
        "flores_passage": f"{link} in {lang}",
        "question": f"{link} {number} in {lang}?",
        "mc_answer1": "a",
    }


def belebele_folder(folder: Path) -> str:
    for code in ("eng_Latn", "zho_Hans", "arb_Latn"):
        records = [reading("l1", 1, code), reading("l1", 2, code), reading("l2", "1", code)]
        write(folder, f"data/{code}.jsonl", lines(*records))
    return f"belebele={folder}"


def test_belebele_folder(tmp_path) -> None:
    corpus = open_corpus(belebele_folder(tmp_path))
    assert corpus.counts().rows() == [("ar-Latn", 3, 2), ("en", 3, 2), ("zh", 3, 2)]
    assert [tuple(row.values())[:2] for row in corpus.qrels.to_pylist()] == [
        ("l1#1", "l1"), ("l1#2", "l1"), ("l2#1", "l2"),
    ]  # fmt: skip
    assert set(corpus.queries["group"].to_pylist()) == {"l1", "l2"}
    assert corpus.meta["evaluation_only"]
    assert corpus.meta["passages_with_several_texts"] == 0
    assert open_corpus(f"belebele={tmp_path}/data", langs=["zh", "en"]).langs == ("en", "zh")
    with pytest.raises(ReaderError, match="has no de; it has ar-Latn, en, zh"):
        open_corpus(f"belebele={tmp_path}", langs=["de"])
    other = reading("l1", 2, "eng_Latn") | {"flores_passage": "l1, in eng_Latn"}
    write(tmp_path, "data/eng_Latn.jsonl", lines(reading("l1", 1, "eng_Latn"), other))
    corpus = open_corpus(f"belebele={tmp_path}", langs=["en"])
    assert corpus.passages["item"].to_pylist() == ["l1", "l1"]
    assert corpus.meta["passages_with_several_texts"] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("eng_Latn", lines(reading("l", 1, "x"), reading("l", 1, "x")), "row 2, .* question 1 of l occurs twice"),
        ("eng_Latn", lines(reading("l", 1, "x") | {"question": ""}), "row 1, field 'question': is empty"),
        ("eng_Latn", lines(reading("l", 1, "x") | {"flores_passage": None}), "field 'flores_passage': is missing"),
        ("eng_Latn", lines(reading("l", 1, "x") | {"question_number": True}), "holds True, but a whole number"),
        ("eng_Latn", lines({"link": "l"}), "row 1, field 'question_number': is missing"),
        ("eng_Latn", '{"link": \n', "row 1: is not JSON"),
        ("english", lines(reading("l", 1, "x")), r"english\.jsonl: has a name that is not a FLORES-200 code"),
        ("swa_Latn", lines(reading("l", 1, "x")), r"swh_Latn\.jsonl: is in 'sw', and so is swa_Latn\.jsonl"),
    ],
)
def test_bad_belebele_files(tmp_path, name: str, content: str, message: str) -> None:
    write(tmp_path, f"{name}.jsonl", content)
    if name == "swa_Latn":
        write(tmp_path, "swh_Latn.jsonl", content)
    with pytest.raises(ReaderError, match=message):
        open_corpus(f"belebele={tmp_path}")


def test_belebele_sources_that_are_not(tmp_path, monkeypatch) -> None:
    with pytest.raises(ReaderError, match=r"holds no file such as eng_Latn\.jsonl"):
        open_corpus(f"belebele={tmp_path}")
    with pytest.raises(ReaderError, match=r"^facebook/belebele: is no local folder and cannot be loaded from the hub"):
        open_corpus("belebele=facebook/belebele")
    belebele_folder(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    assert len(open_corpus("belebele=facebook/belebele").langs) == 3


# --- SQuADShifts


def squad(*paragraphs: tuple[str, str, list[str]]) -> dict:
    """A SQuAD document of one article a paragraph: title, context and ids of questions."""
    return {
        "version": "1.1",
        "data": [
            {
                "title": title,
                "paragraphs": [
                    {
                        "context": context,
                        "qas": [
                            {"id": name, "question": f"{name}?", "answers": [{"text": f"{name}!", "answer_start": 0}]}
                            for name in names
                        ],
                    }
                ],
            }
            for title, context, names in paragraphs
        ],
    }


def test_squadshifts_folder(tmp_path) -> None:
    document = squad(("Opera", "On opera.", ["a", "b"]), ("Opera", "More.", ["c"]), ("", "On opera.", ["d"]))
    write(tmp_path, "nyt_v1.0.json", json.dumps(document))
    write(tmp_path, "amazon_reviews_v1.0.json", json.dumps(squad(("", "On opera.", ["a"]))))
    write(tmp_path, "notes.json", "{")
    corpus = open_corpus(f"squadshifts={tmp_path}")
    assert corpus.langs == ("en",)
    assert corpus.meta["evaluation_only"]
    assert [tuple(row.values())[:2] for row in corpus.qrels.to_pylist()] == [
        ("amazon/a", "amazon/paragraph-1"), ("nyt/a", "nyt/paragraph-1"), ("nyt/b", "nyt/paragraph-1"),
        ("nyt/c", "nyt/paragraph-2"), ("nyt/d", "nyt/paragraph-1"),
    ]  # fmt: skip
    assert corpus.passages["group"].to_pylist() == ["amazon/paragraph-1", "nyt/Opera", "nyt/Opera"]
    assert corpus.queries["group"].to_pylist() == ["amazon/paragraph-1", *["nyt/Opera"] * 4]
    write(tmp_path, "nyt.json", json.dumps(document))
    with pytest.raises(ReaderError, match=r"nyt_v1\.0\.json: has the domain nyt, and so has nyt\.json"):
        open_corpus(f"squadshifts={tmp_path}")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (squad(("t", "c", ["a", "a"])), "row 2, field 'id': 'a' occurs twice"),
        (squad(("t", " ", ["a"])), "row 1, field 'context': is empty"),
        (squad(("t", "c", [" "])), "row 1, field 'id': is empty"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "row 1, field 'context': is missing in paragraph 1"),
        ({"data": [{"paragraphs": [{"context": "c"}]}]}, "field 'qas': is missing in paragraph 1"),
        ({"data": [{"paragraphs": [{"context": "c", "qas": ["a"]}]}]}, "row 1, field 'id': is missing"),
        ({"data": ["a"]}, "field 'paragraphs': is missing"),
        ([], "field 'data': is missing"),
        ({"data": []}, "holds no relevant pair"),
    ],
)
def test_bad_squadshifts_files(tmp_path, document, message: str) -> None:
    write(tmp_path, "reddit.json", json.dumps(document))
    with pytest.raises(ReaderError, match=message):
        open_corpus(f"squadshifts={tmp_path}")


def test_squadshifts_sources_that_are_not(tmp_path, monkeypatch) -> None:
    with pytest.raises(ReaderError, match="holds no JSON file of new_wiki, nyt"):
        open_corpus(f"squadshifts={tmp_path}")
    with pytest.raises(
        ReaderError, match=r"^ludwigschmidt/squadshifts: is no local folder and cannot be loaded from the hub"
    ):
        open_corpus("squadshifts=ludwigschmidt/squadshifts")
    write(tmp_path, "nyt.json", '{"data": [\n')
    with pytest.raises(ReaderError, match=r"nyt\.json, row 2: is not JSON"):
        open_corpus(f"squadshifts={tmp_path}")
    write(tmp_path, "nyt.json", b"\xff")
    with pytest.raises(ReaderError, match=r"nyt\.json, row 1: is not UTF-8"):
        open_corpus(f"squadshifts={tmp_path}")

    def load(path: str, domain: str, *, split: str) -> list[dict]:
        assert (path, split) == ("ludwigschmidt/squadshifts", "test")
        return [{"id": "1", "title": "", "context": f"on {domain}", "question": "what?", "answers": {}}]

    monkeypatch.setattr("datasets.load_dataset", load)
    corpus = open_corpus("squadshifts=ludwigschmidt/squadshifts")
    assert corpus.passages["text"].to_pylist() == ["on new_wiki", "on nyt", "on reddit", "on amazon"]


# --- parallel-qa

ENGLISH = [
    {"id": "1", "question": "Who?", "answer": "She.", "page": "p", "tags": ["x"]},
    {"id": "2", "question": "When?", "answer": "Now.", "page": "p", "tags": []},
    {"id": "3", "question": "And who?", "answer": "She.", "page": "q", "tags": []},
]
GERMAN = [
    {"id": "3", "question": "Und wer?", "answer": "Sie.", "page": "q", "tags": []},
    {"id": "1", "question": "Wer?", "answer": "Sie.", "page": "p", "tags": []},
]


def qa_folder(folder: Path) -> str:
    write(folder, "en.jsonl", lines(*ENGLISH))
    write(folder, "de.jsonl", lines(*GERMAN))
    return f"parallel-qa={folder}"


def test_parallel_qa_folder(tmp_path) -> None:
    corpus = open_corpus(qa_folder(tmp_path / "mine"))
    assert corpus.name == "mine"
    assert corpus.counts().rows() == [("de", 2, 1), ("en", 3, 2)]
    relevant = {row["query_item"]: row["passage_item"] for row in corpus.qrels.to_pylist()}
    assert relevant == {"1": "3", "2": "2", "3": "3"}  # 1 and 3 have one answer in every language
    assert {(row["item"], row["group"]) for row in corpus.queries.to_pylist()} == {("1", "3"), ("2", "2"), ("3", "3")}
    assert not corpus.meta.get("evaluation_only")
    assert open_corpus(qa_folder(tmp_path / "mine"), langs=["en"]).langs == ("en",)
    grouped = open_corpus(qa_folder(tmp_path / "mine"), group="page")
    assert {(row["item"], row["group"]) for row in grouped.queries.to_pylist()} == {("1", "p"), ("2", "p"), ("3", "q")}
    turned = open_corpus(qa_folder(tmp_path / "mine"), query="answer", passage="question")
    assert turned.meta["columns"] == {"query": "answer", "passage": "question", "id": "id", "group": ""}
    assert turned.queries.num_rows == turned.passages.num_rows == 5


def test_parallel_qa_in_every_format(tmp_path) -> None:
    expected = open_corpus(qa_folder(tmp_path / "mine")).fingerprint()
    for suffix in ("csv", "tsv", "parquet"):
        folder = tmp_path / suffix / "mine"
        folder.mkdir(parents=True)
        for lang, rows in (("en", ENGLISH), ("de", GERMAN)):
            frame = pl.DataFrame([{"id": int(row["id"])} | row | {"id": int(row["id"])} for row in rows])
            if suffix == "parquet":
                frame.write_parquet(folder / f"{lang}.parquet")
            else:
                frame.drop("tags").write_csv(folder / f"{lang}.{suffix}", separator="\t" if suffix == "tsv" else ",")
        assert open_corpus(f"parallel-qa={folder}").fingerprint() == expected
    folder = tmp_path / "squad"
    write(folder, "en.json", json.dumps(squad(("t", "Long.", ["a", "b"]))))
    write(folder, "pt-BR.json", json.dumps(squad(("t", "Longo.", ["b"]))))
    corpus = open_corpus(f"parallel-qa={folder}", passage="context", group="title")
    assert corpus.counts().rows() == [("en", 2, 2), ("pt-BR", 1, 1)]
    assert open_corpus(f"parallel-qa={folder}").passages["text"].to_pylist() == ["a!", "b!", "b!"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fr.jsonl", lines(ENGLISH[0], ENGLISH[0]), "row 2, field 'id': '1' occurs twice"),
        (
            "fr.jsonl",
            lines({"id": "9", "question": "?", "page": "p"}),
            "row 1, field 'answer': is missing; there are id, question",
        ),
        ("fr.jsonl", lines(ENGLISH[0] | {"answer": None}), "row 1, field 'answer': is empty; leave out what is not"),
        ("fr.jsonl", lines(ENGLISH[0] | {"answer": " "}), "row 1, field 'answer': is empty"),
        ("fr.jsonl", lines(ENGLISH[0] | {"answer": ["She."]}), r"field 'answer': holds \['She.'\], but a text"),
        ("fr.jsonl", lines(ENGLISH[0] | {"id": 1.5}), "row 1, field 'id': holds 1.5, but a text"),
        ("fr.jsonl", lines(ENGLISH[0] | {"page": "z"}), "field 'page': '1' is in 'z' here and in 'p' in another"),
        ("fr.jsonl", "{\n", "row 1: is not JSON"),
        ("fr.csv", "id,question,answer,page\n1,Qui?,,p\n", "row 2, field 'answer': is empty"),
        (
            "fr.csv",
            'id,question,answer,page\n1,"Qui\nest-ce?",Elle.,p\n\n2,,Oui.,p\n',
            "row 5, field 'question': is empty",
        ),
        ("fr.csv", "id,question\n1\n", "row 2: has 1 cells, but the header has 2"),
        ("fr.parquet", b"PAR1", "is not a readable Parquet"),
        ("fr.json", '{"data": [', "is not JSON"),
        ("french.jsonl", lines(ENGLISH[0]), "has a name that is not a BCP 47 language tag"),
        ("de.csv", "id,question,answer\n", "has the language 'de', and so has de.csv; remove one of them"),
    ],
)
def test_bad_parallel_qa_files(tmp_path, name: str, content, message: str) -> None:
    spec = qa_folder(tmp_path)
    write(tmp_path, name, content)
    with pytest.raises(ReaderError, match=message):
        open_corpus(spec, group="page")


def test_parallel_qa_sources_that_are_not(tmp_path, monkeypatch) -> None:
    with pytest.raises(ReaderError, match="has no file named by language"):
        open_corpus(f"parallel-qa={tmp_path}")
    with pytest.raises(ReaderError, match="is not a folder; a translated set"):
        open_corpus("parallel-qa=absent")
    with pytest.raises(ReaderError, match=r"^nobody/nothing: is no local folder and cannot be loaded from the hub"):
        open_corpus("parallel-qa=nobody/nothing")
    with pytest.raises(ReaderError, match=r"the option query .* is a text, not 3"):
        open_corpus(qa_folder(tmp_path), query=3)
    monkeypatch.setattr("datasets.get_dataset_config_names", lambda path: ["default"])
    with pytest.raises(ReaderError, match="no configuration named by a language tag"):
        open_corpus("parallel-qa=me/mine")
    monkeypatch.setattr("datasets.get_dataset_config_names", lambda path: ["en", "de", "all_of_it"])
    monkeypatch.setattr("datasets.load_dataset", lambda path, lang, *, split: ENGLISH if lang == "en" else GERMAN)
    assert open_corpus("parallel-qa=me/mine").counts().rows() == [("de", 2, 1), ("en", 3, 2)]


@settings(max_examples=30, deadline=None)
@given(
    coverage=st.lists(st.sets(st.sampled_from(["de", "en", "fr"]), min_size=1), min_size=1, max_size=12),
    answers=st.integers(1, 4),
)
def test_every_question_finds_its_own_answer_in_every_language_it_has(coverage, answers: int) -> None:
    rows = {
        lang: [
            (i, {"id": f"i{i}", "question": f"q{i} {lang}", "answer": f"a{i % answers} {lang}"})
            for i, langs in enumerate(coverage)
            if lang in langs
        ]
        for lang in ("de", "en", "fr")
    }
    corpus = parallel_qa.parse(rows, {lang: lang for lang in rows})
    relevant = dict(zip(*(corpus.qrels[name].to_pylist() for name in ("query_item", "passage_item")), strict=True))
    texts = {(row["item"], row["lang"]): row["text"] for row in corpus.passages.to_pylist()}
    assert len(texts) == corpus.passages.num_rows
    for i, langs in enumerate(coverage):
        found = {lang: text for (item, lang), text in texts.items() if item == relevant[f"i{i}"]}
        assert found == {lang: f"a{i % answers} {lang}" for lang in langs}


def test_a_folder_with_a_file_for_each_language_names_its_reader(tmp_path) -> None:
    folder = tmp_path / "qa set"
    folder.mkdir()
    for lang in ("de", "en"):
        (folder / f"{lang}.json").write_text("[]")
    with pytest.raises(ReaderError, match=r"has a file for each language \(de.json, en.json\)") as caught:
        open_corpus(str(folder))
    assert f"read them with  'parallel-qa={folder}' " in str(caught.value)
    assert f"'parallel-qa={folder}?passage=context&group=title'" in str(caught.value)
    (folder / "notes.json").write_text("[]")
    with pytest.raises(ReaderError, match="is neither a babelmix corpus"):
        open_corpus(str(folder))
