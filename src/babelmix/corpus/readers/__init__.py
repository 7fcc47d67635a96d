"""Readers: functions that turn a named source, such as `xquad-r=PATH`, into a `Corpus`.

A reader is a module of this package with a function `read` and an entry in `READERS`. Other packages add readers with
`babelmix.extend.reader`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babelmix._registry import Lazy, Registry

if TYPE_CHECKING:
    from babelmix.corpus.model import Corpus

REQUIRED, OPTIONAL, NEVER = PATHS = ("required", "optional", "never")
"""The values of `Reader.takes_path`."""


@dataclass(frozen=True)
class Reader:
    """A named source of corpora.

    Args:
        summary: what the source is, in one line for `babelmix data`.
        read: the function that reads it, called as `read(path, **options)`. Its options are keyword-only and have defaults.
            A `Lazy` function is imported at its first use.
        takes_path: whether the source needs a path after its name: `required`, `optional` or `never`. Some readers also take
            the name of a Hugging Face data set as the path; their summary says so.

    """

    summary: str
    read: Callable[..., Corpus] | Lazy
    takes_path: str

    @property
    def function(self) -> Callable[..., Corpus]:
        """The function that reads the source, imported if it is `Lazy`."""
        function: Callable[..., Corpus] = self.read.load() if isinstance(self.read, Lazy) else self.read
        return function


class _Readers(Registry[Reader]):
    """The registry of readers. `READERS[name] = reader` still works, with a warning."""

    def __setitem__(self, name: str, reader: Reader) -> None:
        warnings.warn(
            f"READERS[{name!r}] = ... is deprecated: use babelmix.extend.reader", DeprecationWarning, stacklevel=2
        )
        self.register(name, reader)


def _own(module: str, summary: str, takes_path: str = REQUIRED) -> Reader:
    """A reader of this package, whose module is imported at its first use."""
    return Reader(summary, Lazy(f"babelmix.corpus.readers.{module}:read"), takes_path)


READERS: Registry[Reader] = _Readers(
    "reader",
    {
        "comfyui-docs": _own("comfyui_docs", "ComfyUI node pages, 15 languages (extra: offline)", OPTIONAL),
        "libreoffice-help": _own(
            "libreoffice_help", "LibreOffice help, 33 languages, from Debian's packages or blocks.parquet", OPTIONAL
        ),
        "emoji": _own("emoji", "emoji names in 14 languages and their pictures (extra: images)", NEVER),
        "tuxpaint-stamps": _own(
            "tuxpaint_stamps",
            "Tux Paint's stamps, pictures with sentences in 78 languages (Debian's package)",
            OPTIONAL,
        ),
        "xquad-r": _own("xquad_r", "LAReQA's XQuAD-R, 11 languages, sentences or paragraphs, evaluation only"),
        "mlqa-r": _own("mlqa_r", "LAReQA's MLQA-R, 7 languages, evaluation only"),
        "miracl": _own(
            "miracl", "MIRACL, 16 languages with a pool each, dev for evaluation only (a folder or miracl/miracl)"
        ),
        "mr-tydi": _own("mr_tydi", "Mr. TyDi, 11 languages, with hard negatives (a folder or castorini/mr-tydi)"),
        "mmarco": _own("mmarco", "mMARCO's training triples, 14 parallel languages (a folder or unicamp-dl/mmarco)"),
        "belebele": _own(
            "belebele", "Belebele, 122 parallel languages, evaluation only (a folder or facebook/belebele)"
        ),
        "mlqa": _own("mlqa", "MLQA, paragraphs in 7 languages, evaluation only (a folder or facebook/mlqa)"),
        "multieup": _own(
            "multieup",
            "Multi-EuP v2, speeches in 24 languages, evaluation only (a file or unimelb-nlp/MultiEup-v2)",
        ),
        "squadshifts": _own("squadshifts", "SQuADShifts, English, for early stopping (a folder or a hub name)"),
        "parallel-qa": _own(
            "parallel_qa", "your own translated question-answer set, a file a language (a folder or a hub name)"
        ),
        "parallel-sections": _own(
            "parallel_sections", "your own translated pages, a row a section with heading_LANG and text_LANG"
        ),
        "parallel-sentences": _own(
            "parallel_sentences", "your own translated sentences, a column a language: a bitext"
        ),
        "captions": _own("captions", "your own pictures and captions, a JSON line a caption"),
        "multi30k": _own(
            "multi30k", "Multi30K: pictures and captions in en, de, fr, cs (a folder or romrawinjp/multi30k)"
        ),
        "flickr8k-multilingual": _own(
            "flickr8k_multilingual", "Flickr8k's photographs with captions in ar, cs, de, en, fr, hi, pt-BR, zh"
        ),
        "mscoco": _own("mscoco", "COCO's pictures and captions in en, ja (STAIR), zh (COCO-CN)"),
        "m3c": _own("m3c", "Multi30K + multilingual MSCOCO as M3P has them, a part at a time"),
        "xtd10": _own("xtd10", "XTD10: 1,000 pictures of COCO in 11 languages, evaluation only"),
        "xm3600": _own(
            "xm3600", "Crossmodal-3600: pictures in 36 languages, evaluation only (a folder or mteb/xm3600)"
        ),
        "xflickrco": _own(
            "xflickrco", "xFlickr&CO: pictures in 8 languages, evaluation only (a folder or mteb/xflickrco)"
        ),
        "wit": _own(
            "wit", "WIT of IGLUE: Wikipedia's pictures in 11 languages, evaluation only (a folder or mteb/wit)"
        ),
        "flickr30k-200": _own(
            "flickr30k_200",
            "Flickr30k-200 and XTD-200: machine-translated captions in 200 languages, evaluation only",
        ),
        "beir": _own("beir", "a BEIR folder whose queries and corpus have a language field"),
        "folder": _own("folder", "your own folder: passages and queries, with qrels, clicks, or no labels"),
        "table": _own("table", "your own CSV, JSONL or Parquet, wide or long"),
        "mteb": _own("mteb_task", "a multilingual retrieval task of mteb by its name (extra: mteb)"),
        "hub": Reader(
            "a corpus that babelmix pushed to the Hugging Face hub", Lazy("babelmix.corpus.hub:from_hub"), REQUIRED
        ),
    },
)
"""All readers by name."""

__all__ = ["NEVER", "OPTIONAL", "PATHS", "READERS", "REQUIRED", "Reader"]
