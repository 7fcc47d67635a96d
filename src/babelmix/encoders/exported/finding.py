"""Find the export of an encoder by its fingerprint, without loading the encoder; or make it, once, with torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from babelmix._progress import console
from babelmix.encoders.backend_names import FLOAT32, STATIC, kept_backends, parse_backend
from babelmix.encoders.exported.encoder import ExportedEncoder
from babelmix.encoders.exported.facts import FILE, cached_export, is_export
from babelmix.errors import BabelmixError, EncoderError, MissingExtraError

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder


def find_export(key: str, backends: Sequence[str]) -> Path | None:
    """The folder of an encoder's export in the user's cache.

    Args:
        key: the encoder's fingerprint.
        backends: the backends that will do, the first one first.

    Returns:
        The folder; None if there is no export, or if it was damaged and has been removed.

    """
    for backend in backends:
        folder = cached_export(key, backend)
        if (folder / FILE).is_file():
            return folder
    return None


def open_known(
    name: str,
    *,
    key: str,
    rows: str,
    load: Callable[[str], Any],
    backend: str | None = None,
    moved_to: str | None = None,
    cores: int | None = None,
) -> Encoder:
    """Open an encoder whose fingerprint is known: its export, or else the encoder itself with torch.

    An export that is found needs neither the encoder's folder nor torch.

    Args:
        name: the name or path of the encoder.
        key: its fingerprint.
        rows: the backend that embedded the rows of the index.
        load: loads the encoder of a name with torch, and checks its fingerprint.
        backend: see `load_encoder`; None: as `auto`, which is the fastest whose vectors are those of the rows.
        moved_to: where the encoder is now, if it was moved: an encoder or an export.
        cores: threads of a forward pass of an export; None: one for each core that this process may use.

    Raises:
        EncoderError: the encoder cannot be loaded or run.
        MissingExtraError: there is no export, and torch is not installed; or an engine is not installed.

    """
    asked = backend or "auto"
    backends = kept_backends(asked, rows)
    if is_export(moved_to or name):
        return open_export(moved_to or name, backend=backend, rows=rows, cores=cores)
    if asked != "torch" and moved_to is None and (folder := find_export(key, backends)) is not None:
        try:
            return ExportedEncoder(folder, name=name, cores=cores, checked=True)
        except MissingExtraError:
            # torch may run it, or an engine that is installed.
            if backend is not None or not has_torch():
                raise
    if not has_torch():
        raise MissingExtraError(
            f"{name}: this machine has neither torch nor an export of it: run  pip install 'babelmix[train]', or on a machine "
            f"that has torch  babelmix encoders export {name} --to FOLDER,  copy the folder, and name it with  --model FOLDER"
        )
    encoder = load(moved_to or name)
    return (
        cast("Encoder", encoder)
        if asked == "torch"
        else exported(encoder, backends, name=name, forced=backend not in (None, "auto"), cores=cores)
    )


def run_by(encoder: Any, asked: str, *, name: str) -> Encoder:
    """Let a backend run an encoder that runs by torch.

    Args:
        encoder: the encoder.
        asked: what `--backend` says; `auto`: the fastest that agrees with float32.
        name: the name of the encoder, for messages.

    Raises:
        EncoderError: the backend cannot run the encoder.
        MissingExtraError: the backend is not installed.

    """
    engine, _ = parse_backend(asked)
    if engine == "torch":
        return cast("Encoder", encoder)
    if engine == "auto":
        from babelmix.encoders.exported.making import automatic_export

        choice = automatic_export(encoder, name=name)
        if choice.backend != STATIC:
            console.print(choice.line, markup=False, highlight=False)
        return (
            cast("Encoder", encoder)
            if choice.folder is None
            else ExportedEncoder(choice.folder, name=name, checked=True)
        )
    return exported(encoder, kept_backends(asked, None), name=name, forced=True)


def exported(encoder: Any, backends: Sequence[str], *, name: str, forced: bool, cores: int | None = None) -> Encoder:
    """Export an encoder that runs by torch, once, and open the export.

    Args:
        encoder: the encoder.
        backends: the backends that will do, the first one first.
        name: its name, for messages.
        forced: whether the user chose the backend. If not, the encoder itself is returned where it cannot be exported.
        cores: see `open_known`.

    Raises:
        EncoderError: the user chose the backend, and it cannot run the encoder.
        MissingExtraError: the user chose the backend, and it is not installed.

    """
    from babelmix.encoders.exported.making import make_export

    why: BabelmixError | None = None
    for backend in backends:
        try:
            folder = make_export(encoder, backend, name=name)
            if folder is not None:
                return ExportedEncoder(folder, name=name, cores=cores, checked=True)
        except (MissingExtraError, EncoderError) as error:
            why = why or error
    if forced and why is not None:
        raise why
    if isinstance(why, MissingExtraError):
        console.print(f"{name} is run by torch, which starts slowly: {why}", markup=False, highlight=False)
    return cast("Encoder", encoder)


def open_export(
    folder: str | Path,
    *,
    backend: str | None = None,
    rows: str | None = None,
    max_seq_length: int | None = None,
    cores: int | None = None,
) -> ExportedEncoder:
    """Open an export that the user names.

    Args:
        folder: its folder.
        backend: what `--backend` says; None or `auto`: that of the export.
        rows: the backend that embedded the rows of an index; None: there are none.
        max_seq_length: the limit that the user asks for; None: that of the export.
        cores: see `open_known`.

    Raises:
        EncoderError: the export is damaged, or for another backend or limit.
        MissingExtraError: its engine is not installed.

    """
    encoder = ExportedEncoder(folder, cores=cores)
    own, asked = encoder.export_facts.backend, backend or "auto"
    if asked != "auto" and own not in kept_backends(asked, rows):
        raise EncoderError(
            f"{folder}: is exported for {own}; leave out --backend {asked}, or export the encoder for it"
        )
    if max_seq_length not in (None, encoder.max_seq_length):
        raise EncoderError(
            f"{folder}: is exported with the limit of {encoder.max_seq_length} tokens; leave out --max-seq-length, or export the "
            "encoder with it"
        )
    return encoder


def has_torch() -> bool:
    """Whether encoders can be loaded with torch on this machine."""
    return all(importlib.util.find_spec(package) is not None for package in ("torch", "sentence_transformers"))


__all__ = ["FLOAT32", "exported", "find_export", "has_torch", "kept_backends", "open_export", "open_known", "run_by"]
