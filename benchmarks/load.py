"""Kill a service again and again while clients search, write and delete, then look for lost and duplicate rows.

    python benchmarks/load.py --minutes 10               # an index in a folder
    python benchmarks/load.py --minutes 10 --milvus      # on the Milvus server of the tests

Four clients call `babelmix serve` on this machine. Once a minute, at a random moment, the service is killed with SIGKILL and
started again on the same port. A client repeats a request until it gets an answer. Each client has its own items, so it knows
what must be in the index: every write that was answered, no item that was deleted, and no row twice. A client checks some of
its items all the time, more of them after each restart, and all of them at the end. Then the service is killed a last time, and
every row of the index is read without it. Prints a table, and fails if a row differs from what was acknowledged.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from babelmix.search import Index

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

CLIENTS = 4
ITEMS = 300
"""Names that a client has for items."""
LANGS = ("de", "en", "fr", "ja")
SIZES = (1, 1, 1, 2, 8)
"""Items of a write, one of these."""
SAMPLE = 20
PAUSE = 0.02
"""Seconds between two operations of a client, on average."""
PATIENCE = 120
"""Seconds within which an operation is to be acknowledged, whatever happens meanwhile."""

Rows = dict[str, str]
"""Texts of an item by language."""


class Service:
    """A service of an index that is killed and started again on one port."""

    def __init__(self, index: str, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "babelmix", "serve", index, "--port", str(self.port)]
        self._log = log.open("w", encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Start the service without waiting for its first answer."""
        alone = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log, env=alone)

    def kill(self) -> None:
        """Kill the running service with SIGKILL, as a machine out of memory does."""
        if (status := self._process.poll()) is not None:
            said = Path(self._log.name).read_text(encoding="utf-8")
            raise SystemExit(f"the service ended by itself with {status}: {said[-2000:]}")
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Client(threading.Thread):
    """A client that searches, writes and deletes until its time is over, and then checks all of its items.

    Args:
        name: prefix of its items' names.
        url: address of the service.
        seconds: how long it works.
        seed: seed of what it does.

    """

    def __init__(self, name: str, url: str, seconds: float, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.rng = random.Random(f"{seed} {name}")
        self.ends = time.monotonic() + seconds
        # A new connection each time: one that breaks had a request on its way.
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, limits=httpx.Limits(max_keepalive_connections=0))
        self.owned: dict[str, Rows] = {f"{name}-{i}": {} for i in range(ITEMS)}
        self.count: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.died: BaseException | None = None
        self.restarted = False

    def run(self) -> None:
        """Work; an error is kept for the main thread."""
        try:
            while time.monotonic() < self.ends:
                self.rng.choices((self.search, self.write, self.delete), (25, 35, 15))[0]()
                for item in self.rng.sample(sorted(self.owned), SAMPLE if self.restarted else 1):
                    self.check(item)
                self.restarted = False
                time.sleep(self.rng.expovariate(1 / PAUSE))
            for item in self.owned:
                self.check(item)
        except BaseException as error:
            self.died = error

    def ask(self, method: str, path: str, body: Any = None) -> tuple[httpx.Response, bool]:
        """An answer, and whether it took more than one try. After several tries the request may have been carried out before."""
        ends = time.monotonic() + PATIENCE
        cut = refused = False
        while True:
            try:
                answer = self.http.request(method, path, json=body)
            except httpx.TransportError as error:
                said = repr(error)
                self.restarted = True
                # Nothing was sent where there was no connection.
                cut |= not isinstance(error, httpx.ConnectError)
            else:
                said = f"{answer.status_code}: {answer.text}"
                if answer.status_code in (200, 404):
                    break
                if answer.status_code < 500:
                    raise SystemExit(f"{method} {path} {body}: {said}")
                refused = True
                print(f"{method} {path}: {said}", file=sys.stderr, flush=True)
            if time.monotonic() > ends:
                raise SystemExit(f"{method} {path}: not acknowledged in {PATIENCE} s: {said}")
            time.sleep(0.1)
        self.count["cut off"] += cut
        self.count["refused"] += refused
        return answer, cut or refused

    def search(self) -> None:
        """Search for texts that any client may have written."""
        body = {"query": text_of(self.rng), "policy": self.rng.choice(("any", "balanced", "quota=3"))}
        self.ask("POST", "/search", body)
        self.count["searches"] += 1

    def write(self) -> None:
        """Write new items, or replace items by other texts in other languages."""
        wanted: dict[str, Rows] = {}
        for item in self.rng.sample(sorted(self.owned), self.rng.choice(SIZES)):
            langs = self.rng.sample(LANGS, self.rng.randint(1, len(LANGS)))
            wanted[item] = {lang: f"{text_of(self.rng)} {item} {self.rng.random()}" for lang in langs}
        rows = [{"item": i, "lang": lang, "text": text} for i, own in wanted.items() for lang, text in own.items()]
        self.ask("POST", "/items", {"rows": rows})
        self.owned |= wanted
        self.count["writes"] += 1

    def delete(self) -> None:
        """Delete an item of the index. It may be missing only if the request was sent twice."""
        if not (there := [item for item, rows in self.owned.items() if rows]):
            return
        item = self.rng.choice(there)
        answer, again = self.ask("DELETE", f"/items/{item}")
        if not again and (answer.status_code == 404 or not answer.json()["removed"]):
            self.wrong["lost"] += len(self.owned[item])
        self.owned[item] = {}
        self.count["deletes"] += 1

    def check(self, item: str) -> None:
        """Search for all rows of an item."""
        answer, _ = self.ask("POST", "/search", {"query": text_of(self.rng), "where": {"item": [item]}, "k": 50})
        found = [(hit["lang"], hit["text"]) for hit in answer.json()["hits"]]
        self.wrong += (bad := faults(self.owned[item], found))
        self.count["searches"] += 1
        if bad:
            print(f"{item}: {dict(bad)}: {found}, not {self.owned[item]}", file=sys.stderr, flush=True)


