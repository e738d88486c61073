"""Serves a classifier that learns from its inputs and keeps what it learned.

    python examples/serve.py          # until it is interrupted
    python examples/serve.py --ask    # asks itself, and ends

Units learn scanned digits without labels in less than a minute, are labelled
by vote, and are exported. A server of the standard library runs the export in
TensorFlow alone:

    POST /infer     {"inputs": [[...], ...]}    {"outputs": [[...], ...]}
    POST /learn     {"inputs": [[...], ...]}    {"learned": 481, "skipped": 0}
    POST /save      (empty)                     the same
    GET  /status                                the same

The server saves what it has learned after every few batches, on `/save`, and
when it is terminated. If it is killed, it loses at most the batches since then;
started again in the same folder, it continues from there. It listens on this
machine alone. Before others may reach it, put a reverse proxy in front of it,
such as nginx, that encrypts, authenticates and limits the number of requests:
whoever can send to `/learn` changes what the model knows.
"""

import argparse
import http.server
import json
import os
import pathlib
import signal
import sys
import threading
import urllib.request
from typing import Any

import numpy as np
import tensorflow as tf

METHODS = {
    "/infer": "POST",
    "/learn": "POST",
    "/save": "POST",
    "/status": "GET",
}
LARGEST = 4 * 2**20  # bytes of a request
UNREADABLE = (
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def export(path: pathlib.Path, units: int, epochs: int) -> None:
    """A classifier of flat 8 x 8 digits; the server needs nothing of this."""
    import keras

    import keras_hebbian as kh

    keras.utils.set_random_seed(0)
    (images, labels), _ = kh.datasets.load_data("digits")
    images = images.reshape(len(images), -1)
    layer = kh.HebbianCompetitive(units, learning_rate=0.06, name="units")
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(
        images,
        batch_size=20,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    layer.learning_rate = 0.002  # for what comes, one batch after another
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(model.predict(images, verbose=0), labels)
    inputs = keras.Input((64,))
    model = kh.HebbianSequential([inputs, *model.layers, classifier])
    kh.export_learner(model, path)


class Learner:
    """An export, and a file that holds what it has learned since."""

    def __init__(self, folder: pathlib.Path, every: int) -> None:
        self.served = tf.saved_model.load(str(folder / "learner"))
        _, taken = self.served.signatures["infer"].structured_input_signature
        self.spec = taken["inputs"]
        self.file, self.every, self.unsaved = folder / "state.npz", every, 0
        self.lock = threading.Lock()  # learns one batch after another
        if self.file.exists():
            self.served.set_weights(**np.load(self.file))

    def infer(self, inputs: np.ndarray) -> dict[str, Any]:
        outputs = self.served.infer(inputs)["outputs"]
        return {"outputs": outputs.numpy().tolist()}

    def learn(self, inputs: np.ndarray) -> dict[str, int]:
        with self.lock:
            counters = self.served.learn(inputs)
            self.unsaved += 1
            if self.unsaved >= self.every:
                self._save()
            return {name: int(count) for name, count in counters.items()}

    def save(self) -> dict[str, int]:
        with self.lock:
            self._save()
            return self.status()

    def status(self) -> dict[str, int]:
        weights = self.served.get_weights()
        names = {"learned": "units_iterations", "skipped": "units_skipped"}
        return {name: int(weights[weight]) for name, weight in names.items()}

    def _save(self) -> None:
        weights = self.served.get_weights()
        written = self.file.with_suffix(".part")
        with written.open("wb") as file:
            np.savez(file, **{name: x.numpy() for name, x in weights.items()})
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, self.file)  # whole, or not at all
        self.unsaved = 0


class Refused(Exception):
    """A status of HTTP, and what was expected."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests to the learner of its server."""

    timeout = 30  # seconds without a byte

    def do_GET(self) -> None:
        try:
            status, answer = 200, self._answer(self.server.learner)
        except Refused as refused:
            status, message = refused.args
            answer = {"error": message}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 405:
            self.send_header("Allow", METHODS[self.path])
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self, learner: Learner) -> dict[str, Any]:
        if self.path not in METHODS:
            raise Refused(404, f"Expected one of {', '.join(METHODS)}")
        if self.command != METHODS[self.path]:
            raise Refused(405, f"Expected {METHODS[self.path]}")
        if self.path == "/status":
            return learner.status()
        if self.path == "/save":
            return learner.save()
        inputs = self._inputs(learner.spec)
        return getattr(learner, self.path[1:])(inputs)

    def _inputs(self, spec: tf.TensorSpec) -> np.ndarray:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(400, "Expected a Content-Length")
        if len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            raise Refused(413, f"Expected at most {LARGEST} bytes")
        try:
            given = json.loads(self.rfile.read(int(length)))["inputs"]
            inputs = np.array(given, spec.dtype.as_numpy_dtype)
        except UNREADABLE:
            raise Refused(400, 'Expected {"inputs": [[...], ...]}') from None
        fits = spec.shape.is_compatible_with(inputs.shape) and inputs.size
        if not fits or not np.isfinite(inputs).all():
            expected = f"Expected finite inputs of shape {spec.shape}"
            raise Refused(400, f"{expected}. Received: {inputs.shape}")
        return inputs

    def log_message(self, *args: object) -> None:
        """Requests are not logged."""


def ask(url: str, inputs: np.ndarray) -> dict[str, Any]:
    """The answer of a server to a batch."""
    body = json.dumps({"inputs": inputs.tolist()}).encode()
    with urllib.request.urlopen(url, body) as answer:
        return json.loads(answer.read())


def ask_about_digits(url: str) -> None:
    """Has the test images classified, and learned from."""
    import keras_hebbian as kh

    _, (images, labels) = kh.datasets.load_data("digits")
    images = images.reshape(len(images), -1)
    scores = np.array(ask(f"{url}/infer", images)["outputs"])
    accuracy = (scores.argmax(axis=-1) == labels).mean()
    print(f"Accuracy of {len(labels)} answers over HTTP: {accuracy:.1%}")
    for start in range(0, len(images), 20):
        counters = ask(f"{url}/learn", images[start : start + 20])
    scores = np.array(ask(f"{url}/infer", images)["outputs"])
    accuracy = (scores.argmax(axis=-1) == labels).mean()
    print(
        f"After learning from them without labels: {accuracy:.1%}, {counters}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Learns and exports, if that was not done before, and serves."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--units",
        type=int,
        default=100,
        help="number of units (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=20,
        help="passes over the images (default: %(default)s)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="default: any that is free"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=20,
        help="batches between two saves (default: %(default)s)",
    )
    parser.add_argument(
        "--ask", action="store_true", help="ask it, print the answers, end"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("served"),
        help="folder (default: %(default)s)",
    )
    args = parser.parse_args(arguments)

    args.output.mkdir(parents=True, exist_ok=True)
    if not (args.output / "learner").exists():
        export(args.output / "learner", args.units, args.epochs)
    server = http.server.ThreadingHTTPServer((args.host, args.port), Handler)
    server.learner = Learner(args.output, args.every)
    url = f"http://{args.host}:{server.server_port}"
    print(f"Serving {args.output} at {url}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ask_about_digits(url) if args.ask else threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.shutdown()
        server.learner.save()


if __name__ == "__main__":
    main()
