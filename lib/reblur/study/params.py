"""params.yaml, read and checked: what is studied, and at which scale."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reblur.datasets.catalogue.manifests import project_root
from reblur.errors import ReblurError

#: The chapters in their order: sections of params.yaml and of a profile, modules of this room.
CHAPTERS = ("scale_recurrent", "defocus", "diffusion")


@dataclass(frozen=True)
class Run:
    """One training of one variant with one seed.

    In chapter 2 at one level of misalignment of its training pairs, in chapter 3 with one source of
    them.
    """

    profile: str
    variant: str
    seed: int
    level: int | str | None = None  # px, or the source's name; None where a chapter has no levels

    @property
    def arm(self) -> str:
        """What the tables compare: the variant, and its level where there is one: `plain@2`."""
        return self.variant if self.level is None else f"{self.variant}@{self.level}"

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.seed}"

    @property
    def folder(self) -> Path:
        """`run_folder` below `results/<profile>`, relative to the project's root."""
        return run_folder(results_folder(self.profile), self.arm, self.seed)


def run_folder(root: Path, arm: str, seed: int) -> Path:
    """`runs/<variant>-<seed>` below `root`, and for an arm with a level its folder below that:
    `<level>px`, or a source's name."""
    variant, _, level = arm.partition("@")
    folder = Path(root) / "runs" / f"{variant}-{seed}"
    return folder / (f"{level}px" if level.isdigit() else level) if level else folder


def results_folder(profile: str) -> Path:
    """`results/<profile>`, relative to the project's root."""
    return Path("results") / profile


def read_params(path: str | Path | None = None) -> dict[str, Any]:
    """The whole of params.yaml (by default the project's), as plain dicts and lists.

    Raises:
        ReblurError: no such file, no YAML, or a table, profile or step that names no variant.
    """
    path = Path(path) if path is not None else project_root() / "params.yaml"
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReblurError(f"{path}: there is no such file; restore it from git.") from error
    except yaml.YAMLError as error:
        raise ReblurError(f"{path}: is not valid YAML ({error}); correct it.") from error
    try:
        restorers_by_task(params)
    except (KeyError, TypeError) as error:
        raise ReblurError(
            f"{path}: the section 'diffusion' lacks something or has the wrong form ({error})."
        ) from None
    check(params, str(path))
    return params


def restorers_by_task(params: dict[str, Any]) -> None:
    """Fill in the variants of chapter 3, in place: each task with each restorer, `superres_rrdb`.

    A profile names `tasks`, `restorers` and, by task, the `sources` of training pairs; each source
    is a training, as a level is in chapter 2.
    """
    if "diffusion" not in params:
        return
    section = params["diffusion"]
    section["variants"] = {
        f"{task}_{restorer}": {"task": task, **options}
        for task in section["tasks"]
        for restorer, options in section["restorers"].items()
    }
    for profile in params["profiles"].values():
        if part := profile.get("diffusion"):
            pairs = [(task, name) for task in part["tasks"] for name in part["restorers"]]
            part["variants"] = [f"{task}_{name}" for task, name in pairs]
            part["levels"] = {f"{task}_{name}": part["sources"][task] for task, name in pairs}


def check(params: dict[str, Any], where: str) -> None:
    """Refuse names that lead nowhere and numbers that YAML read as texts (1e-4 without a point)."""
    try:
        chapters = [name for name in CHAPTERS if name in params]
        for chapter in chapters:
            section = params[chapter]
            for table, rows in section["tables"].items():
                refuse_unknown(rows, section["variants"], f"{where}: table {table!r}")
            known = section.get("sources", section["variants"])
            refuse_unknown(section["panel"], known, f"{where}: panel")
            for name, profile in params["profiles"].items():
                if chapter in profile:
                    _check_part(profile[chapter], section, f"{where}: profile {name!r}")
        flagship = params["scale_recurrent"]["flagship"]
        refuse_unknown([flagship], params["scale_recurrent"]["variants"], f"{where}: flagship")
        names = [variant for chapter in chapters for variant in params[chapter]["variants"]]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ReblurError(f"{where}: two chapters have a variant {min(twice)!r}; rename one.")
    except (KeyError, TypeError) as error:
        raise ReblurError(
            f"{where}: a section is missing or of the wrong form ({error})."
        ) from None
    for trail, value in leaves(params):
        if isinstance(value, str) and _reads_as_number(value):
            raise ReblurError(
                f"{where}: {trail} = {value} is a text to YAML, not a number; write 1.0e-4."
            )


