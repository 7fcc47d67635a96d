"""UNITER with the heads for pre-training and for ranking (arXiv 1909.11740, sections 3.2 and 4), and their losses."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from babelmix.encoders.uniter.block import EPSILON
from babelmix.encoders.uniter.config import UniterConfig
from babelmix.encoders.uniter.model import Packed, UniterModel
from babelmix.encoders.uniter.tokenizer import WordPiece
from babelmix.encoders.uniter.transport import transport_distance
from babelmix.errors import EncoderError


class _Transform(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(F.gelu(self.dense(states)))


class _Predictions(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.transform = _Transform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return F.linear(self.transform(states), words, self.bias)


class _WordHead(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.predictions = _Predictions(config)


def _net(config: UniterConfig) -> list[nn.Module]:
    width = config.hidden_size
    return [nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=EPSILON)]


class _FeatureHead(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.net = nn.Sequential(*_net(config))
        self.bias = nn.Parameter(torch.zeros(config.region_size))

    def forward(self, states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.linear(self.net(states), weight.t(), self.bias)


class _LabelHead(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.net = nn.Sequential(*_net(config), nn.Linear(config.hidden_size, config.label_size))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.net(states)


class Uniter(nn.Module):
    """UNITER (our implementation): the transformer, all heads and the tokenizer.

    A head that shares a weight with an embedding uses the embedding's own, so that a checkpoint has it once.

    Args:
        config: the configuration of the model.
        tokenizer: the tokenizer of its texts.
        seed: the seed of the weights. The global generator of torch does not change.

    Attributes:
        new_heads: names of the heads that have random weights after loading; it is not saved.

    Raises:
        EncoderError: the tokenizer has more pieces than the model has word vectors.

    """

    def __init__(self, config: UniterConfig, tokenizer: WordPiece, *, seed: int = 0) -> None:
        super().__init__()
        if len(tokenizer) > config.vocab_size:
            raise EncoderError(
                f"the vocabulary has {len(tokenizer)} pieces, but the model vectors of {config.vocab_size} only"
            )
        self.config, self.tokenizer = config, tokenizer
        self.new_heads: tuple[str, ...] = ("cls", "feat_regress", "region_classifier", "itm_output", "rank_output")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.uniter = UniterModel(config)
            self.cls = _WordHead(config)
            self.feat_regress = _FeatureHead(config)
            self.region_classifier = _LabelHead(config)
            self.itm_output = nn.Linear(config.hidden_size, 2)
            self.rank_output = nn.Linear(config.hidden_size, 1)
            self.apply(self._initialise)
        with torch.no_grad():
            self.uniter.img_embeddings.mask_embedding.weight[0] = 0
        self.initialise_ranking()

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initial_deviation)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.uniter.device

    def initialise_ranking(self) -> None:
        """Start the ranking head as a copy of row 1 of the matching head, the logit for "match"."""
        with torch.no_grad():
            self.rank_output.weight.copy_(self.itm_output.weight[1:])
            self.rank_output.bias.copy_(self.itm_output.bias[1:])

    def rank(self, pooled: torch.Tensor) -> torch.Tensor:
        """Scores of pairs, floating, shape (pairs,), from their embeddings, shape (pairs, width)."""
        return self.rank_output(pooled)[:, 0]

    def match(self, pooled: torch.Tensor) -> torch.Tensor:
        """Logits of pairs for "no match" and "match", floating, shape (pairs, 2)."""
        return self.itm_output(pooled)

    def word_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of masked tokens, floating, shape (tokens, vocabulary), from states, shape (tokens, width)."""
        return self.cls.predictions(states, self.uniter.embeddings.word_embeddings.weight)

    def region_features(self, states: torch.Tensor) -> torch.Tensor:
        """Features of masked regions, floating, shape (regions, features), from states, shape (regions, width)."""
        return self.feat_regress(states, self.uniter.img_embeddings.img_linear.weight)

    def region_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Class logits of masked regions, floating, shape (regions, classes), from states, shape (regions, width)."""
        return self.region_classifier(states)


def feature_loss(features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Masked-region feature regression: the mean squared error of features, both of shape (regions, features); a scalar."""
    return F.mse_loss(features, wanted)


def hard_label_loss(logits: torch.Tensor, soft_labels: torch.Tensor) -> torch.Tensor:
    """Masked-region classification: cross-entropy with the detector's most likely class, without the background.

    Args:
        logits: floating, shape (regions, classes).
        soft_labels: floating, shape (regions, classes); class 0 is the background.

    """
    return F.cross_entropy(logits, soft_labels[:, 1:].argmax(1) + 1)


def soft_label_loss(logits: torch.Tensor, soft_labels: torch.Tensor) -> torch.Tensor:
    """Masked-region classification: KL divergence from the detector's probabilities, the mean over regions.

    It is summed over classes, as in the paper. The published code takes the mean over classes.

    Args:
        logits: floating, shape (regions, classes).
        soft_labels: floating, shape (regions, classes).

    """
    return F.kl_div(F.log_softmax(logits, dim=1), soft_labels, reduction="batchmean")


def alignment_loss(
    states: torch.Tensor, packed: Packed, together: torch.Tensor, *, beta: float = 0.5, iterations: int = 50
) -> torch.Tensor:
    """Word-region alignment: transport distances of matching pairs minus those of other pairs, the mean over all pairs.

    Args:
        states: states after the last block, floating, shape (pairs, positions, width).
        packed: the pairs.
        together: whether a pair matches, bool, shape (pairs,).
        beta: see `transport_plan`.
        iterations: see `transport_plan`.

    """
    # Words and regions need not be separated: the masks select them.
    distances = transport_distance(
        states, states, packed.is_text(), packed.is_region(), beta=beta, iterations=iterations,
    )  # fmt: skip
    return torch.where(together, distances, -distances).mean()
