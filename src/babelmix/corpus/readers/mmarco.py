"""`mmarco`: mMARCO (Bonifacio et al., 2021), MS MARCO's training triples machine-translated into 13 languages.

The source is a folder, or `unicamp-dl/mmarco` on the Hugging Face hub, with these files under `data/`:

- `triples.train.ids.small.tsv`: the ids of a query, a relevant passage and another passage;
- `google/queries/train/LANGUAGE_queries.train.tsv` and `google/collections/LANGUAGE_collection.tsv`: an id and a text.

Everything is parallel: the items are `qID` and `pID` in all languages. The file has millions of triples in random order. The
reader takes the first pairs of a query and a relevant passage, and loads only their texts. The group of a passage is the first
query that it is relevant to, or else the first query that it is a negative of. So a split never separates a query from its
relevant passages, and rarely from its negatives. `meta["left_out"]` counts empty translations, which are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._records import table_lines
from babelmix.corpus.readers._sources import is_hub_name, pick_langs, source_folder
from babelmix.errors import ReaderError

LANGUAGES = {
    "ar": "arabic", "zh": "chinese", "nl": "dutch", "en": "english", "fr": "french", "de": "german", "hi": "hindi",
    "id": "indonesian", "it": "italian", "ja": "japanese", "pt": "portuguese", "ru": "russian", "es": "spanish",
    "vi": "vietnamese",
}  # fmt: skip
"""The names of the languages in mMARCO's files."""
TRIPLES = "data/triples.train.ids.small.tsv"

Pair = tuple[str, str]
Triple = tuple[int, list[str]]


def read(path: str, *, langs: str | Sequence[str] | None = None, pairs: int = 100_000, negatives: int = 1) -> Corpus:
    """Read mMARCO's training data.

    Args:
        path: the folder, or `unicamp-dl/mmarco` on the Hugging Face hub.
        langs: the languages to read; by default all in the folder. A download needs them.
        pairs: the number of pairs of a query and a relevant passage; 0 for all.
        negatives: the number of hard negatives of each pair; 0 for none. The triples are read until every pair has this many.

    Raises:
        ReaderError: a file is missing or malformed, or has no text for an id of the triples.

    """
    if is_hub_name(path):
        if langs is None:
            raise ReaderError(
                "every language is a download of gigabytes; name languages with the option langs, of "
                f"{', '.join(LANGUAGES)}, or give a folder",
                file=path,
            )
        picked = pick_langs(langs, list(LANGUAGES), path)
        patterns = [str(file) for lang in picked for file in _files(lang)]
        folder = source_folder(path, [TRIPLES, *patterns], "")
    else:
        folder = source_folder(path, [], f"mMARCO is a folder that holds {TRIPLES} and others")
        available = [lang for lang in LANGUAGES if any((folder / file).is_file() for file in _files(lang))]
        if not available:
            raise ReaderError(f"holds no file such as {_files('en')[1]}", file=folder)
        picked = pick_langs(langs, available, path)
    triples = table_lines(folder / TRIPLES, ("query", "relevant passage", "other passage"))
    return parse(
        take_pairs(triples, pairs, negatives),
        {lang: (folder / queries, folder / passages) for lang in picked for queries, passages in [_files(lang)]},
        file=path,
    )


def _files(lang: str) -> tuple[Path, Path]:
    name, root = LANGUAGES[lang], Path("data") / "google"
    return root / "queries" / "train" / f"{name}_queries.train.tsv", root / "collections" / f"{name}_collection.tsv"


def take_pairs(triples: Iterable[Triple], pairs: int, negatives: int) -> dict[Pair, list[str]]:
    """Take the first distinct pairs of a query and a relevant passage, each with its first distinct negatives.

    Reading stops as soon as there are enough of both.
    """
    taken: dict[Pair, list[str]] = {}
    incomplete = 0
    for _, (query, relevant, other) in triples:
        pair = query, relevant
        if pair not in taken:
            if pairs and len(taken) == pairs:
                continue
            taken[pair] = []
            incomplete += negatives > 0
        found = taken[pair]
        if len(found) < negatives and other not in found:
            found.append(other)
            incomplete -= len(found) == negatives
        if pairs and len(taken) == pairs and not incomplete:
            break
    return taken


def parse(taken: dict[Pair, list[str]], files: dict[str, tuple[Path, Path]], *, file: str = "mmarco") -> Corpus:
    """Load the texts of pairs and their negatives, and build the corpus.

    Args:
        taken: the pairs of ids with the ids of their negatives, from `take_pairs`.
        files: the file of queries and the file of passages of each language.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: an id has no text or two, or nothing is left.

    """
    groups = _groups(taken)
    query_ids = {query for query, _ in taken}
    left_out = LeftOut()
    queries, passages = SideBuilder(), SideBuilder()
    there: set[str] = set()
    for lang, (query_file, passage_file) in files.items():
        for rows, source, wanted, letter in (
            (queries, query_file, query_ids, "q"), (passages, passage_file, set(groups), "p"),
        ):  # fmt: skip
            for name, text in _texts(source, wanted):
                if not text:
                    left_out.add("empty translations", f"{source.name}: {name!r}")
                    continue
                item = f"{letter}{name}"
                there.add(item)
                rows.add(item, lang, text, item if letter == "q" else f"q{groups[name]}")
    qrels: dict[Pair, int] = {}
    others: dict[Pair, None] = {}
    for (query, relevant), negatives in taken.items():
        if not {f"q{query}", f"p{relevant}"} <= there:
            left_out.add("pairs without a text", f"{query!r}, {relevant!r}")
            continue
        qrels[f"q{query}", f"p{relevant}"] = 1
        others |= dict.fromkeys((f"q{query}", f"p{other}") for other in negatives if f"p{other}" in there)
    kept = [pair for pair in others if pair not in qrels]
    left_out.add("negatives that are relevant", count=len(others) - len(kept))
    meta = {
        "source": "mMARCO", "licence": "that of unicamp-dl/mmarco; MS MARCO is for non-commercial research",
        "machine_made": sorted(set(files) - {"en"}), **left_out.facts(),
    }  # fmt: skip
    return corpus_from_tables(queries.table(), passages.table(), qrels, kept, name="mmarco", meta=meta, file=file)


def _groups(taken: dict[Pair, list[str]]) -> dict[str, str]:
    """The group of each passage: the first query that it is relevant to. If there is none, the first that it is a negative of."""
    groups: dict[str, str] = {}
    for query, relevant in taken:
        groups.setdefault(relevant, query)
    for (query, _), negatives in taken.items():
        for other in negatives:
            groups.setdefault(other, query)
    return groups


def _texts(file: Path, wanted: set[str]) -> Iterator[tuple[str, str]]:
    missing = set(wanted)
    for number, (name, text) in table_lines(file, ("id", "text")):
        if name not in wanted:
            continue
        if name not in missing:
            raise ReaderError(f"{name!r} occurs twice", file=file, row=number, field="id")
        missing.discard(name)
        yield name, text.strip()
    if missing:
        raise ReaderError(
            f"holds no text of {len(missing)} ids of the triples, such as {min(missing)!r}; download it again",
            file=file,
        )
