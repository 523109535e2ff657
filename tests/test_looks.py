"""Levels of repeated looks: the textbook's, right in simulation, and free of charge where nothing is new."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from analysis.statistics.looks import ALPHA, Looked, level, reach, spent


def test_one_look_at_everything_has_the_usual_level() -> None:
    assert level([1.0]) == pytest.approx(ALPHA)
    assert reach(ALPHA, math.inf) == pytest.approx(1.959964, abs=1e-6)
    assert reach(ALPHA, 7) == pytest.approx(2.364624, abs=1e-5)


def test_of_two_looks_the_levels_are_those_of_a_bivariate_normal() -> None:
    for first, second in ((0.2, 1.0), (0.5, 0.9), (0.9, 1.0)):
        bounds = -ndtri(np.array([level([first]), level([first, second])]) / 2)
        correlated = multivariate_normal(cov=[[1, math.sqrt(first / second)], [math.sqrt(first / second), 1]])
        assert 1 - correlated.cdf(bounds, lower_limit=-bounds) == pytest.approx(spent(second), abs=1e-5)


@pytest.mark.parametrize("shares", [[0.5, 1.0], [0.3, 0.35, 0.9, 1.0], [0.85, 0.93, 0.97, 1.0], [0.05, 0.1, 0.2]])
def test_looks_together_err_as_often_as_is_spent(shares: list[float]) -> None:
    random = np.random.default_rng(0)
    steps = np.sqrt(np.diff([0.0, *shares]))
    process = np.cumsum(random.standard_normal((200_000, len(shares))) * steps, axis=1)
    bounds = [-float(ndtri(level(shares[: count + 1]) / 2)) for count in range(len(shares))]
    errs = (np.abs(process / np.sqrt(shares)) > bounds).any(axis=1).mean()
    assert errs == pytest.approx(spent(shares[-1]), abs=0.0016)


def test_to_look_again_at_the_same_costs_nothing() -> None:
    assert level([0.6, 0.6, 0.6, 0.9]) == level([0.6, 0.9])
    assert level([0.6, 0.5, 0.9]) == level([0.6, 0.9])  # what is spent stays spent
    assert level([1.0, 1.0]) == pytest.approx(ALPHA)


def test_levels_are_between_nothing_and_what_is_left() -> None:
    random = np.random.default_rng(1)
    for _ in range(50):
        looked = Looked()
        for share in np.sort(random.uniform(0.01, 1, random.integers(1, 6))):
            looked = looked.then(float(share))
            assert 0 < looked.level <= 2 * float(ndtr(ndtri(ALPHA / 2))) + 1e-9
