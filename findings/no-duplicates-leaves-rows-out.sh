#!/usr/bin/env bash
# sentence-transformers 6.2.0 (with torch 2.13.0; the model is a table of vectors)
#
# Expected (from the documentation; a first look showed otherwise, this script confirms it): the batch sampler `no_duplicates`
#   keeps equal texts out of one batch, and moves the rows to other batches. An epoch trains on every row once.
# Observed: rows that had to wait come at the end of an epoch, in smaller batches, and the trainer stops before: it counts rows
#   divided by the batch size. With 800 English rows that have a hard negative each and 200 Swahili rows that share one (an
#   empty text), each batch takes one Swahili row. 32 of 200 are trained on, one a batch, the last in batches of one row. With
#   own negatives it is 200 of 200. With 100 pictures' captions in 20 languages and batches of 256, a batch holds 100 rows, and
#   800 of 2,000 are trained on. Nothing warns: the sampler's notice is for epochs that come out too short, these are too long.
#   With dataloader_drop_last the captions give no batch at all, and training ends after 0 steps, with a warning but without an
#   error.
# For a user of retrieval: the language without mined negatives of its own is nearly left out, and captions of one picture in
#   many languages are mostly unseen, while the loss looks fine. Count the texts of an epoch by language. Give rows without a
#   negative as a data set of their own, without the column, and keep the batch smaller than the number of distinct texts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 sentence-transformers==6.2.0 transformers==5.24.0 datasets==5.2.0 accelerate==1.15.0 numpy==2.4.6
cd "$work"
cat > look.py <<'PY'
import collections

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers


def trained(rows, batch, sampler="no_duplicates", drop_last=False):
    """How many rows of each language an epoch trains on, and the sizes of the batches."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu")
    loaded = []
    class Collator(SentenceTransformerDataCollator):
        def __call__(self, features):
            loaded.append(collections.Counter(row["answer"].split()[0] for row in features))
            return super().__call__(features)

    settings = SentenceTransformerTrainingArguments(
        "out", num_train_epochs=1, per_device_train_batch_size=batch, batch_sampler=sampler, dataloader_drop_last=drop_last, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True
    )
    trainer = SentenceTransformerTrainer(model, settings, train_dataset=Dataset.from_list(rows), loss=MultipleNegativesRankingLoss(model), data_collator=Collator(model.preprocess))
    trainer.train()
    steps = loaded[: trainer.state.global_step]  # the loader is one batch ahead
    return sum(steps, collections.Counter()), [sum(one.values()) for one in steps]


def mined(shared):
    english = [{"question": f"en q{i}", "answer": f"en a{i}", "negative": f"en n{i}"} for i in range(800)]
    return english + [{"question": f"sw q{i}", "answer": f"sw a{i}", "negative": "" if shared else f"sw n{i}"} for i in range(200)]


own, _ = trained(mined(shared=False), 32)
shared, sizes = trained(mined(shared=True), 32)
plain, _ = trained(mined(shared=True), 32, sampler="batch_sampler")
print(f"rows trained on, of 800 en and 200 sw: own negatives {dict(own)}; one negative for all Swahili rows {dict(shared)}, last batches {sizes[-4:]}; without the sampler {dict(plain)}")
captions = [{"picture": f"picture {i}", "answer": f"l{n:02} caption {i}"} for i in range(100) for n in range(20)]
whole, sizes = trained(captions, 256)
dropped, _ = trained(captions, 256, drop_last=True)
print(f"captions trained on, of 2000: {sum(whole.values())}, batches of {sorted(set(sizes))} instead of 256; with dataloader_drop_last: {sum(dropped.values())}")
assert own == plain == {"en": 800, "sw": 200}, "own negatives lose rows as well"
assert shared["en"] == 800 and shared["sw"] <= 40, "the rows that wait are trained on now"
assert sum(whole.values()) <= 900 and sum(dropped.values()) == 0, "the captions that wait are trained on now"
PY
HF_HUB_OFFLINE=1 venv/bin/python look.py 2>/dev/null
