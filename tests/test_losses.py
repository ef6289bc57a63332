"""The losses against plain sums, and the objective of a multi-scale network."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from reblur.losses.multi_scale import MultiScaleObjective, multi_scale_loss


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_loss_is_the_sum_of_the_scales_mean_squares():
    sharp = images(2, 3, 16, 12)
    outputs = [images(2, 3, 4, 3), images(2, 3, 8, 6), images(2, 3, 16, 12)]
    half = sharp.reshape(2, 3, 8, 2, 6, 2).mean((3, 5))  # bilinear at 1/2: the mean of 2 × 2
    quarter = sharp.reshape(2, 3, 4, 4, 3, 4)[:, :, :, 1:3, :, 1:3].mean((3, 5))  # the middle
    wanted = sum(
        ((o - t) ** 2).mean() for o, t in zip(outputs, (quarter, half, sharp), strict=True)
    )
    torch.testing.assert_close(multi_scale_loss(outputs, sharp), wanted)
    torch.testing.assert_close(multi_scale_loss(outputs[::-1], sharp), wanted)


def test_the_charbonnier_loss_by_hand():
    """√(0² + ε²) = 0.001, √(0.3² + ε²) = 0.3000017, at two scales."""
    sharp = torch.full((1, 1, 2, 2), 0.5)
    output = torch.tensor([[[[0.5, 0.2], [0.8, 0.5]]]])
    coarse = torch.full((1, 1, 1, 1), 0.2)
    wanted = (2 * 0.001 + 2 * 0.0900010**0.5) / 4 + 0.0900010**0.5
    loss = multi_scale_loss([coarse, output], sharp, loss="charbonnier")
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "wanted"), [("mse", 2 * 0.1**2), ("charbonnier", 2 * (0.1**2 + 1e-6) ** 0.5)]
)
def test_the_objective_uses_the_loss_that_it_names(name, wanted):
    sharp = 0.2 + 0.5 * images(3, 3, 8, 8)
    objective = MultiScaleObjective(loss=name)
    loss, _ = objective(Offset(0.1), {"blurred": sharp, "sharp": sharp}, 0)
    assert loss.item() == pytest.approx(wanted, rel=1e-4)


def test_odd_sizes_are_resized_from_full_resolution():
    sharp = images(1, 3, 15, 13)
    target = functional.interpolate(sharp, size=(8, 7), mode="bilinear")
    assert multi_scale_loss([target, sharp], sharp) == 0


def test_bfloat16_outputs_are_compared_in_float32():
    sharp = images(1, 3, 8, 8)
    output = (sharp + 0.01).bfloat16()
    loss = multi_scale_loss([output], sharp)
    assert loss.dtype == torch.float32
    assert loss == pytest.approx(float(((output.float() - sharp) ** 2).mean()))


class Offset(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [functional.avg_pool2d(x, 2) + self.offset, x + self.offset]


def test_the_objective_reports_the_psnr_of_the_finest_image():
    sharp = 0.2 + 0.5 * images(3, 3, 8, 8)
    loss, figures = MultiScaleObjective()(Offset(0.1), {"blurred": sharp, "sharp": sharp}, 0)
    assert loss.item() == pytest.approx(0.02, rel=1e-4)  # 0.1² at both scales
    assert figures["psnr"].item() == pytest.approx(20.0, abs=1e-3)
    assert not figures["psnr"].requires_grad
    loss.backward()


def test_a_perfect_restoration_has_a_finite_psnr():
    sharp = images(1, 3, 8, 8)
    _, figures = MultiScaleObjective()(Offset(0.0), {"blurred": sharp, "sharp": sharp}, 0)
    assert figures["psnr"].item() == pytest.approx(100.0)
