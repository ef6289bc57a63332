"""Three ways to score against a sharp photograph that is not aligned with the blurred one.

They answer different questions, and a table that prints one of them says which (`PROTOCOLS`). The
third is what was published for SDD with JDRL (arXiv 2211.14502, 2409.17792).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8

from reblur.datasets.images.files import to_tensor, to_uint8
from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.alignment import compare_masked
from reblur.evaluation.scoring import (
    COSTS,
    METRICS,
    SCORE_COLUMNS,
    Restorer,
    compare_pixels,
    measured,
)
from reblur.warping import estimate_flow, warp

PROTOCOLS = {
    "raw": "pixel by pixel as the pair is: a sharp result that lies where the blurred photograph "
    "lies is punished for the pair's misalignment",
    "to_input": "the truth warped to the input, by the flow from the blurred photograph: one truth "
    "for all methods, as good as a flow between a blurred and a sharp picture",
    "to_output": "the truth warped to the output, by the flow from each restoration (the published "
    "protocol): what a method moves or bends is forgiven",
}


def score_protocols(
    restorer: Restorer,
    pairs: Iterable[Pair],
    dataset: str,
    *,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Restore every blurred photograph once and score it by each of `PROTOCOLS`.

    Where the truth was warped, only pixels that it covers count, and SSIM-MATLAB and LPIPS, which
    know no masks, are NaN. Where no flow is found (a flat picture), the truth stays where it is.

    Args:
        restorer: (H, W, 3) uint8 → (H, W, 3) uint8.
        pairs: their sharp sides need not be aligned.
        dataset: the rows carry `<dataset>_<protocol>`.

    Returns:
        A table like that of `scoring.score_pairs`, a row a pair and protocol, protocol by protocol.

    Raises:
        ReblurError: no pairs, or sizes that differ.
    """
    tables: dict[str, list[dict[str, str | float]]] = {name: [] for name in PROTOCOLS}
    for pair in pairs:
        cost: dict[str, float] = {}
        with measured(cost, torch.device(device)):
            restored = restorer(pair.blurred)
        try:
            for name, scores in _scores(pair, restored):
                row = {"dataset": f"{dataset}_{name}", "image": pair.name, "scene": pair.scene}
                tables[name].append(row | scores | cost)
        except ReblurError as error:
            raise ReblurError(f"{dataset}, image '{pair.name}': {error}") from error
    rows = [row for table in tables.values() for row in table]
    if not rows:
        raise ReblurError(f"{dataset}: has no pairs to score; look at its folder.")
    return pd.DataFrame(rows, columns=[*SCORE_COLUMNS, *COSTS])


def _scores(
    pair: Pair, restored: UInt8[np.ndarray, "h w 3"]
) -> Iterator[tuple[str, dict[str, float]]]:
    unknown = dict.fromkeys(METRICS, float("nan"))
    yield "raw", unknown | compare_pixels(pair.sharp, restored, pair.blurred)
    for name, onto in (("to_input", pair.blurred), ("to_output", restored)):
        truth, covered = warp_truth(pair.sharp, onto)
        yield name, unknown | compare_masked(truth, restored, covered)


def warp_truth(
    sharp: UInt8[np.ndarray, "h w 3"], onto: UInt8[np.ndarray, "h2 w2 3"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The sharp photograph warped onto another one, and 1 where it has values there, else 0.

    Raises:
        ReblurError: sizes that differ, or as `estimate_flow`.
    """
    picture, target = to_tensor(sharp)[None], to_tensor(onto)[None]
    warped, inside = warp(picture, estimate_flow(target, picture).flow)
    return to_uint8(warped[0]), inside[0, 0].numpy()
