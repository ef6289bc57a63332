"""Chapter 1: which parts of the scale-recurrent network earn their keep?"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reblur.study.analysis.claims import Claim
from reblur.study.params import Params, merged
from reblur.study.rows import BLURRED, Run

CHAPTER = "scale_recurrent"
TITLE = "Scale-recurrent networks"
DATA, TESTS = "reblur.study.data.motion", "reblur.study.data.motion_tests"

SRN_PAPER = "Tao et al., Scale-recurrent Network for Deep Image Deblurring, CVPR 2018"
#: The rows of the paper's ablation on GoPro, 3×3 kernels.
ABLATION = (
    "ss", "sc", "wo_r", "rnn", "sr_flat", "sr_rb", "sr_ed", "sr_edrb1", "sr_edrb2", "sr_edrb3",
)  # fmt: skip
METHOD, RESIDUAL = "sr_edrb3", "sr_edrb3_skip"  # the paper's network; ours, which adds a residual
SKIP = "_skip"  # in the name of a row that predicts a residual on the blurred input
LARGE = ("sc", "sr_flat", "sr_rb")  # rows that a CPU cannot train at full resolution
MARGIN = 0.1  # dB: what 'little' means, fixed before any run
#: The pilot that the others change, and by how many dB a change has to exceed it to be kept.
PILOT, PILOT_MARGIN = "pilot", 0.03
PILOT_PEER = "pilot_nafnet"  # stands beside the base and is no change of it
SYNTHETIC = "synthetic"  # the test set of the training's own simulator
LABELS = {
    BLURRED: "blurred input",
    "ss": "SS",
    "sc": "SC",
    "wo_r": "w/o R",
    "rnn": "RNN",
    "gru": "GRU (ours)",
    "sr_flat": "SR-Flat (our reading)",
    "sr_rb": "SR-RB (our reading)",
    "sr_ed": "SR-ED",
    "sr_edrb1": "SR-EDRB1",
    "sr_edrb2": "SR-EDRB2",
    "sr_edrb3": "SR-EDRB3",
    "sr_edrb3_skip": "SR-EDRB3 + skip (ours)",
    "sr_edrb3_1_scale": "1 scale",
    "sr_edrb3_2_scales": "2 scales",
    "sr_edrb3_deconvolution": "Deconvolution",
    "sr_edrb3_subpixel": "Sub-pixel",
    "srn": "SRN 5×5 + ConvLSTM",
    "srn_released": "SRN 5×5, released form",
    "deepdeblur": "DeepDeblur (Nah et al.)",
    "nafnet": "NAFNet",
    "ss_skip_equal_time": "SS, as long as SR-EDRB3",
    "ss_skip_crop_160": "SS + skip, crops of 160²",
    "sr_edrb3_skip_crop_160": "SR-EDRB3 + skip, crops of 160²",
    "updates_80": "80 updates",
    "updates_250": "250 updates",
    "updates_800": "800 updates",
    "updates_2500": "2,500 updates",
    "updates_25000": "25,000 updates",
    "response_1": "γ 1",
    "response_2_2": "γ 2.2",
    "response_drawn": "γ drawn from 1 to 2.2",
    "with_noise": "+ sensor noise",
    "whole_camera": "+ whole camera",
    "pilot": "base",
    "pilot_no_residual": "no residual output",
    "pilot_mse": "squared error",
    "pilot_polynomial": "polynomial schedule",
    "pilot_halved": "photographs halved only",
    "pilot_width_32": "width 32",
    "pilot_crop_96": "crops of 96²",
    "pilot_batch_8": "batch of 8",
    "pilot_nafnet": "NAFNet of width 16",
}
DATASETS = {
    SYNTHETIC: "held-out synthetic blur",
    "synthetic_gamma_1": "synthetic, γ 1",
    "synthetic_gamma_2_2": "synthetic, γ 2.2",
    "gopro_authors": "GoPro, the authors' examples",
    "gopro_0372": "GoPro 0372",
    "reds_samples": "REDS",
}


def label(fields: Mapping[str, Any]) -> str:
    """What people call a configuration: its name in `LABELS` (with "+ skip" for a residual on the
    input), or the key of its variant."""
    name = fields["variant"]
    plain = name.replace(SKIP, "")
    return LABELS.get(name) or (f"{LABELS[plain]} + skip" if plain in LABELS else name)


def claims(dataset: str, skip: bool = False) -> list[Claim]:
    """What is put to the test on a test set: our own question first, then what the paper claims.

    Args:
        skip: between rows that all predict a residual on the blurred input, in place of the
            paper's own form.
    """
    behind = SKIP if skip else ""
    method = METHOD + behind
    rows = [name + behind for name in ABLATION if not (skip and name in LARGE)]

    def claim(key: str, text: str, source: str, *pairs: tuple[str, str], **more: Any) -> Claim:
        sides = tuple(
            ({"variant": ours}, BLURRED if theirs == BLURRED else {"variant": theirs})
            for ours, theirs in pairs
        )
        given = {"kind": "greater", "dataset": dataset} | more
        return Claim(key, text, source, configurations=sides, **given)

    place = DATASETS.get(dataset, dataset)
    beats = [
        claim(
            name,
            f"{LABELS[name]} beats the blurred input on {place}.",
            "this study",
            (name, BLURRED),
            question=f"Does {LABELS[name]} beat the blurred input on {place}?",
        )
        for name in (METHOD, RESIDUAL)
    ]
    if skip:
        own = [
            claim(
                "equal_time",
                "Three scales beat one that trains as long.",
                "this study",
                (method, "ss_skip_equal_time"),
                equal_time=True,
            ),
            claim(
                "crops",
                "Three scales with shared weights beat one where both learn from crops of 160².",
                "this study",
                (f"{method}_crop_160", "ss_skip_crop_160"),
            ),
        ]
    else:
        own = [
            claim(
                "cascade",
                "Three cascaded stages with weights of their own (SC) do worse than shared weights "
                "(w/o R), recurrence (RNN) and the whole network (SR-EDRB3).",
                SRN_PAPER,
                *((name, "sc") for name in ("wo_r", "rnn", method)),
            ),
            claim(
                "flat",
                "SR-Flat is the worst of the ablation.",
                SRN_PAPER,
                *((name, "sr_flat") for name in rows if name != "sr_flat"),
            ),
        ]
    # A part is worth what the network loses without it; so a row without that part, but with the
    # residual, has to beat the whole network without the residual.
    parts = [RESIDUAL, *(name for name in rows if name != method)] if skip else [RESIDUAL]
    return [
        *beats,
        claim(
            "scales",
            "Three scales with shared weights beat one (SR-EDRB3 over SS).",
            SRN_PAPER,
            (method, "ss" + behind),
            question="Do three scales with shared weights beat one?",
        ),
        claim(
            "recurrence",
            "The hidden state helps, and a ConvLSTM more than a plain recurrence.",
            SRN_PAPER,
            (method, "wo_r" + behind),
            (method, "rnn" + behind),
        ),
        claim(
            "blocks",
            "Residual blocks help, and three a level more than one.",
            SRN_PAPER,
            (method, "sr_ed" + behind),
            (method, "sr_edrb1" + behind),
        ),
        claim(
            "residual",
            "A residual on the blurred input is worth more than any part of the ablation.",
            "this study",
            *(((name, METHOD) for name in parts) if skip else ((RESIDUAL, name) for name in rows)),
        ),
        claim(
            "best",
            "SR-EDRB3 is the best of the ablation.",
            SRN_PAPER,
            *((method, name) for name in rows if name != method),
        ),
        claim(
            "third_scale",
            f"A third scale adds little over two (less than {MARGIN:g} dB either way).",
            SRN_PAPER,
            (method, f"{method}_2_scales"),
            kind="within",
            margin=MARGIN,
        ),
        claim(
            "response",
            f"A response of γ 2.2 alone costs more than {MARGIN:g} dB of tone on blur that "
            "averages display values (γ 1).",
            "this study",
            ("response_1", "response_2_2"),
            dataset="synthetic_gamma_1",
            metric="psnr_tone",
            margin=MARGIN,
        ),
        *own,
    ]


def pilots(rows: pd.DataFrame, datasets: Sequence[str]) -> pd.DataFrame:
    """What each pilot gains and by how much it exceeds the base, in dB, the mean over test sets
    that count once each: `label`, `gain`, `excess`, `kept`; a pilot without a gain on one of them
    has none.

    Args:
        rows: of the summary, with `label`; those of other metrics than PSNR are passed over.
    """
    here = rows[rows["dataset"].isin(datasets) & (rows["metric"] == "psnr")]
    by = here.pivot(index="variant", columns="dataset", values="gain").reindex(columns=datasets)
    gains = rows[["variant", "label"]].drop_duplicates(ignore_index=True)
    gains["gain"] = gains["variant"].map(by.mean(axis=1, skipna=False))
    base = gains.loc[gains["variant"] == PILOT, "gain"].max()
    gains["excess"] = gains["gain"] - base
    return gains.assign(kept=(gains["excess"] > PILOT_MARGIN) & (gains["variant"] != PILOT_PEER))


def pilots_in_words(found: pd.DataFrame, datasets: Sequence[str]) -> str:
    """What the protocol's rule makes of `pilots`."""
    places = ", ".join(DATASETS.get(dataset, dataset) for dataset in datasets)
    known = found[found["excess"].notna() & (found["variant"] != PILOT)]
    if known.empty:
        return "The rule cannot be told yet: it needs the base and one change on every test set."
    kept = [f"{r.label} ({r.excess:+.2f} dB)" for r in known[known["kept"]].itertuples()]
    said = f"The ablation's recipe is the base with: {', '.join(kept)}." if kept else ""
    said = said or "No change exceeds the base by enough; the base is the ablation's recipe."
    lost = found.loc[found["excess"].isna(), "label"]
    rest = f" Not told: {', '.join(lost)}." if len(lost) else ""
    return f"{said} (More than {PILOT_MARGIN:g} dB above it, mean over {places}.){rest}"


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
    if pairs := part["data"][
        "pairs"
    ]:  # no simulator is trained on; their own test part is tested on
        sets = dict.fromkeys((pairs, *tests["real"]["sets"]))
        tests |= {"synthetic": None, "real": {**tests["real"], "sets": list(sets)}}
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
    tested = list(tests["real"]["sets"]) + ["kohler"] * bool(tests.get("kohler"))
    if tests["synthetic"]:
        tested += tests["synthetic"]["photographs"]
    return list(trained), tested


def all_data(params: Params, profile: str) -> list[str]:
    """Every data set or folder that the chapter reads in a profile."""
    found = [data_names(configuration(params, profile, run)) for run in runs(params, profile)]
    return sorted({name for names in found for part in names for name in part})
