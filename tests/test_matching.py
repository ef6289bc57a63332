"""Matched reblurring: the costs of a pair, the two networks, and what learns from which loss."""

import math

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from reblur.datasets.defocus.thin_lens import DISC, aperture_kernels
from reblur.errors import ReblurError
from reblur.evaluation.maps import match_defocus, read_defocus
from reblur.losses.reblurring import DefocusObjective, charbonnier, distillation_loss
from reblur.networks import build_network
from reblur.networks.complexity import count_macs
from reblur.networks.matching import (
    BlurEstimator,
    MatchedReblurring,
    band_energies,
    matching_costs,
)
from reblur.networks.reblurring import circle_of_confusion
from reblur.networks.ring_sums import discs, reblur
from reblur.warping import correspond, warp


def photograph(size: int = 64) -> torch.Tensor:
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255
    return picture[..., 100 : 100 + size, 180 : 180 + size]


def out_of_focus(picture: torch.Tensor, diameter: float) -> torch.Tensor:
    """By the lens's own disc, and not by the kernels that are matched."""
    kernel = aperture_kernels(torch.tensor([float(diameter)]), DISC, 8)
    padded = F.pad(picture, (8,) * 4, mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(padded, kernel[:, None]).view_as(picture)


@pytest.fixture(scope="module")
def pairs() -> dict[str, torch.Tensor]:
    sharp = torch.cat([photograph(), photograph().flip(-1)])
    return {"blurred": out_of_focus(sharp, 7.0), "sharp": torch.roll(sharp, (1, -2), (2, 3))}


def network(**options):
    return build_network("defocus_unet", width=2, reblurring=True, matched=True, **options)


def test_discs_are_the_kernels_of_even_seeds():
    picture, seeds = photograph(32), torch.zeros(1, 35, 32, 32)
    for radius, blurred in enumerate(discs(picture).unbind(1)):
        weights = F.one_hot(torch.full((1, 32, 32), radius), 8).permute(0, 3, 1, 2).float()
        torch.testing.assert_close(blurred, reblur(picture, seeds, weights))


# Diameters of true discs that have the areas of the even discs: 1, 5, 13, 29, … taps.
DIAMETERS = [2 * (count / math.pi) ** 0.5 for count in (1, 5, 13, 29, 49, 81, 113, 149)]


@pytest.mark.parametrize(("radius", "diameter"), list(enumerate(DIAMETERS)))
def test_the_disc_that_blurred_a_picture_costs_least(radius, diameter):
    blurred = out_of_focus(photograph(), diameter)
    costs = matching_costs(photograph(), blurred)
    assert costs.mean(1).abs().max() < 1e-5
    assert (costs.argmin(1) == radius).float().mean() > 0.9


def test_energies_fall_with_the_blur_and_the_finest_fall_most():
    sharp, blurred = (
        band_energies(x).mean((2, 3))[0] for x in (photograph(), discs(photograph())[:, 3])
    )
    assert (sharp > blurred).all()
    assert (sharp - blurred).argmax() == 0
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(band_energies(photograph()).mean((2, 3))[0], sharp)


@pytest.mark.parametrize("diameter", [1.0, 5.0, 9.0, 13.0])
def test_untrained_it_is_the_best_disc(diameter):
    net = build_network("defocus_unet", width=2, reblurring=True, matched=True).reblurring
    with torch.no_grad():
        made = net(photograph(), out_of_focus(photograph(), diameter))
    torch.testing.assert_close(made.weights.sum(1), torch.ones(1, 64, 64))
    coc = circle_of_confusion(made.seeds, made.weights)
    assert coc.median() == pytest.approx(diameter, abs=1.2)


def test_the_estimator_gives_kernels_of_sum_one():
    seeds, log_weights = BlurEstimator()(photograph(33))
    assert seeds.shape == (1, 35, 33, 33)
    torch.testing.assert_close(log_weights.exp().sum(1), torch.ones(1, 33, 33))
    prior = network().estimate(photograph(33))
    assert prior.shape == (1, 43, 33, 33)
    torch.testing.assert_close(prior[:, 35:].sum(1), torch.ones(1, 33, 33))


@pytest.mark.parametrize("part", ["pair", "photograph"])
def test_a_batch_is_its_samples(pairs, part):
    net = network()
    for i in range(2):
        sharp, blurred = pairs["sharp"], pairs["blurred"]
        if part == "pair":
            together = net.reblurring(sharp, blurred).weights[i]
            alone = net.reblurring(*(x[i : i + 1] for x in (sharp, blurred))).weights[0]
        else:
            together, alone = net.estimate(blurred)[i], net.estimate(blurred[i : i + 1])[0]
        torch.testing.assert_close(together, alone)


def learning(net, loss) -> set[str]:
    """The parts of the network that a loss teaches."""
    net.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {
        name.split(".")[0]
        for name, p in net.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    }


def test_each_term_teaches_one_network(pairs):
    net, objective = network(), DefocusObjective(warmup_steps=10, reblurring="matched")
    blurred, sharp = pairs["blurred"], pairs["sharp"]
    there, _ = correspond(blurred, sharp)
    guided = net(blurred, guided=True, sharp=warp(sharp, there.flow)[0])
    terms = objective._matched(guided, blurred, there.mask, warmup=False)
    assert learning(net, terms["matching"]) == {"reblurring"}
    assert learning(net, terms["pseudo"]) == {"estimator"}
    assert learning(net, terms["reblurring"]) == {"fusion", "backbone"}
    assert learning(net, charbonnier(guided.restored[-1], sharp)) == {"fusion", "backbone"}


@pytest.mark.parametrize("step", [0, 10])
def test_the_objective_is_the_sum_of_its_terms(pairs, step):
    net, objective = network(), DefocusObjective(warmup_steps=10, reblurring="matched")
    loss, reported = objective(net, pairs, step)
    terms = {"sharp": 1.0, "matching": 1.0, "pseudo": 0.5}
    terms |= {"cycle": 1.0, "reblurring": 0.5} if step else {}
    assert set(reported) - {"psnr", "reliable"} == set(terms)
    torch.testing.assert_close(loss.detach(), sum(w * reported[t] for t, w in terms.items()))
    there, _ = correspond(pairs["blurred"], pairs["sharp"])
    target = warp(pairs["sharp"], there.flow)[0]
    guided = net(pairs["blurred"], guided=True, sharp=target)
    torch.testing.assert_close(reported["pseudo"], distillation_loss(guided, there.mask).detach())
    made = net.reblurring(target, pairs["blurred"])
    expected = charbonnier(there.mask * made.image, there.mask * pairs["blurred"])
    torch.testing.assert_close(reported["matching"], expected.detach())


def test_without_a_prior_and_without_a_flow(pairs):
    net = network(prior=False)
    objective = DefocusObjective(warmup_steps=0, reblurring="matched", flow=None)
    _, reported = objective(net, pairs, 0)
    assert set(reported) == {"sharp", "matching", "reblurring", "psnr"}


def test_the_estimator_learns_the_blur_and_the_pair_shows_it(pairs):
    net = network()
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    objective = DefocusObjective(warmup_steps=100, reblurring="matched")
    losses = []
    for step in range(30):
        loss, reported = objective(net, pairs, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(reported["pseudo"].item())
    assert losses[-1] < 0.8 * losses[0]
    blurred, sharp = (
        (pairs[key][0].permute(1, 2, 0) * 255).round().byte().numpy()
        for key in ("blurred", "sharp")
    )
    net.eval()
    coc = match_defocus(net, blurred, sharp)
    assert abs(float(coc[8:-8, 8:-8].mean()) - 7) < 1.5
    reading = read_defocus(net, blurred)
    prior = net.estimate(pairs["blurred"][:1])[0]
    torch.testing.assert_close(reading.weights, prior[35:], atol=2e-2, rtol=0)  # of 8 bits
    assert abs(float(reading.coc.mean()) - 7) < 2.5


def test_what_cannot_be_is_a_sentence():
    with pytest.raises(ReblurError, match="it must be 'paper' or 'matched'"):
        DefocusObjective.from_dict({"warmup_steps": 0, "reblurring": "best"})
    with pytest.raises(ReblurError, match="no sharp picture to match"):
        network()(photograph(32), guided=True)
    plain = build_network("defocus_unet", width=2)
    picture = data.astronaut()[:32, :32]
    with pytest.raises(ReblurError, match="has no reblurring network"):
        match_defocus(plain, picture, picture)


def test_weights_begin_as_a_soft_choice_whatever_the_seed():
    for seed in range(3):
        net = build_network("defocus_unet", width=2, reblurring=True, matched=True, seed=seed)
        assert isinstance(net.reblurring, MatchedReblurring)
        with torch.no_grad():
            made = net.reblurring(photograph(32), photograph(32))
        assert (made.weights.argmax(1) == 0).float().mean() > 0.95


def test_the_multiply_adds_of_a_matched_network_are_counted():
    network = build_network("defocus_unet", seed=0, width=4, reblurring=True, matched=True)
    assert count_macs(network, 64, 96) > 0
