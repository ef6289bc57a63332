"""Chapter 3: does a detour through a diffusion model make better training pairs?"""

from reblur.study.params import Params
from reblur.study.rows import Run

CHAPTER = "diffusion"
TITLE = "Diffusion-synthesised pairs"
DATA, TESTS = "reblur.study.data.made_pairs", "reblur.study.data.made_tests"
REFINED, INITIAL, ORACLE = "refined", "softened", "oracle"


def runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for: each task's restorers, trained on each source of pairs."""
    part = params.profile(profile).part(CHAPTER)
    found = []
    for task, asked in part.tasks.items():
        for name in part.variants:
            network = params.diffusion.variants[name].network
            sources = [(source, None) for source in asked.sources if source != ORACLE]
            sources += [(REFINED, t0) for t0 in asked.t0]
            sources += [(ORACLE, None)] * (ORACLE in asked.sources)
            found += [
                Run(CHAPTER, name, network, seed, task=task, source=source, t0=t0)
                for source, t0 in sources
                for seed in part.seeds_of.get(name, part.seeds)
            ]
    return found
