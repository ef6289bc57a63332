"""Photographs with measured depth: the scenes of the Middlebury stereo benchmark.

D. Scharstein et al., "High-resolution stereo datasets with subpixel-accurate ground truth", GCPR
2014, and D. Scharstein and R. Szeliski, "High-accuracy stereo depth maps using structured light",
CVPR 2003. Depth is that of the left picture, from its disparity (`depth.from_disparity`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from reblur.datasets.catalogue.manifests import files_of
from reblur.datasets.defocus.depth import InverseDepth, from_disparity
from reblur.datasets.images.files import read_image, to_tensor
from reblur.errors import ReblurError
from reblur.randomness import numpy_generator


class Stereo(NamedTuple):
    """Calibration at the size of the published quarter-size files."""

    focal_length_px: float
    baseline_m: float
    offset_px: float


CALIBRATIONS = {
    "motorcycle": Stereo(994.978, 0.193001, 31.086),
    "Adirondack": Stereo(4161.221 / 4, 0.176252, 209.059 / 4),
    # No calibration of `cones` was published: nominal, that of the rig of 2005 and 2006.
    "cones": Stereo(3740 / 4, 0.16, 0.0),
}
PHOTOGRAPH = "_left.png"
DISPARITIES = ("_disp.npz", "_gt.png")


@dataclass(frozen=True)
class DepthScene:
    """A photograph and its inverse depth in 1/m, pixel by pixel."""

    name: str
    photograph: UInt8[np.ndarray, "h w 3"]
    inverse_depth: InverseDepth


class DepthScenes(Sequence[DepthScene]):
    """Scenes in memory, and random crops of them."""

    def __init__(self, scenes: Sequence[DepthScene]) -> None:
        if not scenes:
            raise ReblurError("depth scenes: there are none; name a data set that has some.")
        self.scenes = list(scenes)

    @property
    def names(self) -> list[str]:
        return [scene.name for scene in self.scenes]

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> DepthScene:
        return self.scenes[index]

    def photograph_of(self, seed: int, stream: str, index: int) -> str:
        """The name of the scene that crop (seed, stream, index) is cut from."""
        return self.names[numpy_generator(seed, stream, index).integers(len(self.scenes))]

    def crops_with_depth(
        self, seed: int, stream: str, indices: Sequence[int], size: int
    ) -> tuple[Float[Tensor, "b 3 size size"], Float[Tensor, "b size size"]]:
        """Crops (seed, stream, i) in [0, 1] and their inverse depth, mirrored half of the time.

        Raises:
            ReblurError: a scene is smaller than a crop.
        """
        pictures, depths = [], []
        for index in indices:
            generator = numpy_generator(seed, stream, index)
            scene = self.scenes[int(generator.integers(len(self.scenes)))]
            height, width = scene.inverse_depth.shape
            if size > min(height, width):
                raise ReblurError(
                    f"{scene.name}: has {width}×{height} pixels, a crop with its border {size}; "
                    "make crop, max_coc or misalignment smaller."
                )
            y = int(generator.integers(height - size + 1))
            x = int(generator.integers(width - size + 1))
            picture = to_tensor(scene.photograph[y : y + size, x : x + size])
            depth = torch.from_numpy(scene.inverse_depth[y : y + size, x : x + size])
            if generator.random() < 0.5:
                picture, depth = picture.flip(-1), depth.flip(-1)
            pictures.append(picture)
            depths.append(depth)
        return torch.stack(pictures), torch.stack(depths)


def open_scenes(manifest_names: Sequence[str], split: str | None = None) -> DepthScenes:
    """The scenes of data sets: each `<scene>_left.png` with its `<scene>_disp.npz` or `_gt.png`.

    Raises:
        ReblurError: data are absent, a disparity is missing or of another size, or a scene has no
            calibration.
    """
    scenes = []
    for name in manifest_names:
        files = files_of(name, split)
        for photograph in files:
            if photograph.name.endswith(PHOTOGRAPH):
                stem = photograph.name.removesuffix(PHOTOGRAPH)
                disparity = [f for f in files if f.name in {stem + end for end in DISPARITIES}]
                if not disparity:
                    raise ReblurError(
                        f"{photograph}: no disparity beside it; name {stem}{DISPARITIES[0]} or "
                        f"{stem}{DISPARITIES[1]} in the manifest {name}."
                    )
                scenes.append(open_scene(photograph, disparity[0]))
    return DepthScenes(scenes)


def open_scene(photograph: Path, disparity: Path) -> DepthScene:
    """One scene, by the calibration of its name (`CALIBRATIONS`).

    Raises:
        ReblurError: no calibration, an unreadable file, sizes that differ, or more than half of
            the disparity missing.
    """
    name = photograph.name.removesuffix(PHOTOGRAPH)
    if name not in CALIBRATIONS:
        raise ReblurError(
            f"{photograph}: no calibration of a scene {name!r}; known are "
            f"{', '.join(CALIBRATIONS)}."
        )
    picture, pixels = read_image(photograph), read_disparity(disparity)
    if picture.shape[:2] != pixels.shape:
        raise ReblurError(
            f"{photograph} has {picture.shape[1]}×{picture.shape[0]} pixels and {disparity} "
            f"{pixels.shape[1]}×{pixels.shape[0]}; a disparity for every pixel is needed."
        )
    return DepthScene(name, picture, from_disparity(pixels, *CALIBRATIONS[name], str(disparity)))


def read_disparity(path: Path) -> Float[np.ndarray, "h w"]:
    """Disparity in pixels as stored: the one array of an .npz file, or a grey picture's values.

    Raises:
        ReblurError: the file is missing, damaged, or holds no map.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                (values,) = (archive[key] for key in archive.files)
        else:
            with Image.open(path) as image:
                values = np.asarray(image)
    except FileNotFoundError as error:
        raise ReblurError(f"{path}: there is no such file; fetch its data set again.") from error
    except Exception as error:  # zip, zlib, Pillow and NumPy each raise their own
        raise ReblurError(f"{path}: cannot be read; fetch its data set again ({error}).") from error
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise ReblurError(f"{path}: holds no map of disparity; give one number for each pixel.")
    return values.astype(np.float64)
