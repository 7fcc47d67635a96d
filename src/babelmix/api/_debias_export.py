"""A removal as lines of numpy: `babelmix debias --export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix.api._debias_vectors import check_alpha, opened_removal
from babelmix.encoders.removal.files import FILE
from babelmix.encoders.removal.fitted import ANY, Removal
from babelmix.errors import ConfigError, EncoderError

if TYPE_CHECKING:
    from babelmix.encoders.removal import AnyRemoval

_START = """import numpy as np
from safetensors.numpy import load_file

FITTED = {{name: values.astype(np.float32) for name, values in load_file({file!r}).items()}}
LANGS, ALPHA = {langs!r}, {alpha!r}{comment}

"""
_COMMENT = "  # canonical tags (BCP 47)"
_PLACE = """
def place(tag):  # de_DE is de-DE; de-AT is de; de and de-AT are de-DE if LANGS has no other de; -1: not fitted
    known, parts = [lang.lower() for lang in LANGS], str(tag).lower().replace("_", "-").split("-")
    same = [n for n, lang in enumerate(known) if lang.split("-")[0] == parts[0]]
    tags = ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((known.index(tag) for tag in tags if tag in known), same[0] if len(same) == 1 else -1)

"""
_DEF = """
def without_language(x, langs, kind):  # vectors (rows, {dimension}), a language tag for each row, "query" or "passage"
    side = ["query", "passage"].index(kind)
"""
_KNOWN = """    places = np.array([place(lang) for lang in langs])
    if unknown := {{str(lang) for lang in langs if place(lang) < 0}}:
        print("not corrected, because the removal does not know them:", *sorted(unknown))
    for n in range(len(LANGS)):
        some = places == n
        x[some] {change}
"""
_ANY = """    x {change}
"""


def lines_of_numpy(source: Any, alpha: float | None = None) -> str:
    """Python code with a function that does what a removal does. It needs numpy and safetensors alone.

    Args:
        source: a folder that `debias` wrote, or a file that `Removal.save` wrote.
        alpha: the share of it that is applied; None: what the file says.

    Raises:
        ConfigError: no folder or file is named.
        ArgumentError: alpha is no share.
        EncoderError: it is no removal, or one that is more than a few lines.

    """
    check_alpha(alpha)
    if not isinstance(source, (str, Path)) or not str(source):
        raise ConfigError("name the folder that  babelmix debias  wrote, or a removal.safetensors, after --export")
    place = Path(source)
    removal = opened_removal(place, alpha)
    assert removal is not None
    return _code(removal, place / FILE if place.is_dir() else place)


def _code(removal: AnyRemoval, file: Path) -> str:
    if not isinstance(removal, Removal):
        raise EncoderError(
            f"{file}: the removal {removal.method!r} is no affine map a language; apply it with "
            "babelmix.encoders.removal.load_removal"
        )
    any_lang = removal.langs == (ANY,)
    place = "side, 0" if any_lang else "side, n"
    rows = "x" if any_lang else "x[some]"
    moved = f'-ALPHA * FITTED["offsets"][{place}]'
    parts = [f'{rows} @ FITTED["right"][{place}].T @ FITTED["left"][{place}].T'] if removal.left is not None else []
    if removal.shared is not None:
        parts.append(f'{rows} @ FITTED["shared"][side].T')
    if parts:
        linear = " + ".join(parts)
        moved = f'ALPHA * ({linear} - FITTED["offsets"][{place}])'
    change = f"+= {moved}" if not moved.startswith("-") else f"-= {moved[1:]}"
    unit = "x / np.linalg.norm(x, axis=1, keepdims=True)"
    body = (_ANY if any_lang else _KNOWN).format(change=change)
    cosine = removal.similarity == "cosine"
    return (
        _START.format(
            file=str(file), langs=[] if any_lang else list(removal.tags), alpha=float(removal.alpha),
            comment="" if any_lang else _COMMENT,
        )
        + ("" if any_lang else _PLACE)
        + _DEF.format(dimension=removal.dimension)
        + (f"    x = {unit}\n" if cosine else "    x = np.array(x, dtype=np.float32)\n")
        + body
        + (f"    return {unit}\n" if cosine else "    return x\n")
    )  # fmt: skip


__all__ = ["lines_of_numpy"]
