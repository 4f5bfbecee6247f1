"""The import law: who may import what, kept by reading the sources and by fresh interpreters."""

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import truetape
from truetape.cli.main import COMMANDS

SOURCE = Path(truetape.__file__).parent
MODULES = sorted(
    ["truetape"] + [module.name for module in pkgutil.walk_packages([str(SOURCE)], "truetape.")]
)
MARKET = [name for name in MODULES if name.startswith("truetape.market")]

HOMES = {
    "airflow": ("truetape.console", "truetape.schedule"),
    "deltalake": ("truetape.batch", "truetape.quality.session_tables", "truetape.reconcile"),
    "exchange_calendars": ("truetape.host.calendars",),
    "great_expectations": ("truetape.quality.expectations",),
    "influxdb_client": ("truetape.serving",),
    "kafka": tuple(
        f"truetape.{room}" for room in ("feeds", "speed", "batch", "local", "reconcile")
    ),
    "pandas": ("truetape.batch", "truetape.quality", "truetape.history.bars"),
    "pendulum": ("truetape.schedule",),
    "plotly": ("truetape.console", "truetape.serving", "truetape.drift.chart"),
    "pyspark": tuple(f"truetape.{r}" for r in ("feeds", "speed", "batch", "reconcile")),
    "talib": ("truetape.publish.indicator_values",),
}
"""Where each heavy library may be imported: a module or a whole room."""

FRESH = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


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


def imports_of(module: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import, also inside functions; type-checking ones excepted."""
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


@pytest.mark.parametrize("module", MARKET)
def test_market_imports_the_standard_library_only(module: str) -> None:
    others = loaded_by(module) - loaded_by("importlib") - sys.stdlib_module_names

    # zoneinfo asks sysconfig, whose data module carries the platform in its name
    assert {name for name in others if not name.startswith("_sysconfigdata")} == {"truetape"}


@pytest.mark.parametrize("module", MARKET)
def test_market_imports_no_other_room(module: str) -> None:
    own = {name for name, _ in imports_of(module) if name.startswith("truetape")}

    assert own <= set(MARKET)


@pytest.mark.parametrize("module", MODULES)
def test_no_room_uses_another_room_s_private_names(module: str) -> None:
    for source, name in imports_of(module):
        if source.startswith("truetape") and room_of(source) != room_of(module):
            parts = (*source.split("."), name)
            private = [part for part in parts if part.startswith("_") and not part.endswith("__")]
            assert not private, f"{module} imports {'.'.join(parts)}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_imported_in_their_own_rooms(module: str) -> None:
    for source, _ in imports_of(module):
        library = source.partition(".")[0]
        homes = HOMES.get(library, (module,))
        assert any(f"{module}.".startswith(f"{home}.") for home in homes), f"{module}: {library}"


def test_the_command_line_starts_without_any_heavy_library() -> None:
    assert not loaded_by("truetape.cli.main") & HOMES.keys()


def test_no_verb_loads_a_heavy_library_before_it_runs() -> None:
    commands = {target.partition(":")[0] for target, _ in COMMANDS.values()}

    assert not loaded_by(*sorted(commands & set(MODULES))) & HOMES.keys()
