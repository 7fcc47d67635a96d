"""Mining of hard negatives in each language separately, pooled in a chosen ratio.

The scores of an encoder differ between languages. If all languages were searched together, a few of them would give most
negatives. So sentence-transformers' `mine_hard_negatives` searches the passages of one language at a time. It compares a
candidate with the answer in the same language: its score must be at least a share `margin` below the answer's score
(positive-aware mining of NV-Retriever, arXiv 2407.15831). The candidates of all languages are pooled by rank, not by score.
"""

from __future__ import annotations

import contextlib
import io
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from babelmix._progress import progress_bar
from babelmix.batches import clusters_of
from babelmix.corpus import Corpus
from babelmix.errors import TrainingError
from babelmix.training.data import refuse_evaluation_only

_READ = 10_000
"""Rows that are read at a time."""
_SPARE = 20
"""The most spare candidates to mine per query, because some candidates cannot be negatives."""
_SCORES = 256 << 20
"""The size of a block of scores in bytes. A block has at least 64 queries, even if it is larger."""


@dataclass(frozen=True)
class _Candidate:
    """A passage that looks like an answer to a query but is not. `place` is its rank, from 0."""

    place: int
    score: float
    passage: str
    query_lang: str
    lang: str


def mine(
    encoder: SentenceTransformer,
    corpus: Corpus,
    *,
    number: int = 3,
    other_share: float = 0.5,
    margin: float = 0.05,
    skip: int = 0,
    batch_size: int = 32,
    name: str = "an encoder",
) -> Corpus:
    """Mine hard negatives with an encoder, and add them to the corpus.

    For each query, the passages of every language in which it has an answer are searched. A candidate is not a negative if

    - it answers the query, in any language;
    - the corpus excludes the pair, see `Corpus.excluded`;
    - it is in one group with the query or with one of its answers;
    - it is in one cluster with the query, see `babelmix.batches.clusters_of`: it is a copy of an answer, or answers a copy of the
      query.

    The negatives of a query come from two lists, candidates in the language of the query and candidates in other languages. Each
    list gives its share of `number`, best ranks first. If one list is too short, the other gives more.

    A negative is a pair of items. In training, its text is in the language of the answer beside it. `meta["mined"]` has the
    settings, and the number of negatives found in each pair of languages.

    Args:
        encoder: an encoder, with prompts for queries and passages if it needs them.
        corpus: a corpus of texts.
        number: the most negatives of a query.
        other_share: the share of negatives in another language than the query's, in [0, 1].
        margin: the score of a candidate must be at least this share below the lowest score of the query's answers in its
            language, in [0, 1).
        skip: the number of best candidates to skip.
        batch_size: the number of texts per forward pass.
        name: the name of the encoder, for `meta`.

    Returns:
        The corpus with the old and the new negatives; its name ends in `(mined)`.

    Raises:
        TrainingError: the corpus has pictures or is a benchmark, a setting is out of range, or no negative was found.

    Examples:
        >>> from babelmix.corpus import Corpus
        >>> from babelmix.encoders import static
        >>> texts = ["a red house", "a red door", "a blue house", "a blue door"]
        >>> rows = [{"item": str(i), "lang": "en", "text": text} for i, text in enumerate(texts)]
        >>> queries = [row | {"text": row["text"] + "?"} for row in rows]
        >>> corpus = Corpus.from_rows(queries, rows, [(str(i), str(i)) for i in range(4)], name="houses")
        >>> encoder = static.from_scratch(texts, vocabulary=60, dimension=16)
        >>> mined = mine(encoder, corpus, number=1, margin=0)
        >>> mined.name, mined.negatives.num_rows
        ('houses (mined)', 4)

    """
    if corpus.has_images:
        raise TrainingError(f"{corpus.name}: hard negatives are for texts, not for pictures")
    refuse_evaluation_only(corpus)
    if number < 1 or skip < 0 or not 0 <= other_share <= 1 or not 0 <= margin < 1:
        raise TrainingError(
            f"number is 1 or more, skip 0 or more, other_share in [0, 1] and margin in [0, 1); not {number}, {skip}, "
            f"{other_share} and {margin}"
        )
    ruled_out = _RuledOut(corpus)
    found: dict[str, list[_Candidate]] = defaultdict(list)
    langs = pc.unique(corpus.passages["lang"]).to_pylist()
    with tempfile.TemporaryDirectory() as cache, progress_bar("mining", len(langs), "languages") as bar:
        for lang in sorted(langs):
            for query, candidate in _mined(
                encoder,
                corpus,
                lang,
                ruled_out,
                number=number,
                margin=margin,
                skip=skip,
                batch_size=batch_size,
                cache=cache,
            ):
                found[query].append(candidate)
            bar.advance()
    counts: Counter[str] = Counter()
    pairs: dict[tuple[str, str], None] = dict.fromkeys(
        zip(*(corpus.negatives[c].to_pylist() for c in ("query_item", "passage_item")), strict=True)
    )
    before = len(pairs)
    for query in pc.unique(corpus.queries["item"]).to_pylist():
        for chosen in pooled(found.get(query, []), number, other_share, random.Random(query)):
            pairs[query, chosen.passage] = None
            counts[f"{chosen.query_lang}:{chosen.lang}"] += 1
    if not counts:
        raise TrainingError(
            f"{corpus.name}: no hard negative was found; try a smaller margin, which allows candidates closer to the answers"
        )
    facts = {
        "encoder": name, "number": number, "other_share": other_share, "margin": margin, "skip": skip,
        "negatives": len(pairs) - before, "found_in": dict(sorted(counts.items())),
    }  # fmt: skip
    if earlier := corpus.meta.get("mined"):
        facts["before"] = earlier
    queries, passages = zip(*pairs, strict=True)
    table = pa.table({"query_item": list(queries), "passage_item": list(passages)})
    return Corpus(
        corpus.queries, corpus.passages, corpus.qrels, f"{corpus.name} (mined)", {**corpus.meta, "mined": facts}, table,
        corpus.excluded,
    )  # fmt: skip


