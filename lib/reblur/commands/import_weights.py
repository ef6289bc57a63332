"""`reblur import`: weights of others as a file that `reblur deblur --weights` takes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from reblur.errors import ReblurError

if TYPE_CHECKING:
    from torch import nn

SAME = 45.0  # dB: two restorations of one image by one network on two machines lie above it


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `import` to the command line."""
    command = commands.add_parser(
        "import",
        help="weights that others published, for the networks of this library",
        description="Turn a .pth file (NAFNet of BasicSR, DeepDeblur-PyTorch, a PyTorch port of "
        "SRN) into a .safetensors file; nothing in it is executed.",
    )
    command.add_argument("file", type=Path, metavar="FILE.pth")
    command.add_argument(
        "-o", "--output", type=Path, help="default: the same name with .safetensors"
    )
    command.add_argument(
        "--range",
        type=float,
        choices=(1, 255),
        dest="value_range",
        help="largest value of an image in the code that trained them (DeepDeblur: 255, others: 1)",
    )
    command.add_argument(
        "--check",
        nargs=2,
        type=Path,
        metavar=("BLURRED", "RESTORED"),
        help="an image and what the authors' code made of it: refuse weights that make another",
    )
    command.set_defaults(run=run_import)


def run_import(arguments: argparse.Namespace) -> int:
    """Read, check and write the weights."""
    from reblur.networks.importing import import_weights
    from reblur.networks.weights import save_network

    output = arguments.output or arguments.file.with_suffix(".safetensors")
    if output.suffix != ".safetensors":
        raise ReblurError(f"{output}: name the result with the suffix .safetensors.")
    if output.exists() and output.samefile(arguments.file):
        raise ReblurError(f"{output}: the result would overwrite it; name another place with -o.")
    imported = import_weights(arguments.file, arguments.value_range)
    if arguments.check is not None:
        _check(imported.network, *arguments.check)
    save_network(imported.network, output, **imported.metadata)
    config = imported.network.config
    print(f"read as {imported.metadata['naming']}: {config['name']}, {config['options']}")
    if imported.note:
        print(imported.note)
    print(f"written: {output}; try it with 'reblur deblur PHOTO -o OUT --weights {output}'")
    return 0


def _check(network: "nn.Module", blurred: Path, restored: Path) -> None:
    from reblur.datasets.images.files import read_image
    from reblur.evaluation.tiling import restore_image
    from reblur.measures.full_reference import psnr

    close = psnr(read_image(restored), restore_image(network, read_image(blurred)))
    if close < SAME:
        raise ReblurError(
            f"{restored}: the imported network's result differs from it ({close:.1f} dB, less than "
            f"{SAME:.0f}); the code that trained these weights computes something else, so they "
            "were not written."
        )
    print(f"checked: {close:.1f} dB between the authors' result and this library's")
