"""The data set card of a saved corpus: what is in it, where it is from, and what audits found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import DatasetCardData

from babelmix._files import write_text
from babelmix._tables import Result, Table
from babelmix.corpus import IMAGE, Corpus
from babelmix.errors import ArgumentError
from babelmix.evaluation.measure_info import HEADLINE, measure_info

if TYPE_CHECKING:
    from babelmix.evaluation import Audit

_CARD = """---
{metadata}
---
# {name}

Queries and passages in {count}, for [babelmix](https://pypi.org/project/babelmix): a query's answers are right in every language.

```bash
babelmix data FOLDER                          # this folder
babelmix audit ENCODER --corpus FOLDER
```

`queries` and `passages` have the columns `item`, `lang`, `group` and `text`. `qrels` says which items answer which.

{counts}

{lines}
{audits}
## To be written by hand

Who wrote the texts, who translated them, and under which licence they may be used.
"""


def audits_of(corpus: Corpus, folders: Sequence[str | Path]) -> list[Audit]:
    """Load finished audits of a corpus.

    Raises:
        ArgumentError: an audit is of another corpus.
        BabelmixError: a folder has no finished audit.

    """
    if not folders:
        return []
    from babelmix.evaluation import Audit

    audits = [Audit.load(Path(folder)) for folder in folders]
    for folder, audit in zip(folders, audits, strict=True):
        about = audit.table.about
        if about.fingerprint != corpus.fingerprint():
            raise ArgumentError(
                "audits",
                f"{folder} is an audit of another corpus or part, {about.corpus}; this one is {corpus.name}. First run  "
                f"babelmix audit {about.encoder or 'ENCODER'} --corpus FOLDER",
            )
    return audits


def write_corpus_card(folder: Path, corpus: Corpus, summary: Result, audits: Sequence[Audit]) -> None:
    """Write `README.md` into the folder of a saved corpus.

    Args:
        folder: the folder.
        corpus: the corpus.
        summary: its description.
        audits: finished audits of it.

    """
    files = {name: next(iter(sorted(folder.glob(f"{name}.*"))), None) for name in corpus.tables()}
    data = DatasetCardData(
        language=[lang for lang in corpus.langs if lang != IMAGE],
        pretty_name=corpus.name,
        task_categories=["text-retrieval"],
        multilinguality="multilingual" if len(corpus.langs) > 1 else "monolingual",
        tags=["babelmix", "retrieval", "language-bias"],
        configs=[
            {"config_name": name, "data_files": [{"split": name, "path": file.name}]}
            for name, file in files.items()
            if file is not None
        ],
    )
    card = _CARD.format(
        metadata=data.to_yaml().strip(),
        name=corpus.name,
        count=f"{len(corpus.langs)} language{'s' if len(corpus.langs) > 1 else ''}",
        counts=summary.to_markdown(),
        lines="\n".join(f"- {_without_folders(line.strip())}" for line in summary.lines()),
        audits=_audited(audits) if audits else "",
    )
    write_text(folder / "README.md", card)


def _without_folders(line: str) -> str:
    """A line about the source of a corpus, without the folders of this machine."""
    key, _, source = line.partition(": ")
    return f"{key}: {Path(source).name}" if key == "source" and Path(source).exists() else line


def _audited(audits: Sequence[Audit]) -> str:
    """A table with a row for each audit."""
    found: list[dict[str, Any]] = [audit.estimates for audit in audits]
    shown = [name for name in HEADLINE if any(name in one for one in found)]
    rows = [
        [
            str(audit.table.about.encoder),
            *(measure_info(name).with_interval(one[name][0]) if name in one else "" for name in shown),
        ]
        for audit, one in zip(audits, found, strict=True)
    ]
    head = ["encoder", *(measure_info(name).title for name in shown)]
    return f"\n## What audits found\n\nMacro-averages with 95 % intervals over groups.\n\n{Table(head, rows).to_markdown()}\n"