class _RuledOut:
    """Tells which passage items cannot be negatives of a query item."""

    def __init__(self, corpus: Corpus) -> None:
        sides = [pc.unique(table["item"]).to_pylist() for table in (corpus.queries, corpus.passages)]
        self._query, self._passage = (
            dict(zip(items, clusters.tolist(), strict=True))
            for items, clusters in zip(sides, clusters_of(corpus), strict=True)
        )
        self.answers: dict[str, set[str]] = defaultdict(set)
        for query, passage in zip(*(corpus.qrels[c].to_pylist() for c in ("query_item", "passage_item")), strict=True):
            self.answers[query].add(passage)
        excluded = (corpus.excluded[column].to_pylist() for column in ("query_item", "passage_item"))
        self._excluded = set(zip(*excluded, strict=True))
        self._groups = [_groups(corpus.queries), _groups(corpus.passages)]
        self._near = {
            query: self._groups[0][query].union(*(self._groups[1][answer] for answer in self.answers[query]))
            for query in sides[0]
        }

    def __call__(self, query: str, passage: str) -> bool:
        return (
            passage in self.answers[query]
            or (query, passage) in self._excluded
            or self._passage[passage] == self._query[query]
            or not self._near[query].isdisjoint(self._groups[1][passage])
        )


def _groups(table: pa.Table) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for item, group in zip(table["item"].to_pylist(), table["group"].to_pylist(), strict=True):
        groups[item].add(group)
    return groups


