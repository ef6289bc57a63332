"""Made-up results of chapter 3 on disk, from fixed functions: a test knows what tables must say."""

from pathlib import Path

import numpy as np
import pandas as pd
from fake_results import picture
from reblur.study.results import Study, read_study

from reblur.datasets.images.files import write_image
from reblur.files import sha256_of_file, write_json
from reblur.randomness import numpy_generator
from reblur.study.params import run_folder

CONTROLLED = ["clean", "handmade", "softened", "refined_50", "refined_100", "refined_200", "oracle"]
REAL = ["clean", "handmade", "softened", "refined_50", "refined_100", "refined_200"]
#: variant -> sources
ASKED = {
    "superres_rrdb": CONTROLLED,
    "superres_sr_edrb3": CONTROLLED,
    "deblur_nafnet": CONTROLLED,
    "real_superres_rrdb": REAL,
    "real_faces_rrdb": REAL,
}
SECTION = {
    "rule": {"metric": "swd", "content_drift": 0.03},
    "tasks": {
        "superres": {"scale": 4},
        "deblur": {"scale": 1},
        "real_superres": {"scale": 4, "real": True},
        "real_faces": {"scale": 1, "real": True},
    },
    "variants": {name: {"network": name.partition("_")[2]} for name in ASKED},
    "panel": ["clean", "softened", "refined", "oracle"],
}
RUNS = [(f"{v}@{s}", seed) for v, sources in ASKED.items() for s in sources for seed in range(3)]
TASKS = ["superres", "deblur", "real_superres", "real_faces"]
DATASETS = ["superres", "deblur"]
BLURRED = "diffusion/blurred"
IMAGES = 10

#: what a restorer gains by its source of pairs (dB)
GAINS = {
    "clean": 0.1, "handmade": 0.6, "softened": 0.8,
    "refined_50": 0.9, "refined_100": 1.4, "refined_200": 1.1, "oracle": 2.0,
}  # fmt: skip
#: SWD to the target and mean content drift; of each task the same but for FACTOR
PLACES = {
    "target": (0.030, None), "clean": (0.120, 0.012), "handmade": (0.074, 0.041),
    "softened": (0.062, 0.0), "refined_50": (0.060, 0.011), "refined_100": (0.048, 0.021),
    "refined_200": (0.037, 0.038), "oracle": (0.031, 0.033),
}  # fmt: skip
FACTOR = {"superres": 1.0, "deblur": 1.2, "real_superres": 0.7, "real_faces": 3.0}
NIQE = {"clean": 7.0, "handmade": 5.5, "softened": 5.8}
NIQE |= {"refined_50": 5.4, "refined_100": 5.0, "refined_200": 5.2}


def start(source: str) -> float:
    return float(source.partition("_")[2] or "nan")


