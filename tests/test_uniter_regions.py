"""Regions: a detector's, from the user's files, and cells of a grid."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from babelmix.encoders.uniter import Regions, grid_regions, read_regions
from babelmix.errors import EncoderError


def arrays(regions: int, seed: int = 0) -> dict[str, np.ndarray]:
    """What a detector says of an image, as the published files hold it: float16, the most confident region anywhere."""
    rng = np.random.default_rng(seed)
    corner = rng.random((regions, 2)) * 0.5
    size = rng.random((regions, 2)) * 0.5
    return {
        "features": rng.standard_normal((regions, 8)).astype(np.float16),
        "norm_bb": np.concatenate([corner, corner + size, size], axis=1).astype(np.float16),
        "conf": rng.random(regions).astype(np.float16),
        "soft_labels": rng.dirichlet(np.ones(5), regions).astype(np.float16),
    }


def test_the_published_layout(tmp_path) -> None:
    values = arrays(30)
    np.savez_compressed(tmp_path / "a.npz", **values)
    found = read_regions(tmp_path / "a.npz", confidence=0.5, region_size=8)
    kept = [row for row in np.argsort(-values["conf"], kind="stable") if values["conf"][row] > 0.5]
    assert 10 < len(found) == len(kept) < 30
    assert found.features.dtype == found.locations.dtype == np.float32
    assert np.array_equal(found.features, values["features"][kept].astype(np.float32))
    boxes = values["norm_bb"][kept].astype(np.float32)
    assert np.array_equal(found.locations[:, :6], boxes)
    assert np.array_equal(found.locations[:, 6], boxes[:, 4] * boxes[:, 5])
    assert found.soft_labels is not None
    assert np.array_equal(found.soft_labels, values["soft_labels"][kept].astype(np.float32))


@pytest.mark.parametrize(
    ("regions", "limits", "kept"),
    [
        (30, {"confidence": 0.999}, 10),  # The most confident, however unsure.
        (30, {"confidence": 0.0, "maximum": 12}, 12),
        (4, {"confidence": 0.999}, 4),  # There are no more.
        (30, {"confidence": -1.0, "minimum": 1}, 30),
    ],
)
def test_how_many_are_kept(regions, limits, kept, tmp_path) -> None:
    values = arrays(regions)
    values["conf"][0] = 0
    np.savez(tmp_path / "a.npz", **values)
    found = read_regions(tmp_path / "a.npz", **limits)
    best = np.argsort(-values["conf"], kind="stable")[:kept]
    assert np.array_equal(found.features, values["features"][best].astype(np.float32))


def test_without_confidence_the_first_are_kept(tmp_path) -> None:
    values = arrays(30)
    del values["conf"], values["soft_labels"]
    np.savez(tmp_path / "a.npz", **values)
    found = read_regions(tmp_path / "a.npz", maximum=12)
    assert np.array_equal(found.features, values["features"][:12].astype(np.float32))
    assert found.soft_labels is None


def test_files_that_are_refused(tmp_path) -> None:
    path = tmp_path / "a.npz"

    def refused(match: str, **changes: object) -> None:
        values = {key: value for key, value in {**arrays(6), **changes}.items() if value is not None}
        np.savez(path, **values)
        with pytest.raises(EncoderError, match=match) as raised:
            read_regions(path, region_size=8)
        assert str(path) in str(raised.value)

    boxes, features = arrays(6)["norm_bb"], arrays(6)["features"]
    refused("no 'features'", features=None)
    refused("no 'norm_bb'", norm_bb=None)
    refused(r"features: has shape \(6, 9\), not \(any, 8\)", features=np.ones((6, 9)))
    refused("features: holds int64", features=np.ones((6, 8), dtype=np.int64))
    refused(r"features: is empty", features=np.ones((0, 8)))
    refused(r"features: has shape \(6,\)", features=np.ones(6))
    refused(r"norm_bb: has shape \(5, 6\), not \(6, 6\)", norm_bb=boxes[:5])
    refused(r"norm_bb: is not in \[0, 1\]", norm_bb=boxes * 300)
    refused(r"norm_bb: width and height", norm_bb=boxes[:, [0, 1, 2, 3, 5, 4]])
    refused(r"conf: has shape \(6, 1\), not \(6\)", conf=np.ones((6, 1)))
    refused(r"conf: is not in \[0, 1\]", conf=np.full(6, 30.0))
    refused("soft_labels: a region's probabilities", soft_labels=np.ones((6, 5)))
    broken = features.copy()
    broken[4, 2] = np.inf
    refused("features: region 4 has a number that is not finite", features=broken)
    refused("features: region 0 has a number that is not finite", features=np.full((6, 8), 1e300))
    with pytest.raises(EncoderError, match="cannot be kept"):
        read_regions(path, minimum=20, maximum=10)
    for damaged in (b"", b"PK not a zip"):
        path.write_bytes(damaged)
        with pytest.raises(EncoderError, match=r"a\.npz: cannot be read"):
            read_regions(path)
    with pytest.raises(EncoderError, match="absent"):
        read_regions(tmp_path / "absent.npz")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_objects_are_never_unpickled(tmp_path) -> None:
    trace = tmp_path / "trace"
    objects = np.empty((6, 8), dtype=object)
    objects[:] = Malicious(trace)
    np.savez(tmp_path / "a.npz", **(arrays(6) | {"features": objects}))
    with pytest.raises(EncoderError, match="features: holds object"):
        read_regions(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("features.npy", pickle.dumps(Malicious(trace)))
        archive.writestr("norm_bb.npy", b"")
    with pytest.raises(EncoderError, match="features: is not an array"):
        read_regions(tmp_path / "b.npz")
    assert not trace.exists()


@pytest.mark.parametrize("shape", [(10**12, 8), (20_000, 8), (6, 10**9)])
def test_a_header_that_promises_too_much_is_not_believed(shape, tmp_path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("features.npy", header.getvalue())
        archive.writestr("norm_bb.npy", header.getvalue())
    with pytest.raises(EncoderError, match="features: has shape"):
        read_regions(tmp_path / "a.npz")


def test_a_short_array_is_damaged(tmp_path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (6, 8)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("features.npy", header.getvalue() + b"1234")
        archive.writestr("norm_bb.npy", b"")
    with pytest.raises(EncoderError, match="features: is damaged"):
        read_regions(tmp_path / "a.npz")


def test_cells_of_a_grid() -> None:
    features = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    found = grid_regions(features)
    assert np.array_equal(found.features, features.reshape(6, 4))
    # Row 1, column 2: the lower right third.
    np.testing.assert_allclose(found.locations[5], [2 / 3, 1 / 2, 1, 1, 1 / 3, 1 / 2, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(found.locations[0], [0, 0, 1 / 3, 1 / 2, 1 / 3, 1 / 2, 1 / 6], rtol=1e-6)
    assert found.locations[:, 6].sum() == pytest.approx(1)
    for shape in ((2, 3), (0, 3, 4)):
        with pytest.raises(EncoderError, match="shape"):
            grid_regions(np.ones(shape))


def test_regions_that_cannot_be() -> None:
    features, locations = np.ones((2, 4), dtype=np.float32), np.ones((2, 7), dtype=np.float32)
    with pytest.raises(EncoderError, match="no regions"):
        Regions(features[:0], locations[:0])
    with pytest.raises(EncoderError, match="2 regions but locations of 1"):
        Regions(features, locations[:1])
    with pytest.raises(EncoderError, match="7 numbers, not 6"):
        Regions(features, locations[:, :6])
    with pytest.raises(EncoderError, match="float32 matrix"):
        Regions(features.astype(np.float64), locations)
    broken = features.copy()
    broken[1, 3] = np.nan
    with pytest.raises(EncoderError, match="features of region 1 are not finite"):
        Regions(broken, locations)
    with pytest.raises(EncoderError, match="soft_labels"):
        Regions(features, locations, np.full((2, 3), np.nan, dtype=np.float32))
