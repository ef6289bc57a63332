"""Hand-made degradations: the recipes' ranges, and the record of draws."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from reblur.datasets.degradation import degrade as degradation
from reblur.datasets.degradation.degrade import RECIPES, degrade, draw_degradation, redo
from reblur.datasets.degradation.jpeg import eight_bits
from reblur.errors import ReblurError

SCALES = (1, 2, 4)


def pictures(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth blotches and some texture, of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, max(height // 6, 2), max(width // 6, 2), generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic")
    texture = 0.1 * torch.rand(count, 3, height, width, generator=generator)
    return eight_bits(0.8 * smooth + texture)


def steps_of(recipe: str, kind: str, count: int = 300, scale: int = 4) -> Iterator[dict]:
    for index in range(count):
        for step in draw_degradation(recipe, 128, 160, scale, 0, index)["steps"]:
            if step["step"] == kind:
                yield step


# --- ranges


RANGES = {  # of (resize factors first and second), Gaussian σ, Poisson, JPEG quality
    "second_order": (((0.15, 1.5), (0.3, 1.2)), (30, 25), (3.0, 2.5), (30, 30), (95, 95), 0.8),
    "softened": (((0.3, 1.5), (0.6, 1.2)), (15, 12), (2.0, 1.0), (60, 60), (95, 100), 0.5),
}


@pytest.mark.parametrize("recipe", RANGES)
def test_two_orders_draw_within_the_published_ranges(recipe: str) -> None:
    resize, sigma, strength, lowest, highest, second_blur = RANGES[recipe]
    seen = {name: ([], []) for name in ("factor", "sigma", "strength", "quality")}
    grey, blurs, sincs = [], 0, 0
    for index in range(1200):
        steps = draw_degradation(recipe, 4000, 4000, 4, 0, index)["steps"]
        first_jpeg = next(n for n, step in enumerate(steps) if step["step"] == "jpeg")
        for order, part in enumerate((steps[:first_jpeg], steps[first_jpeg + 1 :])):
            noisy = next(n for n, step in enumerate(part) if step["step"].endswith("noise"))
            if order:
                last = [step for step in part[noisy:] if step["step"] == "blur"]
                assert all(step["kernel"]["shape"] == "sinc" for step in last)
                blurs += any(step["step"] == "blur" for step in part[:noisy])
                sincs += len(last)
            side = 4000 if not order else 1000
            seen["factor"][order].extend(
                step["size"][0] / side for step in part[:noisy] if step["step"] == "resize"
            )
            for name in ("sigma", "strength"):
                seen[name][order].extend(step[name] for step in part if name in step)
            qualities = (steps[first_jpeg : first_jpeg + 1], part)[order]
            seen["quality"][order].extend(
                step["quality"] for step in qualities if step["step"] == "jpeg"
            )
            grey.append(part[noisy]["grey"])
    for order in (0, 1):
        for name, (low, high) in {
            "factor": resize[order],
            "sigma": (1.0, sigma[order]),
            "strength": (0.05, strength[order]),
            "quality": (lowest[order], highest[order]),
        }.items():
            drawn, slack = np.array(seen[name][order]), 0.03 * (high - low)
            assert low - 1e-3 <= drawn.min() <= low + slack, name
            assert high - slack <= drawn.max() <= high + 1e-3, name
    assert np.mean(grey) == pytest.approx(0.4, abs=0.04)
    assert blurs / 1200 == pytest.approx(second_blur, abs=0.05)
    assert sincs / 1200 == pytest.approx(0.8, abs=0.05)


def test_kernels_of_the_second_order_are_of_the_published_kinds() -> None:
    kernels = [
        draw_degradation("second_order", 128, 128, 4, 0, index)["steps"][0]["kernel"]
        for index in range(1200)
    ]
    shapes = [kernel["shape"] for kernel in kernels]
    others = [kernel for kernel in kernels if kernel["shape"] != "sinc"]
    isotropic = np.mean([k["sigma"][0] == k["sigma"][1] for k in others])
    assert shapes.count("sinc") / 1200 == pytest.approx(0.1, abs=0.03)
    assert shapes.count("gaussian") / len(others) == pytest.approx(0.70, abs=0.04)
    assert shapes.count("plateau") / len(others) == pytest.approx(0.15, abs=0.03)
    assert isotropic == pytest.approx(0.69, abs=0.04)
    assert {kernel["size"] for kernel in kernels} == set(range(7, 23, 2))
    sigmas = np.array([kernel["sigma"] for kernel in others])
    assert 0.2 <= sigmas.min() < 0.25
    assert 2.95 < sigmas.max() <= 3
    for kernel in kernels:
        if kernel["shape"] == "sinc":
            least = math.pi / 3 if kernel["size"] < 13 else math.pi / 5
            assert least <= kernel["cutoff"] <= math.pi
        elif kernel["shape"] == "generalised":
            assert 0.5 <= kernel["beta"] <= 4
        elif kernel["shape"] == "plateau":
            assert 1 <= kernel["beta"] <= 2


def test_faces_draw_within_the_published_ranges() -> None:
    sigmas = np.array([step["kernel"]["sigma"] for step in steps_of("faces", "blur", 500)])
    assert 0.1 <= sigmas.min() < 0.3
    assert 9.8 < sigmas.max() <= 10
    assert np.mean(sigmas[:, 0] == sigmas[:, 1]) == pytest.approx(0.5, abs=0.07)
    assert {step["kernel"]["size"] for step in steps_of("faces", "blur", 20)} == {41}
    noises = [step["sigma"] for step in steps_of("faces", "gaussian_noise")]
    assert 0 <= min(noises) < 1 < 19 < max(noises) <= 20
    assert {step["quality"] for step in steps_of("faces", "jpeg", 600)} == set(range(60, 101))
    firsts = [draw_degradation("faces", 512, 512, 4, 0, i)["steps"][1]["size"] for i in range(300)]
    assert 64 <= min(map(min, firsts)) < 67
    assert 512 < max(map(max, firsts)) <= 640


@pytest.mark.parametrize("scale", SCALES)
def test_shuffled_has_every_order_but_shrinks_to_the_end_last(scale: int) -> None:
    orders = set()
    for index in range(250):
        steps = draw_degradation("shuffled", 96, 64, scale, 0, index)["steps"]
        kinds = tuple(step["step"] for step in steps)
        assert kinds[-1] == "jpeg"
        assert 2 <= kinds.count("blur") <= 3
        assert sum(kind.endswith("noise") for kind in kinds) == 1
        sizes = [step["size"] for step in steps if step["step"] == "resize"]
        assert not sizes or sizes[-1] == [96 // scale, 64 // scale] or "decimate" in kinds
        orders.add(kinds)
    assert len(orders) > 100
    sigmas = [step["sigma"] for step in steps_of("shuffled", "gaussian_noise", 500)]
    assert 2 <= min(sigmas) < 2.5 < 24.5 < max(sigmas) <= 25
    assert {step["quality"] for step in steps_of("shuffled", "jpeg", 900)} == set(range(30, 96))
    for step in steps_of("shuffled", "covariance_noise", 100):
        strengths = np.linalg.eigvalsh(step["covariance"])
        assert -1e-6 <= strengths.min() <= strengths.max() <= 625


def test_gaussian_recipe_draws_its_sigmas() -> None:
    sigmas = np.array([step["kernel"]["sigma"] for step in steps_of("gaussian", "blur", 500)])
    assert (sigmas[:, 0] == sigmas[:, 1]).all()
    assert 0.2 <= sigmas.min() < 0.25
    assert 3.95 < sigmas.max() <= 4


# --- all recipes


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_record_alone_makes_the_image_again(recipe: str, scale: int) -> None:
    images = pictures(4, 40, 56)
    low, draws = degrade(images, recipe, scale=scale, seed=5, indices=[3, 0, 11, 4])
    assert low.shape == (4, 3, 40 // scale, 56 // scale)
    assert torch.equal(low, eight_bits(low))
    assert torch.equal(low, redo(images, json.loads(json.dumps(draws))))
    assert torch.equal(low[2:3], redo(images[2:3], draws[2:3]))
    assert [draw["index"] for draw in draws] == [3, 0, 11, 4]


@pytest.mark.parametrize("recipe", RECIPES)
def test_batch_changes_nothing_but_seed_and_index_do(recipe: str) -> None:
    images = pictures(1, 64, 64).repeat(6, 1, 1, 1)
    low, draws = degrade(images, recipe, scale=4, seed=1, indices=range(6))
    order = [4, 1, 5]
    some, again = degrade(images[:3], recipe, scale=4, seed=1, indices=order)
    assert torch.equal(some, low[order])
    assert again == [draws[n] for n in order]
    if recipe != "clean":
        other, _ = degrade(images, recipe, scale=4, seed=2, indices=range(6))
        assert not torch.equal(other, low)
        assert all(not torch.equal(low[0], low[n]) for n in range(1, 6))


@pytest.mark.parametrize("recipe", ["second_order", "shuffled", "faces"])
def test_steps_in_groups_equal_steps_one_by_one(recipe: str) -> None:
    """What runs on an accelerator, here on a CPU."""
    images = pictures(8, 64, 48)
    low, draws = degrade(images, recipe, scale=2, seed=0, indices=range(8))
    grouped = degradation._through(list(images.split(1)), [draw["steps"] for draw in draws])
    apart = (eight_bits(torch.cat(grouped)) - low).abs()
    assert (apart > 0).float().mean() < 0.01
    assert apart.max() < 0.1  # another last bit may end in another step of the JPEG


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("low_size", [(1, 1), (2, 3), (7, 5)])
def test_any_size_that_divides(recipe: str, scale: int, low_size: tuple[int, int]) -> None:
    images = pictures(3, scale * low_size[0], scale * low_size[1])
    low, _ = degrade(images, recipe, scale=scale, seed=0, indices=range(3))
    assert low.shape == (3, 3, *low_size)
    assert torch.isfinite(low).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_noise_and_jpeg_light_is_kept(recipe: str) -> None:
    """Blurs and resizing leave a constant alone, and the mean of an image nearly."""
    flat = torch.tensor([0.2, 0.6, 0.8])[None, :, None, None].expand(12, -1, 64, 64).contiguous()
    images = pictures(12, 64, 64)
    draws = [draw_degradation(recipe, 64, 64, 2, 0, index) for index in range(12)]
    for draw in draws:
        draw["steps"] = [s for s in draw["steps"] if s["step"] in ("blur", "resize", "decimate")]
    torch.testing.assert_close(redo(flat, draws), eight_bits(flat[..., ::2, ::2]))
    means = redo(images, draws).mean((2, 3)) - images.mean((2, 3))
    assert means.abs().max() < 0.02


def test_clean_is_the_bicubic_of_pillow() -> None:
    image = pictures(1, 64, 96)
    low, draws = degrade(image, "clean", scale=4, seed=0, indices=[0])
    for channel, got in zip(image[0], low[0], strict=True):
        exact = Image.fromarray(channel.numpy()).resize((24, 16), Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(exact).clip(0, 1) - got.numpy()).max() < 0.51 / 255 + 1e-5
    assert [step["step"] for step in draws[0]["steps"]] == ["resize"]
    same, _ = degrade(image, "clean", scale=1, seed=0, indices=[0])
    assert torch.equal(same, image)


def test_decimation_stands_in_the_middle_of_its_pixels() -> None:
    """A ramp, blurred and decimated, equals the ramp's area means."""
    ramp = (torch.arange(64) / 63).expand(1, 3, 64, 64).contiguous()
    chains = (draw_degradation("shuffled", 64, 64, 4, 0, index)["steps"] for index in range(200))
    steps = next(
        chain[n - 1 : n + 1]
        for chain in chains
        for n, step in enumerate(chain)
        if step["step"] == "decimate" and step["factor"] == 4
    )
    low = redo(ramp, [{"height": 64, "width": 64, "steps": steps}])
    inner = slice(4, -4)
    expected = F.avg_pool2d(ramp, 4)
    assert (low - expected)[..., inner].abs().max() < 0.51 / 255 + 1e-5


