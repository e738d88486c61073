"""Sums over data-parallel replicas, which each backend has in its own way.

A rule that normalises what it summed over a batch must sum over the whole
global batch first: the mean of the replicas' normalised updates is a
different rule.
"""

from typing import Any

import keras

from keras_hebbian._arguments import Tensor


def replica_count() -> int:
    """The number of replicas that share a training step.

    - TensorFlow: the replicas of the `tf.distribute.Strategy` in scope.
    - torch: the ranks of the default `torch.distributed` process group.
    - JAX: 1. A step is one program over the global batch, in which a sum over
      the batch already is the sum over all devices.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        return 1 if replica is None else replica.num_replicas_in_sync
    if backend == "torch":
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_world_size()
    return 1


def check_one_replica() -> None:
    """Refuses to learn from one sample after another on several replicas."""
    if replica_count() > 1:
        raise ValueError(
            "Expected `update='batch'` on several replicas, which cannot "
            "learn from one sample after another. Received: "
            f"update='sequential' on {replica_count()} replicas"
        )


def sum_over_replicas(values: Any) -> Any:
    """Sums a tensor over all replicas that share a training step.

    A rule that sums over its batch sums over the replicas with this function,
    and only then normalizes: so N replicas with batches of B learn what one
    device learns from a batch of N * B. On one device, and on JAX, whose step
    is one program over the global batch, the values are returned as they are.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> kh.sum_over_replicas(np.ones(2)).tolist()
    [1.0, 1.0]

    Args:
        values: Tensor, or a structure of tensors.

    Returns:
        The sums, in the structure of `values`.
    """
    if replica_count() == 1:
        return values
    return keras.tree.map_structure(_sum, values)


def _sum(value: Tensor) -> Tensor:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)

    from torch import distributed

    total = value.clone()
    distributed.all_reduce(total)
    return total
