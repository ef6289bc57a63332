"""The pairs of published sets, by their manifests."""

from collections.abc import Sequence
from pathlib import Path

from reblur.datasets.catalogue.manifest_schema import Manifest
from reblur.datasets.catalogue.manifests import load_manifest, locate, refuse_unknown_split
from reblur.datasets.images.layouts import PairFiles
from reblur.datasets.images.own import find_pairs, refuse_problems
from reblur.datasets.images.pairs import PairFolder
from reblur.errors import ReblurError


def open_pairs_of(name: str, split: str | None = None) -> PairFolder:
    """The pairs of a data set by its manifest, with the manifest's scenes and splits.

    Args:
        name: a manifest whose layout is one of pairs.
        split: one of the manifest's splits; None: all of them.

    Raises:
        ReblurError: the data are absent, the split is unknown, the layout has no pairs, files have
            no partner, or a scene stands in no split.
    """
    manifest = load_manifest(name)
    refuse_unknown_split(manifest, split)
    if manifest.layout in ("photographs", "images", "weights", "kohler"):
        raise ReblurError(
            f"{name}: its layout is {manifest.layout!r}, which has no pairs; name another set."
        )
    folder = locate(manifest, split)
    if manifest.files:
        return PairFolder(_listed(manifest, folder, split))
    wanted = manifest.split_names() if split is None else [split]
    parts = {scene.split("/")[0] for part in wanted for scene in manifest.splits[part]}
    found = find_pairs(folder, **manifest.options)
    others = {pair.split for pair in found.pairs} - parts  # may be here in part, or not at all
    refuse_problems(folder, [p for p in found.problems if others.isdisjoint(p.path.parts)])
    files = [pair for pair in found.pairs if pair.split in parts]
    return PairFolder(_of_splits(manifest, files, wanted))


def _listed(manifest: Manifest, folder: Path, split: str | None) -> list[PairFiles]:
    """Pairs of a manifest that names every file: blur/<x> with sharp/<x>."""
    paths = {file.path for file in manifest.files}
    pairs = []
    for file in manifest.files:
        kind, _, rest = file.path.partition("/")
        if kind != "blur" or split not in (None, file.split):
            continue
        if f"sharp/{rest}" not in paths:
            raise ReblurError(
                f"{manifest.name}: its manifest names {file.path} without sharp/{rest}; add it."
            )
        name = Path(rest).with_suffix("").as_posix().replace("/", "-")
        scene = file.scene or name
        pairs.append(
            PairFiles(name, scene, file.split, folder / file.path, folder / "sharp" / rest)
        )
    return pairs


def _of_splits(
    manifest: Manifest, files: Sequence[PairFiles], wanted: Sequence[str]
) -> list[PairFiles]:
    """Those of `files` whose scene the manifest puts in a wanted split."""
    split_of = {pair.name: manifest.split_of(pair.split, pair.scene) for pair in files}
    for pair in files:
        if split_of[pair.name] is None:
            raise ReblurError(
                f"{manifest.name}: the scene {pair.split}/{pair.scene} stands in no split of the "
                "manifest; remove it from the folder, or add it to the manifest."
            )
    return [pair for pair in files if split_of[pair.name] in wanted]
