"""One text where a list of texts is expected is a list of one, never its letters; an empty list is never "all"."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import parallel_corpus
from PIL import Image

from babelmix._lists import as_inputs, as_list
from babelmix.batches import CorpusIndex, RowIndex
from babelmix.encoders import static
from babelmix.encoders.debias import debiased
from babelmix.encoders.embed import encode, encode_batch
from babelmix.errors import BabelmixError, ConfigError, EncoderError, PlanError, SearchError
from babelmix.evaluation import audit
from babelmix.evaluation.measures import measures
from babelmix.evaluation.significance import compare
from babelmix.experiment.audits import compare_audits
from babelmix.search import Index, Policy, Searcher, Where, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.training.settings import TrainingSettings


def test_the_one_helper() -> None:
    assert as_list("ab", "names") == ["ab"]
    assert as_list(("a", "b"), "names") == ["a", "b"]
    assert as_list((one for one in "ab"), "names") == ["a", "b"]
    assert as_list([], "names") == []
    with pytest.raises(ConfigError, match="names: the list is empty; name one, or leave it out"):
        as_list([], "names", empty=False)
    for bad in (None, 3, b"ab", [1], ["a", None]):
        with pytest.raises(EncoderError, match="names: give a text or a list of texts"):
            as_list(bad, "names", EncoderError)  # type: ignore[arg-type]
    picture = Image.new("RGB", (1, 1))
    assert as_inputs(picture) == [picture]
    assert as_inputs("ab") == ["ab"]
    with pytest.raises(ConfigError, match="a text, a picture or a list of them, not int"):
        as_inputs(3)


def test_encoding(tiny_static) -> None:
    alone = encode(tiny_static, "Katze", "query")
    assert alone.shape == (1, 16)
    assert np.array_equal(alone, encode(tiny_static, ["Katze"], "query"))
    assert np.array_equal(encode_batch(tiny_static, "Katze", "query"), encode_batch(tiny_static, ["Katze"], "query"))


def test_vocabularies() -> None:
    text = " ".join(f"word{n} of many" for n in range(200))
    one, several = (static.from_scratch(texts, vocabulary=60, dimension=4) for texts in (text, [text]))
    assert one.tokenizer.get_vocab() == several.tokenizer.get_vocab()


def test_taking_language_out(tiny_static) -> None:
    with pytest.raises(EncoderError, match="there are 1 texts in 'en'"):
        debiased(tiny_static, {"en": "a text with many letters, more than are needed", "de": ["ein Text"] * 40})
    with pytest.raises(EncoderError, match="'en' and 'eng' are the same language"):
        debiased(tiny_static, {"en": ["a text"] * 40, "eng": ["a text"] * 40})


def test_corpora_and_batches() -> None:
    corpus = parallel_corpus()
    assert corpus.only_langs("de").langs == CorpusIndex(corpus, "de").langs == ("de",)
    assert corpus.only_groups("g1").queries.num_rows == corpus.only_groups(["g1"]).queries.num_rows > 0
    with pytest.raises(PlanError, match="a column is a list with a text a row, not the text 'abc'"):
        RowIndex("abc", ["en"] * 3, ["en"] * 3)
    with pytest.raises(PlanError, match="the list is empty"):
        CorpusIndex(corpus, [])


def test_audits(tiny_static, tmp_path) -> None:
    one, several = (
        audit(tiny_static, parallel_corpus(), name="tiny", metrics=metrics, store=False)
        for metrics in ("mAP", ["mAP"])
    )
    assert list(one.measures) == list(several.measures)
    assert "mono/mAP" in one.measures
    assert list(measures(one.table, "mAP")) == list(one.measures)
    of_one, of_several = (compare([one.measures], [several.measures], names) for names in ("mono/mAP", ["mono/mAP"]))
    assert [c.measure for c in of_one] == [c.measure for c in of_several] == ["mono/mAP"]
    with pytest.raises(BabelmixError, match=r"give two or more folders of audits, not '.*' alone"):
        compare_audits(tmp_path)  # type: ignore[arg-type]


def test_settings() -> None:
    pictures = {"text_only_langs": "en", "text_share": 0.5}
    assert TrainingSettings(pictures=pictures).pictures.text_only_langs == ["en"]  # type: ignore[arg-type]


def test_search(tiny_static, tmp_path) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, rows_of_corpus(parallel_corpus(8)))
        searcher = Searcher(index, tiny_static)
        found = searcher.search("Katze")
        assert len(found) == 10
        assert [found] == searcher.search(["Katze"])
        assert searcher.search("Katze", mode="words") == searcher.search(["Katze"], mode="words")[0]
        assert searcher.embed("Katze").shape == (1, 16)
        item = found[0].item
        narrow = searcher.search("Katze", where=Where(fields={"item": item}))
        assert {hit.item for hit in narrow} == {item}
        assert narrow == searcher.search("Katze", where=index.where(None, {"item": item}))
        assert {hit.lang for hit in searcher.search("Katze", where=Where("de"))} == {"de"}
        assert Policy("only", "de").langs == ("de",)  # type: ignore[arg-type]
        with pytest.raises(SearchError, match="the list is empty"):
            searcher.search("Katze", policy=Policy("only"))
        with pytest.raises(SearchError, match="the list is empty"):
            index.where([], {})
        assert index.delete(item) == 1
        assert item not in set(index.items())
