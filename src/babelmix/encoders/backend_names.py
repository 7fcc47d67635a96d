"""Names of backends: what `--backend` accepts, and what an index, an export or a report keeps.

`--backend` accepts an engine, or engine and precision: `onnx`, `onnx-int8`, `onnx-fp32`. What is kept says exactly what ran:
`onnx-int7` if int8 products saturate on the processor that ran it. Nothing here imports an engine.
"""

from __future__ import annotations

from babelmix.errors import EncoderError

BACKENDS = ("auto", "torch", "onnx", "openvino", "onnx-fp32", "openvino-fp32")
"""What `--backend` accepts, for messages. `onnx` and `openvino` mean int8, and are also accepted as `onnx-int8`."""

ENGINES = ("onnx", "openvino")
"""The engines that run an exported graph."""

PRECISIONS = ("int8", "fp32")

STATIC = "numpy"
"""The backend of an exported static encoder."""

FLOAT32 = (STATIC, "onnx-fp32", "openvino-fp32")
"""Backends of exports whose vectors are those of torch."""

_INT8 = {"onnx": ("onnx-int8", "onnx-int7"), "openvino": ("openvino-int8",)}


def parse_backend(spec: str) -> tuple[str, str]:
    """Split what `--backend` accepts into engine and precision.

    Args:
        spec: one of `BACKENDS`, or an engine with a precision, as in `onnx-int8`.

    Returns:
        The engine: `auto`, `torch`, `onnx` or `openvino`; and the precision: `int8` or `fp32`, empty for `auto`.

    Raises:
        EncoderError: there is no such backend.

    Examples:
        >>> parse_backend("onnx"), parse_backend("openvino-fp32"), parse_backend("torch")
        (('onnx', 'int8'), ('openvino', 'fp32'), ('torch', 'fp32'))

    """
    if spec == "auto":
        return "auto", ""
    if spec == "torch":
        return "torch", "fp32"
    engine, _, precision = spec.partition("-")
    precision = precision if "-" in spec else "int8"
    if engine not in ENGINES or precision not in PRECISIONS:
        raise EncoderError(f"the backend {spec!r} is unknown; use {', '.join(BACKENDS)}")
    return engine, precision


def spec_of(kept: str) -> str:
    """What `--backend` accepts for a backend that an index or an export names.

    Args:
        kept: as `backend_of` returns it.

    Examples:
        >>> [spec_of(kept) for kept in ("onnx-int7", "onnx-fp32", "openvino-int8", "numpy", "torch")]
        ['onnx', 'onnx-fp32', 'openvino', 'torch', 'torch']

    """
    engine, _, precision = kept.partition("-")
    if engine not in ENGINES:
        return "torch"
    return f"{engine}-fp32" if precision == "fp32" else engine


def same_vectors(one: str, other: str) -> bool:
    """Whether vectors of two backends may be mixed: the backends are the same, or both compute in float32.

    Args:
        one: a backend, as `backend_of` returns it.
        other: another.

    Examples:
        >>> same_vectors("torch", "onnx-fp32"), same_vectors("onnx-int8", "openvino-int8")
        (True, False)

    """
    return one == other or (is_float32(one) and is_float32(other))


def kept_backends(asked: str, rows: str | None) -> tuple[str, ...]:
    """The backends that may run an encoder, the first one first, by the names that exports keep.

    Args:
        asked: what `--backend` says.
        rows: the backend that embedded the rows of an index; None: there are none.

    Returns:
        Names; none if only torch will do, or if `auto` has to choose.

    Raises:
        EncoderError: there is no such backend.

    """
    engine, precision = parse_backend(asked)
    if engine == "torch":
        return ()
    if engine != "auto":
        return _INT8[engine] if precision == "int8" else (f"{engine}-fp32",)
    if rows is None:
        return ()
    return FLOAT32 if is_float32(rows) else (rows,)


def is_float32(kept: str) -> bool:
    """Whether a backend computes in float32.

    Args:
        kept: as `backend_of` returns it.

    """
    return kept in ("torch", STATIC) or kept.endswith("-fp32")


__all__ = [
    "BACKENDS", "ENGINES", "FLOAT32", "PRECISIONS", "STATIC", "is_float32", "kept_backends", "parse_backend", "same_vectors",
    "spec_of",
]  # fmt: skip
