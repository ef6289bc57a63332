"""The networks by name: the module and class of each, and what differs from the class's defaults.

A new network, or a new variant of one, is an entry here.
"""

from typing import Any

# name -> what differs from SR-EDRB3 (the defaults of ScaleRecurrent). Counts are of parameters.
VARIANTS: dict[str, dict[str, Any]] = {
    # The paper's ablation, 3×3 kernels.
    "ss": {"scales": 1, "recurrence": "none"},  # 2,731,619
    "sc": {"shared_weights": False, "recurrence": "none"},  # 8,194,857: a cascade of three
    "wo_r": {"recurrence": "none"},  # 2,731,619
    "rnn": {"recurrence": "rnn"},  # 3,026,787
    # Flat: our reading of one sentence in the paper; its printed counts fit it.
    "sr_flat": {"recurrence": "none", "flat": True, "residual_blocks": False},  # 2,659,939
    "sr_rb": {"recurrence": "none", "flat": True},  # 2,659,939
    "sr_ed": {"residual_blocks": False},  # 3,764,195
    "sr_edrb1": {"blocks": 1},  # 2,214,115
    "sr_edrb2": {"blocks": 2},  # 2,989,155
    "sr_edrb3": {},  # 3,764,195
    # Beyond the paper's table: another cell (the paper names it), and a residual on the input.
    "gru": {"recurrence": "gru"},  # 3,469,155
    "sr_edrb3_skip": {"residual_output": True},  # 3,764,195
    # The 5×5 models of the released code: 'lstm' and 'color'.
    "srn": {"kernel": 5},  # 8,061,411
    "srn_released": {"kernel": 5, "recurrence": "identity"},  # 6,881,251
}

DENOISER_VARIANTS: dict[str, dict[str, Any]] = {
    "ddpm_small": {},
    "ddpm_base": {"channels": [64, 128, 192, 256]},
    # 101 million parameters, as the denoiser of arXiv 2303.06994. It has attention at one level;
    # the last but one is where diffusers' own example of this layout has it.
    "ddpm_paper": {"channels": [128, 256, 512, 512], "attention": [2]},
}

#: name -> (module of `reblur.networks`, class, options that differ from the class's defaults)
NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{name: ("scale_recurrent", "ScaleRecurrent", delta) for name, delta in VARIANTS.items()},
    "deepdeblur": ("deepdeblur", "DeepDeblur", {}),
    "nafnet": ("nafnet", "NAFNet", {}),
    "srn_port": ("srn_ports", "SRNPort", {}),  # 10,250,723: weights of others
    "rrdb": ("rrdb", "RRDBNet", {}),
    "defocus_unet": ("defocus", "DefocusDeblur", {}),
    "defocus_unet_noprior": ("defocus", "DefocusDeblur", {"prior": False}),
    "defocus_sr_edrb3": ("defocus", "DefocusDeblur", {"backbone": "sr_edrb3", "width": 32}),
}
DENOISERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    name: ("denoiser", "Denoiser", delta) for name, delta in DENOISER_VARIANTS.items()
}


def network_names() -> list[str]:
    """The deblurring networks that `reblur.networks.build_network` knows."""
    return list(NETWORKS)


def denoiser_names() -> list[str]:
    """The denoisers that `reblur.networks.build_network` knows."""
    return list(DENOISERS)


def class_of(name: str) -> str:
    """Where a network's class stands, such as "reblur.networks.nafnet:NAFNet"."""
    module, cls, _ = (NETWORKS | DENOISERS)[name]
    return f"reblur.networks.{module}:{cls}"
