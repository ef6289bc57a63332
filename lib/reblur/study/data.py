"""What a profile trains and tests on: sources of training pairs, test sets, what is at hand."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.datasets.images import to_uint8, write_image
from reblur.datasets.layouts import open_kohler
from reblur.datasets.manifests import load_manifest, locate, manifest_hash
from reblur.datasets.motion import MotionBlur, MotionBlurOptions
from reblur.datasets.pairs import Pair, PairCrops, open_pairs, open_pairs_of
from reblur.datasets.photographs import open_photographs
from reblur.errors import ReblurError
from reblur.evaluation.alignment import compare_aligned
from reblur.evaluation.kohler import score_kohler
from reblur.evaluation.scoring import Restorer, compare_pixels, score_pairs
from reblur.files import write_json, write_text
from reblur.study.params import profile_of, project_root, results_folder, runs_of
from reblur.study.results import Study, read_study
from reblur.study.tables import NOT_AVAILABLE

#: So many images of each test set are kept as restored, for the panels.
KEPT = 2

#: The name of the test set of synthesised blur, and of its folder under `results/<profile>/data`.
SYNTHETIC = "synthetic"


def note_available(params: dict[str, Any], profile: str) -> dict[str, str]:
    """Write `available.json` of a profile: each real test set → its manifest's hash, or that it
    is not available (why is printed).

    A set is brought from the cache or a mirror folder; only a profile whose `data.real.download` is
    true asks a public address. A set that cannot be had is noted as such, and never replaced.
    """
    from reblur.datasets.fetching import fetch

    real = profile_of(params, profile)["data"]["real"]
    noted: dict[str, str] = {}
    for name in real["sets"]:
        manifest = load_manifest(name)
        try:
            fetch(name, download=real.get("download", False))
            noted[name] = manifest_hash(manifest)
        except ReblurError as error:
            noted[name] = NOT_AVAILABLE
            print(error)
        print(f"{name}: {noted[name]}")
    path = project_root() / results_folder(profile) / "available.json"
    if not path.is_file() or json.loads(path.read_text()) != noted:
        write_json(path, noted)
    return noted


def training_source(data: dict[str, Any], crop: int) -> MotionBlur | PairCrops:
    """The source of training pairs that a profile's `data` section describes.

    Args:
        data: with `photographs` (names of manifests) and `motion`, the blur is synthesised; with
            `pairs` (one manifest and its split), crops are cut from pairs that exist.
        crop: side of a training crop in pixels.
    """
    if "pairs" in data:
        return PairCrops(open_pairs_of(data["pairs"], "train"), crop)
    photographs = open_photographs(
        data["photographs"], "train", downscale=data["downscale"], min_side=data["min_side"]
    )
    return MotionBlur(photographs, MotionBlurOptions.from_dict(data["motion"]), crop)


def synthesised_pairs(
    data: dict[str, Any], split: str, count: int, size: int, seed: int
) -> Iterator[Pair]:
    """`count` pairs of side `size`, synthesised from the photographs of `split` (never trained on).

    Pair i is a function of (seed, i) alone.
    """
    photographs = open_photographs(
        data["photographs"], split, downscale=data["downscale"], min_side=data["min_side"]
    )
    source = MotionBlur(photographs, MotionBlurOptions.from_dict(data["motion"]), size)
    for index in range(count):
        batch = source.batch(seed, [index], "cpu")
        blurred, sharp = (to_uint8(batch[key][0]) for key in ("blurred", "sharp"))
        yield Pair(f"{index:03d}", f"{split}-{index:03d}", blurred, sharp)


def write_synthetic_test(params: dict[str, Any], profile: str) -> Path:
    """Synthesise the held-out test pairs and write them as PNG: `data/synthetic/{blur,sharp}`."""
    data = profile_of(params, profile)["data"]
    part = data["synthetic"]
    folder = project_root() / results_folder(profile) / "data" / SYNTHETIC
    described = {**data, "photographs": part["photographs"]}
    for pair in synthesised_pairs(described, "test", part["pairs"], part["size"], part["seed"]):
        write_image(folder / "blur" / f"{pair.name}.png", pair.blurred)
        write_image(folder / "sharp" / f"{pair.name}.png", pair.sharp)
    return folder


@dataclass(frozen=True)
class TestSet:
    """Test pairs, cut to a centre crop where the profile says so."""

    name: str
    pairs: Sequence[Pair]
    indices: tuple[int, ...]
    size: int | None

    __test__ = False  # the name is the field's; it is no case for pytest

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Pair:
        pair = self.pairs[self.indices[position]]
        if self.size is None:
            return pair
        return replace(
            pair,
            blurred=centre_crop(pair.blurred, self.size),
            sharp=centre_crop(pair.sharp, self.size),
        )

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The central size × size pixels of (H, W, 3); the whole of a side that is shorter."""
    height, width = image.shape[:2]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def spread(count: int, wanted: int | None) -> tuple[int, ...]:
    """`wanted` of `count` indices, evenly spread, first and last included; all when None."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(round(i * (count - 1) / max(1, wanted - 1)) for i in range(wanted))


def test_sets(params: dict[str, Any], profile: str) -> dict[str, TestSet]:
    """Every test set of the profile that is here; which are not stands in `available.json`.

    Raises:
        ReblurError: the data stage has not run yet.
    """
    data = profile_of(params, profile)["data"]
    folder = project_root() / results_folder(profile)
    found: dict[str, TestSet] = {}
    if data.get("synthetic"):
        pairs = open_pairs("folders", folder / "data" / SYNTHETIC)
        found[SYNTHETIC] = TestSet(SYNTHETIC, pairs, tuple(range(len(pairs))), None)
    for name in available(profile):
        pairs = open_pairs_of(name, "test")
        chosen = spread(len(pairs), data["real"].get("pairs"))
        found[name] = TestSet(name, pairs, chosen, data["real"].get("size"))
    return found


def score_sets(restorer: Restorer, sets: dict[str, TestSet], device: str) -> pd.DataFrame:
    """The scores of a restorer on every test set, each by the protocol of its field.

    Pairs that a rig took (layout `realblur`) are aligned before they are compared, as published;
    LPIPS is left out there. All others are compared pixel by pixel.
    """
    tables = []
    for name, pairs in sets.items():
        rig = name != SYNTHETIC and load_manifest(name).layout == "realblur"
        compare = compare_aligned if rig else compare_pixels
        tables.append(
            score_pairs(restorer, pairs, name, compare=compare, lpips=not rig, device=device)
        )
    return pd.concat(tables, ignore_index=True)


def score_kohler_where_here(
    params: dict[str, Any], profile: str, restorer: Restorer, folder: Path
) -> pd.DataFrame | str:
    """Write `kohler.csv` into a run's folder, where the profile asks for the benchmark and has it.

    Returns:
        The table, or the sentence that says why there is none.
    """
    if not profile_of(params, profile)["data"].get("kohler", False):
        return f"profile {profile} does not ask for Köhler's benchmark."
    try:
        images = open_kohler(locate("kohler"))
    except ReblurError as error:
        return str(error)
    scores = score_kohler(restorer, images)
    write_text(folder / "kohler.csv", scores.to_csv(index=False, lineterminator="\n"))
    return scores


def available(profile: str) -> list[str]:
    """The real test sets that `available.json` notes as here."""
    path = project_root() / results_folder(profile) / "available.json"
    if not path.is_file():
        raise ReblurError(f"{path}: is missing; make it with 'reblur fetch {profile}'.")
    noted = json.loads(path.read_text(encoding="utf-8"))
    return [name for name, note in noted.items() if note != NOT_AVAILABLE]


def data_hashes(data: dict[str, Any]) -> dict[str, str]:
    """The hash of each manifest that a profile's `data` section trains or tests on."""
    names = set(data.get("photographs", [])) | set(data["real"]["sets"])
    names |= set((data.get("synthetic") or {}).get("photographs", []))
    if "pairs" in data:
        names.add(data["pairs"])
    return {name: manifest_hash(load_manifest(name)) for name in sorted(names)}


