"""Chapter 3: does a detour through a diffusion model make better training pairs?"""

from collections.abc import Mapping
from typing import Any

from reblur.files import sha256_of_value
from reblur.network_names import DENOISERS, class_of
from reblur.study.chapters.diffusion_claims import DATASETS, label
from reblur.study.params import Params, merged, refuse_unknown
from reblur.study.provenance import code_hash
from reblur.study.rows import Run

CHAPTER = "diffusion"
TITLE = "Diffusion-synthesised pairs"
DATA, TESTS = "reblur.study.data.made_pairs", "reblur.study.data.made_tests"
DENOISER, MEASURES = "reblur.study.denoisers", "reblur.study.targets"
__all__ = ["DATASETS", "label"]  # what a comparison asks of a chapter
REFINED, INITIAL, FITTED, ORACLE = "refined", "softened", "fitted", "oracle"
TESTED = ("tests", "test_size", "test_splits")  # of the part's data: what the tests are made by
Source = tuple[str, int | str | None]  # its name, and t0 of refined pairs


def runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for: each task's restorers, trained on each source of pairs."""
    part = params.profile(profile).part(CHAPTER)
    return [
        Run(CHAPTER, name, params.diffusion.variants[name].network, seed, task, None, source, t0)
        for task in part.tasks
        for name in part.variants
        for source, t0 in sources(params, profile, task)
        for seed in part.seeds_of.get(name, part.seeds)
    ]


def sources(params: Params, profile: str, task: str) -> list[Source]:
    """The sources of a task's pairs as tables list them: refined ones by t0, the oracle last."""
    asked = params.profile(profile).part(CHAPTER).tasks[task]
    found: list[Source] = [(source, None) for source in asked.sources if source != ORACLE]
    found += [(REFINED, t0) for t0 in asked.t0]
    return found + [(ORACLE, None)] * (ORACLE in asked.sources)


def pairs_folder(source: str, t0: int | str | None) -> str:
    """The name of a source's pairs in a target's files: `softened`, `refined-t0_100`."""
    return source if t0 is None else f"{source}-t0_{t0}"


def configuration(params: Params, profile: str, run: Run) -> dict[str, Any]:
    """What a run trains and is tested on, as JSON values (see `reblur.study.runs.recipe`).

    `data` is the recipe of its pairs (`pairs_recipe`), and the same for every restorer.
    """
    part = params.profile(profile).part(CHAPTER).as_dict()
    variant = params.diffusion.variants[run.variant]
    data = pairs_recipe(params, profile, run.task, run.source, run.t0, run.seed)
    domain = data["domain"]
    options = {**part["networks"], **part["options"].get(run.network, {}), **variant.options}
    return {
        "network": {"name": run.network, "options": options},
        "training": merged(part["training"], variant.training),
        "data": data,
        "crop": min(variant.crop or part["crop"], domain["low"] * domain["scale"]),
        "objective": {"loss": variant.loss or "mse"},
        "tests": {
            "domain": domain,
            "target": None if domain["camera"] else target_of(params, profile, run.task),
            **{name: part["data"][name] for name in TESTED},
        },
    }


def domain_of(params: Params, profile: str, task: str) -> dict[str, Any]:
    """A task with what its high-quality images are cut from, as JSON values.

    Keys: `name`, `content`, `scale`, `camera` of the task; `images`, the data sets, and how they
    are `prepared`; `low`, the side of a low-quality training image in pixels; how many `highs`
    there are, and low-quality `samples` of each; `seed`.
    """
    about, data = params.diffusion.tasks[task], params.profile(profile).part(CHAPTER).data
    faces = about.content == "faces"
    return {
        "name": task,
        **{key: getattr(about, key) for key in ("content", "scale", "camera")},
        "images": list(data.faces if faces else data.photographs),
        "prepared": {
            key: getattr(data, key)
            for key in (("face_size",) if faces else ("downscale", "min_side"))
        },
        "low": data.low[task],
        **{key: getattr(data, key) for key in ("highs", "samples", "seed")},
    }


def target_of(params: Params, profile: str, task: str) -> dict[str, Any]:
    """What a task's low-quality images are: how many a camera takes, or the sets of real ones."""
    data = params.profile(profile).part(CHAPTER).data
    if params.diffusion.tasks[task].camera:
        return {"photograph_size": data.photograph_size, "shots": data.shots}
    refuse_unknown([task], data.targets, f"profiles.{profile}.{CHAPTER}.data.targets")
    named = data.targets[task]
    return {"sets": named if isinstance(named, str) else list(named)}


