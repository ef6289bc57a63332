"""Chapter 4: which training pairs carry over to which real blur?

One restorer, trained alike on each source of pairs that the other chapters of the profile make, and
tested on the test sets of all of them.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reblur.study.analysis.claims import Claim
from reblur.study.analysis.sentences import gain_in_words
from reblur.study.chapters import defocus, diffusion, scale_recurrent
from reblur.study.params import Params, merged
from reblur.study.rows import BLURRED, Run

CHAPTER = "carry_over"
TITLE = "Which training pairs carry over?"
DATA, TESTS = "reblur.study.data.carry_over", "reblur.study.data.carry_over_tests"

MIXTURE, MATCHED = "mixture", "matched"
TASK = "deblur"  # the task of chapter 3 that keeps the size
LOW_QUALITY = "low_quality"  # the test set without a truth
#: `DefocusDeblur` without a blur estimator is its backbone, and in training a reblurring network.
MATCHED_NETWORK = "defocus_unet_noprior"
SOURCES = {
    "motion": "synthetic motion",
    "defocus": "thin-lens defocus",
    MATCHED: "misaligned defocus + matched reblurring",
    "handmade": "BSRGAN-like",
    "refined": "diffusion-refined",
    "oracle": "true camera (hidden)",
    MIXTURE: "mixture of all",
}
DATASETS = {
    **scale_recurrent.DATASETS,
    **defocus.DATASETS,
    TASK: "hidden camera",
    LOW_QUALITY: "real low-quality photographs",
}
#: The test set whose blur is made as a source's is.
OWN = {"motion": "synthetic", "defocus": "thin_lens", MATCHED: "thin_lens", "oracle": TASK}


def label(fields: Mapping[str, Any]) -> str:
    """What people call a configuration: its source of pairs."""
    if fields["variant"] == BLURRED:
        return "blurred input"
    return SOURCES.get(fields["source"], str(fields["source"]))


def runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for: each restorer on each source of pairs, with each seed."""
    part = params.profile(profile).part(CHAPTER)
    return [
        Run(CHAPTER, name, network_for(params, name, source), seed, source=source)
        for name in part.variants
        for source in part.sources
        for seed in part.seeds_of.get(name, part.seeds)
    ]


def network_for(params: Params, variant: str, source: str) -> str:
    """The network that a restorer is trained as."""
    return MATCHED_NETWORK if source == MATCHED else params.carry_over.variants[variant].network


def claims(sources: list[str], variant: str) -> list[Claim]:
    """What is put to the test: a source is the best on blur of its own kind, the mixture is within
    0.1 dB of it there, and matched reblurring makes up for misaligned pairs of defocus."""
    here = [source for source in OWN if source in sources and source != MATCHED]

    def side(source: str) -> dict[str, Any]:
        return {"variant": variant, "source": source}

    def close(key: str, text: str, ours: str, theirs: str) -> Claim:
        words = f"On {DATASETS[OWN[theirs]]}, {text} within 0.1 dB of {SOURCES[theirs]}."
        pairs = ((side(ours), side(theirs)),)
        return Claim(key, words, "this study", "within", pairs, OWN[theirs], margin=0.1)

    found = [
        Claim(
            f"own_{source}",
            f"On {DATASETS[OWN[source]]}, pairs of {SOURCES[source]} teach more than any others.",
            "this study",
            "best",
            (side(source), *(side(o) for o in sources if o not in (source, MIXTURE, MATCHED))),
            OWN[source],
        )
        for source in here
    ]
    if MIXTURE in sources:
        found += [close(f"mixture_{own}", "the mixture is", MIXTURE, own) for own in here]
    if {MATCHED, "defocus"} <= set(sources):
        text = "pairs that are misaligned, learned by matched reblurring, come"
        found.append(close(MATCHED, text, MATCHED, "defocus"))
    return found


def what_carries_over(rows: pd.DataFrame) -> list[str]:
    """A paragraph from the numbers: what each source gains on its own kind of blur and on the
    others, for certain on how many test sets, and which is the best on each.

    Args:
        rows: of the summary, gains in PSNR with `label`, one row a source and test set.
    """
    known = rows[rows["gain"].notna() & (rows["variant"] != BLURRED)]
    if known.empty:
        return ["None of these was run in this profile."]
    sets, said, moved = known["dataset"].nunique(), [], []
    for name, mine in known.groupby("label", sort=False):
        above, below = (mine["gain_low"] > 0).sum(), (mine["gain_high"] < 0).sum()
        said.append(f"{name} gains on {above} of {sets} test sets and loses on {below}")
        own = mine["dataset"] == OWN.get(mine["source"].iloc[0])
        if own.any() and not own.all():
            at_home, away = mine.loc[own, "gain"].mean(), mine.loc[~own, "gain"].mean()
            moved.append(f"{name} {at_home:+.2f} dB and {away:+.2f} dB")
    best = known.loc[known.groupby("dataset", sort=False)["gain"].idxmax()]
    named = [
        f"{DATASETS.get(row['dataset'], row['dataset'])}: {row['label']} {gain_in_words(row)}"
        for _, row in best.iterrows()
    ]
    none = [DATASETS.get(row["dataset"], row["dataset"]) for _, row in best.iterrows()
            if row["gain"] <= 0]  # fmt: skip
    sentences = [f"By intervals that leave out zero, {'; '.join(said)}."]
    if moved:
        sentences.append(
            f"On blur of its own kind, and on the mean of the rest: {'; '.join(moved)}."
        )
    sentences.append(f"The most on each: {'; '.join(named)}.")
    return sentences + [f"No source gains on {', '.join(none)}."] * bool(none)


