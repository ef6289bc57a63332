"""params.yaml, read and checked: what is studied, and at which scale."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reblur.datasets.manifests import project_root
from reblur.errors import ReblurError


@dataclass(frozen=True)
class Run:
    """One training of one variant with one seed."""

    profile: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.seed}"

    @property
    def folder(self) -> Path:
        """`results/<profile>/runs/<variant>-<seed>`, relative to the project's root."""
        return results_folder(self.profile) / "runs" / self.name


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
    check(params, str(path))
    return params


def check(params: dict[str, Any], where: str) -> None:
    """Refuse names that lead nowhere and numbers that YAML read as texts (1e-4 without a point)."""
    try:
        chapter, profiles = params["scale_recurrent"], params["profiles"]
        variants = chapter["variants"]
        for table, rows in chapter["tables"].items():
            refuse_unknown(rows, variants, f"{where}: table {table!r}")
        refuse_unknown([chapter["flagship"], *chapter["panel"]], variants, f"{where}: panel")
        for name, profile in profiles.items():
            part = profile["scale_recurrent"]
            refuse_unknown(part["variants"], variants, f"{where}: profile {name!r}")
            refuse_unknown(part["variants"], part["steps"], f"{where}: steps of {name!r}")
    except (KeyError, TypeError) as error:
        raise ReblurError(
            f"{where}: a section is missing or of the wrong form ({error})."
        ) from None
    for trail, value in leaves(params):
        if isinstance(value, str) and _reads_as_number(value):
            raise ReblurError(
                f"{where}: {trail} = {value} is a text to YAML, not a number; write 1.0e-4."
            )


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


def runs_of(params: dict[str, Any], profile: str) -> list[Run]:
    """Every run of chapter 1 in one profile, variants in the order of params.yaml."""
    part = profile_of(params, profile)["scale_recurrent"]
    return [Run(profile, v, s) for v in part["variants"] for s in part["seeds"]]


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
