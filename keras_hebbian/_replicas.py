"""Sums over data-parallel replicas, which each backend has in its own way.

A rule that normalises what it summed over a batch must sum over the whole
global batch first: the mean of the replicas' normalised updates is a
different rule.
"""

from typing import Any

import keras
from keras import KerasTensor as Tensor


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


def sum_over_replicas(values: Any) -> Any:
    """The sums of a tensor, or of every tensor in a structure, over all
    replicas that share a training step."""
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
