"""Layers made of layers: their names, and their parameters at any depth.

# Design:
# * Names of unnamed layers are computed when they are read; nothing is ever written into
#   what the user gave, except by `set_params`, which replaces the list by a new one.
# * `set_params` checks every key before it changes anything, and applies `layers` before
#   the children, so that one call can do both.
# * Reading parameters tolerates any value, as scikit-learn demands; `check_layers` is where
#   a wrong one is reported.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Self

from ..diagram import chains_of, diagram
from ..parameters import Parametrized
from .base import Chain, Layer, Layers
from .shapes import AXIS_NAMES

PASSTHROUGH = "passthrough"


def _is_layer(item, kind=Layer):
    return isinstance(item, kind) or (isinstance(item, str) and item == PASSTHROUGH)


def _is_pair(item):
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _is_named(item, kind=Layer):
    return _is_pair(item) and _is_layer(item[1], kind)


def named_layers(layers, kind=Layer):
    """`(name, layer)` pairs of a list of layers and pairs; what is neither is left out.

    Unnamed layers are called after their class and counted: ``conv2d1``, ``conv2d2``,
    ``dense1`` and so on. `kind` is their base class, where they are no layers.
    """
    if not isinstance(layers, (list, tuple)):
        return []
    items = [item for item in layers if _is_layer(item, kind) or _is_named(item, kind)]
    taken = {item[0] for item in items if _is_named(item, kind)}
    counts = {}
    pairs = []
    for item in items:
        if _is_named(item, kind):
            pairs.append(tuple(item))
            continue
        stem = item if isinstance(item, str) else type(item).__name__.lower()
        name = None
        while name is None or name in taken:
            counts[stem] = counts.get(stem, 0) + 1
            name = f"{stem}{counts[stem]}"
        pairs.append((name, item))
    return pairs


def check_layers(layers, where="layers", reserved=(), kind=Layer):
    """The `(name, layer)` pairs of a list of layers, without those that are passed through.

    Raises
    ------
    TypeError, ValueError
        If it is not a list or tuple of layers or pairs, or a name is not allowed.
    """
    what = kind.__name__.lower()
    if not isinstance(layers, (list, tuple)):
        raise TypeError(
            f"{where} must be a list or tuple of {what}s or (name, {what}) pairs, got {layers!r}"
        )
    for item in layers:
        if not (_is_layer(item, kind) or _is_named(item, kind)):
            raise TypeError(
                f"an item of {where} must be a {what}, 'passthrough' or a (name, {what}) "
                f"pair, got {item!r}"
            )
    pairs = named_layers(layers, kind)
    seen = set()
    for name, _ in pairs:
        if not name or "__" in name or "/" in name or name in ("layers", *reserved):
            raise ValueError(
                f"the name {name!r} in {where} is not allowed: names are not empty, hold "
                f"no '__' or '/', and are no parameters of what holds the {what}s; 'output' "
                "and 'box' are the estimator's"
            )
        if name in seen:
            raise ValueError(f"the name {name!r} occurs twice in {where}")
        seen.add(name)
    return [(name, layer) for name, layer in pairs if isinstance(layer, kind)]


def _check_keys(owner, params, prefix=""):
    """Raises for the first key that `owner.set_params` could not apply.

    `prefix` leads to the owner, as in ``block1__``.
    """
    own = owner.get_params(deep=False)
    children = {}
    if isinstance(owner, LayerComposition):
        name = owner._list_name
        children = dict(owner._named(params.get(name, own[name])))
    nested = {}
    for key, value in params.items():
        head, _, tail = key.partition("__")
        if head not in own and head not in children:
            known = sorted([*own, *children])
            raise ValueError(
                f"Invalid parameter {prefix + head!r}. "
                f"Valid parameters of {type(owner).__name__} are: {known!r}."
            )
        if tail:
            nested.setdefault(head, {})[tail] = value
        elif head not in own and not _is_layer(value, owner._kind):
            raise ValueError(
                f"{prefix}{head} can be replaced by a {owner._kind.__name__.lower()} or "
                f"'passthrough', got {value!r}"
            )
    for head, sub_params in nested.items():
        target = params.get(head, own.get(head, children.get(head)))
        if isinstance(owner, LayerComposition):
            target = owner._instance_of(head, target)
        if isinstance(target, type) or not hasattr(target, "get_params"):
            key = next(iter(sub_params))
            advice = "pass an instance, such as Adam()" if head == "optimizer" else ""
            advice = advice or f"set {head} to an object that has it"
            raise ValueError(
                f"{prefix}{head}__{key} cannot be set: {head}={target!r} has no "
                f"parameters; {advice}"
            )
        _check_keys(target, sub_params, f"{prefix}{head}__")


class ShapeError(ValueError):
    """A shape or parameter that does not fit, with the path of the layer in question."""

    def __init__(self, path, problem):
        super().__init__(f"layer {path!r}: {problem}")
        self.path, self.problem = path, problem

    def __reduce__(self):
        return type(self), (self.path, self.problem)


class SizeMismatchError(ValueError):
    """Maps of different sizes meet."""


class SizeMismatchAtError(ShapeError, SizeMismatchError):
    """Maps of different sizes meet, with the path of the layer in question."""


def shape_at(name, layer, input_shape):
    """`layer.output_shape(input_shape)`, whose error says where the layer is."""
    try:
        return layer.output_shape(input_shape)
    except ShapeError as error:
        raise type(error)(f"{name}/{error.path}", error.problem) from None
    except ValueError as error:
        problem = f"{error} (its input has shape {tuple(input_shape)})"
        kind = SizeMismatchAtError if isinstance(error, SizeMismatchError) else ShapeError
        raise kind(name, problem) from None


#: The largest divisor of sizes that is looked for, and by how many of its multiples it is tried.
_LARGEST_DIVISOR, _TRIED_MULTIPLES = 64, 4


@contextmanager
def hint_of_divisor(layers, input_shape):
    """Where maps of different sizes meet, the error says what must divide those of the input.

    Pools round down and paddings up, so that maps which were made smaller and larger again differ
    from those beside them by a pixel or more.
    """
    try:
        yield
    except SizeMismatchAtError as error:
        divisors = _divisors(Sequential(layers), input_shape)
        if divisors is None:
            raise
        pairs = zip(AXIS_NAMES[len(divisors)], divisors, strict=True)
        needs = [f"the {name} must be a multiple of {d}" for name, d in pairs if d > 1]
        sizes = _next_multiples(input_shape, divisors)[:-1]
        hint = f". For these layers {' and '.join(needs)}, as in {sizes}: crop or pad the samples"
        raise SizeMismatchAtError(error.path, error.problem + hint) from None


def _divisors(layer, input_shape):
    """The smallest divisor of the size along each axis that a layer needs, as far as it can be
    told, or None."""
    n_axes = len(input_shape) - 1

    def suffices(divisors):
        shapes = (_next_multiples(input_shape, divisors, i) for i in range(_TRIED_MULTIPLES))
        return all(map(has_shape, shapes))

    def has_shape(shape):
        try:
            layer.output_shape(shape)
        except ValueError:
            return False
        return True

    candidates = ((d,) * n_axes for d in range(2, _LARGEST_DIVISOR + 1))
    divisors = next(filter(suffices, candidates), None) if n_axes in AXIS_NAMES else None
    for axis in range(n_axes if divisors else 0):
        smaller = ((*divisors[:axis], d, *divisors[axis + 1 :]) for d in range(1, divisors[axis]))
        divisors = next(filter(suffices, smaller), divisors)
    return divisors


def _next_multiples(shape, divisors, further=0):
    """A shape whose sizes are rounded up to multiples, or to others further on."""
    sizes = [(-(-n // d) + further) * d for n, d in zip(shape[:-1], divisors, strict=True)]
    return (*sizes, shape[-1])


class LayerComposition(Parametrized):
    """Mix-in for what has a list of layers, or the like: names reach into it at any depth.

    Left of `Layer` in the list of bases.
    """

    #: The parameter that is the list.
    _list_name = "layers"
    #: The base class of what is in it.
    _kind = Layer
    #: True if children are made when they are read, so that a change has to be stored.
    _makes_children = False

    @classmethod
    def _named(cls, layers):
        """`(name, layer)` pairs of the list, tolerant of any value."""
        return named_layers(layers, cls._kind)

    def _instance_of(self, param, value):
        """The object that the value of a parameter stands for, where that is a name."""
        return value

    def named_children(self) -> list[tuple[str, Any]]:
        """Layers in it, with their names.

        Returns
        -------
        list of (str, Layer)
        """
        return self._named(getattr(self, self._list_name))

    def outline(self) -> list[list[tuple[str, Any]]]:
        """Parts of a diagram of it before a shape is known.

        Returns
        -------
        list of list of (str, Layer)
            Chains side by side.
        """
        return [self.named_children()]

    def _sk_visual_block_(self):
        """scikit-learn's hook for the diagram of a notebook."""
        return diagram(self, chains_of(self))

    def _store(self, pairs):
        """Puts `(name, layer)` pairs in the place of the list."""
        setattr(self, self._list_name, type(getattr(self, self._list_name))(pairs))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get parameters, those of the layers by their names.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the layers, as ``name``, and their parameters, as
            ``name__parameter``.

        Returns
        -------
        dict
        """
        params = super().get_params(deep=deep)
        if deep:
            for name, layer in self.named_children():
                params[name] = layer
                if isinstance(layer, self._kind):
                    nested = layer.get_params(deep=True)
                    params.update((f"{name}__{k}", v) for k, v in nested.items())
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the layers by their names.

        A layer is replaced by ``name=layer`` and dropped by ``name="passthrough"``; the
        names of all layers are then written into `layers`, so that the others keep theirs.
        Nothing is changed if any key is wrong.

        Parameters
        ----------
        **params : dict
            As `get_params` returns them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        _check_keys(self, params)
        if self._list_name in params:
            setattr(self, self._list_name, params[self._list_name])
        own = super().get_params(deep=False)
        children = dict(self.named_children())
        replaced = {
            key: value
            for key, value in params.items()
            if key in children and key not in own and value is not children[key]
        }
        nested: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            head, _, tail = key.partition("__")
            if tail:
                nested.setdefault(head, {})[tail] = value
            elif head in own and head != self._list_name:
                setattr(self, key, value)
        children.update(replaced)
        for head, sub_params in nested.items():
            target: Any = children.get(head)
            if head in own:
                target = self._instance_of(head, getattr(self, head))
                setattr(self, head, target)
            target.set_params(**sub_params)
        if replaced or (nested and self._makes_children):
            self._store(list(children.items()))
        return self


class Sequential(LayerComposition, Layer):
    """Layers one after the other, as one layer.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D, MaxPool2D, Sequential
    >>> block = Sequential([("conv", Conv2D(6, 5)), MaxPool2D(2)])
    >>> block.output_shape((28, 28, 1))
    (12, 12, 6)
    >>> block.set_params(conv__filters=8).output_shape((28, 28, 1))
    (12, 12, 8)
    """

    _parameter_constraints = {"layers": "no_validation"}

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def _output_shape(self, input_shape):
        for name, layer in check_layers(self.layers):
            input_shape = shape_at(name, layer, input_shape)
        return input_shape

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [Chain(check_layers(self.layers), input_shape)]


def with_channels(layers, input_shape):
    """The shape of a sample with its channel axis: a missing one means one channel.

    The first layer that has a number of axes decides.
    """
    n_axes = first_n_axes(layers)
    if n_axes is not None and len(input_shape) == n_axes:
        return (*input_shape, 1)
    return tuple(input_shape)


def first_n_axes(layers):
    """The number of axes that the first layer which has one works on, or None."""
    for _, layer in named_layers(layers):
        n_axes = getattr(layer, "n_axes", None)
        if isinstance(layer, LayerComposition):
            n_axes = first_n_axes(layer.named_children())
        if n_axes is not None:
            return n_axes
    return None
