"""ARCHITECTURE.md's map, the contracts and the tree name the same packages on the same floors."""

import ast
import re
import tomllib

from house.tree import PACKAGE, ROOT, files, name, packages, parsed

FLOOR_ROW = re.compile(r"^\| *(\d) *\| *`(\w+)/?` *\|", re.MULTILINE)


def _map() -> dict[str, int]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return {package: int(floor) for floor, package in FLOOR_ROW.findall(text)}


def _contract_floors() -> dict[str, int]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["id"] == "floors")
    return {
        package.strip(): floor
        for floor, layer in enumerate(reversed(layers))
        for package in re.split("[|:]", layer)
    }


def test_the_map_shows_every_package() -> None:
    here = {package.name for package in packages()} | {
        path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"
    }
    missing = here ^ set(_map())
    assert not missing, f"in the tree or on ARCHITECTURE.md's map, not on both: {sorted(missing)}"


def test_the_map_agrees_with_the_contracts() -> None:
    assert _map() == _contract_floors(), "ARCHITECTURE.md and [tool.importlinter] differ"


def test_a_package_names_its_floor() -> None:
    floors = _map()
    wrong = {
        name(package): (said.group(1) if said else None, floors[package.name])
        for package in packages()
        for text in [ast.get_docstring(parsed(package / "__init__.py")) or ""]
        for said in [re.match(r"Floor (\d): ", text)]
        if said is None or int(said.group(1)) != floors[package.name]
    }
    assert not wrong, f'a package begins with "Floor N: "; said and meant: {wrong}'


def test_every_bound_is_used() -> None:
    bounds = {
        target.id
        for node in parsed(PACKAGE / "limits.py").body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    }
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for path in files(".py", under=("src",))
        if path.name != "limits.py"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute | ast.Name)
    }
    assert bounds, "sidereal.limits holds no bound that this rule can see"
    assert not bounds - used, (
        f"sidereal.limits names bounds that nothing keeps: {sorted(bounds - used)}"
    )
