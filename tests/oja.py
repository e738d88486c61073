"""A custom rule, as in the guide."""

from keras import ops

import keras_hebbian as kh


class Oja(kh.LocalLearningLayer):
    """Oja's subspace rule: W += rate (x - y W')' y."""

    learning_rate = kh.Rate()
    state_names = ("kernel",)

    def __init__(self, units=1, learning_rate=0.01, **kwargs):
        super().__init__(units, **kwargs)
        self.learning_rate = learning_rate

    def build_state(self, input_dim):
        shape = (input_dim, self.units)
        self.kernel = self.add_state("kernel", shape, "glorot_normal")

    def respond(self, inputs, state):
        return inputs @ state["kernel"]

    def learn(self, inputs, response, state, rates):
        kernel = state["kernel"]
        error = inputs - response @ ops.transpose(kernel)
        step = kh.sum_over_replicas(ops.transpose(error) @ response)
        return {"kernel": kernel + rates["learning_rate"] * step}
