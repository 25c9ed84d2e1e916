"""All mutations, by the part of jacbench that they weaken."""

from __future__ import annotations

from collections.abc import Sequence

from tests.mutations.mutation import Mutation
from tests.mutations.of_checking import CHECKING
from tests.mutations.of_picking import PICKING
from tests.mutations.of_running import RUNNING
from tests.mutations.of_structure import STRUCTURE

MUTATIONS: Sequence[Mutation] = (*CHECKING, *RUNNING, *PICKING, *STRUCTURE)
