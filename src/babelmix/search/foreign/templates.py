"""Queries of the user's own, as templates: the system itself embeds the query, ranks and fuses, and its answers are audited.

A template is a file. Of OpenSearch and Elasticsearch it is the JSON body of a search, in which the whole values `"{{query}}"`,
`"{{lang}}"`, `"{{langs}}"`, `"{{k}}"` and `"{{vector}}"` are replaced. Of PostgreSQL it is a SELECT with the parameters
`%(query)s` and so on. Values are never pasted into texts, so that no query can change the request.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from babelmix._registry import Lazy, Registry
from babelmix.errors import ConfigError, SearchError, first_line, require
from babelmix.evaluation.systems.base import Answer
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.elastic_client import ElasticClient
from babelmix.search.foreign.elastic_fields import Fields
from babelmix.search.foreign.languages import tag_of

NAMES = ("query", "lang", "langs", "k", "vector")
"""What a template can ask for: the text and the language of a query, the languages of the passages, the number of answers, and
the vector of the query."""

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Template(Protocol):
    """A system that answers by a template.

    Attributes:
        asks: which of `NAMES` the template has.
        version: a text that says which template it is.

    """

    asks: frozenset[str]
    version: str

    def __call__(self, values: Mapping[str, Any]) -> Sequence[Answer]:
        """The answers, best first; `values` has what the template asks for."""
        ...

    def close(self) -> None:
        """Close the connections."""


def has_template(address: str) -> bool:
    """Whether an address names a template.

    Examples:
        >>> has_template("opensearch://h:9200/x?template=q.json"), has_template("my-index")
        (True, False)

    """
    return "://" in address and any(name == "template" for name, _ in parse_qsl(urlsplit(address).query))


def open_template(address: str) -> Template:
    """Open the system of an address with a template.

    Args:
        address: `opensearch://HOST:9200/INDEX?template=FILE.json`, `elasticsearch://...` or
            `postgresql://HOST/DATABASE/TABLE?template=FILE.sql`.

    Raises:
        ConfigError: the file is no template.
        SearchError: the system has no templates, or cannot be reached.

    """
    parsed = Address.parse(address)
    if parsed.scheme not in TEMPLATES:
        raise SearchError(f"{parsed}: has no templates; there are some of  {', '.join(f'{s}://' for s in TEMPLATES)}")
    return TEMPLATES[parsed.scheme](parsed)


def read_json(file: Path) -> tuple[Any, frozenset[str]]:
    """Read a template in JSON, and what it asks for.

    Raises:
        ConfigError: it cannot be read, a name is unknown, or a name is only a part of a text.

    """
    try:
        body = json.loads(_text_of(file))
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON: {first_line(error)}") from error
    if not isinstance(body, dict):
        raise ConfigError(f'{file}: is the body of a search: an object, as in  {{"query": ...}}')
    found: set[str] = set()

    def look(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                if _PLACE.search(key):
                    raise ConfigError(f"{file}: {where}{key}: a name is a whole value, never in the name of a field")
                look(one, f"{where}{key}.")
        elif isinstance(value, list):
            for number, one in enumerate(value):
                look(one, f"{where}{number}.")
        elif isinstance(value, str) and (place := _PLACE.search(value)):
            if _PLACE.fullmatch(value) is None:
                raise ConfigError(f"{file}: {where[:-1]}: {place[0]} has to be the whole value, not a part of a text")
            found.add(_known(file, place[1]))

    look(body, "")
    return body, _checked(file, found, '"{{query}}"')


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """A template with values.

    Examples:
        >>> filled({"match": {"body": "{{query}}"}, "size": "{{k}}"}, {"query": '"} x', "k": 10})
        {'match': {'body': '"} x'}, 'size': 10}

    """
    if isinstance(template, dict):
        return {key: filled(one, values) for key, one in template.items()}
    if isinstance(template, list):
        return [filled(one, values) for one in template]
    if isinstance(template, str) and (place := _PLACE.fullmatch(template)):
        return values[place[1]]
    return template


class ElasticTemplate:
    """See `Template`. The answers are the hits of the search; `size` is k if the template has none.

    Args:
        address: its options are `template`, `id`, `item`, `lang`, `tls` and `pipeline` (a search pipeline of OpenSearch).

    """

    def __init__(self, address: Address) -> None:
        address.only(("template", "id", "item", "lang", "tls", "pipeline"))
        self._body, self.asks = read_json(Path(address.options["template"]))
        self._client = ElasticClient(address)
        try:
            self._fields = Fields.read(address, self._client.mapping, ())
        except BaseException:
            self._client.close()
            raise
        pipeline = address.options.get("pipeline", "")
        self._options = f"search_pipeline={pipeline}" if pipeline else ""
        self.version = _version(json.dumps([self._client.index, self._body, pipeline], sort_keys=True))

    def __call__(self, values: Mapping[str, Any]) -> Sequence[Answer]:
        """See `Template`."""
        body = {"size": values["k"], "_source": self._fields.needed(texts=False), **filled(self._body, values)}
        hits = self._client.search(body, self._options)["hits"]["hits"]
        return [self._answer(hit) for hit in hits]

    def _answer(self, hit: Mapping[str, Any]) -> Answer:
        row, score = self._fields.row(hit, texts=False), hit.get("_score")
        # An item needs a language to be a passage; an id is one by itself.
        return Answer(row.item, tag_of(row.lang) if self._fields.item else "", score)

    def close(self) -> None:
        """See `Template`."""
        self._client.close()


class SqlTemplate:
    """See `Template`. The statement runs in a session that can only read, in which the server refuses every write.

    It is one SELECT with a column `id`, or with `item` and `lang`, and perhaps `score`. A percent sign in it is doubled.
    `%(vector)s` is a text, as in `%(vector)s::vector`.

    Args:
        address: its option is `template`; all others are libpq's.

    """

    def __init__(self, address: Address) -> None:
        self._where, file = str(address), Path(address.options["template"])
        self._statement = _text_of(file)
        found = {_known(file, name) for name in _PARAMETER.findall(self._statement)}
        self.asks = _checked(file, found, "%(query)s")
        self.version = _version(self._statement)
        self._psycopg: Any = require("psycopg", "postgres", "a table of PostgreSQL")
        self._info = address.conninfo(["template"])
        self._threads = threading.local()
        self._open: list[Any] = []
        self._connection()

    def _connection(self) -> Any:
        """The connection of this thread."""
        if not hasattr(self._threads, "connection"):
            try:
                made = self._psycopg.connect(self._info, autocommit=True)
                made.execute("SET default_transaction_read_only = on")
            except self._psycopg.Error as error:
                raise SearchError(f"{self._where}: {first_line(error)}") from error
            self._threads.connection = made
            self._open.append(made)
        return self._threads.connection

    def __call__(self, values: Mapping[str, Any]) -> Sequence[Answer]:
        """See `Template`."""
        given = {**values, **({"vector": json.dumps(values["vector"])} if "vector" in values else {})}
        try:
            cursor = self._connection().execute(self._statement, given)
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
        except self._psycopg.Error as error:
            raise SearchError(f"{self._where}: {first_line(error)}") from error
        if not ("id" in names or {"item", "lang"} <= set(names)):
            raise SearchError(
                f"{self._where}: the statement gives the columns {', '.join(names) or 'none'}; it needs  id,  or  item  and  lang"
            )
        return [
            Answer(str(row["id"]), "", row.get("score")) if "id" in row
            else Answer(str(row["item"]), tag_of(row["lang"]), row.get("score")) for row in rows
        ]  # fmt: skip

    def close(self) -> None:
        """See `Template`."""
        for connection in self._open:
            with suppress(self._psycopg.Error):
                connection.close()


TEMPLATES: Registry[Callable[[Address], Template]] = Registry(
    "query template",
    {
        **dict.fromkeys(
            ("opensearch", "opensearch+https", "elasticsearch", "elasticsearch+https"),
            Lazy("babelmix.search.foreign.templates:ElasticTemplate"),
        ),
        **dict.fromkeys(("postgresql", "postgres"), Lazy("babelmix.search.foreign.templates:SqlTemplate")),
    },
)
"""The systems that answer by a template, by the scheme of their addresses."""


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {first_line(error)}") from error


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _known(file: Path, name: str) -> str:
    if name not in NAMES:
        raise ConfigError(f"{file}: has no value {name!r}; there are {', '.join(NAMES)}")
    return name


def _checked(file: Path, found: set[str], example: str) -> frozenset[str]:
    if not found & {"query", "vector"}:
        raise ConfigError(f"{file}: asks for no query; write  {example}  where it goes")
    return frozenset(found)


__all__ = [
    "NAMES",
    "TEMPLATES",
    "ElasticTemplate",
    "SqlTemplate",
    "Template",
    "filled",
    "has_template",
    "open_template",
]