def _check_part(part: dict[str, Any], section: dict[str, Any], where: str) -> None:
    """A profile's part of a chapter: its variants, and what it says of each of them."""
    refuse_unknown(part["variants"], section["variants"], where)
    for key in ("steps", "levels"):
        if key in part:
            refuse_unknown(part["variants"], part[key], f"{where}, {key}")
    for task, names in part.get("sources", {}).items():
        families = [re.sub(r"^refined_(\d+|drawn)$", "refined", name) for name in names]
        refuse_unknown(families, section["sources"], f"{where}, sources of {task}")


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def leaves(value: Any, trail: str = "") -> Iterable[tuple[str, Any]]:
    """The (dotted path, value) of everything that is neither dict nor list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{trail}.{key}" if trail else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{trail}[{number}]")
    else:
        yield trail, value


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """ReblurError naming the choices when one of `names` is not in `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ReblurError(
                f"{where}: unknown name {name!r}; the choices are {', '.join(known)}."
            )


def profile_of(params: dict[str, Any], profile: str) -> dict[str, Any]:
    """The section of one profile; ReblurError naming the profiles when there is none."""
    refuse_unknown([profile], params["profiles"], "profile")
    return params["profiles"][profile]


def chapters_of(params: dict[str, Any], profile: str) -> list[str]:
    """The chapters that a profile studies, in their order."""
    return [name for name in CHAPTERS if name in profile_of(params, profile)]


def chapter_of(params: dict[str, Any], variant: str) -> str:
    """The chapter that a variant belongs to; ReblurError naming the variants when it has none."""
    variants = {v: name for name in CHAPTERS if name in params for v in params[name]["variants"]}
    refuse_unknown([variant], variants, "variant")
    return variants[variant]


def data_of(params: dict[str, Any], profile: str, chapter: str) -> dict[str, Any]:
    """The data section of a chapter in a profile: its own, or the profile's."""
    section = profile_of(params, profile)
    refuse_unknown([chapter], section, f"profile {profile!r}")
    return section[chapter].get("data", section.get("data"))


def steps_of(part: dict[str, Any], variant: str) -> int:
    """Steps of one training of a variant, in a profile's part of a chapter: its own or the same for
    all."""
    return part["steps"][variant] if "steps" in part else part["training"]["steps"]


def chapter_folder(profile: str, chapter: str) -> Path:
    """Where a chapter's test data and its scores of doing nothing stand: the first one's directly
    below `results/<profile>`, another's in a folder of its own there."""
    folder = results_folder(profile)
    return folder if chapter == CHAPTERS[0] else folder / chapter


def runs_of(params: dict[str, Any], profile: str, chapter: str | None = None) -> list[Run]:
    """Every run of one profile, variants in the order of params.yaml; of one chapter, or of all."""
    runs = []
    for name in chapters_of(params, profile) if chapter is None else [chapter]:
        part = profile_of(params, profile)[name]
        levels = part.get("levels", {})
        runs += [
            Run(profile, variant, seed, level)
            for variant in part["variants"]
            for level in levels.get(variant, [None])
            for seed in part["seeds"]
        ]
    return runs


def runs_of_variant(params: dict[str, Any], profile: str, variant: str, seed: int) -> list[Run]:
    """The runs that one stage of the pipeline makes: a variant with one seed, at all its levels.

    Raises:
        ReblurError: an unknown profile or variant, or one that the profile does not train.
    """
    runs = runs_of(params, profile, chapter_of(params, variant))
    found = [run for run in runs if (run.variant, run.seed) == (variant, seed)]
    if not found:
        raise ReblurError(
            f"profile {profile!r} does not train {variant} with seed {seed}; add both to its "
            "section of params.yaml."
        )
    return found


def prepare_machine(params: dict[str, Any], profile: str) -> str:
    """Set the number of threads and return the device ("cpu", "cuda") that the profile names.

    The number of threads is part of the parameters
    because a sum over another number of threads rounds differently.

    Raises:
        ReblurError: the profile names a GPU, and there is none.
    """
    import torch

    machine = profile_of(params, profile)["machine"]
    if machine.get("threads"):
        torch.set_num_threads(int(machine["threads"]))
        os.environ["OMP_NUM_THREADS"] = str(machine["threads"])
    device = machine["device"]
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True  # crops of one size: the fastest kernels, once
    if device == "cuda" and not torch.cuda.is_available():
        raise ReblurError(
            f"profile {profile!r} needs a CUDA GPU and none was found; run it on such a machine, "
            "or set its machine.device to cpu in params.yaml (days)."
        )
    return device