def write_data_hashes(params: dict[str, Any], profile: str) -> None:
    """Write `data_hashes.json`: what the training stages depend on, instead of every manifest."""
    path = project_root() / results_folder(profile) / "data_hashes.json"
    write_json(path, data_hashes(profile_of(params, profile)["data"]))


def asked_sets(params: dict[str, Any], profile: str) -> list[str]:
    """Every test set that the profile asks for, here or not; the synthesised one first."""
    data = profile_of(params, profile)["data"]
    return ([SYNTHETIC] if data.get("synthetic") else []) + list(data["real"]["sets"])


def open_study(params: dict[str, Any], profile: str) -> Study:
    """The results of a profile, with its missing runs and test sets named as such."""
    return read_study(
        project_root() / results_folder(profile),
        [(run.variant, run.seed) for run in runs_of(params, profile)],
        datasets=asked_sets(params, profile),
        evidence=bool(profile_of(params, profile).get("evidence", False)),
    )


def examples(params: dict[str, Any], profile: str, study: Study) -> list:
    """The test images of the panels (`panels.Example`): the first kept one of each set, …"""
    from reblur.study.panels import read_example  # matplotlib: half a second that training spares

    sets = test_sets(params, profile)
    variants = [name for name in params["scale_recurrent"]["panel"] if name in study.variants]
    found = []
    for position in range(KEPT):
        for name, pairs in sets.items():
            if position < len(pairs):
                pair = pairs[position]
                found.append(
                    read_example(study, name, pair.name, pair.blurred, pair.sharp, variants)
                )
    return found
