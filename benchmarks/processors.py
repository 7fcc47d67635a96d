"""What int8 costs on processors with other instructions; writes the table of docs/audit.md.

python benchmarks/processors.py
python benchmarks/processors.py --to FOLDER --items 15     # keeps exports and vectors in FOLDER, so that it can be stopped

The check set of `--backend auto` is embedded by each export of `e5-small-offline` on this processor. AVX2 alone is emulated by
`qemu-x86_64 -cpu Haswell` (Debian: qemu-user), for the questions of the first items: there only the graph runs, as emulation is
some hundred times slower. Emulation gives the numbers of that processor, not its speed, so no speed is reported.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import marked
import numpy as np
import numpy.typing as npt

from babelmix.encoders.exported import checking
from babelmix.encoders.exported.processors import AVX2, PROCESSORS, fastest_first, processor

ENCODER = "e5-small-offline"
EMULATOR = ("qemu-x86_64", "-cpu", "Haswell")
EXPORTS = ("onnx-fp32", "onnx-int8", "onnx-int7", "openvino-int8")
TITLES = {
    "onnx-int8": "ONNX Runtime, int8",
    "onnx-int7": "ONNX Runtime, weights of seven bits",
    "openvino-int8": "OpenVINO, int8",
}
KINDS = ("query", "document")
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "audit.md"
BATCH = 8
HALVES = 64
"""Random halves of the dimensions here; `auto` takes 16."""


def main() -> None:
    """Export, embed on both processors, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, help="a folder for exports and vectors; by default a temporary one")
    parser.add_argument("--items", type=int, default=15, help="of the check set, emulated: 60 take an hour or more")
    parser.add_argument("--quick", action="store_true", help="two items, no table: does it run?")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, backend, name, items, kinds = arguments.child
        embed(Path(folder), backend, name, int(items), kinds.split(","))
        return
    items = 2 if arguments.quick else arguments.items
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.to or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tokens_and_exports(folder)
        everything = items if arguments.quick else len(checking.check_set().items)
        ours = {backend: run(folder, backend, "here", everything, KINDS) for backend in EXPORTS}
        theirs: dict[str, npt.NDArray[np.float32]] = {}
        if shutil.which(EMULATOR[0]):
            for backend in ("onnx-int7", "onnx-int8", "openvino-int8"):
                # Two items show whether numbers are those from here. Only eight bits of ONNX Runtime saturate.
                some = items if backend == "onnx-int8" else 2
                try:
                    theirs[backend] = run(folder, backend, "avx2", some, KINDS[:1], EMULATOR)["query"]
                except subprocess.CalledProcessError as error:
                    print(f"{backend} does not run under {' '.join(EMULATOR)}: {error}", file=sys.stderr)
        part = f"{table(ours, theirs, items)}\n\n{machine.note()}"
    print(part)
    if not arguments.quick:
        marked.write(DOCUMENT, {"processors": part})


def tokens_and_exports(folder: Path) -> None:
    """Write the tokens of the check set and the exports, unless they are there."""
    from babelmix.encoders import load_encoder, onnx_engine
    from babelmix.encoders.backends import export_graph

    encoder: Any = load_encoder(ENCODER)
    known = checking.check_set()
    for kind, texts in zip(KINDS, (known.questions, known.passages), strict=True):
        ids = encoder.tokenizer([encoder.prompts[kind] + text for text in texts])["input_ids"]
        np.savez(folder / f"{kind}.npz", ids=np.concatenate(ids), lengths=[len(some) for some in ids])
    own = onnx_engine._saturates
    for backend in EXPORTS:
        if not (folder / backend).is_dir():
            onnx_engine._saturates = lambda backend=backend: backend == "onnx-int7"
            model = encoder[0].model
            export_graph(model, backend, folder / backend, ENCODER, encoder.tokenizer("")["input_ids"])
    onnx_engine._saturates = own


def run(
    folder: Path, backend: str, name: str, items: int, kinds: Sequence[str], before: Sequence[str] = ()
) -> dict[str, npt.NDArray[np.float32]]:
    """Run an export in a process of its own, and read the vectors of the first items."""
    given = [str(folder), backend, f"{name}-{backend}-{items}", str(items), ",".join(kinds)]
    if not all((folder / f"{given[2]}-{kind}.npy").is_file() for kind in kinds):
        subprocess.run([*before, sys.executable, __file__, "--child", *given], check=True)
    return {kind: np.load(folder / f"{given[2]}-{kind}.npy") for kind in kinds}


