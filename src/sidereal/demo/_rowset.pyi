"""The compiled set of rows has the face of its readable twin."""

from sidereal.demo.rowset import RowSet as RowSet
