"""Executors: the table of them, and the one that works here."""

import sys

import pytest

from suraksha.compute.base import EXECUTORS, make_executor
from suraksha.compute.local import LocalExecutor
from suraksha.errors import DataError, MissingExtraError, UnknownNameError, UsageError


def test_the_table_makes_every_executor():
    assert list(EXECUTORS) == ["local", "ray"]
    assert isinstance(make_executor("local"), LocalExecutor)
    cluster = make_executor("ray", address="there:1", workers=3)
    assert (cluster.address, cluster.workers) == ("there:1", 3)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'ray'"):
        make_executor("rays")
    with pytest.raises(UsageError, match="--compute ray"):
        make_executor("local", workers=2)
    with pytest.raises(UsageError, match="workers = -1"):
        make_executor("ray", workers=-1)


def test_a_missing_ray_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "suraksha.compute.ray", raising=False)
    with pytest.raises(MissingExtraError, match=r"suraksha\[ray\]"):
        make_executor("ray")


def test_work_here_follows_the_order_and_goes_on_after_a_failure():
    asked = []

    def items():
        for number in range(3):
            asked.append(number)
            yield number

    def work(number):
        assert asked[-1] == number, "an item is taken only when a worker is free"
        if number == 1:
            raise DataError("a", "b", "c")
        return number * 10

    found = list(LocalExecutor().map(work, items(), failures=(DataError,)))
    assert [outcome for _, outcome in found[::2]] == [0, 20]
    assert isinstance(found[1][1], DataError)
    with pytest.raises(ZeroDivisionError):
        list(LocalExecutor().map(lambda n: 1 / n, [0], failures=(DataError,)))
