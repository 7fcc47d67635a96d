"""The sizes and settings of a UNITER model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from babelmix._files import write_json
from babelmix.errors import EncoderError

_PUBLISHED = {
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "max_position_embeddings": "max_positions",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "initializer_range": "initial_deviation",
}
"""Names in the published configurations, which follow BERT, and our names."""

_IMPLIED = {"hidden_act": "gelu", "type_vocab_size": 2, "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
"""Published settings that can have only this value here."""

_OF_OTHERS = (
    "architectures", "classifier_dropout", "dtype", "gradient_checkpointing", "model_type", "pad_token_id", "torch_dtype",
    "transformers_version", "use_cache",
)  # fmt: skip
"""Settings that copies on the hub add. They have no effect here."""

MODEL_TYPE = "uniter"

SPECIAL_TOKENS = 2
"""Tokens around a text's word pieces: [CLS] and [SEP]."""


@dataclass(frozen=True)
class UniterConfig:
    """The sizes and settings of a UNITER model. The defaults are those of UNITER-base.

    Source: Chen et al., ECCV 2020, arXiv 1909.11740.

    Args:
        vocab_size: number of word pieces.
        hidden_size: size of the hidden states.
        layers: number of transformer blocks.
        heads: number of attention heads; `hidden_size` must be a multiple of it.
        intermediate_size: size of the feed-forward layer.
        region_size: number of features of a region.
        location_size: number of values in a region's location.
        label_size: number of classes of regions.
        max_positions: number of text positions.
        max_text: largest number of word pieces of a text, without [CLS] and [SEP]. Longer texts are cut.
        dropout: dropout of embeddings and of the outputs of attention and feed-forward layers, from 0 to 1.
        attention_dropout: dropout of attention weights, from 0 to 1.
        initial_deviation: standard deviation of new weights.
        lowercase: whether texts are put into lower case and lose their accents.

    Raises:
        EncoderError: a size is not positive, or sizes do not fit together.

    Examples:
        >>> UniterConfig(hidden_size=64, heads=2, intermediate_size=128).layers
        12

    """

    vocab_size: int = 28996
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    region_size: int = 2048
    location_size: int = 7
    label_size: int = 1601
    max_positions: int = 512
    max_text: int = 60
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initial_deviation: float = 0.02
    lowercase: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (type(value) is not int or value < 1):
                raise EncoderError(f"{field.name} of a UNITER model is {value!r}, not a positive whole number")
            if field.type == "float" and (type(value) not in (int, float) or not 0 <= value < 1):
                raise EncoderError(f"{field.name} of a UNITER model is {value!r}, not a number in [0, 1)")
            if field.type == "bool" and type(value) is not bool:
                raise EncoderError(f"{field.name} of a UNITER model is {value!r}, neither true nor false")
        if self.hidden_size % self.heads:
            raise EncoderError(f"{self.heads} attention heads cannot share a width of {self.hidden_size} evenly")
        if self.max_text + SPECIAL_TOKENS > self.max_positions:
            raise EncoderError(
                f"texts of {self.max_text} word pieces, [CLS] and [SEP] do not fit in {self.max_positions} positions"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "the configuration") -> UniterConfig:
        """Make a configuration from settings under our names or BERT's.

        Args:
            values: settings by name. Missing ones have their default.
            source: where the settings come from, for messages.

        Raises:
            EncoderError: a name is unknown or given twice, or a value is not supported.

        """
        known = {field.name for field in fields(cls)}
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name in _OF_OTHERS:
                continue
            if name in _IMPLIED:
                if value != _IMPLIED[name]:
                    raise EncoderError(f"{source}: {name} is {value!r}, but UNITER here has {_IMPLIED[name]!r} only")
                continue
            own = _PUBLISHED.get(name, name)
            if own not in known:
                raise EncoderError(f"{source}: {name!r} is no setting of a UNITER model; remove it")
            if own in found:
                raise EncoderError(f"{source}: {own} is given twice, under two names; remove one")
            found[own] = value
        try:
            return cls(**found)
        except EncoderError as error:
            raise EncoderError(f"{source}: {error}") from error

    @classmethod
    def from_json(cls, path: Path) -> UniterConfig:
        """Read a configuration file, our own or a published one such as `uniter-base.json`.

        Raises:
            EncoderError: there is no such file, or it is no configuration.

        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EncoderError(f"{path}: cannot be read as a configuration ({error})") from error
        if not isinstance(values, dict):
            raise EncoderError(f"{path}: is not a configuration: there is no JSON object in it")
        return cls.from_dict(values, str(path))

    def to_json(self, path: Path) -> None:
        """Write the configuration to a file, atomically."""
        write_json(path, {"model_type": MODEL_TYPE, **asdict(self)})
