"""What a profile tests on: test sets and their scores, and what is at hand."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.datasets.catalogue.manifests import load_manifest, locate, manifest_hash, manifest_names
from reblur.datasets.defocus.pairs import MAPS, PAIRS
from reblur.datasets.images.files import write_image
from reblur.datasets.images.layouts import open_kohler
from reblur.datasets.images.pair_sets import pair_set_hash
from reblur.datasets.images.pairs import Pair, open_pairs
from reblur.errors import ReblurError
from reblur.evaluation.alignment import compare_aligned
from reblur.evaluation.kohler import score_kohler
from reblur.evaluation.protocols import PROTOCOLS, score_protocols
from reblur.evaluation.scoring import (
    COST_COLUMNS,
    SCORE_COLUMNS,
    Restorer,
    compare_pixels,
    score_pairs,
)
from reblur.files import write_json, write_text
from reblur.study.params import (
    chapter_folder,
    chapters_of,
    data_of,
    profile_of,
    project_root,
    results_folder,
    runs_of,
)
from reblur.study.results import BLURRED, Study, read_study
from reblur.study.sources import open_made_pairs, open_set, synthesised_pairs
from reblur.study.tables import NOT_AVAILABLE

#: The chapter whose test sets are its tasks.
DIFFUSION = "diffusion"

#: The folder below `results/<profile>` with what is degraded and tested on there.
SUBJECTS = "subjects"

#: So many images of each test set are kept as restored, for the panels.
KEPT = 2

#: The test set of synthesised blur of chapter 1, and its folder below the chapter's `data`.
SYNTHETIC = "synthetic"

#: Those of chapter 2: of photographs with drawn depth, and of scenes with measured depth.
THIN_LENS, MEASURED = "thin_lens", "measured_depth"

#: The first as a second camera would have taken it: the sharp side is misaligned.
MISALIGNED = "thin_lens_misaligned"

#: Test sets of a chapter that it makes itself: name → its folder, and there the sharp side's.
SYNTHESISED = {
    "scale_recurrent": {SYNTHETIC: (SYNTHETIC, "sharp")},
    "defocus": {
        THIN_LENS: (THIN_LENS, "sharp"),
        MISALIGNED: (THIN_LENS, "misaligned"),
        MEASURED: (MEASURED, "sharp"),
    },
}

#: Test sets whose pairs are so misaligned that they are scored by all of `PROTOCOLS`.
BY_ALL_PROTOCOLS = (MISALIGNED, "sdd", "focus_stack_pcb")


def note_available(params: dict[str, Any], profile: str) -> dict[str, str]:
    """Write `available.json` of a profile: each real test set → its manifest's hash, or that it
    is not available (why is printed).

    A set is brought from the cache or a mirror folder; only where `data.real.download` is true is a
    public address asked. A set that cannot be had is noted as such, and never replaced.
    """
    from reblur.datasets.catalogue.fetching import fetch

    asked: dict[str, bool] = {}
    for chapter in chapters_of(params, profile):
        real = data_of(params, profile, chapter)["real"]
        asked |= dict.fromkeys(real["sets"], real.get("download", False))
    noted: dict[str, str] = {}
    for name, download in asked.items():
        manifest = load_manifest(name)
        try:
            fetch(name, download=download)
            noted[name] = manifest_hash(manifest)
        except ReblurError as error:
            noted[name] = NOT_AVAILABLE
            print(error)
        print(f"{name}: {noted[name]}")
    path = project_root() / results_folder(profile) / "available.json"
    if not path.is_file() or json.loads(path.read_text()) != noted:
        write_json(path, noted)
    return noted


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


def test_sets(params: dict[str, Any], profile: str, chapter: str) -> dict[str, TestSet]:
    """Every test set of a chapter that is here; which are not stands in `available.json`.

    Raises:
        ReblurError: the data stage has not run yet.
    """
    data = data_of(params, profile, chapter)
    folder = project_root() / chapter_folder(profile, chapter) / "data"
    found: dict[str, TestSet] = {}
    if chapter == DIFFUSION:
        for name in paired_tasks(params, profile):
            pairs = open_made_pairs(f"{results_folder(profile)}/{SUBJECTS}/{name}/test")
            found[name] = TestSet(name, pairs, tuple(range(len(pairs))), None)
        return found
    for name in synthesised_sets(data, chapter, available(profile)):
        inner, sharp = SYNTHESISED[chapter][name]
        pairs = open_pairs("folders", folder / inner, sharp=sharp)
        found[name] = TestSet(name, pairs, tuple(range(len(pairs))), None)
    for name in available(profile):
        if name in pair_sets(data):
            pairs = open_set(name, "test")
            chosen = spread(len(pairs), data["real"].get("pairs"))
            found[name] = TestSet(name, pairs, chosen, data["real"].get("size"))
    return found


def paired_tasks(params: dict[str, Any], profile: str) -> list[str]:
    """The tasks of chapter 3 whose target a camera makes: each is a test set with a truth."""
    tasks = params[DIFFUSION]["tasks"]
    return [
        name for name in profile_of(params, profile)[DIFFUSION]["tasks"] if "camera" in tasks[name]
    ]


def sets_for(
    params: dict[str, Any], profile: str, chapter: str, variant: str
) -> dict[str, TestSet]:
    """The test sets that a variant is scored on: its chapter's, in chapter 3 its task's."""
    sets = test_sets(params, profile, chapter)
    if chapter != DIFFUSION:
        return sets
    task = params[chapter]["variants"][variant]["task"]
    return {name: pairs for name, pairs in sets.items() if name == task}


def synthesised_sets(
    data: dict[str, Any], chapter: str, here: Sequence[str] | None = None
) -> list[str]:
    """The test sets that a chapter makes of `data`; with `here`, those that can be made of it."""
    if not data.get("synthetic"):
        return []
    scenes = data["synthetic"].get("scenes", [])
    measured = bool(scenes) if here is None else any(name in here for name in scenes)
    return [name for name in SYNTHESISED[chapter] if name != MEASURED or measured]


def pair_sets(data: dict[str, Any]) -> list[str]:
    """The real test sets of `data` that hold pairs, and not maps or depth alone."""
    scenes = (data.get("synthetic") or {}).get("scenes", [])
    others = {*MAPS, *scenes} - {*PAIRS}
    return [name for name in data["real"]["sets"] if name not in others]


def pictured(sets: dict[str, TestSet]) -> dict[str, TestSet]:
    """The test sets of which pictures are kept: `MISALIGNED` has the photographs of another one."""
    return {name: pairs for name, pairs in sets.items() if name != MISALIGNED}


def score_sets(restorer: Restorer, sets: dict[str, TestSet], device: str) -> pd.DataFrame:
    """The scores of a restorer on every test set, each by the protocol of its field.

    Pairs that a rig took (layout `realblur`) are aligned before they are compared, as published;
    LPIPS is left out there. Misaligned ones are scored by each of `PROTOCOLS`, and all others
    compared pixel by pixel.
    """
    tables = []
    known = manifest_names()
    for name, pairs in sets.items():
        if name in BY_ALL_PROTOCOLS:
            tables.append(score_protocols(restorer, pairs, name, device=device))
            continue
        rig = name in known and load_manifest(name).layout == "realblur"
        compare = compare_aligned if rig else compare_pixels
        tables.append(
            score_pairs(restorer, pairs, name, compare=compare, lpips=not rig, device=device)
        )
    if not tables:
        return pd.DataFrame(columns=list(dict.fromkeys((*SCORE_COLUMNS, *COST_COLUMNS))))
    return pd.concat(tables, ignore_index=True)


def score_kohler_where_here(
    params: dict[str, Any], profile: str, chapter: str, restorer: Restorer, folder: Path
) -> pd.DataFrame | str:
    """Write `kohler.csv` into a run's folder, where the chapter's data ask for the benchmark and it
    is here.

    Returns:
        The table, or the sentence that says why there is none.
    """
    if not data_of(params, profile, chapter).get("kohler", False):
        return f"profile {profile} does not ask for Köhler's benchmark in chapter {chapter}."
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
    """The hash of each manifest (or made pair set) that a profile's `data` section trains or tests
    on."""
    names = set(data.get("photographs", [])) | set(data["real"]["sets"])
    names |= set(data.get("faces", []))
    names |= set((data.get("synthetic") or {}).get("photographs", []))
    names |= set((data.get("synthetic") or {}).get("scenes", []))
    if "pairs" in data:
        names.add(data["pairs"])
    return {
        name: pair_set_hash(project_root() / name)
        if "/" in name
        else manifest_hash(load_manifest(name))
        for name in sorted(names)
    }


def write_data_hashes(params: dict[str, Any], profile: str, chapter: str) -> None:
    """Write `data_hashes.json`: what the training stages depend on, instead of every manifest."""
    path = project_root() / chapter_folder(profile, chapter) / "data_hashes.json"
    write_json(path, data_hashes(data_of(params, profile, chapter)))


def asked_sets(data: dict[str, Any], chapter: str) -> list[str]:
    """Every set that a chapter's scores may speak of, here or not; the synthesised ones first."""
    sets = [*synthesised_sets(data, chapter), *pair_sets(data)]
    return [
        f"{name}_{protocol}" if protocol else name
        for name in sets
        for protocol in (PROTOCOLS if name in BY_ALL_PROTOCOLS else [""])
    ]


