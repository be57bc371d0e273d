"""Configuration: defaults as designed, flags over file, and errors that name everything."""

from pathlib import Path

import pytest

from sidereal.errors import ConfigError
from sidereal.runtime import config
from sidereal.runtime.address import Address
from sidereal.runtime.config import Config, ReplicationConfig, WorldConfig

SHARD = {"shard.name": "east", "shard.simulation": "game.rules:Rules"}


def written(directory: Path, text: str) -> Path:
    file = directory / "world.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(file: Path | None, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        config.load(file, flags)
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_without_a_file_the_defaults_are_the_designed_ones() -> None:
    assert config.load(None) == Config(
        world=WorldConfig(
            sector_size=1000.0,
            tick_hz=20.0,
            handoff_margin=0.02,
            ghost_radius=0.1,
            activation_horizon_s=2.0,
        ),
        replication=ReplicationConfig(
            listen=Address("127.0.0.1", 7777),
            lease_s=3.0,
            heartbeat_s=0.5,
            drift_allowance_s=0.1,
            load_report_s=5.0,
            idle_unload_s=300.0,
            rebalance_s=60.0,
            keys=Path("keys"),
        ),
        shard=None,
    )


def test_a_file_is_read_and_a_flag_wins_over_it(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [world]
        sector_size = 250
        tick_hz = 30.0
        [replication]
        listen = "[::]:9000"
        idle_unload_s = 5
        [shard]
        name = "west"
        simulation = "game:Rules"
        [shard.options]
        gravity = 9.81
        names = ["a", "b"]
        """,
    )
    loaded = config.load(file, {"world.tick_hz": 60.0, "shard.name": None, "shard.server": "s:1"})
    assert (loaded.world.sector_size, loaded.world.tick_hz) == (250.0, 60.0)
    assert loaded.replication.listen == ("::", 9000)
    assert loaded.replication.idle_unload_s == 5.0
    shard = config.shard_of(loaded)
    assert (shard.name, shard.server) == ("west", ("s", 1))
    assert shard.options == {"gravity": 9.81, "names": ["a", "b"]}


def test_a_path_in_a_file_is_relative_to_the_file_and_a_flag_to_the_caller(tmp_path: Path) -> None:
    file = written(tmp_path, '[replication]\nkeys = "secret"')
    assert config.load(file).replication.keys == tmp_path / "secret"
    flags = {"replication.keys": "mine"}
    assert config.load(file, flags).replication.keys == Path("mine")


def test_a_shard_finds_its_key_by_its_name() -> None:
    assert config.shard_of(config.load(None, SHARD)).key == Path("keys/shard-east.key")
    own = config.load(None, {**SHARD, "shard.key": "east.secret"})
    assert config.shard_of(own).key == Path("east.secret")


def test_configuration_does_not_change() -> None:
    with pytest.raises(AttributeError):
        config.load(None).world.tick_hz = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[world]\ntick_hz = 0", ["[world] tick_hz = 0 ", "from 0.1 to 1000"]),
        ("[world]\ntick_hz = nan", ["tick_hz = nan", "from 0.1 to 1000"]),
        ("[world]\nsector_size = inf", ["sector_size = inf", "from 1e-06 to 1e+09"]),
        ("[world]\nsector_size = '1000'", ["sector_size = '1000'", "a number"]),
        ("[world]\nsector_size = true", ["sector_size = True", "a number"]),
        ("[world]\nhandoff_margin = 0.3", ["handoff_margin = 0.3", "from 0 to 0.25"]),
        ("[world]\nsector_sice = 1", ["[world]", "'sector_sice'", "did you mean 'sector_size'?"]),
        ("[world]\nqqq = 1", ["'qqq'", "there are sector_size, tick_hz"]),
        ("[wrld]\n", ["unknown section [wrld]", "did you mean 'world'?"]),
        ("world = 3", ["world is not a section", "[world]"]),
        ("[replication]\nlisten = 'here'", ["listen = 'here'", "HOST:PORT"]),
        ("[replication]\nlisten = 7777", ["listen = 7777", "HOST:PORT"]),
        ("[replication]\nkeys = ''", ["keys = ''", "directory of key files"]),
        ("[replication]\nlease_s = 1", ["lease_s = 1.0", "three heartbeats of 0.5 s", "1.5"]),
        ("[replication]\ndrift_allowance_s = 3", ["drift_allowance_s = 3.0", "lease of 3.0 s"]),
        ("[shard]\nsimulation = 'a:B'", ["[shard] name is missing", "--name"]),
        ("[shard]\nname = 'a'", ["[shard] simulation is missing", "package.module:Class"]),
        ("[shard]\nname = 'a/b'", ["name = 'a/b'", "letters, digits"]),
        ("[shard]\nname = 'a'\nsimulation = 'b c'", ["simulation = 'b c'", "package.module:Class"]),
        ("[shard]\nname = 'a'\noptions = 3", ["options = 3", "a table, [shard.options]"]),
        ("[world\n", ["not TOML"]),
    ],
)
def test_an_error_names_file_key_value_bound(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = written(tmp_path, text)
    line = refusal(file)
    assert line.startswith(f"{file}: ")
    for part in parts:
        assert part in line


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.toml").startswith(f"{tmp_path}/no.toml: cannot be read: No such")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_bytes(b"# \xe9t\xe9\n")
    assert "not TOML in UTF-8" in refusal(file)


def test_an_error_of_a_flag_names_the_flag() -> None:
    line = refusal(None, {"replication.listen": "nowhere"})
    assert line == ("--listen 'nowhere' cannot be used: give HOST:PORT, such as '127.0.0.1:7777'")


def test_a_process_that_is_no_shard_says_how_to_become_one() -> None:
    with pytest.raises(ConfigError, match="--name"):
        config.shard_of(config.load(None))


@pytest.mark.parametrize(
    "text",
    [
        "[replication]\nkeys = 'KEY'",
        "[shard]\nkey = 'KEY'",
        "[shard]\nname = 'KEY'",
        "[shard]\noptions = ['KEY']",
        "[world]\nKEY = 3",
        "[KEY]\n",
        "[world]\ntick_hz = 'KEY'",
        "[replication]\nlisten = 'host:KEY'",
    ],
)
def test_no_error_shows_what_could_be_a_key(tmp_path: Path, text: str) -> None:
    key = "0123456789abcdef" * 4
    line = refusal(written(tmp_path, text.replace("KEY", key)))
    assert "not shown" in line
    assert key[:16] not in line
