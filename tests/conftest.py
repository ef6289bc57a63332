"""Every annotated shape and type of the library is checked at run time while the tests run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same bytes on every machine; -n 2 fills it

import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)
install_import_hook("reblur", "beartype.beartype")
