"""A hand-made degradation fitted to a target: known ones are found again."""

import numpy as np
import pytest
import torch
from skimage import data

from reblur.datasets.degradation.degrade import degrade
from reblur.datasets.degradation.recipes import Fitted
from reblur.datasets.images.files import to_tensor
from reblur.measures.distances import spectra, spectrum_deviation
from reblur.study.data import fitting


def crops(picture, side, count, seed):
    generator = np.random.default_rng(seed)
    rows, columns = (generator.integers(0, n - side, count) for n in picture.shape[:2])
    return torch.stack(
        [to_tensor(picture[r : r + side, c : c + side]) for r, c in zip(rows, columns, strict=True)]
    )


@pytest.fixture(scope="module")
def two_sets():
    """Crops that pairs are made of, and others that the target is made of."""
    picture = data.astronaut()
    return crops(picture, 96, 12, 0), crops(picture, 96, 12, 1)


@pytest.mark.parametrize(
    "true",
    [
        Fitted(sigma=2.5, grey=7.0, coloured=1.0, amount=0.0, quality=95.0),
        Fitted(sigma=1.2, grey=1.0, coloured=12.0, amount=0.0, quality=95.0),
    ],
)
def test_a_known_degradation_is_found_again(true, two_sets, monkeypatch):
    ours, theirs = two_sets
    monkeypatch.setattr(fitting, "CANDIDATES", 24)
    monkeypatch.setitem(fitting.LARGEST, "amount", 0.0)  # it can hide a part of the blur
    target, _ = degrade(theirs, true, scale=1, seed=5, indices=range(12))
    found, distance = fitting.fit(ours, target, 1, seed=0)
    untouched = (spectra(ours).mean(0) - spectra(target).mean(0)).square().mean().sqrt()
    assert distance < 1.5 < 4.0 < untouched  # dB; the contents differ
    assert found.sigma == pytest.approx(true.sigma, abs=0.5)
    assert np.hypot(found.grey, found.coloured) == pytest.approx(
        np.hypot(true.grey, true.coloured), rel=0.35
    )
    assert (found.coloured > found.grey) == (true.coloured > true.grey)
    assert found.quality == pytest.approx(true.quality, abs=20)
    assert fitting.fit(ours, target, 1, seed=0) == (found, distance)  # the same again


def test_other_images_are_alike_too(two_sets, monkeypatch):
    """What blur and sharpening share cannot be told apart, and need not be."""
    ours, theirs = two_sets
    monkeypatch.setattr(fitting, "CANDIDATES", 24)
    true = Fitted(sigma=1.8, grey=3.0, coloured=3.0, amount=0.8, quality=80.0)
    target, _ = degrade(theirs, true, scale=1, seed=5, indices=range(12))
    found, _ = fitting.fit(ours, target, 1, seed=0)
    others = crops(data.coffee(), 96, 12, 2)
    both = [degrade(others, one, scale=1, seed=7, indices=range(12))[0] for one in (true, found)]
    apart = spectra(both[0]).mean(0) - spectra(both[1]).mean(0)
    assert apart.square().mean().sqrt() < 2.0
    assert (both[0] - both[1]).square().mean().sqrt() < 0.04


def test_a_recipe_with_numbers_of_its_own_is_recorded():
    images = crops(data.astronaut(), 32, 2, 0)
    lows, draws = degrade(images, Fitted(grey=5.0, spread=0.0), scale=2, seed=0, indices=[0, 1])
    assert lows.shape == (2, 3, 16, 16)
    assert draws[0]["recipe"] == "fitted"
    noise = [step for step in draws[0]["steps"] if step["step"] == "gaussian_noise"]
    assert noise[0]["sigma"] == 5.0


def test_unsharp_adds_what_the_blur_takes():
    images = crops(data.astronaut(), 48, 1, 0)
    plain, sharper = (
        degrade(
            images,
            Fitted(0.05, 0.0, 0.0, amount=amount, quality=100.0, spread=0.0),
            scale=1,
            seed=0,
            indices=[0],
        )[0]
        for amount in (0.0, 1.0)
    )
    assert sharper.std() > plain.std()
    assert sharper.mean() == pytest.approx(float(plain.mean()), abs=0.01)


def test_images_of_one_photograph_are_drawn_together(two_sets):
    ours, theirs = (images[:3].repeat_interleave(4, 0) for images in two_sets)
    photographs, images = [str(n // 4) for n in range(12)], [str(n) for n in range(12)]
    right = spectrum_deviation(ours, photographs, theirs, photographs)
    assert right > 1.3 * spectrum_deviation(ours, images, theirs, images) > 0
    assert right == spectrum_deviation(ours, photographs, theirs, photographs)
