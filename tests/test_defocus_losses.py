"""The losses and the objective for misaligned defocus pairs."""

import csv
import math

import pytest
import skimage.data
import torch
import torch.nn.functional as F

from reblur.errors import ReblurError
from reblur.losses.reblurring import (
    DefocusObjective,
    charbonnier,
    cycle_loss,
    multi_scale_charbonnier,
    pseudo_supervision_loss,
    reblurring_loss,
    seed_scale,
    sharp_loss,
)
from reblur.networks import build_network
from reblur.training import TrainingOptions, train
from reblur.warping import Correspondence, correspond, estimate_flow, warp

SIDE = 48


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def pairs():
    """Blurred pictures, and sharp ones that are two pixels to the right and one up."""
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255
    blurred = F.avg_pool2d(F.pad(photograph, (2,) * 4, mode="reflect"), 5, 1)
    places = [(100, 180), (200, 240)]
    return {
        "blurred": torch.cat([blurred[..., y : y + SIDE, x : x + SIDE] for y, x in places]),
        "sharp": torch.cat(
            [photograph[..., y + 1 : y + 1 + SIDE, x - 2 : x - 2 + SIDE] for y, x in places]
        ),
        "aligned": torch.cat([photograph[..., y : y + SIDE, x : x + SIDE] for y, x in places]),
    }


def network(name="defocus_unet", **options):
    return build_network(name, **{"width": 2, "reblurring": True, **options})


def whole(mask=1.0, like=None):
    flow = torch.zeros_like(like[:, :2])
    return Correspondence(flow, torch.full_like(like[:, :1], mask))


def test_charbonnier():
    a, b = noise(2, 3, 5, 6), noise(2, 3, 5, 6, seed=1)
    expected = sum(math.sqrt(d * d + 1e-6) for d in (a - b).flatten().tolist()) / a.numel()
    assert charbonnier(a, b).item() == pytest.approx(expected, rel=1e-5)
    assert charbonnier(a, a).item() == pytest.approx(1e-3)
    a.requires_grad_()
    charbonnier(a, a.detach()).backward()
    assert (a.grad == 0).all()  # smooth at zero


def test_the_seeds_come_in_as_published():
    for epoch in range(15):
        assert seed_scale(epoch, 15) == pytest.approx(0.001 + ((epoch + 1) / 15) * 0.999)
    assert seed_scale(14, 15) == pytest.approx(1.0)
    assert seed_scale(15, 15) == 1.0
    assert seed_scale(0, 0) == 1.0


def test_the_sharp_loss_warps_the_sharp_picture_onto_the_output(pairs):
    sharp, restored = pairs["sharp"], pairs["aligned"]
    there, back = correspond(restored, sharp)
    loss, target = sharp_loss([restored], sharp, there)
    assert torch.equal(target, warp(sharp, there.flow)[0])
    torch.testing.assert_close(loss, charbonnier(there.mask * restored, there.mask * target))
    assert loss < 0.25 * charbonnier(restored, sharp)
    assert cycle_loss(restored, sharp, back) < 0.25 * charbonnier(restored, sharp)


def test_the_cycle_loss_reaches_the_output_through_the_warp(pairs):
    restored = pairs["aligned"].clone().requires_grad_()
    _, back = correspond(restored.detach(), pairs["sharp"])
    loss = cycle_loss(restored, pairs["sharp"], back)
    masked = back.mask * warp(restored, back.flow)[0]
    torch.testing.assert_close(loss, charbonnier(back.mask * pairs["sharp"], masked))
    loss.backward()
    assert restored.grad.abs().max() > 0


def test_masked_pixels_give_no_gradient():
    restored, sharp = noise(1, 3, 16, 16).requires_grad_(), noise(1, 3, 16, 16, seed=1)
    half = whole(like=sharp)
    half.mask[..., :8] = 0
    loss, _ = sharp_loss([restored], sharp, half)
    (loss + cycle_loss(restored, sharp, half)).backward()
    assert (restored.grad[..., :8] == 0).all()
    assert (restored.grad[..., 8:] != 0).all()


