"""Kill, interrupt and fill the disk of every command that writes, and compare the result with that of an undisturbed run.

    python benchmarks/faults.py --kills 100 --interrupts 11 --full 22 | python benchmarks/record.py faults
    python benchmarks/faults.py --only 'train;audit' --kills 30     # some commands only

Each command first runs twice undisturbed. A difference between these two runs is a time or is random, and is reported. Then the
command is disturbed at a random moment, and started again with the same arguments until it ends by itself. It must leave the
same files and the same numbers, and nothing else. Each run is a fork of this process, in which all modules are imported
already, so that every moment falls into the work itself. One time is shorter than for a user: embeddings are saved every 0.05 s
instead of every 10 s. Half of the moments are drawn evenly over the run. The other half are drawn from the moments at which the
undisturbed run has a half-written file on the disk.

A full disk is a file system of its own (tmpfs) where mounting is allowed. Its size lies between nothing and what the command
needs. Elsewhere it is a limit to the size of a file.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import math
import os
import pkgutil
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip

HERE = Path(__file__).resolve().parent
FLUSH_SECONDS = 0.05
PATIENCE = 600
TEMPORARY = (".part", ".old")

Facts = dict[str, str]


@dataclass
class Case:
    """A command.

    Args:
        name: its name in the table.
        words: its arguments. `{data}` stands for the folder of the data; the command writes to `out`.
        read: reads what `out` holds after the run, by name; by default every file and its content.
        prints: whether its output must be the same too, and must not say what was left to do.
        room: bytes of free disk that it needs in addition.

    """

    name: str
    words: str
    read: Callable[[Path], Facts] = field(default=lambda out: files_of(out))
    prints: bool = True
    room: int = 0


@dataclass
class Count:
    """The counts of one command and one kind of fault."""

    done: int = 0
    moments: list[float] = field(default_factory=list)
    halves: int = 0
    failures: list[str] = field(default_factory=list)


def cases() -> list[Case]:
    """The commands that write."""
    return [
        Case(
            "train",
            "train -c {data}/corpus --model {data}/bert --out out --steps 24 --batch-size 8 --checkpoint-every 4 "
            "--learning-rate 1e-3 --validation {data}/held-out --evaluate-every 6 --json",
        ),
        Case("train, static", "train -c {data}/corpus --model static --out out --steps 60 --batch-size 16 --json"),
        Case("audit", "audit {data}/bert -c {data}/corpus --out out --perturb typos --json"),
        Case("audit, pictures", "audit {data}/clip -c {data}/pictures --out out --json"),
        Case("compare", "compare {data}/experiment.toml --out out --json"),
        Case(
            "index",
            "index {data}/documents.jsonl --to out --model {data}/static --json",
            read=index_of,
            prints=False,
            room=128 << 20,
        ),
        Case("mine", "mine {data}/bert -c {data}/corpus --out out --json"),
        Case("codeswitch", "codeswitch -c {data}/english --lexicon en:de={data}/en-de.txt --out out --json"),
        Case("make-queries", "data make-queries {data}/corpus --queries-from {data}/log.csv --out out --json"),
        Case("debias", "debias {data}/bert --on {data}/corpus --out out --json"),
    ]


def make_data(folder: Path) -> None:
    """Write small corpora, small encoders and an experiment."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from conftest import WORDS, parallel_corpus, picture_corpus, word_bert

    from babelmix.encoders import dual, static

    corpus = parallel_corpus(200)
    corpus.only_groups([f"g{i}" for i in range(80)]).save(folder / "corpus")
    corpus.only_groups([f"g{i}" for i in range(80, 100)]).save(folder / "held-out")
    corpus.only_langs(["en"]).save(folder / "english")
    picture_corpus(60).save(folder / "pictures")
    pairs = zip(WORDS["en"], WORDS["de"], strict=True)
    (folder / "en-de.txt").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    word_bert(folder / "bert", [*(w for words in WORDS.values() for w in words), *map(str, range(200))])
    texts = [*corpus.queries["text"].to_pylist(), *corpus.passages["text"].to_pylist()]
    static.from_scratch(texts, vocabulary=300, dimension=32).save(str(folder / "static"))
    dual.make_dual("tiny-clip", texts, dimension=16, size=300).save(str(folder / "clip"))
    rows = parallel_corpus(1000).passages.to_pylist()
    lines = (
        json.dumps({"item": r["item"], "lang": r["lang"], "text": r["text"], "year": i % 30})
        for i, r in enumerate(rows)
    )
    (folder / "log.csv").write_text("text,lang\ndog,en\nHund,de\n", encoding="utf-8")
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "experiment.toml").write_text(
        f'name = "small"\n[data]\ncorpus = "{folder}/corpus"\nsplit = {{ train = 0.5, validation = 0.2, test = 0.3 }}\n'
        '[encoder]\nname = "static"\nsize = 300\ndimension = 16\n'
        f'[references]\nencoders = ["{folder}/bert"]\n'
        "[training]\nsteps = 10\nbatch_size = 8\nlearning_rate = 0.05\ncheckpoint_every = 4\n"
        '[compare]\nstrategies = ["mono", "hybrid"]\nseeds = [0]\n',
        encoding="utf-8",
    )


