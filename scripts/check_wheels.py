"""Ask pip whether every dependency has a wheel for each machine that streamd should run on.

    python scripts/check_wheels.py [PYTHON_VERSION]

Lets pip choose, without installing, each package of `streamd[cpu]` and what it needs in turn, and each package of the
extra `train`, in the version of constraints.txt, for Linux on x86-64 and on aarch64 and for macOS on Apple silicon.
Prints one line for each choice. Exit code 1 if one is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent

PLATFORMS = {
    "x86-64": [f"manylinux_2_{glibc}_x86_64" for glibc in range(28, 16, -1)] + ["manylinux2014_x86_64"],
    "aarch64": [f"manylinux_2_{glibc}_aarch64" for glibc in range(28, 16, -1)] + ["manylinux2014_aarch64"],
    "macOS arm64": [f"macosx_{version}_0_arm64" for version in (14, 13, 12, 11)],
}
"""A machine → what pip calls it, newest first. On Linux a wheel may ask for glibc 2.28 (Debian 10) at most."""


def chosen_wheels(requirement: str, platforms: list[str], python_version: str, *options: str) -> list[str]:
    """Return the file names of the wheels that pip would install; LookupError says why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary=:all:"]
        command += ["--constraint", str(ROOT / "constraints.txt"), "--python-version", python_version, *options]
        command += ["--quiet", "--target", folder, "--report", str(report), requirement]
        command += [f"--platform={platform}" for platform in platforms]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
            raise LookupError(errors[-1] if errors else result.stderr.strip())
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
        files = [unquote(item["download_info"]["url"]).rpartition("/")[2] for item in chosen]
        return sorted(file.removesuffix(".whl") for file in files)


def main() -> int:
    """Print a line for each requirement and machine; return the exit code."""
    python_version = sys.argv[1] if len(sys.argv) > 1 else "3.11"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    options: dict[str, list[str]] = {requirement: [] for requirement in project["dependencies"] + extras["cpu"]}
    # pip answers "is this needed here?" for the machine it runs on, and torch needs other packages on each.
    options |= {requirement: ["--no-deps"] for requirement in extras["train"]}
    n_missing = 0
    for requirement in options:
        for machine, platforms in PLATFORMS.items():
            try:
                found = ", ".join(chosen_wheels(requirement, platforms, python_version, *options[requirement]))
            except LookupError as error:
                found = f"NONE: {error}"
                n_missing += 1
            print(f"{requirement} · {machine} · Python {python_version} · {found}", flush=True)
    return 1 if n_missing else 0


if __name__ == "__main__":
    sys.exit(main())
