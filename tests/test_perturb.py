"""Noise on queries: laws of the noise, and what is lost by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus
from hypothesis import given
from hypothesis import strategies as st

from babelmix.corpus import Corpus
from babelmix.errors import AuditError
from babelmix.evaluation import compare
from babelmix.evaluation.perturb import PERTURBATIONS, perturb, perturb_loss
from babelmix.evaluation.run import Audit, audit

RATES = st.floats(0, 1)


@given(st.text(max_size=40), st.integers(0, 5), RATES)
def test_laws_of_noise(text: str, seed: int, rate: float) -> None:
    for kind in PERTURBATIONS:
        noisy = perturb(text, kind, seed=seed, rate=rate)
        assert noisy == perturb(text, kind, seed=seed, rate=rate)
        assert bool(noisy.strip()) or not text.strip()
    typos = perturb(text, "typos", seed=seed, rate=rate)
    letters = sum(map(str.isalpha, text))
    assert len(text) - letters <= len(typos) <= len(text) + letters
    assert set(typos) <= set(text)
    assert perturb(text, "typos", seed=seed, rate=0) == text
    spaced = perturb(text, "spacing", seed=seed)
    assert spaced.replace(" ", "") == text.replace(" ", "")
    plain = perturb(text, "script")
    assert perturb(plain, "script") == plain or not plain.strip()


@given(st.text(st.characters(categories=["Lo", "Nd", "Zs"]), max_size=30))
def test_scripts_without_case_stay(text: str) -> None:
    assert perturb(text, "case") == text


def test_noise_by_example() -> None:
    assert perturb("Straße Nr. 7", "case") == "sTRASSE nR. 7"
    assert perturb("Café Ångström ｗｉｄｅ ﬁ", "script") == "Cafe Angstrom wide fi"
    assert perturb("한국어 हिन्दी ภาษาไทย が", "script") == "한국어 हिन्दी ภาษาไทย が"
    words = " ".join(["abcdefgh"] * 200)
    wrong = sum(a != b for a, b in zip(words.split(), perturb(words, "typos", rate=0.02).split(), strict=True))
    assert 10 <= wrong <= 60
    assert perturb(words, "typos", seed=1) != perturb(words, "typos", seed=2)


@pytest.mark.parametrize(
    ("kind", "rate", "said"), [("noise", 0.1, "no perturbation 'noise'"), ("typos", 2.0, "between 0")]
)
def test_what_is_no_noise_is_refused(kind: str, rate: float, said: str) -> None:
    with pytest.raises(AuditError, match=said):
        perturb("a", kind, rate=rate)


def test_command_line(babelmix, tiny_static, tmp_path: Path) -> None:
    parallel_corpus(12).save(tmp_path / "toy")
    tiny_static.save(str(tmp_path / "m"), create_model_card=False)
    words = ["audit", str(tmp_path / "m"), "-c", str(tmp_path / "toy"), "--out", str(tmp_path / "a")]
    code, out, err = babelmix(*words, "--perturb", "typos,case")
    assert code == 0, err
    assert "What noise on the queries costs" in out
    kept = json.loads((tmp_path / "a" / "perturbed.json").read_text(encoding="utf-8"))
    assert list(kept["kinds"]) == ["typos", "case"]
    low, high = kept["kinds"]["typos"]["interval"]["de"]
    lost = kept["kinds"]["typos"]["lost"]["de"]
    assert f"{-lost:+.3f} [{-high:+.3f}, {-low:+.3f}]".replace("+0.000", "0.000").replace("-0.000", "0.000") in out
    assert "What noise on the queries costs" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    code, out, _ = babelmix(*words, "--perturb", "typos,case", "--json")
    assert json.loads(out)["perturbed"] == kept
    code, _, err = babelmix(*words, "--perturb", "mud")
    assert code == 1
    assert "no perturbation 'mud'" in err
    for option in (["--typo-rate", "0.05"], ["--perturb-seed", "0"]):
        code, _, err = babelmix(*words, *option)
        assert code == 1
        assert f"{option[0]}: is for noise on the queries" in err
    assert babelmix(*words)[0] == 0
    assert not (tmp_path / "a" / "perturbed.json").exists()


def test_loss_by_language(tiny_static) -> None:
    corpus = parallel_corpus(24)
    clean = audit(tiny_static, corpus, name="tiny", store=False)
    found = perturb_loss(tiny_static, corpus, clean, store=False, rate=0.3)
    assert found["kinds"]["case"]["changed"]["ja"] == 0
    assert found["kinds"]["case"]["lost"]["ja"] == 0
    assert found["kinds"]["typos"]["changed"]["en"] > 0.5
    for lang, before in found["clean"].items():
        assert before == pytest.approx(clean.estimates["multi/mAP"][1][lang].value)
        for kind in found["kinds"].values():
            assert kind["lost"][lang] == before - kind["mAP"][lang]
    turned = corpus.only_langs(["ja", "en", "fr", "de"])
    again = perturb_loss(tiny_static, turned, clean, ["typos"], store=False, rate=0.3)
    assert again["kinds"]["typos"] == found["kinds"]["typos"]
    untouched = perturb_loss(tiny_static, corpus, clean, ["typos"], store=False, rate=0)["kinds"]["typos"]
    assert set(untouched["lost"].values()) == {0.0}
    assert list(untouched["interval"].values()) == [[0.0, 0.0]] * 4
    assert untouched["mean"] == {"lost": 0.0, "low": 0.0, "high": 0.0}
    with pytest.raises(AuditError, match="of another corpus"):
        perturb_loss(tiny_static, parallel_corpus(22), clean, ["case"], store=False)


def test_intervals_are_those_of_a_paired_comparison(tiny_static) -> None:
    corpus = parallel_corpus(24)
    clean = audit(tiny_static, corpus, name="tiny", store=False)
    found = perturb_loss(tiny_static, corpus, clean, ["typos"], store=False, rate=0.4)["kinds"]["typos"]
    queries = corpus.queries.to_pylist()
    for query in queries:
        query["text"] = perturb(query["text"], "typos", rate=0.4)
    pairs = [(f"i{i}", f"i{i}") for i in range(24)]
    disturbed = Corpus.from_rows(queries, corpus.passages.to_pylist(), pairs, name="toy")
    noisy = audit(tiny_static, disturbed, name="tiny", store=False)
    (whole,) = compare([clean.measures], [noisy.measures], ["multi/mAP"], resamples=1000)
    assert list(found["mean"].values()) == pytest.approx(
        [getattr(whole.difference, n) for n in ("value", "low", "high")]
    )
    for lang, (low, high) in found["interval"].items():
        assert low < found["lost"][lang] < high
        before, after = (by_group(one, lang) for one in (clean, noisy))
        # Slowly: draw groups, and take the mean of their queries' own losses.
        rng = np.random.default_rng(7)
        losses = [np.array(before[group]) - after[group] for group in sorted(before)]
        draws = [
            np.concatenate([losses[g] for g in rng.integers(0, len(losses), len(losses))]).mean() for _ in range(2000)
        ]
        assert [low, high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.1 * (high - low) + 1e-9)


def by_group(one: Audit, lang: str) -> dict[int, list[float]]:
    """The mAP of each query of a language."""
    measure = one.measures["multi/mAP"]
    result: dict[int, list[float]] = {}
    for cell, group, value in zip(measure.cell, measure.group, measure.values, strict=True):
        if measure.cells[cell] == lang:
            result.setdefault(int(group), []).append(float(value))
    return result


def test_an_empty_list_of_kinds_is_refused_before_anything_is_embedded(tiny_static, monkeypatch) -> None:
    corpus = parallel_corpus(4)
    clean = audit(tiny_static, corpus, name="x", store=False, metrics=["mAP"])
    monkeypatch.setattr("babelmix.evaluation.perturb.encode", lambda *_, **__: pytest.fail("it was embedded"))
    for kinds in ([], ",", ["typos", ""]):
        with pytest.raises(AuditError, match=r"the list is empty|there is no perturbation"):
            perturb_loss(tiny_static, corpus, clean, kinds)


def test_the_former_name_of_perturb_loss_still_works() -> None:
    from babelmix.evaluation import perturb as module

    with pytest.warns(DeprecationWarning, match="perturb_loss"):
        assert module.noise_loss is perturb_loss
    with pytest.raises(AttributeError):
        _ = module.nothing
