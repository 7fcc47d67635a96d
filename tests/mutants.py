"""Do the tests notice a change of the code? Runs mutmut's mutants, each in a process of its own.

    python tests/mutants.py 'babelmix.evaluation.bias.*' --share 0.2

The first time, mutmut makes the mutants, and finds out which test reaches which function. Its own runs fork after tests were
collected, where polars has threads that a fork loses, and hang. Here a process is forked with nothing but libraries imported. The
tests are those that reach the function, the fastest first, up to the first that fails. Results are lines of JSON in
`mutants/results.jsonl`; a mutant that has one is not run again. The first to run is none: all tests must pass with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

MUTANTS = Path("mutants")
STATS = MUTANTS / "mutmut-stats.json"
RESULTS = MUTANTS / "results.jsonl"
SECONDS = 300
"""Of a mutant; after them it has changed something that can be seen."""
NONE = "no mutant"


def main() -> None:
    """Run them, tell which survive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="+", help="of names of mutants")
    parser.add_argument(
        "--share", type=float, default=1, help="of the mutants that match, drawn at random; by default all"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not STATS.exists():
        # It ends with an error, as nothing is named so; what is wanted is made by then.
        subprocess.run([str(Path(sys.executable).with_name("mutmut")), "run", "none"], check=False)
    stats = json.loads(STATS.read_text())
    named = sorted(name for name in names() if any(fnmatchcase(name, pattern) for pattern in arguments.patterns))
    if not named:
        parser.error(f"no mutant is named {' or '.join(arguments.patterns)}")
    chosen = random.Random(arguments.seed).sample(named, round(arguments.share * len(named)))
    done = results()
    imported()
    reached = stats["tests_by_mangled_function_name"]
    everything = sorted({test for name in named for test in reached.get(function(name), [])})
    if outcome(NONE, everything, stats) != "survived":
        raise SystemExit("tests fail without any mutant")
    for number, name in enumerate(chosen):
        if name not in done:
            began = time.monotonic()
            tests = reached.get(function(name), [])
            done[name] = outcome(name, tests, stats) if tests else "not reached"
            line = {"mutant": name, "outcome": done[name], "seconds": round(time.monotonic() - began, 1)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{number + 1} of {len(chosen)}: {name} {done[name]}", flush=True)
    print(dict(Counter(done[name] for name in chosen)))
    for name in chosen:
        if done[name] in ("survived", "not reached"):
            print(done[name], name)


def names() -> Iterator[str]:
    """Of all mutants there are."""
    for file in MUTANTS.glob("src/**/*.meta"):
        yield from json.loads(file.read_text())["exit_code_by_key"]


def function(name: str) -> str:
    """The function that a mutant is one of."""
    return name.rpartition("__mutmut_")[0]


def results() -> dict[str, str]:
    """What ran before."""
    if not RESULTS.exists():
        return {}
    lines = (json.loads(line) for line in RESULTS.read_text().splitlines())
    return {line["mutant"]: line["outcome"] for line in lines}


def imported() -> None:
    """Import what takes long, and nothing of babelmix: its modules call mutated functions as they are imported."""
    import polars  # noqa: F401
    import sentence_transformers  # noqa: F401


def outcome(name: str, tests: list[str], stats: dict[str, Any]) -> str:
    """Of a mutant: killed, by time or not, or survived."""
    times: dict[str, float] = stats["duration_by_test"]
    process = os.fork()
    if not process:
        os._exit(run(name, sorted(tests, key=lambda test: times.get(test, 0))))
    end = time.monotonic() + SECONDS * (10 if name == NONE else 1)
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return "survived" if status == 0 else "killed"
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "killed by time"


def run(name: str, tests: list[str]) -> int:
    """The tests, in this process; 0 where all pass."""
    import pytest

    os.environ["MUTANT_UNDER_TEST"] = "" if name == NONE else name
    os.chdir(MUTANTS)
    sys.path.insert(0, str(Path("src").resolve()))
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        # A library that is also a plugin of pytest was imported with the others.
        unworried = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
        options = ["-x", "-q", "-W", unworried, "-p", "no:cacheprovider", "--hypothesis-profile=ci", *tests]
        try:
            return int(pytest.main(options))
        except BaseException:
            return 1


if __name__ == "__main__":
    main()
