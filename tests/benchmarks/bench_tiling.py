"""A 24-megapixel photograph through sr_edrb3 in tiles: peak memory, and the price of the tiles."""

import json
import resource
import subprocess
import sys
import time

LARGE = (4000, 6000)  # 24 megapixels
SMALL = (1024, 1280)  # restored in one go, or in tiles when asked
BUDGET_GB = 3.0


def run() -> list[dict]:
    """Each restoration in a process of its own, so that its peak memory is its own.

    The width of 32 is the paper's; it takes some minutes on two cores. The width of 8 is the
    demo's.
    """
    rows = []
    for width in (8, 32):
        large = restored(width, LARGE, None)
        rows.append(
            {
                "name": f"24 MP in tiles, sr_edrb3 width {width}: peak memory",
                "ours": large["gigabytes"],
                "reference": BUDGET_GB,
                "unit": "GB",
                "ratio": BUDGET_GB / large["gigabytes"],
                "note": f"{large['seconds']:.0f} s; reference: the budget of 3 GB",
            }
        )
    tiled, whole = restored(8, SMALL, 512), restored(8, SMALL, None)
    rows.append(
        {
            "name": "1280×1024 in tiles of 512 against in one go",
            "ours": tiled["seconds"],
            "reference": whole["seconds"],
            "unit": "s",
            "ratio": whole["seconds"] / tiled["seconds"],
            "note": f"peak {tiled['gigabytes']:.2f} GB against {whole['gigabytes']:.2f} GB",
        }
    )
    return rows


def restored(width: int, shape: tuple[int, int], tile: int | None) -> dict[str, float]:
    """Seconds of one restoration, and the peak resident memory of its process in GB (10⁹ bytes)."""
    arguments = json.dumps([width, *shape, tile])
    finished = subprocess.run(
        [sys.executable, __file__, arguments], capture_output=True, text=True, check=True
    )
    return json.loads(finished.stdout)


def child(width: int, rows: int, columns: int, tile: int | None) -> dict[str, float]:
    import numpy as np
    from skimage import data

    from reblur.evaluation.tiling import restore_image
    from reblur.networks import build_network

    motif = data.astronaut()
    repeats = (-(-rows // motif.shape[0]), -(-columns // motif.shape[1]), 1)
    photograph = np.ascontiguousarray(np.tile(motif, repeats)[:rows, :columns])
    network = build_network("sr_edrb3", width=width)
    start = time.perf_counter()
    result = restore_image(network, photograph, tile=tile, channels_last=True)
    seconds = time.perf_counter() - start
    if result.shape != photograph.shape:
        raise AssertionError(result.shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "gigabytes": peak * (1 if sys.platform == "darwin" else 1024) / 1e9}


if __name__ == "__main__":
    print(json.dumps(child(*json.loads(sys.argv[1]))))
