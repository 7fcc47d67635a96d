"""Every reader of foreign bytes under a fuzzer: whatever the bytes, it answers, or refuses with an error of babelmix's own.

    pip install atheris
    python tests/fuzz.py --seconds 40 --rounds 3 [TARGET ...]
    python tests/fuzz.py --table docs/security.md

Coverage of babelmix's own code leads the fuzzer (atheris, libFuzzer). Seeds are the small sources of the tests. A target whose
source is a folder has one of its files replaced at a time. A finding is any other exception, an answer of the service from 500
on, or an input that takes more than ten seconds; the fuzzer goes on after one. What was found is a regression test in
`tests/test_fuzzed.py`.

The folder `--work` keeps the inputs that led further, the findings, and the counts of all runs (`counts.json`): a later run goes
on from there. `--table` writes the counts into a document, between two marks.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

SECONDS_OF_AN_INPUT = 10
MOST_BYTES = 1 << 16

Try = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """Something that reads foreign bytes.

    Args:
        what: it reads, in a few words.
        begin: given an empty folder, makes the seeds, and the function that is to take any bytes.

    """

    what: str
    begin: Callable[[Path], tuple[list[bytes], Try]]


def in_folder(
    make: Callable[[Path], object], read: Callable[[Path], object], *, alone: bool = False
) -> Callable[[Path], tuple[list[bytes], Try]]:
    """A source of several files: the first byte of an input says which is replaced by the rest of it.

    Args:
        make: makes the files, in an empty folder.
        read: reads the folder.
        alone: it reads the replaced file instead, of which each is a source of its own.

    """

    def begin(folder: Path) -> tuple[list[bytes], Try]:
        place = folder / "source"
        place.mkdir()
        make(place)
        files = sorted(file for file in place.rglob("*") if file.is_file())[:256]
        whole = {file: file.read_bytes() for file in files}
        small = [i for i, file in enumerate(files) if len(whole[file]) < MOST_BYTES]

        def one(data: bytes) -> None:
            if not data:
                return
            file = files[small[data[0] % len(small)]]
            file.write_bytes(data[1:])
            try:
                read(file if alone else place)
            finally:
                if file.parent.is_dir():
                    file.write_bytes(whole[file])

        return [bytes([n]) + whole[files[i]] for n, i in enumerate(small)], one

    return begin


def in_file(
    name: str, seeds: list[bytes], read: Callable[[Path], object]
) -> Callable[[Path], tuple[list[bytes], Try]]:
    """A source of one file."""

    def begin(folder: Path) -> tuple[list[bytes], Try]:
        file = folder / name

        def one(data: bytes) -> None:
            file.write_bytes(data)
            read(file)

        return seeds, one

    return begin


def of_text(seeds: list[str], read: Callable[[str], object]) -> Callable[[Path], tuple[list[bytes], Try]]:
    """What a person types."""
    return lambda folder: ([seed.encode() for seed in seeds], lambda data: read(data.decode("utf-8", "replace")))


BODIES = [
    b'{"query": "cat", "k": 3, "langs": ["de"], "policy": "prefer=de:1.5", "mode": "hybrid", "where": {"year": [1, 2.5, true]}}',
    b'{"rows": [{"item": "\\u00e9\\ud83d\\ude00", "lang": "de", "text": "x\\\\\\"", "fields": {"year": -1e9, "s": null}}]}',
]


def depth_of(value: object) -> int:
    """Brackets within brackets of a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def targets() -> dict[str, Target]:
    """All targets by name; imports what they fuzz."""
    import numpy as np
    import polars as pl
    import test_codeswitch
    import test_encoders
    import test_images
    import test_known_items
    import test_readers
    import test_readers_captions
    import test_readers_lareqa
    import test_readers_mmarco
    import test_readers_multi30k
    import test_readers_parallel
    import test_readers_pools
    import test_readers_qa
    import test_readers_wikipedia
    import test_readers_xtd
    import test_uniter_checkpoint
    import test_uniter_regions
    import test_vectors
    from conftest import parallel_corpus

    from babelmix.batches import strategy
    from babelmix.corpus import open_corpus
    from babelmix.corpus.images import open_picture
    from babelmix.corpus.languages import canonical_language, in_range, is_language_tag, match_languages
    from babelmix.corpus.lexicons import read_lexicon
    from babelmix.corpus.opening import _options
    from babelmix.corpus.readers import comfyui_docs, emoji, miracl, table
    from babelmix.encoders import e5_offline, load_encoder, static, uniter
    from babelmix.encoders.store import EmbeddingStore, text_keys
    from babelmix.encoders.trust import objections
    from babelmix.encoders.uniter.regions import read_regions
    from babelmix.errors import BabelmixError
    from babelmix.evaluation import Audit
    from babelmix.evaluation.perturb import PERTURBATIONS, perturb
    from babelmix.evaluation.vector_files import Decoded, open_vectors
    from babelmix.experiment import load_experiment
    from babelmix.experiment.bundled import bundled, names
    from babelmix.search import Policy, open_rows
    from babelmix.search.filters import typed_filters
    from babelmix.search.service import Keys
    from babelmix.search.service.bodies import MAX_DEPTH, BodyError, parse
    from babelmix.training.checkpoints import resumable
    from babelmix.training.resolving import ResolvedLoss, ResolvedSettings, run_settings

    def rows_of(source: object) -> None:
        for _ in open_rows(str(source)).items():
            pass

    def vector_files(folder: Path) -> None:
        values = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
        for write in test_vectors.WRITERS:
            write(folder / write.__name__, values)
        np.save(folder / "int8.npy", (values * 40).astype(np.int8))
        np.save(folder / "int8.scales.npy", np.ones((12, 1), dtype=np.float32))
        (folder / "write_npy.ids.txt").write_text("\n".join(f"a{n}/de" for n in range(12)))

    def read_vectors(folder: Path) -> None:
        for file in sorted(folder.iterdir()):
            if not {".ids", ".scales"} & set(file.suffixes):
                source = open_vectors(file, "queries")
                for bits in (False, source.kind == "uint8"):
                    Decoded(source, bits=bits)[0:20]

    def table_files(folder: Path) -> None:
        for name, text in (("wide", test_readers.WIDE), ("long", test_readers.LONG)):
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
            frame = pl.read_csv(text.encode())
            frame.write_parquet(folder / f"{name}.parquet")
            frame.write_ndjson(folder / f"{name}.jsonl")
            frame.write_csv(folder / f"{name}.tsv", separator="\t")
            frame.write_ipc(folder / f"{name}.arrow")
            for form in ("csv", "jsonl"):
                (folder / f"{name}.{form}.gz").write_bytes(gzip.compress((folder / f"{name}.{form}").read_bytes()))

    def documents(folder: Path) -> None:
        text = 'item,lang,text,year,open\na,de,Katze,1,true\na,en,"a ""cat""",1.5,\nb,en,dog,,false\n'
        (folder / "d.csv").write_text(text, encoding="utf-8")
        frame = pl.read_csv(text.encode())
        frame.write_ndjson(folder / "d.jsonl")
        frame.write_parquet(folder / "d.parquet")
        frame.write_ipc(folder / "d.arrow")
        (folder / "d.tsv").write_text(text.replace(",", "\t"), encoding="utf-8")
        (folder / "d.csv.gz").write_bytes(gzip.compress(text.encode()))
        (folder / "p.csv").write_text("id,lang,text,image\n1,en,y,\n2,en,x,\n", encoding="utf-8")

    def lareqa(folder: Path) -> None:
        for lang in ("de", "en"):
            test_readers.write(folder, f"{lang}.json", json.dumps(test_readers_lareqa.lareqa(lang)))

    def squad(folder: Path) -> None:
        document = test_readers_qa.squad(("Opera", "On opera.", ["a", "b"]), ("", "More.", ["c"]))
        for domain in ("nyt", "reddit", "amazon_reviews", "new_wiki"):
            test_readers.write(folder, f"{domain}_v1.0.json", json.dumps(document))

    def help_blocks(folder: Path) -> None:
        test_readers.blocks().write_parquet(folder / "b.parquet")

    def help_html(folder: Path) -> None:
        for lang in ("en-US", "de"):
            test_readers.write(
                folder, f"{lang}/text/p.html", '<html><body><h1 id="h">C</h1><p id="a">All.</p></body></html>'
            )

    def wit(folder: Path) -> None:
        row = {"image_url": "https://x/e/B%C3%A9.JPG", "caption_reference_description": "x", "language": "ar"}
        test_readers.write(folder, "test_ar.jsonl", test_readers_captions.lines(row))
        test_readers_captions.add_pictures(folder / "images", "Bé.JPG")

    def audit_folder(folder: Path) -> None:
        from babelmix.evaluation import audit

        corpus = parallel_corpus(6)
        texts = [*corpus.queries["text"].to_pylist(), *corpus.passages["text"].to_pylist()]
        audit(static.from_scratch(texts, vocabulary=100, dimension=4), corpus, name="x", store=False).save(folder)

    def configurations(folder: Path) -> None:
        """The configuration files of a model's folder, without weights."""
        model_folder(folder)
        for file in folder.rglob("*"):
            if file.is_file() and file.suffix != ".json":
                file.unlink()
        auto = {
            "auto_map": {"AutoModel": "a.B"},
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
        }
        (folder / "config.json").write_text(json.dumps(auto), encoding="utf-8")

    def gate(folder: Path) -> None:
        for objection in objections(folder, "x"):
            assert str(objection)

    def stored(folder: Path) -> tuple[list[bytes], Try]:
        """The files of cached embeddings: what comes back is what was kept, or nothing."""
        keys, vectors = text_keys(["a", "b", "c"]), np.arange(12, dtype=np.float32).reshape(3, 4)
        EmbeddingStore(folder / "whole").add(keys, vectors)
        whole = {file.name: file.read_bytes() for file in sorted((folder / "whole").iterdir())}
        names = sorted(whole)

        def one(data: bytes) -> None:
            place = folder / "kept"
            place.mkdir(exist_ok=True)
            replaced = names[data[0] % len(names)] if data else ""
            for name in names:
                (place / name).write_bytes(data[1:] if name == replaced else whole[name])
            store = EmbeddingStore(place)
            there, files = store.load()
            for number, file in enumerate(files):
                rows = there.filter(pl.col("shard") == number)
                found = store.read(file, rows)
                for key, vector in zip(
                    rows.select("high", "low").rows(), found if found is not None else (), strict=False
                ):
                    (row,) = np.flatnonzero((keys == np.array(key, dtype=np.uint64)).all(axis=1))
                    assert np.array_equal(vector, vectors[row])

        return [bytes([n]) + whole[name] for n, name in enumerate(names)], one

    def npz(folder: Path) -> None:
        np.savez(folder / "a.npz", **test_uniter_regions.arrays(3))
        np.savez_compressed(folder / "b.npz", **test_uniter_regions.arrays(3))

    def checkpoint(folder: Path) -> None:
        test_uniter_checkpoint.files.__wrapped__(folder)  # type: ignore[attr-defined]
        test_uniter_checkpoint.published(folder / "w.safetensors", "fine-tuned")
        test_uniter_checkpoint.published(folder / "w.pt", "fine-tuned")

    def read_checkpoint(folder: Path) -> None:
        from babelmix.errors import BabelmixError

        for name in ("w.safetensors", "w.pt"):
            with contextlib.suppress(BabelmixError):
                uniter.load_checkpoint(folder / name, folder / "base.json", folder / "vocab.txt")

    def model_folder(folder: Path) -> None:
        static.from_scratch(["a cat", "a dog"], vocabulary=20, dimension=4).save(str(folder))

    def pictures(folder: Path) -> tuple[list[bytes], Try]:
        made = [test_images.encoded(form, size=(5, 4)) for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]
        made += [
            test_images.encoded("PNG", mode, colour, (5, 4))
            for mode, colour in (("LA", (3, 9)), ("I;16", 900), ("P", 3))
        ]
        return made, lambda data: open_picture(data, max_pixels=1 << 16)

    def service(folder: Path) -> tuple[list[bytes], Try]:
        from starlette.testclient import TestClient

        from babelmix.search import Index, Searcher, index_rows
        from babelmix.search.documents import rows_of_corpus
        from babelmix.search.service import Settings, create_app

        corpus = parallel_corpus(6)
        encoder = static.from_scratch(corpus.passages["text"].to_pylist(), vocabulary=100, dimension=4)
        index = Index.create(str(folder / "index"), encoder, "tiny")
        index_rows(index, encoder, rows_of_corpus(corpus))
        client = TestClient(create_app(Searcher(index, encoder), Settings(writable=True)), base_url="http://localhost")
        client.__enter__()
        asked = [
            b'\0{"query": "cat", "k": 3, "langs": ["de"], "policy": "prefer=de:1.5", "mode": "hybrid", "where": {"year": [1]}}',
            b'\0{"query": "cat", "policy": "quota=2", "once": true, "exact": true}',
            b'\1{"rows": [{"item": "a", "lang": "de", "text": "x", "fields": {"year": 1, "open": true, "s": "t"}}]}',
            b"\2i1",
        ]

        def one(data: bytes) -> None:
            if not data:
                return
            kind, body = data[0] % 3, data[1:]
            headers = {"content-type": "application/json"}
            if kind < 2:
                answer = client.post(("/search", "/items")[kind], content=body, headers=headers)
            else:
                answer = client.delete("/items/" + body.decode("utf-8", "replace").translate(dict.fromkeys(range(33))))
            assert answer.status_code < 500, (answer.status_code, answer.text)
            assert isinstance(answer.json(), dict)

        return asked, one

    def run_record(folder: Path) -> None:
        (folder / "run.json").write_text(json.dumps({"settings": run_settings(settings)}), encoding="utf-8")
        test_readers.write(folder, "checkpoint-2/trainer_state.json", json.dumps({"global_step": 2}))

    def dictd(folder: Path) -> None:
        test_codeswitch.write_dictd(folder, test_codeswitch.ARTICLES)

    def noise(text: str) -> None:
        for kind in PERTURBATIONS:
            perturb(text, kind, rate=0.5)

    def filters(text: str) -> None:
        typed_filters([text], {"year": "integer", "open": "boolean", "weight": "number", "a": "text"})

    def tags(text: str) -> None:
        """A canonical tag is a tag, and its own canonical form."""
        for tag in text.split(","):
            if is_language_tag(tag):
                canonical = canonical_language(tag)
                assert is_language_tag(canonical)
                assert canonical_language(canonical) == canonical
                assert in_range(canonical, canonical)
            with contextlib.suppress(BabelmixError):
                match_languages([tag], ["de", "zh-Hant", "en-US"], "x")

    def body(data: bytes) -> None:
        """What is read is what Python's reader makes of it, and what it refuses is refused."""
        try:
            read = parse(data)
        except BodyError:
            return
        assert depth_of(read) <= MAX_DEPTH
        assert json.dumps(read) == json.dumps(json.loads(data))

    def index_facts(folder: Path) -> tuple[list[bytes], Try]:
        from babelmix.search import Index
        from babelmix.search.engines.edge import MARKER

        encoder = static.from_scratch(["a cat", "a dog"], vocabulary=20, dimension=4)
        Index.create(str(folder / "index"), encoder, "tiny").close()
        file = folder / "index" / MARKER
        whole = file.read_bytes()

        def one(data: bytes) -> None:
            file.write_bytes(data)
            try:
                with Index.open(str(folder / "index")) as opened:
                    opened.where(None, {"item": ["a"]})
                    opened.check_encoder(encoder)
            finally:
                file.write_bytes(whole)

        return [whole], one

    def options(text: str) -> None:
        _options("miracl", miracl.read, text)

    pages = ["# A\n\nB **c**.\n\n| P | D |\n| - | - |\n| a | b |\n"]
    muse = [b"house Haus\nwater\tWasser\nhouse Heim\n", b"don't nicht\n"]
    recipes = [Path(str(bundled(name))).read_bytes() for name in names()]
    plain = ["prefer=de:1.5", "quota=3", "only=de,fr", "balanced", "any"]
    kinds = [
        "hybrid",
        "hybrid(0.5)",
        "hybrid(1..0 at 0.3)",
        "hybrid(0.25, paired)",
        "one_to_k",
        "hybrid(.5, text_text)",
    ]
    drawn = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0L9 9" fill="red"/><text>x</text></svg>'
    ]
    drawn += [
        '<svg xmlns="http://www.w3.org/2000/svg"><defs><g id="a"><use href="#b"/></g></defs><use href="#a"/></svg>'
    ]
    readers: dict[str, tuple[Callable[[Path], object], str]] = {
        "beir": (test_readers.beir, "beir={}"),
        "lareqa": (lareqa, "xquad-r={}?check=false"),
        "miracl": (test_readers_wikipedia.miracl_folder, "miracl={}?check=false"),
        "mr-tydi": (test_readers_wikipedia.mr_tydi_folder, "mr-tydi={}"),
        "mmarco": (test_readers_mmarco.folder_of, "mmarco={}"),
        "belebele": (test_readers_qa.belebele_folder, "belebele={}"),
        "xquad-paragraphs": (lareqa, "xquad-r={}?check=false&unit=paragraph"),
        "mlqa": (test_readers_pools.mlqa_folder, "mlqa={}?queries=en&pool=shift"),
        "multieup": (test_readers_pools.multieup_file, "multieup={}"),
        "folder": (test_known_items.folder_of_clicks, "folder={}"),
        "squadshifts": (squad, "squadshifts={}"),
        "parallel-qa": (test_readers_qa.qa_folder, "parallel-qa={}"),
        "captions": (test_readers_captions.own, "captions={}/mine.jsonl"),
        "multi30k": (test_readers_multi30k.multi30k_folder, "multi30k={}"),
        "mscoco": (test_readers_multi30k.coco_folder, "mscoco={}"),
        "xtd10": (test_readers_xtd.xtd_folder, "xtd10={}"),
        "xm3600": (test_readers_xtd.xm_folder, "xm3600={}"),
        "wit": (wit, "wit={}"),
        "libreoffice-help": (help_blocks, "libreoffice-help={}/b.parquet"),
        "libreoffice-html": (help_html, "libreoffice-help={}"),
        "parallel-sections": (test_readers_parallel.lists, "parallel-sections={}/lists.csv?unit=sentence"),
        "parallel-sentences": (test_readers_parallel.sentence_table, "parallel-sentences={}/news.parquet"),
    }
    small_weights = test_encoders.weight_bytes(np.random.default_rng(0), 4, 1, 4, 4)
    keys = b"read 0123456789abcdef\n# c\nwrite fedcba9876543210\n"
    settings = ResolvedSettings(
        strategy="mixed", steps=4, batch_size=8, learning_rate=1e-3, loss=ResolvedLoss(temperature=0.05)
    )
    noisy = "Ärger no\u0308 한글 عَرَب"

    def saved(format: str) -> Callable[[Path], object]:
        return lambda f: parallel_corpus(4).save(f, format=format)

    def corpus_of(spec: str) -> Callable[[Path], object]:
        return lambda f: open_corpus(spec.format(f))

    return {
        "weights": Target("the 4-bit weight file", in_file("w.bin", [small_weights], e5_offline.read_four_bit)),
        "regions": Target("region archives (.npz)", in_folder(npz, read_regions, alone=True)),
        "uniter": Target("UNITER checkpoints: weights, configuration, words", in_folder(checkpoint, read_checkpoint)),
        "model": Target("an encoder's folder", in_folder(model_folder, lambda f: load_encoder(str(f)))),
        "gate": Target("what a model's configuration files may name", in_folder(configurations, gate)),
        "embeddings": Target("cached embeddings", stored),
        "pictures": Target("PNG, JPEG, WebP, GIF, BMP, TIFF", pictures),
        "svg": Target("drawings", of_text(drawn, lambda text: emoji.render(text, 16))),
        "vectors": Target(
            "vectors in npy, npz, safetensors, Parquet, Arrow, JSONL", in_folder(vector_files, read_vectors)
        ),
        "table": Target(
            "CSV, TSV, JSONL, Parquet of a corpus", in_folder(table_files, lambda f: table.read(str(f)), alone=True)
        ),
        "documents": Target(
            "CSV, JSONL, Parquet of documents, with pictures", in_folder(documents, rows_of, alone=True)
        ),
        "corpus": Target("corpora in Parquet", in_folder(saved("parquet"), corpus_of("{}"))),
        "corpus-arrow": Target("corpora in Arrow", in_folder(saved("arrow"), corpus_of("{}"))),
        **{
            name: Target(f"the source of `{name}`", in_folder(make, corpus_of(spec)))
            for name, (make, spec) in readers.items()
        },
        "comfyui-docs": Target("pages in Markdown", of_text(pages, comfyui_docs.parse_page)),
        "lexicon": Target("lexicons of two columns", in_file("l.txt", muse, lambda f: read_lexicon(f"en:de={f}"))),
        "dictd": Target(
            "dictd dictionaries, packed by gzip", in_folder(dictd, lambda f: read_lexicon(f"en:de={f}/toy.index"))
        ),
        "audit": Target("the folder of an audit", in_folder(audit_folder, Audit.load)),
        "checkpoints": Target("the record of a run", in_folder(run_record, lambda f: resumable(f, {}, settings))),
        "toml": Target("experiments in TOML", in_file("x.toml", recipes, load_experiment)),
        "keys": Target("the key file of the service", in_file("k.txt", [keys], Keys.read)),
        "policy": Target("language policies", of_text(plain, Policy.parse)),
        "strategy": Target("names of strategies", of_text(kinds, strategy)),
        "options": Target("options of a reader", of_text(["langs=de,en&check=false&split=dev"], options)),
        "perturb": Target("texts that get noise", of_text([noisy], noise)),
        "bodies": Target("bodies of requests, before they are looked at", lambda folder: (BODIES, body)),
        "where": Target("filters on the command line", of_text(["year=2024,2025", "open=true", "a=b"], filters)),
        "languages": Target(
            "language tags and ranges", of_text(["zh-Hant-TW", "iw", "eng-Latn-us", "x-a", "i-klingon"], tags)
        ),
        "index": Target("the facts of an index", index_facts),
        "service": Target("requests to the service: `/search`, `/items`", service),
    }


