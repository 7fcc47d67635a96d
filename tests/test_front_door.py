"""The front door: each command does what the function does, and leaves the same; importing it is cheap."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import parallel_corpus, picture_corpus

import babelmix as bm

VOLATILE = {"seconds", "milliseconds", "name"}
"""Keys of JSON files that differ between two runs of the same thing: times, and the name of the folder."""


@dataclass(frozen=True)
class User:
    """A user's files."""

    corpus: Path
    held_out: Path
    model: Path
    other: Path
    lexicon: Path


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, tiny_static: Any) -> User:
    folder = tmp_path_factory.mktemp("front")
    corpus = parallel_corpus(40)
    corpus.save(folder / "toy")
    parallel_corpus(60).only_groups([f"g{number}" for number in range(20, 30)]).save(folder / "held-out")
    tiny_static.save(str(folder / "model"), create_model_card=False)
    other = bm.load_model(str(folder / "model"))
    other[0].embedding.weight.data[:, 1:] = 0
    other.save(str(folder / "other"), create_model_card=False)
    lexicon = folder / "de-nl.txt"
    lexicon.write_text("Katze kat\nHund hond\nHaus huis\n", encoding="utf-8")
    return User(folder / "toy", folder / "held-out", folder / "model", folder / "other", lexicon)


