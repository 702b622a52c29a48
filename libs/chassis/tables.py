"""Columns as all services declare them in their tables, and a table for expressions."""

from typing import Any

from sqlalchemy import Table
from sqlmodel import Field, SQLModel

from chassis.database import ID, TIME


def id_field(**options: Any) -> Any:
    """An identifier, compared as bytes."""
    return Field(sa_type=ID, **options)


def time_field(**options: Any) -> Any:
    """A moment, with its zone."""
    return Field(sa_type=TIME, **options)


def table(model: type[SQLModel]) -> Table:
    """The SQLAlchemy table of a model."""
    return model.__table__  # type: ignore[attr-defined, no-any-return]
