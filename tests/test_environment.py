from __future__ import annotations

import os

import pytest

from streamd.environment import prepare


def test_telemetry_is_off_even_where_somebody_switched_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    prepare()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_numeric_libraries_get_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    prepare()
    assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"


def test_a_number_of_threads_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    prepare()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
