"""The pictures that are explored: squares of test pairs, what weights make of them, one's own."""

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
from reblur.evaluation.scoring import METRICS, score_pairs
from reblur.evaluation.tiling import restore_image
from reblur.study.analysis.pictures import crop_window
from reblur.study.analysis.scores import SCORE_COLUMNS, read_long
from reblur.study.data.test_sets import TestSet, long_form, whole
from reblur.study.examples import network_of
from reblur.study.params import Params, results_folder
from reblur.study.rows import BLURRED, Run
from reblur.study.runs import chapter_module, tests_module

Picture = UInt8[np.ndarray, "_ _ 3"]
MARGIN = 64  # pixels around a square that the network sees, too


class Pictures:
    """The pictures of a profile's chapter and of one's own results, each opened or made once."""

    def __init__(self, params: Params, profile: str, runs: Mapping[str, Sequence[Run]]) -> None:
        self.params, self.profile, self.runs = params, profile, runs
        self._own: dict[str, Path] = {}
        self._sets: dict[str, TestSet] = {}
        self._made: dict[tuple[str, str, str, int], Picture | None] = {}

    def test_set(self, dataset: str) -> TestSet:
        """`open_test_set` of the runs that were scored on a data set."""
        if dataset not in self._sets:
            runs = (run for several in self.runs.values() for run in several)
            run = next(run for run in runs if run.task in (None, dataset))
            self._sets[dataset] = open_test_set(self.params, self.profile, run, dataset)
        return self._sets[dataset]

    def square(
        self, dataset: str, image: str, side: int, names: Sequence[str]
    ) -> dict[str, Picture | None]:
        """The square of an image in which the blur took most detail, at most `side` pixels wide:
        of `blurred`, of each restorer (None without weights), and of `sharp` where there is one."""
        pair = pair_of(self.test_set(dataset), image)
        side = min(side, *pair.blurred.shape[:2])
        top, left = crop_window(pair.blurred, pair.sharp, side)
        place = np.s_[top : top + side, left : left + side]
        views: dict[str, Picture | None] = {BLURRED: pair.blurred[place]}
        for name in names:
            key = (dataset, image, name, side)
            if key not in self._made:
                self._made[key] = self._restored(dataset, name, pair, top, left, side)
            views[name] = self._made[key]
        return views if pair.sharp is pair.blurred else {**views, "sharp": pair.sharp[place]}

    def _restored(
        self, dataset: str, name: str, pair: Pair, top: int, left: int, side: int
    ) -> Picture | None:
        """By the first seed that has weights, from the square and MARGIN pixels around it; one's
        own picture is read."""
        if name in self._own:
            path = next(iter(_images(self._own[name] / dataset, pair.name)), None)
            return read_image(path)[top : top + side, left : left + side] if path else None
        known = (network_of(results_folder(self.profile), run) for run in self.runs[name])
        network = next((found for found in known if found is not None), None)
        if network is None:
            return None
        above, before = min(top, MARGIN), min(left, MARGIN)
        seen = np.s_[top - above : top + side + MARGIN, left - before : left + side + MARGIN]
        made = restore_image(network, np.ascontiguousarray(pair.blurred[seen]), channels_last=True)
        return made[above : above + side, before : before + side]

    def add(self, folder: Path, name: str, datasets: Sequence[str]) -> pd.DataFrame:
        """Add one's own results under a name; returns their scores, `SCORE_COLUMNS`: those of the
        folder's scores.csv, and of its images of test sets that this does not score.

        Raises:
            ReblurError: neither is there, an image belongs to no pair, or it has another size.
        """
        file = folder / "scores.csv"
        tables = [read_long(file)] if file.is_file() else []
        scored = set(tables[0]["dataset"]) if tables else set()
        for dataset in datasets:
            if dataset not in scored and _images(folder / dataset):
                tables.append(self._score(folder / dataset, dataset))
        if not any(map(len, tables)):
            raise ReblurError(
                f"{folder}: holds neither a scores.csv with the columns {', '.join(SCORE_COLUMNS)} "
                "nor images in a folder named like a test set; put one of them there."
            )
        self._own[name] = folder
        return pd.concat(tables, ignore_index=True)

    def _score(self, folder: Path, dataset: str) -> pd.DataFrame:
        paths = {path.stem: path for path in _images(folder)}
        known = {pair.name: pair for pair in self.test_set(dataset)}
        if strange := [path.name for name, path in paths.items() if name not in known]:
            raise ReblurError(
                f"{folder}: {strange[0]} is no image of the test set {dataset}; name the files "
                f"like its images, such as {next(iter(known))}.png."
            )
        tables = []
        for name, path in paths.items():
            image, sharp = read_image(path), known[name].sharp
            if image.shape != sharp.shape:
                sizes = " and ".join(f"{i.shape[1]}×{i.shape[0]}" for i in (image, sharp))
                raise ReblurError(f"{path}: it and the sharp image differ in size: {sizes}.")
            tables.append(score_pairs(lambda _, i=image: i, [known[name]], dataset))
        wide = pd.concat(tables).rename(columns={"scene": "photograph"})
        return long_form(wide, METRICS)


def open_test_set(params: Params, profile: str, run: Run, dataset: str) -> TestSet:
    """The test set that the scores of `dataset` were taken on. Protocols of comparison have data
    sets of their own (`focus_stack_pcb_raw`) on one test set.

    A pair of real images without a truth holds the blurred image twice.

    Raises:
        ReblurError: its pictures are not here.
    """
    config = chapter_module(run.chapter).configuration(params, profile, run)
    module, tests = tests_module(run), config["tests"]
    part: Any = tests.get("synthetic")
    if part and dataset in part.get("motions", {}):  # of several simulators this one alone
        tests = {**tests, "synthetic": {**part, "motions": {dataset: part["motions"][dataset]}}}
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


def _images(folder: Path, name: str = "*") -> list[Path]:
    """The image files of a folder, or those of one name, whatever their kind."""
    return [path for path in sorted(folder.glob(f"{name}.*")) if is_image(path)]
