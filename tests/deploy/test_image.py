"""The image is built as `make setup` builds a machine: the same lock and modules, all pinned."""

import re
import tomllib
from pathlib import Path

from support.compose_file import OWN_IMAGE
from truetape import __version__
from truetape.host.java import LEAST_JAVA

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its words, continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.strip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def runs() -> list[str]:
    """Every command that the image runs while it is built."""
    return [
        part.strip() for word, rest in instructions() if word == "RUN" for part in rest.split("&&")
    ]


def recipe(target: str) -> str:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, target
    return found[1]


def test_packages_come_from_the_same_lock() -> None:
    syncs = [run for run in runs() if run.startswith("uv ")]

    assert "uv sync --frozen" in recipe("packages")
    assert len(syncs) == 2
    for sync in syncs:
        assert sync.startswith("uv sync --frozen --no-default-groups --group deploy ")


def test_uv_itself_is_the_same_and_has_hashes() -> None:
    install = "--require-hashes -r deploy/uv.txt"
    pinned = (ROOT / "deploy" / "uv.txt").read_text("utf-8")

    assert install in recipe("packages")
    assert [run for run in runs() if "pip install" in run and install not in run] == []
    assert re.search(r"^uv==\d+\.\d+\.\d+ \\$", pinned, re.MULTILINE)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", pinned)) > 1


def test_jars_are_resolved_by_the_same_module() -> None:
    assert "python -m truetape.host.jars" in recipe("jars")
    assert [run for run in runs() if run.endswith("python -m truetape.host.jars")]


def test_nothing_else_is_installed_or_downloaded() -> None:
    """What a machine needs beside is Java, and the version of it is named."""
    fetched = [run for run in runs() if re.search(r"\b(curl|wget|git|npm|cargo|go)\b", run)]
    debian = [run for run in runs() if "apt-get install" in run]

    assert fetched == []
    assert [run.split()[-1] for run in debian] == [f"openjdk-{LEAST_JAVA}-jre-headless=17.*"]


def test_the_base_image_is_pinned_by_digest_and_has_a_python_of_the_lock() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]

    assert bases[1:] == ["base", "base"]
    found = re.fullmatch(r"python:3\.(\d+)\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", bases[0])
    assert found
    assert requires == ">=3.11,<3.14"
    assert 11 <= int(found[1]) < 14


def test_the_image_has_every_folder_that_the_package_is_built_from() -> None:
    copied = {rest.split()[0] for word, rest in instructions() if word == "COPY"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert set(wheel["force-include"]) <= copied
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    sources = {
        word
        for kind, rest in instructions()
        if kind == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    }
    assert sources == kept


def test_the_image_runs_as_an_unprivileged_user() -> None:
    users = [rest for word, rest in instructions() if word == "USER"]

    assert users == ["${UID}:${GID}"]
    assert "ARG UID=50000" in DOCKERFILE
    assert "chown" not in DOCKERFILE  # code stays root's


def test_the_tag_of_the_image_is_the_version_of_the_package() -> None:
    assert f"truetape:{__version__}" == OWN_IMAGE
    assert f"image: {OWN_IMAGE}\n" in (ROOT / "docker-compose.airflow.yml").read_text()
