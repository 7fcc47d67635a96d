"""The address of a store: `postgresql://HOST/DATABASE/TABLE?vector=embedding`, `qdrant://HOST:6333/COLLECTION?lang=payload.lang`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from babelmix.errors import SearchError

LANG_NAMES = ("lang", "language", "language_code", "lang_code", "locale")
"""The columns or fields that are the language if the address does not name it; the first that is there."""


@dataclass(frozen=True)
class Address:
    """The parts of an address.

    Args:
        scheme: such as `postgresql`.
        place: user, password, host and port, as they are written; it may be empty.
        path: the names between the slashes, still percent-encoded; the last is the table or the collection.
        options: what follows the question mark.

    Examples:
        >>> Address.parse("qdrant://localhost:6333/articles?lang=payload.lang").options
        {'lang': 'payload.lang'}
        >>> str(Address.parse("postgresql://me:secret@db/shop/articles?id=sku"))
        'postgresql://me@db/shop/articles'

    """

    scheme: str
    place: str
    path: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            SearchError: it has no scheme or names no table or collection, or it gives an option twice.

        """
        parts = urlsplit(text)
        path = tuple(part for part in parts.path.split("/") if part)
        if not parts.scheme or not path:
            raise SearchError(f"{_without_password(text)}: is not an address; write  SCHEME://HOST/NAME?vector=NAME")
        options: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name in options:
                raise SearchError(f"{_without_password(text)}: has the option {name} twice")
            options[name] = value
        return cls(parts.scheme.lower(), parts.netloc, path, options)

    @property
    def name(self) -> str:
        """The table or the collection."""
        return unquote(self.path[-1])

    def only(self, known: Sequence[str]) -> None:
        """Check the options.

        Raises:
            SearchError: there is another option.

        """
        other = [name for name in self.options if name not in known]
        if other:
            raise SearchError(f"{self}: has no option {other[0]!r}; the options are {', '.join(known)}")

    @property
    def shown(self) -> str:
        """The address without password, with the vector that it names: a collection may have several."""
        vector = self.options.get("vector")
        return f"{self}?vector={quote(vector)}" if vector else str(self)

    def conninfo(self, ours: Sequence[str] = ()) -> str:
        """The address of the database for libpq, without the table and without options that are not libpq's.

        Args:
            ours: the options that are not libpq's.

        Examples:
            >>> Address.parse("postgresql://db/shop/articles?id=sku&sslmode=require").conninfo(["id"])
            'postgresql://db/shop?connect_timeout=20&application_name=babelmix&sslmode=require'

        """
        rest = {name: value for name, value in self.options.items() if name not in ours}
        rest = {"connect_timeout": "20", "application_name": "babelmix", **rest}
        # libpq takes no plus for a blank.
        return f"postgresql://{self.place}/{'/'.join(self.path[:-1])}?{urlencode(rest, quote_via=quote)}"

    def __str__(self) -> str:
        """The address without password and options."""
        user, at, host = self.place.rpartition("@")
        return f"{self.scheme}://{user.partition(':')[0]}{at}{host}/{'/'.join(self.path)}"


def _without_password(text: str) -> str:
    head, slashes, rest = text.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{head}{slashes}{user.partition(':')[0]}{at}{host}{slash}{path.partition('?')[0]}"


__all__ = ["LANG_NAMES", "Address"]