def place_of(error: BaseException) -> str:
    """The exception's kind, and the last line of babelmix's that it passed."""
    lines = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if "babelmix" in f.filename and "fuzz.py" not in f.filename
    ]
    last = lines[-1] if lines else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:200]!r}"


def fuzz(name: str, target: Target, seconds: int, number: int, kept: Path, work: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    from babelmix.errors import BabelmixError

    findings, corpus = kept / "findings", kept / "corpus" / name
    for folder in (corpus, work / "place", work / "seeds"):
        folder.mkdir(parents=True, exist_ok=True)
    seeds, one = target.begin(work / "place")
    for place, seed in enumerate(seeds):
        one(seed)  # what is whole is read
        (work / "seeds" / str(place)).write_bytes(seed)
    known: set[str] = set()

    def once(data: bytes) -> None:
        try:
            one(data)
        except BabelmixError:
            pass
        except BaseException as error:  # a panic of a library in Rust is no Exception
            where = place_of(error)
            if (key := where.partition(": ")[0]) not in known:
                known.add(key)
                digest = hashlib.sha256(data).hexdigest()[:12]
                (findings / f"{name}-{digest}").write_bytes(data)
                said = "".join(traceback.format_exception(error))
                (findings / f"{name}-{digest}.txt").write_text(f"{where}\n\n{said}", encoding="utf-8")
                print(f"FINDING {name}: {where}", file=sys.stderr, flush=True)

    arguments = [
        sys.argv[0], str(corpus), str(work / "seeds"), f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-seed={number}",
        f"-timeout={SECONDS_OF_AN_INPUT}", "-rss_limit_mb=8192", f"-artifact_prefix={findings}/{name}-", "-print_final_stats=1",
    ]  # fmt: skip
    # In a folder of its own: a name that an input makes may be a path.
    os.chdir(work)
    atheris.Setup(arguments, once)
    atheris.Fuzz()


def counts_of(kept: Path) -> dict[str, dict[str, Any]]:
    """What all runs came to, by target: inputs, seconds and findings."""
    file = kept / "counts.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def run(name: str, target: Target, seconds: int, kept: Path) -> None:
    """Fuzz one target in a fork of this process, and add to the counts."""
    counts = counts_of(kept)
    so_far = counts.setdefault(name, {"rounds": 0, "inputs": 0, "seconds": 0, "findings": 0})
    log = kept / f"{name}.log"
    work = Path(tempfile.mkdtemp(prefix="babelmix-fuzz-"))
    began = time.monotonic()
    if (child := os.fork()) == 0:
        handle = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        try:
            fuzz(name, target, seconds, so_far["rounds"] + 1, kept, work)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(work, ignore_errors=True)
    said = log.read_text(encoding="utf-8", errors="replace")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    found = said.count("FINDING ") + (status != 0)
    so_far["rounds"] += 1
    so_far["inputs"] += int(runs[1]) if runs else 0
    so_far["seconds"] += round(time.monotonic() - began)
    so_far["findings"] += found
    (kept / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    print(f"{name}: {runs and runs[1]} inputs, {found} findings", file=sys.stderr, flush=True)
    for line in said.splitlines():
        if "FINDING " in line or "ERROR: libFuzzer" in line:
            print("   ", line, file=sys.stderr, flush=True)
    if runs is None:
        print(said[-3000:], file=sys.stderr, flush=True)


def write_table(kept: Path, document: Path) -> None:
    """Put the counts between two marks of a document."""
    counts = counts_of(kept)
    rows = [f"| `{name}` | {one['inputs']:,} |" for name, one in sorted(counts.items())]
    total = sum(one["inputs"] for one in counts.values())
    table = "\n".join(["| target | inputs tried |", "|---|---:|", *rows, f"| in all | {total:,} |"])
    before, begin, rest = document.read_text(encoding="utf-8").partition("<!-- fuzzed -->\n")
    _, end, after = rest.partition("<!-- /fuzzed -->\n")
    if not begin or not end:
        sys.exit(f"{document}: has no marks  <!-- fuzzed -->  and  <!-- /fuzzed -->")
    document.write_text(f"{before}{begin}{table}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Fuzz one target after the other, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=40, help="a target and round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("fuzz"), help="where inputs, findings and counts are kept")
    parser.add_argument("--table", type=Path, help="write the counts into this document, and stop")
    asked = parser.parse_args()
    kept = asked.work.resolve()
    if asked.table:
        write_table(kept, asked.table)
        return
    (kept / "findings").mkdir(parents=True, exist_ok=True)
    import atheris

    with atheris.instrument_imports(include=["babelmix"]):
        everything = targets()
    for _ in range(asked.rounds):
        for name in asked.targets or everything:
            run(name, everything[name], asked.seconds, kept)


if __name__ == "__main__":
    main()
