"""Recurrent cells between the scales, with one interface.

`cell(x, state) -> (output, state)`: x, the output and every tensor of the state are
(B, C, H, W); the state is a tuple of `cell.states` tensors, None at the coarsest scale, where it
is zero. The caller enlarges the state before the next scale. In the equations ∗ is convolution,
⊙ the elementwise product, σ the logistic function, and t counts scales from coarse to fine.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.networks.blocks import conv, draw

Features = Float[Tensor, "b c h w"]
State = tuple[Tensor, ...]


class Identity(nn.Module):
    """No cell at all: the released colour model of SRN, whose decoder reads the encoder."""

    states = 0

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()

    def forward(self, x: Features, state: State | None) -> tuple[Features, State]:
        return x, ()


class Convolution(nn.Module):
    """No recurrence, but a layer in the cell's place: `y_t = relu(W ∗ x_t + b)`."""

    states = 0

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, kernel)

    def forward(self, x: Features, state: State | None) -> tuple[Features, State]:
        return F.relu_(self.conv(x)), ()


class RNN(nn.Module):
    """The vanilla recurrent cell (Elman), three convolutions.

    `h_t = tanh(W_x ∗ x_t + b_x + W_h ∗ h_{t-1} + b_h)`, `y_t = relu(W_y ∗ h_t + b_y)`
    """

    states = 1

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_x = conv(channels, channels, kernel)
        self.conv_h = conv(channels, channels, kernel)
        self.conv_y = conv(channels, channels, kernel)

    def forward(self, x: Features, state: State | None) -> tuple[Features, State]:
        (h,) = (torch.zeros_like(x),) if state is None else state
        h = torch.tanh(self.conv_x(x) + self.conv_h(h))
        return F.relu_(self.conv_y(h)), (h,)


class GRU(nn.Module):
    """The convolutional gated recurrent unit (Ballas et al., ICLR 2016, equations 8-11).

    `z, r = σ(W_zr ∗ [x_t, h_{t-1}] + b_zr)`; `n = tanh(W_n ∗ [x_t, r ⊙ h_{t-1}] + b_n)`;
    `h_t = (1 - z) ⊙ h_{t-1} + z ⊙ n`; the output is h_t.
    """

    states = 1

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_gates = conv(2 * channels, 2 * channels, kernel)
        self.conv_candidate = conv(2 * channels, channels, kernel)

    def forward(self, x: Features, state: State | None) -> tuple[Features, State]:
        (h,) = (torch.zeros_like(x),) if state is None else state
        z, r = torch.sigmoid(self.conv_gates(torch.cat([x, h], 1))).chunk(2, 1)
        n = torch.tanh(self.conv_candidate(torch.cat([x, r * h], 1)))
        h = torch.lerp(h, n, z)
        return h, (h,)


class ConvLSTM(nn.Module):
    """The convolutional LSTM (Shi et al., NIPS 2015), without peepholes, as in the released code.

    `i, j, f, o = W ∗ [x_t, h_{t-1}] + b` (one convolution, the four in this order);
    `c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(j)`; `h_t = σ(o) ⊙ tanh(c_t)`; the output is h_t and the
    state (h_t, c_t). W starts from a truncated normal distribution with σ = 1e-3, the forget
    gate's bias at 1 (a part of b here, a constant in the released code), the others at 0.
    """

    states = 2

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = conv(2 * channels, 4 * channels, kernel)

    def draw_weights(self, seed: int, name: str) -> None:
        draw(self.conv.weight, seed, f"{name}.conv.weight", "truncated normal", 2e-3)
        with torch.no_grad():
            self.conv.bias.zero_()
            self.conv.bias[2 * self.channels : 3 * self.channels] = 1.0

    def forward(self, x: Features, state: State | None) -> tuple[Features, State]:
        h, c = (torch.zeros_like(x), torch.zeros_like(x)) if state is None else state
        i, j, f, o = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(j)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


CELLS: dict[str, type[nn.Module]] = {
    "none": Convolution,
    "rnn": RNN,
    "gru": GRU,
    "convlstm": ConvLSTM,
    "identity": Identity,
}


def cell_of(name: str, channels: int) -> nn.Module:
    """The cell of that name, with kernels of 3×3 as in the paper.

    Raises:
        ReblurError: there is no cell of that name.
    """
    if name not in CELLS:
        raise ReblurError(f"recurrence: there is no '{name}'; choose from {', '.join(CELLS)}.")
    return CELLS[name](channels, 3)
