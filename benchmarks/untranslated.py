"""Training without translations, and with mined negatives: each encoder is trained alike and tested on the same pages.

apt-get install dict-freedict-eng-{ces,deu,ell,fra,ind,ita,jpn,rus,spa,tur}
python benchmarks/untranslated.py libreoffice-help=PATH --lexicons /usr/share/dictd

All start from the static encoder of E5's token vectors and use the settings of `recipe.py`. The training texts are: English
pages only; English pages with words replaced from FreeDict's lexicons; the pages in all eleven languages, one language per
batch; and, as an upper bound, translations, without and with hard negatives that the start finds. Finished runs are not
repeated, and several processes can share the work. Writes the table of docs/results-recipes.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from marked import write
from recipe import SHOWN, Recipe, on_static, row
from results import COLUMNS, ROOT, table

from babelmix._files import slug
from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.codeswitch import Mode, code_switched
from babelmix.corpus.lexicons import read_lexicon
from babelmix.experiment.jobs import shared
from babelmix.training.mining import mine

PAGES = "test pages"
SHARES = (0.0, 0.5, 1.0)
"""Of mined negatives, those found in another language."""
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
    """Train, audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--lexicons", type=Path, required=True, help="the folder of FreeDict's dictionaries")
    parser.add_argument("--to", type=Path, default=Path("runs/untranslated"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    search = on_static(arguments.corpus, arguments.to, "test", PAGES, ["en", *LEXICONS])
    (training,) = search.training.values()
    english = training.only_langs(["en"])
    lexicons = [
        read_lexicon(f"en:{lang}={arguments.lexicons / f'freedict-eng-{name}.index'}")
        for lang, name in LEXICONS.items()
    ]

    def switched(mode: Mode) -> Corpus:
        return kept(arguments.to / "corpora" / mode, lambda: code_switched(english, lexicons, mode=mode))

    def mined(share: float) -> Corpus:
        place = arguments.to / "corpora" / f"mined-{share}"
        return kept(place, lambda: mine(search.start, training, other_share=share, name="the start"))

    texts: dict[str, Callable[[], Corpus]] = {
        "English": lambda: english,
        "bilingual": partial(switched, "bilingual"),
        "multilingual": partial(switched, "multilingual"),
        "all": lambda: training,
        **{f"mined {share}": partial(mined, share) for share in SHARES},
    }
    # Processes share this work too.
    corpora = shared(arguments.to / "locks", texts)
    searches = {kind: search.on(corpus, arguments.to / slug(kind)) for kind, corpus in corpora.items()}
    for kind, one in searches.items():
        one.run_all([Recipe(batches) for of, batches in ROWS.values() if of == kind], arguments.seeds)
    lines = [row("the start", [search.start_row(PAGES)])]
    for label, (kind, batches) in ROWS.items():
        found = searches[kind].found(Recipe(batches), arguments.seeds, PAGES)
        lines.append(row(f"{label}, `{batches}`", found))
    written = table(["trained on", *(COLUMNS[m] for m in SHOWN)], lines)
    print(written)
    write(ROOT / "docs" / "results-recipes.md", {"untranslated": written})


def kept(folder: Path, make: Callable[[], Corpus]) -> Corpus:
    """A corpus that is made once."""
    if not (folder / "corpus.json").is_file():
        make().save(folder)
    return open_corpus(str(folder))


if __name__ == "__main__":
    main()
