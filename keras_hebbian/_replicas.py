"""Sums over data-parallel replicas, for each backend.

A rule that normalizes a sum over the batch must first sum over the global
batch: the mean of the replicas' normalized updates is a different rule.
"""

from typing import Any

import keras

from keras_hebbian._arguments import Tensor


def replica_count() -> int:
    """The number of replicas that share a training step.

    - TensorFlow: the replicas of the `tf.distribute.Strategy` in scope.
    - torch: the ranks of the default `torch.distributed` process group.
    - JAX: 1. A step is one program over the global batch, where a sum over the
      batch is already the sum over all devices.
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
    """Rejects learning from one sample after another on several replicas."""
    if replica_count() > 1:
        raise ValueError(
            "Expected `update='batch'` on several replicas, which cannot "
            "learn from one sample after another. Received: "
            f"update='sequential' on {replica_count()} replicas"
        )


def sum_over_replicas(values: Any) -> Any:
    """Sums a tensor over all replicas that share a training step.

    A rule that sums over its batch must sum over the replicas with this
    function before it normalizes. N replicas with batches of B then learn the
    same as one device with a batch of N * B. On one device, and on JAX, where a
    step is one program over the global batch, the values are returned
    unchanged.

    Formula: `sum over replicas r of values[r]`, of the same shape.

    Example:

    >>> import numpy as np
    >>> import keras_hebbian as kh
    >>> kh.sum_over_replicas(np.ones(2)).tolist()
    [1.0, 1.0]

    Args:
        values: Tensor of any shape, or nested structure of tensors.

    Returns:
        The sums, with the same structure as `values`.
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
