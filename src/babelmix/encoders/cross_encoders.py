"""Open a cross-encoder of sentence-transformers: the same checks as for an encoder, and its head must have weights.

transformers gives a model without a head random weights for it, so that a plain encoder would rerank at random.
"""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import CrossEncoder
from transformers import AutoModelForSequenceClassification

from babelmix._progress import console, quiet_transformers
from babelmix.encoders.hub import local_folder
from babelmix.encoders.integrity import check_after_loading, check_before_loading, weight_files
from babelmix.encoders.opening import admitted, module_classes
from babelmix.encoders.trust import json_files, read_json
from babelmix.errors import BabelmixError, EncoderError, first_line


def open_cross_encoder(
    name: str,
    *,
    device: str | None = None,
    max_length: int | None = None,
    revision: str | None = None,
    trust_code: bool = False,
) -> CrossEncoder:
    """Load a cross-encoder with one score per pair.

    Args:
        name: a folder, or a hub name. That the hub is asked is printed.
        device: a torch device; None: the best one that is available.
        max_length: cut pairs after this many tokens; None: the model's own limit.
        revision: branch, tag or commit of a hub model.
        trust_code: see `babelmix.encoders.trust.admit`.

    Raises:
        EncoderError: there is no such model, the check of its folder refuses it, its weights are pickles, it has no head, or
            it gives several scores per pair.

    """
    if local_folder(name) is None:
        console.print(
            f"{name}: is no folder here; the Hugging Face hub is asked for it", markup=False, highlight=False
        )
    found = admitted(name, revision=revision, trust_code=trust_code, reranker=True)
    if not found.trusted:
        check_before_loading(found.folder, name)
    _check_heads(found.folder, name, trusted=found.trusted)
    try:
        with quiet_transformers():
            model = CrossEncoder._load_with_module_classes(
                str(found.folder), module_classes(), device=device, trust_remote_code=found.trusted, local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )  # fmt: skip
    except BabelmixError:
        raise
    except Exception as error:  # transformers and safetensors raise many unrelated types
        raise EncoderError(
            f"{name}: cannot be loaded as a reranker ({type(error).__name__}: {first_line(error)})"
        ) from error
    check_after_loading(model, name)
    if model.num_labels != 1:
        raise EncoderError(
            f"{name}: gives {model.num_labels} scores per pair, as a classifier does; a reranker gives one"
        )
    limit = model.max_seq_length
    if max_length is not None:
        model.max_seq_length = max_length if limit is None else min(max_length, limit)
    return model


def _check_heads(folder: Path, name: str, *, trusted: bool) -> None:
    """Check that the weights are safetensors, and that all of a model's parameters are among them."""
    for path in json_files(folder, name):
        files = weight_files(path.parent)
        content = read_json(path, f"{name}, {path.relative_to(folder).as_posix()}")
        if path.name != "config.json" or not isinstance(content, dict) or "model_type" not in content:
            continue
        if not files or any(file.suffix != ".safetensors" for file in files):
            raise EncoderError(
                f"{name}: has no weights as safetensors; save it again with sentence-transformers, or use another reranker"
            )
        if trusted:
            continue
        try:
            with quiet_transformers():
                model, loaded = AutoModelForSequenceClassification.from_pretrained(
                    str(path.parent), output_loading_info=True, device_map="meta", local_files_only=True,
                    ignore_mismatched_sizes=True, trust_remote_code=False,
                )  # fmt: skip
        except Exception as error:  # as above
            raise EncoderError(
                f"{name}: cannot be loaded as a reranker ({type(error).__name__}: {first_line(error)})"
            ) from error
        wrong = {key for key, *_ in loaded["mismatched_keys"]} | set(loaded["missing_keys"])
        missing = sorted(wrong & {key for key, _ in model.named_parameters()})
        if missing:
            raise EncoderError(
                f"{name}: has no weights for {', '.join(missing[:3])}; it is an encoder, or damaged, and would rerank at random: "
                "use a cross-encoder"
            )


__all__ = ["open_cross_encoder"]