def left_in(folder: Path) -> dict[str, Any]:
    """What lies in a folder: names, with the content of all that does not depend on when or where it was written."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        name, content = str(file.relative_to(folder)), file.read_bytes()
        if file.suffix == ".json" and file.name not in ("tokenizer.json", "checksums.json"):
            found[name] = _stable(json.loads(content))
        elif file.suffix in (".html", ".md") or file.name in ("checksums.json", "config.toml", "environment.json"):
            found[name] = len(content) > 0
        elif file.suffix == ".parquet":
            found[name] = pl.read_parquet(file).rows()
        else:
            found[name] = content
    return found


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(entry) for key, entry in value.items() if key not in VOLATILE}
    return [_stable(entry) for entry in value] if isinstance(value, list) else value


Case = tuple[Callable[[User, Path], list[Any]], Callable[[User, Path], Any]]

CASES: dict[str, Case] = {
    "audit": (
        lambda user, out: [
            "audit", user.model, "-c", user.corpus, "--out", out, "--langs", "de,en", "--metrics", "mAP,R@10",
            "--perturb", "case", "--mteb", out.parent / "mteb",
        ],
        lambda user, out: bm.audit(
            str(user.model), str(user.corpus), out=out, langs=["de", "en"], metrics=["mAP", "R@10"], perturb="case",
            mteb=out.parent / "mteb",
        ),
    ),
    "audit of two": (
        lambda user, out: ["audit", user.model, user.other, "-c", user.corpus, "--out", out],
        lambda user, out: bm.audit([str(user.model), user.other], user.corpus, out=out),
    ),
    "train": (
        lambda user, out: [
            "train", "-c", user.corpus, "--model", user.model, "--out", out, "--steps", "12", "--temperature", "0.1",
            "--validation", user.held_out, "--evaluate-every", "6",
        ],
        lambda user, out: bm.train(
            str(user.corpus), model=str(user.model), out=out, steps=12, loss={"temperature": 0.1},
            validation=str(user.held_out), schedule={"evaluate_every": 6},
        ),
    ),
    "debias": (
        lambda user, out: ["debias", user.model, "--on", user.corpus, "--rank", "2", "--out", out],
        lambda user, out: bm.debias(str(user.model), str(user.corpus), rank=2, out=out),
    ),
    "mine": (
        lambda user, out: ["mine", user.model, "-c", user.corpus, "--number", "2", "--margin", "0", "--out", out],
        lambda user, out: bm.mine(str(user.model), str(user.corpus), number=2, margin=0, out=out),
    ),
    "codeswitch": (
        lambda user, out: ["codeswitch", "-c", user.corpus, "--lexicon", f"de:nl={user.lexicon}", "--seed", "3", "--out", out],
        lambda user, out: bm.codeswitch(str(user.corpus), f"de:nl={user.lexicon}", seed=3, out=out),
    ),
    "data": (
        lambda user, out: ["data", user.corpus, "--part", "test", "--to", out],
        lambda user, out: bm.inspect_corpus(str(user.corpus), part="test", to=out),
    ),
    "index": (
        lambda user, out: ["index", user.corpus, "--to", out, "--model", user.model, "--langs", "de,fr"],
        lambda user, out: bm.build_index(str(user.corpus), str(out), model=str(user.model), langs=["de", "fr"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_command_leaves_what_the_function_leaves(
    name: str, user: User, babelmix: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    words, call = CASES[name]
    (tmp_path / "command").mkdir()
    (tmp_path / "function").mkdir()
    code, shown, err = babelmix(*map(str, words(user, tmp_path / "command" / "out")))
    assert code == 0, err
    made = call(user, tmp_path / "function" / "out")
    if name == "index":
        with (
            bm.open_index(str(tmp_path / "command" / "out")) as one,
            bm.open_index(str(tmp_path / "function" / "out")) as two,
        ):
            assert one.search("Katze", k=5).as_json()["hits"] == two.search("Katze", k=5).as_json()["hits"]
        return
    left, also = left_in(tmp_path / "command"), left_in(tmp_path / "function")
    assert list(left) == list(also)
    assert left == also
    if name in ("mine", "codeswitch"):  # a corpus
        return
    printed = [line.split() for line in shown.splitlines() if line.strip()]
    told = [line.replace("/function/", "/command/").split() for line in str(made).splitlines() if line.strip()]
    if name == "train":  # how long it took
        assert printed[-1] == told[-1]
        return
    assert sorted(word for line in printed for word in line) == sorted(word for line in told for word in line)


def test_compare_leaves_what_the_function_leaves(
    user: User, babelmix: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    before = bm.audit(str(user.other), str(user.corpus), out=tmp_path / "before")
    after = bm.audit(str(user.model), str(user.corpus), out=tmp_path / "after")
    code, _, err = babelmix(
        "compare",
        str(tmp_path / "after"),
        str(tmp_path / "before"),
        "--out",
        str(tmp_path / "one"),
        "--tests",
        "multi/mAP",
    )
    assert code == 0, err
    bm.compare([tmp_path / "after", tmp_path / "before"], out=tmp_path / "two", tests="multi/mAP")
    assert left_in(tmp_path / "one") == left_in(tmp_path / "two")
    # Reports in memory say the same.
    assert bm.compare([after, before], tests="multi/mAP").as_json()["tests"] == json.loads(
        (tmp_path / "one" / "comparison.json").read_text(encoding="utf-8")
    )["tests"]  # fmt: skip


def test_a_report_in_memory_is_saved_as_the_command_saves_it(user: User, tmp_path: Path) -> None:
    """An audit without a folder leaves nothing; saved later, it is the same folder."""
    report = bm.audit(bm.load_model(str(user.model)), bm.load_corpus(str(user.corpus)))
    assert report.folder is None
    assert report.places() == {}
    saved = report.save(tmp_path / "later")
    bm.audit(str(user.model), str(user.corpus), out=tmp_path / "at once")
    later, once = left_in(tmp_path / "later"), left_in(tmp_path / "at once")
    # Only files that have not changed for seconds are recorded, which depends on how fast the machine is.
    once.pop("inputs.json", None)
    assert later.keys() == once.keys()
    assert {k: v for k, v in later["metrics.json"].items() if k != "about"} == {
        k: v for k, v in once["metrics.json"].items() if k != "about"
    }
    assert later["ranks.parquet"] == once["ranks.parquet"]
    assert saved.places() == {"report": str(tmp_path / "later" / "report.html")}


def test_an_audit_on_another_corpus_is_not_replaced(user: User, tmp_path: Path) -> None:
    """The same corpus is audited again into one folder, as after each training; another one, or a part, is not."""
    bm.audit(str(user.other), str(user.corpus), out=tmp_path / "a")
    bm.audit(str(user.model), str(user.corpus), out=tmp_path / "a")
    before = left_in(tmp_path / "a")
    with pytest.raises(bm.errors.ArgumentError, match="holds an audit on toy; name another folder"):
        bm.audit(str(user.model), str(user.corpus), part="test", out=tmp_path / "a")
    assert left_in(tmp_path / "a") == before


def test_a_report_is_a_table_in_every_format(user: User) -> None:
    report = bm.audit(str(user.model), str(user.corpus))
    assert "multilingual" in str(report)
    frame = report.to_frame()
    assert {"measure", "cell", "value", "low", "high"} <= set(frame.columns)
    assert frame.filter(pl.col("measure") == "multi/mAP").height > 0
    value = f"{report.macro('multi/mAP'):.3f}"
    assert value in report.to_markdown()
    assert value in report.to_latex()
    assert report.to_latex().startswith("\\begin{tabular}")
    assert report.to_csv().splitlines()[0] == ",".join(frame.columns)
    assert "<table>" in report._repr_html_()


def test_pictures_are_audited_both_ways(tmp_path: Path) -> None:
    corpus = picture_corpus(12)
    texts = [text for text in corpus.queries["text"].to_pylist() if text]
    from babelmix.encoders.kinds import make_encoder

    model = make_encoder("tiny-clip", texts)
    report = bm.audit({"tiny": model}, corpus, out=tmp_path / "p")
    assert list(report.audits) == ["", "image-to-text"]
    assert (tmp_path / "p" / "image-to-text" / "report.html").is_file()
    assert str(report).count("report: ") == 2
    assert set(report.to_frame()["way"]) == {"text-to-image", "image-to-text"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda user: bm.audit([], str(user.corpus)), "name an encoder to audit"),
        (lambda user: bm.audit([user.model, str(user.model)], user.corpus), "two models have one name"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, perturb=[]), "perturb: the list is empty"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, metrics=[]), "metrics: the list is empty"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, langs=[]), "langs: the list is empty"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, perturb="noise"), "there is no"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, typo_rate=0.1), "typo_rate: is for noise"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, perturb="case", typo_rate=0.1), "typo_rate: is for typos"),
        (lambda user: bm.audit("no-such/encoder", user.corpus, bf16=True, backend="onnx"), "bf16: is for torch"),
        (lambda user: bm.train(str(user.corpus), strategy="nonsense"), "there is no batch strategy 'nonsense'"),
        (lambda user: bm.train(str(user.corpus), colour=1), "colour: there is no such setting"),
        (lambda user: bm.train(str(user.corpus), schedule={"patience": 2}), "patience: is for audits during training"),
        (lambda user: bm.train([]), "corpus: the list is empty"),
        (lambda user: bm.compare("no-such"), "no such bundled experiment; those are clip-photographs, demo"),
        (lambda user: bm.compare("demo", tests="multi/mAP"), "tests: is for audits"),
        (lambda user: bm.compare([]), "a comparison needs two audits or more"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_before_anything_is_loaded(
    call: Callable[[User], Any], message: str, user: User
) -> None:
    with pytest.raises(bm.errors.BabelmixError) as caught:
        call(user)
    assert message in str(caught.value)


def test_an_empty_list_on_the_command_line_is_refused_before_anything_is_encoded(
    user: User, babelmix: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for option in ("perturb", "metrics", "langs"):
        code, _, err = babelmix(
            "audit", str(user.model), "-c", str(user.corpus), f"--{option}", ",", "--out", str(tmp_path / "o")
        )
        assert code == 1
        assert f"{option}: the list is empty" in err
        assert not (tmp_path / "o").exists()


def test_every_name_is_there_and_listed() -> None:
    for name in bm.__all__:
        assert getattr(bm, name) is not None, name
        assert name in dir(bm)
    assert bm.errors.BabelmixError is not None
    assert bm.extend.load_plugin is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = bm.nothing


def test_importing_babelmix_loads_nothing_slow() -> None:
    """`import babelmix` takes under 0.3 s of processor time; ten times that would still mean that torch is not loaded."""
    code = "import sys, babelmix; print(sorted({'torch', 'transformers', 'polars', 'pyarrow', 'numpy'} & set(sys.modules)))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == "[]\n"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_the_former_module_still_gives_its_names_and_is_called_like_the_function() -> None:
    code = (
        "import warnings; warnings.simplefilter('always')\n"
        "from babelmix.audit import RankTable\n"
        "from babelmix.audit.metrics import metric\n"
        "from babelmix.evaluation import RankTable as now\n"
        "import babelmix\n"
        "print(RankTable is now, metric('mAP') is not None)\n"
        "try:\n    babelmix.audit([], 'x')\nexcept babelmix.errors.ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True True\nname an encoder to audit")
    assert "babelmix.audit is deprecated: use babelmix.evaluation.RankTable" in done.stderr
    assert "babelmix.audit.metrics is deprecated: use babelmix.evaluation.metrics.metric" in done.stderr