def write_results(root: Path, leave_out: tuple[str, ...] = ()) -> Path:
    """A whole results/<profile>; arms and tasks named in `leave_out` have nothing."""
    tables = [scores(task, 0.0, 0) for task in DATASETS]
    save(pd.concat(tables), root / BLURRED / "scores.csv")
    for task in TASKS:
        if task not in leave_out:
            write_task(root / "diffusion" / task, task)
    real = [task for task in TASKS if task not in DATASETS]
    for task in real:
        save(realism(task, 8.0, 0), root / BLURRED / task / "realism.csv")
        save(real_distances(task, 0.09), root / BLURRED / task / "distances.csv")
        write_image(root / BLURRED / "restored" / task / "a.png", picture(task, 120) // 2)
    for arm, seed in RUNS:
        if arm not in leave_out:
            write_run(run_folder(root, arm, seed), arm, seed)
    return root


def write_run(folder: Path, arm: str, seed: int) -> None:
    variant, source = arm.split("@")
    task = next(task for task in reversed(TASKS) if variant.startswith(task))
    if task in DATASETS:
        save(scores(task, GAINS[source], seed), folder / "scores.csv")
    else:
        save(realism(task, NIQE[source], seed), folder / "realism.csv")
        save(real_distances(task, NIQE[source] / 100), folder / "distances.csv")
        seen = picture(task, 120).astype(int) * (60 + list(NIQE).index(source) * 6) // 100
        write_image(folder / "restored" / task / "a.png", seen.astype(np.uint8))
    steps = np.arange(1, 201)
    save(pd.DataFrame({"step": steps, "loss": 0.02 + np.exp(-steps / 40)}), folder / "log.csv")
    psnr = 24 + GAINS[source] * (1 - np.exp(-steps / 60))
    frame = pd.DataFrame({"step": steps, "seconds": steps * 0.5, "psnr": psnr})
    save(frame[::20], folder / "validation.csv")
    (folder / "weights.safetensors").write_text("none")
    facts = {"variant": arm, "seed": seed, "parameters": 1_234_567, "macs": 9e9, "steps": 200}
    facts |= {"seconds": 100.0, "configuration": {"task": task}}
    facts |= {"weights_sha256": sha256_of_file(folder / "weights.safetensors")}
    write_json(folder / "run.json", facts)


def scores(task: str, gain: float, seed: int) -> pd.DataFrame:
    """Of 24.6 dB + gain; images differ by 2 dB, seeds by 0.02."""
    of_images = numpy_generator(0, f"fake/{task}").normal(0, 2, IMAGES)
    rest = numpy_generator(seed, f"fake/{task}/{gain}").normal(0, 0.02, IMAGES) * (gain > 0)
    psnr = 24.6 + gain + of_images + rest
    frame = pd.DataFrame({"dataset": task, "image": [f"{i:05d}" for i in range(IMAGES)]})
    ssim = 0.5 + psnr / 80
    return frame.assign(
        scene=frame["image"], psnr=psnr, ssim=ssim, ssim_matlab=ssim, lpips=1 - psnr / 60
    )


def realism(task: str, niqe: float, seed: int) -> pd.DataFrame:
    """NIQE of six real images; of the faces it is not available."""
    names = list("abcdef")
    values = niqe + np.arange(6) / 10 + 0.01 * seed
    if task == "real_faces":
        values = np.full(6, np.nan)
    return pd.DataFrame({"dataset": task, "image": names, "scene": names, "niqe": values})


def real_distances(task: str, distance: float) -> pd.DataFrame:
    metrics = ["swd", "spectrum"]
    frame = pd.DataFrame({"dataset": task, "metric": metrics})
    return frame.assign(distance=[distance, 10 * distance], floor=[0.02, 0.2])


def write_task(folder: Path, task: str) -> None:
    """What belongs to a task and to no run."""
    oracle = task in DATASETS
    places = {s: place for s, place in PLACES.items() if oracle or s != "oracle"}
    rows, drifts = [], []
    for number, (source, (distance, moved)) in enumerate(places.items()):
        t0, far = start(source), distance * FACTOR[task]
        rows += [(source, t0, "swd", far), (source, t0, "spectrum", 4 * far)]
        rows += [(source, t0, "mmd", far / 7 - 0.004)]
        for i in range(8) if moved is not None else ():
            content = moved * FACTOR[task] * (0.65 + 0.1 * i)
            drifts.append((source, t0, f"{i:05d}", 1.6 * content, content))
        sample = picture(source, 64 if oracle else 32)
        for i in range(3):
            name = f"{i:03d}.png"
            write_image(folder / "examples" / source / name, np.roll(sample, 5 * number, 1) // 2)
    frame = pd.DataFrame(rows, columns=["source", "t0", "metric", "distance"])
    save(frame, folder / "distances.csv")
    columns = ["source", "t0", "image", "drift", "content_drift"]
    save(pd.DataFrame(drifts, columns=columns), folder / "drift.csv")
    for i in range(3):
        write_image(folder / "examples" / "high" / f"{i:03d}.png", picture(f"high{i}", 128))
    for kind in ("target", "start", "sample"):
        for i in range(6):
            drawn = picture(f"{kind}{i}", 32)
            write_image(folder / "samples" / kind / f"{i:03d}.png", np.roll(drawn, 4 * i, 0))
    steps = np.arange(10, 4001, 10)
    noise = numpy_generator(0, f"ddpm/{task}").normal(0, 0.08, len(steps))
    loss = (0.03 + 0.8 * np.exp(-steps / 150)) * np.exp(noise)
    save(pd.DataFrame({"step": steps, "loss": loss, "lr": 1e-4}), folder / "denoiser" / "log.csv")
    facts = {"parameters": 6_000_000, "steps": 4000, "seconds": 600.0}
    network = {"network": {"name": "ddpm_small", "options": {}}}
    write_json(folder / "denoiser" / "run.json", {**facts, "configuration": network})
    rows = [
        (sampler, 100, calls, 40.0 / calls, metric, distance, "cpu")
        for sampler, calls, distance in (("every step", 101, 0.048), ("ddpm, 10 calls", 11, 0.05))
        for metric in ("swd", "spectrum")
    ]
    columns = ["sampler", "t0", "calls", "images_per_second", "metric", "distance", "device"]
    save(pd.DataFrame(rows, columns=columns), folder / "cost.csv")


def save(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


def study_in(root: Path, evidence: bool = True) -> Study:
    return read_study(root, RUNS, DATASETS, evidence=evidence, blurred=BLURRED)
