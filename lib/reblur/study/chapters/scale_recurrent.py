"""Chapter 1: which parts of the scale-recurrent network earn their keep?"""

from typing import Any

from reblur.study.chapters.stages import plain_stages
from reblur.study.params import Params, merged
from reblur.study.rows import Run

CHAPTER = "scale_recurrent"
TITLE = "Scale-recurrent networks"
DATA, TESTS = "reblur.study.data.motion", "reblur.study.data.motion_tests"


def runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for, variants in the order of params.yaml."""
    part = params.profile(profile).part(CHAPTER)
    variants = params.scale_recurrent.variants
    return [
        Run(CHAPTER, name, variants[name].network, seed)
        for name in part.variants
        for seed in part.seeds_of.get(name, part.seeds)
    ]


def configuration(params: Params, profile: str, run: Run) -> dict[str, Any]:
    """What a run trains and is tested on, as JSON values (see `reblur.study.runs.recipe`)."""
    part = params.profile(profile).part(CHAPTER).as_dict()
    variant = params.scale_recurrent.variants[run.variant]
    tests = {name: part["data"].pop(name) for name in ("synthetic", "real", "kohler")}
    simulator = {key: part["data"][key] for key in ("downscale", "min_side", "motion")}
    part = merged(part, {"data": variant.data, "training": variant.training})
    data = part["data"]
    return {
        "network": {"name": run.network, "options": {**part["networks"], **variant.options}},
        "training": part["training"],
        "data": data,
        "crop": variant.crop or part["crop"],
        "objective": {"loss": variant.loss or part["loss"]},
        "tests": tests | {"simulator": simulator},  # the profile's, whatever a variant trains on
    }


def data_names(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(data sets that training reads, data sets that the test sets are made of)."""
    data, tests = config["data"], config["tests"]
    trained = [data["pairs"]] if data["pairs"] else data["photographs"]
    tested = list(tests["real"]["sets"])
    if tests["synthetic"]:
        tested += tests["synthetic"]["photographs"]
    return list(trained), tested


def all_data(params: Params, profile: str) -> list[str]:
    """Every data set or folder that the chapter reads in a profile."""
    found = [data_names(configuration(params, profile, run)) for run in runs(params, profile)]
    return sorted({name for names in found for part in names for name in part})


def stage_recipes(params: Params, profile: str) -> dict[str, dict[str, Any]]:
    """What the chapter's stages beside its runs depend on: name → recipe."""
    return plain_stages(params, profile, CHAPTER)
