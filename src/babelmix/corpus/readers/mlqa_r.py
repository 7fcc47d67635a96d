"""`mlqa-r`: LAReQA's MLQA-R, questions with 2 to 4 parallel answers in 7 languages (see `_lareqa`).

LAReQA has removed it from its repository. The commit 354d67d has it, in the folder `mlqa-r`.
"""

from __future__ import annotations

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._lareqa import files_of_folder, read_sentences

COUNTS = {
    "ar": (517, 2545), "de": (512, 2362), "en": (1148, 6264), "es": (500, 1787),
    "hi": (507, 2426), "vi": (511, 2828), "zh": (504, 2322),
}  # fmt: skip
"""The number of questions and of candidate sentences in each language (arXiv 2408.10536, Table 10); 20,534 candidates in all."""


def read(path: str, *, check: bool = True) -> Corpus:
    """Read MLQA-R.

    Args:
        path: a folder, such as LAReQA's `mlqa-r`, or the name of a Hugging Face data set.
        check: compare the counts with the published table. Turn it off for other data in the same format.

    Raises:
        ReaderError: there is no such folder, a file is malformed, or a count differs from the published one.

    """
    files = files_of_folder(path, "MLQA-R")
    counts = COUNTS if check else None
    return read_sentences(files, "MLQA-R", counts, queries=list(files), name="mlqa-r", licence="CC BY-NC 4.0")
