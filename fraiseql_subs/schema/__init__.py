"""GraphQL schemas from Python type hints, and from files."""

from fraiseql_subs.schema.build import SchemaSource
from fraiseql_subs.schema.sdl import load_sdl

__all__ = ["SchemaSource", "load_sdl"]
