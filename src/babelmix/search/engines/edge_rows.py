"""How Qdrant Edge holds a row: its vectors, its payload, and the filters that find it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.errors import SearchError
from babelmix.search.rows import Point, Value, Where
from babelmix.search.words import Words

DENSE, WORDS = "dense", "words"
MARKS = "marks"
"""A list of what stands for the values of the metadata: one index for columns of every name and type, made with the first row."""

LAYOUT = 2
"""How rows are stored. In the first there are no marks, and the library cut texts into words."""

_LAYOUT_FILE = "layout.json"
_LENGTH = 64
"""Words of a usual passage; BM25 counts the words of longer ones for less."""


class EdgeRows:
    """Rows and filters as the library has them.

    Args:
        edge: the library.
        layout: how the rows of an index are stored.

    """

    def __init__(self, edge: Any, layout: int) -> None:
        self._edge = edge
        self.layout = layout
        # Texts are cut before, and no language's stop words and endings are right for all.
        self._bm25 = edge.Bm25(
            edge.Bm25Config(
                tokenizer=edge.TokenizerType.Whitespace,
                lowercase=False,
                stopwords=edge.StopwordsSet(languages=set(), custom=set()),
                stemmer=edge.DisabledStemmer(),
                avg_len=_LENGTH,
            )
        )

    def point(self, point: Point) -> Any:
        """A row to be written."""
        row = point.row
        assert point.vector is not None
        payload: dict[str, Any] = {"item": row.item, "lang": row.lang, "group": row.group, "digest": point.digest}
        payload |= {"text": row.text} if row.text is not None else {"thumbnail": point.thumbnail}
        payload |= {"fields": dict(row.fields)} if row.fields else {}
        # The library's Python side takes true for 1 and then finds neither.
        truths = {name: str(value) for name, value in row.fields.items() if isinstance(value, bool)}
        payload |= {"truths": truths} if truths and self.layout == 1 else {}
        return self._point(point.id, payload, point.vector.tolist())

    def renewed(self, record: Any) -> Any:
        """A row of the first layout, read with all it has, to be written in this one."""
        payload = {name: value for name, value in record.payload.items() if name != "truths"}
        return self._point(str(record.id), payload, record.vector[DENSE])

    def _point(self, name: str, payload: dict[str, Any], vector: list[float]) -> Any:
        vectors: dict[str, Any] = {DENSE: vector}
        if "text" in payload:
            vectors[WORDS] = self.weights(payload["text"], query=False)
        marks = marks_of(payload.get("fields", {}))
        return self._edge.Point(id=name, vector=vectors, payload={**payload, MARKS: marks} if marks else payload)

    def weights(self, text: str, *, query: bool) -> Any:
        """BM25's weights of the words of a text, or of a query."""
        cut = Words.of(text)
        weights: dict[int, float] = {}
        embed = self._bm25.embed_query if query else self._bm25.embed_document
        # Apart, so that characters do not make a text twice as long.
        for words in (cut.alone if query else cut.characters, cut.words):
            found = embed(" ".join(words))
            weights |= dict(zip(found.indices, found.values, strict=True))
        order = sorted(weights)
        return self._edge.SparseVector(indices=order, values=[weights[index] for index in order])

    def filters(self, wheres: Sequence[Where]) -> list[Any]:
        """A filter for each search, None where every row passes; equal ones are made once."""
        made: dict[Any, Any] = {}
        keys = [(where.langs, tuple(where.fields.items())) for where in wheres]
        for key, where in zip(keys, wheres, strict=True):
            if key not in made:
                made[key] = self.filter(where)
        return [made[key] for key in keys]

    def filter(self, where: Where) -> Any:
        """What a search asks of rows."""
        must = [] if where.langs is None else [self._any("lang", where.langs)]
        for name, values in where.fields.items():
            if name in ("item", "group"):
                must.append(self._any(name, list(map(str, values))))
            elif self.layout > 1:
                must.append(self._any(MARKS, [_mark(name, value) for value in values]))
            else:
                must.append(self._as_before(name, values))
        return self._edge.Filter(must=must) if must else None

    def _any(self, key: str, values: Sequence[str]) -> Any:
        return self._edge.FieldCondition(key=key, match=self._edge.MatchAny(list(values)))

    def _as_before(self, name: str, values: Sequence[Value]) -> Any:
        """What finds values of a column without marks."""
        edge, key = self._edge, f"fields.{name}"
        if all(isinstance(value, bool) for value in values):
            return self._any(f"truths.{name}", list(map(str, values)))
        if all(isinstance(value, str) for value in values):
            return self._any(key, list(map(str, values)))
        return edge.Filter(
            should=[
                # The last digit of what it stores may differ.
                edge.FieldCondition(
                    key=key,
                    range=edge.RangeFloat(gte=math.nextafter(value, -math.inf), lte=math.nextafter(value, math.inf)),
                )
                if isinstance(value, float)
                else edge.FieldCondition(key=key, match=edge.MatchValue(value))
                for value in values
            ]
        )


def marks_of(fields: Mapping[str, Value]) -> list[str]:
    """What stands for the values of some columns."""
    return [_mark(name, value) for name, value in fields.items()]


def _mark(name: str, value: Value) -> str:
    """A value of a column, short however long it is; 10 and 10.0 have one, true and 1 have two."""
    kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return hashlib.blake2b(json.dumps([name, kind, whole]).encode(), digest_size=12).hexdigest()


def layout_of(folder: Path) -> int:
    """How the rows of an index are stored.

    Raises:
        SearchError: its file is damaged, or of a newer babelmix.

    """
    file = folder / _LAYOUT_FILE
    if not file.exists():
        return 1
    try:
        layout = json.loads(file.read_text(encoding="utf-8"))["layout"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SearchError(f"{file}: is damaged ({error}); make the index again") from error
    if layout != LAYOUT:
        raise SearchError(
            f"{folder}: its rows are stored in the layout {layout!r}, and this version reads up to {LAYOUT}"
        )
    return LAYOUT


def layout_file(folder: Path) -> Path:
    """The file that says how rows are stored."""
    return folder / _LAYOUT_FILE
