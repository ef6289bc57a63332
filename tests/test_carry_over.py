"""Chapter 4: the other chapters' pairs as sources, and their test sets as its own."""

import numpy as np
import pytest
import torch

from reblur.datasets.catalogue.manifests import project_root
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.networks.complexity import count_parameters
from reblur.study.chapters import carry_over, defocus, scale_recurrent
from reblur.study.chapters.stages import stage_recipes
from reblur.study.data import carry_over as carry_over_data
from reblur.study.data import carry_over_tests, made_tests, motion
from reblur.study.data.carry_over import Mixture, from_photographs
from reblur.study.params import Params, read_params
from reblur.study.pipeline import pipeline_of
from reblur.study.rows import Run
from reblur.study.runs import recipe

PARAMS = read_params(project_root() / "params.yaml")


def run_of(source):
    return Run("carry_over", "sr_edrb3_skip", "sr_edrb3_skip", 0, source=source)


class Counted:
    """A source whose sample i is i everywhere, marked with the source's number."""

    def __init__(self, mark):
        self.mark = mark

    def batch(self, seed, indices, device):
        values = torch.tensor([float(i) for i in indices]).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)
        return {"blurred": values, "sharp": values + self.mark, "flow": values}


def test_a_mixture_takes_its_sources_in_turn():
    mixture = Mixture([Counted(100), Counted(200), Counted(300)])
    batch = mixture.batch(0, [5, 0, 1, 2, 3])
    assert set(batch) == {"blurred", "sharp"}
    assert batch["blurred"][:, 0, 0, 0].tolist() == [5, 0, 1, 2, 3]
    marks = batch["sharp"] - batch["blurred"]
    assert marks[:, 0, 0, 0].tolist() == [300, 100, 200, 300, 100]
    again = mixture.batch(0, [2])
    assert torch.equal(again["sharp"][0], batch["sharp"][3])


def test_a_source_alone_gives_the_samples_of_its_chapter():
    config = carry_over.configuration(PARAMS, "demo", run_of("motion"))
    ours = from_photographs(config).batch(0, range(2))
    run = scale_recurrent.runs(PARAMS, "demo")[0]
    data = scale_recurrent.configuration(PARAMS, "demo", run)["data"]
    theirs = motion.from_photographs({"data": data, "crop": config["crop"]}).batch(0, range(2))
    assert torch.equal(ours["blurred"], theirs["blurred"])
    assert ours["blurred"].shape == (2, 3, config["crop"], config["crop"])


def test_pairs_of_defocus_are_aligned():
    config = carry_over.configuration(PARAMS, "demo", run_of("defocus"))
    data = config["data"]["sources"]["defocus"]["data"]
    assert data["defocus"]["misalignment_px"] == 0
    assert defocus.runs(PARAMS, "demo")  # the first of which may be of any level


def test_a_mixture_holds_every_other_source_of_the_profile():
    config = carry_over.configuration(PARAMS, "demo", run_of("mixture"))
    assert list(config["data"]["sources"]) == ["motion", "defocus", "handmade"]
    trained, tested = carry_over.data_names(config)
    assert set(trained) == {"skimage_photographs"}
    assert {"skimage_photographs", "gopro_0372", "focus_stack_pcb"} <= set(tested)


def test_sources_differ_in_their_identity_and_share_their_tests():
    made = [recipe(PARAMS, "demo", run_of(source)) for source in ("motion", "defocus")]
    assert made[0]["identity"] != made[1]["identity"]
    assert made[0]["tests"] == made[1]["tests"]
    assert set(made[0]["tests"]) == {"scale_recurrent", "defocus", "diffusion"}


def with_matched():
    values = PARAMS.as_dict()
    part = values["profiles"]["demo"]["carry_over"]
    part |= {"sources": ["motion", "defocus", "matched", "mixture"], "low_quality": ["real47"]}
    return Params.from_dict(values, "params.yaml")


