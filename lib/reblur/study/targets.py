"""Chapter 3: what a target leaves: how near to it each source's pairs are, and a few pictures.

A source is measured by the distance of its low-quality images to the target's, and by how far their
content deviates from that of the images that refinement starts from (`reblur.measures.distances`).

    results/<profile>/targets/<task>-<seed>/      run.json, log.csv, measures.csv
    results/<profile>/pictures/diffusion/<task>/  a few pictures, of the first seed alone
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from reblur.datasets.images.files import to_uint8, write_image
from reblur.datasets.images.pair_sets import PairSet
from reblur.datasets.images.photographs import Photographs
from reblur.diffusion import refine
from reblur.files import atomic_path, sha256_of_file, write_json
from reblur.measures.distances import (
    available_distances,
    content_deviation,
    deviation,
    distance,
    spectrum_deviation,
)
from reblur.networks.complexity import count_parameters
from reblur.networks.weights import save_network
from reblur.study.chapters.diffusion import pairs_folder
from reblur.study.data.available import trained_on
from reblur.study.data.made_pairs import Images, half, target_images
from reblur.study.denoisers import as_tensor
from reblur.study.params import project_root, results_folder
from reblur.study.provenance import code_state, library_versions, machine
from reblur.study.runs import scratch_folder, write_long
from reblur.training import TrainingResult

TARGET = "target"  # the source of the floor: the target's images against each other
MEASURE_COLUMNS = ("source", "t0", "dataset", "photograph", "image", "metric", "value")
#: `dataset` of what is measured of pairs; the photograph and image of a distance, which is of a set
PAIRS, ALL = "pairs", "all"
SHOWN = 3  # pictures of each kind that are kept


def low_images(pairs: PairSet) -> Images:
    """Every low-quality image of a set of pairs, at its own size."""
    return as_tensor([pairs.low(number) for number in range(len(pairs))])


def measure_pairs(made: Mapping[str, Any], sets: Sequence[PairSet]) -> pd.DataFrame:
    """The distance of each set's low-quality images to patches of the target, with one half of the
    target's images against the other and the deviation of the spectrum's distance over photographs;
    and each image's deviation from the one that refinement starts from, in all (`deviation`) and in
    content (`content_deviation`).

    Args:
        made: of `chapters.diffusion.target_recipes`.
        sets: its `pairs`, in their order; the first is what refinement starts from.
    """
    domain, target = _domain_and_target(made)
    images, count = target_images(domain, target), made["patches"]
    stream = "distance-target"
    whole = _patches(images, count, domain, stream)
    homes = [images.photograph_of(domain["seed"], stream, n) for n in range(count)]
    first, second = (_patches(half(images, n), count, domain, f"distance-half-{n}") for n in (0, 1))
    rows = list(_distances(TARGET, None, PAIRS, second, first))
    initial = low_images(sets[0])
    for about, pairs in zip(made["pairs"], sets, strict=True):
        lows, named = low_images(pairs), (about["source"], about["t0"])
        rows += _distances(*named, PAIRS, lows, whole)
        moves = spectrum_deviation(lows, pairs.scenes, whole, homes)
        rows.append((*named, PAIRS, ALL, ALL, "spectrum_deviation", moves))
        for metric, values in (
            ("deviation", deviation(lows, initial)),
            ("content_deviation", content_deviation(lows, initial)),
        ):
            rows += [
                (*named, PAIRS, photograph, image, metric, float(value))
                for photograph, image, value in zip(pairs.scenes, pairs.names, values, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(MEASURE_COLUMNS))


def _distances(
    source: str, t0: Any, dataset: str, ours: Images, theirs: Images
) -> Iterator[tuple[Any, ...]]:
    for metric in available_distances():
        yield source, t0, dataset, ALL, ALL, metric, distance(metric, ours, theirs)


def measure_cost(
    made: Mapping[str, Any], denoiser: nn.Module, initial: Images, t0: int, device: str
) -> pd.DataFrame:
    """What each sampler costs from one t0, and how near to the target it comes: rows whose
    `dataset` is the sampler's name, of `calls` of the network, `images_per_second` and distances.

    Args:
        initial: low-quality images to refine.
    """
    domain, target = _domain_and_target(made)
    whole = _patches(target_images(domain, target), made["patches"], domain, "distance-target")
    own = made["synthesis"]
    samplers = {
        "ddpm, every step": {"sampler": "ddpm"},
        f"{own['sampler']}, {own['steps']} steps": own,
    }
    samplers |= {
        f"{name}, 10 steps": {"sampler": name, "steps": 10} for name in ("sde_dpmpp", "unipc")
    }
    rows: list[tuple[Any, ...]] = []
    for name, options in samplers.items():
        calls = _Calls(denoiser)
        begun = time.perf_counter()
        lows = refine(
            calls, initial.to(device), t0, seed=made["seed"], indices=range(len(initial)), **options
        ).cpu()
        rate = len(initial) / (time.perf_counter() - begun)
        for metric, value in (("calls", calls.count), ("images_per_second", rate)):
            rows.append(("refined", t0, name, ALL, ALL, metric, value))
        rows += _distances("refined", t0, name, lows, whole)
    return pd.DataFrame(rows, columns=list(MEASURE_COLUMNS))


class _Calls(nn.Module):
    """A denoiser that counts how often it is asked."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser, self.t_max, self.count = denoiser, denoiser.t_max, 0

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        self.count += 1
        return self.denoiser(noisy, t)