def test_every_scale_of_a_backbone_learns():
    target = noise(2, 3, 16, 20)
    scales = [noise(2, 3, 4, 5, seed=1), noise(2, 3, 8, 10, seed=2), noise(2, 3, 16, 20, seed=3)]
    mask = whole(like=target).mask
    expected = sum(
        charbonnier(x, F.interpolate(target, size=x.shape[2:], mode="bilinear")) for x in scales
    )
    torch.testing.assert_close(multi_scale_charbonnier(scales, target, mask), expected)
    alone = multi_scale_charbonnier(scales[-1:], target, mask)
    torch.testing.assert_close(alone, charbonnier(scales[-1], target))


def objective(**options):
    return DefocusObjective.from_dict({"warmup_steps": 10, **options})


def test_phase_one_is_the_paper_s_warm_up(pairs):
    net = network()
    loss, reported = objective()(net, pairs, 3)
    output = net(pairs["blurred"], guided=True, seed_scale=seed_scale(3, 10)).restored[-1]
    target, _ = warp(pairs["sharp"], estimate_flow(pairs["blurred"], pairs["sharp"]).flow)
    torch.testing.assert_close(loss, charbonnier(output, target))
    assert set(reported) == {"sharp", "psnr", "reliable"}
    assert reported["reliable"] == 1
    loss.backward()
    assert all(p.grad is None for p in net.reblurring.parameters())
    assert all(p.grad is not None for p in net.backbone.parameters())


def test_phase_two_is_the_sum_of_the_four_terms(pairs):
    net = network()
    loss, reported = objective()(net, pairs, 10)
    guided = net(pairs["blurred"], guided=True)
    output, sharp, blurred = guided.restored[-1], pairs["sharp"], pairs["blurred"]
    there, back = correspond(output.detach(), sharp)
    expected = (
        charbonnier(there.mask * output, there.mask * warp(sharp, there.flow)[0])
        + charbonnier(back.mask * sharp, back.mask * warp(output, back.flow)[0])
        + 0.5 * reblurring_loss(guided.reblurred.image, blurred)
        + 0.5 * pseudo_supervision_loss(guided.seeds, guided.reblurred.seeds)
    )
    torch.testing.assert_close(loss, expected)
    assert set(reported) == {"sharp", "cycle", "reblurring", "pseudo", "psnr", "reliable"}
    assert not any(value.requires_grad for value in reported.values())
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_between_the_phases_the_reblurring_network_may_learn_alone(pairs):
    net = network()
    chosen = objective(reblurring_steps=5)
    for step in (10, 14):
        loss, reported = chosen(net, pairs, step)
        image = net(pairs["blurred"], guided=True).reblurred.image
        torch.testing.assert_close(loss, reblurring_loss(image, pairs["blurred"]))
        assert set(reported) == {"reblurring"}
        net.zero_grad(set_to_none=True)
        loss.backward()
        learning = {name for name, p in net.named_parameters() if p.grad is not None}
        assert learning == {f"reblurring.{name}" for name, _ in net.reblurring.named_parameters()}
        assert all(p.grad.abs().max() > 0 for p in net.reblurring.parameters())
    for step in (9, 15):  # warm-up, and all four terms
        _, reported = chosen(net, pairs, step)
        assert reported.keys() >= {"sharp", "psnr"}
    without = objective(reblurring_steps=5, reblurring_weight=0, pseudo_weight=0)
    _, reported = without(network(reblurring=False), pairs, 12)
    assert set(reported) == {"sharp", "cycle", "psnr", "reliable"}


