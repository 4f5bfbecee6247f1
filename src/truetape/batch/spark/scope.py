"""Naming intermediate results of a Spark expression, so that each is computed once.

On a whole table they are columns; inside a lambda they are a struct in an array of one.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Columns = Mapping[str, Column]


class Scope(Protocol):
    """Where expressions can be named."""

    def let(self, values: Columns, then: Callable[[Columns], Column]) -> Column:
        """Return `then` of the values, each named and computed once."""


class TableScope:
    """Names values as columns of a table, one projection after the other."""

    def __init__(self, table: DataFrame, prefix: str) -> None:
        self.table = table
        self._prefix = prefix
        self._count = 0

    def bind(self, values: Columns) -> Columns:
        """Add the values as columns, under names that are unique within the prefix."""
        self._count += 1
        names = {name: f"{self._prefix}{self._count}_{name}" for name in values}
        self.table = self.table.withColumns({names[name]: values[name] for name in values})
        return {name: F.col(names[name]) for name in values}

    def let(self, values: Columns, then: Callable[[Columns], Column]) -> Column:
        """Bind the values at once and go on with them."""
        return then(self.bind(values))


class LambdaScope:
    """Names values inside a lambda function over an array."""

    def let(self, values: Columns, then: Callable[[Columns], Column]) -> Column:
        """Bind the values by a lambda over an array that holds only their struct."""
        bound = F.array(F.struct(*(value.alias(name) for name, value in values.items())))
        return F.get(F.transform(bound, lambda row: then({n: row[n] for n in values})), F.lit(0))
