"""Runs exported learners in a process that has only their runtime.

    python tests/learner_runtime.py FOLDER FORMAT first|second

The first process learns from all batches, stores the weights half-way and at
the end, and then tries what a learner must withstand. The second one goes on
from the weights half-way, which must end in the same weights.
"""

import pathlib
import sys

import numpy as np


class TensorFlow:
    def __init__(self, path):
        import tensorflow as tf

        self.signatures = tf.saved_model.load(str(path)).signatures

    def __call__(self, signature, **given):
        returned = self.signatures[signature](**given)
        return {name: value.numpy() for name, value in returned.items()}

    def rates(self):
        if "set_rates" not in self.signatures:
            return []
        return self.signatures["set_rates"].structured_input_signature[1]


class LiteRT:
    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path))

    def __call__(self, signature, **given):
        runner = self.interpreter.get_signature_runner(signature)
        return {name: np.array(x) for name, x in runner(**given).items()}

    def rates(self):
        if "set_rates" not in self.interpreter.get_signature_list():
            return []
        return self.interpreter.get_signature_list()["set_rates"]["inputs"]


RUNTIMES = {"tf_saved_model": TensorFlow, "litert": LiteRT}


def differences(one, other):
    assert set(one) == set(other)
    return {x for x in one if not np.array_equal(one[x], other[x])}


def learn(learner, batches):
    for batch in batches:
        counters = learner("learn", inputs=batch)
    return counters


def first(learner, folder, batches):
    half = len(batches) // 2
    start = learner("get_weights")
    learn(learner, batches[:half])
    np.savez(folder / "half.npz", **learner("get_weights"))
    counters = learn(learner, batches[half:])
    assert {int(value) for value in counters.values()} == {len(batches), 0}
    end = learner("get_weights")
    np.savez(folder / "end.npz", **end)
    np.save(
        folder / "outputs.npy", learner("infer", inputs=batches[0])["outputs"]
    )
    withstand(learner, batches[0], end)
    take_rates(learner, end)
    learner("reset")
    assert not differences(learner("get_weights"), start)


def withstand(learner, batch, weights):
    """Batches that a layer cannot use change nothing, and are counted."""
    for count, value in enumerate((np.nan, np.inf, -np.inf), start=1):
        bad = batch.copy()
        bad[1].flat[1] = value
        counters = learner("learn", inputs=bad)
        for name, number in counters.items():
            assert "skipped" not in name or number == count, counters
        changed = differences(learner("get_weights"), weights)
        assert all(name.endswith("_skipped") for name in changed), changed
    for wrong in (batch[..., :-1], batch[None], batch[..., 0]):
        for signature in ("infer", "learn"):
            refuses(learner, signature, inputs=wrong)
    reshaped = {name: value[None] for name, value in weights.items()}
    refuses(learner, "set_weights", **reshaped)
    if isinstance(learner, LiteRT):
        refuses(learner, "learn", inputs=batch[:1])
    learner("set_weights", **weights)
    assert not differences(learner("get_weights"), weights)


def take_rates(learner, weights):
    rates = dict.fromkeys(learner.rates(), np.float32(7))
    if rates:
        learner("set_rates", **rates)
    after = learner("get_weights")
    changed = differences(after, weights)
    assert all(name.endswith(tuple(rates)) for name in changed)
    assert len(changed) == len(rates)
    assert {float(after[name]) for name in changed} <= {7.0}


def refuses(learner, signature, **given):
    try:
        learner(signature, **given)
    except Exception:
        return
    raise AssertionError(f"{signature} took a wrong shape")


def second(learner, folder, batches):
    learner("set_weights", **np.load(folder / "half.npz"))
    learn(learner, batches[len(batches) // 2 :])
    end = dict(np.load(folder / "end.npz"))
    assert not differences(learner("get_weights"), end)


def main(folder, format, part):
    for path in sorted(pathlib.Path(folder).iterdir()):
        print(path.name, file=sys.stderr)  # is shown where it fails
        learner = RUNTIMES[format](path / format)
        batches = np.load(path / "batches.npy")
        {"first": first, "second": second}[part](learner, path, batches)


if __name__ == "__main__":
    sys.modules["keras"] = sys.modules["keras_hebbian"] = None  # not to be had
    main(*sys.argv[1:])
