"""Build the wheel and the source distribution, and try both in fresh environments, outside the repository.

    python release/package.py            # into dist/

The wheel audits, debiases, trains, indexes and searches with a real encoder from PyPI. The source distribution is installed, and
the tests of batch plans that it brings pass.
"""

from __future__ import annotations

import shutil
import tarfile

from environment import PROJECT, ROOT, built, environment


def main() -> None:
    """Build, install and try."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    files = {target: built(target, dist) for target in ("wheel", "sdist")}
    version = PROJECT["version"]
    with environment() as env:
        env.install(f"{files['wheel']}[train,offline,search]")
        assert version in env.run("babelmix", "--version")
        shutil.copy(ROOT / "docs" / "shop.csv", env.folder / "my.csv")
        env.run("babelmix", "audit", "e5-small-offline", "-c", "my.csv", "--part", "test", "--out", "before")
        env.run("babelmix", "debias", "e5-small-offline", "--out", "debiased")
        settings = ("--steps", "2", "--batch-size", "8", "--freeze-embeddings")
        env.run("babelmix", "train", "-c", "my.csv", "--part", "train", *settings, "--out", "trained")
        env.run(
            "babelmix", "audit", "trained", "-c", "my.csv", "--part", "test", "--out", "after", "--against", "before"
        )
        env.run("babelmix", "index", "my.csv", "--to", "my-index", "--model", "e5-small-offline")
        found = env.run(
            "babelmix", "search", "Wo ist der Filter?", "--in", "my-index", "--policy", "balanced", "-k", "4"
        )
        assert len({lang for lang in ("de", "en", "es", "fr") if f" {lang} " in found}) > 1, found
        env.run(
            "python", "-c", "import babelmix as bm; print(bm.audit('e5-small-offline', 'my.csv').macro('multi/mAP'))"
        )
    print(f"{files['wheel'].name}: audits, debiases, trains, compares, indexes, searches", flush=True)
    with environment() as env:
        env.install(f"{files['sdist']}[data]", "pytest", "pytest-timeout", "hypothesis")
        with tarfile.open(files["sdist"]) as archive:
            archive.extractall(env.folder, filter="data")
        (source,) = env.folder.iterdir()
        code = env.status("python", "-m", "pytest", "-q", "tests/test_keyed.py", folder=source)
        assert code == 0, f"pytest ended with {code}"
    print(f"{files['sdist'].name}: installs, and its tests of batch plans pass", flush=True)


if __name__ == "__main__":
    main()
