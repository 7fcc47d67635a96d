"""The command line as a person uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import parallel_corpus
from rich.progress import Task, TaskID
from sentence_transformers import SentenceTransformer

from babelmix import _progress
from babelmix.cli import main
from babelmix.cli.app import app
from babelmix.corpus import Corpus

COMMANDS = ("audit", "train", "compare", "data", "debias", "encoders", "index", "search", "serve")


Done = subprocess.CompletedProcess[str]


def in_its_own_process(*arguments: object) -> Done:
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "babelmix", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def run(babelmix: Callable[..., tuple[int, str, str]]) -> Callable[..., Done]:
    """The same in this process, which saves the seconds of importing."""

    def run(*arguments: object) -> Done:
        status, out, err = babelmix(*map(str, arguments))
        return Done(list(arguments), status, out, err)

    return run


def wide(corpus: Corpus, file: Path) -> Path:
    """A user's small wide file, a query and a passage column per language."""
    rows: dict[str, dict[str, str]] = {}
    for side, table in (("query", corpus.queries), ("passage", corpus.passages)):
        for row in table.to_pylist():
            rows.setdefault(row["item"], {"item": row["item"], "group": row["group"]})[f"{side}_{row['lang']}"] = row[
                "text"
            ]
    names = ["item", "group", *(f"{side}_{lang}" for side in ("query", "passage") for lang in corpus.langs)]
    lines = [",".join(names), *(",".join(f'"{row[name]}"' for name in names) for row in rows.values())]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wide(parallel_corpus(40), tmp_path_factory.mktemp("user") / "my.csv")


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items that the other file does not have."""
    corpus = parallel_corpus(60).only_groups([f"g{number}" for number in range(20, 30)])
    return wide(corpus, tmp_path_factory.mktemp("user") / "held-out.csv")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run: Callable[..., Done], command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"babelmix {command}" in done.stdout
    assert "Examples" in done.stdout


@pytest.mark.slow
def test_a_user_trains_on_a_csv_and_sees_before_and_after(
    run: Callable[..., Done], csv: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    done = in_its_own_process(
        "train", "--corpus", csv, "--strategy", "hybrid", "--model", tiny_bert, "--out", model,
        "--steps", 40, "--learning-rate", "3e-3", "--batch-size", 16,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"SentenceTransformer('{model}')" in done.stdout.replace("\n", "")
    assert SentenceTransformer(str(model)).encode(["Katze"]).shape == (1, 32)
    audits = {}
    for name, encoder in (("before", tiny_bert), ("after", model)):
        # In a process that has imported babelmix.extend, as tests do, an audit keeps no record of its inputs.
        shown = in_its_own_process("audit", encoder, "-c", csv, "--out", tmp_path / name)
        assert shown.returncode == 0, shown.stderr
        assert "Three settings" in shown.stdout
        assert {p.name for p in (tmp_path / name).iterdir()} == {
            "ranks.parquet",
            "queries.parquet",
            "checksums.json",
            "metrics.json",
            "inputs.json",
            "report.html",
        }
        printed = run("audit", encoder, "-c", csv, "--out", tmp_path / name, "--json")
        audits[name] = json.loads(printed.stdout)["macro"]
        assert "encoding" not in printed.stderr  # a finished audit is not computed again
    side_by_side = run("compare", tmp_path / "after", tmp_path / "before", "--out", tmp_path / "both")
    assert side_by_side.returncode == 0, side_by_side.stderr
    assert "p Holm" in side_by_side.stdout
    assert re.search(r"multilingual mAP +[-\d.]+ \[", side_by_side.stdout)  # cells are not folded
    assert "model - " in side_by_side.stdout
    assert "2 audits of my: " in side_by_side.stdout
    tests = json.loads((tmp_path / "both" / "comparison.json").read_text())["tests"]
    gain = audits["after"]["multi/mAP"]["value"] - audits["before"]["multi/mAP"]["value"]
    assert next(t for t in tests if t["measure"] == "multi/mAP")["difference"]["value"] == pytest.approx(gain)
    assert audits["after"]["multi/mAP"]["value"] > audits["before"]["multi/mAP"]["value"] + 0.1


def test_defaults_fit_a_small_file(run: Callable[..., Done], csv: Path, tmp_path: Path) -> None:
    done = run("train", "-c", csv, "--part", "train", "--model", "static", "--json", "--out", tmp_path / "m")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert 2 <= settings["batch_size"] <= 40
    assert settings["steps"] >= 30


def test_data_shows_checks_and_saves(run: Callable[..., Done], csv: Path, tmp_path: Path) -> None:
    done = run("data", csv, "--langs", "de,en", "--to", tmp_path / "saved")
    assert done.returncode == 0, done.stderr
    assert "80 queries, 80 passages, 40 relevant pairs of items, 20 groups" in done.stdout
    again = json.loads(run("data", tmp_path / "saved", "--json").stdout)
    assert again["langs"]["de"]["queries"] == 40
    assert "comfyui-docs" in run("data").stdout
    assert "xquad-r" in json.loads(run("data", "--json").stdout)


def test_encoders_lists_and_describes(run: Callable[..., Done], tiny_bert: Path) -> None:
    assert "e5-small-offline" in run("encoders").stdout
    assert "LaBSE" in json.dumps(json.loads(run("encoders", "--json").stdout))
    assert json.loads(run("encoders", tiny_bert, "--json").stdout)["dimension"] == 32
    assert "dimension: 32" in run("encoders", tiny_bert).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "e5-small-offline"], "--corpus: is missing: name the corpus"),
        (["audit"], "--corpus: is missing: name the corpus"),
        (["audit", "-c", "CSV"], "name an encoder to audit"),
        (["audit", "no-such/encoder", "-c", "CSV"], "neither a folder nor a model that the hub gave"),
        (["audit", "x", "-c", "absent.csv"], "absent.csv: there is no such corpus"),
        (["audit", "x", "-c", "CSV", "--part", "dev"], "'dev' is unknown; use all, train or test"),
        (["audit", "x", "-c", "CSV", "--langs", "xx"], "has no xx"),
        (["audit", "x", "-c", "CSV", "--metrics", "accuracy"], "there is no metric 'accuracy'"),
        (["audit", "x", "-c", "CSV", "--colour"], "No such option"),
        (["train", "-c", "CSV", "--strategy", "hybrid(2)"], "probability between 0 and 1"),
        (["train", "-c", "CSV", "--strategy", "mingled"], "no batch strategy 'mingled'"),
        (["train", "-c", "CSV", "--model", "static", "--temperature", "7"], "temperature"),
        (["train", "-c", "CSV", "--model", "static", "--langs", "de", "--strategy", "cross"], "need two languages"),
        (["train", "-c", "CSV", "--model", "static", "--langs", "de,fr", "--strategy", "english"], "no English"),
        (["train", "-c", "CSV", "--model", "static", "--batch-size", "500"], "fewer than a batch of 500"),
        (["train", "-c", "CSV", "--out", "CSV"], "is a file, but a folder is to be written there"),
        (["data", "CSV", "--to", "CSV"], "is a file, but a folder is to be written there"),
        (["audit", "x", "-c", "CSV", "--out", "/proc/nowhere/x"], "cannot be written to"),
        (["compare", "absent", "gone"], "absent: is not a finished audit"),
        (["compare", "demo", "--tests", "multi/mAP"], "--tests: is for audits"),
        (["compare", "absent", "gone", "--print"], "--print: is for an experiment"),
        (["compare", "absent.toml"], "absent.toml: there is no such file"),
        (["data", "xquad-r"], "needs a path"),
        (["encoders", "."], "not an encoder's folder"),
        (["fly"], "No such command"),
        (["train", "-c", "CSV", "--model", "no-such/encoder"], "neither a folder nor a model that the hub gave"),
        (["train", "-c", "CSV", "-c", "CSV", "--model", "static"], "--corpus: one is named twice"),
        (["train", "-c", "CSV", "--model", "static", "--stop-on", "accuracy"], "'accuracy' is not SETTING/METRIC"),
        (["train", "-c", "CSV", "--model", "static", "--stop-on", "multi/xyz"], "there is no metric 'xyz'"),
        (["train", "-c", "CSV", "--model", "static", "--validation", "gone.csv"], "gone.csv: there is no such corpus"),
        (["train", "-c", "CSV", "--model", "static", "--validation", "CSV"], "are trained on and are also in my"),
        (["train", "-c", "CSV", "--model", "static", "--drop-leaks"], "--drop-leaks: is for a validation corpus"),
        (
            ["train", "-c", "CSV", "--model", "static", "--validation", "CSV", "--drop-leaks"],
            "nothing is left to train",
        ),
        (["train", "-c", "CSV", "--model", "static", "--patience", "-1"], "Invalid value for '--patience'"),
        (["train", "-c", "CSV", "--model", "static", "--evaluate-every", "5"], "is for audits during training"),
        (["train", "-c", "CSV", "--model", "static", "--stop-on", "multi/mAP"], "is for audits during training"),
        (
            ["train", "-c", "CSV", "--model", "static", "--max-seq-length", "128"],
            "--max-seq-length: this encoder has no limit",
        ),
        (["audit", "x", "-c", "CSV", "--perturb", "case", "--typo-rate", "0.05"], "--typo-rate: is for typos only"),
        (["train", "-c", "CSV", "--model", "static", "--start-share", "1"], "Invalid value for '--start-share'"),
        (["train", "-c", "CSV", "--model", "static", "--pooling", "max"], "Invalid value for '--pooling'"),
        (["train", "-c", "CSV", "--model", "static", "--pooling", "cls"], "the pooling cannot be cls"),
        (["train", "-c", "CSV", "--model", "static", "--lora-rank", "2"], "LoRA, GradCache, frozen embeddings"),
        (["train", "-c", "CSV", "--model", "static", "--gradient-checkpointing"], "are not for it"),
        (["audit", "e5-small-offline", "-c", "CSV", "--card"], "is not the folder of an encoder that babelmix train"),
    ],
)
def test_bad_input_is_one_sentence_and_status_one(
    csv: Path, tmp_path: Path, arguments: list[str], message: str, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["babelmix", *[str(csv) if a == "CSV" else a for a in arguments]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in printed.err
    assert not list(tmp_path.iterdir())


def test_wrong_settings_of_an_experiment_are_one_sentence(csv: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'name = "mine"\ncolour = 1\n[data]\ncorpus = "{csv}"\n[training]\nsteps = 2\n')
    monkeypatch.setattr(sys, "argv", ["babelmix", "compare", str(file), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {file}: colour: there is no such setting\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_one_sentence_and_status_one(
    run: Callable[..., Done], csv: Path, held_out: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    command = [
        "train", "-c", csv, "--model", tiny_bert, "--out", tmp_path / "m", "--steps", 4, "--batch-size", 8,
        "--checkpoint-every", 2, "--validation", held_out, "--evaluate-every", 2,
    ]  # fmt: skip
    killed = (
        "import os, sys; from babelmix.training import trainer; trainer._save = lambda *_: os._exit(9);"
        "from babelmix.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", killed, *map(str, command)], capture_output=True)
    assert done.returncode == 9
    place = tmp_path / "m.checkpoints"
    for name in ("evaluations.json", "checkpoint-4/trained.safetensors"):
        file = place / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        failed = run(*command)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        (line,) = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
        assert f"{file}: is damaged" in line
        assert "; delete " in line
        file.write_bytes(whole)
    assert run(*command).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.slow
def test_a_static_encoder_has_checkpoints_if_they_are_asked_for(
    run: Callable[..., Done], csv: Path, tmp_path: Path
) -> None:
    killed = (
        "import os, sys; from babelmix.training import trainer; trainer._save = lambda *_: os._exit(9);"
        "from babelmix.cli import main; main()"
    )
    for asked in (False, True):
        command = ["train", "-c", csv, "--model", "static", "--out", tmp_path / "m", "--steps", 4, "--batch-size", 8]
        command += ["--checkpoint-every", 2] if asked else []
        done = subprocess.run([sys.executable, "-c", killed, *map(str, command)], capture_output=True)
        assert done.returncode == 9
        assert (tmp_path / "m.checkpoints" / "checkpoint-4").is_dir() == asked
    assert run(*command).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("speed", "text"), [(None, ""), (0.4267, "0.43 texts/s"), (9, "9 texts/s"), (12345.6, "12,346 texts/s")]
)
def test_a_rate_is_told_to_two_digits(speed: float | None, text: str) -> None:
    task = Task(
        TaskID(0), "encoding", total=2, completed=2, fields={"unit": "texts"}, finished_speed=speed, _get_time=float
    )
    assert _progress._RateColumn().render(task).plain == text


@pytest.mark.slow
def test_an_audit_goes_into_the_card_of_a_trained_encoder(
    run: Callable[..., Done], csv: Path, held_out: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    done = run(
        "train", "-c", csv, "--part", "train", "--model", "static", "--out", model, "--steps", 200,
        "--validation", held_out, "--evaluate-every", 1, "--patience", 1, "--learning-rate", "0.5", "--batch-size", 8,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((model / "training.json").read_text())
    assert 1 < record["steps"] < 200
    assert f"trained {record['steps']} steps of 8 pairs" in " ".join(done.stdout.split())
    assert f"kept the weights of step {record['best_step']}: multi/mAP" in " ".join(done.stdout.split())
    shown = run("audit", model, "-c", csv, "--part", "test", "--card", "--out", tmp_path / "audit", "--json")
    assert shown.returncode == 0, shown.stderr
    value = json.loads(shown.stdout)["macro"]["multi/mAP"]["value"]
    card = (model / "README.md").read_text()
    assert "| my/test (4 languages) |" in card
    assert f"| {value:.3f} [" in card


INTERRUPTED = """
import os, signal
from sentence_transformers import SentenceTransformer
forward = SentenceTransformer.forward
def interrupted(self, *given, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return forward(self, *given, **options)
SentenceTransformer.forward = interrupted
from babelmix.cli import main
main()
"""


@pytest.mark.slow
def test_an_interrupted_audit_exits_130_and_goes_on(
    run: Callable[..., Done], csv: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    command = ["audit", str(tiny_bert), "-c", str(csv), "--out", str(tmp_path / "a")]
    # A cache of its own: with all embeddings there, nothing is encoded that could be interrupted.
    own = {**os.environ, "BABELMIX_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *command], capture_output=True, text=True, env=own)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "go on from what it kept" in done.stderr
    assert run(*command).returncode == 0


def test_compare_prints_its_settings(run: Callable[..., Done]) -> None:
    done = run("compare", "demo", "--print")
    assert done.returncode == 0
    assert 'against = "hybrid"' in done.stdout


def test_version(run: Callable[..., Done]) -> None:
    assert run("--version").stdout.startswith("babelmix 0.")


def test_parts_are_the_same_whatever_the_languages(run: Callable[..., Done], tmp_path: Path) -> None:
    """Qrels of one language join groups that in another have nothing to do with each other."""
    corpus = parallel_corpus(60)
    rows = [table.to_pylist() for table in (corpus.queries, corpus.passages)]
    pairs = [tuple(row.values()) for row in corpus.qrels.to_pylist()]
    for number in range(0, 60, 6):
        rows[1].append(
            {"item": f"only{number}", "lang": "fr", "text": f"seulement {number}", "group": f"g{number // 2}"}
        )
        pairs.append((f"i{(number + 31) % 60}", f"only{number}"))
    joined = tmp_path / "joined"
    Corpus.from_rows(*rows, pairs, name="joined").save(joined)
    sides: dict[str, set[str]] = {}
    for part, langs in (("train", "en"), ("test", "")):
        done = run("data", joined, "--part", part, "--to", tmp_path / part, *(["--langs", langs] if langs else []))
        assert done.returncode == 0, done.stderr
        sides[part] = set(Corpus.load(tmp_path / part).queries["group"].to_pylist())
    assert not sides["train"] & sides["test"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--langs", ","), "langs: the list is empty"),
        (("--seed", "5000000000"), "seed: Input should be less than or equal to 4294967295"),
        (("--learning-rate", "inf"), "learning_rate: Input should be a finite number"),
        (("--patience", "3"), "is for audits during training"),
        (("--distil-share", "0.5"), "--distil-share: is for a teacher"),
    ],
)
def test_options_that_cannot_be_meant_are_one_sentence(
    run: Callable[..., Done], csv: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("train", "-c", csv, "--model", "static", "--out", tmp_path / "m", *options)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "m").exists()


def test_what_was_trained_is_not_replaced_unasked(
    run: Callable[..., Done], csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ("train", "-c", csv, "--model", "static", "--steps", 3)
    assert run(*train).returncode == 0
    assert run(*train).returncode == 0
    other = run(*train, "--seed", 1)
    assert other.returncode == 1
    assert "holds an encoder of another training; name another folder" in " ".join(other.stderr.split())
    assert run(*train, "--seed", 1, "--out", "runs/static-best").returncode == 0
    place = tmp_path / "runs" / "static-best"
    debiased = run("debias", place, "--on", csv, "--out", place)
    assert debiased.returncode == 1
    assert (place / "training.json").is_file()
    assert run("debias", place, "--on", csv, "--out", "plain").returncode == 0
    assert json.loads(Path("plain/debias.json").read_text())["base"] == str(place)
    assert run("debias", place, "--on", csv, "--out", "plain", "--method", "subspace").returncode == 0
    assert "takes no directions away" in " ".join(
        run("debias", place, "--on", csv, "--rank", 2, "--method", "means").stderr.split()
    )


@pytest.mark.parametrize("name", ["audit", "data make-queries", "search"])
def test_a_command_that_is_made_alone_has_the_help_that_it_has_among_all(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*name.split(), "--help"]
    monkeypatch.setattr(sys, "argv", ["babelmix", *words])
    app(prog_name="babelmix", standalone_mode=False)
    alone = capsys.readouterr().out
    app(words, prog_name="babelmix", standalone_mode=False)
    assert f"Usage: babelmix {name} [OPTIONS]" in alone
    assert capsys.readouterr().out == alone
