"""A log line: one an event, with its process, whatever a peer put into it."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from sidereal.runtime import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger = logging.getLogger("sidereal")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


def test_an_event_is_one_line_with_time_and_process() -> None:
    out = io.StringIO()
    logs.start("east", stream=out)
    logging.getLogger("sidereal.shard").warning("lease of %d ns lost", 5)
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z east WARNING lease of 5 ns lost\n"
    assert re.fullmatch(line, out.getvalue())


def test_a_peer_cannot_forge_a_line() -> None:
    out = io.StringIO()
    logs.start("east", stream=out).info("peer said %s", "bye\n2026 root INFO all is well\x1b[2J")
    assert out.getvalue().count("\n") == 1
    assert r"bye\n2026 root INFO all is well\x1b[2J" in out.getvalue()


def test_a_traceback_stays_in_its_line() -> None:
    out = io.StringIO()
    logger = logs.start("east", stream=out)
    try:
        raise ValueError("no such rule")
    except ValueError:
        logger.exception("step failed")
    assert out.getvalue().count("\n") == 1
    assert "ValueError: no such rule" in out.getvalue()


def test_debug_lines_are_asked_for() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    logs.start("east", stream=quiet).debug("detail")
    logs.start("east", verbose=True, stream=loud).debug("detail")
    assert quiet.getvalue() == ""
    assert "DEBUG detail" in loud.getvalue()


def test_a_key_is_left_out() -> None:
    out = io.StringIO()
    logs.start("east", stream=out).info("got %s", "ab" * 32)
    assert "abab" not in out.getvalue()
