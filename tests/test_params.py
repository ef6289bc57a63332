"""params.yaml: the project's own is sound, and what is wrong is named."""

import copy
from pathlib import Path

import pytest
import yaml

from reblur.datasets.defocus.synthesis import DefocusOptions
from reblur.datasets.motion.synthesis import MotionBlurOptions
from reblur.errors import ReblurError
from reblur.losses.reblurring import DefocusObjective
from reblur.networks import build_network
from reblur.study.params import Run, check, read_params, runs_of, runs_of_variant
from reblur.study.runs import configuration, misaligned, shared
from reblur.training import TrainingOptions

ROOT = Path(__file__).parents[1]
PARAMS = read_params(ROOT / "params.yaml")
PROFILES = list(PARAMS["profiles"])


@pytest.mark.parametrize("profile", PROFILES)
def test_every_run_of_every_profile_can_be_made(profile, monkeypatch):
    """Networks are built, training and blur options read: no typing error waits for a GPU."""
    monkeypatch.chdir(ROOT)
    import torch

    for run in runs_of(PARAMS, profile):
        config = configuration(PARAMS, run)
        TrainingOptions.from_dict(config["training"])
        MotionBlurOptions.from_dict(config["data"].get("motion", {}))
        DefocusOptions.from_dict(config["data"].get("defocus", {}))
        DefocusObjective(**config.get("objective", {"warmup_steps": 0}))
        if run.seed == 0 and run.level in (None, 0, "clean"):
            with torch.device("meta"):
                network = config["network"]
                build_network(network["name"], **network["options"])


def test_the_tables_of_the_ablation_train_in_every_profile_that_compares():
    ablation = PARAMS["scale_recurrent"]["tables"]["ablation"]
    for name in ("demo", "gpu", "paper"):
        assert set(ablation) <= set(PARAMS["profiles"][name]["scale_recurrent"]["variants"])


def test_the_gpu_profile_has_three_seeds():
    assert len(PARAMS["profiles"]["gpu"]["scale_recurrent"]["seeds"]) >= 3


def changed(*trail_and_value):
    params = copy.deepcopy(PARAMS)
    *trail, last, value = trail_and_value
    place = params
    for key in trail:
        place = place[key]
    place[last] = value
    return params


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (changed("scale_recurrent", "flagship", "sr_edrb4"), "unknown name 'sr_edrb4'"),
        (changed("scale_recurrent", "tables", "scales", ["nope"]), "table 'scales': unknown name"),
        (
            changed("profiles", "demo", "scale_recurrent", "training", "lr", "1e-4"),
            "training.lr = 1e-4 is a text to YAML",
        ),
        (changed("profiles", "demo", "scale_recurrent", None), "a section is missing"),
        (
            changed("profiles", "demo", "defocus", "levels", {"whole": [2]}),
            "'demo', levels: unknown",
        ),
        (changed("defocus", "panel", ["hole"]), "panel: unknown name 'hole'"),
        (changed("defocus", "variants", "sr_edrb3", {}), "two chapters have a variant 'sr_edrb3'"),
    ],
)
def test_what_is_wrong_is_named(params, sentence):
    with pytest.raises(ReblurError, match=sentence):
        check(params, "params.yaml")


def test_unknown_profile_names_the_profiles():
    with pytest.raises(ReblurError, match=f"the choices are {', '.join(PROFILES)}"):
        runs_of(PARAMS, "dmeo")


def test_a_configuration_tells_what_its_bytes_hang_on(monkeypatch):
    monkeypatch.chdir(ROOT)
    base = configuration(PARAMS, Run("demo", "sr_edrb3", 0))
    assert base != configuration(PARAMS, Run("demo", "sr_edrb3", 1))
    longer = changed("profiles", "demo", "scale_recurrent", "steps", "sr_edrb3", 7)
    assert configuration(longer, Run("demo", "sr_edrb3", 0))["training"]["steps"] == 7
    assert configuration(longer, Run("demo", "ss", 0)) == configuration(
        PARAMS, Run("demo", "ss", 0)
    )


