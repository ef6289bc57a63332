"""How others name the tensors of networks that this library has too.

- NAFNet as BasicSR and the authors publish it (`middle_blks`, `sca.1`), of any width and blocks;
- DeepDeblur as in SeungjunNah/DeepDeblur-PyTorch (`body_models`, fine to coarse; images of 0 to 255
  by default);
- PyTorch ports of SRN (`srn_ports`): `inblock … outblock` with `resblock_stack`
  (iwtw/SRN-DeblurNet and what grew from it), with `main_branch` in it (ESTRNN's), and
  `in_block`, `down_conv`, `up_conv` (SimDeblur's).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from reblur.errors import ReblurError

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Foreign:
    """A naming: by what it is known, its names in ours, and what else has to change.

    Attributes:
        about: for a person.
        mark: a name of it that no other naming has.
        names: (pattern of a name, what our name is), the first that fits the whole name.
        options: the network's options, from the shapes of the renamed tensors.
        adapt: the other changes, from the renamed tensors and the largest value of an image.
        note: what a port may compute in another way, which its tensors do not tell.
    """

    about: str
    network: str
    mark: str
    names: tuple[tuple[str, str | Callable[[re.Match], str]], ...]
    options: Callable[[Tensors], dict[str, Any]]
    value_range: float
    adapt: Callable[[Tensors, float], Tensors]
    note: str = ""


def _on_unit_range(tensors: Tensors, value_range: float) -> Tensors:
    """The same function on [0, 1], where there are but convolutions, ReLUs and sums.

    These are positively homogeneous: `W (r a) + b = r (W a + b / r)`.
    """
    return {
        name: value / value_range if name.endswith("bias") else value
        for name, value in tensors.items()
    }


def _only_unit_range(tensors: Tensors, value_range: float) -> Tensors:
    if value_range != 1:
        raise ReblurError(
            f"images of 0 to {value_range:g}: weights of networks with products or gates cannot be "
            "carried over to [0, 1]; give weights that were trained on [0, 1]."
        )
    return tensors


def _count(tensors: Tensors, pattern: str) -> int:
    """How many numbers the pattern's group takes, from 0."""
    found = {int(match[1]) for name in tensors if (match := re.match(pattern, name))}
    return max(found) + 1 if found else 0


def _nafnet_options(tensors: Tensors) -> dict[str, Any]:
    levels = _count(tensors, r"downs\.(\d+)\.")
    return {
        "width": tensors["intro.weight"].shape[0],
        "middle_blocks": _count(tensors, r"middle\.(\d+)\."),
        "encoder_blocks": [_count(tensors, rf"encoders\.{n}\.(\d+)\.") for n in range(levels)],
        "decoder_blocks": [_count(tensors, rf"decoders\.{n}\.(\d+)\.") for n in range(levels)],
    }


def _deepdeblur_names(found: re.Match) -> str:
    """`body_models.<scale, fine to coarse>.body.<layer>.…` → `stages.<coarse to fine>.…`."""
    stage, layer = 2 - int(found["scale"]), int(found["layer"])
    if found["half"] is not None:
        return f"stages.{stage}.1.{layer - 1}.conv{int(found['half']) // 2 + 1}.{found['kind']}"
    return f"stages.{stage}.{0 if layer == 0 else 2}.{found['kind']}"


def _deepdeblur_options(tensors: Tensors) -> dict[str, Any]:
    return {
        "width": tensors["stages.0.0.weight"].shape[0],
        "blocks": _count(tensors, r"stages\.0\.1\.(\d+)\."),
    }


def _srn_options(port: str, tensors: Tensors) -> dict[str, Any]:
    weight = tensors["stages.0.in_block.conv.weight"]
    cell = tensors.get("stages.0.cell.conv.weight")
    return {
        "port": port,
        "width": weight.shape[0],
        "kernel": weight.shape[-1],
        "blocks": _count(tensors, r"stages\.0\.in_block\.blocks\.(\d+)\."),
        "deconvolution": tensors["stages.0.decoder1.deconv.weight"].shape[-1],
        "cell": 0 if cell is None else cell.shape[-1],
    }


