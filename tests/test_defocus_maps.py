"""Maps of the defocus: their scores on known maps, and what a network says of a picture."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import gaussian_filter
from skimage import data

from reblur.datasets.defocus.synthesis import Triplet
from reblur.datasets.images.files import to_tensor, to_uint8
from reblur.errors import ReblurError
from reblur.evaluation.maps import (
    auc,
    best_disc,
    local_contrast,
    map_errors,
    read_defocus,
)
from reblur.networks import build_network
from reblur.networks.ring_sums import discs
from reblur.study.data.triplet_tests import (
    Known,
    KnownMap,
    map_sets,
    read_map,
    score_maps,
    score_maps_without_a_network,
)

MAPS = arrays.arrays(np.float32, (5, 6), elements=st.integers(0, 9).map(float))


@settings(max_examples=50, deadline=None)
@given(values=MAPS, mask=arrays.arrays(bool, (5, 6)))
def test_auc_is_the_share_of_pairs_in_their_order(values, mask):
    positive, negative = values[mask], values[~mask]
    found = auc(values, mask)
    if not positive.size or not negative.size:
        assert np.isnan(found)
        return
    above = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
    assert found == pytest.approx(above)
    assert auc(-values, mask) == pytest.approx(1 - above)


def test_errors_of_maps_that_are_known():
    true = np.arange(12, dtype=np.float32).reshape(3, 4) - 6  # signed, as the lens gives it
    assert map_errors(np.abs(true), true) == pytest.approx({"mae": 0, "correlation": 1})
    assert map_errors(np.abs(true) + 2, true)["mae"] == pytest.approx(2)
    assert map_errors(np.abs(true) ** 2, true)["correlation"] == pytest.approx(1)  # ranks alone
    assert map_errors(np.ones_like(true), true)["correlation"] == 0
    assert np.isnan(map_errors(true, np.ones_like(true))["correlation"])


def test_local_contrast_finds_the_blurred_half():
    picture = data.astronaut()[:128, :256]
    half = picture.copy()
    half[:, 128:] = gaussian_filter(picture[:, 128:], (3, 3, 0))
    mask = np.zeros(half.shape[:2], bool)
    mask[:, 128:] = True
    assert auc(local_contrast(half), mask) > auc(local_contrast(picture), mask) + 0.1


def test_what_a_network_says_of_a_photograph():
    network = build_network("defocus_unet", width=2, reblurring=True).eval()
    picture = data.astronaut()[:50, :39]
    reading = read_defocus(network, picture)
    assert reading.restored.shape == reading.reblurred.shape == picture.shape
    assert 0 <= reading.coc.min() <= reading.coc.max() < 14


def test_without_a_reblurring_network_there_is_no_map():
    network = build_network("defocus_unet", width=2).eval()
    with pytest.raises(ReblurError, match="has no reblurring network"):
        read_defocus(network, data.astronaut()[:32, :32])


def discs_pair():
    """A photograph, blurred by even discs of the radius 5 in its right half and 0 in its left."""
    sharp = data.astronaut()[:96, :128]
    planes = discs(to_tensor(sharp)[None])[0]
    blurred = torch.cat([planes[0, ..., :64], planes[5, ..., 64:]], -1)
    return to_uint8(blurred), sharp


def test_the_best_disc_is_the_one_that_blurred():
    blurred, sharp = discs_pair()
    coc = best_disc(blurred, sharp, aligned=True)
    assert (coc[6:-6, 6:50] == 0).mean() > 0.95
    assert (coc[6:-6, 78:-6] == 10).mean() > 0.95
    moved = np.roll(sharp, 3, 1)
    assert np.abs(best_disc(blurred, moved)[12:-12, 80:-12] - 10).mean() < 2
    assert np.abs(best_disc(blurred, moved, aligned=True)[12:-12, 80:-12] - 10).mean() > 2


def test_maps_of_pairs_are_read_off_the_pair():
    blurred, sharp = discs_pair()
    coc = np.where(np.arange(128) < 64, 0.0, 10.0)[None].repeat(96, 0).astype(np.float32)
    known = [Known("a", "astronaut", Triplet(blurred, sharp, sharp, None, coc))]
    maps = map_sets({"thin_lens": known}, {"real": {"sets": []}})
    assert list(maps) == ["thin_lens", "thin_lens_pair", "thin_lens_misaligned_pair"]
    network = build_network("defocus_unet", width=2, reblurring=True, matched=True).eval()
    scores = score_maps(lambda known: read_map(network, known, "cpu"), maps)
    errors = scores[scores["metric"] == "mae"].set_index("dataset")["value"]
    assert errors["thin_lens_pair"] < 2 < errors["thin_lens"]  # untrained: matches, knows no blur
    floor = score_maps_without_a_network(maps)
    floor = floor[floor["metric"] == "mae"].set_index("dataset")["value"]
    assert floor["thin_lens"] == pytest.approx(5)
    assert floor["thin_lens_pair"] < 1


def test_maps_are_scored_by_what_is_known_of_them():
    """Long rows; a metric that has no meaning on a set has none."""
    picture = data.astronaut()[:40, :40]
    coc = np.linspace(-4, 4, 1600, dtype=np.float32).reshape(40, 40)
    sets = {
        "lens": [KnownMap("a", "astronaut", picture, coc=coc)],
        "masks": [KnownMap("b", "astronaut", picture, mask=coc > 0)],
    }

    def values(scores):
        assert set(scores["photograph"]) == {"astronaut"}
        return scores.set_index(["dataset", "metric"])["value"].to_dict()

    scores = values(score_maps(lambda known: np.abs(coc), sets))
    assert scores == {
        ("lens", "mae"): 0,
        ("lens", "correlation"): pytest.approx(1),
        ("masks", "auc"): pytest.approx(0.5, abs=0.01),
    }
    floor = values(score_maps_without_a_network(sets))
    assert floor["lens", "mae"] == pytest.approx(1, abs=0.01)  # |c| is even in 0..4
    assert floor.keys() == scores.keys()
