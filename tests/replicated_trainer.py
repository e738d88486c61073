"""Learns the same data on one device and on several workers, and compares.

    python tests/replicated_trainer.py workers|units

Where `replicated.py` covers the devices of one process, this covers two worker
processes that each see half of every batch, and on JAX also the units of a
wide layer spread over four devices. Prints the largest difference between the
weights, for both layers.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile

import numpy as np

from replicated import BATCH, IMAGES, flat, make_model

WORKERS = 2
KINDS = ("competing", "sparse")
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
BATCHES = [IMAGES[i : i + BATCH] for i in range(0, len(IMAGES), BATCH)]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def run_workers():
    """The weights of each worker, all of which run at once."""
    ports = free_ports(WORKERS)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    with tempfile.TemporaryDirectory() as folder:
        workers = []
        for rank in range(WORKERS):
            task = {"type": "worker", "index": rank}
            variables = {
                "tensorflow": {
                    "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})
                },
                "torch": {
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(ports[0]),
                    "RANK": str(rank),
                    "WORLD_SIZE": str(WORKERS),
                },
                "jax": {
                    "COORDINATOR": cluster["worker"][0],
                    "RANK": str(rank),
                    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
                    "JAX_ENABLE_X64": "1",
                },
            }
            file = f"{folder}/{rank}.npy"
            command = [sys.executable, __file__, "worker", file]
            environment = {**os.environ, **variables[BACKEND]}
            workers.append(subprocess.Popen(command, env=environment))
        assert [worker.wait() for worker in workers] == [0] * WORKERS
        return [np.load(f"{folder}/{rank}.npy") for rank in range(WORKERS)]


def worker_on_tensorflow():
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    rank = strategy.cluster_resolver.task_id
    with strategy.scope():
        models = [make_model(kind) for kind in KINDS]

    @tf.function
    def learn(images):
        for model in models:
            strategy.run(model, args=(images,), kwargs={"training": True})

    for batch in BATCHES:
        learn(tf.constant(np.array_split(batch, WORKERS)[rank]))
    return flat(weights_of(models))


def worker_on_torch():
    import torch

    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    parts = [np.array_split(batch, WORKERS)[rank] for batch in BATCHES]
    weights = []
    for kind in KINDS:
        model = make_model(kind)
        steps = {"steps_per_epoch": len(parts), "shuffle": False}
        model.fit(((part,) for part in parts), **steps, verbose=0)
        weights += model.get_weights() + train_readout(kind, parts, WORKERS)
    torch.distributed.barrier()  # none exits while others communicate
    torch.distributed.destroy_process_group()
    return flat(weights)


def worker_on_jax():
    from keras import distribution

    rank = int(os.environ["RANK"])
    distribution.initialize(os.environ["COORDINATOR"], WORKERS, rank)
    spread = distribution.DataParallel(auto_shard_dataset=False)
    distribution.set_distribution(spread)
    # Each process hands Keras its own half of every batch.
    parts = [np.array_split(batch, WORKERS)[rank] for batch in BATCHES]
    models = [make_model(kind) for kind in KINDS]
    for model in models:
        model.fit(
            np.concatenate(parts),
            batch_size=BATCH // WORKERS,
            shuffle=False,
            verbose=0,
        )
    return flat(weights_of(models))


def train_readout(kind, parts, workers):
    """Backpropagation trains a readout while the local layer learns."""
    import torch

    class Hybrid(torch.nn.Module):
        def __init__(self):
            super().__init__()
            (self.local,) = make_model(kind).layers
            self.readout = torch.nn.Linear(40, 3, dtype=torch.float64)

        def forward(self, images):
            return self.readout(self.local(images, training=True))

    torch.manual_seed(0)
    model = Hybrid()
    parallel = torch.nn.parallel.DistributedDataParallel
    forward = parallel(model) if workers > 1 else model
    optimizer = torch.optim.SGD(model.readout.parameters(), lr=0.01)
    for part in parts:
        images = torch.from_numpy(part)
        loss = (forward(images) - images[:, :3]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    readout = [x.detach().numpy() for x in model.readout.parameters()]
    return model.local.get_weights() + readout


def weights_of(models):
    return [weight for model in models for weight in model.get_weights()]


def fitted():
    models = [make_model(kind) for kind in KINDS]
    for model in models:
        model.fit(IMAGES, batch_size=BATCH, shuffle=False, verbose=0)
    return models


def one_device():
    if BACKEND != "torch":
        return flat(weights_of(fitted()))
    weights = []
    for kind, model in zip(KINDS, fitted(), strict=True):
        weights += model.get_weights() + train_readout(kind, BATCHES, 1)
    return flat(weights)


def units_over_devices():
    """The weights that JAX learns with the units spread over four devices."""
    from keras import distribution

    mesh = distribution.DeviceMesh((1, 4), ["batch", "units"])
    layout = distribution.LayoutMap(mesh)
    layout[".*/kernel"] = (None, "units")
    layout[".*/(threshold|activity)"] = ("units",)
    layout[".*/inhibition"] = ("units", None)
    distribution.set_distribution(
        distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
    models = fitted()
    for model in models:
        shards = model.layers[0].kernel.value.addressable_shards
        assert [shard.data.shape for shard in shards] == [(30, 10)] * 4
    return flat(weights_of(models))


def main(spread, path=None):
    if spread == "worker":
        work = {
            "tensorflow": worker_on_tensorflow,
            "jax": worker_on_jax,
            "torch": worker_on_torch,
        }
        np.save(path, work[BACKEND]())
        return
    if spread == "units":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_ENABLE_X64"] = "1"
    expected = one_device()
    others = run_workers() if spread == "workers" else [units_over_devices()]
    print(max(np.abs(expected - other).max() for other in others))


if __name__ == "__main__":
    main(*sys.argv[1:])
