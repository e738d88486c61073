"""Measures of how units learn and how well they separate classes."""

import math
import warnings
from typing import Any

import keras
import numpy as np
from scipy.special import entr

from keras_hebbian._arguments import TINY
from keras_hebbian._backend import bounded
from keras_hebbian.layers.winner_classifier import WinnerClassifier

RIDGE = 0.01
"""Penalty of the probe per sample, for features of variance 1."""


def change(before: np.ndarray | None, after: np.ndarray) -> float:
    if before is None:  # the layer was built in this epoch
        return math.inf
    size = np.linalg.norm(before)
    return float(np.linalg.norm(after - before) / size) if size else math.inf


def entropy(wins: np.ndarray) -> float:
    if len(wins) < 2:
        return 0.0
    return float(entr(wins / wins.sum()).sum() / np.log(len(wins)))


def mean_correlation(outputs: np.ndarray) -> float:
    varying = outputs[:, np.ptp(outputs, axis=0) > 0]  # `std` rounds
    units = varying.shape[1]
    if units < 2:
        return 0.0
    sizes = np.abs(np.corrcoef(varying, rowvar=False))
    return float((sizes.sum() - units) / (units * (units - 1)))


def winner_cosines(inputs: Any, kernel: Any, winners: np.ndarray) -> np.ndarray:
    """Cosines between samples and the kernels of their winners."""
    cosines = _unit_vectors(inputs, axis=-1) @ _unit_vectors(kernel, axis=0)
    cosines = keras.ops.convert_to_numpy(cosines)
    return np.take_along_axis(cosines, winners[..., None], axis=-1)[..., 0]


def _unit_vectors(values: Any, axis: int) -> Any:
    """Values divided by their lengths; `keras.ops.normalize` bounds these."""
    lengths = keras.ops.norm(values, axis=axis, keepdims=True)
    return values / bounded(lengths, TINY)


def _halves(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves of the samples, always the same."""
    order = np.random.default_rng(0).permutation(samples)
    return order[::2], order[1::2]


def winner_accuracy(drives: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on half of the samples of units labelled on the other half."""
    labelled, judged = _halves(len(labels))
    classifier = WinnerClassifier(max(int(labels.max()) + 1, 2), name="monitor")
    with warnings.catch_warnings():  # about units that never win
        warnings.simplefilter("ignore")
        classifier.adapt(
            drives[labelled],
            np.repeat(labels[labelled, None], drives.shape[1], axis=1),
        )
    scores = keras.ops.convert_to_numpy(classifier(drives[judged]))
    found = scores.sum(axis=1).argmax(axis=-1)  # of all positions
    return float(np.mean(found == labels[judged]))


def probe_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on half of the samples of a ridge regression on the others."""
    from scipy.linalg import solve

    labelled, judged = _halves(len(labels))
    known = features[labelled].astype("float64")
    mean = known.mean(axis=0)
    scale = np.maximum(known.std(axis=0), TINY)
    known = (known - mean) / scale
    targets = np.eye(labels.max() + 1)[labels[labelled]]
    gram = known.T @ known
    gram[np.diag_indices_from(gram)] += RIDGE * len(known)
    centred = targets - targets.mean(axis=0)
    weights = solve(gram, known.T @ centred, assume_a="pos")
    scores = (features[judged] - mean) / scale @ weights + targets.mean(axis=0)
    return float(np.mean(scores.argmax(axis=-1) == labels[judged]))
