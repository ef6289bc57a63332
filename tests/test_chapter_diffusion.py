"""Chapter 3's recipes: what a run of it depends on, and what not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reblur.errors import ReblurError
from reblur.study.chapters import diffusion
from reblur.study.params import Params, merged, read_params
from reblur.study.rows import Run
from reblur.study.runs import recipe

WHOLE = read_params(Path(__file__).parents[1] / "params.yaml")
PROFILE = "demo"


def changed(**part: Any) -> Params:
    """The project's parameters with another part of chapter 3 in the demo."""
    values = WHOLE.as_dict()
    at = values["profiles"][PROFILE]
    at["diffusion"] = merged(at["diffusion"], part)
    return Params.from_dict(values, "params.yaml")


def run_of(source: str, t0: int | str | None = None, seed: int = 0, variant: str = "rrdb") -> Run:
    return Run("diffusion", variant, variant, seed, "superres", None, source, t0)


def identity(params: Params, run: Run) -> str:
    return recipe(params, PROFILE, run)["identity"]


def pairs(params: Params, run: Run) -> str:
    return recipe(params, PROFILE, run)["configuration"]["data"]["pairs"]


CLEAN, REFINED = run_of("clean"), run_of("refined", 100)


def test_runs_are_rows_with_refined_sources_by_t0_and_the_oracle_last() -> None:
    params = changed(tasks={"superres": {"sources": ["oracle", "clean"], "t0": [100, "drawn"]}})
    found = [run for run in diffusion.runs(params, PROFILE) if run.variant == "rrdb"]
    expected = [("clean", None), ("refined", 100), ("refined", "drawn"), ("oracle", None)]
    assert [(run.source, run.t0) for run in found] == expected
    assert found[2].name == "diffusion-superres-rrdb-refined-t0_drawn-0"


@pytest.mark.parametrize(
    ("part", "retrained"),
    [
        ({"denoiser": {"training": {"steps": 7}}}, "refined"),
        ({"denoiser": {"options": {"layers": 1}}}, "refined"),
        ({"synthesis": {"steps": 3}}, "refined"),
        ({"data": {"shots": 2}}, "refined"),
        ({"data": {"highs": 8}}, "clean refined"),
        ({"data": {"seed": 1}}, "clean refined"),
        ({"training": {"steps": 7}}, "clean refined"),
        ({"data": {"tests": 3}}, ""),
        ({"data": {"patches": 3}}, ""),
    ],
    ids=str,
)
def test_a_run_depends_on_its_own_pairs(part: dict, retrained: str) -> None:
    params = changed(**part)
    found = {
        run.source for run in (CLEAN, REFINED) if identity(params, run) != identity(WHOLE, run)
    }
    assert found == set(retrained.split())


def test_only_refined_pairs_follow_from_the_seed() -> None:
    assert pairs(WHOLE, CLEAN) == pairs(WHOLE, replace(CLEAN, seed=1))
    assert pairs(WHOLE, REFINED) != pairs(WHOLE, replace(REFINED, seed=1))
    assert identity(WHOLE, CLEAN) != identity(WHOLE, replace(CLEAN, seed=1))


def test_restorers_share_the_pairs_and_each_source_has_its_own() -> None:
    every = [run for run in diffusion.runs(WHOLE, PROFILE) if run.task == "superres"]
    found = {(run.source, run.t0): set() for run in every}
    for run in every:
        found[run.source, run.t0].add(pairs(WHOLE, run))
    assert all(len(hashes) == 1 for hashes in found.values())
    assert len(set.union(*found.values())) == len(found)


def test_a_configuration_is_the_part_with_the_networks_options_and_a_crop_that_fits() -> None:
    params = changed(crop=500)
    config = recipe(params, PROFILE, CLEAN)["configuration"]
    assert config["crop"] == 128  # four times the side of a low-quality image
    assert config["network"]["options"] == {"width": 16, "blocks": 2, "growth": 8}
    assert config["objective"] == {"loss": "mse"}


def test_a_target_has_a_recipe_with_every_source_of_its_pairs() -> None:
    found = diffusion.target_recipes(WHOLE, PROFILE)
    assert list(found) == ["superres-0", "deblur-0", "faces-0"]
    one = found["superres-0"]
    assert one["pairs"][0]["source"] == "softened"  # what content is compared with
    asked = {
        (run.source, run.t0): pairs(WHOLE, run)
        for run in diffusion.runs(WHOLE, PROFILE)
        if run.task == "superres"
    }
    assert {(p["source"], p["t0"]): p["pairs"] for p in one["pairs"]} == asked
    assert (
        one["denoiser"]["identity"]
        == recipe(WHOLE, PROFILE, REFINED)["configuration"]["data"]["denoiser"]["identity"]
    )


def test_a_real_task_without_its_target_is_one_sentence() -> None:
    params = changed(
        tasks={"real_superres": {"sources": ["clean"], "t0": [100]}},
        data={"low": {"real_superres": 32}},
    )
    with pytest.raises(ReblurError, match=r"data.targets: unknown name 'real_superres'"):
        diffusion.all_data(params, PROFILE)
