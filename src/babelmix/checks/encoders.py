"""Checks of an encoder, and of what it makes of the texts."""

from __future__ import annotations

import importlib.util
import json
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from babelmix.checks.base import (
    FOLDER,
    SIDES,
    TOKENIZER,
    TRANSFORMER,
    NotCheckedError,
    Problem,
    Subject,
    by_language,
    examples_of,
    of_languages,
    spread,
)
from babelmix.encoders.embed import INPUT_KINDS, encode
from babelmix.encoders.limits import length_limit, position_limit
from babelmix.encoders.origin import origin_of
from babelmix.encoders.prompts import why_prompts_may_be_missing

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PROBES = ("Full width \uff21", "ÀÉ capitals", "ligature \ufb01", "ZWNJ \u200c here", "two  spaces")
"""Texts that normalisers treat differently."""
_CUT, _MANY_CUT = 0.01, 0.05
"""Shares of a language's texts that are cut: from which on it is said, and from which on it is a problem."""
_UNKNOWN = 0.01
_DEAR = 2.0
"""So many times the tokens of English are said."""
_FEW_ITEMS = 10
_EMBEDDED = 8
"""Texts of a language that are embedded."""
_UNRELATED = 32
"""Texts of different items, without which nothing is said about their similarity."""
_SAME_SIGN = 0.99
_ALIKE = 0.7


def prompts(subject: Subject) -> Iterator[Problem]:
    """An encoder without the prompts that it was made for."""
    encoder = subject.encoder
    assert encoder is not None
    origin = origin_of(encoder)
    if any(encoder.prompts.values()):
        if origin is not None and origin.prompts.startswith("published"):
            yield Problem(
                f"prompts that the encoder needs are not saved with it ({origin.prompts})",
                None,
                None,
                "babelmix gives them. Other tools run without: set the encoder's prompts there, or save it with them.",
                serious=False,
            )
        return
    if subject.folder is None:
        raise NotCheckedError(FOLDER)
    why = why_prompts_may_be_missing(subject.folder)
    if why is not None:
        yield Problem(
            f"the encoder has no prompts, but {why}",
            None,
            None,
            'Of an E5, set "prompts" in config_sentence_transformers.json to {"query": "query: ", "document": "passage: "}.',
        )


def normaliser(subject: Subject) -> Iterator[Problem]:
    """A tokenizer that treats texts otherwise than the one that was saved."""
    from tokenizers import Tokenizer

    folder, loaded = subject.folder, subject.tokenizer
    if folder is None or not (folder / "tokenizer.json").is_file():
        raise NotCheckedError("the encoder's tokenizer.json")
    if loaded is None:
        raise NotCheckedError(TOKENIZER)
    try:
        saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # `tokenizers` raises plain exceptions; an encoder without this file loads too
        return
    other = [probe for probe in _PROBES if _normalised(saved, probe) != _normalised(loaded, probe)]
    if other:
        yield Problem(
            f"the tokenizer that was loaded treats texts otherwise than the saved tokenizer.json (such as {other[0]!r})",
            None,
            None,
            "transformers rebuilds some tokenizers and loses their normaliser (docs/what-others-do.md): save the tokenizer as "
            "PreTrainedTokenizerFast, with its tokenizer.json.",
        )


def _normalised(tokenizer: Tokenizer, text: str) -> str:
    own = tokenizer.normalizer
    return unicodedata.normalize("NFC", text if own is None else own.normalize_str(text))


