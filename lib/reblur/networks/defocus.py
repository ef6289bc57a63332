"""Deblurring of defocused photographs, helped by an estimate of the blur at every pixel.

"Reblurring-guided" defocus deblurring (arXiv 2409.17792): an estimator reads the radial seeds of
the blur kernels off the photograph, attention over the channels fuses them with it, and a backbone
restores; for training from misaligned pairs a reblurring network stands beside them.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reblur.errors import ReblurError
from reblur.network_names import VARIANTS
from reblur.networks.blocks import conv, draw, initialise_xavier
from reblur.networks.matching import DISCS, BlurEstimator, MatchedReblurring
from reblur.networks.reblurring import Reblurred, Reblurring, residual_head
from reblur.networks.resizing import crop_to_scale, pad_to_multiple
from reblur.networks.ring_sums import SEEDS

LEVELS = 4  # times that the U-Net halves the image
LEAK = 0.1  # of the rectifiers of "unet_skip"
UNETS = ("unet", "unet_skip")
RESTORERS = (*VARIANTS, "deepdeblur", "nafnet")


class ChannelAttention(nn.Module):
    """Squeeze and excitation, `x ⊙ σ(W₂ relu(W₁ mean(x)))`, without biases (Hu et al., CVPR 2018).

    The mean goes over the whole image, so restoring in tiles differs slightly from restoring all.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1, bias=False)
        self.excite = nn.Conv2d(squeezed, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        squeezed = F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.excite(squeezed))


