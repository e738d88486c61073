"""Serves a classifier of digits over HTTP, and asks it.

    python examples/serve.py

Units learn scanned digits without labels and are labelled by vote. The model
is exported as a SavedModel, which the server runs with TensorFlow alone, so it
could run in a process without this package.
"""

import argparse
import http.server
import json
import pathlib
import threading
import urllib.request

import keras
import numpy as np
import tensorflow as tf

import keras_hebbian as kh


def learn(units: int, epochs: int) -> keras.Model:
    """A classifier of flat 8 x 8 digits."""
    (images, labels), _ = kh.datasets.load_data("digits")
    images = images.reshape(len(images), -1)
    layer = kh.HebbianCompetitive(units)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(
        images,
        batch_size=20,
        epochs=epochs,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    classifier = kh.WinnerClassifier(10)
    classifier.adapt(model.predict(images, verbose=0), labels)
    return keras.Sequential([keras.Input((64,)), *model.layers, classifier])


def server_of(folder: str, port: int) -> http.server.HTTPServer:
    """A server that answers a JSON list of images with a list of scores."""
    served = tf.saved_model.load(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            images = np.array(json.loads(body), "float32")
            answer = json.dumps(served.serve(images).numpy().tolist()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Requests are not logged."""

    return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)


def ask(url: str, images: np.ndarray) -> np.ndarray:
    """The scores that a server gives to images."""
    body = json.dumps(images.tolist()).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        return np.array(json.loads(answer.read()))


def main(arguments: list[str] | None = None) -> None:
    """Learns, exports, serves and asks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--port", type=int, default=0, help="default: any")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("served")
    )
    args = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    learn(args.units, args.epochs).export(args.output, verbose=False)
    server = server_of(str(args.output), args.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    print(f"Serving {args.output} at {url}")

    _, (images, labels) = kh.datasets.load_data("digits")
    scores = ask(url, images.reshape(len(images), -1))
    correct = scores.argmax(axis=-1) == labels
    print(f"Accuracy of {len(labels)} answers over HTTP: {correct.mean():.1%}")
    server.shutdown()


if __name__ == "__main__":
    main()