def test_chapter_2_trains_every_step_of_the_method_at_every_level():
    part = PARAMS["profiles"]["gpu"]["defocus"]
    assert set(part["variants"]) == set(PARAMS["defocus"]["variants"])
    assert part["levels"]["whole"] == [0, 1, 2, 4, 8, 16]
    runs = [run.name for run in runs_of_variant(PARAMS, "demo", "whole", 0)]
    assert runs == ["whole@0-0", "whole@2-0", "whole@8-0"]


def test_a_run_of_chapter_2_is_its_level_and_what_differs_from_the_whole(monkeypatch):
    monkeypatch.chdir(ROOT)
    whole = configuration(PARAMS, Run("demo", "whole", 0, 8))
    assert whole["data"]["defocus"]["misalignment_px"] == 8
    assert whole["network"]["options"]["reblurring"] is True
    plain = configuration(PARAMS, Run("demo", "plain", 0, 8))
    assert plain["network"]["options"]["reblurring"] is False
    assert plain["objective"]["flow"] is None
    other = changed("defocus", "variants", "whole", "objective", {"flwo": None})
    with pytest.raises(ReblurError, match=r"objective of whole@8: unknown name 'flwo'"):
        configuration(other, Run("demo", "whole", 0, 8))


def test_pairs_that_exist_are_not_misaligned():
    assert misaligned({"pairs": "sdd"}, 0) == {"pairs": "sdd"}
    with pytest.raises(ReblurError, match="sdd: its pairs are as they are"):
        misaligned({"pairs": "sdd"}, 2)


def test_a_variant_that_a_profile_does_not_train_is_said():
    with pytest.raises(ReblurError, match="'cpu' does not train ss with seed 0"):
        runs_of_variant(PARAMS, "cpu", "ss", 0)
    with pytest.raises(ReblurError, match="variant: unknown name 'whoel'"):
        runs_of_variant(PARAMS, "cpu", "whoel", 0)


def test_a_batch_is_shared_by_the_processes_or_refused(monkeypatch):
    options = TrainingOptions(steps=1, batch=16)
    assert shared(options) == options
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert shared(options).batch == 4
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ReblurError, match="cannot be shared by 3 processes"):
        shared(options)


def test_broken_yaml_is_one_sentence(tmp_path):
    (tmp_path / "params.yaml").write_text("a: [1")
    with pytest.raises(ReblurError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")


def test_dvc_yaml_names_only_what_exists():
    """Every dependency on a source of the project is there (DVC itself asks only when it runs)."""
    text = (ROOT / "dvc.yaml").read_text()
    stages = yaml.safe_load(text)["stages"]
    named = {
        entry if isinstance(entry, str) else next(iter(entry))
        for stage in stages.values()
        for entry in stage.get("deps", [])
    }
    sources = [name for name in named if "$" not in name]
    assert sources
    assert not [name for name in sources if not (ROOT / name).exists()]


def test_what_a_profile_says_of_reblurring_concerns_the_variants_that_reblur(monkeypatch):
    monkeypatch.chdir(ROOT)

    def objectives(params, variant):
        config = configuration(params, Run("cpu", variant, 0, 8))
        return config["objective"], DefocusObjective(**config["objective"])

    said, whole = objectives(PARAMS, "whole")
    part = PARAMS["profiles"]["cpu"]["defocus"]
    assert said == {"warmup_steps": 1250, "reblurring_steps": 250, **part["reblurring"]}
    assert (whole.reblurring_weight, whole.pseudo_weight) == (0.1, 0.1)
    assert objectives(PARAMS, "reblurring")[1].pseudo_weight == 0  # the variant's word stands
    other = changed("profiles", "cpu", "defocus", "reblurring", {"reblurring_weight": 0.5})
    other = copy.deepcopy(other)
    other["profiles"]["cpu"]["defocus"]["phases"]["reblurring"] = 0.3
    assert objectives(other, "mask") == objectives(PARAMS, "mask")
    assert objectives(other, "whole")[0] != said
    wrong = changed("profiles", "cpu", "defocus", "reblurring", {"weight": 1})
    with pytest.raises(ReblurError, match="reblurring: unknown name 'weight'"):
        objectives(wrong, "whole")


def test_the_paper_profile_is_the_published_objective(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = configuration(PARAMS, Run("paper", "whole", 0, 0))
    objective = DefocusObjective(**config["objective"])
    assert objective == DefocusObjective(warmup_steps=72000)