def open_study(params: dict[str, Any], profile: str, chapter: str) -> Study:
    """The results of a chapter in a profile, with missing runs and test sets named as such."""
    folder = results_folder(profile)
    return read_study(
        project_root() / folder,
        [(run.arm, run.seed) for run in runs_of(params, profile, chapter)],
        datasets=paired_tasks(params, profile)
        if chapter == DIFFUSION
        else asked_sets(data_of(params, profile, chapter), chapter),
        evidence=bool(profile_of(params, profile).get("evidence", False)),
        blurred=(chapter_folder(profile, chapter) / BLURRED).relative_to(folder).as_posix(),
    )


def examples(
    params: dict[str, Any], profile: str, study: Study, chapter: str, arms: Sequence[str]
) -> list:
    """The test images of a chapter's panels (`panels.Example`), as `arms` restored them: the first
    kept one of each set, then the second ones, …"""
    from reblur.study.panels import read_example  # matplotlib: half a second that training spares

    sets = pictured(test_sets(params, profile, chapter))
    arms = [name for name in arms if name in study.variants]
    found = []
    for position in range(KEPT):
        for name, pairs in sets.items():
            if position < len(pairs):
                pair = pairs[position]
                found.append(read_example(study, name, pair.name, pair.blurred, pair.sharp, arms))
    return found