def test_matched_pairs_are_misaligned_and_learned_by_matched_reblurring():
    params = with_matched()
    run = next(run for run in carry_over.runs(params, "demo") if run.source == "matched")
    assert run.network == "defocus_unet_noprior"
    config = recipe(params, "demo", run)["configuration"]
    assert config["data"]["sources"]["matched"]["data"]["defocus"]["misalignment_px"] == 8
    source, objective = from_photographs(config), carry_over_data.objective(config)
    assert objective.matches
    network = build_network(config["network"]["name"], seed=0, **config["network"]["options"])
    plain = build_network("sr_edrb3_skip", seed=0, width=8)
    assert count_parameters(network.backbone) == count_parameters(plain)
    loss, reported = objective(network, source.batch(0, range(2)), step=10**6)
    loss.backward()
    assert {"sharp", "cycle", "matching", "reblurring"} <= set(reported)
    assert all(p.grad is not None for p in network.backbone.parameters())


def test_a_mixture_leaves_out_the_misaligned_pairs():
    config = carry_over.configuration(with_matched(), "demo", run_of("mixture"))
    assert list(config["data"]["sources"]) == ["motion", "defocus"]


def test_real_photographs_of_low_quality_are_scored_without_a_truth(monkeypatch):
    config = carry_over.configuration(with_matched(), "demo", run_of("motion"))
    assert {"real47", "niqe_parameters"} <= set(carry_over.data_names(config)[1])
    images = [np.random.default_rng(n).integers(0, 256, (192, 200, 3), np.uint8) for n in range(2)]
    found = Photographs(["a", "b"], images)
    monkeypatch.setattr(carry_over_tests, "open_low_quality", lambda *asked: found)
    monkeypatch.setattr(carry_over_tests, "is_here", lambda name: name == "real47")
    monkeypatch.setattr(made_tests, "niqe_available", lambda: True)
    monkeypatch.setattr(made_tests, "niqe", lambda image: float(image.mean()))
    scores = carry_over_tests.score_low_quality(lambda image: image // 2, ["real47", "gone"])
    assert scores["dataset"].eq("low_quality").all()
    assert scores["photograph"].tolist() == scores["image"].tolist() == ["a", "b"]
    assert scores["value"].tolist() == [float((image // 2).mean()) for image in images]
    assert carry_over_tests.score_low_quality(lambda image: image, ["gone"]).empty
    monkeypatch.setattr(made_tests, "niqe_available", lambda: False)
    assert carry_over_tests.score_low_quality(lambda image: image, ["real47"]).empty


def test_a_source_needs_the_chapter_that_it_comes_from():
    values = PARAMS.as_dict()
    values["profiles"]["demo"]["defocus"] = None
    params = Params.from_dict(values, "params.yaml")
    with pytest.raises(ReblurError, match="has no chapter 'defocus'"):
        carry_over.configuration(params, "demo", run_of("defocus"))
    found = carry_over.configuration(params, "demo", run_of("motion"))
    assert set(found["tests"]) == {"scale_recurrent", "diffusion"}


def test_its_runs_are_trained_as_those_of_chapter_1():
    entry = pipeline_of(PARAMS, "demo")
    assert entry["train"]["carry_over-sr_edrb3_skip-motion-0"] == run_of("motion").folder.as_posix()
    assert not any(name.startswith("carry_over") for name in entry["restore"])


def test_a_changed_notebook_is_compared_again(tmp_path, monkeypatch):
    for name in ("data_manifests", "params.yaml"):
        (tmp_path / name).symlink_to(project_root() / name)
    monkeypatch.chdir(tmp_path)
    before = stage_recipes(PARAMS, "demo", "carry_over")["compare-carry_over"]
    assert before["runs"] == [run.name for run in carry_over.runs(PARAMS, "demo")]
    notebook = tmp_path / "notebooks" / "compare_carry_over.ipynb"
    notebook.parent.mkdir()
    notebook.write_text("{}")
    after = stage_recipes(PARAMS, "demo", "carry_over")["compare-carry_over"]
    assert {key for key in before if before[key] != after[key]} == {"notebook"}


def test_crops_of_all_sources_are_of_one_size():
    for profile in ("demo", "protocol", "gpu"):
        part = PARAMS.profile(profile)
        side = part.diffusion.data.low[carry_over.TASK]
        assert part.carry_over.crop <= side * PARAMS.diffusion.tasks[carry_over.TASK].scale
