"""Chapter 2: how far may a training pair be off, and what does reblurring win back?"""

from typing import Any

from reblur.errors import ReblurError
from reblur.study.chapters.scale_recurrent import data_names
from reblur.study.chapters.stages import plain_stages
from reblur.study.params import Params, merged
from reblur.study.rows import Run

CHAPTER = "defocus"
TITLE = "Reblurring-guided learning"
DATA, TESTS = "reblur.study.data.triplets", "reblur.study.data.triplet_tests"

__all__ = ["all_data", "configuration", "data_names", "runs", "stage_recipes"]


def runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for: each variant at each of its levels, with each seed."""
    part = params.profile(profile).part(CHAPTER)
    variants = params.defocus.variants
    return [
        Run(CHAPTER, name, variants[name].network, seed, level=level)
        for name in part.variants
        for level in part.levels[name]
        for seed in part.seeds_of.get(name, part.seeds)
    ]


def configuration(params: Params, profile: str, run: Run) -> dict[str, Any]:
    """What a run trains and is tested on, as JSON values (see `reblur.study.runs.recipe`).

    Raises:
        ReblurError: pairs that exist, at another level than 0 (as they are).
    """
    part = params.profile(profile).part(CHAPTER).as_dict()
    variant = params.defocus.variants[run.variant]
    part = merged(part, {"data": variant.data, "training": variant.training})
    data = part["data"]
    if not data["pairs"]:
        data["defocus"]["misalignment_px"] = run.level
    elif run.level:
        raise ReblurError(
            f"{data['pairs']}: its pairs are as they are and cannot be misaligned by {run.level} "
            "px; give the level 0, or synthesise the pairs from photographs."
        )
    steps, phases = part["training"]["steps"], part["phases"]
    objective = {"warmup_steps": round(phases["warmup"] * steps), **variant.objective}
    reblurs = any(objective.get(f"{term}_weight", 1) > 0 for term in ("reblurring", "pseudo"))
    if reblurs:
        alone = {"reblurring_steps": round(phases["reblurring"] * steps), **part["reblurring"]}
        objective = {**alone, **objective}
    options = {**part["networks"], **variant.options, "reblurring": reblurs}
    tests = {name: data.pop(name) for name in ("synthetic", "real")}
    return {
        "network": {"name": run.network, "options": options},
        "training": part["training"],
        "data": data,
        "crop": variant.crop or part["crop"],
        "objective": objective,
        "tests": tests | {"defocus": {**data["defocus"], "misalignment_px": 0}},
    }


def all_data(params: Params, profile: str) -> list[str]:
    """Every data set or folder that the chapter reads in a profile."""
    found = [data_names(configuration(params, profile, run)) for run in runs(params, profile)]
    return sorted({name for names in found for part in names for name in part})


def stage_recipes(params: Params, profile: str) -> dict[str, dict[str, Any]]:
    """What the chapter's stages beside its runs depend on: name → recipe."""
    return plain_stages(params, profile, CHAPTER)
