"""Describe a corpus or an encoder: `babelmix data` and `babelmix encoders`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder
from babelmix._tables import Result, Table, plain
from babelmix.api._corpus_card import audits_of, write_corpus_card
from babelmix.api._loading import loaded
from babelmix.corpus import Corpus, load_corpus
from babelmix.corpus.labels import CLICK_FACTS, labels_of, what_labels_mean
from babelmix.corpus.languages import renamed_languages
from babelmix.corpus.model import READ_AS
from babelmix.corpus.nfc import count_decomposed
from babelmix.corpus.query_groups import groups_of_corpus
from babelmix.corpus.storage import MARKER
from babelmix.errors import ArgumentError

if TYPE_CHECKING:
    import polars as pl
    from sentence_transformers import SentenceTransformer

_EXAMPLES = 3
"""The number of examples that are printed for each kind of left-out row."""

_PRINTED_APART = ("labels", "known_items", "clicks", "left_out", "left_out_examples", "copies", "notes", READ_AS)
"""Keys of a corpus's `meta` that are printed as sentences, not as `key: value`."""


@dataclass(frozen=True, eq=False)
class CorpusSummary(Result):
    """A description of a corpus: rows by language, sizes, and the facts from its source.

    Args:
        corpus: the corpus.
        folder: the folder that the corpus was saved to; None if it was not saved.

    """

    corpus: Corpus
    folder: Path | None = None

    def tables(self) -> list[Table]:
        """Queries and passages by language."""
        rows = [[lang, f"{queries:,}", f"{passages:,}"] for lang, queries, passages in self.to_frame().iter_rows()]
        return [Table(["language", "queries", "passages"], rows, title=self.corpus.name)]

    def to_frame(self) -> pl.DataFrame:
        """Columns `lang`, `queries` and `passages`, one row per language."""
        return self.corpus.counts()

    def as_json(self) -> dict[str, Any]:
        """Name, fingerprint, counts, and the corpus's `meta`."""
        corpus = self.corpus
        return {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint(),
            "langs": {row["lang"]: row for row in corpus.counts().to_dicts()},
            "qrels": corpus.qrels.num_rows,
            "decomposed": _decomposed(corpus),
            "meta": dict(corpus.meta),
        }

    def lines(self) -> list[str]:
        """Sizes, rows that the reader left out, copies of right answers, and the rest of `meta`."""
        corpus = self.corpus
        groups = len({*corpus.queries["group"].to_pylist(), *corpus.passages["group"].to_pylist()})
        lines = [
            f"{corpus.queries.num_rows:,} queries, {corpus.passages.num_rows:,} passages, {corpus.qrels.num_rows:,} relevant "
            f"pairs of items, {groups:,} {'group' if groups == 1 else 'groups'}"
        ]
        if corpus.meta.get("one_text_per_language"):
            lines.append("one text per language: in the monolingual setting every text finds itself")
        if decomposed := _decomposed(corpus):
            lines.append(f"{decomposed:,} texts are not in NFC; encoders read them composed")
        lines += _label_lines(corpus)
        lines += renamed_languages(corpus.meta.get(READ_AS, {}))
        grouped = groups_of_corpus(corpus).note()
        lines += [f"  note: {note}" for note in (*corpus.notes, *([] if grouped is None else [grouped]))]
        lines += _pool_lines(corpus)
        return lines + [
            f"  {key.replace('_', ' ')}: {_shown(value)}"
            for key, value in corpus.meta.items()
            if key not in _PRINTED_APART and value not in ([], {}, "", None, False)
        ]

    def places(self) -> dict[str, str]:
        """The folder that the corpus was saved to; empty if it was not saved."""
        return {} if self.folder is None else {"saved": str(self.folder)}


def inspect_corpus(
    corpus: str | Path | Corpus,
    *,
    langs: str | list[str] | None = None,
    part: str = "all",
    to: str | Path | None = None,
    audits: str | Path | Sequence[str | Path] = (),
    **options: Any,
) -> CorpusSummary:
    """Check and describe a corpus, as `babelmix data CORPUS` does.

    Args:
        corpus: see `babelmix.load_corpus`.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        to: save the corpus into this folder: as Parquet files, or as Arrow files if it has pictures. A data set card,
            `README.md`, is written beside them.
        audits: with `to`: folders of finished audits of this corpus, which the card shows.
        options: further options of the reader.

    Raises:
        CorpusError: the corpus cannot be read.
        ArgumentError: `audits` without `to`, or an audit of another corpus.
        BabelmixError: `to` holds other files.

    Examples:
        >>> from babelmix import Corpus
        >>> rows = [{"item": "1", "lang": "en", "text": "What is a toad?"}]
        >>> corpus = Corpus.from_rows(rows, rows, [("1", "1")], name="toads")
        >>> inspect_corpus(corpus).to_frame().rows()
        [('en', 1, 1)]

    """
    folder = None if to is None else Path(to)
    if folder is not None:
        check_output_folder(folder, [MARKER])
    elif audits:
        raise ArgumentError(
            "audits", "are shown in the card of a saved corpus; also name the folder to save it into, as to"
        )
    found = load_corpus(corpus, langs=langs, part=part, **options)
    if folder is not None:
        finished = audits_of(found, [audits] if isinstance(audits, (str, Path)) else audits)
        # Arrow files are memory-mapped, and pictures may not fit into memory.
        found.save(folder, format="arrow" if found.has_images else "parquet")
        write_corpus_card(folder, found, CorpusSummary(found), finished)
    return CorpusSummary(found, folder)


