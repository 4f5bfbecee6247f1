"""The import law: who may import what, kept by reading the sources and by fresh interpreters."""

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import truetape
from truetape.cli.main import COMMANDS

SOURCE = Path(truetape.__file__).parent
MODULES = sorted(
    ["truetape"] + [module.name for module in pkgutil.walk_packages([str(SOURCE)], "truetape.")]
)
MARKET = [name for name in MODULES if name.startswith("truetape.market")]

ROOMS = (
    "market", "host", "feeds", "kernel", "broker", "serving", "lake", "batch", "speed", "publish",
    "drift", "quality", "history", "pipeline", "schedule", "stack", "tour", "console", "dashboards",
    "deploy", "cli",
)  # fmt: skip
"""The rooms in their order: a room imports only rooms that stand before it."""

HOMES = {
    "airflow": ("truetape.schedule", "truetape.console"),
    "click": ("truetape.cli",),
    "deltalake": ("truetape.lake.delta",),
    "duckdb": ("truetape.kernel.engine",),
    "exchange_calendars": ("truetape.host.calendars",),
    "great_expectations": ("truetape.quality.expectations",),
    "influxdb_client": ("truetape.serving",),
    "kafka": ("truetape.broker",),
    "pandas": ("truetape.batch", "truetape.quality", "truetape.history"),
    "pendulum": ("truetape.schedule",),
    "akquant_lwc": (),
    "plotly": ("truetape.serving.chart",),
    "psutil": ("truetape.host",),
    "pyspark": ("truetape.batch", "truetape.speed"),
    "talib": ("truetape.publish.indicator_values",),
}
"""Where each heavy library may be imported: a module or a whole room."""

SLOW = HOMES.keys() - {"click", "psutil"}
"""What the command line does without until a verb runs."""

FRESH = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@cache
def loaded_by(*modules: str) -> set[str]:
    """Import modules in a fresh interpreter and return the top-level names that it then holds."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *modules],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def tree_of(module: str) -> ast.Module:
    path = SOURCE.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text("utf-8"))


@cache
def imports_of(module: str) -> tuple[tuple[str, str], ...]:
    """Return (module, name) of every import, also inside functions; type-checking ones excepted."""
    return tuple(_imports_of(module))


def _imports_of(module: str) -> Iterator[tuple[str, str]]:
    todo: list[ast.AST] = [tree_of(module)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        todo.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; write the whole name"
            yield from ((node.module or "", alias.name) for alias in node.names)


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def place_of(module: str) -> int:
    """Return the place of a module's room in the order; -1 for the package itself."""
    room = room_of(module).removeprefix("truetape").removeprefix(".")
    return ROOMS.index(room) if room else -1


def truetape_imports(module: str) -> set[str]:
    """Return the modules of truetape that a module imports."""
    names = {
        f"{source}.{name}" if f"{source}.{name}" in MODULES else source
        for source, name in imports_of(module)
        if source.split(".")[0] == "truetape"
    }
    return names - {module}


@pytest.mark.parametrize("module", MARKET)
def test_market_imports_the_standard_library_only(module: str) -> None:
    others = loaded_by(module) - loaded_by("importlib") - sys.stdlib_module_names

    # zoneinfo asks sysconfig, whose data module carries the platform in its name
    assert {name for name in others if not name.startswith("_sysconfigdata")} == {"truetape"}


def test_every_package_is_a_room_of_the_order() -> None:
    assert {module.parent.name for module in SOURCE.glob("*/__init__.py")} == set(ROOMS)


def test_a_room_imports_only_rooms_before_it() -> None:
    """Imports inside functions count; those for type checkers only do not."""
    upward = [
        f"{module} imports {imported}, of a later room"
        for module in MODULES
        for imported in sorted(truetape_imports(module))
        if place_of(imported) > place_of(module) >= 0
    ]

    assert upward == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {module: truetape_imports(module) for module in MODULES}
    graph["truetape"] = set()  # it only hands names on, on request
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_room_uses_another_room_s_private_names() -> None:
    private = [
        f"{module} imports {source}.{name}"
        for module in MODULES
        for source, name in imports_of(module)
        if source.startswith("truetape") and room_of(source) != room_of(module)
        for part in (*source.split("."), name)
        if part.startswith("_") and not part.endswith("__")
    ]

    assert private == []


def test_heavy_libraries_are_imported_in_their_own_rooms() -> None:
    elsewhere = [
        f"{module} imports {source}"
        for module in MODULES
        for source, _ in imports_of(module)
        for homes in [HOMES.get(source.partition(".")[0], (module,))]
        if not any(f"{module}.".startswith(f"{home}.") for home in homes)
    ]

    assert elsewhere == []


def test_the_command_line_starts_without_any_heavy_library() -> None:
    assert not loaded_by("truetape.cli.main") & SLOW


def test_no_verb_loads_a_heavy_library_before_it_runs() -> None:
    commands = {target.partition(":")[0] for target, _ in COMMANDS.values()}

    assert not loaded_by(*sorted(commands & set(MODULES))) & SLOW


def test_spark_entry_points_import_no_room_of_airflow_or_of_the_command_line() -> None:
    """A cluster runs them without Airflow; the command line's options are not theirs."""
    later = set(ROOMS[ROOMS.index("schedule") :])
    for path in sorted((SOURCE.parents[1] / "spark").glob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        rooms = {
            node.module.split(".")[1]
            for node in nodes
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("truetape.")
        }
        assert not rooms & later, f"{path.name} imports {', '.join(sorted(rooms & later))}"