# --- what is there


def files_of(out: Path) -> Facts:
    """Every file under a folder, including hidden ones, with a digest of its content without times."""
    return {str(file.relative_to(out)): _digest(file) for file in sorted(out.rglob("*")) if file.is_file()}


def _digest(file: Path) -> str:
    data = file.read_bytes()
    if file.suffix in (".json", ".md", ".html", ".svg", ".toml"):
        data = without_times(data.decode()).encode()
    return hashlib.sha256(data).hexdigest()


def without_times(text: str) -> str:
    """A text without the seconds that a training took."""
    text = re.sub(r'("seconds": )[\d.e-]+', r"\1", text)
    return re.sub(r"[\d.,]+(?= (?:s|seconds|minutes|hours)\b)", "", text)


def index_of(out: Path) -> Facts:
    """What an index holds and finds. Its files are the engine's own, so they are not compared."""
    from babelmix.search import Index, Searcher

    with Index.open(str(out)) as index:
        points = {
            str(record.id): repr(sorted(record.payload.items()))
            for record in index.engine._scroll(None, ["item", "lang", "group", "text", "digest", "fields"])  # type: ignore[attr-defined]
        }
        searcher = Searcher(index, _loaded(index.about.encoder))
        found = searcher.search(["Katze Haus", "dog river", "猫"], k=20, exact=True)
        hits = [[(hit.id, f"{hit.score:.5f}") for hit in hits] for hits in found]
        names = [file.name for file in out.iterdir()]
        return points | {"hits": repr(hits), "about": json.dumps(index.about.as_json()), "names": repr(sorted(names))}


def _loaded(name: str) -> Any:
    from babelmix.encoders import load_encoder

    return load_encoder(name)


# --- runs


def in_fork(work: Callable[[], object], place: Path, log: str = "std") -> int:
    """Start a function in a fork of this process. Returns the process id."""
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()
            # A shell lets what it runs in the background ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(place)
            for number, name in ((1, f"{log}out"), (2, f"{log}err")):
                os.dup2(os.open(place / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), number)
            os.environ["BABELMIX_CACHE"] = str(place / "disk" / "cache")
            os.write(begin, b"!")
            work()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(begin)
    os.read(begun, 1)
    os.close(begun)
    return child


def wait(child: int, spent: float) -> int | None:
    """The exit status of a fork; None if it still runs after this many CPU seconds."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if spent_by(child) >= spent:
            return None
        time.sleep(0.001)


def spent_by(process: int) -> float:
    """CPU seconds that a process has used. A busy machine hardly changes them."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(case: Case, data: Path, limit: int | None = None, *, learn: bool = False) -> Callable[[], object]:
    """Run the command of a case in `PLACE/disk`; with `learn`, write down the names of all modules that it imported."""

    def work() -> None:
        os.chdir("disk")
        from babelmix.cli import main
        from babelmix.encoders import embed

        embed.FLUSH_SECONDS = FLUSH_SECONDS
        sys.argv = ["babelmix", *case.words.format(data=data).split()]
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            main()
        finally:
            if learn:
                Path("../modules").write_text("\n".join(sorted(sys.modules)), encoding="utf-8")

    return work


def finish(child: int) -> int:
    """The exit status of a fork that must end by itself."""
    end = time.monotonic() + PATIENCE
    while (status := wait(child, 0)) is None:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1
        time.sleep(0.01)
    return status


def facts(case: Case, place: Path) -> Facts:
    """What a case left, read in a fork of its own, because no engine may run in this process."""

    def work() -> None:
        disk = place / "disk"
        found = case.read(disk / "out")
        if case.prints:
            found["printed"] = hashlib.sha256(without_times((place / "stdout").read_text()).encode()).hexdigest()
        for file in disk.rglob("*"):
            if file.name.endswith((*TEMPORARY, ".checkpoints")):
                found[f"LEFT {file.relative_to(disk)}"] = ""
        for file in disk.iterdir():
            if file.name not in ("out", "cache", "runs"):
                found[f"BESIDE {file.name}"] = ""
        for file in (disk / "cache").rglob("*.vectors.npy"):
            if not file.with_name(file.name.replace(".vectors.", ".keys.")).exists():
                found[f"ORPHAN {file.name}"] = ""
        (place / "facts.json").write_text(json.dumps(found), encoding="utf-8")

    child = in_fork(work, place, "facts")
    if finish(child) != 0:
        return {"unreadable": (place / "factserr").read_text()[-2000:]}
    return dict(json.loads((place / "facts.json").read_text(encoding="utf-8")))


