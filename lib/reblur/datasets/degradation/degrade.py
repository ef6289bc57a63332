"""Hand-made degradations: low-quality images from sharp ones, by a recipe of random steps.

What is drawn for an image is a function of (seed, recipe, index) and of the image's size; it is
recorded, noise as the key of its generator, and the record alone makes the low image again:
`degrade` is nothing but draws followed by `redo`.

Recipes (`RECIPES`, with their ranges and sources in `degradation_recipes` and `second_order`):
"clean", "gaussian", "second_order", "softened", "faces", "shuffled".
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.degradation.jpeg import eight_bits
from reblur.datasets.degradation.recipes import RECIPES, Recipe
from reblur.datasets.degradation.steps import Draws, Step, alike, carry_out
from reblur.errors import ReblurError

__all__ = ["RECIPES", "degrade", "draw_degradation", "redo"]


def degrade(
    images: Float[Tensor, "b 3 h w"],
    recipe: str | Recipe,
    *,
    scale: int,
    seed: int,
    indices: Sequence[int],
) -> tuple[Float[Tensor, "b 3 _ _"], list[dict[str, Any]]]:
    """Low-quality images of (h / scale, w / scale), and what was drawn for each.

    On a CPU a sample has the same bits in every batch; an accelerator's sums may end in another
    last bit, which the last rounding seldom shows.

    Args:
        images: display values in [0, 1].
        recipe: a name of `RECIPES`, or one with numbers of its own.
        scale: by which the low images are smaller, at least 1.
        indices: of the samples.

    Returns:
        Display values in [0, 1] of 8 bits, and JSON-able draws for `redo`.

    Raises:
        ReblurError: an unknown recipe, sides that do not divide by the scale, values that are not
            in [0, 1].
    """
    check_pictures(images, scale, indices, "degradation")
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise ReblurError(
            f"degradation: unknown recipe {recipe!r}; choose from {', '.join(RECIPES)}."
        )
    height, width = images.shape[2:]
    draws = [draw_degradation(recipe, height, width, scale, seed, index) for index in indices]
    return redo(images, draws), draws


def draw_degradation(
    recipe: str | Recipe, height: int, width: int, scale: int, seed: int, index: int
) -> dict[str, Any]:
    """What `degrade` draws for one image of (height, width): JSON-able, with its steps in order."""
    name = recipe if isinstance(recipe, str) else type(recipe).__name__.lower()
    maker = RECIPES[recipe] if isinstance(recipe, str) else recipe
    steps = maker.draw(Draws(seed, f"degradation/{name}", index), height, width, scale)
    about = {"recipe": name, "scale": scale, "seed": int(seed), "index": int(index)}
    return about | {"height": height, "width": width, "steps": steps}


def redo(
    images: Float[Tensor, "b 3 h w"], draws: Sequence[dict[str, Any]]
) -> Float[Tensor, "b 3 _ _"]:
    """The low images again, from the sharp ones and the record of what was drawn.

    Raises:
        ReblurError: draws that are not of as many images, or not of this size.
    """
    height, width = images.shape[2:]
    if len(draws) != len(images):
        raise ReblurError(
            f"degradation: {len(draws)} draws for {len(images)} images; give one each."
        )
    for draw in draws:
        if (draw["height"], draw["width"]) != (height, width):
            raise ReblurError(
                f"degradation: drawn for images of {draw['height']}×{draw['width']}, not "
                f"{height}×{width}; give the image that it was drawn for."
            )
    low, chains = list(images.split(1)), [draw["steps"] for draw in draws]
    if images.device.type == "cpu":  # one by one: fits the cache, and the same bits in every batch
        low = [_through([image], [chain])[0] for image, chain in zip(low, chains, strict=True)]
    else:
        low = _through(low, chains)
    return eight_bits(torch.cat(low))


def _through(images: list[Tensor], chains: Sequence[Sequence[Step]]) -> list[Tensor]:
    """Each image (1, 3, h, w) through its own chain of steps; steps of one kind on images of one
    size go together."""
    for place in range(max(map(len, chains))):
        groups = defaultdict(list)
        for row, chain in enumerate(chains):
            if place < len(chain):
                groups[alike(chain[place]), images[row].shape].append(row)
        for rows in groups.values():
            batch = torch.cat([images[row] for row in rows])
            done = carry_out(batch, [chains[row][place] for row in rows])
            for row, image in zip(rows, done.split(1), strict=True):
                images[row] = image
    return images


def check_pictures(images: Tensor, scale: int, indices: Sequence[int], who: str) -> None:
    """Raises:
    ReblurError: no images or no pixels, another number of indices, a scale below 1, sides that do
        not divide by it, values that are not in [0, 1].
    """
    height, width = images.shape[2:]
    if not images.numel():
        raise ReblurError(f"{who}: images of shape {tuple(images.shape)}; give at least one pixel.")
    if len(indices) != len(images):
        raise ReblurError(f"{who}: {len(indices)} indices for {len(images)} images; give one each.")
    if scale < 1:
        raise ReblurError(f"{who}: scale {scale}; give 1 or more.")
    if height % scale or width % scale:
        raise ReblurError(
            f"{who}: {height}×{width} pixels do not divide by the scale {scale}; "
            f"crop both sides to multiples of {scale}."
        )
    low, high = (float(value) for value in torch.aminmax(images))
    if not (low >= 0 and high <= 1):  # also where one is NaN
        raise ReblurError(
            f"{who}: values from {low:g} to {high:g}; give display values in [0, 1] (8-bit levels "
            "divided by 255)."
        )
