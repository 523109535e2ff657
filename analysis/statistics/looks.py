"""Repeated looks at a growing collection: intervals that hold at all looks together, so that one may stop at any.

Who looks again and again at 95 % intervals, and stops when one of them says something, is wrong more often than in 5 %
of the cases. So each look has a level of its own. Its *information* is that of the estimate, 1 / variance, as a share t
of what the largest collection would give that is meant to be run; up to t the looks together may err as often as

    α(t) = 2 − 2 Φ(z / √t),        z = Φ⁻¹(0.975),        α(1) = 0.05

(Lan & DeMets 1983, Biometrika 70:659; of O'Brien & Fleming's type: little early, and nearly 5 % is left for the last
look). As it is information that spends, neither the number nor the times of the looks must be known in advance, and to
look again at the same results costs nothing. Estimates at successive looks are jointly normal with correlations
√(t / t′), whatever model they are from (Jennison & Turnbull 2000, Group Sequential Methods, chapter 11), which gives
the levels one after the other by integration over those that went on (Armitage, McPherson & Rowe 1969, J. R. Stat. Soc.
A 132:235). A level is then applied to the estimate's own t distribution (Jennison & Turnbull, section 4.4). The
*repeated* intervals at these levels hold what is true at all looks together in 95 % of the cases (their chapter 9),
whenever and for whatever reason one stops; so what they have in common is an interval, too.

Where tasks differ much, other seeds add little information: t is near 1 from the start, and looks cost next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from analysis.statistics.score_size import Array

ALPHA = 0.05
SAME = 2e-3  # growth of the information below which a look is no new one
LEAST = 1e-12  # of a level
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(201)


def spent(information: float) -> float:
    """How often the looks up to this share of the information may err together."""
    return 2 * float(ndtr(ndtri(ALPHA / 2) / math.sqrt(min(information, 1.0)))) if information > 0 else 0.0


def level(information: Sequence[float]) -> float:
    """Two-sided level of the last of the looks at these shares of the information, oldest first; 0.05 of one at 1.

    A look that adds no information has the level of the one before.
    """
    state = Looked()
    for share in information:
        state = state.then(share)
    return state.level


class Looked:
    """Looks so far.

    Attributes:
        information: the greatest share yet.
        level: two-sided, of the last look.
        at, density: of the score process Z √t of what goes on, at the nodes of a quadrature, with their weights.
    """

    def __init__(self, information: float = 0.0, level: float = LEAST, at: Array | None = None,
                 density: Array | None = None) -> None:  # fmt: skip
        self.information, self.level = information, level
        self.at = np.zeros(1) if at is None else at
        self.density = np.ones(1) if density is None else density

    def then(self, information: float) -> Looked:
        """With one look more."""
        information = min(information, 1.0)
        if information - self.information < SAME:
            return self
        step = math.sqrt(information - self.information)
        root = math.sqrt(information)

        def beyond(bound: float) -> float:
            above, below = (bound * root - self.at) / step, (bound * root + self.at) / step
            return float(self.density @ (ndtr(-above) + ndtr(-below)))

        new = max(spent(information) - spent(self.information), LEAST**2)
        if beyond(40.0) >= new:
            bound = 40.0
        else:
            bound = float(brentq(lambda at: math.log(max(beyond(at), 1e-300) / new), 0.0, 40.0, xtol=1e-6))
        at = bound * root * NODES
        kernel = np.exp(-(((at[:, None] - self.at) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        density = (kernel @ self.density) * bound * root * NODE_WEIGHTS
        return Looked(information, max(2 * float(ndtr(-bound)), LEAST), at, density)


def reach(level: float, freedom: float) -> float:
    """Half the length of an interval at a two-sided level, in standard errors."""
    at = 1 - level / 2
    return float(stdtrit(freedom, at) if math.isfinite(freedom) else ndtri(at))
