"""Warping, optical flow, and the masks of what to believe."""

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reblur.errors import ReblurError
from reblur.warping import (
    consistency_mask,
    correspond,
    estimate_flow,
    warp,
)


def noise(height=20, width=31, channels=3, batch=2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, height, width, generator=generator, dtype=dtype)


def constant_flow(right, down, like):
    return (
        torch.tensor([right, down])
        .to(like)[:, None, None]
        .expand(like.shape[0], 2, *like.shape[2:])
    )


@pytest.fixture(scope="module")
def photograph():
    return torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def shifted(photograph):
    """Two crops, and the flow from the first to the second: 5 pixels left, 3 down."""
    return photograph[..., 100:228, 100:260], photograph[..., 97:225, 105:265], (-5.0, 3.0)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_zero_flow_is_the_identity_bit_by_bit(height, width, dtype):
    picture = noise(height, width, dtype=dtype, seed=height * 100 + width) * 3 - 1
    warped, inside = warp(picture, torch.zeros(2, 2, height, width, dtype=dtype))
    assert torch.equal(warped, picture)
    assert inside.all()


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 1), (-4, 7), (30, -19)])
def test_a_flow_of_whole_pixels_copies(right, down):
    picture = noise()
    warped, inside = warp(picture, constant_flow(right, down, picture))
    for y in range(20):
        for x in range(31):
            within = 0 <= y + down < 20 and 0 <= x + right < 31
            assert inside[0, 0, y, x] == within
            if within:
                assert torch.equal(warped[..., y, x], picture[..., y + down, x + right])


def test_equals_the_bilinear_interpolation_of_scipy():
    picture = noise(batch=1, dtype=torch.float64)
    flow = 12 * noise(channels=2, batch=1, seed=1, dtype=torch.float64) - 6
    warped, inside = warp(picture, flow)
    y, x = np.mgrid[:20, :31]
    where = np.stack([y + flow[0, 1].numpy(), x + flow[0, 0].numpy()])
    expected = np.stack(
        [
            scipy.ndimage.map_coordinates(channel, where, order=1, mode="nearest")
            for channel in picture[0].numpy()
        ]
    )
    np.testing.assert_allclose(warped[0], expected, atol=1e-12)
    within = (where[0] >= 0) & (where[0] <= 19) & (where[1] >= 0) & (where[1] <= 30)
    np.testing.assert_array_equal(inside[0, 0].numpy(), within)


def test_gradients_of_the_warp():
    picture = noise(5, 6, dtype=torch.float64).requires_grad_()
    flow = (7 * noise(5, 6, 2, seed=2, dtype=torch.float64) - 3.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, u: warp(p, u)[0], (picture, flow))


def test_the_border_lies_inside():
    picture = noise(4, 4, batch=1)
    for right, down, expected in [(3, 0, 4), (3.001, 0, 0), (0, -3, 4), (0, -3.001, 0)]:
        _, inside = warp(picture, constant_flow(right, down, picture))
        assert inside.sum() == expected


def test_a_known_shift_is_found_and_undone(shifted):
    first, second, truth = shifted
    flow, found = estimate_flow(first, second)
    assert found.all()
    assert flow.dtype == torch.float32
    median = flow[0].flatten(1).median(1).values
    torch.testing.assert_close(median, torch.tensor(truth), rtol=0, atol=0.2)
    warped, inside = warp(second, flow)
    before = (second - first).abs().mean()
    assert ((warped - first).abs() * inside).sum() / (3 * inside.sum()) < 0.1 * before


def test_every_pair_of_a_batch_has_its_own_flow(shifted):
    first, second, _ = shifted
    flat = torch.full_like(first, 0.4)
    together = estimate_flow(torch.cat([first, flat, second]), torch.cat([second, first, first]))
    assert together.found.tolist() == [True, False, True]
    for i, (a, b) in enumerate([(first, second), (flat, first), (second, first)]):
        assert torch.equal(together.flow[i : i + 1], estimate_flow(a, b).flow)


