"""params.yaml, read by the models of `params_schema`: what is studied, and at which scale."""

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reblur.datasets.catalogue.manifests import project_root
from reblur.errors import ReblurError
from reblur.options import refuse_unknown
from reblur.study.params_schema import CHAPTERS, Machine, Names, Params


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
    kept.pop("planned", None)
    for chapter in CHAPTERS:  # seeds of single variants go with the variants
        if "variants" in (own.get(chapter) or {}):
            kept[chapter] = {k: v for k, v in (kept.get(chapter) or {}).items() if k != "seeds_of"}
    return merged(kept, own)


#: Mappings that a profile or a variant replaces as a whole: their keys are names, not options.
WHOLE = ("levels", "tasks", "seeds_of", "targets", "low", "motions")


def merged(base: Any, change: Any, key: str = "") -> Any:
    """`base` with what `change` says instead, mapping by mapping; neither is touched."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping) or key in WHOLE:
        return copy.deepcopy(change)
    changed = {name: merged(base.get(name), value, name) for name, value in change.items()}
    return copy.deepcopy(dict(base)) | changed


def _check_names(params: Params, where: str) -> None:
    """Names of variants, tasks and their keys lead somewhere."""
    from reblur.network_names import DENOISERS, NETWORKS

    for name, profile in params.profiles.items():
        if profile.planned is not None:
            refuse_unknown([profile.planned], params.profiles, f"{where}: profiles.{name}.planned")
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
