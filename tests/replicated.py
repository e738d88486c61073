"""Learns the same data on one device and on several replicas, and compares.

    python tests/replicated.py REPLICAS

Runs in a process of its own, because a backend fixes its devices at start.
Prints the largest difference between the kernels.
"""

import os
import sys

REPLICAS = int(sys.argv[1])
BATCH, STEPS = 24, 20
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={REPLICAS}"
os.environ["JAX_ENABLE_X64"] = "1"

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_hebbian as kh  # noqa: E402

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
IMAGES = np.random.default_rng(0).random((BATCH * STEPS, 30))


def make_model():
    initializer = keras.initializers.RandomNormal(0.0, 1.0, seed=1)
    layer = kh.HebbianCompetitive(40, kernel_initializer=initializer)
    model = kh.HebbianSequential([keras.Input((30,)), layer])
    model.compile()
    return model


def fit(model):
    model.fit(IMAGES, batch_size=BATCH, shuffle=False, verbose=0)
    return np.array(model.get_weights()[0])


def on_tensorflow():
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    )
    single = fit(make_model())
    devices = [f"CPU:{i}" for i in range(REPLICAS)]
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        model = make_model()
    fit(model)
    kernel = model.layers[0].kernel.value
    return single, [replica.numpy() for replica in kernel.values]


def on_jax():
    single = fit(make_model())
    distribution = keras.distribution.DataParallel()
    assert len(distribution.device_mesh.devices) == REPLICAS
    keras.distribution.set_distribution(distribution)
    return single, [fit(make_model())]


def rank_on_torch(rank, folder):
    import torch

    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=REPLICAS,
    )
    layer = make_model().layers[0]
    for step in range(STEPS):
        batch = IMAGES[BATCH * step : BATCH * (step + 1)]
        layer(np.array_split(batch, REPLICAS)[rank], training=True)
    np.save(f"{folder}/{rank}.npy", layer.get_weights()[0])


def on_torch():
    import tempfile

    import torch

    single = fit(make_model())
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(rank_on_torch, (folder,), REPLICAS)
        ranks = [np.load(f"{folder}/{rank}.npy") for rank in range(REPLICAS)]
    return single, ranks


if __name__ == "__main__":
    run = {"tensorflow": on_tensorflow, "jax": on_jax, "torch": on_torch}
    single, replicas = run[keras.backend.backend()]()
    print(max(np.abs(single - replica).max() for replica in replicas))
