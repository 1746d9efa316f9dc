"""Strangers: modules whose graph does not show what they are, known by the library they are of."""

import torch
from torch import nn

from .messages import place_of_error
from .refusals import Refusal, UnsupportedModel

SPIKING = ("snntorch", "spikingjelly", "sinabs", "norse")
CONVERTED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
FROM_A_NETWORK = (
    "signfire makes the neurons itself: bring the network of plain layers that it was converted "
    "from, with its activations in their places, or its NIR graph"
)
BEFORE_CONVERT = "give the model before torch.ao.quantization.convert, whose scales are read"


class _Reached(Exception):
    """Raised in place of a module's forward, to see from where it is called."""


def refuse_strangers(model: nn.Module, inputs: list[torch.Tensor]) -> None:
    """Refuse modules of spiking libraries, and those that torch converted to integer kernels.

    Parameters
    ----------
    model
        As the user gave it.
    inputs
        What it is called with, to find the line that calls such a module.

    Raises
    ------
    UnsupportedModel
        With the module, its path, and what to bring in its place.
    """
    refusals = []
    for path, module in model.named_modules():
        kind = type(module)
        library = kind.__module__.partition(".")[0]
        if library in SPIKING and not is_plain_layer(kind):
            what, way_out = f"{kind.__name__} of {library}, a spiking network", FROM_A_NETWORK
        elif kind.__module__.startswith(CONVERTED) and kind.__module__ not in QUANTISER_MODULES:
            what, way_out = f"{kind.__name__} of converted integer kernels", BEFORE_CONVERT
        else:
            continue
        refusals.append(Refusal(what, called_from(model, module, inputs), way_out))
        if path == "":
            break
    if refusals:
        raise UnsupportedModel(refusals)


QUANTISER_MODULES = ("torch.ao.nn.quantized.modules.functional_modules",)  # FloatFunctional


def is_plain_layer(kind: type) -> bool:
    """Whether a class of a spiking library is a layer of torch with another name."""
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Flatten, nn.AvgPool2d, nn.MaxPool2d, nn.Dropout)
    return issubclass(kind, (*layers, nn.Sequential, nn.ModuleList))


def called_from(model: nn.Module, module: nn.Module, inputs: list[torch.Tensor]) -> str:
    """Return ``file.py:line`` of the user's line that calls a module, or ``""``."""

    def reached(*_: object) -> None:
        raise _Reached

    handle = module.register_forward_pre_hook(reached)
    try:
        model(*(tensor.clone() for tensor in inputs))
    except Exception as error:
        return place_of_error(error)
    finally:
        handle.remove()
    return ""
