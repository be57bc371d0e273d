"""What the kernel's face has, so that no test forgets a function that comes later."""

from sidereal import kernel


def callables() -> set[str]:
    """All functions, classes, their methods and `__len__`; columns and other properties are not."""
    found = set()
    for name in kernel.__all__:
        thing = getattr(kernel, name)
        if not callable(thing):
            continue
        found.add(name)
        if isinstance(thing, type):
            members = [m for m in vars(thing) if not m.startswith("_") or m == "__len__"]
            found |= {f"{name}.{m}" for m in members if callable(vars(thing)[m])}
    return found
