"""The example server learns, rejects bad requests, and recovers if killed."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_hebbian as kh

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="runs TensorFlow"
    ),
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]
SCRIPT = pathlib.Path(__file__).parents[1] / "examples" / "serve.py"
COMMAND = [sys.executable, SCRIPT, "--epochs=20", "--units=40", "--every=3"]


@contextlib.contextmanager
def server(folder):
    """The process, and its answers to requests."""
    process = subprocess.Popen(
        COMMAND, cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline().rpartition(":")[2])

        def request(method, path, body=None, headers=None):
            connection = http.client.HTTPConnection("127.0.0.1", port, 60)
            if not isinstance(body, str | None):
                body = json.dumps({"inputs": body.tolist()})
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        yield process, request
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_classifies_and_learns_on(tmp_path):
    process = subprocess.run(
        [*COMMAND, "--ask"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    before, after = process.stdout.splitlines()[-2:]
    for line in (before, after):
        (accuracy,) = (x for x in line.split() if x.rstrip(",").endswith("%"))
        assert float(accuracy.rstrip("%,")) > 75
    assert "'skipped': 0" in after
    check_what_it_refuses_and_keeps(tmp_path)


def check_what_it_refuses_and_keeps(folder):
    """With the export and the state that are there."""
    _, (images, _) = kh.datasets.load_data("digits")
    batches = images.reshape(-1, 5, 64)[:7]
    expected = learned_here(folder / "served", batches)
    count = expected["units_iterations"]
    with server(folder) as (process, request):
        check_refusals(request)
        for batch in batches:
            assert request("POST", "/learn", batch)[0] == 200
        assert request("GET", "/status")[1]["learned"] == count
        process.send_signal(signal.SIGKILL)
        process.wait()
    with server(folder) as (process, request):  # every third batch was saved
        assert request("GET", "/status")[1]["learned"] == count - 1
        request("POST", "/learn", batches[6])
        process.terminate()
        assert process.wait() == 0
    saved = np.load(folder / "served" / "state.npz")
    assert set(saved) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(saved[name], value)


def learned_here(folder, batches):
    """The weights after batches, without a server."""
    import tensorflow as tf

    learner = tf.saved_model.load(str(folder / "learner"))
    learner.set_weights(**np.load(folder / "state.npz"))
    for batch in batches:
        learner.learn(batch)
    return {name: x.numpy() for name, x in learner.get_weights().items()}


def check_refusals(request):
    _, before = request("GET", "/status")
    for body in (
        "",
        "[",
        "[1]",
        "{}",
        '{"inputs": 3}',
        '{"inputs": []}',
        '{"inputs": [[1, 2]]}',
        '{"inputs": [["a"]]}',
        '{"inputs": [[1], [1, 2]]}',
        json.dumps({"inputs": [[float("nan")] * 64]}),
        json.dumps({"inputs": [[10**400] * 64]}),
        "[" * 100_000,
        "\udcff",
    ):
        body = body.encode(errors="surrogateescape").decode("latin-1")
        for path in ("/infer", "/learn"):
            status, answer = request("POST", path, body)
            assert (status, list(answer)) == (400, ["error"]), body[:50]
    too_long = {"Content-Length": str(2**40)}
    assert request("POST", "/learn", None, too_long)[0] == 413
    for length in ("-1", "many"):
        given = {"Content-Length": length}
        assert request("POST", "/learn", None, given)[0] == 400
    assert request("GET", "/elsewhere")[0] == 404
    assert request("POST", "/../state.npz")[0] == 404
    for method, path in (
        ("GET", "/learn"),
        ("POST", "/status"),
        ("PUT", "/infer"),
        ("DELETE", "/save"),
    ):
        assert request(method, path)[0] == 405
    assert request("GET", "/status") == (200, before)
