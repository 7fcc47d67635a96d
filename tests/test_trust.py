"""The gate before a model's loader: with harmless markers in each place where a file of a folder may name code.

A marker is a module beside the model, or on Python's path, that writes a file when it is imported or called.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import word_bert
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.router import Router
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from babelmix.encoders import load_encoder
from babelmix.encoders.image_tower import load_tower
from babelmix.encoders.opening import open_encoder
from babelmix.encoders.trust import objections
from babelmix.encoders.trust_rules import ACTIVATIONS, MODULES, WORD_TOKENIZERS
from babelmix.errors import EncoderError

MARKER = "stranger_marker"
ROUTED = "0_Router/query_0_Transformer"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when the module `stranger_marker` is imported."""
    written = tmp_path / "the-marker-ran"
    (tmp_path / "path").mkdir()
    program = f"from pathlib import Path\nPath({str(written)!r}).touch()\nclass Module:\n    pass\ndef activation():\n    pass\n"
    (tmp_path / "path" / f"{MARKER}.py").write_text(program)
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.delitem(sys.modules, MARKER, raising=False)
    yield written
    sys.modules.pop(MARKER, None)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder of a transformer, a pooling, a Dense and a Normalize."""
    place = tmp_path_factory.mktemp("whole") / "m"
    parts = [Transformer(str(tiny_bert)), Pooling(32), Dense(32, 16), Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save_pretrained(str(place), create_model_card=False)
    return place


@pytest.fixture(scope="session")
def routed(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder of a router with a tower for queries and one for documents."""
    place = tmp_path_factory.mktemp("routed") / "m"
    towers = ([Transformer(str(tiny_bert)), Pooling(32), Dense(32, 16)] for _ in range(2))
    router = Router.for_query_document(query_modules=next(towers), document_modules=next(towers))
    SentenceTransformer(modules=[router, Normalize()], device="cpu").save_pretrained(
        str(place), create_model_card=False
    )
    return place


def part(folder: Path, ending: str) -> Path:
    """The sub-folder of a module whose name ends so."""
    return next(place for place in sorted(folder.rglob("*")) if place.is_dir() and place.name.endswith(ending))


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | values))


def module_type(folder: Path) -> str:
    content = json.loads((folder / "modules.json").read_text())
    content[-1]["type"] = f"{MARKER}.Module"
    (folder / "modules.json").write_text(json.dumps(content))
    return f"modules.json, {len(content) - 1}.type = '{MARKER}.Module'"


def library_attribute(folder: Path) -> str:
    """A name that begins as the library's own and ends at what one of its modules imported."""
    content = json.loads((folder / "modules.json").read_text())
    content[-1]["type"] = "sentence_transformers.util.misc.importlib"
    (folder / "modules.json").write_text(json.dumps(content))
    return f"modules.json, {len(content) - 1}.type = "


def in_top(file: str, key: str, value: Any) -> Callable[[Path], str]:
    def doctor(folder: Path) -> str:
        change(folder / file, **{key: value})
        return f"{file}, {key}"

    return doctor


def in_part(ending: str, file: str, key: str, value: Any) -> Callable[[Path], str]:
    def doctor(folder: Path) -> str:
        place = part(folder, ending)
        change(place / file, **{key: value})
        return f"{(place / file).relative_to(folder).as_posix()}, {key}"

    return doctor


def nested(folder: Path) -> str:
    change(folder / "config.json", text_config={"model_type": "bert", "auto_map": {"AutoModel": f"{MARKER}.Module"}})
    return "config.json, text_config.auto_map"


