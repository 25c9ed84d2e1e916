"""A policy says what may change by how much; every mistake in its file is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core.errors import JacbenchError
from jacbench.results import policy
from jacbench.results.policy import DEFAULT, Limits
from tests import samples

EXAMPLE = """
[default]
time = 1.2
memory = 2

[[limit]]
problem = "nn/*"
method = "torch.compile-*"
time = 1.5

[[limit]]
problem = "nn/mlp[batch=64]"
time = 1.9
error = 100.0

[[limit]]
problem = "awkward/*"
operator = "*"
device = "cuda:*"
dtype = "float32"
ignore = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def limits(text: str, folder: Path, method: str = "torch.compile-jacrev", **parts: str) -> Limits:
    return policy.read(written(folder, text)).limits(samples.cell(method, **parts))


def refusal(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(JacbenchError) as caught:
        policy.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_later_limits_win_and_leave_the_rest(tmp_path: Path) -> None:
    assert limits(EXAMPLE, tmp_path, problem="basics/a") == Limits(time=1.2, memory=2.0)
    assert limits(EXAMPLE, tmp_path, problem="nn/mlp") == Limits(time=1.5, memory=2.0)
    found = limits(EXAMPLE, tmp_path, problem="nn/mlp[batch=64]")
    assert found == Limits(time=1.9, memory=2.0, error=100.0)
    assert limits(EXAMPLE, tmp_path, "jax.jacrev", problem="nn/mlp").time == 1.2


def test_every_pattern_of_a_limit_has_to_match(tmp_path: Path) -> None:
    here = {"problem": "awkward/abs", "device": "cuda:0", "dtype": "float32"}
    assert limits(EXAMPLE, tmp_path, **here).ignore
    assert not limits(EXAMPLE, tmp_path, **here | {"device": "cpu"}).ignore
    assert not limits(EXAMPLE, tmp_path, **here | {"dtype": "float64"}).ignore


def test_ignore_can_be_taken_back(tmp_path: Path) -> None:
    text = '[[limit]]\nignore = true\n[[limit]]\nproblem = "a"\nignore = false\n'
    assert limits(text, tmp_path, problem="b").ignore
    assert not limits(text, tmp_path, problem="a").ignore


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert policy.read(written(tmp_path, "")) == DEFAULT
    expected = Limits(time=1.10, preparation=2.0, memory=1.2, error=10.0, ignore=False)
    assert DEFAULT.limits(samples.cell()) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[defualt]\ntime = 1.1", "unknown key of"),
        ("[defualt]\ntime = 1.1", "did you mean 'default'?"),
        ("[default]\ntimes = 1.1", "did you mean 'time'?"),
        ("[[limit]]\nproblme = 'a'\ntime = 2.0", "did you mean 'problem'?"),
        ("[default]\nignore = true", "unknown key of [default]"),
        ("default = 3", "[default] is 3: give a table"),
        ("[limit]\ntime = 2.0", "write [[limit]], in double brackets"),
        ("limit = [3]", "limit 1 is 3: give a table"),
        ("[default]\ntime = 'fast'", "time is 'fast': give a ratio above 1"),
        ("[default]\ntime = true", "time is true: give a ratio above 1"),
        ("[default]\ntime = [1.1]", "time is an array: give a ratio above 1"),
        ("[default]\ntime = 1.0", "time is 1: give a ratio above 1"),
        ("[default]\nmemory = -2", "memory is -2: give a ratio above 1"),
        ("[default]\nerror = nan", "error is nan: give a ratio above 1"),
        ("[default]\nerror = inf", "error is inf: give a ratio above 1"),
        (f"[default]\nerror = 1{'0' * 400}", "error is inf: give a ratio above 1"),
        ("[[limit]]\ntime = 2.0\n[[limit]]\nmemory = 0.5", "limit 2: memory is 0.5"),
        ("[[limit]]\nproblem = 3\ntime = 2.0", "problem is 3: give a shell pattern"),
        ("[[limit]]\nproblem = ''\ntime = 2.0", "problem is '': give a shell pattern"),
        ("[[limit]]\nignore = 1", "ignore is 1: give true or false"),
        ("[[limit]]\nproblem = 'a'", "limit 1 sets nothing: give one of time"),
        ("[default]\n\ntime 1.1", "is not TOML: "),
        ("[default]\n\ntime 1.1", "line 3"),
        ("[default]\ntime = 1.1\ntime = 1.2", "is not TOML: "),
        (f"a = {'[' * 100_000}", "is not TOML: "),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(JacbenchError, match=r"cannot be read: No such file"):
        policy.read(tmp_path / "absent.toml")
    with pytest.raises(JacbenchError, match=r"cannot be read: Is a directory"):
        policy.read(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JacbenchError, match=r"cannot be read: .*utf-8"):
        policy.read(tmp_path / "binary.toml")


def test_a_limit_that_matches_nothing_is_told(tmp_path: Path) -> None:
    text = '[[limit]]\nproblem = "some/*"\ntime = 2.0\n[[limit]]\nproblem = "soem/*"\ntime = 2.0'
    (line,) = policy.read(written(tmp_path, text)).unused([samples.cell()])
    assert line == "limit 2 of the policy (problem 'soem/*') matches no cell"


def test_little_is_never_a_violation() -> None:
    found = Limits()
    assert not found.preparation_exceeded(10e-6, 9e-3)  # 900 times as long
    assert found.preparation_exceeded(10e-6, 11e-3)
    assert not found.preparation_exceeded(1.0, 1.49)
    assert found.preparation_exceeded(1.0, 2.01)
    assert not found.memory_exceeded(0, 4096)
    assert found.memory_exceeded(0, 2**20 + 1)
    assert not found.memory_exceeded(2**30, 2**30 + 2**21)
    assert not found.error_exceeded(1e-17, 9e-15, 1e-12)
    assert found.error_exceeded(1e-17, 2e-14, 1e-12)
    assert not found.error_exceeded(5e-13, 9e-13, 1e-12)


tables = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["default", "limit", "time", "problem", "ignore"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["default", "limit"]), tables, max_size=2))
def test_whatever_stands_in_it_is_a_policy_or_one_line(content: dict[str, object]) -> None:
    try:
        found = policy.parse(content)
    except JacbenchError as exc:
        message = str(exc)
    else:
        assert found.limits(samples.cell()).time > 1
        return
    assert "\n" not in message
