"""The papers' rules as plain NumPy loops, the way their authors wrote them."""

from collections.abc import Iterable

import numpy as np


def competing_units(
    synapses: np.ndarray,
    batches: Iterable[tuple[float, np.ndarray]],
    p: float,
    k: int,
    delta: float,
    prec: float = 1e-30,
) -> np.ndarray:
    """Krotov and Hopfield's loop.

    Args:
        synapses: `(hid, N)`, one unit in each row.
        batches: Pairs of a learning rate and a batch `(Num, N)`.
        p: Lebesgue norm of the weights.
        k: Ranking parameter.
        delta: Strength of the anti-Hebbian learning.
        prec: Numerical precision of the weight updates.

    Returns:
        The synapses after all batches.
    """
    synapses = synapses.copy()
    hid = len(synapses)
    for eps, batch in batches:
        inputs = batch.T
        num = inputs.shape[1]
        tot_input = np.dot(
            np.sign(synapses) * np.absolute(synapses) ** (p - 1), inputs
        )
        y = np.argsort(tot_input, axis=0)
        yl = np.zeros((hid, num))
        yl[y[hid - 1, :], np.arange(num)] = 1.0
        yl[y[hid - k], np.arange(num)] = -delta
        xx = np.sum(yl * tot_input, axis=1)
        ds = np.dot(yl, inputs.T) - xx[:, None] * synapses
        nc = max(np.amax(np.absolute(ds)), prec)
        synapses += eps * ds / nc
    return synapses
