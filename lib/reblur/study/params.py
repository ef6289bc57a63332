"""params.yaml, read by strict models: what is studied, and at which scale."""

import copy
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, NonNegativeInt, PositiveInt

from reblur.datasets.catalogue.manifests import project_root
from reblur.errors import ReblurError
from reblur.options import Options

Names = tuple[str, ...]
Share = Annotated[float, Field(ge=0, le=1)]


class Variant(Options):
    """A row of a chapter's tables: a network, and what differs from the profile's part."""

    network: str
    options: dict[str, Any] = {}  # of the network
    training: dict[str, Any] = {}
    data: dict[str, Any] = {}
    loss: str | None = None
    crop: PositiveInt | None = None
    objective: dict[str, Any] = {}  # of chapter 2


class ScaleRecurrent(Options):
    variants: dict[str, Variant]
    tables: dict[str, Names]


class Defocus(Options):
    variants: dict[str, Variant]
    tables: dict[str, Names]


class Task(Options):
    content: Literal["photographs", "faces"]
    scale: PositiveInt
    camera: str | None
    clean: str
    handmade: str
    softened: str


class Rule(Options):
    metric: str
    content_deviation: Annotated[float, Field(gt=0)]


class Diffusion(Options):
    tasks: dict[str, Task]
    variants: dict[str, Variant]
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
    loss: Literal["mse", "charbonnier"]


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
    loss: Literal["mse", "charbonnier"]


class Profile(Options):
    evidence: bool
    machine: Machine
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


class CarryOver(Options):
    variants: dict[str, Variant]


class Restore(Options):
    """Which weights restore where none are named (`evaluation.weights` reads it by itself)."""

    profiles: Names
    tasks: dict[str, dict[str, str]]


class Params(Options):
    scale_recurrent: ScaleRecurrent
    defocus: Defocus
    diffusion: Diffusion
    carry_over: CarryOver
    restore: Restore
    profiles: dict[str, Profile]

    def profile(self, name: str) -> Profile:
        refuse_unknown([name], self.profiles, "profile")
        return self.profiles[name]


#: The chapters in their order: sections of params.yaml and of a profile, modules of `chapters`.
CHAPTERS = ("scale_recurrent", "defocus", "diffusion", "carry_over")


class _Yaml12(yaml.SafeLoader):
    """Numbers as YAML 1.2 reads them: 1e-05, which DVC writes, is one; `yes` is a text."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag.rpartition(":")[2] not in ("float", "bool")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$"),
    list("-+.0123456789"),
)
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read_params(path: str | Path | None = None) -> Params:
    """The whole of params.yaml (by default the project's); profiles are complete in it.

    Raises:
        ReblurError: no such file, no YAML, a key that is unknown or missing, a value that cannot
            be, or a name that leads nowhere; one sentence.
    """
    path = Path(path) if path is not None else project_root() / "params.yaml"
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Yaml12)
    except FileNotFoundError as error:
        raise ReblurError(f"{path}: there is no such file; restore it from git.") from error
    except yaml.YAMLError as error:
        raise ReblurError(f"{path}: is not valid YAML ({error}); correct it.") from error
    if not isinstance(values, dict) or not isinstance(values.get("profiles"), dict):
        raise ReblurError(f"{path}: holds no 'profiles'; restore it from git.")
    profiles = values["profiles"]
    values = {**values, "profiles": {name: extended(profiles, name, path) for name in profiles}}
    params = Params.from_dict(values, path.name)
    _check_names(params, path.name)
    return params


def extended(profiles: Mapping[str, Any], name: str, where: Any, below: Names = ()) -> Any:
    """The values of a profile with those that it extends filled in; `null` leaves a part out."""
    own = profiles[name]
    if not isinstance(own, dict):
        raise ReblurError(f"{where}: profiles.{name} must be a mapping of options.")
    parent = own.get("extends")
    if parent is None:
        return {key: value for key, value in own.items() if key != "extends"}
    if parent not in profiles or parent in (*below, name):
        raise ReblurError(
            f"{where}: profiles.{name}.extends is {parent!r}; name another profile, one of "
            f"{', '.join(p for p in profiles if p != name)}."
        )
    inherited = extended(profiles, parent, where, (*below, name))
    own = {key: value for key, value in own.items() if key not in ("extends", "chapters")}
    chapters = profiles[name].get("chapters", CHAPTERS)
    refuse_unknown(chapters, CHAPTERS, f"{where}: profiles.{name}.chapters")
    kept = {k: v for k, v in inherited.items() if k not in CHAPTERS or k in chapters}
    return merged(kept, own)


#: Mappings that a profile or a variant replaces as a whole: their keys are names, not options.
WHOLE = ("levels", "tasks", "seeds_of", "targets", "low", "motions")


def merged(base: Any, change: Any, key: str = "") -> Any:
    """`base` with what `change` says instead, mapping by mapping; neither is touched."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping) or key in WHOLE:
        return copy.deepcopy(change)
    return {
        name: merged(base[name], change[name], name)
        if name in base and name in change
        else copy.deepcopy(change.get(name, base.get(name)))
        for name in base | change
    }


def _check_names(params: Params, where: str) -> None:
    """Names of variants, tasks and their keys lead somewhere."""
    from reblur.networks.names import DENOISERS, NETWORKS

    for chapter in CHAPTERS:
        section = getattr(params, chapter)
        for name, variant in section.variants.items():
            refuse_unknown([variant.network], NETWORKS, f"{where}: {chapter}.variants.{name}")
        for table, rows in getattr(section, "tables", {}).items():
            refuse_unknown(rows, section.variants, f"{where}: {chapter}.tables.{table}")
        for name, profile in params.profiles.items():
            if (part := getattr(profile, chapter)) is None:
                continue
            at = f"{where}: profiles.{name}.{chapter}"
            refuse_unknown(part.variants, section.variants, f"{at}.variants")
            refuse_unknown(part.seeds_of, part.variants, f"{at}.seeds_of")
            if chapter == "defocus":
                refuse_unknown(part.levels, section.variants, f"{at}.levels")
                refuse_unknown(part.variants, part.levels, f"{at}.variants (their levels)")
            if chapter == "diffusion":
                refuse_unknown(part.tasks, section.tasks, f"{at}.tasks")
                refuse_unknown(part.tasks, part.data.low, f"{at}.tasks (their data.low)")
                refuse_unknown(part.options, NETWORKS, f"{at}.options")
                refuse_unknown([part.denoiser.network], DENOISERS, f"{at}.denoiser.network")


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """ReblurError naming the choices when one of `names` is not in `known`."""
    import difflib

    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise ReblurError(
                f"{where}: unknown name {name!r}{hint}; the choices are {', '.join(known)}."
            )


def results_folder(profile: str) -> Path:
    """`results/<profile>`, relative to the project's root."""
    return Path("results") / profile


def prepare_machine(machine: Machine, profile: str) -> str:
    """Set the number of threads and return the device ("cpu", "cuda") that a profile names.

    The number of threads is part of a run's identity, because a sum over another number of threads
    rounds differently.

    Raises:
        ReblurError: the profile names a GPU, and there is none.
    """
    import torch

    torch.set_num_threads(machine.threads)
    os.environ["OMP_NUM_THREADS"] = str(machine.threads)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True  # crops of one size: the fastest kernels, once
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise ReblurError(
            f"profile {profile!r} needs a CUDA GPU and none was found; run it on such a machine, "
            "or set its machine.device to cpu in params.yaml (days)."
        )
    return machine.device
