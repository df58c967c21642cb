"""Checkpoint files: the old one or the new one, never half of one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.design import checkpoints  # noqa: E402


def test_what_was_saved_is_loaded_and_no_draft_stays(tmp_path):
    path = tmp_path / "checkpoint.pt"
    assert checkpoints.load(path) is None
    state = {"step": 3, "weights": {"a": torch.arange(4.0)}, "losses": [0.5, 0.25], "best": None}
    checkpoints.save(state, path)
    found = checkpoints.load(path)
    assert torch.equal(found.pop("weights")["a"], state.pop("weights")["a"])
    assert found == state
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoints.save({"step": 1}, path)

    def full(state, file):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save({"step": 2}, path)
    assert checkpoints.load(path) == {"step": 1}
