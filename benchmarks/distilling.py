"""Does distillation keep a fine-tuned encoder good at tasks that it was not trained on? One seed each, on a benchmark.

python benchmarks/distilling.py libreoffice-help=PATH xquad-r=PATH --to runs/distilling

Trains every encoder with the settings of the recipe `e5-libreoffice`, except for the settings that its row names. Finished runs
are not repeated. Writes its table into docs/results.md.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

from finetuned import TESTED
from marked import write
from results import COLUMNS, ROOT, shown, table
from sentence_transformers import SentenceTransformer

from babelmix._files import slug
from babelmix.corpus import open_corpus
from babelmix.encoders import load_encoder
from babelmix.evaluation import Audit, audit
from babelmix.evaluation.run import is_finished
from babelmix.evaluation.systems import EncoderSystem
from babelmix.experiment.bundled import bundled
from babelmix.experiment.config import load_experiment
from babelmix.experiment.parts import corpora
from babelmix.training import train
from babelmix.training.flat import MOVED
from babelmix.training.settings import changed

START: dict[str, Any] = {"distil_from": "start"}
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "`hybrid`, nothing done": ("hybrid", {}),
    "`hybrid`, half the loss: stay as at the start": (
        "hybrid",
        START | {"distil_text": "itself", "distil_share": 0.5},
    ),
    "`hybrid`, half the loss: the start's English": ("hybrid", START | {"distil_share": 0.5}),
    "the start's English alone": ("cross", START),
}
SHOWN = (*TESTED, "bias/same-language share@10")


def main() -> None:
    """Train, audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("benchmark")
    parser.add_argument("--to", type=Path, default=Path("runs/distilling"))
    arguments = parser.parse_args()
    file = bundled("e5-libreoffice")
    assert file is not None
    experiment = load_experiment(file)
    experiment = experiment.model_copy(
        update={"data": experiment.data.model_copy(update={"corpus": arguments.corpus})}
    )
    seed, bf16 = experiment.compare.seeds[0], experiment.compare.bf16
    benchmark, name = open_corpus(arguments.benchmark), experiment.encoder.name
    start = load_encoder(name, max_seq_length=experiment.encoder.max_seq_length)
    training = corpora(experiment).training

    def audited(encoder: SentenceTransformer, label: str) -> Audit:
        folder = arguments.to / slug(label) / "audit"
        if not is_finished(folder, EncoderSystem(encoder, label, bf16=bf16).facts(benchmark)):
            audit(encoder, benchmark, name=label, bf16=bf16).save(folder)
        return Audit.load(folder, ["mAP"])

    found = {}
    for label, (strategy, changes) in ENCODERS.items():
        place = arguments.to / slug(label) / "model"
        if not (place / "training.json").is_file():
            settings = changed(
                experiment.run_settings(strategy, seed),
                {MOVED.get(name, name): value for name, value in {"checkpoint_every": 10, **changes}.items()},
            )
            train(copy.deepcopy(start), training, settings, place, base=name)
        found[label] = audited(load_encoder(str(place)), label)
        print(label, {key: shown(key, found[label].macro(key)) for key in SHOWN}, flush=True)
    found = {"the start": audited(start, "the start"), **found}
    rows = [[label, *(shown(key, one.macro(key)) for key in SHOWN)] for label, one in found.items()]
    written = table(["encoder", *(COLUMNS[key] for key in SHOWN)], rows)
    write(ROOT / "docs" / "results.md", {"e5-distilled": written})


if __name__ == "__main__":
    main()