class UpConvolution(nn.Conv2d):
    """Twice the size: every pixel four times, then a 2×2 convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 2)

    def forward(self, x: Float[Tensor, "b c1 h w"]) -> Float[Tensor, "b c2 2*h 2*w"]:
        larger = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return super().forward(F.pad(larger, (0, 1, 0, 1)))


def two_convs(channels_in: int, channels_out: int, slope: float) -> nn.Sequential:
    """Two 3×3 convolutions, each with a ReLU that lets `slope` times what is negative through."""

    def rectifier() -> nn.Module:
        return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)

    layers = [conv(channels_in, channels_out, 3), rectifier()]
    return nn.Sequential(*layers, conv(channels_out, channels_out, 3), rectifier())


class UNet(nn.Module):
    """The U-Net of DPDNet (Abuolaim and Brown, ECCV 2020, figure 4), as the paper uses it.

    Without DPDNet's dropout of 0.4 in its two deepest levels.

    Args:
        channels_in: of the features that it reads.
        width: channels of the first level; they double at each of the next four.
        residual: the network predicts what to add to the blurred image, and its ReLUs leak; else
            the image, through a logistic function. Where doing nothing is nearly right, as it is
            for most pixels, ReLUs fall asleep by the hundred, a whole layer at last, and the
            network then adds nothing for ever.
    """

    def __init__(self, channels_in: int, width: int, residual: bool) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS + 1)]
        self.residual = residual
        slope = LEAK if residual else 0.0
        self.encoders = nn.ModuleList(
            two_convs(c1, c2, slope)
            for c1, c2 in zip([channels_in, *channels], channels, strict=False)
        )
        self.ups = nn.ModuleList(UpConvolution(2 * c, c) for c in reversed(channels[:-1]))
        self.decoders = nn.ModuleList(two_convs(2 * c, c, slope) for c in reversed(channels[:-1]))
        self.out = conv(width, 3, 3)

    def initialise(self, seed: int) -> None:
        """He-uniform convolutions (no layer normalises), zero biases; the last a hundredth of that.

        `W ~ U(-a, a)`, `a = sqrt(6 / fan_in)` (He et al., ICCV 2015, equation 10). The network
        starts with next to no output: random features that disturb the photograph are put to
        sleep within some steps, and do not always wake again.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                bound = (6.0 / module.weight[0].numel()) ** 0.5
                bound *= 0.01 if module is self.out else 1.0
                draw(module.weight, seed, f"unet.{name}.weight", "uniform", bound)
                nn.init.zeros_(module.bias)

    def forward(
        self, features: Float[Tensor, "b c h w"], blurred: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Sides must be multiples of 16. Returns float32."""
        skips = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(F.max_pool2d(features, 2) if level else features)
            skips.append(features)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(torch.cat([up(features), skips.pop()], 1))
        out = self.out(features).float()
        return blurred + out if self.residual else torch.sigmoid(out)


class Guided(NamedTuple):
    """What training from misaligned pairs needs from one pass through `DefocusDeblur`."""

    restored: list[Float[Tensor, "b 3 _ _"]]  # coarse to fine; the last is Î
    seeds: Float[Tensor, "b 35 h w"] | None  # the estimator's, unscaled; None without a prior
    reblurred: Reblurred | None  # None where it was not asked for
    log_weights: Float[Tensor, "b 8 h w"] | None = None  # log W, of an estimator that gives them


class DefocusDeblur(nn.Module):
    """`Î = backbone(fuse(blurred, estimator(blurred)))`.

    Estimator: 3×3 convolution 3 → 32, three residual blocks, 32 → 35 seeds; 66,499 parameters.
    Fusion: channel attention 38 → 2 → 38. The U-Net reads its 38 channels (31,053,723 parameters
    with the fusion, at width 64); any other backbone reads three, projected by a 1×1 convolution
    that starts by letting the photograph through.

    Args:
        backbone: "unet", "unet_skip" (the same, adding to the photograph), or a restorer of
            chapter 1 by its name, such as "sr_edrb3".
        width: the backbone's.
        prior: with estimator and fusion; else the backbone sees the photograph alone.
        reblurring: with a `Reblurring` network (474,987 parameters, not used for restoring).
        leaky: its kernels are the published ones.
        matched: the two networks of `reblur.networks.matching`, ours, in place of the paper's: the
            reblurring network matches the pair, and the estimator gives weights beside the seeds.
            Fusion reads both (46 channels), and no gradient goes back through it: the estimator
            learns what the blur is, and nothing else.

    Raises:
        ReblurError: unknown backbone, or a width that is not possible.
    """

    def __init__(
        self,
        backbone: str = "unet",
        width: int = 64,
        prior: bool = True,
        reblurring: bool = False,
        leaky: bool = False,
        matched: bool = False,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ReblurError("width: must be 1 or more.")
        self.matched = matched
        channels = 3 + (SEEDS + DISCS * matched if prior else 0)
        self.multiple = 2**LEVELS  # that of every restorer of chapter 1 divides it
        self.estimator = None
        if prior:
            self.estimator = BlurEstimator() if matched else residual_head(3, 32, SEEDS)
        self.fusion = ChannelAttention(channels, 2) if prior else None
        self.projection = None
        if backbone in UNETS:
            self.backbone: nn.Module = UNet(channels, width, backbone == "unet_skip")
        else:
            self.projection = nn.Conv2d(channels, 3, 1) if prior else None
            self.backbone = _restorer(backbone, width)
        self.reblurring = None
        if reblurring:
            self.reblurring = MatchedReblurring(leaky) if matched else Reblurring(leaky)

    def initialise(self, seed: int) -> None:
        """Xavier-uniform convolutions, zero biases; the backbone as it says. Two exceptions:

        The attention squeezes to two units only, and a random start leaves both asleep (negative
        before their ReLU) one time in four. Here they start from the means of R, G and B with
        positive weights, awake on every photograph. The projection starts from 2 · RGB, because
        the attention starts near one half.
        """
        initialise_xavier(self, seed)
        with torch.no_grad():
            if self.fusion is not None:
                self.fusion.squeeze.weight.abs_()[:, 3:] = 0.0
            if self.projection is not None:
                self.projection.weight[:, :3] = 0.0
                for colour in range(3):
                    self.projection.weight[colour, colour] = 2.0
        self.backbone.initialise(seed)

    def forward(
        self,
        x: Float[Tensor, "b 3 h w"],
        finest: bool = False,
        *,
        guided: bool = False,
        seed_scale: float | int = 1.0,
        reblurred: bool = True,
        frozen: bool = False,
        sharp: Float[Tensor, "b 3 h w"] | None = None,
    ) -> list[Float[Tensor, "b 3 _ _"]] | Float[Tensor, "b 3 h w"] | Guided:
        """Deblur RGB images with values in [0, 1], of any size.

        Args:
            guided: returns all that training needs; then also:
            seed_scale: factor on the seeds before the fusion, see `defocus_losses.seed_scale`.
            reblurred: runs the reblurring network.
            frozen: everything but the reblurring network is run without a gradient.
            sharp: what the reblurring network blurs in place of Î; a matched one needs it.

        Returns:
            Estimates from coarse to fine, float32, not clamped; with `finest` the last one alone;
            with `guided` a `Guided`.

        Raises:
            ReblurError: guided and reblurred, but built without `reblurring`, or matched and
                without `sharp`.
        """
        height, width = x.shape[2:]
        padded = pad_to_multiple(x, self.multiple)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            prior, log_weights = self._prior(padded)
            scaled = None if prior is None else prior * seed_scale
            restored = self._restore(padded, scaled, height, width)
        if not guided:
            return restored[-1] if finest else restored
        seeds = None if prior is None else crop_to_scale(prior[:, :SEEDS], height, width, level=0)
        if log_weights is not None:
            log_weights = crop_to_scale(log_weights, height, width, level=0)
        made = self._reblurred(restored[-1], x, sharp) if reblurred else None
        return Guided(restored, seeds, made, log_weights)

    def estimate(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b _ h w"]:
        """What the estimator says, float32: the 35 radial seeds in the sections of
        `ring_sums.SECTIONS`, and after them, of a matched network, the 8 weights W.

        Raises:
            ReblurError: the network has no prior.
        """
        if self.estimator is None:
            raise ReblurError("this network has no blur estimator; build it with prior=True.")
        prior, _ = self._prior(pad_to_multiple(x, self.multiple))
        return crop_to_scale(prior, *x.shape[2:], level=0)

    def restore(
        self, x: Float[Tensor, "b 3 h w"], seeds: Float[Tensor, "b _ h w"]
    ) -> list[Float[Tensor, "b 3 _ _"]]:
        """Deblur with a prior of your own in place of the estimator's; see `estimate`, `forward`.

        Raises:
            ReblurError: the network has no prior.
        """
        if self.estimator is None:
            raise ReblurError("this network takes no seeds; build it with prior=True.")
        padded = pad_to_multiple(x, self.multiple)
        return self._restore(padded, pad_to_multiple(seeds, self.multiple), *x.shape[2:])

    def _restore(
        self, padded: Tensor, seeds: Tensor | None, height: int, width: int
    ) -> list[Tensor]:
        """From images and seeds whose sides are multiples of 16; cropped to the true size."""
        if seeds is not None and self.matched:
            seeds = seeds.detach()
        features = padded if seeds is None else self.fusion(torch.cat([padded, seeds], 1))
        if self.projection is not None:
            features = self.projection(features)
        if isinstance(self.backbone, UNet):
            outputs = [self.backbone(features, padded)]
        else:
            outputs = self.backbone(features)
        levels = range(len(outputs) - 1, -1, -1)
        return [
            crop_to_scale(output, height, width, level)
            for output, level in zip(outputs, levels, strict=True)
        ]

    def _prior(self, padded: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """What goes into the fusion, and log W of an estimator that gives them. In a matched
        network both keep their gradient, and `_restore` lets none through."""
        if self.estimator is None:
            return None, None
        if not self.matched:
            return self.estimator(padded).float(), None
        seeds, log_weights = self.estimator(padded)
        return torch.cat([seeds, log_weights.exp()], 1), log_weights

    def _reblurred(self, restored: Tensor, blurred: Tensor, sharp: Tensor | None) -> Reblurred:
        if self.reblurring is None:
            raise ReblurError("this network has no reblurring network; build with reblurring=True.")
        if not self.matched:
            return self.reblurring(restored if sharp is None else sharp, blurred)
        if sharp is None:
            raise ReblurError(
                "matched reblurring: there is no sharp picture to match; give the pair's, warped."
            )
        return self.reblurring(sharp, blurred)


def _restorer(name: str, width: int) -> nn.Module:
    if name not in RESTORERS:
        raise ReblurError(
            f"backbone: there is no '{name}'; choose from {', '.join([*UNETS, *RESTORERS])}."
        )
    # The registry lists this module's networks too: it can be asked only once it is complete.
    from reblur.networks import build_network

    return build_network(name, width=width)
