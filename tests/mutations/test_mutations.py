"""Every mutation of the table still applies to the source, exactly once, and its tests are there.

``python -m tests.mutations`` runs them, see :mod:`tests.mutations.trying`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutations.mutation import ROOT, MovedError, Mutation
from tests.mutations.table import MUTATIONS

SURVIVORS = 5


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_applies_to_the_source_as_it_is(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text(encoding="utf-8")
    mutated = mutation.applied(source)
    assert mutated != source
    compile(mutated, mutation.file, "exec")
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file()
        assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_a_source_that_moved_on_is_told() -> None:
    for source in ("nothing", "a + b\na + b"):
        with pytest.raises(MovedError, match=r"x: .a . b. stands [02] times in f\.py"):
            Mutation("x", "f.py", "a + b", "a - b", ()).applied(source)


def test_names_are_unique_and_few_survive() -> None:
    assert max(Counter(mutation.name for mutation in MUTATIONS).values()) == 1
    assert sum(bool(mutation.survives) for mutation in MUTATIONS) <= SURVIVORS