def half_written(disk: Path) -> list[str]:
    """The files with temporary names. Files may come and go meanwhile."""
    return [name for _, folders, files in os.walk(disk) for name in (*folders, *files) if name.endswith(TEMPORARY)]


def differences(now: Facts, right: Facts) -> list[str]:
    """The names of what differs."""
    return [name if name in right and name in now else f"{name} ({'lost' if name in right else 'new'})"
            for name in sorted(now.keys() | right.keys()) if now.get(name) != right.get(name)]  # fmt: skip


class Bench:
    """Places for runs, and the results of undisturbed runs.

    Args:
        folder: the folder for everything.
        seed: seed of the random moments.

    """

    def __init__(self, folder: Path, seed: int, save: Path | None) -> None:
        self.folder, self.data = folder, folder / "data"
        self.rng = random.Random(seed)
        self.save = save
        self.data.mkdir(parents=True)
        self.places = 0
        self.busy: list[float] = []
        self.needs = 1
        child = in_fork(lambda: make_data(self.data), self.new_place())
        if finish(child):
            raise SystemExit("the data cannot be made: " + (self.folder / "1" / "stderr").read_text())

    def new_place(self) -> Path:
        """An empty place for a run."""
        self.places += 1
        place = self.folder / str(self.places)
        (place / "disk").mkdir(parents=True)
        return place

    def undisturbed(self, case: Case) -> tuple[Facts, float]:
        """What a command leaves and how long it takes: two runs that must agree."""
        found: list[tuple[Facts, float]] = []
        for _ in range(2):
            place = self.new_place()
            child = in_fork(command(case, self.data, learn=True), place)
            seen: list[float] = []
            seconds = 0.0
            while (status := wait(child, 0)) is None:
                seconds = spent_by(child)
                if half_written(place / "disk"):
                    seen.append(seconds)
                time.sleep(0.002)
            if status != 0:
                raise SystemExit(f"{case.name}: {status}: {(place / 'stderr').read_text()[-3000:]}")
            self.busy = [moment / seconds for moment in seen]
            self.needs = sum(512 * p.stat().st_blocks for p in (place / "disk").rglob("*")) + case.room
            import_all((place / "modules").read_text(encoding="utf-8").splitlines())
            found.append((facts(case, place), seconds))
            if bad := [name for name in found[-1][0] if name.startswith(("LEFT", "BESIDE", "ORPHAN", "unreadable"))]:
                raise SystemExit(f"{case.name}: undisturbed: {bad}: {found[-1][0]}")
            if self.save is None:
                shutil.rmtree(place)
        if different := differences(found[0][0], found[1][0]):
            raise SystemExit(f"{case.name}: two undisturbed runs differ: {different}")
        return found[1]

    def disturb(self, case: Case, right: Facts, seconds: float, how: str, wanted: int) -> Count:
        """Disturb a command this many times, in as many trials as that takes."""
        count = Count()
        while count.done < wanted:
            place = self.new_place()
            try:
                self.trial(case, right, seconds, how, wanted, count, place)
            finally:
                if how == "full":
                    subprocess.run(["umount", str(place / "disk")], capture_output=True, check=False)
            if self.save is None or not count.failures:
                shutil.rmtree(place, ignore_errors=True)
        return count

    def trial(
        self, case: Case, right: Facts, seconds: float, how: str, wanted: int, count: Count, place: Path
    ) -> None:
        """Disturb one command until it ends by itself."""
        limit = None
        if how == "full":
            limit = self.fill(place, seconds)
        history: list[str] = []
        while True:
            quiet = (
                count.done >= wanted
                or (how != "kill" and bool(history))
                or (bool(history) and self.rng.random() < 0.4)
            )
            if how == "full" and not quiet:
                child = in_fork(command(case, self.data, limit), place)
                status = finish(child)
                history.append(f"disk of {self.size}")
                count.done += 1
                self.check_refusal(case, place, status, count, history, 1, "error: ")
                count.halves += status != 0
                subprocess.run(
                    ["mount", "-o", "remount,size=1g", str(place / "disk")], capture_output=True, check=False
                )
                continue
            moment = self.rng.choice(self.busy) if self.busy and self.rng.random() < 0.5 else self.rng.random()
            child = in_fork(command(case, self.data), place)
            if quiet:
                status = finish(child)
                if status != 0:
                    said = (place / "stderr").read_text()[-1500:]
                    count.failures.append(f"{case.name}: after {history}: status {status}: {said}")
                elif wrong := differences(facts(case, place), right):
                    count.failures.append(f"{case.name}: after {history}: {wrong[:8]} in {place}")
                return
            status = wait(child, moment * seconds)
            if status is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL if how == "kill" else signal.SIGINT)
                status = finish(child)
                if how == "interrupt" and status != 0:
                    count.done += 1
                    count.moments.append(moment)
                    history.append(f"interrupted at {moment:.0%}")
                    self.check_refusal(case, place, status, count, history, 130, "interrupted: ")
                if how == "kill" and status == -signal.SIGKILL:
                    count.done += 1
                    count.moments.append(moment)
                    history.append(f"killed at {moment:.0%}")
                    count.halves += bool(half_written(place / "disk"))

    def fill(self, place: Path, seconds: float) -> int | None:
        """Limit the disk of a place; where mounting is not allowed, limit the size of a file."""
        self.size = int(2 ** self.rng.uniform(12, math.log2(self.needs)))
        told = ["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", str(place / "disk")]
        mounted = self.rng.random() < 0.6 and subprocess.run(told, capture_output=True, check=False).returncode == 0
        return None if mounted else self.size

    def check_refusal(
        self, case: Case, place: Path, status: int, count: Count, history: list[str], right: int, begins: str
    ) -> None:
        """Check that a command that could not go on said so in one sentence and left nothing half-written."""
        if status == 0:
            return
        said = (place / "stderr").read_text(errors="replace")
        lines = [line for line in said.splitlines() if line.startswith(("error: ", "interrupted: "))]
        if status != right or "Traceback" in said or len(lines) != 1 or not lines[0].startswith(begins):
            count.failures.append(f"{case.name}: {history}: status {status}, said: {said[-1500:]}")
        if left := half_written(place / "disk"):
            count.failures.append(f"{case.name}: {history}: left {left}")


