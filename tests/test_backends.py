from __future__ import annotations

import base64
import copy
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import parallel_corpus
from sentence_transformers import SentenceTransformer

from babelmix._checksums import damaged_file
from babelmix._files import cache_folder
from babelmix.encoders import (
    backend_use,
    backends,
    encode,
    fingerprint,
    load_encoder,
    onnx_engine,
    onnx_export,
    openvino_engine,
)
from babelmix.encoders import graph as graphs
from babelmix.encoders.backend_names import parse_backend, same_vectors, spec_of
from babelmix.encoders.graph import Graph
from babelmix.encoders.onnx_attention import fuse_attention
from babelmix.encoders.onnx_int8 import activations, quantise_products, smooth_products
from babelmix.encoders.onnx_rewriting import Rewritten, merge_products
from babelmix.encoders.runtime import backend_of, runtime_of, store_suffix
from babelmix.encoders.token_arrays import sampled_tokens
from babelmix.encoders.torch_runtime import Runtime
from babelmix.errors import EncoderError, MissingExtraError, SearchError
from babelmix.search import Index, Searcher, index_rows
from babelmix.search.documents import rows_of_corpus

ENGINES = (onnx_engine, openvino_engine)
WORDS = " ".join(parallel_corpus(items=12).passages["text"].to_pylist()).split()
TEXTS = [" ".join(WORDS[start : start + length]) for start in range(8) for length in (1, 3, 9, 30)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    """One cache for this file's tests, so that one export does."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("BABELMIX_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def graph(cache: Path, tiny_bert: Path) -> Path:
    """What is exported of the tiny encoder, which takes long."""
    pytest.importorskip("onnxruntime")
    file = cache / "float32.onnx"
    with onnx_export.quiet():
        onnx_export.export(load_encoder(str(tiny_bert))[0].model.eval(), file)
    return file


@pytest.fixture
def fast(graph: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> SentenceTransformer:
    monkeypatch.setattr(onnx_export, "export", lambda model, file: shutil.copy(graph, file))
    return load_encoder(str(tiny_bert), backend="onnx")


@pytest.fixture
def ready(fast: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An int8 model that an export gives at once, and no cache."""
    folder = next((cache_folder() / "exported").glob("*-onnx-*"))
    monkeypatch.setattr(onnx_export, "export", lambda model, file: None)

    def write(source: Path, to: Path, precise: str, samples: object) -> None:
        for name in onnx_engine.FILES:
            shutil.copy(folder / name, to)

    monkeypatch.setattr(onnx_engine, "write", write)
    return folder


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


@pytest.mark.slow
def test_an_exported_encoder_gives_nearly_the_same_vectors(fast: SentenceTransformer, tiny_bert: Path) -> None:
    exact = load_encoder(str(tiny_bert))
    right, found = exact.encode(TEXTS), fast.encode(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == right.shape
    assert cosines(right, found).min() > 0.99
    assert not np.array_equal(right, found)
    assert backend_of(fast) == f"onnx-{onnx_engine.precision()}"
    assert backend_of(exact) == "torch"
    assert np.array_equal(copy.deepcopy(fast).encode(TEXTS), found)


@pytest.mark.slow
def test_openvino_gives_nearly_the_same_vectors(
    fast: SentenceTransformer, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    exact = load_encoder(str(tiny_bert))
    encoder = load_encoder(str(tiny_bert), backend="openvino")
    right, found = exact.encode(TEXTS), encoder.encode(TEXTS)
    assert cosines(right, found).min() > 0.99
    assert not np.array_equal(right, found)
    assert backend_of(encoder) == "openvino-int8"
    assert store_suffix(encoder) != store_suffix(fast)


def largest_products(folder: Path, columns: int) -> tuple[Path, np.ndarray, np.ndarray]:
    """A graph in float32 of products as large as eight bits hold, what it is given and what it gives."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    weights = rng.choice([-1.0, 1.0], (128, columns)).astype(np.float32)
    given = np.where(weights.T[:40] > 0, 1.0, 0.0).astype(np.float32)
    left = onnx.helper.make_tensor_value_info("left", onnx.TensorProto.FLOAT, [None, 128])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [None, columns])
    node = onnx.helper.make_node("MatMul", ["left", "right"], ["out"], name="product")
    graph = onnx.helper.make_graph([node], "g", [left], [out], [onnx.numpy_helper.from_array(weights, "right")])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(made, folder / "float32.onnx")
    return folder / "float32.onnx", given, given @ weights


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("columns", [64, 256])
def test_the_largest_products_are_right_on_every_processor(tmp_path: Path, rows: int, columns: int) -> None:
    """With a scale per block, for few columns, and with a scale per token."""
    onnxruntime = pytest.importorskip("onnxruntime")
    source, given, right = largest_products(tmp_path, columns)
    rewritten = Rewritten(source)
    quantise_products(rewritten, {"left": given}, 127 if onnx_engine.precision() == "int8" else 63)
    rewritten.save(tmp_path / "quantised.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "quantised.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"left": given[:rows]})[0]
    assert np.abs(found - right[:rows]).max() < 0.02 * np.abs(right).max()
    # Each row has its own scale: others change nothing, and a row of zeros stays one.
    alone = session.run(None, {"left": np.stack([given[0], 0 * given[0], 1000 * given[1]])})[0]
    assert np.allclose(alone[0], found[0], rtol=1e-6, atol=1e-6)
    assert not alone[1].any()


def test_the_largest_products_are_right_by_openvino(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    nncf = pytest.importorskip("nncf")
    source, given, right = largest_products(tmp_path, 64)
    rewritten = Rewritten(source)
    smooth_products(rewritten, {"left": given})
    rewritten.save(tmp_path / "smooth.onnx")
    with onnx_export.quiet():
        model = openvino.Core().read_model(str(tmp_path / "smooth.onnx"))
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    hints = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": openvino_engine.GROUP}
    compiled = openvino.Core().compile_model(model, "CPU", hints)
    assert np.abs(compiled({"left": given})[0] - right).max() < 0.02 * np.abs(right).max()


@pytest.mark.slow
def test_a_processor_whose_products_saturate_has_weights_of_seven_bits(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    for saturates, name, most in ((False, "int8", 127), (True, "int7", 63)):
        monkeypatch.setattr(onnx_engine, "_saturates", lambda saturates=saturates: saturates)
        assert onnx_engine.precision() == name
        (tmp_path / name).mkdir()
        with onnx_export.quiet():
            onnx_engine.write(graph, tmp_path / name, name, sampled_tokens(40))
        held = [
            onnx.numpy_helper.to_array(one) for one in onnx.load(str(tmp_path / name / "graph.onnx")).graph.initializer
        ]
        assert (
            max(int(np.abs(one.astype(int)).max()) for one in held if one.dtype == np.int8 and one.ndim == 2) == most
        )


def test_what_tells_whether_products_saturate_is_what_its_words_say() -> None:
    onnx = pytest.importorskip("onnx")
    made = onnx.load_from_string(base64.b64decode(onnx_engine._PRODUCT))
    onnx.checker.check_model(made)
    assert [node.op_type for node in made.graph.node] == ["MatMulInteger"]
    kinds = [one.type.tensor_type.elem_type for one in (*made.graph.input, *made.graph.output)]
    assert kinds == [onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.INT32]


@pytest.mark.slow
def test_a_rewritten_graph_gives_the_same(graph: Path, tmp_path: Path) -> None:
    """Attentions as one operation, merged and smoothed products: each alone changes nothing but the last digits."""
    onnxruntime = pytest.importorskip("onnxruntime")
    ids = sampled_tokens(40)[0]
    mask = np.ones_like(ids)
    mask[1, 5:] = 0

    def run(file: Path) -> np.ndarray:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return session.run(None, {"input_ids": ids, "attention_mask": mask})[0] * mask[..., None]

    right = run(graph)
    layers = sum(node.op_type == "Softmax" for node in Rewritten(graph).nodes)
    given = activations(Rewritten(graph), sampled_tokens(40), tmp_path / "measured.onnx")
    for name, change in {
        "fused": lambda one: fuse_attention(one) == layers,
        "merged": lambda one: merge_products(one) == layers,
        "smooth": lambda one: smooth_products(one, given) is None,
    }.items():
        rewritten = Rewritten(graph)
        assert change(rewritten), name
        rewritten.save(tmp_path / f"{name}.onnx")
        np.testing.assert_allclose(run(tmp_path / f"{name}.onnx"), right, atol=1e-5, rtol=1e-4, err_msg=name)


@pytest.mark.slow
def test_an_attention_of_another_form_stays(graph: Path) -> None:
    """Its products are scaled by something that is not a number, or its heads are in another order."""
    rewritten = Rewritten(graph)
    layers = sum(node.op_type == "Softmax" for node in rewritten.nodes)
    made = rewritten.producers()
    softmax = next(node for node in rewritten.nodes if node.op_type == "Softmax")
    left = made[made[softmax.input[0]].input[0]].input[0]
    del rewritten.constants[made[left].input[1]]
    assert fuse_attention(rewritten) < layers


@pytest.mark.parametrize("how", ["above", "absolute", "link", "other"])
def test_a_graph_reads_no_file_outside_its_folder(how: str, tmp_path: Path) -> None:
    """Its weights are there and right: only the place is wrong."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rewritten = Rewritten(largest_products(tmp_path, 64)[0])
    folder = tmp_path / "export"
    folder.mkdir()
    rewritten.save(folder / "graph.onnx")
    (folder / "graph.onnx.data").rename(tmp_path / "graph.bin")
    (folder / "graph.bin").write_bytes(b"")
    model = onnx.load(str(folder / "graph.onnx"), load_external_data=False)
    place = {"above": "../graph.bin", "absolute": str(tmp_path / "graph.bin")}.get(how, "graph.bin")
    for constant in model.graph.initializer:
        for fact in constant.external_data:
            if fact.key == "location":
                fact.value = place
    (folder / "graph.onnx").write_bytes(model.SerializeToString())
    if how == "link":
        (folder / "graph.bin").unlink()
        (folder / "graph.bin").symlink_to(tmp_path / "graph.bin")
    with pytest.raises(EncoderError, match="leads to a file elsewhere" if how == "link" else "cannot be read"):
        graphs.open_graph(folder, "onnx-fp32", 1)


@pytest.mark.slow
def test_an_embedding_does_not_depend_on_its_batch(fast: SentenceTransformer) -> None:
    alone = np.stack([fast.encode(text) for text in TEXTS])
    assert np.abs(alone - fast.encode(TEXTS)).max() < 1e-5 * np.abs(alone).max()


@pytest.mark.slow
def test_the_fingerprint_is_of_the_weights_and_the_store_knows_the_backend(
    fast: SentenceTransformer, tiny_bert: Path
) -> None:
    exact = load_encoder(str(tiny_bert))
    assert fingerprint(fast) == fingerprint(exact)
    fast.max_seq_length = 7
    assert fingerprint(fast) != fingerprint(exact)
    fast.max_seq_length = exact.max_seq_length
    right = encode(exact, TEXTS, "query")
    found = encode(fast, TEXTS, "query")
    assert not np.array_equal(right, found)
    assert len(list((cache_folder() / "embeddings").glob(f"{fingerprint(exact)[:32]}*"))) == 2
    assert np.array_equal(encode(fast, TEXTS, "query"), found)


@pytest.mark.parametrize("cores", [1, 2])
def test_parts_of_a_batch_give_what_each_text_gives_alone(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the engine: every token's embedding is its id, and the length of its part."""
    seen: list[tuple[int, ...]] = []

    def run(ids, mask):
        seen.append(ids.shape)
        return np.stack([ids, mask * mask.sum(axis=1, keepdims=True)], axis=2).astype(np.float32)

    monkeypatch.setattr(graphs, "TOKENS", 16)
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 12, 20)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = rng.integers(1, 99, mask.shape) * mask
    model = Runtime(None, Graph("stand-in", run, run, cores), hashlib.sha256())
    found = model(torch.from_numpy(ids), torch.from_numpy(mask))["last_hidden_state"].numpy()
    assert np.array_equal(found[..., 0], ids)
    assert np.array_equal(found[..., 1], lengths[:, None] * mask)
    assert len(seen) > 3
    assert sum(rows for rows, _ in seen) == 20
    assert sum(rows * tokens for rows, tokens in seen) < mask.size
    seen.clear()
    # Padded on the left, nothing is cut off.
    model(torch.from_numpy(ids[:, ::-1].copy()), torch.from_numpy(mask[:, ::-1].copy()))
    assert seen == [ids.shape]


@pytest.mark.slow
def test_an_export_is_made_once(fast: SentenceTransformer, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(onnx_export, "export", never)
    again = load_encoder(str(tiny_bert), backend="onnx")
    assert np.allclose(again.encode(TEXTS), fast.encode(TEXTS), atol=1e-6)


@pytest.mark.slow
def test_an_export_that_was_cut_short_is_never_used(
    fast: SentenceTransformer, ready: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))

    def killed(source: Path, folder: Path, precise: str, samples: object) -> None:
        (folder / onnx_engine.FILES[0]).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(onnx_engine, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            load_encoder(str(tiny_bert), backend="onnx")
    assert not list((tmp_path / "exported").iterdir())
    # A file that was damaged later is made again.
    folder = tmp_path / "exported" / f"{fingerprint(fast)[:32]}-onnx-{onnx_engine.precision()}-{graphs.LAYOUT}"
    folder.mkdir(parents=True)
    for name in onnx_engine.FILES:
        (folder / name).write_bytes(b"half")
    for damaged in (None, *onnx_engine.FILES):
        if damaged is not None:
            # A bit of a weight, with which it would load.
            data = bytearray((folder / damaged).read_bytes())
            data[-300] ^= 64
            (folder / damaged).write_bytes(data)
        again = load_encoder(str(tiny_bert), backend="onnx")
        assert np.allclose(again.encode(TEXTS), fast.encode(TEXTS), atol=1e-6)
        assert {file.name for file in folder.iterdir()} >= {*onnx_engine.FILES, "checksums.json"}
        assert damaged_file(folder) is None


@pytest.mark.slow
def test_what_gives_other_vectors_is_refused(
    ready: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    monkeypatch.setattr(backends, "_likeness", lambda *_: 0.5)
    with pytest.raises(EncoderError, match=r"cosine 0\.500"):
        load_encoder(str(tiny_bert), backend="onnx")
    assert not list((tmp_path / "exported").iterdir())


def test_a_missing_extra_is_named(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for engine in ENGINES:
        monkeypatch.setattr(engine, "PACKAGES", ("no_such_package",))
    with pytest.raises(MissingExtraError, match=r"babelmix\[fast\]"):
        load_encoder(str(tiny_bert), backend="onnx")
    encoder = load_encoder(str(tiny_bert), backend="auto")
    assert runtime_of(encoder) is None
    said = " ".join(capsys.readouterr().err.split())
    assert "is run by torch" in said
    assert "babelmix[fast]" in said


@pytest.mark.slow
def test_auto_takes_the_best_and_says_so(
    fast: SentenceTransformer, tiny_bert: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "PACKAGES", ("no_such_package",))
    assert backend_of(load_encoder(str(tiny_bert), backend="auto")) == f"onnx-{onnx_engine.precision()}"
    said = " ".join(capsys.readouterr().err.split())
    assert "is run by ONNX Runtime in int8" in said
    assert "agrees with float32" in said


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "engine"), [("avx512-vnni", "onnx"), ("avx2", "onnx")])
def test_auto_takes_what_is_fastest_on_the_processor(
    capability: str, engine: str, fast: SentenceTransformer, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("babelmix.encoders.exported.making.processor", lambda: capability)
    assert (
        backend_of(load_encoder(str(tiny_bert), backend="auto")) == f"{engine}-{graphs.engine_of(engine).precision()}"
    )


def test_other_encoders_stay_with_torch(tiny_static, capsys) -> None:
    with pytest.raises(EncoderError, match="first module is not a transformer but StaticEmbedding"):
        backend_use.use_backend(tiny_static, "onnx", name="tiny")
    backend_use.use_backend(tiny_static, "auto", name="tiny")
    assert backend_of(tiny_static) == "torch"
    assert "tiny is run by torch" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(EncoderError, match="'tpu' is unknown; use auto, torch"):
        backend_use.use_backend(tiny_static, "tpu", name="tiny")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx-fp32", "openvino-fp32"])
def test_an_export_in_float32_gives_the_same_vectors(
    backend: str, graph: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    exact = load_encoder(str(tiny_bert))
    encoder = load_encoder(str(tiny_bert), backend=backend)
    assert backend_of(encoder) == backend
    right, found = exact.encode(TEXTS, normalize_embeddings=True), encoder.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(right - found).max() < 1e-5
    assert (right * found).sum(axis=1).min() > 1 - 1e-6
    # The graph of the export, opened without an encoder, is what the encoder runs.
    folder = next((tmp_path / "exported").iterdir())
    opened = graphs.open_graph(folder, backend, 2)
    ids = np.random.default_rng(0).integers(4, 40, (3, 7))
    assert np.array_equal(opened.embed(ids, np.ones_like(ids)), encoder[0].model.engine.embed(ids, np.ones_like(ids)))


def test_names_of_backends() -> None:
    for spec, right in (("auto", ("auto", "")), ("onnx", ("onnx", "int8")), ("onnx-int8", ("onnx", "int8"))):
        assert parse_backend(spec) == right
    for wrong in ("onnx-", "onnx-int7", "torch-fp32", "tpu-int8", ""):
        with pytest.raises(EncoderError, match="is unknown; use auto, torch"):
            parse_backend(wrong)
    for kept in ("torch", "numpy", "onnx-int7", "onnx-int8", "onnx-fp32", "openvino-int8", "openvino-fp32"):
        assert same_vectors(kept, kept)
        assert same_vectors(kept, "torch") == (kept[-4:] not in ("int7", "int8"))
        parse_backend(spec_of(kept))
    assert spec_of("openvino-fp32") == "openvino-fp32"
    assert not same_vectors("onnx-int7", "onnx-int8")
    with pytest.raises(EncoderError, match="'numpy' has no exported graph; use"):
        graphs.open_graph(Path(), "numpy", 1)


@pytest.mark.slow
def test_an_index_of_float32_is_searched_in_int8_and_written_in_float32(
    fast: SentenceTransformer, tiny_bert: Path, tmp_path: Path, babelmix
) -> None:
    exact = load_encoder(str(tiny_bert))
    place = str(tmp_path / "index")
    rows = rows_of_corpus(parallel_corpus(items=6))
    with Index.create(place, exact, str(tiny_bert)) as index:
        assert index.backend == "torch"
        index_rows(index, exact, rows)
        with pytest.raises(SearchError, match="embedded by torch, and these would be by onnx-int"):
            index_rows(index, fast, rows)
    with Searcher.open(place).index as index:
        assert index.backend == "torch"
    code, out, err = babelmix("search", "cat river", "--in", place, "--backend", "onnx", "--json", "-k", "1")
    assert code == 0
    assert f"embedded by onnx-{onnx_engine.precision()}" in err
    assert json.loads(out)["hits"][0]["item"]
    _, _, err = babelmix("search", "cat river", "--in", place, "-k", "1")
    assert "embedded by" not in err


@pytest.mark.slow
def test_an_index_remembers_what_ran_its_encoder(fast: SentenceTransformer, tiny_bert: Path, tmp_path: Path) -> None:
    place = str(tmp_path / "index")
    with Index.create(place, fast, str(tiny_bert)) as index:
        index_rows(index, fast, rows_of_corpus(parallel_corpus(items=3)))
    searcher = Searcher.open(place)
    with searcher.index:
        assert backend_of(searcher.encoder) == f"onnx-{onnx_engine.precision()}"


@pytest.mark.slow
def test_an_audit_tells_backends_apart(fast: SentenceTransformer, tiny_bert: Path, tmp_path: Path, babelmix) -> None:
    corpus = tmp_path / "corpus"
    parallel_corpus(items=8).save(corpus)
    given = ("audit", str(tiny_bert), "-c", str(corpus), "--out", str(tmp_path / "audit"))
    for backend in ("torch", "onnx"):
        assert babelmix(*given, "--backend", backend)[0] == 0
        about = json.loads((tmp_path / "audit" / "metrics.json").read_text())["about"]
        assert about["precision"] == {"torch": None, "onnx": f"onnx-{onnx_engine.precision()}"}[backend]
    code, _, err = babelmix(*given, "--backend", "onnx", "--bf16")
    assert code
    assert "--bf16: is for torch" in err


def test_texts_are_padded_to_few_lengths() -> None:
    met: list[tuple[int, ...]] = []

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        met.append(ids.shape)
        return np.asarray((ids * mask)[:, :, None], dtype=np.float32)

    def embedded(ids: np.ndarray, mask: np.ndarray, limit: int | None) -> np.ndarray:
        return Graph("stand-in", run, run, 1, limit).embed(ids, mask)

    ids = np.arange(1, 11).reshape(1, 10)
    whole = np.ones_like(ids)
    for limit, length in ((None, 10), (512, 16), (12, 12), (10, 10), (9, 10)):
        met.clear()
        assert np.array_equal(embedded(ids, whole, limit)[:, :, 0], ids)
        assert met == [(1, length)]
    # Padding stands on the left: nothing is added.
    met.clear()
    left = np.concatenate([[0, 0, 0], np.ones(7, dtype=np.int64)])[None]
    assert np.array_equal(embedded(ids, left, 512)[:, :, 0], ids * left)
    assert met == [(1, 10)]
    # Parts of a batch, too.
    met.clear()
    lengths = np.array([3, 100, 101, 130])
    many = np.arange(130)[None] < lengths[:, None]
    found = embedded(np.ones_like(many, dtype=np.int64), many.astype(np.int64), 512)
    assert np.array_equal(found[:, :, 0], many)
    assert {length for _, length in met} <= {8, 104, 144}
