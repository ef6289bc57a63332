"""params.yaml: the project's own is sound, and what is wrong is named."""

import copy
from pathlib import Path

import pytest
import yaml

from reblur.datasets.motion import MotionBlurOptions
from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.study.params import Run, check, profile_of, read_params, runs_of
from reblur.study.runs import configuration, shared
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
        if run.seed == profile_of(PARAMS, profile)["scale_recurrent"]["seeds"][0]:
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
