"""Weights of others: made in their naming from a network of ours, and imported again."""

import pickle
import re

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from reblur.cli import main
from reblur.datasets.images.files import read_image, write_image
from reblur.errors import ReblurError
from reblur.evaluation.tiling import restore_image
from reblur.networks import build_network
from reblur.networks.importing import import_weights
from reblur.networks.weights import load_network, save_network, start_from

SRN_SIDES = {
    "in_block": ("inblock", "in_block", "in_conv"),
    "encoder1": ("eblock1", "eblock1", "down_conv"),
    "encoder2": ("eblock2", "eblock2", "down_conv"),
    "decoder2": ("dblock1", "dblock1", "up_conv"),
    "decoder1": ("dblock2", "dblock2", "up_conv"),
    "out_block": ("outblock", "out_block", "out_conv"),
}


def to_nafnet(name: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
    name = re.sub(r"^middle\.", "middle_blks.", name)
    return name.replace(".attention.", ".sca.1."), value


def to_deepdeblur(name: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
    value = value * 255 if name.endswith("bias") else value
    up = re.fullmatch(r"upconvolutions\.(\d)\.conv\.(\w+)", name)
    if up:
        return f"conv_end_models.{2 - int(up[1])}.uppath.0.{up[2]}", value
    stage, rest = re.fullmatch(r"stages\.(\d)\.(.*)", name).groups()
    base, blocks = f"body_models.{2 - int(stage)}.body", 2
    inner = re.fullmatch(r"1\.(\d+)\.conv(\d)\.(\w+)", rest)
    if inner:
        return f"{base}.{int(inner[1]) + 1}.body.{2 * int(inner[2]) - 2}.{inner[3]}", value
    layer, kind = rest.split(".")
    return f"{base}.{0 if layer == '0' else blocks + 1}.{kind}", value


def to_srn(form: str):
    def renamed(name: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
        _, _, side, rest = name.split(".", 3)
        if side == "cell":
            i, g, f, o = value.chunk(4)
            lstm = "conv_lstm" if form == "simdeblur" else "convlstm"
            return f"{lstm}.{rest}", torch.cat([i, f, o, g])
        short, long, conv = SRN_SIDES[side]
        block = re.fullmatch(r"blocks\.(\d)\.conv(\d)\.(\w+)", rest)
        layer, kind = rest.rsplit(".", 1)
        if form == "simdeblur":
            inner = rest.replace("blocks", "resblocks") if block else f"{conv}.{kind}"
            return f"{long}.{inner}", value
        if block and form == "estrnn":
            place = 2 * int(block[2]) - 2
            return f"{short}.resblock_stack.{block[1]}.main_branch.{place}.{block[3]}", value
        if block:
            return f"{short}.resblock_stack.{block[1]}.conv{block[2]}.0.{block[3]}", value
        plain = form == "estrnn" and side == "out_block"
        return f"{short}.{layer}{'' if plain else '.0'}.{kind}", value

    return renamed


NAFNET = {"width": 4, "encoder_blocks": (1, 2), "middle_blocks": 2, "decoder_blocks": (2, 1)}
PORTS = {  # deconvolution, decoder reads h, zeros at the coarsest scale, image upsampling, values
    "iwtw": (5, True, True, "bilinear", (-1, 1)),
    "estrnn": (5, False, False, "bilinear", (-0.5, 0.5)),
    "simdeblur": (4, False, False, "nearest", (0, 1)),
}
SRN = {"width": 4, "blocks": 2}
NAMINGS = {
    "NAFNet": ("nafnet", NAFNET, to_nafnet),
    "DeepDeblur": ("deepdeblur", {"width": 4, "blocks": 2}, to_deepdeblur),
    **{
        f"SRN, {port}": (
            "srn_port", {**SRN, "port": port, "deconvolution": facts[0]}, to_srn(port)
        )
        for port, facts in PORTS.items()
    },
    "SRN without a cell": ("srn_port", SRN | {"cell": 0, "kernel": 3}, to_srn("iwtw")),
}  # fmt: skip
WRAPPED = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params": {"x": torch.zeros(1)}, "params_ema": state},
    "state_dict of DataParallel": lambda state: {
        "epoch": 3,
        "state_dict": {f"module.{name}": value for name, value in state.items()},
    },
    "G": lambda state: {"G": state, "D": {"x": torch.zeros(1)}},
    "prefixes": lambda state: {f"module.model.{name}": value for name, value in state.items()},
    "half precision": lambda state: {name: value.half() for name, value in state.items()},
}


def made(naming: str) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A network with drawn weights (biases too), and its tensors in the foreign naming."""
    name, options, rename = NAMINGS[naming]
    network = build_network(name, seed=5, **options).eval()
    generator = torch.Generator().manual_seed(7)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network, dict(rename(n, value.clone()) for n, value in network.state_dict().items())


def same_network(one: nn.Module, other: nn.Module) -> None:
    """The same weights to the bit (where they lie in memory changes a convolution's rounding)."""
    assert one.config["options"] == other.config["options"]
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    results = (net(PHOTOGRAPH, finest=True) for net in (one, other))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


PHOTOGRAPH = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_made_network_gives_its_known_answer(tmp_path, naming):
    network, state = made(naming)
    torch.save(state, tmp_path / "w.pth")
    imported = import_weights(tmp_path / "w.pth").network
    with torch.no_grad():
        expected, got = (net(PHOTOGRAPH, finest=True) for net in (network, imported))
    assert expected.std() > 0.01
    if naming == "DeepDeblur":  # biases times 255 and divided again
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(got, expected)


def port_restores(port: str, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What the port's own code makes of an image in [0, 1]: a second writing, from its tensors."""
    kernel, reads_h, zeros, upsampling, (low, high) = PORTS[port]
    names = iter(state)  # in the order of the layers: in, e1, e2, cell, d2, d1, out
    layers = [[next(names), next(names)] for _ in range(len(state) // 2)]
    wb = lambda layer: (state[layers[layer][0]], state[layers[layer][1]])  # noqa: E731

    def same(y, layer, stride=1):
        weight, bias = wb(layer)
        return F.conv2d(y, weight, bias, stride, padding=weight.shape[-1] // 2)

    def blocks(y, first):
        for layer in (first, first + 2):
            y = same(same(y, layer).relu(), layer + 1) + y
        return y

    def up(y, layer):
        rest = {4: {"padding": 1}, 5: {"padding": 2, "output_padding": 1}}[kernel]
        return F.conv_transpose2d(y, *wb(layer), stride=2, **rest).relu()

    def step(pair, h, c):
        e1 = blocks(same(pair, 0).relu(), 1)
        e2 = blocks(same(e1, 5, 2).relu(), 6)
        e3 = blocks(same(e2, 10, 2).relu(), 11)
        h, c = (torch.zeros_like(e3), torch.zeros_like(e3)) if h is None else (h, c)
        i, f, o, g = same(torch.cat([e3, h], 1), 15).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        d2 = up(blocks(h if reads_h else c, 16), 20)
        d1 = up(blocks(d2 + e2, 21), 25)
        return same(blocks(d1 + e1, 26), 30), h, c

    larger = lambda y, mode="bilinear": F.interpolate(y, scale_factor=2, mode=mode)  # noqa: E731
    x = x * (high - low) + low
    h = c = estimate = None
    for scale in (4, 2, 1):
        blurred = F.interpolate(x, [s // scale for s in x.shape[-2:]], mode="bilinear")
        if estimate is None:
            second = torch.zeros_like(blurred) if zeros else blurred
        else:
            second, h, c = larger(estimate, upsampling), larger(h), larger(c)
        estimate, h, c = step(torch.cat([blurred, second], 1), h, c)
    return (estimate - low) / (high - low)


@pytest.mark.parametrize("port", PORTS)
def test_ports_of_srn_compute_what_their_own_code_does(tmp_path, port):
    _, state = made(f"SRN, {port}")
    torch.save(state, tmp_path / "w.pth")
    imported = import_weights(tmp_path / "w.pth").network
    with torch.no_grad():
        x = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(2))  # 16 divides it
        got, expected = imported(x, finest=True), port_restores(port, state, x)
    assert expected.std() > 0.01
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_deepdeblur_of_255_is_the_same_function_on_the_unit_range(tmp_path):
    network, state = made("DeepDeblur")
    foreign = build_network("deepdeblur", width=4, blocks=2).eval()
    foreign.load_state_dict(network.state_dict())
    for name, parameter in foreign.named_parameters():
        if name.endswith("bias"):
            parameter.data *= 255
    x = 255 * (PHOTOGRAPH - 0.5)  # what the authors' network sees of the coarsest stage
    torch.save(state, tmp_path / "w.pth")
    imported = import_weights(tmp_path / "w.pth").network
    with torch.no_grad():
        torch.testing.assert_close(
            imported.stages[0](PHOTOGRAPH - 0.5), foreign.stages[0](x) / 255, rtol=1e-4, atol=1e-5
        )
    as_is = import_weights(tmp_path / "w.pth", value_range=1).network
    assert torch.equal(as_is.stages[0][0].bias, foreign.stages[0][0].bias)


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_wrappers_and_prefixes_are_understood(tmp_path, wrapped):
    network, state = made("NAFNet")
    torch.save(WRAPPED[wrapped](state), tmp_path / "w.pth")
    imported = import_weights(tmp_path / "w.pth").network
    assert imported.config["options"] == network.config["options"]
    for name, value in imported.state_dict().items():
        expected = network.state_dict()[name]
        half = wrapped == "half precision"
        assert torch.equal(value, expected.half().float() if half else expected)


def test_safetensors_of_others_are_read_and_not_written_over(tmp_path, capsys):
    network, state = made("NAFNet")
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state, path)
    assert main(["import", str(path)]) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert main(["import", str(path), "-o", str(tmp_path / "ours.safetensors")]) == 0
    loaded, _ = load_network(tmp_path / "ours.safetensors")
    same_network(loaded, network)


def _without(state, name):
    return {key: value for key, value in state.items() if key != name}


MISFITS = {
    "a tensor is missing": (
        "NAFNet",
        lambda state: _without(state, "decoders.1.0.conv3.bias"),
        "decoders.1.0.conv3.bias (this library's name): is not in the file",
    ),
    "a tensor too many": (
        "NAFNet",
        lambda state: state | {"extra.weight": torch.zeros(3)},
        "extra.weight: is in no such network",
    ),
    "another shape": (
        "SRN, iwtw",
        lambda state: state | {"dblock1.deconv.0.weight": torch.zeros(16, 8, 4, 4)},
        "dblock1.deconv.0.weight: is 16×8×4×4 in the file, 16×8×5×5 here",
    ),
    "of another network": (
        "NAFNet",
        lambda state: {"a.weight": torch.zeros(1)},
        "no network known",
    ),
    "the first layer is missing": (
        "NAFNet",
        lambda state: _without(state, "intro.weight"),
        "lacks 'intro.weight'",
    ),
    "no tensors": ("NAFNet", lambda state: {"epoch": 3}, "no named tensors"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_what_does_not_fit_is_told_tensor_by_tensor(tmp_path, kind):
    naming, change, words = MISFITS[kind]
    torch.save(change(made(naming)[1]), tmp_path / "w.pth")
    with pytest.raises(ReblurError, match=re.escape(words)):
        import_weights(tmp_path / "w.pth")


class Trap:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("kind", ["code", "text", "truncated", "missing"])
def test_nothing_is_executed_and_damage_is_told(tmp_path, capsys, kind):
    path = tmp_path / "w.pth"
    torch.save(made("NAFNet")[1], path)
    if kind == "code":
        path.write_bytes(pickle.dumps({"state_dict": Trap()}))
    elif kind == "text":
        path.write_text("404: Not Found")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        path.unlink()
    assert main(["import", str(path)]) == 2
    told = capsys.readouterr()
    assert ("no such file" if kind == "missing" else "cannot be read as plain tensors") in told.err
    assert "executed" not in told.out


def test_weights_of_255_are_refused_for_networks_with_gates(tmp_path):
    torch.save(made("NAFNet")[1], tmp_path / "w.pth")
    with pytest.raises(ReblurError, match="trained on"):
        import_weights(tmp_path / "w.pth", value_range=255)


@pytest.mark.parametrize("right", [True, False])
def test_the_command_writes_what_deblur_takes_after_a_check(tmp_path, capsys, right):
    network, state = made("SRN, simdeblur")
    torch.save({"params": state}, tmp_path / "w.pth")
    photograph = (PHOTOGRAPH[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    known = restore_image(network, photograph)
    write_image(tmp_path / "blurred.png", photograph)
    write_image(tmp_path / "known.png", known if right else 255 - known)
    check = ["--check", str(tmp_path / "blurred.png"), str(tmp_path / "known.png")]
    status = main(["import", str(tmp_path / "w.pth"), *check])
    assert status == (0 if right else 2)
    assert (tmp_path / "w.safetensors").exists() == right
    if not right:
        assert "computes something else" in capsys.readouterr().err
        return
    loaded, metadata = load_network(tmp_path / "w.safetensors")
    assert metadata["imported_from"] == "w.pth"
    same_network(loaded, network)
    arguments = [str(tmp_path / "blurred.png"), "-o", str(tmp_path / "out.png"), "--device", "cpu"]
    assert main(["deblur", *arguments, "--weights", str(tmp_path / "w.safetensors")]) == 0
    assert np.abs(read_image(tmp_path / "out.png").astype(int) - known).max() <= 1


def test_a_run_starts_from_weights_of_another(tmp_path):
    source = build_network("ss", width=4, blocks=1, seed=1)
    save_network(source, tmp_path / "w.safetensors", step=7)
    network = build_network("wo_r", scales=1, width=4, blocks=1, seed=2)
    facts = start_from(network, tmp_path / "w.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])
    assert facts["metadata"] == {"step": 7}
    assert len(facts["sha256"]) == 64


def test_starting_from_weights_that_do_not_fit_is_told(tmp_path):
    save_network(build_network("ss", width=4, blocks=1), tmp_path / "w.safetensors")
    network = build_network("ss", width=8, blocks=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ReblurError, match=r"4×6×3×3 in the file, 8×6×3×3 here"):
        start_from(network, tmp_path / "w.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_pth_file_given_as_weights_is_told_the_way(tmp_path):
    torch.save(made("NAFNet")[1], tmp_path / "w.pth")
    with pytest.raises(ReblurError, match="reblur import"):
        load_network(tmp_path / "w.pth")
