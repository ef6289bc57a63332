"""Notebooks one after another in one kernel: starting it costs more than most of them."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from reblur.study.notebooks import checked_parameters, slim

BEFORE = "get_ipython().reset()\nimport os\nos.chdir({folder!r})"


class OneKernel:
    """A kernel that executes notebooks as papermill does; nothing of one is left for the next.

    Args:
        environment: of its process.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.sockets = TemporaryDirectory(prefix="reblur-", dir="/tmp")
        at = {"transport": "ipc", "ip": f"{self.sockets.name}/kernel"}
        self.manager = AsyncKernelManager(kernel_name="python3", **at)
        self.environment = os.environ | environment

    def __enter__(self) -> "OneKernel":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.manager.has_kernel:
            self.manager.provisioner.process.kill()
        self.sockets.cleanup()

    def run(self, path: Path, folder: Path, output: Path | None = None, **given: str) -> Any:
        """Execute a notebook in `folder`; write the slim copy, and return it."""
        book = parameterize_notebook(
            load_notebook_node(str(path)), checked_parameters(path, given), kernel_name="python3"
        )
        before = nbformat.v4.new_code_cell(BEFORE.format(folder=str(folder)))
        book.cells.insert(0, before)
        client = NotebookClient(book, km=self.manager, timeout=None)
        client.extra_arguments = ["--IPKernelApp.log_level=50"]
        client.execute(env=self.environment)
        book.cells.remove(before)
        slim(book)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(book, output)
        return book
