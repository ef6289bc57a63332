"""What params.yaml may say, as strict models; `reblur.study.params` reads it."""

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from reblur.errors import ReblurError
from reblur.options import Options, Positive, Share, refuse_unknown

#: The chapters in their order: sections of params.yaml and of a profile, modules of `chapters`.
CHAPTERS = ("scale_recurrent", "defocus", "diffusion", "carry_over")
Names = tuple[str, ...]
Loss = Literal["mse", "charbonnier"]


class Variant(Options):
    """A row of a chapter's tables: a network, and what differs from the profile's part."""

    network: str
    options: dict[str, Any] = {}  # of the network
    training: dict[str, Any] = {}
    data: dict[str, Any] = {}
    loss: Loss | None = None
    crop: PositiveInt | None = None
    objective: dict[str, Any] = {}  # of chapter 2


class Section(Options):
    """A chapter's part at the top of params.yaml."""

    variants: dict[str, Variant]
    tables: dict[str, Names] = {}


class Task(Options):
    content: Literal["photographs", "faces"]
    scale: PositiveInt
    camera: str | None
    clean: str
    handmade: str
    softened: str


class Rule(Options):
    metric: str
    content_deviation: Positive


class Diffusion(Section):
    tasks: dict[str, Task]
    rule: Rule


class Machine(Options):
    device: Literal["cpu", "cuda"]
    threads: PositiveInt


class RealTests(Options):
    sets: Names
    download: bool
    pairs: PositiveInt | None = None  # of each set; None: all
    size: PositiveInt | None = None  # side of the centre crop; None: whole
    maps: PositiveInt | None = None


class SyntheticTests(Options):
    photographs: Names
    pairs: PositiveInt
    size: PositiveInt
    seed: NonNegativeInt


class MotionTests(SyntheticTests):
    motions: dict[str, dict[str, Any]]  # test set -> what differs from the training's `motion`


class Triplets(SyntheticTests):
    scenes: Names = ()
    scene_lens: dict[str, Any] = {}
    exposures: NonNegativeInt = 0
    misalignment_px: NonNegativeInt


class Validation(Options):
    pairs: PositiveInt
    size: PositiveInt
    seed: NonNegativeInt


class PairData(Options):
    """Training pairs made of photographs, or (`pairs`) those of a data set or a folder."""

    photographs: Names = ()
    downscale: tuple[PositiveInt, ...] = (1,)
    min_side: PositiveInt = 1
    pairs: str | None = None
    real: RealTests
    validation: Validation | None = None


class MotionData(PairData):
    motion: dict[str, Any] = {}
    synthetic: MotionTests | None = None
    kohler: bool = False


class DefocusData(PairData):
    defocus: dict[str, Any] = {}
    synthetic: Triplets | None = None


class DiffusionData(Options):
    photographs: Names
    faces: Names
    face_size: PositiveInt
    downscale: PositiveInt
    min_side: PositiveInt
    low: dict[str, PositiveInt]
    highs: PositiveInt
    samples: PositiveInt
    photograph_size: PositiveInt
    shots: PositiveInt
    tests: PositiveInt
    test_size: PositiveInt
    test_splits: Names = ("test",)  # the photographs or faces of the tests
    patches: PositiveInt
    seed: NonNegativeInt
    targets: dict[str, Names | str]
    real: RealTests


class Part(Options):
    """What a profile trains of a chapter."""

    variants: Names
    seeds: tuple[NonNegativeInt, ...]
    seeds_of: dict[str, tuple[NonNegativeInt, ...]] = {}  # of single variants
    networks: dict[str, Any]  # options of every network
    crop: PositiveInt
    training: dict[str, Any]  # of TrainingOptions


class ScaleRecurrentPart(Part):
    data: MotionData
    loss: Loss


class Phases(Options):
    warmup: Share
    reblurring: Share


class DefocusPart(Part):
    data: DefocusData
    levels: dict[str, tuple[NonNegativeInt, ...]]
    phases: Phases
    reblurring: dict[str, Any]


class Sources(Options):
    sources: tuple[Literal["clean", "handmade", "softened", "fitted", "oracle"], ...]
    t0: tuple[PositiveInt | Literal["drawn"], ...]


class Denoiser(Options):
    network: str
    options: dict[str, Any]
    training: dict[str, Any]


class Synthesis(Options):
    sampler: str
    steps: PositiveInt
    precision: Literal["fp32", "bf16"]


class DiffusionPart(Part):
    data: DiffusionData
    tasks: dict[str, Sources]
    options: dict[str, dict[str, Any]]  # of single networks
    denoiser: Denoiser
    synthesis: Synthesis


class CarryOverPart(Part):
    """Pairs and tests are those of the profile's other chapters."""

    sources: tuple[
        Literal["motion", "defocus", "matched", "handmade", "refined", "oracle", "mixture"], ...
    ]
    t0: PositiveInt | Literal["drawn"]  # of the refined pairs
    misalignment_px: NonNegativeInt = 8  # of the matched pairs
    low_quality: Names = ()  # real images without a truth to test on
    loss: Loss


class Profile(Options):
    evidence: bool
    machine: Machine
    planned: str | None = None  # the profile that names the runs still to come; not inherited
    scale_recurrent: ScaleRecurrentPart | None = None
    defocus: DefocusPart | None = None
    diffusion: DiffusionPart | None = None
    carry_over: CarryOverPart | None = None

    @property
    def chapters(self) -> list[str]:
        return [name for name in CHAPTERS if getattr(self, name) is not None]

    def part(self, chapter: str) -> Any:
        found = getattr(self, chapter, None)
        if found is None:
            raise ReblurError(
                f"the profile has no chapter {chapter!r}; its chapters are "
                f"{', '.join(self.chapters)}."
            )
        return found


class Restore(Options):
    """Which weights restore where none are named (`study.weights` reads it by itself)."""

    profiles: Names
    tasks: dict[str, dict[str, str]]


class Params(Options):
    scale_recurrent: Section
    defocus: Section
    diffusion: Diffusion
    carry_over: Section
    restore: Restore
    profiles: dict[str, Profile]

    def profile(self, name: str) -> Profile:
        refuse_unknown([name], self.profiles, "profile")
        return self.profiles[name]
