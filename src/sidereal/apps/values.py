"""Kinds of value that a flag may have, beyond those that click brings along."""

from __future__ import annotations

import math
import re

import click

from sidereal.errors import ConfigError
from sidereal.ids import Sector
from sidereal.limits import SECTOR_MAX


class Number(click.FloatRange):
    """A finite number within bounds; NaN, which passes every bound, is refused."""

    name = "number"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a usage error that names the value and the bound."""
        number = super().convert(float(value), param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not finite.", param, ctx)
        return number


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3
    """``HOST:PORT``."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """An `sidereal.runtime.address.Address`."""
        from sidereal.runtime.address import Address

        try:
            return Address.parse(str(value)) if isinstance(value, str) else value
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class SectorType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3
    """``X,Y``: the coordinates of a sector."""

    name = "x,y"
    _FORM = re.compile(r"([+-]?\d+),([+-]?\d+)")

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sector:
        """The pair of coordinates."""
        form = self._FORM.fullmatch(str(value))
        if form is None:
            self.fail(f"{value!r} is no sector: give X,Y, such as -3,4.", param, ctx)
        sector = int(form[1]), int(form[2])
        if max(map(abs, sector)) > SECTOR_MAX:
            self.fail(f"{value!r} is beyond ±{SECTOR_MAX}, the end of the world.", param, ctx)
        return sector