MAP = {"AutoConfig": f"{MARKER}.Module", "AutoModel": f"{MARKER}.Module"}
SETTINGS = "sentence_bert_config.json"
PLACES: dict[str, Callable[[Path], str]] = {
    "a module's type": module_type,
    "a type inside the library": library_attribute,
    "the configuration": in_top("config.json", "auto_map", MAP),
    "a nested configuration": nested,
    "another version of the configuration": in_top("config.json", "configuration_files", ["other.json"]),
    "the tokenizer's mapping": in_top(
        "tokenizer_config.json", "auto_map", {"AutoTokenizer": [f"{MARKER}.Module", None]}
    ),
    "the tokenizer's class": in_top("tokenizer_config.json", "tokenizer_class", f"{MARKER}.Module"),
    "the tokenizer's file": in_top("tokenizer_config.json", "vocab_file", "/etc/hostname"),
    "the tokenizer's arguments": in_top("tokenizer_config.json", "init_inputs", ["/etc/hostname"]),
    "the processor": in_top("processor_config.json", "auto_map", {"AutoProcessor": f"{MARKER}.Module"}),
    "the processor's class": in_top("preprocessor_config.json", "processor_class", f"{MARKER}.Module"),
    "the image processor's class": in_top("preprocessor_config.json", "image_processor_type", MARKER),
    "the architecture": in_top("config.json", "model_type", "rag"),
    "the attention": in_top("config.json", "_attn_implementation", "someone/kernel"),
    "the attention of a part": in_top("config.json", "attn_implementation", {"text_config": "someone/kernel"}),
    "the type of numbers": in_top("config.json", "dtype", "load"),
    "quantisation": in_top("config.json", "quantization_config", {"quant_method": "gptq"}),
    "a backbone": in_top("config.json", "backbone", "resnet18"),
    "other weights": in_top("config.json", "transformers_weights", "other.safetensors"),
    "generation": in_top("generation_config.json", "custom_generate", "someone/generate"),
    "the loader's arguments": in_top(SETTINGS, "model_args", {"weights_only": False}),
    "the loader's arguments, by their new name": in_top(SETTINGS, "model_kwargs", {"quantization_config": {}}),
    "the tokenizer's loader": in_top(SETTINGS, "tokenizer_args", {"trust_remote_code": True}),
    "padding": in_top(SETTINGS, "processing_kwargs", {"text": {"pad_to_multiple_of": 10**9}}),
    "another tokenizer": in_top(SETTINGS, "tokenizer_name_or_path", "someone/else"),
    "a task": in_top(SETTINGS, "transformer_task", "retrieval"),
    "a method": in_top(
        SETTINGS, "modality_config", {"text": {"method": "save_pretrained", "method_output_name": None}}
    ),
    "an activation": in_part("Dense", "config.json", "activation_function", f"{MARKER}.activation"),
    "an activation of torch": in_part("Dense", "config.json", "activation_function", "torch.hub.load"),
    "a module's setting": in_part("Pooling", "config.json", "pooling_mode", f"{MARKER}.activation"),
    "words": in_part("Dense", "wordembedding_config.json", "tokenizer_class", f"{MARKER}.Module"),
    "a mapping in a part": in_part("Pooling", "config.json", "auto_map", MAP),
    "the kind of encoder": in_top("config_sentence_transformers.json", "model_type", "CrossEncoder"),
    "weights elsewhere": in_top("model.safetensors.index.json", "weight_map", {"a": "../../a.safetensors"}),
}


