"""What a run cost is charged to the rows that it was spent on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sidereal.demo.costs import Meter, costs, costs_path, read_costs
from sidereal.errors import ConfigError


def shard_that_used(used_ns: dict[str, int], packets: int, size: int) -> SimpleNamespace:
    return SimpleNamespace(
        name="shard-0",
        stages=SimpleNamespace(used_ns=used_ns),
        traffic=lambda: (packets, size),
    )


def test_stages_are_charged_from_the_first_entities_on(tmp_path: Path) -> None:
    meter = Meter()
    meter.tick(shard_that_used({"pack": 5_000}, 3, 300), 0)
    meter.tick(shard_that_used({"pack": 9_000, "seal": 1_000}, 10, 1_000), 40)
    meter.tick(shard_that_used({"pack": 9_500, "seal": 1_000}, 11, 1_000), 60)
    meter.write(
        costs_path(tmp_path / "final-a.npz"),
        shard_that_used({"pack": 19_000, "seal": 2_000, "open": 500, "idle": 0}, 110, 9_000),
    )
    (found,) = read_costs(tmp_path)
    assert found.process == "shard-0"
    assert found.rows == 100
    assert found.ns_a_row == {"pack": 100.0, "seal": 10.0, "open": 5.0}
    assert list(found.ns_a_row) == ["pack", "seal", "open"]
    assert found.total_ns == 115.0
    assert found.packets_per_s / found.bytes_per_s == pytest.approx(100 / 8_000)


def test_a_shard_without_entities_has_no_costs(tmp_path: Path) -> None:
    Meter().write(tmp_path / "costs-a.json", shard_that_used({"open": 7}, 1, 1))
    assert read_costs(tmp_path) == []


def test_rates_are_by_the_second() -> None:
    found = costs("server", 10, {"apply": 50}, packets=30, size=600, seconds=2.0)
    assert (found.packets_per_s, found.bytes_per_s) == (15.0, 300.0)
    assert costs("server", 0, {"apply": 50}, 0, 0, 0.0).ns_a_row == {"apply": 50.0}


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "costs-a.json").write_text("{")
    with pytest.raises(ConfigError, match=r"costs-a\.json"):
        read_costs(tmp_path)
