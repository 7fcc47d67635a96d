"""How long a text may be, and what is said where a forward pass fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from babelmix.encoders import encode, load_encoder
from babelmix.encoders.limits import position_limit
from babelmix.errors import EncoderError, TrainingError


def saved(folder: Path, tiny_bert: Path, kind: str, **sizes: int) -> Path:
    """A small transformer of another family with random weights, and a tokenizer that knows no limit."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, **sizes
    )
    torch.manual_seed(0)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("XLMRoberta", 64), ("Roberta", 64), ("Camembert", 64), ("MPNet", 64), ("Bert", 66), ("Electra", 66)],
)
def test_a_text_is_cut_where_positions_end(tmp_path: Path, tiny_bert: Path, kind: str, limit: int) -> None:
    encoder = load_encoder(str(saved(tmp_path / "m", tiny_bert, kind, max_position_embeddings=66)))
    assert encoder.max_seq_length == limit
    long = " ".join(["cat"] * 500)
    vectors = encode(encoder, [long, "cat"], "query", store=False)
    assert np.isfinite(vectors).all()
    # One token more is one too many: the limit is not below what the model reads.
    encoder.max_seq_length = limit + 1
    with pytest.raises(
        EncoderError, match=r"^.*: embedding fails \(.*\) at the text of 1,999 characters that begins 'cat"
    ):
        encode(encoder, ["cat", long], "query", store=False)


def test_a_limit_of_the_tokenizer_that_is_lower_stays(tmp_path: Path, tiny_bert: Path) -> None:
    folder = saved(tmp_path / "m", tiny_bert, "XLMRoberta", max_position_embeddings=66)
    assert load_encoder(str(folder), max_seq_length=16).max_seq_length == 16


def test_computed_positions_have_no_limit() -> None:
    from transformers import ModernBertConfig, ModernBertModel

    config = ModernBertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=0
    )
    assert position_limit(ModernBertModel(config)) is None


@pytest.mark.parametrize("error", [RuntimeError("no\nreason"), IndexError("index out of range"), KeyError("x")])
def test_what_a_forward_pass_raises_is_one_sentence(tiny_bert: Path, error: Exception) -> None:
    encoder = load_encoder(str(tiny_bert))
    right = encoder[0].forward

    def forward(features, **options):
        # Fails at one text, wherever it stands.
        if (features["input_ids"] == 4).any():
            raise error
        return right(features, **options)

    encoder[0].forward = forward
    first = next(word for word, number in encoder.tokenizer.get_vocab().items() if number == 4)
    with pytest.raises(EncoderError) as found:
        encode(encoder, ["no such word", f"{first} here", "nor here"], "document", store=False)
    message = str(found.value)
    assert message.startswith(f"{tiny_bert}: embedding fails ({type(error).__name__}: ")
    assert message.endswith(f"at the text '{first} here'")
    assert "\n" not in message


def test_a_training_step_that_fails_is_one_sentence(tiny_bert: Path, corpus, tmp_path: Path) -> None:
    from babelmix.training import TrainingSettings, train

    encoder = load_encoder(str(tiny_bert))

    def forward(features, **options):
        raise IndexError("index out of range in self")

    encoder[0].forward = forward
    settings = TrainingSettings(strategy="mixed", steps=2, batch_size=8)
    with pytest.raises(
        TrainingError, match=r"step 1 of the training fails \(IndexError: index out of range in self\)"
    ):
        train(encoder, corpus, settings, tmp_path / "out", base="tiny")
