"""Read vectors from files: npy, npz, safetensors, Parquet, Arrow and Feather, and JSON lines.

`open_vectors` opens any of them. A file is memory-mapped where its format allows it (npy, npz without compression, safetensors,
Arrow and Feather without compression); vectors of other files are unpacked once, block by block, into a temporary file that
disappears with them. Pickles are never opened.
"""

from __future__ import annotations

from babelmix.evaluation.vector_files.decoding import Decoded, decoded
from babelmix.evaluation.vector_files.opening import SUFFIXES, files_beside, open_vectors
from babelmix.evaluation.vector_files.source import VectorSource

__all__ = ["SUFFIXES", "Decoded", "VectorSource", "decoded", "files_beside", "open_vectors"]
