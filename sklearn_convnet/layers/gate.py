"""Gates: maps multiplied with what layers make of them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from ..constraints import Interval
from .activation import ACTIVATION_CONSTRAINT
from .base import Chain, Layer, Layers
from .blocks import chain_shape
from .composition import LayerComposition, SizeMismatchError, check_layers
from .dense import Dense
from .pool import GlobalAvgPool


class _Gated(Layer):
    """The base of layers that multiply their input: `gate_layers` makes the factor."""

    def gate_layers(self, input_shape: tuple[int, ...]) -> list[tuple[str, Layer]]:
        """`(name, layer)` pairs of the layers that make the factor of the input."""
        raise NotImplementedError(type(self))

    def _output_shape(self, input_shape):
        *sizes, channels = input_shape
        seen = chain_shape(self.gate_layers(input_shape), input_shape)
        one_for_all = len(seen) == 1
        if seen[-1] in (1, channels) and (one_for_all or seen[:-1] == tuple(sizes)):
            return input_shape
        known = dict.fromkeys([tuple(input_shape), (channels,), (*sizes, 1)])
        kind = ValueError if one_for_all or seen[:-1] == tuple(sizes) else SizeMismatchError
        raise kind(
            f"its layers make {seen} of {tuple(input_shape)}, which is no factor of it: that is "
            f"{' or '.join(map(str, known))}: end in GlobalAvgPool() and Dense({channels}), or use "
            f"padding='same' and {channels} filters, or 1"
        )

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [Chain(self.gate_layers(input_shape), input_shape), Chain([], input_shape)]


class Gate(LayerComposition, _Gated):
    """Multiplies its input by the output of its layers.

    ``Y = X G(X)``, where the layers return one of

    - as many numbers as X has, a factor for each;
    - a number for each channel, ``(channels,)``, for all its positions: channel attention, as in
      :class:`SqueezeExcite`;
    - one map, ``(..., 1)``, for all channels: spatial attention, as in CBAM (Woo et al., "CBAM:
      convolutional block attention module", 2018);
    - a single number, ``(1,)``, for all.

    Nothing else is done to the factors: let the last of the layers have the activation "logistic"
    or "hard_logistic" for a gate from 0, closed, to 1, open.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs: G.

    See Also
    --------
    Residual : Adds its input instead.

    Examples
    --------
    A factor for each pixel, from its surroundings:

    >>> from sklearn_convnet.layers import Conv2D, Gate
    >>> gate = Gate([("conv", Conv2D(1, 7, padding="same", activation="logistic"))])
    >>> gate.output_shape((14, 14, 32))
    (14, 14, 32)
    >>> gate.set_params(conv__kernel_size=3).output_shape((14, 14, 32))
    (14, 14, 32)
    """

    _parameter_constraints = {"layers": "no_validation"}

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def outline(self) -> list[list[tuple[str, Any]]]:
        return [self.named_children(), []]

    def gate_layers(self, input_shape: tuple[int, ...]) -> list[tuple[str, Layer]]:
        return check_layers(self.layers)


class SqueezeExcite(_Gated):
    """Multiplies each map by a factor that depends on the means of all maps.

    Two dense layers compute the factors from the means: Hu et al., "Squeeze-and-excitation
    networks", 2018. It is ``Gate([GlobalAvgPool(), Dense(squeeze_channels, activation),
    Dense(channels, scale_activation)])``, for maps with any number of channels and axes.

    Parameters
    ----------
    reduction : int, default=4
        Number of channels divided by the number of units between the two dense layers, of which
        there is at least one (rounded down). The paper has 16.
    squeeze_channels : int or None, default=None
        Number of these units, where it does not follow from the number of channels. None uses
        `reduction`.
    activation : str or None, default="relu"
        Of the first dense layer: see :class:`Activation`. EfficientNet has "silu".
    scale_activation : str or None, default="logistic"
        Of the second. MobileNetV3 has "hard_logistic".
    use_bias : bool, default=True
        Of both: see :class:`Dense`.
    kernel_initializer : str, default="auto"
        Of both: see :class:`Dense`.
    trainable : bool, default=True
        Of both: see :class:`Dense`.

    Notes
    -----
    The weights are ``reduce/weight``, ``reduce/bias``, ``expand/weight`` and ``expand/bias``.

    Examples
    --------
    That of MobileNetV3 for 72 channels, and one of EfficientNet whose block begins with 16:

    >>> from sklearn_convnet.layers import SqueezeExcite
    >>> mobilenet = SqueezeExcite(squeeze_channels=24, scale_activation="hard_logistic")
    >>> mobilenet.output_shape((28, 28, 72))
    (28, 28, 72)
    >>> SqueezeExcite(squeeze_channels=16 // 4, activation="silu").output_shape((56, 56, 96))
    (56, 56, 96)
    """

    _parameter_constraints = {
        "reduction": [Interval(Integral, 1, None, closed="left")],
        "squeeze_channels": [Interval(Integral, 1, None, closed="left"), None],
        "scale_activation": ACTIVATION_CONSTRAINT,
        **{
            name: Dense._parameter_constraints[name]
            for name in ("activation", "use_bias", "kernel_initializer", "trainable")
        },
    }

    def __init__(
        self,
        reduction: int = 4,
        squeeze_channels: int | None = None,
        activation: str | None = "relu",
        scale_activation: str | None = "logistic",
        use_bias: bool = True,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.reduction = reduction
        self.squeeze_channels = squeeze_channels
        self.activation = activation
        self.scale_activation = scale_activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def gate_layers(self, input_shape: tuple[int, ...]) -> list[tuple[str, Layer]]:
        channels = input_shape[-1]
        units = self.squeeze_channels
        if units is None:
            units = max(1, channels // self.reduction)
        options = (self.use_bias, self.kernel_initializer, self.trainable)
        return [
            ("squeeze", GlobalAvgPool()),
            ("reduce", Dense(units, self.activation, *options)),
            ("expand", Dense(channels, self.scale_activation, *options)),
        ]
