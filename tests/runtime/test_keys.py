"""Key files: private to their owner, never overwritten, never shown."""

import os
import stat
from pathlib import Path

import pytest

from sidereal.errors import ConfigError
from sidereal.runtime import keys

NAMES = ["clients", "admin", "shard:east", "shard:west-2.b"]
HEX = "0123456789abcdef" * 4


def key_file(directory: Path, content: bytes, mode: int = 0o600, name: str = "admin.key") -> Path:
    file = directory / name
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_what_is_created_is_loaded_by_name(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "keys"
    files = keys.create(directory, NAMES)
    assert [file.name for file in files] == [
        "clients.key",
        "admin.key",
        "shard-east.key",
        "shard-west-2.b.key",
    ]
    loaded = keys.load(directory)
    assert sorted(loaded) == sorted(NAMES)
    assert all([len(key) for key in good] == [32] for good in loaded.values())
    assert len(set(loaded.values())) == len(NAMES)
    assert (keys.read(directory / "clients.key"),) == loaded["clients"]


def test_a_new_key_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        (file,) = keys.create(tmp_path / "keys", ["admin"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_an_existing_key_is_kept_and_nothing_else_written(tmp_path: Path) -> None:
    (admin,) = keys.create(tmp_path, ["admin"])
    before = admin.read_bytes()
    with pytest.raises(ConfigError, match=r"admin\.key: exists already: remove it first"):
        keys.create(tmp_path, ["clients", "admin"])
    assert admin.read_bytes() == before
    assert not (tmp_path / "clients.key").exists()


@pytest.mark.parametrize("name", ["", "shard", "shard:", "shard:a/b", "shard:../x", "root"])
def test_only_the_three_kinds_of_name_are_keys(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="clients, admin or shard:NAME"):
        keys.create(tmp_path, [name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o601, 0o700])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, HEX.encode(), mode)
    with pytest.raises(ConfigError) as refused:
        keys.load(tmp_path)
    assert str(refused.value) == (
        f"{file}: has mode {mode:04o}, a key needs 0600: chmod 600 {file}"
    )


def test_a_key_may_be_read_only(tmp_path: Path) -> None:
    assert keys.read(key_file(tmp_path, HEX.encode(), 0o400)) == bytes.fromhex(HEX)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 32,
        HEX[:-1].encode(),
        (HEX + "0").encode(),
        (HEX + "\n" + HEX).encode(),
        f"{HEX}\n{'1' * 64}\n{'2' * 64}".encode(),
        f"{HEX}\nand words".encode(),
    ],
)
def test_a_file_without_exactly_one_key_is_refused_and_not_shown(
    tmp_path: Path, content: bytes
) -> None:
    file = key_file(tmp_path, content)
    with pytest.raises(
        ConfigError, match="does not hold a key of 64 hexadecimal digits"
    ) as refused:
        keys.read(file)
    assert HEX[:16] not in str(refused.value)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*sidereal keys new --keys"):
        keys.read(tmp_path / "clients.key")
    with pytest.raises(ConfigError, match=r"no such directory of keys.*sidereal keys new"):
        keys.load(tmp_path / "keys")
    with pytest.raises(ConfigError, match=r"holds no keys.*sidereal keys new"):
        keys.load(tmp_path)


def test_a_stray_key_is_named(tmp_path: Path) -> None:
    key_file(tmp_path, HEX.encode(), name="old-admin.key")
    with pytest.raises(ConfigError, match=r"old-admin\.key: not a key's name"):
        keys.load(tmp_path)


def test_what_could_be_a_key_is_hidden() -> None:
    assert keys.hide(f"peer said {HEX}!") == "peer said (not shown)!"
    assert keys.hide("peer said 0123456789abcdef") == "peer said 0123456789abcdef"


def test_a_key_is_replaced_in_two_steps_each_of_which_leaves_a_good_key(tmp_path: Path) -> None:
    keys.create(tmp_path, ["shard:east", "admin"])
    ring = keys.Keyring(tmp_path, look_s=0)
    mine = keys.KeyFile(tmp_path / "shard-east.key")
    old = mine()
    admin = ring.get("admin")
    assert ring.get("shard:east") == (old,)
    (file,) = keys.rotate(tmp_path, ["shard:east"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = mine()
    assert new != old
    assert ring.get("shard:east") == (new, old), "both are good, the new one first"
    with pytest.raises(ConfigError, match="sidereal keys retire"):
        keys.rotate(tmp_path, ["admin", "shard:east"])
    assert ring.get("admin") == admin, "nothing else was changed"
    keys.retire(tmp_path, ["shard:east"])
    assert ring.get("shard:east") == (new,)
    assert mine() == new
    assert sorted(f.name for f in tmp_path.iterdir()) == ["admin.key", "shard-east.key"]


def test_a_key_that_is_spoilt_while_a_server_runs_leaves_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = keys.create(tmp_path, ["shard:east"])
    ring, mine = keys.Keyring(tmp_path, look_s=0), keys.KeyFile(file)
    before = mine()
    file.write_text("spoilt by an editor")
    assert ring.get("shard:east") == (before,)
    assert mine() == before
    assert "stay good" in caplog.text
    assert before.hex() not in caplog.text
    file.unlink()
    assert ring.get("shard:east") == (before,)
    keys.create(tmp_path, ["shard:east"])
    assert ring.get("shard:east") != (before,)


def test_a_key_that_does_not_exist_is_not_replaced(tmp_path: Path) -> None:
    for change in (keys.rotate, keys.retire):
        with pytest.raises(ConfigError, match="sidereal keys new"):
            change(tmp_path, ["shard:east"])


def test_a_directory_is_looked_at_once_in_a_while_however_often_strangers_ask(
    tmp_path, monkeypatch
):
    keys.create(tmp_path, ["clients"])
    looks = []
    real = keys._look
    monkeypatch.setattr(keys, "_look", lambda directory: looks.append(1) or real(directory))
    ring = keys.Keyring(tmp_path, look_s=3600)
    for _ in range(1000):
        assert ring.get("clients") is not None
    assert len(looks) == 1


def test_a_file_that_may_be_read_at_last_is_read(tmp_path):
    keys.create(tmp_path, ["clients"])
    ring = keys.Keyring(tmp_path, look_s=0)
    before = ring.get("clients")
    (tmp_path / "shard-west.key").write_text("ab" * 32 + "\n")
    (tmp_path / "shard-west.key").chmod(0o644)
    assert ring.get("shard:west") is None
    (tmp_path / "shard-west.key").chmod(0o600)
    assert ring.get("shard:west") is not None
    assert ring.get("clients") == before
