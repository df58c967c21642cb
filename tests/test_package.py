"""The project as it is handed out: version, dependencies, and a real wheel that is built, installed and used."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import streamd
from streamd import shipped

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PACKAGE_OF = {"prometheus_client": "prometheus-client", "yaml": "pyyaml", "zmq": "pyzmq"}
"""Import name → name of the package, where they differ."""


def versions_of_the_last_run() -> dict[str, str]:
    """Return package → exact version, as constraints.txt has it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def third_party_imports(folder: Path) -> set[str]:
    """Return the top-level names that the Python files of a folder import from outside the standard library."""
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"streamd"}


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == streamd.__version__


def test_what_streamd_imports_is_what_it_declares() -> None:
    declared = {Requirement(line).name for line in PROJECT["dependencies"]}
    imported = {PACKAGE_OF.get(name, name) for name in third_party_imports(ROOT / "streamd")}
    # The extras bring these: a runtime, what a GPU's graph is made with, and what `streamd metrics` serves with.
    assert imported - {"onnxruntime", "onnx", "prometheus-client"} == declared


def test_every_dependency_was_tested_in_a_version_within_its_range() -> None:
    versions = versions_of_the_last_run()
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        requirement = Requirement(line)
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt has no version of {requirement.name}"
        assert requirement.specifier.contains(version), f"{line}, but constraints.txt has {version}"


def test_the_two_runtimes_exclude_each_other() -> None:
    assert [Requirement(line).name for line in EXTRAS["cpu"]] == ["onnxruntime"]
    assert [Requirement(line).name for line in EXTRAS["gpu"]] == ["onnxruntime-gpu", "onnx"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site_packages(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, far from the checkout."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel]
    subprocess.run(command, check=True)
    return folder


def test_the_wheel_carries_the_package_the_models_and_the_licences_and_nothing_else(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    info = f"streamd-{streamd.__version__}.dist-info"
    assert {name.partition("/")[0] for name in files} == {"streamd", info}
    for part in ("LICENSE", "NOTICE"):
        assert f"{info}/licenses/{part}" in files
    in_the_package = {f"streamd/{file.relative_to(ROOT / 'streamd')}" for file in (ROOT / "streamd").rglob("*.*")}
    assert {name for name in in_the_package if "__pycache__" not in name} <= files
    for name in shipped.model_names():
        assert {f"streamd/models/{name}/{name}.onnx", f"streamd/models/{name}/card.md"} <= files


def test_an_installed_wheel_finds_its_models_and_its_demo(site_packages: Path, tmp_path: Path) -> None:
    program = (
        "import json, streamd; from streamd import shipped\n"
        "files = [str(shipped.model_file(name)) for name in shipped.model_names()]\n"
        "print(json.dumps([streamd.__file__, files, str(shipped.demo_file(''))]))"
    )
    environment = os.environ | {"PYTHONPATH": str(site_packages)}
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    package, files, demo = json.loads(printed)
    assert Path(package) == site_packages / "streamd/__init__.py"
    assert files == [str(site_packages / f"streamd/models/{name}/{name}.onnx") for name in shipped.model_names()]
    assert files
    assert all(Path(file).is_file() for file in files)
    assert Path(demo).is_dir()


def test_the_installed_command_says_its_version(site_packages: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(site_packages)}
    for command in ([site_packages / "bin/streamd"], [sys.executable, "-m", "streamd"]):
        result = subprocess.run(
            [*command, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == f"streamd {streamd.__version__}"
