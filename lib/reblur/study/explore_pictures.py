"""The pictures that are explored: test pairs, what was restored elsewhere, and its scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from reblur.datasets.catalogue.manifests import manifest_names
from reblur.datasets.images.files import is_image, read_image
from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.scoring import compare_pixels
from reblur.measures.full_reference import lpips_available, lpips_distance
from reblur.study.analysis.pictures import read_restored
from reblur.study.analysis.scores import SCORE_COLUMNS, read_long
from reblur.study.data.test_sets import TestSet, whole
from reblur.study.examples import restored_by
from reblur.study.params import Params, results_folder
from reblur.study.rows import Run
from reblur.study.runs import chapter_module, tests_module

Picture = UInt8[np.ndarray, "_ _ 3"]


class Pictures:
    """The pictures of a profile's chapter and of one's own results, each opened or made once.

    Attributes:
        own: name → folder of one's own results.
    """

    def __init__(self, params: Params, profile: str, runs: Mapping[str, Sequence[Run]]) -> None:
        self.params, self.profile, self.runs = params, profile, runs
        self.own: dict[str, Path] = {}
        self._sets: dict[str, TestSet] = {}
        self._made: dict[tuple[str, str, str], Picture] = {}

    def test_set(self, dataset: str) -> TestSet:
        """`open_test_set` of the runs that were scored on a data set."""
        if dataset not in self._sets:
            runs = [run for several in self.runs.values() for run in several]
            run = next(run for run in runs if run.task in (None, dataset))
            self._sets[dataset] = open_test_set(self.params, self.profile, run, dataset)
        return self._sets[dataset]

    def pair(self, dataset: str, image: str) -> Pair:
        """The test pair of an image; ReblurError where its pictures are not here."""
        return pair_of(self.test_set(dataset), image)

    def restored(self, dataset: str, name: str, pair: Pair, make: bool) -> Picture | None:
        """What the first seed of a configuration makes of a picture: as it was kept, else (with
        `make`) made again by its weights; None where neither is here."""
        if name in self.own:
            path = own_image(self.own[name], dataset, pair.name)
            return read_image(path) if path else None
        root, key = results_folder(self.profile), (dataset, name, pair.name)
        for run in self.runs.get(name, []) if key not in self._made else []:
            test_set = self.test_set(dataset).name
            kept = read_restored(root, run, test_set, pair.name)
            if kept is None and make:
                kept = restored_by(root, run, test_set, pair)
            if kept is not None:
                self._made[key] = kept
                break
        return self._made.get(key)

    def add(self, folder: Path, name: str, datasets: Sequence[str]) -> pd.DataFrame:
        """Add one's own results under a name; returns `own_scores` of its folder."""
        sets = [dataset for dataset in datasets if (folder / dataset).is_dir()]
        scores = own_scores(folder, {dataset: self.test_set(dataset) for dataset in sets})
        self.own[name] = folder
        return scores


def open_test_set(params: Params, profile: str, run: Run, dataset: str) -> TestSet:
    """The test set that the scores of `dataset` were taken on. Protocols of comparison have data
    sets of their own (`focus_stack_pcb_raw`) on one test set.

    A pair of real images without a truth holds the blurred image twice.

    Raises:
        ReblurError: its pictures are not here.
    """
    config, module = (
        chapter_module(run.chapter).configuration(params, profile, run),
        tests_module(run),
    )
    tests = _narrowed(config["tests"], dataset)
    if hasattr(module, "known_triplets"):  # its synthesised sets follow from known depths
        data = {**config["data"], "defocus": tests["defocus"]}
        sets = module.test_sets(module.known_triplets(data, tests), tests)
    elif run.task == dataset and not tests["domain"]["camera"]:
        images = module.real_images(tests)
        pairs = [Pair(n, n, i, i) for n, i in zip(images.names, images.images, strict=True)]
        sets = {dataset: whole(dataset, pairs)}
    else:
        sets = module.test_sets(tests)
    found = [name for name in sets if dataset == name or dataset.startswith(f"{name}_")]
    if found:
        return sets[max(found, key=len)]
    fetch = f"; fetch it with 'reblur data fetch {dataset}'" if dataset in manifest_names() else ""
    raise ReblurError(f"{dataset}: the pictures of this test set are not here{fetch}.")


def _narrowed(tests: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """`tests` of a configuration without the motions that another test set is made by."""
    part = tests.get("synthetic")
    if not part or dataset not in part.get("motions", {}):
        return dict(tests)
    part = {**part, "motions": {dataset: part["motions"][dataset]}}
    return {**tests, "synthetic": part}


def pair_of(pairs: TestSet, image: str) -> Pair:
    """The pair of a name; only this one is read where the names are known without reading.

    Raises:
        ReblurError: there is none of that name.
    """
    names = getattr(pairs.pairs, "names", None)
    for place, index in enumerate(pairs.indices):
        if names is None or names[index] == image:
            pair = pairs[place]
            if pair.name == image:
                return pair
    raise ReblurError(f"{pairs.name}: has no image {image!r}.")


def own_image(folder: Path, dataset: str, image: str) -> Path | None:
    """`<folder>/<dataset>/<image>.png`, or with the ending of another kind of image."""
    found = sorted((folder / dataset).glob(f"{image}.*"))
    return next((path for path in found if is_image(path)), None)


def own_scores(folder: Path, sets: Mapping[str, TestSet]) -> pd.DataFrame:
    """The scores of one's own results, `SCORE_COLUMNS`: those of `scores.csv` if the folder has
    one, and of its images in folders named like test sets, scored here, where it has none.

    Args:
        sets: name → test set, of the folders that hold images.

    Raises:
        ReblurError: neither is there, an image belongs to no pair, or it has another size.
    """
    table = pd.DataFrame(columns=list(SCORE_COLUMNS))
    if (folder / "scores.csv").is_file():
        table = read_long(folder / "scores.csv")
    rows = [
        (name, pair.scene, pair.name, metric, value)
        for name, pairs in sets.items()
        if name not in set(table["dataset"])
        for pair, path in _matched(folder, name, pairs)
        for metric, value in _compared(pair, path).items()
    ]
    table = pd.concat([table, pd.DataFrame(rows, columns=list(SCORE_COLUMNS))], ignore_index=True)
    if table.empty:
        raise ReblurError(
            f"{folder}: holds neither a scores.csv with the columns {', '.join(SCORE_COLUMNS)} nor "
            "images in a folder named like a test set; put one of them there."
        )
    return table.astype({"value": float})


def _matched(folder: Path, dataset: str, pairs: TestSet) -> list[tuple[Pair, Path]]:
    known = {pair.name: pair for pair in pairs}
    paths = {p.stem: p for p in sorted((folder / dataset).iterdir()) if is_image(p)}
    if strange := [path.name for name, path in paths.items() if name not in known]:
        raise ReblurError(
            f"{folder / dataset}: {strange[0]} is no image of the test set {dataset}; name the "
            f"files like its images, such as {next(iter(known))}.png."
        )
    return [(known[name], path) for name, path in paths.items()]


def _compared(pair: Pair, path: Path) -> dict[str, float]:
    image = read_image(path)
    if image.shape != pair.sharp.shape:
        sizes = " and ".join(f"{i.shape[1]}×{i.shape[0]}" for i in (image, pair.sharp))
        raise ReblurError(
            f"{path}: it and the sharp image differ in size: {sizes}; restore it at its size."
        )
    scores = compare_pixels(pair.sharp, image, pair.blurred)
    if lpips_available():
        scores["lpips"] = lpips_distance(pair.sharp, image, "cpu")
    return scores