def test_softened_is_softer() -> None:
    images = pictures(24, 96, 96)
    clean, _ = degrade(images, "clean", scale=4, seed=0, indices=range(24))

    def error(recipe: str) -> float:
        low, _ = degrade(images, recipe, scale=4, seed=0, indices=range(24))
        return (low - clean).square().mean().item()

    assert error("gaussian") < error("softened") < error("second_order")


# --- bad input


def one_sentence(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_unknown_recipe_names_the_choices() -> None:
    with pytest.raises(ReblurError) as error:
        degrade(pictures(1, 8, 8), "realesrgan", scale=2, seed=0, indices=[0])
    assert all(name in one_sentence(error) for name in ("'realesrgan'", *RECIPES))


@pytest.mark.parametrize(
    ("change", "scale", "expected"),
    [
        (lambda images: images[..., :-1], 2, "16×19 pixels do not divide by the scale 2"),
        (lambda images: images, 0, "scale 0"),
        (lambda images: images * 255, 2, r"give display values in \[0, 1\]"),
        (lambda images: images - 0.5, 2, r"give display values in \[0, 1\]"),
        (lambda images: images * torch.nan, 2, "values from nan to nan"),
        (lambda images: images[..., :0], 2, "at least one pixel"),
        (lambda images: images[:1], 2, "2 indices for 1 images"),
    ],
)
def test_bad_images_are_one_clear_sentence(change, scale: int, expected: str) -> None:
    images = change(pictures(2, 16, 20))
    with pytest.raises(ReblurError, match=expected) as error:
        degrade(images, "softened", scale=scale, seed=0, indices=[0, 1])
    one_sentence(error)


def test_redo_refuses_other_images() -> None:
    images = pictures(2, 16, 20)
    _, draws = degrade(images, "softened", scale=2, seed=0, indices=[0, 1])
    with pytest.raises(ReblurError, match="drawn for images of 16×20, not 20×16"):
        redo(images.transpose(2, 3), draws)
    with pytest.raises(ReblurError, match="1 draws for 2 images"):
        redo(images, draws[:1])