@pytest.mark.parametrize("flow", ["dis", None])
def test_alone_it_may_blur_the_pair_s_own_sharp_picture(pairs, flow):
    net = network()
    chosen = objective(reblurring_steps=5, reblurring_source="sharp", flow=flow)
    loss, reported = chosen(net, pairs, 12)
    blurred, sharp = pairs["blurred"], pairs["sharp"]
    mask = torch.ones_like(sharp[:, :1])
    if flow is not None:
        there, _ = correspond(blurred, sharp)
        sharp, mask = warp(sharp, there.flow)[0], there.mask
        assert 0 < mask.mean() < 1
    image = net.reblurring(sharp, blurred).image
    torch.testing.assert_close(loss, charbonnier(mask * image, mask * blurred))
    assert set(reported) == {"reblurring"}
    loss.backward()
    assert all(p.grad is None for p in net.backbone.parameters())
    assert all(p.grad.abs().max() > 0 for p in net.reblurring.parameters())


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"flow": None, "reblurring_weight": 0, "pseudo_weight": 0}, {"sharp"}),
        ({"mask": "none", "reblurring_weight": 0, "pseudo_weight": 0}, {"sharp", "cycle"}),
        ({"reblurring_weight": 0, "pseudo_weight": 0}, {"sharp", "cycle"}),
        ({"pseudo_weight": 0}, {"sharp", "cycle", "reblurring", "pseudo"}),
        ({}, {"sharp", "cycle", "reblurring", "pseudo"}),
    ],
)
@pytest.mark.parametrize("prior", [True, False])
def test_the_variants_of_the_chapter(pairs, options, terms, prior):
    chosen = objective(**options)
    net = network(prior=prior, reblurring=chosen.reblurs)
    loss, reported = chosen(net, pairs, 10)
    terms = terms if prior else terms - {"pseudo"}
    assert set(reported) - {"psnr", "reliable"} == terms
    weights = {
        "sharp": 1.0,
        "cycle": 1.0,
        "reblurring": chosen.reblurring_weight,
        "pseudo": chosen.pseudo_weight,
    }
    torch.testing.assert_close(loss.detach(), sum(weights[t] * reported[t] for t in terms))
    if chosen.flow is None:
        output = net(pairs["blurred"], finest=True)
        torch.testing.assert_close(loss, charbonnier(output, pairs["sharp"]))
    if chosen.mask == "none" and chosen.flow is not None:
        assert reported["reliable"] == 1


def test_a_backbone_of_several_scales(pairs):
    net = network("defocus_sr_edrb3")
    for step in (0, 10):
        loss, reported = objective()(net, pairs, step)
        assert reported["sharp"] > 0
        loss.backward()
    assert all(p.grad is not None for p in net.parameters())


def test_flat_pictures_leave_reblurring_to_learn_alone(pairs):
    flat = {name: torch.full_like(picture, 0.5) for name, picture in pairs.items()}
    net = network()
    loss, reported = objective()(net, flat, 10)
    assert reported["reliable"] == 0
    assert reported["sharp"].item() == pytest.approx(1e-3)  # of the masked pixels, all of them
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_bfloat16_autocast(pairs):
    net = network()
    for step in (0, 10):
        exact, _ = objective()(net, pairs, step)
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = objective()(net, pairs, step)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact, rtol=0.1, atol=0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"flow": "pwc"}, "flow is 'pwc'; it must be 'dis'"),
        ({"mask": "hue"}, "mask is 'hue'; it must be 'consistency' or 'none'"),
        ({"pseudo_weight": -1.0}, "pseudo_weight is -1.0; it must be at least 0"),
        ({"warmup_steps": -1}, "warmup_steps is -1; it must be at least 0"),
        ({"reblurring_source": "blurred"}, "is 'blurred'; it must be 'output' or 'sharp'"),
        ({"pseudo_wait": 1.0}, "pseudo_wait is unknown; did you mean 'pseudo_weight'?"),
    ],
)
def test_impossible_options_are_sentences(options, sentence):
    with pytest.raises(ReblurError, match=sentence):
        objective(**options)


def test_a_missing_reblurring_network_is_a_sentence(pairs):
    with pytest.raises(ReblurError, match="build with reblurring=True"):
        objective()(network(reblurring=False), pairs, 10)


class Repeated:
    """The same pairs at every step."""

    def __init__(self, pairs):
        self.pairs = pairs

    def batch(self, seed, indices, device):
        return {name: self.pairs[name].to(device) for name in ("blurred", "sharp")}


def test_trains_through_both_phases_and_to_the_same_bytes(pairs, tmp_path):
    options = TrainingOptions(steps=12, batch=2, lr=5e-3, log_every=2, clip_norm=None)
    logs = []
    for folder in (tmp_path / "once", tmp_path / "again"):
        net = network(backbone="unet_skip")
        result = train(
            net,
            Repeated(pairs),
            objective(warmup_steps=4),
            options,
            seed=1,
            folder=folder,
            progress=False,
        )
        logs.append(result.log.read_text())
    assert logs[0] == logs[1]
    rows = list(csv.DictReader(logs[0].splitlines()))
    assert [bool(row["reblurring"]) for row in rows] == [False] * 2 + [True] * 4
    assert float(rows[-1]["loss"]) < float(rows[2]["loss"])
    assert float(rows[-1]["pseudo"]) < float(rows[2]["pseudo"])
