"""Learns the same data on one device and on several replicas, and compares.

    python tests/replicated.py REPLICAS KIND ...

Runs in a process of its own, because a backend fixes its devices at start.
Prints the largest difference between the weights of each kind of layer.
"""

import os
import sys
import tempfile

import numpy as np

BATCH, STEPS = 24, 20
# The last batch is smaller; JAX can spread only what divides evenly.
LAST = 12 if os.environ.get("KERAS_BACKEND") == "jax" else 10
SAMPLES = BATCH * (STEPS - 1) + LAST
IMAGES = np.random.default_rng(0).random((SAMPLES, 30))


def images(kind):
    """Vectors, the same with both signs, or the same numbers as images."""
    if kind == "started":
        return IMAGES - 0.5
    return IMAGES.reshape(-1, 5, 3, 2) if kind == "convolution" else IMAGES


def make_model(kind):
    import keras

    import keras_hebbian as kh

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.utils.set_random_seed(1)
    initializers = keras.initializers
    if kind == "started":  # by its first batch
        layer = kh.HebbianCompetitive(40)
    elif kind == "oja":
        from oja import Oja

        layer = Oja(3, learning_rate=1e-3)
    elif kind == "map":
        layer = kh.SelfOrganizingMap(
            (5, 8), kernel_initializer=initializers.RandomNormal(seed=1)
        )
    elif kind == "competing":
        layer = kh.HebbianCompetitive(
            40, kernel_initializer=initializers.RandomNormal(0.0, 1.0, seed=1)
        )
    elif kind == "pca":
        orthogonal = initializers.Orthogonal(seed=1)
        layer = kh.HebbianPCA(6, center=True, kernel_initializer=orthogonal)
    elif kind == "convolution":
        units = kh.SoftHebb(
            6, kernel_initializer=initializers.RandomNormal(0.0, 2.0, seed=1)
        )
        layer = kh.Convolution(units, 3, padding="reflect")
    else:
        layer = kh.LateralInhibitionSparse(
            40,
            sparsity=1 / 40,
            inhibition_rate=0.01,
            topography=(5, 8),
            kernel_initializer=initializers.RandomUniform(0.1, 1.0, seed=1),
        )
    model = kh.HebbianSequential([keras.Input(images(kind).shape[1:]), layer])
    model.compile()
    return model


def flat(weights):
    return np.concatenate([np.ravel(weight) for weight in weights])


def fit(model, kind):
    from keras_hebbian import LinearRateDecay

    model.fit(
        images(kind),
        batch_size=BATCH,
        shuffle=False,
        callbacks=[LinearRateDecay()],
        verbose=0,
    )
    return flat(model.get_weights())


def on_tensorflow(replicas, kinds):
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
    )
    devices = [f"CPU:{i}" for i in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(devices)
    for kind in kinds:
        with strategy.scope():
            model = make_model(kind)
        fit(model, kind)
        weights = [weight.value.values for weight in model.weights]
        yield kind, map(flat, zip(*weights, strict=True))


def on_jax(replicas, kinds):
    import keras

    distribution = keras.distribution.DataParallel()
    assert distribution.device_mesh.devices.size == replicas
    for kind in kinds:
        with distribution.scope():
            yield kind, [fit(make_model(kind), kind)]


def on_torch(replicas, kinds):
    import torch

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            rank_on_torch, (folder, replicas, kinds), replicas
        )
        for kind in kinds:
            files = (f"{folder}/{kind}{rank}.npy" for rank in range(replicas))
            yield kind, map(np.load, files)


def rank_on_torch(rank, folder, replicas, kinds):
    import torch

    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=replicas,
    )
    for kind in kinds:
        layer = make_model(kind).layers[0]
        for step in range(STEPS):
            batch = images(kind)[BATCH * step : BATCH * (step + 1)]
            layer(np.array_split(batch, replicas)[rank], training=True)
        np.save(f"{folder}/{kind}{rank}.npy", flat(layer.get_weights()))
    torch.distributed.barrier()  # none exits while others communicate
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    replicas, kinds = int(sys.argv[1]), sys.argv[2:]
    if backend == "jax":
        devices = f"--xla_force_host_platform_device_count={replicas}"
        os.environ["XLA_FLAGS"] = devices
        os.environ["JAX_ENABLE_X64"] = "1"
    run = {"tensorflow": on_tensorflow, "jax": on_jax, "torch": on_torch}
    for kind, learned in run[backend](replicas, kinds):
        single = fit(make_model(kind), kind)
        print(kind, max(np.abs(single - each).max() for each in learned))
