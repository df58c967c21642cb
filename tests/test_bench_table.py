from __future__ import annotations

import msgspec

from streamd.bench.measure import Result
from streamd.bench.parts import Parts
from streamd.bench.table import Found, Row, sheets
from streamd.terminal import sheet_lines
from tests.test_bench_search import result


def found(results: list[Result], **changed: object) -> Found:
    facts: dict[str, object] = {
        "version": "0.1.0",
        "model": "tiny",
        "provider": "CPUExecutionProvider",
        "hop_seconds": 0.1,
        "n_cores": 2,
        "core": 1,
        "load_core": 0,
        "n_per_agent": 1,
        "rows": [Row.of("whole daemon", results)],
        "parts": Parts(n_hops=1000, n_runs=250, cpu_seconds={"network": 0.3, "log-mel": 0.1}),
        "parts_n_sources": 100,
    }
    return Found(**(facts | changed))  # type: ignore[arg-type]


def lines(what: Found) -> list[str]:
    return [line for sheet in sheets(what) for line in sheet_lines(sheet)]


def test_every_measurement_has_a_row_and_a_bar_and_the_last_line_says_what_holds() -> None:
    told = lines(found([result(16), result(100), result(200, 1.0, cpu_percent=99.0)]))
    (row,) = [line.split("\t") for line in told if line.startswith("100\t") and line.endswith("\tholds")]
    assert row[2] == "10 ms"
    assert len([line for line in told if "█" in line or "░" in line]) == 3
    (late,) = [line for line in told if line.startswith("200\t") and line.endswith("too much")]
    assert "1000 ms" in late
    assert told[-1] == "# whole daemon: 100 sources hold"


def test_the_parts_of_a_hop_are_sorted_and_add_up() -> None:
    told = lines(found([result(100)]))
    at = next(i for i, line in enumerate(told) if line.startswith("part\t"))
    assert "4.0 of them a run" in told[at - 1]
    assert told[at + 1 : at + 4] == ["network\t300.0\t75 %", "log-mel\t100.0\t25 %", "all\t400.0\t100 %"]


def test_who_is_to_blame_is_told() -> None:
    late = result(200, 1.0, load_late_seconds=0.05, cpu_percent=99.0)
    assert lines(found([result(100), late]))[-1].endswith("the load itself is late, not the daemon: it may hold more")
    shared = result(200, 1.0, cpu_percent=46.0)
    assert lines(found([result(100), shared]))[-1].endswith("it got only 46 % of its core: other programs use it too")
    assert lines(found([late]))[-1].startswith("# whole daemon: 200 sources do not hold")
    assert "share core 1" in lines(found([result(1)], load_core=None))[0]
    assert "not pinned" in lines(found([result(1)], core=None, load_core=None))[0]


def test_the_json_has_all_of_it() -> None:
    what = found([result(16), result(100)])
    again = msgspec.json.decode(msgspec.json.encode(what), type=Found)
    assert again.rows[0].most_sources == 100
    assert again.rows[0].results[1].p99_seconds == 0.01
    assert again.parts == what.parts
