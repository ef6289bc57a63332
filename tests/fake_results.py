"""Made-up results on disk, for the tests of the study's tables, figures, report and verify.

No network made these numbers: they are drawn around chosen means so that a test knows what the
tables must say.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from reblur.files import sha256_of_file, write_json
from reblur.randomness import key, numpy_generator

#: variant -> (parameters, true gain over the blurred input in dB)
VARIANTS = {
    "ss": (2_731_619, 1.0),
    "sc": (8_194_857, 1.2),
    "wo_r": (2_731_619, 1.6),
    "rnn": (3_026_787, 1.7),
    "sr_flat": (2_659_939, 0.2),
    "sr_edrb1": (2_214_115, 1.4),
    "sr_edrb3": (3_764_195, 2.4),
    "sr_edrb3_skip": (3_764_195, 2.9),
    "sr_edrb3_1_scale": (3_764_195, 1.9),
    "sr_edrb3_2_scales": (3_764_195, 2.38),
    "nafnet": (17_111_907, 3.1),
}
CHAPTER = {
    "flagship": "sr_edrb3",
    "variants": {name: {"network": name} for name in VARIANTS},
    "tables": {
        "ablation": ["ss", "sc", "wo_r", "rnn", "sr_flat", "sr_edrb1", "sr_edrb3", "sr_edrb3_skip"],
        "scales": ["sr_edrb3_1_scale", "sr_edrb3_2_scales", "sr_edrb3"],
        "recurrence": ["wo_r", "rnn", "sr_edrb3"],
        "upsampling": ["sr_edrb3"],
        "peers": ["nafnet", "sr_edrb3", "sr_edrb3_skip"],
    },
    "panel": ["sr_edrb3", "sr_edrb3_skip", "nafnet"],
}
DATASETS = ("synthetic", "reds_samples")
IMAGES = 12


def runs(seeds: int = 3) -> list[tuple[str, int]]:
    """Every (variant, seed) of a made-up study."""
    return [(variant, seed) for variant in VARIANTS for seed in range(seeds)]


def write_results(root: Path, seeds: int = 3, leave_out: tuple[str, ...] = ()) -> Path:
    """Write a whole results/<profile> folder; runs named in `leave_out` are not there."""
    write_scores(root / "blurred", "blurred", -1, 0.0)
    for variant, seed in runs(seeds):
        if f"{variant}-{seed}" not in leave_out:
            write_run(root, variant, seed)
    return root


def write_run(root: Path, variant: str, seed: int) -> Path:
    """Write runs/<variant>-<seed> as training and evaluation leave it."""
    folder = root / "runs" / f"{variant}-{seed}"
    parameters, gain = VARIANTS[variant]
    scores = write_scores(folder, variant, seed, gain)
    cost = scores[["dataset", "image"]].assign(seconds=parameters / 1e8, peak_memory_mb=250.0)
    cost.to_csv(folder / "cost.csv", index=False)
    steps = np.arange(1, 201)
    noise = numpy_generator(seed, f"log/{variant}").normal(0, 0.05, len(steps))
    loss = (0.002 + 0.02 * np.exp(-steps / 40)) * np.exp(noise)
    log = {"step": steps, "loss": loss, "psnr": -10 * np.log10(loss), "lr": 1e-3}
    pd.DataFrame(log).to_csv(folder / "log.csv", index=False)
    at = np.arange(0, 201, 20)
    psnr = 24.6 + gain * (1 - np.exp(-at / 60)) - 3 * np.exp(-at / 8)
    validation = {"step": at, "seconds": at * parameters / 1e7, "psnr": psnr}
    pd.DataFrame(validation).to_csv(folder / "validation.csv", index=False)
    weights = folder / "weights.safetensors"
    weights.write_bytes(f"no weights: {variant} {seed}".encode())
    facts: dict[str, Any] = {
        "variant": variant,
        "seed": seed,
        "configuration": {"network": {"name": variant, "options": {}}},
        "parameters": parameters,
        "macs": parameters * 100_000,
        "macs_at": [720, 1280],
        "steps": 200,
        "seconds": 100.0,
        "weights_sha256": sha256_of_file(weights),
        "provenance": {},
    }
    write_json(folder / "run.json", facts)
    return folder


def write_scores(folder: Path, variant: str, seed: int, gain: float) -> pd.DataFrame:
    """scores.csv around 24.6 dB + gain: images differ by 2 dB, seeds by 0.05, the rest by 0.1."""
    rows = []
    for dataset in DATASETS:
        of_images = numpy_generator(0, f"fake/{dataset}").normal(0, 2, IMAGES)
        draw = numpy_generator(max(seed, 0), f"fake/{variant}/{dataset}")
        of_seed, rest = draw.normal(0, 0.05), draw.normal(0, 0.1, IMAGES)
        if variant == "blurred":
            of_seed, rest = 0.0, np.zeros(IMAGES)
        actual = gain if dataset == "synthetic" else gain / 4
        for i in range(IMAGES):
            psnr = 24.6 + actual + of_images[i] + of_seed + rest[i]
            ssim = 0.5 + psnr / 80
            rows.append(
                {
                    "dataset": dataset,
                    "image": f"{i:03d}",
                    "scene": f"scene{i // 2}",
                    "psnr": psnr,
                    "ssim": ssim,
                    "ssim_matlab": ssim + 0.02,
                    "lpips": np.nan,
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "scores.csv", index=False)
    return table


def picture(name: str, side: int = 160) -> np.ndarray:
    """(side, side, 3) uint8: a made-up picture with detail in one corner and a smooth rest."""
    generator = np.random.default_rng(key(0, name))
    y, x = np.mgrid[0:side, 0:side] / side
    base = np.stack([x, y, 1 - x], axis=-1) * 200
    base[: side // 3, side // 2 :] += generator.normal(0, 40, (side // 3, side - side // 2, 1))
    return np.clip(base, 0, 255).astype(np.uint8)


def examples(root: Path, study: Any, image: str = "000") -> list[Any]:
    """The panel's example of the synthetic set, with restored images written where runs are."""
    from scipy.ndimage import uniform_filter1d

    from reblur.study.panels import read_example

    sharp = picture(image)
    blurred = uniform_filter1d(sharp, 9, axis=1)
    for variant in CHAPTER["panel"]:
        folder = root / "runs" / f"{variant}-0"
        if folder.exists():
            target = folder / "restored" / "synthetic"
            target.mkdir(parents=True, exist_ok=True)
            half = (sharp.astype(int) + blurred) // 2
            Image.fromarray(half.astype(np.uint8)).save(target / f"{image}.png")
    return [read_example(study, "synthetic", image, blurred, sharp, CHAPTER["panel"])]
