"""The rooms of the library: an import goes downwards (ARCHITECTURE.md), and never in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import reblur

LIBRARY = Path(reblur.__file__).parent
#: From above to below; rooms of one line do not import each other.
FLOORS = (
    ("cli",),
    ("commands",),
    ("app", "course", "lessons"),
    ("restorer",),
    ("study",),
    ("evaluation", "training"),
    ("losses", "diffusion"),
    ("measures", "networks", "warping"),
    ("datasets",),
    ("options", "randomness", "files", "network_names"),
    ("errors", "faults"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module_of(path):
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(("reblur", *parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(LIBRARY.rglob("*.py"))}


def imports_of(module, inside_functions=True):
    """The modules of the library that a module imports; those in functions too, if wanted."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in whole]
        else:
            continue
        yield from (name for name in names if name in MODULES and name != module)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "reblur"])
def test_an_import_goes_downwards(module):
    room = module.split(".")[1]
    for name in imports_of(module):
        if name == "reblur":
            continue
        below = name.split(".")[1]
        assert below == room or FLOOR[below] > FLOOR[room], f"{module} imports {name}"


def test_no_module_imports_itself_in_a_circle():
    graph = {module: set(imports_of(module, inside_functions=False)) for module in MODULES}
    for packages in graph.values():
        packages.discard("reblur")
    assert list(TopologicalSorter(graph).static_order())
