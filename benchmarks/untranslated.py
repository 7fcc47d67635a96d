"""What takes the place of translations, and what mined negatives add: trained alike, tested on the same pages.

apt-get install dict-freedict-eng-{ces,deu,ell,fra,ind,ita,jpn,rus,spa,tur}
python benchmarks/untranslated.py libreoffice-help=PATH --lexicons /usr/share/dictd

From the static encoder of E5's token vectors, with the settings of `recipe.py`. English pages alone; the same with words replaced
from FreeDict's lexicons; the pages of all eleven languages, of which each batch sees one; and, for what could be had at best,
with translations, without and with hard negatives that the start finds. What is done is kept, several processes share the work.
Writes the table of docs/recipes.md.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

from marked import write
from recipe import SETTINGS, SHOWN, of_recipe, row
from results import COLUMNS, ROOT, table

from babelmix._files import slug
from babelmix.audit import Measure, RankTable, audit, measures
from babelmix.corpus import Corpus, open_corpus, split
from babelmix.corpus.codeswitch import Mode, code_switched
from babelmix.corpus.lexicons import read_lexicon
from babelmix.encoders import load_encoder
from babelmix.experiment.setup import shared
from babelmix.experiment.start import start_of
from babelmix.training import train
from babelmix.training.mining import mine

NAME = "libreoffice-pretrained"
LEXICONS = {
    "cs": "ces", "de": "deu", "el": "ell", "es": "spa", "fr": "fra", "id": "ind", "it": "ita", "ja": "jpn", "ru": "rus",
    "tr": "tur",
}  # fmt: skip
"""FreeDict's name of each language."""
ROWS = {
    "English alone": ("English", "mono"),
    "English, words switched, a rendering a language": ("bilingual", "hybrid(0.5)"),
    "the same": ("bilingual", "cross"),
    "English, words switched into all languages at once": ("multilingual", "hybrid(0.5)"),
    "all languages, a language a batch": ("all", "mono"),
    "translations": ("all", "hybrid(0.5)"),
    "translations, mined negatives, none of another language": ("mined 0.0", "hybrid(0.5)"),
    "translations, mined negatives, half of them": ("mined 0.5", "hybrid(0.5)"),
    "translations, mined negatives, all of them": ("mined 1.0", "hybrid(0.5)"),
}
"""Texts and batches of each row."""


def main() -> None:
    """Train, audit, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--lexicons", type=Path, required=True, help="the folder of FreeDict's dictionaries")
    parser.add_argument("--to", type=Path, default=Path("runs/untranslated"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    experiment = of_recipe(NAME, arguments.corpus)
    whole = open_corpus(arguments.corpus).only_langs(["en", *LEXICONS])
    parts = split(whole, experiment.data.split, seed=experiment.data.split_seed)
    training, tested = parts["train"], parts["test"]
    start = start_of(experiment, {NAME: training}, arguments.to, print)
    lexicons = [
        read_lexicon(f"en:{lang}={arguments.lexicons / f'freedict-eng-{name}.index'}")
        for lang, name in LEXICONS.items()
    ]

    def texts(kind: str) -> Corpus:
        what, _, share = kind.partition(" ")
        if what == "mined":
            return kept(
                arguments.to / slug(kind), lambda: mine(start, training, other_share=float(share), name="the start")
            )
        if what == "all":
            return training
        english = training.only_langs(["en"])
        if what == "English":
            return english
        mode: Mode = "multilingual" if what == "multilingual" else "bilingual"
        return kept(arguments.to / slug(kind), lambda: code_switched(english, lexicons, mode=mode))

    def job(kind: str, batches: str, seed: int) -> None:
        place = arguments.to / slug(f"{kind} {batches}") / f"seed-{seed}"
        if (place / "audit" / "done").is_file():
            return
        settings = experiment.run_settings(batches, seed).model_copy(update=SETTINGS[NAME])
        train(copy.deepcopy(start), texts(kind), settings, place / "model", base=experiment.encoder.name)
        audit(load_encoder(str(place / "model")), tested, name=f"{kind}, {batches}", store=False).save(place / "audit")
        (place / "audit" / "done").touch()

    jobs: dict[str, Callable[[], None]] = {
        f"{kind} {batches} {seed}": partial(job, kind, batches, seed)
        for seed in arguments.seeds
        for kind, batches in ROWS.values()
    }
    shared(arguments.to / "locks", jobs)

    def found(kind: str, batches: str) -> list[dict[str, Measure]]:
        folder = arguments.to / slug(f"{kind} {batches}")
        return [measures(RankTable.load(folder / f"seed-{seed}" / "audit"), ["mAP"]) for seed in arguments.seeds]

    audit(start, tested, name="the start", store=False).save(arguments.to / "start-audit")
    lines = [row("the start", [measures(RankTable.load(arguments.to / "start-audit"), ["mAP"])])]
    for label, (kind, batches) in ROWS.items():
        lines.append(row(f"{label}, `{batches}`", found(kind, batches)))
    written = table(["trained on", *(COLUMNS[m] for m in SHOWN)], lines)
    print(written)
    write(ROOT / "docs" / "recipes.md", {"untranslated": written})


def kept(folder: Path, make: Callable[[], Corpus]) -> Corpus:
    """A corpus that is made once."""
    if not (folder / "corpus.json").is_file():
        make().save(folder)
    return open_corpus(str(folder))


if __name__ == "__main__":
    main()
