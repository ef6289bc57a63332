"""Figures that others published, each with the mark of how sure we are of it.

S: seen in a source that can be named. C: computed by us and checked. M: remembered, no source at
hand. A figure is never shown without its mark, and never in a column of ours: other data, other
training budgets and other metric conventions stand behind it.
"""

from dataclasses import dataclass
from typing import Literal

MARKS = "S: seen in a named source; C: computed and checked; M: remembered, no source at hand."
SRN_PAPER = "Tao et al., Scale-recurrent Network for Deep Image Deblurring, CVPR 2018"


@dataclass(frozen=True)
class Published:
    """A published number and its mark."""

    value: float
    mark: Literal["S", "C", "M"]


@dataclass(frozen=True)
class AblationRow:
    """A row of the ablation table of Tao et al.; millions of parameters, GoPro PSNR (dB), SSIM."""

    millions: Published
    psnr: Published
    ssim: Published


def _row(millions: float, mark: Literal["S", "C", "M"], psnr: float, ssim: float) -> AblationRow:
    return AblationRow(Published(millions, mark), Published(psnr, "M"), Published(ssim, "M"))


# Tao et al., the ablation on GoPro with 3x3 kernels, under the names of `reblur.networks`.
ABLATION = {
    "ss": _row(2.73, "S", 28.40, 0.9045),
    "sc": _row(8.19, "S", 29.05, 0.9166),
    "wo_r": _row(2.73, "S", 29.26, 0.9197),
    "rnn": _row(3.03, "M", 29.35, 0.9210),
    "sr_flat": _row(2.66, "M", 27.53, 0.8886),
    "sr_rb": _row(2.66, "M", 28.11, 0.8991),
    "sr_ed": _row(3.76, "M", 29.06, 0.9170),
    "sr_edrb1": _row(2.21, "M", 28.60, 0.9082),
    "sr_edrb2": _row(2.99, "M", 29.32, 0.9204),
    "sr_edrb3": _row(3.76, "S", 29.98, 0.9254),
}


@dataclass(frozen=True)
class ComparisonRow:
    """A method's published figures: GoPro PSNR (dB) and SSIM, Köhler PSNR and MSSIM, time."""

    method: str
    gopro_psnr: Published
    gopro_ssim: Published | None = None
    kohler_psnr: Published | None = None
    kohler_mssim: Published | None = None
    time: str = ""
    source: str = SRN_PAPER


def _compared(
    method: str,
    mark: Literal["S", "C", "M"],
    gopro: tuple[float, float],
    kohler: tuple[float, float],
    time: str,
) -> ComparisonRow:
    return ComparisonRow(
        method,
        Published(gopro[0], mark),
        Published(gopro[1], mark),
        Published(kohler[0], mark),
        Published(kohler[1], mark),
        time,
    )


def _later(method: str, psnr: float, ssim: float | None = None) -> ComparisonRow:
    """Figures of later work, all remembered."""
    gopro_ssim = None if ssim is None else Published(ssim, "M")
    return ComparisonRow(method, Published(psnr, "M"), gopro_ssim, source="later work")


COMPARISON = (
    _compared("Kim & Lee", "M", (23.64, 0.8239), (24.68, 0.7937), "1 h [M]"),
    _compared("Sun et al.", "S", (24.64, 0.842), (25.22, 0.773), "20 min [S]"),
    _compared("Nah et al. (DeepDeblur)", "S", (29.08, 0.9135), (26.48, 0.807), "2.51 s [M]"),
    _compared("SRN", "S", (30.26, 0.9342), (26.75, 0.837), "1.87 s [S]"),
    _later("SRN, the released model measured", 30.19, 0.9334),
    _later("DeepDeblur, its authors' PyTorch version", 30.40),
    _later("DeblurGAN-v2", 29.55),
    _later("MIMO-UNet+", 32.45),
    _later("NAFNet", 33.71),
)