def _srn_gates(tensors: Tensors, value_range: float) -> Tensors:
    """The cell's output channels from the order i, f, o, g to i, g, f, o."""
    adapted = dict(_only_unit_range(tensors, value_range))
    for kind in ("weight", "bias"):
        name = f"stages.0.cell.conv.{kind}"
        if name in adapted:
            i, f, o, g = adapted[name].chunk(4)
            adapted[name] = torch.cat([i, g, f, o])
    return adapted


_KIND = r"(?P<kind>weight|bias)"
_SRN_BLOCKS = {
    "inblock": "in_block",
    "in_block": "in_block",
    "eblock1": "encoder1",
    "eblock2": "encoder2",
    "dblock1": "decoder2",  # ours counts from the finest level
    "dblock2": "decoder1",
    "outblock": "out_block",
    "out_block": "out_block",
}
_SRN_UP = ("deconv", "up_conv")


def _srn_layer(found: re.Match) -> str:
    layer = "deconv" if found[2] in _SRN_UP else "conv"
    return f"stages.0.{_SRN_BLOCKS[found[1]]}.{layer}.{found['kind']}"


def _srn_resblock(found: re.Match) -> str:
    half = found["half"] or {"0": "1", "2": "2"}[found["place"]]
    return f"stages.0.{_SRN_BLOCKS[found[1]]}.blocks.{found[2]}.conv{half}.{found['kind']}"


_SRN_BLOCK = f"({'|'.join(_SRN_BLOCKS)})"
_SRN_NAMES = (
    (
        rf"{_SRN_BLOCK}\.(conv|in_conv|down_conv|out_conv|deconv|up_conv)(?:\.0)?\.{_KIND}",
        _srn_layer,
    ),
    (
        rf"{_SRN_BLOCK}\.(?:resblock_stack|resblocks)\.(\d+)\."
        rf"(?:conv(?P<half>[12])(?:\.0)?|main_branch\.(?P<place>[02]))\.{_KIND}",
        _srn_resblock,
    ),
    (rf"conv_?lstm\.conv\.{_KIND}", r"stages.0.cell.conv.\g<kind>"),
)
FOREIGN: tuple[Foreign, ...] = (
    Foreign(
        about="NAFNet of BasicSR",
        network="nafnet",
        mark=r"^middle_blks\.|\.sca\.1\.",
        names=(
            (r"middle_blks\.(\d+)\.sca\.1\.(.*)", r"middle.\1.attention.\2"),
            (r"(.*)\.sca\.1\.(.*)", r"\1.attention.\2"),
            (r"((?:intro|ending|downs|ups|encoders|decoders)\..*)", r"\1"),
            (r"middle_blks\.(.*)", r"middle.\1"),
        ),
        options=_nafnet_options,
        value_range=1.0,
        adapt=_only_unit_range,
    ),
    Foreign(
        about="DeepDeblur of SeungjunNah/DeepDeblur-PyTorch",
        network="deepdeblur",
        mark=r"^body_models\.",
        names=(
            (
                r"body_models\.(?P<scale>[012])\.body\.(?P<layer>\d+)"
                rf"(?:\.body\.(?P<half>[02]))?\.{_KIND}",
                _deepdeblur_names,
            ),
            (
                rf"conv_end_models\.(?P<scale>[12])\.uppath\.0\.{_KIND}",
                lambda found: f"upconvolutions.{2 - int(found['scale'])}.conv.{found['kind']}",
            ),
        ),
        options=_deepdeblur_options,
        value_range=255.0,
        adapt=_on_unit_range,
        note="Its authors make the smaller images with a Gaussian, this library by the mean of "
        "2×2 pixels: results differ a little from theirs.",
    ),
    *(
        Foreign(
            about=f"SRN of {repository}",
            network="srn_port",
            mark=mark,
            names=_SRN_NAMES,
            options=partial(_srn_options, port),
            value_range=1.0,
            adapt=_srn_gates,
            note="Ports make the smaller images in their own ways, and what grew from one may have "
            "changed: compare with its authors' own result by --check.",
        )
        for port, repository, mark in (
            ("estrnn", "zzh-tech/ESTRNN", r"\.main_branch\."),
            ("simdeblur", "ljzycmd/SimDeblur", r"^in_block\."),
            ("iwtw", "iwtw/SRN-DeblurNet", r"^(?:inblock|eblock1)\."),
        )
    ),
)