def limit(subject: Subject) -> Iterator[Problem]:
    """A saved length limit above what the positions allow."""
    from sentence_transformers.base.modules.transformer import Transformer

    assert subject.encoder is not None
    folder = subject.folder
    if folder is None:
        raise NotCheckedError(FOLDER)
    for module in subject.encoder.modules():
        if not isinstance(module, Transformer):
            continue
        most = position_limit(module.model)
        for file, key in (
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            try:
                saved = json.loads((folder / file).read_text(encoding="utf-8")).get(key)
            except (OSError, ValueError, AttributeError):
                continue
            # transformers writes a huge number where there is no limit.
            if most is not None and isinstance(saved, int) and most < saved < 1_000_000:
                yield Problem(
                    f"tokens are allowed by {file}, but the positions of the encoder end at {most:,}",
                    saved,
                    None,
                    f"babelmix cuts at {most:,}. Other tools raise an error for a longer text: lower {key} to {most}.",
                )
                return


def cut(subject: Subject) -> Iterator[Problem]:
    """Texts that are longer than the encoder reads, by language."""
    assert subject.encoder is not None
    most, rows = length_limit(subject.encoder), subject.tokens
    if most is None:
        return
    too_long = pl.col("tokens") > most
    for side in ("passages", "queries"):
        some = rows.filter(pl.col("side") == side)
        found = list(of_languages(some, too_long, _CUT))
        if found:
            yield Problem(
                f"sampled {side} are longer than the {most:,} tokens that the encoder reads ({by_language(found)})",
                some.filter(too_long).height,
                some.height,
                "Split long texts into passages. The same content is longer in some languages, so that more of it is lost there.",
                serious=max(share for _, share in found) >= _MANY_CUT,
                examples=examples_of(some.filter(too_long)),
            )


def unknown(subject: Subject) -> Iterator[Problem]:
    """Texts with characters that the tokenizer does not know, by language."""
    rows = subject.tokens
    bad = pl.col("unknown") > 0
    found = list(of_languages(rows, bad, _UNKNOWN))
    if found:
        yield Problem(
            f"sampled texts have characters that the encoder's tokenizer does not know ({by_language(found)})",
            rows.filter(bad).height,
            rows.height,
            "The encoder cannot read these languages, or these signs. Choose another one for them.",
            examples=examples_of(rows.filter(bad)),
        )


def token_cost(subject: Subject) -> Iterator[Problem]:
    """Languages that need many more tokens than English for the same texts."""
    rows = subject.tokens
    means = rows.group_by("side", "item", "lang").agg(pl.col("tokens").mean())
    english = means.filter(pl.col("lang") == "en").select("side", "item", pl.col("tokens").alias("english"))
    costs = (
        means.filter(pl.col("lang") != "en")
        .join(english, on=["side", "item"])
        .group_by("lang")
        .agg(pl.len(), (pl.col("tokens").sum() / pl.col("english").sum()).alias("cost"))
        .filter(pl.col("len") >= _FEW_ITEMS)
    )
    dear = costs.filter(pl.col("cost") >= _DEAR).sort("cost", descending=True)
    if dear.height:
        named = ", ".join(f"{lang} {cost:.1f}" for lang, cost in dear.select("lang", "cost").head(5).iter_rows())
        yield Problem(
            f"languages need twice the tokens of English or more for the same texts ({named} times)",
            dear.height,
            costs.height,
            "They are slower and are cut earlier. Set the length of passages in tokens of these languages.",
            serious=False,
        )


def vectors(subject: Subject) -> Iterator[Problem]:
    """Vectors that are no numbers or zero, and vectors that all point the same way."""
    assert subject.encoder is not None
    rows = spread(subject.sample, _EMBEDDED)
    parts = []
    for side, kind in zip(SIDES, INPUT_KINDS, strict=True):
        texts = rows.filter(pl.col("side") == side)["text"].to_list()
        if texts:
            parts.append(np.asarray(encode(subject.encoder, texts, kind=kind), dtype=np.float64))
    rows = pl.concat([rows.filter(pl.col("side") == side) for side in SIDES])
    found = np.concatenate(parts)
    lengths = np.sqrt((found**2).sum(1))
    broken = ~np.isfinite(lengths) | (lengths == 0)
    if broken.any():
        yield Problem(
            "sampled texts have a vector that is zero or no number",
            int(broken.sum()),
            len(found),
            "Engines differ in what they do with such vectors (docs/what-others-do.md). Leave these texts out.",
            examples=examples_of(rows.filter(pl.Series(broken))),
        )
        return
    # Texts of one item mean the same.
    apart = rows["item"].is_first_distinct().to_numpy()
    found, lengths = found[apart], lengths[apart]
    if len(found) < _UNRELATED:
        return
    unit = found / lengths[:, None]
    alike = (float(unit.sum(0) @ unit.sum(0)) - len(unit)) / (len(unit) * (len(unit) - 1))
    positive = (found > 0).mean(0)
    same = int((np.maximum(positive, 1 - positive) >= _SAME_SIGN).sum())
    if alike >= _ALIKE:
        yield Problem(
            f"dimensions have the same sign in nearly all sampled texts; two texts of different items have cosine {alike:.2f}",
            same,
            found.shape[1],
            "A threshold on the score says nothing. Subtract the mean before you store binary vectors: such a bit is lost.",
            serious=False,
        )


def int8(subject: Subject) -> Iterator[Problem]:
    """A processor on which products of eight bits saturate."""
    from sentence_transformers.base.modules.transformer import Transformer

    assert subject.encoder is not None
    if not any(isinstance(module, Transformer) for module in subject.encoder.modules()):
        raise NotCheckedError(TRANSFORMER)
    if importlib.util.find_spec("onnxruntime") is None:
        raise NotCheckedError("the package onnxruntime")
    from babelmix.encoders.exported.processors import PROCESSORS, processor
    from babelmix.encoders.onnx_engine import precision

    if precision() == "int7":
        yield Problem(
            f"int8 products saturate on this processor ({PROCESSORS[processor()]})",
            None,
            None,
            "If you export the encoder, babelmix uses weights of seven bits here. Other int8 exports lose accuracy without a "
            "message: make them with reduce_range=True, or use float32.",
            serious=False,
        )


__all__ = ["cut", "int8", "limit", "normaliser", "prompts", "token_cost", "unknown", "vectors"]