def refused(folder: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is refused with one sentence that names file and key; with trust, the gate says the same and lets it pass."""
    with pytest.raises(EncoderError) as error:
        load_encoder(str(folder))
    said = str(error.value)
    assert said.startswith(f"{folder}: {where}"), said
    assert "--trust-code" in said
    assert "\n" not in said
    capsys.readouterr()
    from babelmix.encoders.trust import admit

    assert admit(folder, "NAME", trust_code=True)
    assert where in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("place", PLACES)
def test_a_name_is_not_followed(whole: Path, tmp_path: Path, marker: Path, place: str, capsys) -> None:
    folder = tmp_path / "m"
    shutil.copytree(whole, folder)
    # Beside the model, as remote code lies, and on the path, as an installed package.
    shutil.copy(tmp_path / "path" / f"{MARKER}.py", folder)
    refused(folder, PLACES[place](folder), capsys)
    assert not marker.exists()


def part_of_router(folder: Path) -> Path:
    return next(place for place in sorted((folder).glob("**/document_0_Transformer")))


@pytest.mark.parametrize(
    "what", ["a type", "a type without structure", "an activation", "a mapping", "a path", "an old router"]
)
def test_a_name_in_a_router_is_not_followed(routed: Path, tmp_path: Path, marker: Path, what: str, capsys) -> None:
    folder = tmp_path / "m"
    shutil.copytree(routed, folder)
    shutil.copy(tmp_path / "path" / f"{MARKER}.py", folder)
    config = next(folder.rglob("router_config.json"))
    content = json.loads(config.read_text())
    name = config.relative_to(folder).as_posix()
    first = next(iter(content["types"]))
    if what == "an activation":
        dense = next(place for place in sorted(folder.rglob("*_Dense")))
        change(dense / "config.json", activation_function=f"{MARKER}.activation")
        where = f"{(dense / 'config.json').relative_to(folder).as_posix()}, activation_function"
    elif what == "a mapping":
        inner = part_of_router(folder) / "config.json"
        change(inner, auto_map=MAP)
        where = f"{inner.relative_to(folder).as_posix()}, auto_map"
    else:
        if what == "a path":
            content["types"] = {"../outside": content["types"][first], **content["types"]}
            where = f"{name}, types"
        else:
            content["types"][first] = f"{MARKER}.Module"
            where = f"{name}, types.{first}"
        if what == "a type without structure":
            del content["structure"]
        if what == "an old router":
            config.unlink()
            config = config.with_name("config.json")
            where = where.replace("router_config.json", "config.json")
        config.write_text(json.dumps(content))
    refused(folder, where, capsys)
    assert not marker.exists()


def test_a_part_behind_a_link_is_looked_at(whole: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "m"
    shutil.copytree(whole, folder)
    dense = part(folder, "Dense")
    shutil.move(dense, tmp_path / "elsewhere")
    dense.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    change(dense / "config.json", activation_function=f"{MARKER}.activation")
    refused(folder, f"{dense.name}/config.json, activation_function", capsys)


def test_trusted_code_runs_and_is_told(whole: Path, tmp_path: Path, marker: Path, capsys) -> None:
    folder = tmp_path / "m"
    shutil.copytree(whole, folder)
    home = "sentence_transformers.sentence_transformer.modules"
    own = f"from pathlib import Path\nPath({str(marker)!r}).touch()\nfrom {home} import Normalize\n"
    (folder / "own_module.py").write_text(own + "class Own(Normalize):\n    pass\n")
    content = json.loads((folder / "modules.json").read_text())
    content[-1]["type"] = "own_module.Own"
    (folder / "modules.json").write_text(json.dumps(content))
    with pytest.raises(EncoderError, match=r"modules\.json, 3\.type = 'own_module\.Own'"):
        load_encoder(str(folder))
    assert not marker.exists()
    encoder = load_encoder(str(folder), trust_code=True)
    assert type(encoder[-1]).__name__ == "Own"
    assert marker.exists()
    told = capsys.readouterr().err.replace("\n", "")
    assert "--trust-code lets the folder do this" in told
    assert "modules.json, 3.type = 'own_module.Own'" in told


def test_without_a_name_trust_is_not_passed_on(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    original = SentenceTransformer.__init__

    def init(self: SentenceTransformer, *given: Any, **options: Any) -> None:
        asked.append(options["trust_remote_code"])
        original(self, *given, **options)

    monkeypatch.setattr(SentenceTransformer, "__init__", init)
    load_encoder(str(whole))
    load_encoder(str(whole), trust_code=True)
    assert asked == [False, False]


def test_what_needs_no_trust_loads(whole: Path, routed: Path, tmp_path: Path) -> None:
    for folder in (whole, routed):
        assert list(objections(folder, "m")) == []
        expected = SentenceTransformer(str(folder), device="cpu").encode_query(["cat dog"])
        np.testing.assert_array_equal(load_encoder(str(folder), device="cpu").encode_query(["cat dog"]), expected)
    # As versions before wrote them.
    old = tmp_path / "old"
    shutil.copytree(whole, old)
    modules = json.loads((old / "modules.json").read_text())
    for module in modules:
        module["type"] = "sentence_transformers.models." + module["type"].rsplit(".")[-1]
    (old / "modules.json").write_text(json.dumps(modules))
    assert load_encoder(str(old), device="cpu").encode_query(["cat"]).shape == (1, 16)


def test_what_is_on_the_lists_is_what_it_says() -> None:
    from sentence_transformers.util import import_from_string

    for activation in ACTIVATIONS:
        assert issubclass(import_from_string(activation), torch.nn.Module)
    now = [
        name for name in WORD_TOKENIZERS if ".sentence_transformer.modules.tokenizer.w" in name or name.count(".") == 4
    ]
    assert all(import_from_string(name).__name__.endswith("Tokenizer") for name in now)
    for module in (Transformer, Pooling, Dense, Normalize, Router):
        home = f"{module.__module__}.{module.__name__}"
        assert MODULES[home] == (module.__module__, module.__name__)


class Touch:
    """What a pickle would call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("where", ["the transformer", "a part", "beside"])
def test_a_pickle_that_calls_is_not_read(whole: Path, tmp_path: Path, where: str) -> None:
    folder, written = tmp_path / "m", tmp_path / "the-marker-ran"
    shutil.copytree(whole, folder)
    place = folder if where != "a part" else part(folder, "Dense")
    if where == "beside":
        for name in ("optimizer.pt", "training_args.bin", "tokenizer.pkl", "model.joblib"):
            torch.save({"a": Touch(written)}, place / name)
        load_encoder(str(folder))
    else:
        (place / "model.safetensors").unlink()
        torch.save({"linear.weight": Touch(written)}, place / "pytorch_model.bin")
        with pytest.raises(EncoderError, match=r"pytorch_model\.bin: cannot be read as weights only"):
            load_encoder(str(folder))
    assert not written.exists()


def test_pickled_tensors_are_read(whole: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "m"
    shutil.copytree(whole, folder)
    for place in (folder, part(folder, "Dense")):
        torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
        (place / "model.safetensors").unlink()
    expected = load_encoder(str(whole), device="cpu").encode_query(["cat"])
    np.testing.assert_array_equal(load_encoder(str(folder), device="cpu").encode_query(["cat"]), expected)


def test_an_image_tower_goes_through_the_gate(tmp_path: Path, marker: Path) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "m").mkdir()
    change(tmp_path / "m" / "config.json", model_type="clip", auto_map=MAP)
    with pytest.raises(EncoderError, match=r"config\.json, auto_map"):
        load_tower(str(tmp_path / "m"))
    assert not marker.exists()


@pytest.fixture
def adapted(tmp_path: Path, tiny_bert: Path) -> Path:
    """The folder of a LoRA adapter of a model that lies elsewhere."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel, AutoTokenizer

    with warnings.catch_warnings():
        # What peft calls, transformers has renamed.
        warnings.simplefilter("ignore")
        model = get_peft_model(AutoModel.from_pretrained(tiny_bert), LoraConfig(r=2, target_modules=["query"]))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.ones_(parameter)
        model.save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_loads_with_its_base(adapted: Path, tiny_bert: Path) -> None:
    with_it, without = (load_encoder(str(place), device="cpu").encode(["cat dog"]) for place in (adapted, tiny_bert))
    assert np.abs(with_it - without).max() > 1e-4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_mapping", {"parent_library": MARKER, "base_model_class": "Module"}),
        ("megatron_config", {"a": 1}),
        ("megatron_core", MARKER),
        ("peft_type", "XLORA"),
        ("loftq_config", {"a": 1}),
    ],
)
def test_a_name_in_an_adapter_is_not_followed(adapted: Path, marker: Path, key: str, value: Any, capsys) -> None:
    change(adapted / "adapter_config.json", **{key: value})
    refused(adapted, f"adapter_config.json, {key}", capsys)
    assert not marker.exists()


def test_an_adapters_base_goes_through_the_gate(adapted: Path, tmp_path: Path, tiny_bert: Path, marker: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "base")
    change(tmp_path / "base" / "config.json", auto_map=MAP)
    change(adapted / "adapter_config.json", base_model_name_or_path=str(tmp_path / "base"))
    with pytest.raises(EncoderError, match=r"whose adapter is of .*base: config\.json, auto_map"):
        load_encoder(str(adapted))
    assert not marker.exists()


def test_an_adapter_that_changes_nothing_is_told(adapted: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(adapted / "adapter_model.safetensors")
    save_file(
        {name.replace("query", "key"): one for name, one in tensors.items()}, adapted / "adapter_model.safetensors"
    )
    with pytest.raises(EncoderError, match="adapter"):
        load_encoder(str(adapted))


def test_a_hub_model_goes_through_the_gate_before_its_weights_come(
    tmp_path: Path, tiny_bert: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fnmatch

    there = tmp_path / "hub"
    shutil.copytree(tiny_bert, there)
    (there / "evil.py").write_text("raise SystemExit")
    snapshot = tmp_path / "cache" / "models--someone--some-model" / "snapshots" / ("0" * 40)
    fetched: list[str] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        assert name == "someone/some-model"
        for file in (path for path in there.rglob("*") if path.is_file()):
            inside = file.relative_to(there).as_posix()
            if any(fnmatch.fnmatch(inside, pattern) for pattern in allow_patterns):
                (snapshot / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, snapshot / inside)
                fetched.append(inside)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    encoder = load_encoder("someone/some-model", device="cpu")
    assert "model.safetensors" in fetched
    assert not any(name.endswith((".py", ".bin")) for name in fetched)
    np.testing.assert_array_equal(encoder.encode(["cat"]), load_encoder(str(tiny_bert), device="cpu").encode(["cat"]))
    fetched.clear()
    change(there / "config.json", auto_map=MAP)
    with pytest.raises(EncoderError, match=r"^someone/some-model: config\.json, auto_map"):
        load_encoder("someone/some-model")
    assert "model.safetensors" not in fetched
    assert not marker.exists()


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\ufeff{}"])
def test_a_configuration_that_is_no_json_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(EncoderError, match=r"config\.json: cannot be read as JSON"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("command", ["audit", "train", "mine", "debias", "encoders", "index"])
def test_every_command_asks(tmp_path: Path, babelmix, command: str, marker: Path) -> None:
    folder = word_bert(tmp_path / "m", ["cat"])
    change(folder / "config.json", auto_map=MAP)
    rows = "item,query_en,passage_en\n" + "".join(f"i{n},cat {n},cat cat {n}\n" for n in range(30))
    (tmp_path / "c.csv").write_text(rows)
    corpus, out = str(tmp_path / "c.csv"), str(tmp_path / "out")
    words = {
        "audit": ["audit", str(folder), "-c", corpus, "--out", out],
        "train": ["train", "--model", str(folder), "-c", corpus, "--out", out],
        "mine": ["mine", str(folder), "-c", corpus, "--out", out],
        "debias": ["debias", str(folder), "--on", corpus, "--out", out],
        "encoders": ["encoders", str(folder)],
        "index": ["index", corpus, "--model", str(folder), "--to", out],
    }[command]
    status, _, said = babelmix(*words)
    assert status == 1
    assert "config.json, auto_map" in said.replace("\n", " ")
    assert not Path(out).exists()
    assert not marker.exists()


def test_a_saved_encoder_of_ours_opens_as_it_was(tiny_static, tmp_path: Path) -> None:
    tiny_static.save_pretrained(str(tmp_path / "m"), create_model_card=False)
    encoder, folder = open_encoder(str(tmp_path / "m"), device="cpu")
    assert folder == tmp_path / "m"
    np.testing.assert_array_equal(encoder.encode(["cat"]), tiny_static.encode(["cat"]))
