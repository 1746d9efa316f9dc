"""Neuron functions of one operand."""

from dataclasses import replace

import numpy as np

from ..model.functions import UNARY
from .affine import Affine
from .graph import REGISTER, Call, Handlers, Root, Value, registered
from .refusals import Refused

handles = Handlers()


# Of the definition of SELU; torch writes them with as many digits.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@handles("silu", "sigmoid", "tanh", "hardswish", "abs", "square", "exp")
def plain(call: Call) -> Value:
    return call.neuron(call.name)


@handles("gelu")
def gelu(call: Call) -> Value:
    return call.neuron("gelu_tanh" if call["approximate"] == "tanh" else "gelu")


@handles("leaky_relu")
def leaky_relu(call: Call) -> Value:
    return call.neuron("leaky_relu", (float(call["negative_slope"]),))


@handles("prelu")
def prelu(call: Call) -> Value:
    weight = call.constant("weight")
    if weight.size != 1:
        raise Refused("only with one weight for all channels")
    return call.neuron("leaky_relu", (float(weight.ravel()[0]),))


@handles("elu")
def elu(call: Call) -> Value:
    return call.neuron("elu", tuple(float(call[n]) for n in ("alpha", "scale", "input_scale")))


@handles("celu")
def celu(call: Call) -> Value:
    alpha = float(call["alpha"])
    return call.neuron("elu", (alpha, 1.0, 1 / alpha))


@handles("selu")
def selu(call: Call) -> Value:
    return call.neuron("elu", (SELU_ALPHA, SELU_SCALE, 1.0))


@handles("softplus")
def softplus(call: Call) -> Value:
    return call.neuron("softplus", (float(call["beta"]), float(call["threshold"])))


@handles("hardsigmoid")
def hardsigmoid(call: Call) -> Value:
    """min(max(x/6 + 1/2, 0), 1): the slope goes into the weights, so a comparison is left."""
    x = call.affine("self").scaled(np.float64(1 / 6)).shifted(np.float64(0.5))
    return call.population([x], "relu", limit=1.0)


@handles("sqrt", "rsqrt")
def root(call: Call) -> Value:
    """Let the root wait for what it divides."""
    if call.name in UNARY:
        return registered(call)
    return Root(call.affine("self"), call.name == "rsqrt")


@handles("reciprocal")
def reciprocal(call: Call) -> Value:
    value = call["self"]
    if isinstance(value, Root):
        return replace(value, inverse=not value.inverse)
    if "reciprocal" not in UNARY:
        raise Refused(REGISTER)
    return registered(call)


@handles("pow")
def power(call: Call) -> Value:
    if isinstance(call["exponent"], Affine) or not isinstance(call["self"], Affine):
        raise Refused("an exponent that depends on the input")
    exponent = call.constant("exponent")
    if exponent.size == 1 and abs(float(exponent.ravel()[0])) == 0.5:
        return Root(call.affine("self"), float(exponent.ravel()[0]) < 0)
    if exponent.size != 1 or float(exponent.ravel()[0]) not in (1.0, 2.0):
        raise Refused("only the square and roots that divide are supported")
    if float(exponent.ravel()[0]) == 1.0:
        return call.affine("self")
    return call.neuron("square")