def faults(right: Rows, found: list[tuple[str, str]]) -> Counter[str]:
    """What is wrong with the rows of an item."""
    langs = Counter(lang for lang, _ in found)
    bad = {
        "lost": len(right.items() - set(found)),
        "still there": sum(lang not in right for lang in langs),
        "doubled": sum(number - 1 for number in langs.values()),
    }
    return +Counter(bad)


def text_of(rng: random.Random) -> str:
    """A few words."""
    from conftest import WORDS

    return " ".join(rng.choices(WORDS[rng.choice(LANGS)], k=4))


def rows_in(address: str) -> dict[str, list[tuple[str, str]]]:
    """All rows of an index by item, language and text, as the engine has them on the disk."""
    found: dict[str, list[tuple[str, str]]] = {}
    with Index.open(address) as index:
        engine: Any = index.engine
        if engine.shared:
            pages = engine._server.pages(engine._rows, "", ["item", "lang", "text"], 1000)
            rows = [row for page in pages for row in page]
        else:
            rows = [record.payload for record in engine._scroll(None, ["item", "lang", "text"])]
    for row in rows:
        found.setdefault(row["item"], []).append((row["lang"], row["text"]))
    return found


@contextlib.contextmanager
def empty_index(milvus: bool) -> Iterator[str]:
    """The address of a new index. Its encoder loads at once."""
    from conftest import WORDS
    from milvus_server import TOKEN, RunningServer

    from babelmix.encoders import static

    encoder = static.from_scratch([word for lang in LANGS for word in WORDS[lang]], vocabulary=300, dimension=32)
    with tempfile.TemporaryDirectory(prefix="babelmix-load-") as name, contextlib.ExitStack() as ending:
        folder = Path(name)
        encoder.save(str(folder / "encoder"))
        address = str(folder / "index")
        if milvus:
            os.environ["BABELMIX_MILVUS_TOKEN"] = TOKEN
            server = RunningServer(folder / "data")
            ending.callback(server.stop)
            server.begin()
            address = f"{server.url}/load"
        Index.create(address, encoder, str(folder / "encoder")).close()
        yield address


def main() -> None:
    """Let the clients work, kill the service, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--milvus", action="store_true", help="on the server of the tests, not in a folder")
    parser.add_argument("--seed", type=int, default=0, help="of what the clients do, and of the moments")
    parser.add_argument("--quick", action="store_true", help="twenty seconds and two kills")
    given = parser.parse_args()
    seconds, span = (20.0, 10.0) if given.quick else (60 * given.minutes, 60.0)
    rng = random.Random(given.seed)
    moments = [span * (number + rng.random()) for number in range(int(seconds / span))]
    with empty_index(given.milvus) as address, tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        service = Service(address, Path(log.name))
        try:
            Client("first", service.url, 0, 0).search()
            began = time.monotonic()
            clients = [Client(f"c{number}", service.url, seconds, given.seed) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            for number, moment in enumerate(moments, 1):
                time.sleep(max(0.0, began + moment - time.monotonic()))
                service.kill()
                service.start()
                print(f"kill {number} at {moment:.1f} s", file=sys.stderr, flush=True)
            for client in clients:
                client.join()
        finally:
            service.kill()
        if died := [client.died for client in clients if client.died]:
            raise died[0]
        count = sum((client.count for client in clients), Counter())
        wrong = sum((client.wrong for client in clients), Counter())
        found = rows_in(address)
    right = {item: rows for client in clients for item, rows in client.owned.items()}
    for item in right.keys() | found.keys():
        if bad := faults(right.get(item, {}), found.get(item, [])):
            print(f"{item}, on the disk: {dict(bad)}: {found.get(item)}, not {right.get(item)}", file=sys.stderr)
            wrong += bad
    engine = "a Milvus server, 2.3.5" if given.milvus else "a folder"
    cells = [count["searches"], count["writes"], count["deletes"], sum(map(len, found.values())), count["cut off"]]
    cells += [count["refused"], wrong["lost"], wrong["still there"], wrong["doubled"]]
    print(
        "| index | minutes | kills | searches | writes | deletes | rows in the end | repeated, cut off by a kill "
        "| repeated, answered by 5xx | lost | still there though deleted | doubled |\n"
        f"|---|{'---:|' * 11}\n"
        f"| {engine} | {seconds / 60:.3g} | {len(moments)} | " + " | ".join(f"{cell:,}" for cell in cells) + " |"
    )
    if wrong:
        raise SystemExit(f"not as acknowledged: {dict(wrong)}")


if __name__ == "__main__":
    main()