def test_flow_is_a_function_of_the_pictures_alone(shifted):
    first, second, _ = shifted
    expected = estimate_flow(first, second).flow
    small = estimate_flow(first[..., :16, :16], second[..., :16, :16]).flow
    estimate_flow(second[..., :40, :90], first[..., :40, :90])
    assert torch.equal(estimate_flow(first, second).flow, expected)
    assert torch.equal(estimate_flow(first[..., :16, :16], second[..., :16, :16]).flow, small)


def test_flat_and_tiny_pictures_have_no_flow():
    flat = torch.full((1, 3, 40, 30), 0.3) + 0.002 * noise(40, 30, batch=1)
    for first, second in [
        (flat, noise(40, 30, batch=1)),
        (noise(40, 30, batch=1), flat),
        (noise(15, 200, batch=1), noise(15, 200, batch=1, seed=1)),
        (noise(1, 1, batch=1), noise(1, 1, batch=1)),
    ]:
        flow, found = estimate_flow(first, second)
        assert not found.any()
        assert (flow == 0).all()
        there, back = correspond(first, second)
        assert (there.mask == 0).all()
        assert (back.mask == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    broken = noise()
    broken[1, 0, 3, 4] = bad
    for pair in [(broken, noise()), (noise(), broken)]:
        with pytest.raises(ReblurError, match="not finite; check its file"):
            estimate_flow(*pair)
    with pytest.raises(ReblurError, match="not finite; estimate it anew"):
        warp(noise(), broken[:, :2])


def test_other_mistakes_are_sentences():
    with pytest.raises(ReblurError, match=r"sizes differ \(31×20 and 30×20\)"):
        estimate_flow(noise(), noise()[..., :30])
    with pytest.raises(ReblurError, match=r"sizes differ \(31×20 and 31×19\)"):
        correspond(noise(), noise()[..., :19, :])


def test_consistency_keeps_what_returns_and_drops_the_rest():
    flow = torch.zeros(1, 2, 20, 30)
    flow[:, 0] = 2.0
    back = -flow
    back[:, :, 8:12, 10:15] = 3.0  # what lands here, comes from two pixels further left
    mask = consistency_mask(flow, back)
    expected = torch.ones(1, 1, 20, 30)
    expected[:, :, 8:12, 8:13] = 0
    expected[..., 28:] = 0  # leaves the picture
    assert torch.equal(mask, expected)


def test_consistency_drops_what_only_one_picture_shows(shifted):
    first, second, _ = shifted
    second = second.clone()
    second[..., 40:80, 60:110] = noise(40, 50, batch=1)  # something else stands there
    there, back = correspond(first, second)
    hidden = there.mask[..., 40:70, 70:110].mean()
    seen = torch.cat([there.mask[..., 5:30, 10:150], there.mask[..., 95:120, 10:150]], 2).mean()
    assert hidden < 0.4 < 0.9 < seen
    assert back.mask[..., 45:75, 65:105].mean() < 0.4


@pytest.mark.parametrize("mask", ["consistency", "none"])
def test_both_directions_at_once(shifted, mask):
    first, second, _ = shifted
    there, back = correspond(first, second, mask=mask)
    torch.testing.assert_close(there.flow, estimate_flow(first, second).flow)
    torch.testing.assert_close(back.flow, estimate_flow(second, first).flow)
    assert {*there.mask.unique().tolist(), *back.mask.unique().tolist()} <= {0.0, 1.0}
    if mask == "none":
        assert there.mask.all()
        assert back.mask.all()
    if mask == "consistency":
        assert there.mask.mean() > 0.8
        assert (there.mask[..., :3] == 0).all()  # five pixels to the left is outside


def test_autocast_changes_nothing(shifted):
    first, second, _ = shifted
    expected = correspond(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        for one, other in zip(correspond(first, second), expected, strict=True):
            assert torch.equal(one.flow, other.flow)
            assert torch.equal(one.mask, other.mask)
        flow = expected[0].flow
        assert torch.equal(warp(second, flow)[0], warp(second.clone(), flow)[0])
