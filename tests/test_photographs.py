"""Photographs in memory: what a crop depends on, where it comes from, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reblur.datasets.catalogue.manifests import files_of
from reblur.datasets.images.crops import Crop, draw_crop, to_batch
from reblur.datasets.images.files import to_tensor
from reblur.datasets.images.photographs import Photographs, open_photographs, shrink
from reblur.errors import ReblurError


def numbered(height: int, width: int, number: int) -> np.ndarray:
    """Each pixel tells its row, its column and its photograph."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8)


@pytest.fixture
def photographs() -> Photographs:
    sizes = [(40, 60), (50, 33), (64, 64)]
    return Photographs(["a", "b", "c"], [numbered(*size, n) for n, size in enumerate(sizes)])


def test_a_crop_is_a_function_of_seed_stream_and_index(photographs):
    together = photographs.crops(3, "s", [5, 0, 9, 5], 16)
    assert together.shape == (4, 3, 16, 16)
    assert together.dtype == torch.float32
    for place, index in enumerate([5, 0, 9, 5]):
        assert torch.equal(together[place : place + 1], photographs.crops(3, "s", [index], 16))
    assert not torch.equal(together, photographs.crops(4, "s", [5, 0, 9, 5], 16))
    assert not torch.equal(together, photographs.crops(3, "t", [5, 0, 9, 5], 16))
    assert torch.equal(together[0], together[3])


def test_crops_are_cut_from_the_photographs(photographs):
    crops = (photographs.crops(0, "s", range(60), 12, augment=False) * 255).round().long()
    seen = set()
    for crop in crops:
        rows, columns, number = crop
        top, left, which = int(rows[0, 0]), int(columns[0, 0]), int(number[0, 0])
        seen.add(which)
        expected = photographs[which][top : top + 12, left : left + 12]
        assert torch.equal(crop, torch.from_numpy(expected.transpose(2, 0, 1)).long())
    assert seen == {0, 1, 2}


def test_a_crop_names_its_photograph(photographs):
    numbers = (photographs.crops(7, "s", range(40), 9) * 255).round()[:, 2, 0, 0]
    names = [photographs.photograph_of(7, "s", index) for index in range(40)]
    assert names == [photographs.names[int(number)] for number in numbers]
    assert set(names) == {"a", "b", "c"}


def test_photographs_and_places_are_uniform(photographs):
    crops = (photographs.crops(1, "s", range(3000), 30, augment=False) * 255).round()
    which = crops[:, 2, 0, 0].long().bincount(minlength=3)
    assert (which - 1000).abs().max() < 130  # five standard deviations
    tops = crops[crops[:, 2, 0, 0] == 0][:, 0, 0, 0].long().bincount(minlength=11)
    assert len(tops) == 11
    assert (tops - which[0] / 11).abs().max() < 50


def test_augmentation_has_eight_turns():
    photograph = Photographs(["a"], [numbered(5, 5, 0)])
    turned = {
        tuple(crop.flatten().tolist()) for crop in photograph.crops(0, "s", range(200), 5) * 255
    }
    plain = to_tensor(photograph[0])
    expected = set()
    for quarter in range(4):
        for crop in (plain.rot90(quarter, (1, 2)), plain.rot90(quarter, (1, 2)).flip(2)):
            expected.add(tuple((crop * 255).flatten().tolist()))
    assert len(expected) == 8
    assert turned == expected
    assert torch.equal(photograph.crops(0, "s", [1], 5, augment=False)[0], plain)


def test_no_indices_give_an_empty_batch(photographs):
    assert photographs.crops(0, "s", [], 16).shape == (0, 3, 16, 16)
    assert to_batch([], 7, "cpu").shape == (0, 3, 7, 7)


def test_a_crop_may_be_the_whole_photograph():
    whole = Photographs(["a"], [numbered(9, 9, 0)])
    assert torch.equal(whole.crops(0, "s", [0], 9, augment=False)[0], to_tensor(whole[0]))


def test_too_large_crops_name_the_photograph(photographs):
    with pytest.raises(ReblurError, match=r"b: is 33×50 pixels, too small for crops of 34×34"):
        photographs.crops(0, "s", [0], 34)


def test_no_photographs_are_refused():
    with pytest.raises(ReblurError, match="no photographs"):
        Photographs([], [])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32), st.data())
def test_a_drawn_crop_lies_inside(height, width, seed, data):
    size = data.draw(st.integers(1, min(height, width)))
    crop = draw_crop(np.random.default_rng(seed), height, width, size, augment=True)
    assert 0 <= crop.top <= height - size
    assert 0 <= crop.left <= width - size
    assert 0 <= crop.turn < 8
    assert crop.cut(numbered(height, width, 0)).shape == (size, size, 3)


def test_turns_by_their_bits():
    image = numbered(4, 4, 0)
    assert np.array_equal(Crop(0, 0, 4, 1).cut(image), image[::-1])
    assert np.array_equal(Crop(0, 0, 4, 2).cut(image), image[:, ::-1])
    assert np.array_equal(Crop(0, 0, 4, 4).cut(image), image.swapaxes(0, 1))
    assert np.array_equal(Crop(0, 0, 4, 5).cut(image), image[::-1].swapaxes(0, 1))


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_shrinking_is_the_mean_of_squares(factor):
    image = np.random.default_rng(factor).integers(0, 256, (25, 38, 3), np.uint8)
    height, width = 25 // factor, 38 // factor
    squares = image[: height * factor, : width * factor].astype(float)
    expected = squares.reshape(height, factor, width, factor, 3).mean((1, 3))
    assert shrink(image, factor).shape == (height, width, 3)
    assert np.abs(shrink(image, factor) - expected).max() <= 0.5 + 1e-6


def test_photographs_of_scikit_image():
    names = [path.stem for path in files_of("skimage_photographs", "train")]
    training = open_photographs(["skimage_photographs"], "train", min_side=160)
    assert training.names == [f"skimage_photographs/{name}" for name in names]
    assert len(training) == len(names) == 10
    assert training[0].shape == (512, 512, 3)
    test = open_photographs(["skimage_photographs"], "test", downscale=2)
    assert [image.shape for image in test.images] == [(150, 225, 3), (213, 320, 3)]
    assert not set(test.names) & set(training.names)


def test_photographs_at_several_sizes():
    """Each at every factor, under one name."""
    once = open_photographs(["skimage_photographs"], "test")
    both = open_photographs(["skimage_photographs"], "test", downscale=[1, 2])
    assert both.names == [name for name in once.names for _ in range(2)]
    for n, image in enumerate(once.images):
        assert np.array_equal(both[2 * n], image)
        assert np.array_equal(both[2 * n + 1], shrink(image, 2))


def test_photographs_that_do_not_fit():
    with pytest.raises(ReblurError, match=r"is 225×150 .*by 2, less than min_side 160"):
        open_photographs(["skimage_photographs"], "test", downscale=[1, 2], min_side=160)
    with pytest.raises(ReblurError, match="downscale"):
        open_photographs(["skimage_photographs"], "test", downscale=[])
    with pytest.raises(
        ReblurError, match=r"skimage_photographs/chelsea: is 225×150 .*min_side 160"
    ):
        open_photographs(["skimage_photographs"], "test", downscale=2, min_side=160)
    with pytest.raises(ReblurError, match="downscale 0"):
        open_photographs(["skimage_photographs"], "test", downscale=0)
    with pytest.raises(ReblurError, match="no split 'exam'"):
        open_photographs(["skimage_photographs"], "exam")
