"""Tiles: they cover, their weights sum to one, and no seam is left behind."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import nn
from torch.nn import functional as F

from reblur.datasets.images.files import to_tensor
from reblur.errors import ReblurError
from reblur.evaluation.tiling import (
    TILE,
    WHOLE_PIXELS,
    _Run,
    plan_tiles,
    restore_image,
)
from reblur.networks import build_network

PHOTOGRAPH = data.astronaut()[:400, :508]


def restore_tensor(
    network, images, *, tile=None, overlap=None, precision="fp32", channels_last=False
):
    """As `restore_image`, for a batch of images in [0, 1]; not rounded."""
    run = _Run(network, None, precision, channels_last)
    tilings = plan_tiles(*images.shape[2:], tile, overlap)
    bands = run.bands(lambda rows, columns: images[:, :, rows, columns], tilings, None)
    return torch.cat([band for _, band in bands], dim=2)


class Local(nn.Module):
    """Strided by 8, a receptive field of 9 pixels each way at most; pads inside like the others."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(192, 3, 10, 10, generator=generator) * 0.1)

    def forward(self, x: torch.Tensor, finest: bool = False):
        height, width = x.shape[-2:]
        padded = F.pad(x, (1, -width % 8 + 1, 1, -height % 8 + 1), mode="replicate")
        coarse = F.conv2d(padded, self.weight, stride=8)
        fine = x + 0.1 * torch.tanh(F.pixel_shuffle(coarse, 8)[..., :height, :width])
        return fine if finest else [fine]


