"""What a run cost is charged to the rows that it was spent on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sidereal.demo.costs import SERVER, Meter, an_update, costs, costs_path, read_costs
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


def test_an_update_costs_a_shards_mean_and_the_servers_each_stage_by_what_it_is_for() -> None:
    small = costs("shard-0", 10, {"pack": 1_000, "simulate": 500, "messages": 300}, 0, 0, 1.0)
    large = costs("shard-1", 30, {"pack": 1_800, "watch": 600}, 0, 0, 1.0)
    server = costs(SERVER, 39, {"apply": 1_170, "EntityTransitionRequest": 390}, 0, 0, 1.0)
    found = an_update([server, small, large])
    assert found is not None
    # By hand: 100 and 60 ns a row in a quarter and three quarters of the rows, 30 at the server.
    assert found.flow == pytest.approx(100 / 4 + 60 * 3 / 4 + 30)
    assert found.coordination == pytest.approx(30 / 4 + 10)
    assert found.game == pytest.approx(50 / 4 + 20 * 3 / 4)
    assert found.total == pytest.approx(found.flow + found.coordination + found.game)


def test_what_an_update_costs_is_not_known_without_both_sides() -> None:
    one = costs("shard-0", 10, {"pack": 1_000}, 0, 0, 1.0)
    none = costs("shard-0", 0, {"pack": 1_000}, 0, 0, 1.0)
    server = costs(SERVER, 10, {"apply": 300}, 0, 0, 1.0)
    assert an_update([one]) is an_update([server]) is an_update([none, server]) is None
