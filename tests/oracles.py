"""The papers' rules as plain NumPy loops, the way their authors wrote them."""

from collections.abc import Iterable

import numpy as np
from scipy.special import expit, softmax


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
        yl = np.zeros((hid, num), synapses.dtype)
        yl[y[hid - 1, :], np.arange(num)] = 1.0
        yl[y[hid - k], np.arange(num)] = -delta
        xx = np.sum(yl * tot_input, axis=1)
        ds = np.dot(yl, inputs.T) - xx[:, None] * synapses
        nc = max(np.amax(np.absolute(ds)), prec)
        synapses += eps * ds / nc
    return synapses


def lateral_inhibition(
    w: np.ndarray,
    t: np.ndarray,
    lat_in: np.ndarray,
    samples: np.ndarray,
    sp: float,
    xi: float,
    gamma: float,
    beta: float,
    prec: float = 1e-10,
    columns: int | None = None,
    excitation: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SparseDream's loop, one sample after another.

    Args:
        w: Feed-forward synapses `(N, inputs)`.
        t: Thresholds `(N, 1)`.
        lat_in: Lateral inhibition `(N, N)`.
        samples: `(samples, inputs)`.
        sp: Sparsity.
        xi: Rate of the synapses.
        gamma: Rate of the thresholds.
        beta: Rate of the inhibition.
        prec: Precision.
        columns: Columns of a grid on which neighbours excite each other,
            which the notebook does not have.
        excitation: How much they do.

    Returns:
        The synapses, thresholds and inhibition after all samples.
    """
    w, t, lat_in = w.copy(), t.copy(), lat_in.copy()
    neighbors = [
        (one, other)
        for one in range(len(w) if columns else 0)
        for other in range(len(w))
        if one != other
        and abs(one // columns - other // columns) <= 1
        and abs(one % columns - other % columns) <= 1
    ]
    for sample in samples:
        v = sample.reshape(-1, 1)
        w_v = w @ v
        p = expit(w_v - t)
        o = expit(w_v - (lat_in @ p) - t)
        r = w.T @ o
        mod_r = np.maximum(r, prec)
        e = v - r
        lat_in += ((o * o.T) - sp * sp) * beta
        np.fill_diagonal(lat_in, 0)
        for pair in neighbors:
            lat_in[pair] = -excitation
        w += w * o * (e / mod_r).T * xi
        t += (o - sp) * gamma
        w = np.where(w > prec, w, 0.0)
    return w, t, lat_in


def soft_competition(
    synapses: np.ndarray,
    batches: Iterable[tuple[float, np.ndarray]],
    temperature: float,
    exponent: float,
    anti_hebbian: bool,
    prec: float = 1e-30,
) -> np.ndarray:
    """SoftHebb's loop, one sample after another within a batch.

    Args:
        synapses: `(hid, N)`, one unit in each row.
        batches: Pairs of a learning rate and a batch `(Num, N)`.
        temperature: Temperature of the softmax.
        exponent: Exponent of the rate of a unit.
        anti_hebbian: Whether losers learn with a minus sign.
        prec: Numerical precision of the weight updates.

    Returns:
        The synapses after all batches.
    """
    synapses = synapses.copy()
    for eps, batch in batches:
        ds = np.zeros_like(synapses)
        for sample in batch:
            u = synapses @ sample
            y = softmax(u / temperature)
            if anti_hebbian:
                winner = y[np.argmax(u)]
                y = -y
                y[np.argmax(u)] = winner
            ds += y[:, None] * (sample - u[:, None] * synapses)
        distance = np.abs(np.linalg.norm(synapses, axis=1) - 1) + 1e-10
        eps = eps * distance[:, None] ** exponent
        synapses += eps * ds / max(np.abs(ds).max(), prec)
    return synapses


def patches(
    images: np.ndarray,
    kernel_size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str = "valid",
) -> np.ndarray:
    """The patches of images, cut out one after another.

    Args:
        images: `(batch, ..., channels)`.
        kernel_size: Size of a patch along each axis between these.
        strides: Distance between two patches along each of these axes.
        padding: `"valid"`, `"same"` or `"reflect"`.

    Returns:
        Flat patches, `(batch, ..., inputs)`.
    """
    if padding != "valid":
        border = [(0, 0)]
        for size, kernel, stride in zip(
            images.shape[1:-1], kernel_size, strides, strict=True
        ):
            counted = -(-size // stride)
            missing = max((counted - 1) * stride + kernel - size, 0)
            border.append((missing // 2, missing - missing // 2))
        mode = {"same": "constant", "reflect": "reflect"}[padding]
        images = np.pad(images, [*border, (0, 0)], mode=mode)
    counts = [
        (size - kernel) // stride + 1
        for size, kernel, stride in zip(
            images.shape[1:-1], kernel_size, strides, strict=True
        )
    ]
    flat = []
    for image in images:
        for place in np.ndindex(*counts):
            window = tuple(
                slice(number * stride, number * stride + kernel)
                for number, kernel, stride in zip(
                    place, kernel_size, strides, strict=True
                )
            )
            flat.append(image[window].ravel())
    return np.reshape(flat, (len(images), *counts, -1))
