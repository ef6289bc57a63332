"""Parameterised notebooks: papermill, but strict about parameters and tidy about what it writes.

papermill passes an unknown parameter with a mere warning and any type at all; here an unknown name
or a wrong type is an error before a kernel starts. The executed copy is slimmed (no timings, no
random cell ids, no widgets, each picture once), so that two equal runs leave equal notebooks.

JupyterLab starts a kernel in the notebook's own folder. Every notebook therefore begins, after its
parameters, with `os.chdir(project_root())`: all its paths start at the project's root.
"""

import ast
import base64
import io
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from reblur.errors import ReblurError
from reblur.files import atomic_path

#: Metadata of a cell that differs between two runs of the same notebook.
VOLATILE = ("papermill", "execution", "ExecuteTime")
WIDGET = "application/vnd.jupyter.widget-view+json"
PNG_LIMIT = 150_000  # bytes; drawings are smaller, and sharper as PNG
# Where this is installed, jsonschema builds a parser of addresses: over a second a notebook.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
#: Bytes of the path of a folder for sockets: a socket's path has 103 at most (macOS; Linux 107).
SOCKET_FOLDER = 90


def declared_parameters(path: str | Path) -> dict[str, Any]:
    """The notebook's parameters and their default values, in order: the assignments of literals in
    its cell tagged "parameters".

    Raises:
        ReblurError: there is no such notebook, or it has no parameters.
    """
    from papermill import inspect_notebook  # takes a second to load

    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.ipynb"))) or "none"
        raise ReblurError(f"{path}: there is no such notebook; those beside it are: {known}.")
    found = inspect_notebook(str(path))
    if not found:
        raise ReblurError(f"{path.name}: needs a cell tagged 'parameters'; tag it.")
    return {name: ast.literal_eval(about["default"]) for name, about in found.items()}


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


def slim(notebook: Any) -> None:
    """Drop from an executed notebook, in place, what differs between equal runs or is there twice.

    Of a picture one encoding stays: JPEG or WebP where it has one (PIL shows itself as PNG and as
    JPEG); a PNG that is larger than `PNG_LIMIT` is a photograph and becomes a JPEG.
    """
    kernel = notebook.metadata.get("kernelspec", {})
    language = notebook.metadata.get("language_info", {})
    notebook.metadata.clear()
    notebook.metadata["kernelspec"] = kernel
    notebook.metadata["language_info"] = {
        key: language[key] for key in ("name", "pygments_lexer") if key in language
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            metadata = output.get("metadata", {})
            metadata.pop("papermill", None)
            _keep_one_picture(output.get("data", {}), metadata)


def _keep_one_picture(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """`data` and `metadata` of one output, by MIME type; changed in place."""
    data.pop(WIDGET, None)
    if "image/png" not in data:
        return
    if "image/jpeg" in data or "image/webp" in data:
        del data["image/png"]
        metadata.pop("image/png", None)
    elif len(data["image/png"]) * 3 / 4 > PNG_LIMIT:
        from PIL import Image

        picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        stream = io.BytesIO()
        Image.alpha_composite(paper, picture).convert("RGB").save(
            stream, "JPEG", quality=88, subsampling=0
        )
        data["image/jpeg"] = base64.b64encode(stream.getvalue()).decode()
        if "image/png" in metadata:
            metadata["image/jpeg"] = metadata.pop("image/png")


def _socket_folder() -> TemporaryDirectory:
    """A folder of its own for a kernel's sockets, whose paths the system limits.

    Raises:
        ReblurError: neither TMPDIR nor /tmp can hold them.
    """
    for place in (None, "/tmp"):
        try:
            folder = TemporaryDirectory(prefix="reblur-", dir=place)
        except OSError:
            continue
        if len(os.fsencode(folder.name)) <= SOCKET_FOLDER:
            return folder
        folder.cleanup()
    raise ReblurError(
        f"TMPDIR={os.environ.get('TMPDIR', '')}: a notebook's kernel needs a folder for temporary "
        f"files whose path is shorter than {SOCKET_FOLDER - 16} characters; set TMPDIR to one."
    )


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
        ReblurError: a cell failed, or the kernel died; the message names the notebook, the error
            and the copy.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    output = Path(output)
    failed = output.with_suffix(".failed.ipynb")
    # A notebook's own bars and prints come through its outputs; the kernel needs no debugger.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    with _socket_folder() as sockets, atomic_path(output) as temporary:
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
            reason = f"stopped with {error.ename}: {error.evalue}"
            raise _failure(path, reason, temporary, failed) from error
        except (RuntimeError, TimeoutError) as error:  # nbclient's, among them DeadKernelError
            reason = (
                "stopped, for its kernel died (too little memory is a usual cause; 'dmesg' or the "
                "system's log tells)"
                if isinstance(error, DeadKernelError)
                else f"stopped, for its kernel did not answer ({error})"
            )
            raise _failure(path, reason, temporary, failed) from error
        _slim_file(temporary)
    failed.unlink(missing_ok=True)


def _failure(path: str | Path, reason: str, partial: Path, kept: Path) -> ReblurError:
    """The error for a notebook that stopped; its `partial` copy, if there is one, is `kept`."""
    if not partial.stat().st_size:
        return ReblurError(f"{Path(path).name} {reason}, before its first cell.")
    _slim_file(partial)
    partial.replace(kept)
    return ReblurError(f"{Path(path).name} {reason}; the copy up to there is {kept}.")


def _slim_file(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    slim(notebook)
    nbformat.write(notebook, path)