def _decomposed(corpus: Corpus) -> int:
    return sum(count_decomposed(side["text"]) for side in (corpus.queries, corpus.passages))


def _label_lines(corpus: Corpus) -> Iterator[str]:
    """Sentences about labels that are no judgements."""
    labels = labels_of(corpus.meta, corpus.qrels.num_rows)
    if meaning := what_labels_mean(labels, corpus.meta.get(CLICK_FACTS)):
        yield meaning
    if asked := corpus.meta.get("known_items"):
        yield "  items by what asks for them: " + ", ".join(f"{kind} {number:,}" for kind, number in asked.items())


def _pool_lines(corpus: Corpus) -> Iterator[str]:
    """Sentences about rows that were left out, excluded passages, and copies of right answers."""
    counts, examples = corpus.meta.get("left_out") or {}, corpus.meta.get("left_out_examples") or {}
    if isinstance(counts, Mapping):
        for what, number in counts.items():
            first = "; ".join(map(str, list(examples.get(what, ()))[:_EXAMPLES]))
            more = "; ..." if first and number > _EXAMPLES else ""
            yield f"  left out: {what}: {number:,}" + (f" ({first}{more})" if first else "")
    else:  # an earlier version wrote this corpus
        yield f"  left out: {_shown(counts)}"
    if corpus.excluded.num_rows:
        yield f"  excluded: {corpus.excluded.num_rows:,} passages, each from the pool of one query"
    if copies := corpus.meta.get("copies"):
        yield (
            f"  copies: {copies['passages']:,} passages have the same content as a right answer, but no judgement "
            f"({copies['queries']:,} queries have one): an audit counts them as wrong, unless  --copies relevant"
        )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(str(key))} {_shown(entry)}" for key, entry in value.items())
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


@dataclass(frozen=True, eq=False)
class ModelSummary(Result):
    """A description of an encoder.

    Args:
        facts: `name`, `dimension`, `parameters`, `max_seq_length` (tokens; None: no limit), `pooling` (of token vectors; empty:
            there is none), `prompts`, `prompts_from`, `similarity` and `fingerprint`.

    """

    facts: dict[str, Any]

    def tables(self) -> list[Table]:
        """An empty list: the facts are printed as lines, see `places`."""
        return []

    def headline(self) -> Table:
        """The facts as a table."""
        return Table(["fact", "value"], [[key, _shown(value)] for key, value in self.facts.items()])

    def to_frame(self) -> pl.DataFrame:
        """Columns `fact` and `value`, one row per fact."""
        import polars as pl

        rows = [(key, _shown(value)) for key, value in self.facts.items()]
        return pl.DataFrame(rows, schema=["fact", "value"], orient="row")

    def as_json(self) -> dict[str, Any]:
        """The facts."""
        return self.facts

    def places(self) -> dict[str, str]:
        """The facts as text by name, one line per fact. A fact that there is not has no line."""
        shown: dict[str, str] = {}
        for key, value in self.facts.items():
            if key == "prompts":
                given = ", ".join(f"{plain(side)} {plain(prompt)!r}" for side, prompt in value.items() if prompt)
                shown[key] = given or "none"
            elif value != "":
                number = isinstance(value, int) and not isinstance(value, bool)
                shown[key.replace("_", " ")] = f"{value:,}" if number else _shown(value)
        return shown


def inspect_model(model: str | Path | SentenceTransformer, *, trust_code: bool = False) -> ModelSummary:
    """Load and describe an encoder, as `babelmix encoders MODEL` does.

    Args:
        model: a name or a folder, see `babelmix.load_model`; or an encoder.
        trust_code: run code that the model contains or names; see `babelmix.load_model`.

    Raises:
        EncoderError: the encoder cannot be loaded.

    Examples:
        >>> inspect_model("static-e5").facts["dimension"]  # doctest: +SKIP
        384

    """
    from babelmix.encoders import fingerprint
    from babelmix.encoders.limits import length_limit
    from babelmix.encoders.origin import origin_of

    encoder, name = loaded(model, trust_code=trust_code)
    origin = origin_of(encoder)
    return ModelSummary(
        {
            "name": name,
            "dimension": encoder.get_embedding_dimension(),
            "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
            "max_seq_length": length_limit(encoder),
            "pooling": _pooling(encoder) + (" (assumed)" if origin is not None and origin.pooling_assumed else ""),
            "prompts": dict(encoder.prompts),
            "prompts_from": origin.prompts if origin is not None else "",
            "similarity": str(encoder.similarity_fn_name),
            "fingerprint": fingerprint(encoder),
        }
    )


def _pooling(encoder: SentenceTransformer) -> str:
    """How the encoder pools token vectors; empty if it has no module for that."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    modes = [module.pooling_mode for module in encoder.modules() if isinstance(module, Pooling)]
    named = [mode if isinstance(mode, str) else " + ".join(mode) for mode in modes]
    return ", ".join(dict.fromkeys(named))


__all__ = ["CorpusSummary", "ModelSummary", "inspect_corpus", "inspect_model"]