def configuration(params: Params, profile: str, run: Run) -> dict[str, Any]:
    """What a run trains and is tested on, as JSON values (see `reblur.study.runs.recipe`).

    Raises:
        ReblurError: the profile lacks the chapter that a source comes from.
    """
    part = params.profile(profile).part(CHAPTER)
    variant = params.carry_over.variants[run.variant]
    training = merged(part.training, variant.training)
    alone = (MIXTURE, MATCHED)  # whose sharp side is off is not mixed with what is not
    wanted = [run.source] if run.source != MIXTURE else [s for s in part.sources if s not in alone]
    options = {**part.networks, **variant.options}
    objective: dict[str, Any] = {"loss": variant.loss or part.loss}
    if run.source == MATCHED:
        options |= {"backbone": variant.network, "reblurring": True, "matched": True}
        objective = matched_objective(params, profile, training["steps"])
    return {
        "network": {"name": run.network, "options": options},
        "training": training,
        "data": {
            "sources": {
                str(name): pairs_of(params, profile, str(name), run.seed) for name in wanted
            }
        },
        "crop": variant.crop or part.crop,
        "objective": objective,
        "tests": tests_of(params, profile),
    }


def matched_objective(params: Params, profile: str, steps: int) -> dict[str, Any]:
    """Chapter 2's matched reblurring as the profile trains it, for a network without estimator."""
    part = params.profile(profile).part(defocus.CHAPTER)
    return {
        "warmup_steps": round(part.phases.warmup * steps),
        **params.defocus.variants[MATCHED].objective,
        "reblurring_weight": part.reblurring.get("reblurring_weight", 0.5),
        "pseudo_weight": 0,
    }


def pairs_of(params: Params, profile: str, source: str, seed: int) -> dict[str, Any]:
    """`made_by`, the module of the data, and the `data` from which it makes a source's pairs."""
    own = {"motion": scale_recurrent, "defocus": defocus, MATCHED: defocus}
    module = own.get(source, diffusion)
    if module is not diffusion:
        data = params.profile(profile).part(module.CHAPTER).data.as_dict() | {"validation": None}
        data = {key: data[key] for key in data if key not in ("synthetic", "real", "kohler")}
        if module is defocus and not data["pairs"]:
            off = params.profile(profile).part(CHAPTER).misalignment_px
            off = off if source == MATCHED else 0
            data["defocus"] = {**data["defocus"], "misalignment_px": off}
        return {"made_by": module.DATA, "data": data}
    part = params.profile(profile).part(CHAPTER)
    t0 = part.t0 if source == diffusion.REFINED else None
    data = diffusion.pairs_recipe(params, profile, TASK, source, t0, seed)
    return {"made_by": diffusion.DATA, "data": data}


def tests_of(params: Params, profile: str) -> dict[str, Any]:
    """Chapter → its test sets, of every other chapter of the profile."""
    found: dict[str, Any] = {}
    for module in (scale_recurrent, defocus):
        if module.CHAPTER in params.profile(profile).chapters:
            run = module.runs(params, profile)[0]
            config = module.configuration(params, profile, run)
            found[module.CHAPTER] = config["tests"]
            if module is defocus:
                made = {"configuration": {"data": config["data"]}, "tests": config["tests"]}
                found[module.CHAPTER] = made
    part = params.profile(profile).diffusion
    if part is not None and TASK in part.tasks:
        domain = diffusion.domain_of(params, profile, TASK)
        sizes = {name: part.data.as_dict()[name] for name in diffusion.TESTED}
        found["diffusion"] = {"domain": domain, "target": None, **sizes}
    if names := params.profile(profile).part(CHAPTER).low_quality:
        found[LOW_QUALITY] = list(names)
    return found


def data_names(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(data sets that training reads, data sets that the test sets are made of)."""
    trained: list[str] = []
    tested: list[str] = []
    tests = config["tests"]
    for described in config["data"]["sources"].values():
        data = described["data"]
        if described["made_by"] == diffusion.DATA:
            trained += data["data"]  # name -> hash
        else:
            trained += [data["pairs"]] if data["pairs"] else data["photographs"]
    plain = {"pairs": None, "photographs": []}
    for part in (tests.get("scale_recurrent"), tests.get("defocus", {}).get("tests")):
        if part:
            tested += scale_recurrent.data_names({"data": plain, "tests": part})[1]
    tested += tests["diffusion"]["domain"]["images"] if "diffusion" in tests else []
    tested += [*tests[LOW_QUALITY], "niqe_parameters"] if LOW_QUALITY in tests else []
    return trained, tested


def all_data(params: Params, profile: str) -> list[str]:
    """Every data set or folder that the chapter reads in a profile."""
    found = [data_names(configuration(params, profile, run)) for run in runs(params, profile)]
    return sorted({name for names in found for part in names for name in part})
