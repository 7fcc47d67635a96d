"""`xquad-r`: LAReQA's XQuAD-R, 1,190 questions with eleven parallel answers each (see `_lareqa`)."""

from __future__ import annotations

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._lareqa import read_folder

QUESTIONS = 1190
"""The number of questions in each language (arXiv 2408.10536, Table 10)."""

CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244,
    "ru": 1219, "th": 852, "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip
"""The number of candidate sentences in each language (arXiv 2408.10536, Table 10); 13,014 in all."""


def read(path: str, *, check: bool = True) -> Corpus:
    """Read XQuAD-R.

    Args:
        path: a folder, such as LAReQA's `xquad-r`, or the name of a Hugging Face data set.
        check: compare the counts with the published table. Turn it off for other data in the same format.

    Raises:
        ReaderError: there is no such folder, a file is malformed, or a count differs from the published one.

    """
    counts = {lang: (QUESTIONS, candidates) for lang, candidates in CANDIDATES.items()} if check else None
    return read_folder(path, "XQuAD-R", counts, name="xquad-r", licence="CC BY-SA 4.0")