def _mined(
    encoder: SentenceTransformer,
    corpus: Corpus,
    lang: str,
    ruled_out: _RuledOut,
    *,
    number: int,
    margin: float,
    skip: int,
    batch_size: int,
    cache: str,
) -> Iterator[tuple[str, _Candidate]]:
    """Mine the passages of one language: query items with their candidates, in the order of rank."""
    items: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, list[str]] = defaultdict(list)
    here = corpus.passages.filter(pc.equal(corpus.passages["lang"], lang))
    for item, text in zip(*(here[name].to_pylist() for name in ("item", "text")), strict=True):
        items[text].append(item)
        texts[item].append(text)
    answered = corpus.qrels.filter(pc.is_in(corpus.qrels["passage_item"], here["item"].combine_chunks()))
    asking = corpus.queries.filter(pc.is_in(corpus.queries["item"], answered["query_item"].combine_chunks()))
    asked: dict[str, list[tuple[str, str]]] = defaultdict(list)
    pairs: dict[tuple[str, str], None] = {}
    for item, query_lang, text in zip(*(asking[name].to_pylist() for name in ("item", "lang", "text")), strict=True):
        asked[text].append((item, query_lang))
        answers = (answer for relevant in sorted(ruled_out.answers[item]) for answer in texts.get(relevant, ()))
        pairs |= dict.fromkeys((text, answer) for answer in answers)
    if not pairs:
        return
    queries, positives = zip(*pairs, strict=True)
    # Hides the many progress bars of sentence-transformers; ours counts the languages.
    with contextlib.redirect_stderr(io.StringIO()):
        rows: Any = mine_hard_negatives(
            Dataset.from_dict({"query": list(queries), "passage": list(positives)}), encoder, corpus=list(items),
            relative_margin=margin, num_negatives=number + skip + min(_SPARE, len(items)), output_scores=True,
            batch_size=batch_size, verbose=False, cache_folder=cache, faiss_batch_size=_block(len(items)),
        )  # fmt: skip
    ranked: dict[str, dict[str, float]] = defaultdict(dict)
    # Reading a data set row by row would take longer than the search.
    for some in rows.iter(batch_size=_READ):
        for query, negative, scores in zip(some["query"], some["negative"], some["scores"], strict=True):
            ranked[query].setdefault(negative, float(scores[1]))
    for text, candidates in ranked.items():
        for query, query_lang in asked[text]:
            # Several items may have one text. If one of the items is an answer, the text is an answer too.
            good = [
                (t, score) for t, score in candidates.items() if not any(ruled_out(query, item) for item in items[t])
            ]
            for place, (found, score) in enumerate(good[skip : skip + number]):
                yield query, _Candidate(place, score, items[found][0], query_lang, lang)


def _block(passages: int) -> int:
    """The number of queries that are scored at once; sentence-transformers calls it `faiss_batch_size`."""
    return min(16_384, max(64, _SCORES // (4 * passages)))


def pooled(candidates: list[_Candidate], number: int, other_share: float, chance: random.Random) -> list[_Candidate]:
    """Choose the best candidates of a query: some in its own language, some in other languages.

    Candidates of equal rank in several pairs of languages are put in random order, because scores are not comparable between
    languages.

    Args:
        candidates: the candidates of one query item, from all pairs of languages. A passage may occur several times.
        number: the most candidates to choose.
        other_share: the share of candidates in another language than the query's. A fractional number is rounded up with the
            probability of its fraction.
        chance: the random number generator.

    """
    langs = sorted({(one.query_lang, one.lang) for one in candidates})
    chance.shuffle(langs)
    turn = {pair: number for number, pair in enumerate(langs)}
    best: dict[tuple[bool, str], _Candidate] = {}
    for candidate in sorted(
        candidates, key=lambda one: (one.place, turn[one.query_lang, one.lang], -one.score, one.passage)
    ):
        best.setdefault((candidate.lang == candidate.query_lang, candidate.passage), candidate)
    kinds = {same: [one for (kind, _), one in best.items() if kind == same] for same in (True, False)}
    wanted = int(number * other_share + chance.random())
    chosen: dict[str, _Candidate] = {}
    for kind, share in ((False, wanted), (True, number - wanted), (True, number), (False, number)):
        for one in kinds[kind]:
            if share == 0 or len(chosen) == number:
                break
            if one.passage not in chosen:
                chosen[one.passage] = one
                share -= 1
    return list(chosen.values())


__all__ = ["mine", "pooled"]
