"""What JAX keeps for the whole process is recorded and watched; what XLA planned is noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jacbench_jax import staged  # noqa: E402

from jacbench.backend import registry  # noqa: E402
from jacbench.checking import process_state  # noqa: E402
from jacbench.core.cell import Cell, Verdict  # noqa: E402
from jacbench.problems.problem import Problem  # noqa: E402
from jacbench.running.prepared_cells import Harness, Limits  # noqa: E402

BACKEND = registry.load("jax")
PROBLEM = Problem(name="mine", function=lambda xp, x: xp.sin(x), x=np.ones(3))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    BACKEND.configure(1)
    before = process_state.take(BACKEND)
    yield
    assert process_state.put_back(before).lines == ()


def notes(method: str) -> Mapping[str, Any]:
    cell = Cell("mine", "jacobian", method, "jax", "cpu", "float64", 1)
    result = Harness(1, Limits(), {"mine": PROBLEM}, verify_pins=False).settle(cell).result
    assert result.verdict is Verdict.AGREES
    return result.notes


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("jax_enable_x64", False, "JAX's option jax_enable_x64 from True to False"),
        (
            "jax_default_matmul_precision",
            "bfloat16",
            "JAX's option jax_default_matmul_precision from highest to bfloat16",
        ),
        ("jax_disable_jit", True, "JAX's option jax_disable_jit from False to True"),
        ("jax_debug_nans", True, "JAX's option jax_debug_nans from False to True"),
    ],
)
def test_an_option_is_watched_and_put_back(option: str, value: Any, told: str) -> None:
    before = process_state.take(BACKEND)
    jax.config.update(option, value)
    assert process_state.put_back(before).lines == (told,)
    assert getattr(jax.config, option) != value


def test_settings_that_times_depend_on_are_recorded() -> None:
    told = BACKEND.configure(1)
    assert told["jax_enable_x64"] is True
    assert told["jax_default_matmul_precision"] == "highest"
    assert told["jax_platform"] == jax.default_backend()
    assert told["jax_device_kind"] == jax.devices()[0].device_kind
    assert told["xla_python_client_preallocate"] in ("true", "false")


def test_memory_that_runs_out_is_told_from_other_faults() -> None:
    with pytest.raises(RuntimeError) as caught:
        jax.block_until_ready(jnp.zeros(2**46))
    assert BACKEND.out_of_memory(caught.value)
    assert BACKEND.out_of_memory(MemoryError())
    assert not BACKEND.out_of_memory(RuntimeError("INTERNAL: RESOURCE_EXHAUSTED is a status"))
    assert not BACKEND.out_of_memory(ValueError("RESOURCE_EXHAUSTED"))


def test_what_xla_planned_is_noted() -> None:
    told = notes("jax.jacrev")
    assert told["output_bytes"] == 9 * 8
    assert told["argument_bytes"] == 3 * 8
    assert {"temp_bytes", "code_bytes"} <= set(told)
    assert "output_bytes" not in notes("jax.jacrev-eager")


@pytest.mark.parametrize("planned", [None, object(), {"temp_size_in_bytes": 3}])
def test_another_version_s_analysis_is_left_out(planned: Any) -> None:
    class Compiled:
        def memory_analysis(self) -> Any:
            return planned

    class Refuses:
        def memory_analysis(self) -> Any:
            raise NotImplementedError("not on this platform")

    assert staged.memory(Compiled()) == {}  # type: ignore[arg-type]
    assert staged.memory(Refuses()) == {}  # type: ignore[arg-type]


def test_no_device_tells_its_own_time() -> None:
    assert BACKEND.device_seconds(lambda: None, "cpu") is None


def test_an_array_says_where_it_lies() -> None:
    assert BACKEND.device_of(BACKEND.put(np.ones(2), "cpu", "float64")) == "cpu"