def import_all(names: list[str]) -> None:
    """Import the modules that can be imported."""
    for name in names:
        if name not in sys.modules and not name.endswith("__main__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def import_everything() -> None:
    """Import everything that the commands import, so that a fork starts with its work at once."""
    import babelmix

    import_all([module.name for module in pkgutil.walk_packages(babelmix.__path__, "babelmix.")])
    import torch

    torch.set_num_threads(1)
    # What is never collected need not be copied in a fork.
    gc.freeze()


def main() -> None:
    """Disturb every command, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="over all commands")
    parser.add_argument("--interrupts", type=int, default=0)
    parser.add_argument("--full", type=int, default=0)
    parser.add_argument("--only", default="", help="the names of commands, separated by semicolons")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for what failed")
    asked = parser.parse_args()
    import_everything()
    chosen = [case for case in cases() if not asked.only or case.name in asked.only.split(";")]
    # The four commands of the long runs are disturbed twice as often as the others.
    weights = [2 if case.name in ("train", "audit", "compare", "index") else 1 for case in chosen]
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="babelmix-faults-"))
    bench = Bench(folder, asked.seed, asked.keep)
    print("| command | CPU seconds | killed | at | half-written files there | interrupted | disks full | not as undisturbed |\n"
          "|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)  # fmt: skip
    failures: list[str] = []
    for case, wanted in zip(
        chosen, shares({"kill": asked.kills, "interrupt": asked.interrupts, "full": asked.full}, weights), strict=True
    ):
        right, seconds = bench.undisturbed(case)
        print(f"{case.name}: {seconds:.1f} s, {len(right)} facts", file=sys.stderr, flush=True)
        counts = {}
        for how, number in wanted.items():
            counts[how] = bench.disturb(case, right, seconds, how, number)
            print(
                f"  {how}: {counts[how].done}, {len(counts[how].failures)} failures",
                file=sys.stderr,
                flush=True,
            )
            for failure in counts[how].failures:
                print(f"    {failure}", file=sys.stderr, flush=True)
            failures += counts[how].failures
        kills = counts["kill"]
        at = f"{min(kills.moments):.0%} to {max(kills.moments):.0%}" if kills.moments else ""
        # At once: a run that is stopped leaves the rows of the commands that it has finished.
        print(
            f"| {case.name} | {seconds:.1f} | {kills.done} | {at} | {kills.halves} | {counts['interrupt'].done} | "
            f"{counts['full'].done} | {sum(len(count.failures) for count in counts.values())} |",
            flush=True,
        )
    if asked.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    if failures:
        raise SystemExit(f"{len(failures)} failures")


def shares(totals: dict[str, int], weights: list[int]) -> list[dict[str, int]]:
    """How often each command is disturbed; the sum is the number that was asked for."""
    result: list[dict[str, int]] = [{} for _ in weights]
    for how, total in totals.items():
        bounds = [total * sum(weights[:i]) // sum(weights) for i in range(len(weights) + 1)]
        for i, share in enumerate(result):
            share[how] = bounds[i + 1] - bounds[i]
    return result


if __name__ == "__main__":
    main()
