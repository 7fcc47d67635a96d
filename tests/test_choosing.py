"""`--backend auto` chooses the fastest backend that agrees with float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from babelmix.encoders.exported import checking, choosing, processors
from babelmix.encoders.exported.checking import check_set
from babelmix.encoders.exported.choosing import Choice, choose
from babelmix.encoders.exported.processors import PROCESSORS, fastest_first, processor
from babelmix.errors import EncoderError, MissingExtraError


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_DRAWS", 1)


class Stand:
    """Exports of an encoder whose vectors are those of float32 and noise, by backend."""

    def __init__(self, folder: Path, noise: dict[str, float | Exception]) -> None:
        self.folder, self.noise = folder, noise
        self.opened: list[str] = []
        self.references = 0
        rng = np.random.default_rng(0)
        items, langs = len(check_set().items), len(check_set().langs)
        item = np.repeat(rng.normal(size=(items, 16)), langs, axis=0)
        self.exact = {kind: item + rng.normal(size=item.shape) for kind in ("query", "document")}

    def make(self, backend: str) -> Path | None:
        found = self.noise.get(backend)
        if isinstance(found, Exception):
            raise found
        if found is None:
            return None
        (self.folder / backend).mkdir(exist_ok=True)
        return self.folder / backend

    def open(self, folder: Path) -> Stand.Encoder:
        self.opened.append(folder.name)
        noise = self.noise[folder.name]
        assert isinstance(noise, float)
        return Stand.Encoder(self.exact, noise)

    def reference(self) -> dict[str, np.ndarray]:
        self.references += 1
        return {kind: some.astype(np.float32) for kind, some in self.exact.items()}

    def choose(self, *candidates: str) -> Choice:
        return choose("mine", candidates, self.make, self.open, self.reference)

    class Encoder:
        def __init__(self, exact: dict[str, np.ndarray], noise: float) -> None:
            self.exact, self.noise = exact, noise

        def encode_query(self, texts: list[str], **_: object) -> np.ndarray:
            return self._of("query")

        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            return self._of("document")

        def _of(self, kind: str) -> np.ndarray:
            some = self.exact[kind]
            return some + self.noise * np.random.default_rng(len(kind)).normal(size=some.shape)


def test_the_first_that_agrees_is_taken(tmp_path: Path) -> None:
    stand = Stand(tmp_path, {"openvino-int8": 1e-4, "onnx-int8": 0.0, "onnx-fp32": 0.0})
    found = stand.choose("openvino-int8", "onnx-int8", "onnx-fp32")
    assert (found.backend, found.folder) == ("openvino-int8", tmp_path / "openvino-int8")
    assert stand.opened == ["openvino-int8"]
    assert found.line.startswith("mine is run by OpenVINO in int8: agrees with float32 to 0.00")
    assert found.line.endswith(" mAP in 12 languages")


def test_one_that_differs_is_passed_over(tmp_path: Path) -> None:
    stand = Stand(tmp_path, {"openvino-int8": 0.5, "onnx-int7": 0.0})
    found = stand.choose("openvino-int8", "onnx-int8", "onnx-int7", "onnx-fp32")
    assert found.backend == "onnx-int7"
    assert stand.references == 1
    assert found.why[0].startswith("openvino-int8 differs from float32 by 0.")


def test_float32_is_taken_without_a_check(tmp_path: Path) -> None:
    stand = Stand(tmp_path, {"openvino-int8": 0.5, "onnx-fp32": 9.0})
    found = stand.choose("openvino-int8", "onnx-fp32")
    assert found.backend == "onnx-fp32"
    assert found.check is None
    assert stand.opened == ["openvino-int8"]
    assert "by ONNX Runtime in float32: openvino-int8 differs from float32 by" in found.line
    assert Stand(tmp_path, {"numpy": 9.0}).choose("numpy").line == "mine is run by numpy"


def test_a_check_is_made_once(tmp_path: Path) -> None:
    noise: dict[str, float | Exception] = {"openvino-int8": 0.5, "onnx-int8": 0.0}
    first, second = Stand(tmp_path, noise), Stand(tmp_path, noise)
    assert first.choose(*noise) == second.choose(*noise)
    assert first.opened == ["openvino-int8", "onnx-int8"]
    assert second.opened == []
    assert second.references == 0


def test_another_processor_makes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise: dict[str, float | Exception] = {"onnx-int8": 0.0}
    Stand(tmp_path, noise).choose("onnx-int8")
    monkeypatch.setattr(choosing, "processor", lambda: "another")
    other = Stand(tmp_path, {"onnx-int8": 0.5})
    assert other.choose("onnx-int8").backend == "torch"
    assert other.opened == ["onnx-int8"]


def test_without_an_export_torch_runs_it(tmp_path: Path) -> None:
    missing, cannot = MissingExtraError("openvino is not installed"), EncoderError("it does not pool")
    stand = Stand(tmp_path, {"openvino-int8": missing, "onnx-int8": cannot, "onnx-fp32": cannot})
    found = stand.choose("openvino-int8", "onnx-int8", "onnx-fp32")
    assert found.folder is None
    assert found.line == "mine is run by torch: openvino is not installed; it does not pool"


def test_a_folder_that_cannot_be_written_only_checks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(choosing, "keep_check", refuse)
    assert Stand(tmp_path, {"onnx-int8": 0.0}).choose("onnx-int8").backend == "onnx-int8"


def features(*names: str) -> Callable[[], set[str]]:
    return lambda: set(names)


@pytest.mark.parametrize(
    ("machine", "known", "sort"),
    [
        ("x86_64", ("X86_V3", "X86_V4", "AVX512F", "AVX512_ICL"), "avx512-vnni"),
        ("AMD64", ("AVX2", "AVX512F", "AVX512_SKX"), "avx512"),
        ("x86_64", ("AVX2", "avx_vnni"), "avx-vnni"),
        ("x86_64", ("X86_V3",), "avx2"),
        ("x86_64", (), "other"),
        ("aarch64", (), "arm"),
        ("arm64", (), "arm"),
        ("riscv64", (), "other"),
    ],
)
def test_the_sort_of_a_processor(
    machine: str, known: tuple[str, ...], sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors.platform, "machine", lambda: machine)
    monkeypatch.setattr(processors, "_features", features(*known))
    assert processor.__wrapped__() == sort


@pytest.mark.parametrize("sort", PROCESSORS)
def test_float32_comes_last_on_every_processor(sort: str) -> None:
    order = fastest_first(sort)
    assert order[-2:] == ("onnx-fp32", "openvino-fp32")
    assert set(order[:-2]) == {"openvino-int8", "onnx-int8", "onnx-int7"}
    assert order[0] == "onnx-int8"
