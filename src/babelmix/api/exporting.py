"""Export an encoder, so that it runs without torch: `babelmix encoders export`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._checksums import CHECKSUMS, write_checksums
from babelmix._files import check_output_folder, replacing_folder
from babelmix._tables import Result, Table
from babelmix.encoders.exported.checking import SETTINGS, kept_check
from babelmix.encoders.exported.facts import FILE
from babelmix.encoders.exported.processors import processor

if TYPE_CHECKING:
    import polars as pl
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.exported.encoder import ExportedEncoder


@dataclass(frozen=True, eq=False)
class ExportedModel(Result):
    """An exported encoder: a folder that `search`, `serve` and `index` use without torch.

    Args:
        encoder: the export, open.
        folder: its folder.
        files: bytes by file.

    """

    encoder: ExportedEncoder
    folder: Path
    files: dict[str, int]

    def tables(self) -> list[Table]:
        """The files."""
        return [Table(["file", "bytes"], [[name, f"{size:,}"] for name, size in self.files.items()])]

    def lines(self) -> list[str]:
        """What was exported, and what runs it."""
        about = self.encoder.export_facts
        size = sum(self.files.values())
        found = [f"{about.encoder}: {about.dimension} dimensions, run by {about.backend}, {size:,} bytes"]
        check = kept_check(self.folder, processor())
        return found if check is None else [*found, f"on the check set it {check}"]

    def places(self) -> dict[str, str]:
        """The folder, and how it is used."""
        return {
            "export": f"{self.folder}   search with it by  babelmix search 'your words' --in INDEX --model {self.folder}"
        }

    def to_frame(self) -> pl.DataFrame:
        """Columns `file` and `bytes`."""
        import polars as pl

        return pl.DataFrame(
            {"file": list(self.files), "bytes": list(self.files.values())},
            schema={"file": pl.String, "bytes": pl.Int64},
        )

    def as_json(self) -> dict[str, Any]:
        """The folder, its files, and the facts of the export."""
        check = kept_check(self.folder, processor())
        differences = {} if check is None else {"check": {name: getattr(check, name) for name in SETTINGS}}
        facts = self.encoder.export_facts.model_dump(mode="json")
        return {"folder": str(self.folder), "files": self.files, **facts, **differences}


def export_model(
    model: str | Path | SentenceTransformer,
    to: str | Path,
    *,
    backend: str = "auto",
    max_seq_length: int | None = None,
    revision: str | None = None,
    trust_code: bool = False,
) -> ExportedModel:
    """Export an encoder into a folder that runs without torch.

    The folder holds a graph (of a static encoder: its token vectors), the tokenizer, and what follows the graph. Copy it to a
    machine that has `babelmix[search]` only, and name it with `model=`: `open_index`, `serve`, `build_index`.

    Args:
        model: the encoder; see `load_model`.
        to: the folder to write.
        backend: `onnx` or `openvino` (int8), `onnx-fp32`, `openvino-fp32`, or `auto`: the fastest that agrees with float32, see
            `babelmix.encoders.exported.choosing`.
        max_seq_length: cut texts after this many tokens. An index has to have been made with the same limit.
        revision: branch, tag or commit of a hub model.
        trust_code: see `load_model`.

    Returns:
        A report. It prints like `babelmix encoders export`.

    Raises:
        EncoderError: the encoder cannot be loaded or exported.
        MissingExtraError: what exports the encoder is not installed.
        ConfigError: `to` holds something else.

    Examples:
        >>> import tempfile
        >>> from babelmix.encoders import static
        >>> encoder = static.from_scratch(["a dog", "ein Hund"], dimension=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = export_model(encoder, f"{folder}/export")
        ...     vectors = made.encoder.encode_query(["a dog"])
        >>> vectors.shape, made.encoder.export_facts.backend
        ((1, 8), 'numpy')

    """
    from babelmix.api._loading import loaded
    from babelmix.encoders.exported.encoder import ExportedEncoder
    from babelmix.encoders.exported.making import export_for

    folder = Path(to)
    check_output_folder(folder, [FILE])
    options: dict[str, Any] = {"max_seq_length": max_seq_length, "revision": revision, "trust_code": trust_code}
    encoder, name = loaded(model, **options, device="cpu")
    source = export_for(encoder, backend, name=name)
    with replacing_folder(folder, [FILE]) as temporary:
        for file in sorted(source.iterdir()):
            if file.name != CHECKSUMS:
                shutil.copyfile(file, temporary / file.name)
        write_checksums(temporary)
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    return ExportedModel(ExportedEncoder(folder), folder, files)


__all__ = ["ExportedModel", "export_model"]
