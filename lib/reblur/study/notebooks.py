"""Parameterised notebooks: papermill, but strict about parameters and tidy about what it writes.

papermill passes an unknown parameter with a mere warning and any type at all; here an unknown name
or a wrong type is an error before a kernel starts. The executed copy is normalised (no timings, no
random cell ids), so that two equal runs leave equal notebooks.
"""

import ast
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from reblur.errors import ReblurError
from reblur.files import atomic_path

#: Metadata that differs between two runs of the same notebook.
VOLATILE = ("papermill", "execution", "ExecuteTime")


def declared_parameters(path: str | Path) -> dict[str, Any]:
    """The notebook's parameters and their default values, in order.

    They are the plain assignments of the cell tagged "parameters"; the values are literals.

    Raises:
        ReblurError: there is no such notebook, no such cell, or a default that is no literal.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.ipynb"))) or "none"
        raise ReblurError(f"{path}: there is no such notebook; those beside it are: {known}.")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ReblurError(f"{path.name}: needs exactly one cell tagged 'parameters'; tag it.")
    found: dict[str, Any] = {}
    for statement in ast.parse("".join(tagged[0]["source"])).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    found[name] = ast.literal_eval(value)
                except ValueError as error:
                    raise ReblurError(
                        f"{path.name}: the default of parameter {name!r} must be a literal."
                    ) from error
            case _:
                raise ReblurError(
                    f"{path.name}: the parameters cell may hold plain assignments only."
                )
    return found


def checked_parameters(path: str | Path, given: dict[str, str]) -> dict[str, Any]:
    """The `given` texts (of a command line) as values of the types that the notebook declares.

    A text is read as YAML; an integer may stand for a float, nothing else is converted.

    Raises:
        ReblurError: a name that the notebook does not declare, or a value of another type.
    """
    declared = declared_parameters(path)
    checked: dict[str, Any] = {}
    for name, text in given.items():
        if name not in declared:
            raise ReblurError(
                f"{Path(path).name}: there is no parameter {name!r}; the parameters are: "
                f"{', '.join(declared) or 'none'}."
            )
        expected = type(declared[name])
        value: Any = text if expected is str else yaml.safe_load(text)
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise ReblurError(
                f"{Path(path).name}: parameter {name!r} takes a {expected.__name__} such as "
                f"{declared[name]!r}, not {text!r}."
            )
        checked[name] = value
    return checked


def normalise(notebook: Any) -> None:
    """Drop from an executed notebook, in place, what differs between two equal runs."""
    for key in VOLATILE:
        notebook.metadata.pop(key, None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("papermill", None)


def execute(
    path: str | Path,
    output: str | Path,
    parameters: dict[str, Any],
    *,
    working_folder: str | Path | None = None,
) -> None:
    """Run the notebook at `path` with `parameters`; leave the executed copy at `output`.

    A notebook that fails leaves its copy up to the failing cell at `<output>.failed.ipynb`, and a
    previous good copy is kept.

    Raises:
        ReblurError: a cell failed; the message names the notebook, the error and the copy.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    output = Path(output)
    failed = output.with_suffix(".failed.ipynb")
    # A notebook's own bars and prints come through its outputs; the kernel needs no debugger.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    with TemporaryDirectory(prefix="reblur-") as sockets, atomic_path(output) as temporary:
        try:
            papermill.execute_notebook(
                str(path),
                str(temporary),
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                # Through the file system: no port of the machine is opened. In a folder of its own,
                # or two kernels that start at once would choose the same files.
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
                # A kernel that is stopped at the end may log the interrupt as an error of its own.
                extra_arguments=["--IPKernelApp.log_level=50"],
                cwd=None if working_folder is None else str(working_folder),
            )
        except PapermillExecutionError as error:
            temporary.replace(failed)
            raise ReblurError(
                f"{Path(path).name} stopped with {error.ename}: {error.evalue}; the copy up to "
                f"there is {failed}."
            ) from error
        notebook = nbformat.read(temporary, as_version=4)
        normalise(notebook)
        nbformat.write(notebook, temporary)
    failed.unlink(missing_ok=True)