def embed(folder: Path, backend: str, name: str, items: int, kinds: Sequence[str]) -> None:
    """Embed the first items with an export: a mean over tokens. Parts that are there are not made again."""
    from babelmix.encoders.graph import open_graph

    graph = open_graph(folder / backend, backend, 1)
    for kind in kinds:
        saved = np.load(folder / f"{kind}.npz")
        lengths = saved["lengths"][: items * len(checking.check_set().langs)]
        ends = np.cumsum(lengths)
        texts = [saved["ids"][end - length : end] for end, length in zip(ends, lengths, strict=True)]
        order = np.argsort(-lengths, kind="stable")
        parts = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        files = [folder / "parts" / f"{name}-{kind}-{number}.npy" for number in range(len(parts))]
        files[0].parent.mkdir(exist_ok=True)
        for rows, file in zip(parts, files, strict=True):
            if not file.is_file():
                temporary = file.with_suffix(".part.npy")
                np.save(temporary, embedded(graph, [texts[row] for row in rows]))
                temporary.rename(file)
        vectors = np.concatenate([np.load(file) for file in files])
        np.save(folder / f"{name}-{kind}.npy", vectors[np.argsort(order)])


def embedded(graph: Any, texts: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    """Vectors of length one of a few texts."""
    longest = max(map(len, texts))
    ids, mask = (np.full((len(texts), longest), value, dtype=np.int64) for value in (1, 0))
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    total = (graph.embed(ids, mask) * mask[..., None]).sum(axis=1)
    unit: npt.NDArray[np.float32] = (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)
    return unit


def table(ours: dict[str, Any], theirs: dict[str, npt.NDArray[np.float32]], items: int) -> str:
    """The table: differences in mAP from float32 by processor and export."""
    exact = ours["onnx-fp32"]
    here, avx2 = PROCESSORS[processor()], f"{PROCESSORS[AVX2]} (emulated)"
    count = items * len(checking.check_set().langs)
    part = cut(exact, count)
    rows = [(here, here, TITLES[backend], some) for backend, some in ours.items() if backend in TITLES]
    rows += [
        (
            here,
            here,
            "questions with seven bits, passages with eight",
            {**ours["onnx-int8"], "query": ours["onnx-int7"]["query"]},
        ),
        (
            here,
            here,
            "questions with eight bits, passages with seven",
            {**ours["onnx-int7"], "query": ours["onnx-int8"]["query"]},
        ),
    ]
    if "onnx-int8" in theirs:
        for title, rest in ((TITLES["onnx-int8"], cut(ours["onnx-int8"], count)), ("int8; passages in float32", part)):
            rows.append((avx2, here, title, {**rest, "query": theirs["onnx-int8"]}))
            rows.append((here, here, title, {**rest, "query": ours["onnx-int8"]["query"][:count]}))
    lines = [
        f"`{ENCODER}`: differences in mAP from float32 on the check set; the limit of `auto` is {checking.LIMIT}.",
        "",
        "| questions on | passages on | export | texts | within a language | across two | pool of all "
        "| cosine of questions with float32 |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for questions, passages, title, some in rows:
        number = len(some["query"])
        mine = cut(exact, number)
        cosine = (mine["query"] * some["query"]).sum(axis=1).mean()
        cells = " | ".join(f"{value:+.4f}" for value in differences(mine, some))
        lines.append(f"| {questions} | {passages} | {title} | {2 * number:,} | {cells} | {cosine:.4f} |")
    lines.append("")
    for backend, vectors in theirs.items():
        own = ours[backend]["query"][: len(vectors)]
        lines.append(
            f"- {TITLES[backend]}, {len(vectors)} questions: mean cosine of {avx2} with {here} "
            f"{(own * vectors).sum(axis=1).mean():.5f}, largest difference of a number {np.abs(own - vectors).max():.0e}."
        )
    lines += ["", "| processor | `auto` tries, in this order |", "|---|---|"]
    lines += [
        f"| {title} | {', '.join(f'`{one}`' for one in fastest_first(sort))}, `torch` |"
        for sort, title in PROCESSORS.items()
    ]
    return "\n".join(lines)


def cut(vectors: Any, count: int) -> dict[str, Any]:
    """The vectors of the first texts."""
    return {kind: vectors[kind][:count] for kind in KINDS}


def differences(exact: Any, other: Any) -> npt.NDArray[np.float64]:
    """Differences in mAP as the check measures them, for the first items of the check set."""
    own = checking._DRAWS
    checking._DRAWS = HALVES
    (before, _), (after, _) = (checking._measured(some, "cosine") for some in (exact, other))
    checking._DRAWS = own
    return after - before


if __name__ == "__main__":
    main()
