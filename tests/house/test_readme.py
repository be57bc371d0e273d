"""What the README shows is what there is: its blocks parse; keys and defaults are the code's."""

import ast
import re
from pathlib import Path

import pytest
from msgspec import structs

from house.tree import PACKAGE, ROOT, prose
from sidereal.apps.cli import COMMANDS
from sidereal.runtime import config

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES_MAX = {"tests: embed": 25, "tests: client": 20}


def block(mark: str) -> str:
    """The fenced block after a comment that marks it."""
    found = re.findall(rf"<!-- {re.escape(mark)} -->\s*```\w*\n(.*?)\n```", README, re.DOTALL)
    assert len(found) == 1, f"README.md marks {len(found)} blocks with {mark!r}, not one"
    return str(found[0])


@pytest.mark.parametrize(
    ("mark", "end"), [("ci: demo", r"sidereal demo[^&;]*$"), ("ci: tests", r"/pytest$")]
)
def test_each_of_the_two_commands_is_one_line_that_makes_its_own_environment(
    mark: str, end: str
) -> None:
    line = block(mark)
    assert "\n" not in line
    assert line.startswith("python3 -m venv .venv && ")
    assert re.search(end, line), f"{line!r} does not end as {end}"


@pytest.mark.parametrize("mark", LINES_MAX)
def test_each_example_is_short_and_parses(mark: str) -> None:
    example = block(mark)
    ast.parse(example)
    code = [line for line in example.splitlines() if line.strip()]
    assert len(code) <= LINES_MAX[mark]


@pytest.mark.parametrize("mark", LINES_MAX)
def test_each_example_uses_public_names_only(mark: str) -> None:
    public = ast.parse((PACKAGE / "runtime" / "public.py").read_text(encoding="utf-8"))
    (listed,) = [node.value for node in public.body if isinstance(node, ast.Assign)]
    used = set(re.findall(r"\bsidereal\.([A-Z]\w+)", block(mark)))
    assert used
    assert used <= set(ast.literal_eval(listed)), "not among sidereal's public names"


def test_the_configuration_shown_is_every_key_with_its_default(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text(block("tests: configuration"), encoding="utf-8")
    shown, usual = config.load(file), config.load(None)
    assert shown.world == usual.world
    assert shown.replication == structs.replace(
        usual.replication, keys=tmp_path / "keys", data=tmp_path / "data"
    )
    text = file.read_text(encoding="utf-8")
    for section, kind in (
        ("world", config.WorldConfig),
        ("replication", config.ReplicationConfig),
        ("shard", config.ShardConfig),
    ):
        part = text.partition(f"[{section}]\n")[2].partition("\n\n")[0]
        keys = re.findall(r"^(\w+) =", part, re.MULTILINE)
        assert {*keys, "options"} == {*kind.__struct_fields__, "options"}


def test_every_command_is_named_in_the_readme() -> None:
    missing = [name for name in COMMANDS if not re.search(rf"`?\b{name}\b", README)]
    assert not missing, f"README.md says nothing of: {missing}"


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in prose()
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken, f"links to nowhere: {broken}"
