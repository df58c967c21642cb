"""Models are found in a checkout (here) and in an installed wheel (test_package.py builds a real one)."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd import shipped
from streamd.errors import ModelError


@pytest.fixture
def folder_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder, as a wheel installs it, with two models and what must not be taken for one."""
    package = tmp_path / "site-packages" / "streamd"
    for file in ("models/yamnet/yamnet.onnx", "models/silero/silero.onnx", "models/yamnet/draft.onnx"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).touch()
    (package / "models" / "unfinished").mkdir()
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    return package


def test_the_names_are_those_of_the_folders_that_hold_a_model(folder_of_two: Path) -> None:
    assert shipped.model_names() == ["silero", "yamnet"]
    assert shipped.model_file("yamnet") == folder_of_two / "models/yamnet/yamnet.onnx"


def test_a_checkout_has_its_models_beside_the_package(folder_of_two: Path) -> None:
    checkout = folder_of_two.parent
    (checkout / "pyproject.toml").touch()
    (checkout / "models/mine").mkdir(parents=True)
    (checkout / "models/mine/mine.onnx").touch()
    assert shipped.model_names() == ["mine"]
    assert shipped.model_file("mine") == checkout / "models/mine/mine.onnx"


def test_a_folder_models_of_somebody_else_in_site_packages_is_left_alone(folder_of_two: Path) -> None:
    (folder_of_two.parent / "models/theirs").mkdir(parents=True)
    (folder_of_two.parent / "models/theirs/theirs.onnx").touch()
    assert "theirs" not in shipped.model_names()


def test_an_unknown_name_gets_the_list_and_the_likely_spelling(folder_of_two: Path) -> None:
    with pytest.raises(ModelError) as error:
        shipped.find_model("yamnett")
    assert str(error.value) == "no shipped model is called 'yamnett'; shipped: silero, yamnet; did you mean 'yamnet'?"


@pytest.mark.parametrize("name", ["..", "", "unfinished", "yamnet.onxn"])
def test_what_is_no_name_of_a_model_is_refused(folder_of_two: Path, name: str) -> None:
    with pytest.raises(ModelError, match="shipped: silero, yamnet"):
        shipped.find_model(name)


def test_a_path_is_taken_as_it_is(folder_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "yamnet.onnx"
    own.touch()
    assert shipped.find_model(str(own)) == own
    monkeypatch.chdir(tmp_path)
    assert shipped.find_model("yamnet.onnx") == Path("yamnet.onnx")
    assert shipped.find_model("yamnet") == folder_of_two / "models/yamnet/yamnet.onnx"


def test_a_path_to_nothing_or_to_a_folder_is_one_clear_line(folder_of_two: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: does not exist; expected .* shipped model: silero, yamnet"):
        shipped.find_model(str(tmp_path / "gone.onnx"))
    with pytest.raises(ModelError, match=r"is no file; expected a path"):
        shipped.find_model(str(tmp_path))


def test_this_checkout_ships_the_default_model_and_the_demo() -> None:
    assert shipped.model_file("yamnet").is_file()
    assert shipped.demo_file("").is_dir()
