"""The cameras behind `hidden_camera`: their lenses, sensors and development, in numbers.

They stand for nothing that is sold; each number is of the size that its kind of camera has.
"""

from dataclasses import dataclass

Range = tuple[float, float]


_COLOURS = ((1.62, -0.48, -0.14), (-0.22, 1.48, -0.26), (0.02, -0.54, 1.52))
_STRONGER = ((1.65, -0.50, -0.15), (-0.23, 1.51, -0.28), (0.02, -0.57, 1.55))
_WARMER = ((1.64, -0.49, -0.15), (-0.20, 1.46, -0.26), (0.04, -0.52, 1.48))


@dataclass(frozen=True)
class Camera:
    """What one camera is made of. (low, high) is drawn uniformly for every shot; the defaults are
    of a small-sensor camera whose lens cannot follow its pixels.

    Wavefront errors are root mean squares in waves of green light. h is how far from the frame's
    middle the picture lies, 1 at the corner; its direction turns coma and astigmatism.

    Args:
        pitch: of the sensor's pixels, micrometres.
        f_number: of the lens.
        focal_length: in pixels of the sensor.
        frame: half of the sensor's diagonal, in pixels.
        focus: error of focusing.
        spherical: the same at all h.
        decentring: (x, y) of the coma that a badly centred lens has at all h.
        coma: times h, away from the middle.
        astigmatism: times h².
        trefoil: (x, y), the same at all h.
        chromatic_focus: further defocus of red and of blue.
        lateral_colour: by which red's image is larger and blue's smaller, in sensor pixels at h=1.
        shake: speed of the hand's turning, degrees a second.
        exposure_time: seconds; with `shake` and `focal_length` the length of the streak.
        exposure: factor of the light, by the error of metering.
        shading: power of cos⁴ that the camera leaves uncorrected.
        electrons: at saturation, at this sensitivity.
        read_noise: electrons, root mean square.
        balance: gains of red and blue.
        balance_error: relative, of those gains as the camera sets them.
        matrix_in: linear sRGB of the camera's colours, as they are; rows add up to 1.
        matrix_out: the same as the camera believes it.
        contrast: of the tone curve v − c sin(2πv) / 2π, on top of sRGB's.
        chroma_sigma: Gaussian on the colour differences, pixels.
        coring: noise reduction: detail of luma of this display value is halved, finer lost.
        sharpening: (σ in pixels, strength) of the unsharp mask on luma.
        quality: of the JPEG, whole numbers, 4:2:0.
    """

    pitch: float = 1.75
    f_number: float = 2.8
    focal_length: float = 2900.0
    frame: float = 2000.0
    focus: Range = (-0.05, 0.20)
    spherical: float = 0.05
    decentring: tuple[float, float] = (0.04, -0.03)
    coma: float = 0.09
    astigmatism: float = 0.10
    trefoil: tuple[float, float] = (0.03, 0.02)
    chromatic_focus: tuple[float, float] = (0.06, -0.08)
    lateral_colour: float = 0.25
    shake: Range = (0.0, 0.0)
    exposure_time: Range = (0.01, 0.01)
    exposure: Range = (0.96, 1.03)
    shading: float = 0.08
    electrons: float = 4000.0
    read_noise: float = 3.0
    balance: tuple[float, float] = (1.9, 1.6)
    balance_error: float = 0.012
    matrix_in: tuple[tuple[float, float, float], ...] = _COLOURS
    matrix_out: tuple[tuple[float, float, float], ...] = _STRONGER
    contrast: float = 0.1
    chroma_sigma: float = 1.3
    coring: float = 0.015
    sharpening: tuple[float, float] = (1.5, 1.4)
    quality: tuple[int, int] = (72, 88)


CAMERAS = {
    "superres": Camera(),
    # a telephone in the evening, held in one hand
    "deblur": Camera(
        pitch=1.4,
        f_number=2.0,
        focal_length=3000.0,
        frame=2500.0,
        decentring=(0.05, 0.03),
        coma=0.10,
        astigmatism=0.12,
        trefoil=(0.03, -0.02),
        chromatic_focus=(0.06, -0.05),
        lateral_colour=0.3,
        shake=(0.8, 3.0),
        exposure_time=(0.04, 0.07),
        electrons=3000.0,
        balance=(1.7, 1.8),
        chroma_sigma=1.5,
        sharpening=(1.7, 1.2),
        quality=(75, 90),
    ),
    # faces cut from group pictures of an old compact camera under lamps
    "faces": Camera(
        pitch=1.9,
        f_number=3.2,
        focal_length=2400.0,
        frame=1600.0,
        focus=(0.0, 0.25),
        spherical=0.06,
        decentring=(-0.03, 0.05),
        trefoil=(0.02, 0.03),
        lateral_colour=0.35,
        shake=(0.0, 1.0),
        exposure_time=(0.02, 0.03),
        exposure=(0.95, 1.04),
        shading=0.1,
        electrons=1200.0,
        read_noise=3.5,
        balance=(1.3, 2.5),
        balance_error=0.02,
        matrix_out=_WARMER,
        chroma_sigma=2.0,
        coring=0.03,
        sharpening=(1.8, 1.5),
        quality=(50, 72),
    ),
}