def target_folder(profile: str, made: Mapping[str, Any]) -> Path:
    name = f"{made['task']}-{made['seed']}"
    return project_root() / results_folder(profile) / "targets" / name


def write_target(
    profile: str, made: Mapping[str, Any], result: TrainingResult, measures: pd.DataFrame
) -> None:
    """Write run.json, log.csv and measures.csv of a target; its weights stay in scratch/."""
    folder, denoiser = target_folder(profile, made), made["denoiser"]
    weights = scratch_folder(denoiser) / "denoiser.safetensors"
    save_network(result.network, weights, **trained_on(denoiser["data"]))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "log.csv") as copy:
        copy.write_bytes(result.log.read_bytes())
    write_measures(measures, folder / "measures.csv")
    facts = {
        **denoiser,
        "target": {"task": made["task"], "seed": made["seed"]},
        "pairs": {
            pairs_folder(about["source"], about["t0"]): about["pairs"] for about in made["pairs"]
        },
        "measured_by": made["measured_by"],
        "code": code_state(),
        "parameters": count_parameters(result.network),
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "weights_sha256": sha256_of_file(weights),
        "machine": machine(),
        "versions": library_versions(),
    }
    write_json(folder / "run.json", facts)


def write_measures(measures: pd.DataFrame, path: Path) -> None:
    """Write long measures: t0 is a whole number, "drawn", or empty where there is none."""
    starts = ["" if pd.isna(t0) else t0 if t0 == "drawn" else int(t0) for t0 in measures["t0"]]
    write_long(measures.assign(t0=pd.Series(starts, measures.index, dtype=object)), path)


def write_pictures(
    profile: str, made: Mapping[str, Any], seen: Mapping[str, Images], sets: Sequence[PairSet]
) -> None:
    """Write a few pictures for the chapter's figures, those of the first seed alone.

    Args:
        seen: of `learned`: learned/<kind>/NNN.png.
        sets: the pairs of `made`: pairs/<source>/NNN.png, and the high-quality images pairs/high/.
    """
    if not made["shows"]:
        return
    folder = project_root() / results_folder(profile) / "pictures" / "diffusion" / made["task"]
    shown = {f"learned/{kind}": [to_uint8(i) for i in images] for kind, images in seen.items()}
    numbers = range(min(SHOWN, len(sets[0])))
    shown["pairs/high"] = [sets[0].high(number) for number in numbers]
    for about, pairs in zip(made["pairs"], sets, strict=True):
        shown[f"pairs/{pairs_folder(about['source'], about['t0'])}"] = [
            pairs.low(number) for number in numbers
        ]
    for kind, pictures in shown.items():
        for number, picture in enumerate(pictures[:SHOWN]):
            write_image(folder / kind / f"{number:03d}.png", picture)


def _domain_and_target(made: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    config = made["denoiser"]["configuration"]
    return config["domain"], config["target"]


def _patches(images: Photographs, count: int, domain: Mapping[str, Any], stream: str) -> Images:
    return images.crops(domain["seed"], stream, range(count), domain["low"], augment=False)
