"""Write what an export holds besides its graph: facts, tokenizer, and the arrays of the modules after the transformer."""

from __future__ import annotations

import copy
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling, StaticEmbedding
from tokenizers import Tokenizer

from babelmix.encoders.exported.facts import (
    ARRAYS,
    DenseStep,
    ExportFacts,
    LayerNormStep,
    NormalizeStep,
    PoolingStep,
    RemovalStep,
    SparseStep,
    Step,
    layout_of,
)
from babelmix.encoders.exported.pieces import write_pieces
from babelmix.encoders.exported.steps import ACTIVATIONS, KINDS, Floats
from babelmix.encoders.exported.tokens import TOKENIZER
from babelmix.encoders.fingerprints import fingerprint
from babelmix.encoders.kinds import MODEL
from babelmix.encoders.limits import length_limit
from babelmix.encoders.ngram_network import EMPTY, NGramNetwork
from babelmix.encoders.origin import origin_of
from babelmix.encoders.removal.module import LanguageRemoval, SparseModule


class _CannotError(Exception):
    """A module that has no step; the message is the end of a sentence."""


def why_no_steps(encoder: SentenceTransformer) -> str | None:
    """Why the modules of an encoder cannot run without torch, as the end of a sentence; None: they can."""
    try:
        _steps(encoder)
        _fast_tokenizer(encoder)
    except _CannotError as error:
        return str(error)
    return None


def describe(encoder: SentenceTransformer, folder: Path, *, backend: str) -> None:
    """Write facts, tokenizer and arrays beside a graph.

    Args:
        encoder: the encoder that was exported; it runs by torch.
        folder: the folder of the graph.
        backend: engine and precision, as in `onnx-int8`.

    """
    tokenizer = _tokenizer(encoder)
    steps, arrays = _steps(encoder)
    tokenizer.save(str(folder / TOKENIZER))
    write_pieces(folder / TOKENIZER, folder)
    if arrays:
        save_file(arrays, folder / ARRAYS)
    first: Any = encoder[0]
    pad, pad_left = 0, False
    lengths: dict[str, int] = {}
    empty = EMPTY if isinstance(first, NGramNetwork) else None
    if isinstance(first, Transformer):
        pad = int(first.tokenizer.pad_token_id or 0)
        pad_left = first.tokenizer.padding_side == "left"
        given = dict(zip(KINDS, (first.query_length, first.document_length), strict=True))
        lengths = {kind: int(length) for kind, length in given.items() if length is not None}
    origin = origin_of(encoder)
    # `get_embedding_dimension` is of truncated vectors.
    dimension = encoder.get_embedding_dimension() if encoder.truncate_dim is None else _full_dimension(encoder)
    ExportFacts(
        babelmix=importlib.metadata.version("babelmix"),
        encoder=origin.name if origin is not None else "",
        kind=origin.kind if origin is not None else MODEL,
        fingerprint=fingerprint(encoder),
        backend=backend,
        layout=layout_of(backend),
        prompts={name: prompt or "" for name, prompt in encoder.prompts.items()},
        max_seq_length=length_limit(encoder),
        max_lengths=lengths,
        pad=pad,
        pad_left=pad_left,
        dimension=int(dimension or 0),
        truncate_dim=encoder.truncate_dim,
        similarity=str(encoder.similarity_fn_name),
        steps=steps,
        empty=empty,
    ).save(folder)


def _full_dimension(encoder: SentenceTransformer) -> int:
    whole = copy.copy(encoder)
    whole.truncate_dim = None
    return int(whole.get_embedding_dimension() or 0)


def _fast_tokenizer(encoder: SentenceTransformer) -> Tokenizer:
    own = encoder.tokenizer
    backend = getattr(own, "backend_tokenizer", own)
    if not isinstance(backend, Tokenizer):
        raise _CannotError("it has no fast tokenizer")
    return backend


def _tokenizer(encoder: SentenceTransformer) -> Tokenizer:
    """A copy of the encoder's fast tokenizer without padding and truncation."""
    made = Tokenizer.from_str(_fast_tokenizer(encoder).to_str())
    made.no_padding()
    made.no_truncation()
    return made


def _steps(encoder: SentenceTransformer) -> tuple[list[Step], dict[str, Floats]]:
    modules: list[Any] = list(encoder.children())
    first = modules[0]
    if isinstance(first, Transformer):
        if set(first.processing_kwargs or {}):
            raise _CannotError("its texts are processed with options of their own")
        if not (len(modules) > 1 and isinstance(modules[1], Pooling)):
            raise _CannotError("its second module does not pool")
    elif not isinstance(first, StaticEmbedding | NGramNetwork):
        raise _CannotError(f"its first module is {type(first).__name__}")
    # Its graph gives one vector a text, as if a text had one token.
    steps: list[Step] = [PoolingStep(modes=["cls"])] if isinstance(first, NGramNetwork) else []
    arrays: dict[str, Floats] = {}
    for module in modules[1:]:
        step, own = _step(module, encoder)
        number = len(steps)
        arrays |= {f"{number}.{name}": np.ascontiguousarray(array, dtype=np.float32) for name, array in own.items()}
        steps.append(step)
    return steps, arrays


def _step(module: Any, encoder: SentenceTransformer) -> tuple[Step, dict[str, Any]]:
    """A module as a step, and its arrays."""
    kind = type(module)
    if kind is Pooling:
        modes = module.pooling_mode
        lengths = {} if module.include_prompt else _prompt_lengths(encoder)
        return PoolingStep.model_validate(
            {"modes": [modes] if isinstance(modes, str) else list(modes), "prompt_lengths": lengths}
        ), {}
    if (
        getattr(module, "module_input_name", "sentence_embedding") != "sentence_embedding"
        or (getattr(module, "module_output_name", None) or "sentence_embedding") != "sentence_embedding"
    ):
        raise _CannotError(f"its module {kind.__name__} works on tokens")
    if kind is Normalize:
        return NormalizeStep(), {}
    if kind is Dense:
        activation = type(module.activation_function)
        if activation.__name__ not in ACTIVATIONS or repr(module.activation_function) != repr(activation()):
            raise _CannotError(f"its Dense has the activation {module.activation_function}")
        if getattr(module, "use_residual", False):
            raise _CannotError("its Dense has a residual")
        return DenseStep(activation=activation.__name__), _arrays(module.linear)
    if kind is LayerNorm:
        return LayerNormStep(eps=float(module.norm.eps)), _arrays(module.norm)
    if kind is LanguageRemoval:
        return RemovalStep(langs=len(module.langs), kinds=module.kinds, alpha=float(module.alpha)), _arrays(module)
    if kind is SparseModule:
        return SparseStep(active=module.active, alpha=float(module.alpha)), _arrays(module)
    raise _CannotError(f"its module {kind.__name__} needs torch")


def _arrays(module: Any) -> dict[str, Any]:
    return {name: tensor.detach().cpu().float().numpy() for name, tensor in module.state_dict().items()}


def _prompt_lengths(encoder: SentenceTransformer) -> dict[str, int]:
    """Tokens of the prompts for queries and documents, which the pooling leaves out."""
    first: Any = encoder[0]
    found = {}
    for kind, names in zip(KINDS, (("query",), ("document", "passage", "corpus")), strict=True):
        prompt = next((encoder.prompts[name] for name in names if name in encoder.prompts), "")
        if prompt:
            found[kind] = int(first._get_prompt_length(prompt) or 0)
    return found


__all__ = ["describe", "why_no_steps"]
