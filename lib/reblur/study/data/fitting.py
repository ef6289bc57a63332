"""The control of chapter 3: a hand-made degradation fitted to the target's images.

Refined pairs have seen the target, hand-made ones have not. Here the same low-quality images that
the diffusion model learns from choose the numbers of a hand-made chain (`recipes.Fitted`) by
random search, coarse to fine: the smallest distance of their spectra (`measures.distances`), the
distance that the protocol names.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from reblur.datasets.degradation.degrade import degrade
from reblur.datasets.degradation.recipes import Fitted
from reblur.measures.distances import spectra
from reblur.randomness import numpy_generator

Images = Float[Tensor, "_n 3 _h _w"]

#: What is searched: the largest value of each number of `Fitted`; the smallest is 0.
LARGEST = {"sigma": 5.0, "grey": 20.0, "coloured": 20.0, "amount": 2.0, "quality": 100.0}
ROUNDS, CANDIDATES = 6, 40
NARROWER = 0.55  # by which the search is narrower from round to round
KEPT = 4  # the best, around which the next round looks


def fit(highs: Images, target: Images, scale: int, seed: int) -> tuple[Fitted, float]:
    """The recipe whose low-quality images of `highs` have the spectrum of `target`, and the
    distance that is left (dB, root mean square over rings and colours).

    Both sets need images of one size on the low-quality side; other photographs may be behind them.
    """
    generator = numpy_generator(seed, "degradation/fit", 0)
    theirs = spectra(target).double().mean(0)
    names, largest = list(LARGEST), np.array(list(LARGEST.values()))
    tried: list[tuple[float, tuple[float, ...]]] = []

    def distance(values: np.ndarray) -> float:
        recipe = Fitted(**dict(zip(names, values.tolist(), strict=True)))
        lows, _ = degrade(highs, recipe, scale=scale, seed=seed, indices=range(len(highs)))
        return float((spectra(lows).double().mean(0) - theirs).square().mean().sqrt())

    for number in range(ROUNDS):
        for _ in range(CANDIDATES):
            if number == 0:  # small numbers are as likely as large ones
                values = largest * generator.random(len(names)) ** 2
                values[-1] = 100 - 80 * generator.random() ** 2
            else:
                _, middle = sorted(tried)[int(generator.integers(KEPT))]
                width = 0.3 * largest * NARROWER**number
                values = np.array(middle) + width * generator.standard_normal(len(names))
            values = values.clip(0, largest)
            tried.append((distance(values), tuple(values.tolist())))
    least, values = min(tried)
    return Fitted(**dict(zip(names, values, strict=True))), least
