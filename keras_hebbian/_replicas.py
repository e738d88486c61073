"""Sums over data-parallel replicas, the one thing that knows the backend.

A rule that normalises what it summed over a batch must sum over the whole
global batch first: the mean of the replicas' normalised updates is a
different rule.
"""

import keras
from keras import KerasTensor as Tensor


def sum_over_replicas(value: Tensor) -> Tensor:
    """The sum of `value` over all replicas that share a training step.

    - TensorFlow: the replicas of the `tf.distribute.Strategy` in scope.
    - torch: the ranks of the default `torch.distributed` process group.
    - JAX: `value` as it is. A step is one program over the global batch, in
      which a sum over the batch already is the sum over all devices.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow_sum(value)
    if backend == "torch":
        return _torch_sum(value)
    return value


def _tensorflow_sum(value: Tensor) -> Tensor:
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _torch_sum(value: Tensor) -> Tensor:
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total
