"""Losses and objective of reblurring-guided defocus deblurring (arXiv 2409.17792).

The sharp picture of a pair is not aligned with the blurred one. W(a→b) is b warped onto a by the
flow from a to b; M and M' are the masks of the two flows; Î is the deblurred image, I_R = reblur(Î)
(`reblur.networks.ring_sums`). C is the Charbonnier loss.

1. Warm-up: C(Î, W(blurred→sharp)).
2. Then, with the flow from the network's own output, which is easier to find than from a blurred
   picture,

       C(M·Î, M·W(Î→sharp)) + C(M'·sharp, M'·W(sharp→Î)) + 0.5 C(I_R, blurred) + 0.5 C(s, s_R)

   where s are the seeds of the blur estimator and s_R those of the reblurring network: the latter's
   explain the photograph, and so serve the former as ground truth, which no pair holds.

During the warm-up the seeds enter the deblurring network by and by (`seed_scale`).

The loss has a trivial minimum: restore nothing and blur by nothing. A network that hardly sharpens
yet is drawn into it as soon as 2. begins, because C, a sum of absolute values, has its kink there.
For backbones that it did not train itself the paper trains the reblurring network alone for a
while, the rest frozen; `reblurring_steps` puts that between the two phases. While it is alone it
minimises

    C(reblur(Î), blurred)  or  C(M·reblur(W(blurred→sharp)), M·blurred)

The first is the paper's; where Î is still close to the photograph, it teaches that there is nothing
to blur. The second takes the sharp picture of the pair in the place of Î (`reblurring_source`).

**Matched reblurring** (`reblurring="matched"`, ours; networks of `reblur.networks.matching`). The
paper's deblurring network is strong when reblurring begins; one of fewer steps is not, its Î says
nothing of the blur, and the two networks meet in the trivial minimum. Here the reblurring network
never sees Î. In both phases, with V = W(blurred→sharp), M its mask, and (s_R, W_R) the kernels that
match V with the photograph,

    C(M·reblur(V; s_R, W_R), M·blurred)                            teaches the reblurring network,
    C(M·W_R·|s|, M·W_R·|s_R|) − ω M·Σ_r W_R log W                  the blur estimator (s, W),

and in phase 2 C(M·reblur(Î; s_R, W_R), M·blurred) the deblurring network; the last two hold s_R
and W_R fixed. Where the flow is wrong so are the kernels: hence M. There is no phase alone.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional

from reblur.networks.defocus import Guided
from reblur.networks.ring_sums import SECTIONS, reblur
from reblur.options import NonNegative, Options
from reblur.warping import Correspondence, Mask, correspond, estimate_flow, warp

Images = Float[Tensor, "b c h w"]
MaskMap = Float[Tensor, "b 1 h w"]
Scalar = Float[Tensor, ""]

CROSS_ENTROPY = 0.1  # ω: of the estimator's weights, beside its seeds


def charbonnier(a: Images, b: Images, epsilon: float = 1e-3) -> Scalar:
    """`C(a, b) = mean √((a − b)² + ε²)`, over all values."""
    return ((a - b).square() + epsilon**2).sqrt().mean()


def seed_scale(step: int, warmup_steps: int) -> float:
    """Factor on the seeds before the fusion: `0.001 + (e + 1) / E · 0.999` while e < E, then 1.

    The published code counts e in epochs, E = 15 of 200; here both are in steps.
    """
    return 0.001 + (step + 1) / warmup_steps * 0.999 if step < warmup_steps else 1.0


def multi_scale_charbonnier(
    outputs: Sequence[Float[Tensor, "b 3 _h _w"]], target: Images, mask: MaskMap
) -> Scalar:
    """`Σ_i C(M_i · Î_i, M_i · target_i)` over the scales of a backbone that has several.

    Target and mask of a scale are resized (bilinear) from full resolution. With the one scale of
    the paper's backbone it is C(M·Î, M·target).
    """
    loss = torch.zeros((), device=target.device)
    for output in outputs:
        goal, weight = target, mask
        if output.shape[2:] != target.shape[2:]:
            goal, weight = (
                functional.interpolate(x, output.shape[2:], mode="bilinear", align_corners=False)
                for x in (target, mask)
            )
        loss = loss + charbonnier(weight * output, weight * goal)
    return loss


def sharp_loss(
    outputs: Sequence[Float[Tensor, "b 3 _h _w"]], sharp: Images, there: Correspondence
) -> tuple[Scalar, Images]:
    """`C(M·Î, M·W(Î→sharp))`, and W(Î→sharp); in the warm-up C(Î, W(blurred→sharp)).

    Args:
        there: flow and mask from Î (in the warm-up: from the blurred picture) to the sharp one.
    """
    target, _ = warp(sharp, there.flow)
    return multi_scale_charbonnier(outputs, target, there.mask), target


def cycle_loss(restored: Images, sharp: Images, back: Correspondence) -> Scalar:
    """`C(M'·sharp, M'·W(sharp→Î))`: the gradient reaches Î through the warp.

    Args:
        back: flow and mask from the sharp picture to Î.
    """
    warped, _ = warp(restored, back.flow)
    return charbonnier(back.mask * sharp, back.mask * warped)


def reblurring_loss(reblurred: Images, blurred: Images) -> Scalar:
    """`C(I_R, blurred)`: Î, blurred again, is the photograph; needs no alignment."""
    return charbonnier(reblurred, blurred)


def pseudo_supervision_loss(
    seeds: Float[Tensor, "b 35 h w"], reblurring_seeds: Float[Tensor, "b 35 h w"]
) -> Scalar:
    """`C(s, s_R)`; both learn from it, as in the published code."""
    return charbonnier(seeds, reblurring_seeds)


def distillation_loss(guided: Guided, mask: MaskMap) -> Scalar:
    """`C(M·W_R·|s|, M·W_R·|s_R|) − ω M·Σ_r W_R log W`, the mean over pixels; only (s, W) learn.

    The seeds of a radius count by its weight: those of a radius that is not chosen drift.
    """
    taught = guided.reblurred
    weights = taught.weights.detach()
    sections = torch.tensor(SECTIONS, device=weights.device)
    chosen = mask * weights[:, 1:].repeat_interleave(sections, 1)  # a weight for each seed
    seeds = charbonnier(chosen * guided.seeds.abs(), chosen * taught.seeds.detach().abs())
    entropy = -(weights * guided.log_weights).sum(1, keepdim=True)
    return seeds + CROSS_ENTROPY * (mask * entropy).mean()


class DefocusObjective(Options):
    """The objective of `reblur.training.train` for `reblur.networks.defocus.DefocusDeblur`.

    The defaults are the whole method. `flow=None` compares Î with the sharp picture as it is:
    right for aligned pairs, and the baseline for misaligned ones.

    Attributes:
        warmup_steps: steps of phase 1; in the paper 15 of 200 epochs.
        reblurring_steps: steps after it in which the reblurring network learns alone, where there
            is one; 0 in the paper's own training.
        reblurring_source: what it blurs while it is alone: Î, or the sharp picture, warped.
        flow: "dis" (`estimate_flow`), or None.
        mask: of `correspond`, in phase 2.
        reblurring_weight: of C(I_R, blurred) in phase 2; with both this and the next at 0 the
            reblurring network is not run.
        pseudo_weight: of C(s, s_R) in phase 2, of the distillation where matched; a network
            without a blur estimator has no such term.
        reblurring: the paper's, or ours, for a network built with `matched=True`.
    """

    warmup_steps: NonNegativeInt
    reblurring_steps: NonNegativeInt = 0
    reblurring_source: Literal["output", "sharp"] = "output"
    flow: Literal["dis"] | None = "dis"
    mask: Mask = "consistency"
    reblurring_weight: NonNegative = 0.5
    pseudo_weight: NonNegative = 0.5
    reblurring: Literal["paper", "matched"] = "paper"

    @property
    def reblurs(self) -> bool:
        """Whether the network must have been built with `reblurring=True`."""
        return self.reblurring_weight > 0 or self.pseudo_weight > 0

    @property
    def matches(self) -> bool:
        """Whether the network must have been built with `matched=True`."""
        return self.reblurs and self.reblurring == "matched"

    def __call__(
        self, network: nn.Module, batch: dict[str, Tensor], step: int
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The loss of a batch, and its terms.

        Args:
            network: a `DefocusDeblur`, maybe wrapped; called once.
            batch: "blurred" and "sharp", (B, 3, h, w) in [0, 1].
            step: of the training, from 0; says which phase it is.

        Returns:
            The loss, and "psnr" (dB, of Î against the sharp picture as it was warped for the loss),
            "reliable" (the mean of the mask), and the unweighted terms "sharp", "cycle",
            "reblurring", "pseudo", "matching", as far as the phase and the options have them; while
            the reblurring network learns alone "reblurring" only.

        Raises:
            ReblurError: the network has no reblurring network and needs one, or as `correspond`.
        """
        blurred, sharp = batch["blurred"], batch["sharp"]
        warmup = step < self.warmup_steps
        alone = 0 <= step - self.warmup_steps < self.reblurring_steps
        if self.reblurs and not self.matches and alone:
            return self._alone(network, blurred, sharp)
        aligned, mask = self._warped(blurred, sharp) if self.matches else (None, None)
        guided: Guided = network(
            blurred,
            guided=True,
            seed_scale=seed_scale(step, self.warmup_steps),
            reblurred=self.matches or (self.reblurs and not warmup),
            sharp=aligned,
        )
        restored = guided.restored[-1]
        there, back = self._flows(blurred if warmup else restored.detach(), sharp, warmup)
        terms: dict[str, Tensor] = {}
        terms["sharp"], target = sharp_loss(guided.restored, sharp, there)
        if back is not None:
            terms["cycle"] = cycle_loss(restored, sharp, back)
        if self.matches:
            terms |= self._matched(guided, blurred, mask, warmup)
        elif guided.reblurred is not None:
            terms["reblurring"] = reblurring_loss(guided.reblurred.image, blurred)
            if guided.seeds is not None:
                terms["pseudo"] = pseudo_supervision_loss(guided.seeds, guided.reblurred.seeds)
        weights = {"reblurring": self.reblurring_weight, "pseudo": self.pseudo_weight}
        loss = sum(weights.get(name, 1.0) * term for name, term in terms.items())
        reported = {name: term.detach() for name, term in terms.items()}
        reported["psnr"] = _psnr(restored.detach(), target)
        if self.flow is not None:
            reported["reliable"] = there.mask.mean()
        return loss, reported

    def _matched(
        self, guided: Guided, blurred: Images, mask: MaskMap, warmup: bool
    ) -> dict[str, Scalar]:
        """The terms of matched reblurring; each teaches one network alone."""
        made = guided.reblurred
        terms = {"matching": charbonnier(mask * made.image, mask * blurred)}
        if guided.seeds is not None:
            terms["pseudo"] = distillation_loss(guided, mask)
        if not warmup:
            image = reblur(guided.restored[-1], made.seeds.detach(), made.weights.detach())
            terms["reblurring"] = charbonnier(mask * image, mask * blurred)
        return terms

    def _warped(self, blurred: Images, sharp: Images) -> tuple[Images, MaskMap]:
        """W(blurred→sharp) and its mask; without a flow the sharp picture as it is."""
        if self.flow is None:
            return sharp, torch.ones_like(sharp[:, :1])
        there, _ = correspond(blurred, sharp, self.mask)
        return warp(sharp, there.flow)[0], there.mask

    def _alone(
        self, network: nn.Module, blurred: Images, sharp: Images
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The reblurring network's own phase."""
        target, mask = None, torch.ones_like(blurred[:, :1])
        if self.reblurring_source == "sharp":
            target, mask = self._warped(blurred, sharp)
        guided: Guided = network(blurred, guided=True, frozen=True, sharp=target)
        loss = reblurring_loss(mask * guided.reblurred.image, mask * blurred)
        return loss, {"reblurring": loss.detach()}

    def _flows(
        self, picture: Images, sharp: Images, warmup: bool
    ) -> tuple[Correspondence, Correspondence | None]:
        """picture → sharp; and, in phase 2 and if there is a flow at all, sharp → picture."""
        if self.flow is not None and not warmup:
            return correspond(picture, sharp, self.mask)
        if self.flow is None:
            flow = sharp.new_zeros(sharp.shape[0], 2, *sharp.shape[2:])
        else:
            flow = estimate_flow(picture, sharp).flow
        return Correspondence(flow, torch.ones_like(flow[:, :1])), None


def _psnr(restored: Images, target: Images) -> Scalar:
    error = (restored.clamp(0, 1) - target).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-10)).mean()