class Zooming(nn.Module):
    """Counts the tiles and their sizes; gives its input back."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []
        self.modes: list[bool] = []

    def forward(self, x: torch.Tensor, finest: bool = False):
        self.seen.append(tuple(x.shape[-2:]))
        self.modes.append(self.training)
        return x if finest else [x]


@settings(deadline=None, max_examples=200)
@given(length=st.integers(1, 5000), tile=st.integers(64, 1200), data=st.data())
def test_tiles_cover_a_side_and_their_weights_sum_to_one(length, tile, data):
    overlap = data.draw(st.one_of(st.none(), st.integers(4, min(tile // 2, 200))))
    tiling, _ = plan_tiles(length, 1, tile, overlap)
    total = torch.zeros(length)
    for i in range(tiling.count):
        extent = tiling.extent(i)
        assert extent.start % 32 == 0
        assert 0 < extent.stop - extent.start <= max(tile, 32 + tiling.overlap)
        weights = tiling.weights(i)
        assert float(weights.min()) >= 0
        total[extent] += weights
    assert torch.allclose(total, torch.ones(length), atol=1e-6)


def test_a_photograph_that_fits_is_restored_in_one_go():
    network = Zooming()
    assert np.array_equal(restore_image(network, PHOTOGRAPH), PHOTOGRAPH)
    assert network.seen == [PHOTOGRAPH.shape[:2]]
    assert plan_tiles(720, 1280)[0].count == plan_tiles(720, 1280)[1].count == 1
    rows, columns = plan_tiles(4000, 6000)
    assert WHOLE_PIXELS < 4000 * 6000
    assert max(t.stride + t.overlap for t in (rows, columns)) <= TILE


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (333, 257), (64, 65), (129, 400)])
def test_any_size_comes_back_as_it_was(shape):
    photograph = np.ascontiguousarray(PHOTOGRAPH[: shape[0], : shape[1]])
    for tile in (None, 96):
        assert np.array_equal(restore_image(Zooming(), photograph, tile=tile), photograph)


@pytest.mark.parametrize(("tile", "overlap"), [(192, 64), (160, 64), (256, 96), (400, 64)])
def test_a_local_network_gives_the_same_in_tiles_as_on_the_whole(tile, overlap):
    """Bytes may differ by one level where a value lies within rounding of a half."""
    network = Local()
    whole = restore_tensor(network, to_tensor(PHOTOGRAPH)[None])
    tiled = restore_tensor(network, to_tensor(PHOTOGRAPH)[None], tile=tile, overlap=overlap)
    assert (whole - tiled).abs().max() < 2e-6
    images = (restore_image(network, PHOTOGRAPH, tile=t, overlap=64) for t in (1000, tile))
    first, second = (image.astype(int) for image in images)
    assert (first != PHOTOGRAPH).any()
    assert np.abs(first - second).max() <= 1
    assert (first != second).mean() < 1e-3


def test_a_local_network_without_overlap_enough_would_not():
    """The equality above is not for want of a difference."""
    network = Local()
    whole = restore_tensor(network, to_tensor(PHOTOGRAPH)[None])
    tiled = restore_tensor(network, to_tensor(PHOTOGRAPH)[None], tile=192, overlap=4)
    assert (whole - tiled).abs().max() > 1e-3


def test_a_scale_recurrent_network_leaves_no_seams():
    """Its receptive field is larger than a tile: close to the whole, and smooth across seams."""
    network = build_network("sr_edrb1", width=4, seed=3)
    x = to_tensor(PHOTOGRAPH)[None]
    error = restore_tensor(network, x, tile=256, overlap=64) - restore_tensor(network, x)
    result = restore_tensor(network, x)
    assert error.square().mean() < 1e-3 * result.var()
    step = (error[..., 1:] - error[..., :-1]).abs().amax(dim=(0, 1, 2))
    assert step.max() < 0.05 * (result.max() - result.min())


@pytest.mark.parametrize("channels_last", [False, True])
def test_bfloat16_is_close_and_the_mode_is_restored(channels_last):
    network = build_network("sr_edrb1", width=4).train()
    images = to_tensor(PHOTOGRAPH[:128, :128])[None]
    exact = restore_tensor(network, images)
    assert network.training
    fast = restore_tensor(network, images, precision="bf16", channels_last=channels_last)
    error = (fast - exact).square().mean().sqrt() / exact.std()
    assert 1e-5 < error < 0.03


def test_networks_run_in_evaluation_mode_and_report_their_progress():
    network = Zooming().train()
    seen: list[tuple[int, int]] = []
    restore_image(network, PHOTOGRAPH, tile=256, progress=lambda done, of: seen.append((done, of)))
    assert network.modes == [False] * len(network.seen)
    assert network.training
    assert seen == [(i + 1, len(network.seen)) for i in range(len(network.seen))]
    assert len(seen) > 1


def test_a_batch_of_images_is_restored_together():
    images = torch.rand(2, 3, 140, 150)
    restored = restore_tensor(Local(), images, tile=96, overlap=48)
    alone = restore_tensor(Local(), images[1:], tile=96, overlap=48)
    assert torch.equal(restored[1:], alone)


class Broken(Zooming):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor, finest: bool = False):
        return x.clone().index_fill_(2, torch.tensor([3]), self.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_result_that_is_no_number_is_an_error(value):
    with pytest.raises(ReblurError, match="use other weights"):
        restore_image(Broken(value), PHOTOGRAPH)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tile": 16}, "too small"),
        ({"tile": 128, "overlap": 100}, "choose 4 to 64"),
        ({"tile": 128, "overlap": 0}, "not possible"),
    ],
)
def test_impossible_tiles_are_refused(options, said):
    with pytest.raises(ReblurError, match=said):
        restore_image(Zooming(), PHOTOGRAPH, **options)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to …"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory_names_the_remedy(error):
    class Hungry(Zooming):
        def forward(self, x: torch.Tensor, finest: bool = False):
            raise error

    with pytest.raises(ReblurError, match="smaller tile"):
        restore_image(Hungry(), PHOTOGRAPH)


def test_another_error_is_not_taken_for_it():
    class Odd(Zooming):
        def forward(self, x: torch.Tensor, finest: bool = False):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        restore_image(Odd(), PHOTOGRAPH)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("depth", [8, 16])
def test_depths_of_photograph_and_result(depth, bits):
    photograph = PHOTOGRAPH if depth == 8 else PHOTOGRAPH.astype(np.uint16) * 257
    restored = restore_image(Zooming(), photograph, tile=192, bits=bits)
    expected = PHOTOGRAPH if bits == 8 else PHOTOGRAPH.astype(np.uint16) * 257
    assert np.array_equal(restored, expected)
