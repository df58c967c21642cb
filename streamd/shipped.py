"""What comes with streamd: its models and its demo recording, in a wheel and in a checkout.

A wheel holds the models as `streamd/models/<name>/<name>.onnx`; in a checkout they lie beside the
package, in `models/<name>/<name>.onnx`.
"""

from __future__ import annotations

from pathlib import Path

from streamd.errors import ModelError
from streamd.spelling import did_you_mean

_PACKAGE = Path(__file__).resolve().parent


def model_names() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(file.stem for file in _models_folder().glob("*/*.onnx") if file.stem == file.parent.name)


def model_file(name: str) -> Path:
    """Return the file of a shipped model; ModelError lists what is shipped if there is none of that name."""
    names = model_names()
    if name not in names:
        shipped = ", ".join(names) or "none"
        raise ModelError(f"no shipped model is called {name!r}; shipped: {shipped}{did_you_mean(name, names)}")
    return _models_folder() / name / f"{name}.onnx"


def find_model(name_or_path: str) -> Path:
    """Return the file that a user means: a path (it ends in .onnx or holds a slash), or a shipped model's name.

    ModelError if there is no such file.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix != ".onnx" and "/" not in name_or_path:
        return model_file(name_or_path)
    try:
        found = "" if path.is_file() else "is no file" if path.exists() else "does not exist"
    except OSError as error:
        found = f"can't be read ({error.strerror})"
    if found:
        shipped = ", ".join(model_names()) or "none"
        raise ModelError(f"{name_or_path}: {found}; expected a path to an .onnx file, or a shipped model: {shipped}")
    return path


def demo_file(name: str) -> Path:
    """Return a file of the shipped demonstration, such as its recording."""
    return _PACKAGE / "demo" / name


def _models_folder() -> Path:
    checkout = _PACKAGE.parent
    # site-packages may hold a folder "models" of somebody else: only a checkout's counts.
    return checkout / "models" if (checkout / "pyproject.toml").is_file() else _PACKAGE / "models"