def target_names(target: Mapping[str, Any] | None) -> list[str]:
    """The data sets, or the folder, of real low-quality images; none of a camera's."""
    named = target.get("sets", []) if target else []
    return [named] if isinstance(named, str) else list(named)


def denoiser_recipe(params: Params, profile: str, task: str, seed: int) -> dict[str, Any]:
    """What makes a target's diffusion model: as the recipe of a run, `identity` included."""
    from reblur.study.data.available import data_hashes  # with it torch, which takes seconds

    part = params.profile(profile).part(CHAPTER).denoiser
    domain, target = domain_of(params, profile, task), target_of(params, profile, task)
    made = {
        "configuration": {
            "network": {
                "name": part.network,
                "options": {**DENOISERS[part.network][2], **part.options},
            },
            "training": part.training,
            "domain": domain,
            "target": target,
            "seed": seed,
            "machine": params.profile(profile).machine.as_dict(),
        },
        "trained_by": code_hash([f"{DENOISER}:train_denoiser", class_of(part.network)]),
        "data": data_hashes([*domain["images"], *target_names(target)]),
    }
    return made | {"identity": sha256_of_value(made)}


def pairs_recipe(
    params: Params, profile: str, task: str, source: str, t0: int | str | None, seed: int
) -> dict[str, Any]:
    """What makes a set of training pairs; `pairs` is its identity, and the name of its folder.

    Only refined pairs follow from a diffusion model, and so from the seed.
    """
    from reblur.study.data.available import data_hashes

    domain, part = domain_of(params, profile, task), params.profile(profile).part(CHAPTER)
    images = data_hashes(domain["images"])
    highs = {"domain": domain, "data": images, "made_by": code_hash([f"{DATA}:high_images"])}
    maker, network = f"{DATA}:degraded", []
    about: dict[str, Any] = {"domain": domain, "source": source, "t0": t0, "data": images}
    if source == ORACLE:
        maker = f"{DATA}:photographed"
    elif source == FITTED:
        target = target_of(params, profile, task)
        about |= {"target": target, "data": data_hashes([*domain["images"], *target_names(target)])}
        maker = f"{DATA}:fitted"
    else:
        recipe = INITIAL if source == REFINED else source
        about["recipe"] = getattr(params.diffusion.tasks[task], recipe)
    if source == REFINED:
        maker, network = f"{DENOISER}:refined", [class_of(part.denoiser.network)]
        denoiser = denoiser_recipe(params, profile, task, seed)
        about |= {
            "denoiser": denoiser,
            "synthesis": part.synthesis.as_dict(),
            "data": denoiser["data"],
        }
    about |= {"maker": maker, "highs": sha256_of_value(highs)}
    about["made_by"] = code_hash([maker, f"{DATA}:pair_set", *network])
    return {"pairs": sha256_of_value(about), **about}


def target_recipes(params: Params, profile: str) -> dict[str, dict[str, Any]]:
    """`<task>-<seed>` → its diffusion model, the pairs of every source, and how they are measured.

    The first pairs are those that refinement starts from; content is compared with them.
    """
    part = params.profile(profile).part(CHAPTER)
    found = {}
    for task, seed in dict.fromkeys((run.task, run.seed) for run in runs(params, profile)):
        asked = dict.fromkeys([(INITIAL, None), *sources(params, profile, task)])
        found[f"{task}-{seed}"] = {
            "task": task,
            "seed": seed,
            "denoiser": denoiser_recipe(params, profile, task, seed),
            "synthesis": part.synthesis.as_dict(),
            "pairs": [pairs_recipe(params, profile, task, *source, seed) for source in asked],
            "patches": part.data.patches,
            "shows": seed == min(part.seeds),
            "measured_by": code_hash([f"{MEASURES}:measure_pairs", f"{MEASURES}:measure_cost"]),
        }
    return found


def data_names(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(data sets that training reads, data sets that the test sets are made of)."""
    tests = config["tests"]
    tested = [*tests["domain"]["images"], *target_names(tests["target"])]
    return list(config["data"]["data"]), tested


def all_data(params: Params, profile: str) -> list[str]:
    """Every data set or folder that the chapter reads in a profile."""
    tasks = params.profile(profile).part(CHAPTER).tasks
    found = [domain_of(params, profile, task)["images"] for task in tasks]
    found += [target_names(target_of(params, profile, task)) for task in tasks]
    return sorted({name for names in found for name in names})
