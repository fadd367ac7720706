"""Values as JSON and arrays, and back: what a model file is made of.

# Design:
# * None, True and False, strings, integers, finite numbers and lists are what they are in JSON.
#   Anything else is a dict with one key, which says what it is: {"tuple": [...]}.
# * Arrays are stored beside, under numbers. What has no dtype there, such as text and dates, is
#   stored as the integers that its memory holds.
# * Reading makes nothing that is not listed here or in classes.py, and checks what it makes.
"""

import os
import re
from collections.abc import Mapping
from math import isfinite, prod

import numpy as np
from sklearn.frozen import FrozenEstimator

from ..parameters import Parametrized
from .classes import spec_classes, spec_names
from .errors import ModelFileError

#: Floats that JSON has no word for.
_FLOATS = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
#: Kinds of dtypes whose arrays are stored as other numbers, which their memory holds.
_AS_NUMBERS = {"U": np.uint32, "M": np.int64, "m": np.int64}
#: Kinds that are stored as they are, if they have no more than 8 bytes.
_NUMBERS = "biuf"
#: Their names, as `dtype.str` has them.
_DTYPE = re.compile(r"[<>|][biufUMm][0-9]{1,9}(\[[0-9]*[A-Za-z]+\])?")
_LAST_CODE_POINT = 0x10FFFF
#: The state of a Mersenne twister: so many words of 32 bits, and a place among them.
_TWISTER_WORDS = 624


# ---------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------


class Writer:
    """Makes JSON of values, and gathers their arrays.

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self):
        self.arrays = {}

    def value(self, value, where):
        """The JSON of a value; `where` it is stands in errors.

        Raises
        ------
        TypeError
            If it, or what it holds, has no place in a file.
        ValueError
            If it is an object of this package with an invalid parameter.
        """
        if isinstance(value, np.generic):  # a number of numpy computes in another dtype
            return {"scalar": self.array(np.asarray(value), where)}
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float) and not isfinite(value):
            return {"float": str(value)}
        if isinstance(value, (float, str)):
            return value
        for kinds, write in self._WRITERS:
            if isinstance(value, kinds):
                return write(self, value, where)
        raise TypeError(f"{where} is {_described(value)}{_NO_PLACE}")

    def _list(self, value, where):
        items = [self.value(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items

    def _dict(self, value, where):
        return {
            "dict": [
                [self.value(key, f"a key of {where}"), self.value(item, f"{where}[{key!r}]")]
                for key, item in value.items()
            ]
        }

    def _path(self, value, where):
        return os.fspath(value)

    def _frozen(self, value, where):
        if not hasattr(value, "get_weights"):
            raise TypeError(f"{where} is {_described(value.estimator)}{_NO_PLACE}")
        return self._dict(value.get_weights(), where)

    def _random_state(self, value, where):
        state = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise TypeError(
                f"{where} is a RandomState of a {state['bit_generator']}: only that of a Mersenne "
                "twister, which np.random.RandomState(seed) makes, has a place in a model file"
            )
        return {
            "RandomState": {
                "key": self.array(state["state"]["key"], where),
                "pos": int(state["state"]["pos"]),
                "has_gauss": int(state["has_gauss"]),
                "gauss": float(state["gauss"]),
            }
        }

    def _spec(self, value, where):
        name = spec_names().get(type(value))
        if name is None:
            raise TypeError(f"{where} is {_described(value)}{_NO_PLACE}")
        value._validate_params()
        params = value.get_params(deep=False)
        return {
            "object": name,
            "params": {
                key: self.value(param, f"{key} of {where}") for key, param in params.items()
            },
        }

    def array(self, array, where):
        """The JSON of an array, whose numbers go to `arrays`."""
        kind, dtype = array.dtype.kind, array.dtype
        if kind == "O":
            other = next((item for item in array.ravel() if not isinstance(item, str)), "")
            if other != "":
                raise TypeError(
                    f"{where} is an array of objects and holds {other!r}, but of such arrays a "
                    "model file can only hold those of text"
                )
            return {"text": [str(item) for item in array.ravel()], "shape": list(array.shape)}
        if kind in _AS_NUMBERS and dtype.itemsize:
            numbers = _native(array)[..., np.newaxis].view(_AS_NUMBERS[kind])
        elif kind in _NUMBERS and dtype.itemsize <= 8:
            numbers = _native(array)
        else:
            raise TypeError(f"{where} is an array of dtype {dtype}, which a model file cannot hold")
        name = f"values/{len(self.arrays)}"
        self.arrays[name] = numbers
        return {"array": name, "dtype": dtype.str}

    _WRITERS = (
        ((list, tuple), _list),
        (FrozenEstimator, _frozen),
        (Parametrized, _spec),
        (np.random.RandomState, _random_state),
        (Mapping, _dict),
        (os.PathLike, _path),
        (np.ndarray, array),
    )


_NO_PLACE = (
    ": a model file holds no code, only numbers, text and objects of sklearn_convnet. Use a "
    "pickle, or save_weights and the script that makes the estimator"
)


def _described(value):
    """Words for a value that is refused."""
    kind = type(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"the function {value.__qualname__} of {value.__module__}"
    return f"an object of the class {kind.__module__}.{kind.__qualname__}"


def _native(array):
    """An array in C order, its numbers in the byte order of the machine."""
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


# ---------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------


def need(condition, problem):
    """Raises ModelFileError unless the condition holds."""
    if not condition:
        raise ModelFileError(problem)


def is_count(value, least=0):
    """True for an integer of at most 63 bits that is no smaller than `least`."""
    return type(value) is int and least <= value < 2**63


class Reader:
    """Makes values of JSON and arrays.

    Parameters
    ----------
    arrays : dict of str to ndarray
        By name; each can be taken once.
    """

    def __init__(self, arrays):
        self.arrays = arrays

    def value(self, given, where):
        """The value that JSON stands for; raises ModelFileError if it stands for none."""
        if given is None or isinstance(given, (bool, int, float, str)):
            return given
        if isinstance(given, list):
            return [self.value(item, f"{where}[{i}]") for i, item in enumerate(given)]
        for keys, read in self._READERS.items():
            if given.keys() == set(keys):
                return read(self, given, where)
        raise ModelFileError(f"{where} is of no kind that is known: it has {sorted(given)[:5]}")

    def take(self, name, where):
        """An array, which nothing else has taken."""
        need(isinstance(name, str) and name in self.arrays, f"the array of {where} is missing")
        return self.arrays.pop(name)

    def _float(self, given, where):
        text = given["float"]
        need(isinstance(text, str) and text in _FLOATS, f"{where} is no number")
        return _FLOATS[text]

    def _scalar(self, given, where):
        array = self.value(given["scalar"], where)
        need(isinstance(array, np.ndarray) and array.ndim == 0, f"{where} is no number")
        return array[()]

    def _tuple(self, given, where):
        need(isinstance(given["tuple"], list), f"{where} is no tuple")
        return tuple(self.value(given["tuple"], where))

    def _dict(self, given, where):
        pairs = self.value(given["dict"], where)
        need(
            isinstance(pairs, list) and all(isinstance(p, list) and len(p) == 2 for p in pairs),
            f"{where} is no dict",
        )
        found = {}
        for key, item in pairs:
            right = isinstance(key, (bool, int, float, str, np.generic))
            need(right, f"{where} has a key that is none")
            need(key not in found, f"{where} has the key {key!r} twice")
            found[key] = item
        return found

    def _random_state(self, given, where):
        state = given["RandomState"]
        keys = {"key", "pos", "has_gauss", "gauss"}
        need(isinstance(state, dict) and state.keys() == keys, f"{where} is no random state")
        words = self.value(state["key"], where)
        right = isinstance(words, np.ndarray) and words.dtype == np.uint32
        # numpy reads words from `pos` on, wherever that is.
        need(right and words.shape == (_TWISTER_WORDS,), f"{where} has no {_TWISTER_WORDS} words")
        need(
            is_count(state["pos"]) and state["pos"] <= _TWISTER_WORDS,
            f"{where} has the place {state['pos']!r}, which is none of its words",
        )
        need(
            state["has_gauss"] in (0, 1) and isinstance(state["gauss"], float),
            f"{where} has no normal number",
        )
        random_state = np.random.RandomState(0)
        random_state.set_state(
            ("MT19937", words, state["pos"], int(state["has_gauss"]), state["gauss"])
        )
        return random_state

    def _object(self, given, where):
        name, params = given["object"], given["params"]
        need(
            isinstance(name, str) and name in spec_classes(),
            f"{where} is of the class {name!r}, which is none that a model file may name",
        )
        return self.made(spec_classes()[name], params, where)

    def made(self, cls, params, where):
        """An object of a class with parameters, which pass its constraints."""
        need(isinstance(params, dict), f"{where} has no parameters")
        unknown = set(params) - set(cls._get_param_names())
        need(
            not unknown,
            f"{where} has parameters that {cls.__name__} lacks: {', '.join(sorted(unknown)[:5])}",
        )
        values = {key: self.value(item, f"{key} of {where}") for key, item in params.items()}
        try:
            made = cls(**values)
            made._validate_params()
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{where} cannot be made: {error}") from error
        return made

    def _text(self, given, where):
        items, shape = given["text"], given["shape"]
        need(
            isinstance(items, list)
            and all(isinstance(item, str) for item in items)
            and isinstance(shape, list)
            and all(map(is_count, shape))
            and prod(shape) == len(items),
            f"{where} is no array of text",
        )
        array = np.empty(len(items), object)
        array[:] = items
        return array.reshape(shape)

    def _array(self, given, where):
        numbers, name = self.take(given["array"], where), given["dtype"]
        need(isinstance(name, str) and _DTYPE.fullmatch(name), f"{where} has no dtype")
        try:
            dtype = np.dtype(name)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelFileError(f"{where} has no dtype: {error}") from error
        stored = dtype.newbyteorder("=")
        if dtype.kind not in _AS_NUMBERS:
            need(dtype.kind in _NUMBERS and numbers.dtype == stored, f"{where} has another dtype")
            return numbers.astype(dtype, copy=False)
        need(
            numbers.dtype == _AS_NUMBERS[dtype.kind]
            and numbers.ndim > 0
            and numbers.shape[-1] * numbers.dtype.itemsize == dtype.itemsize > 0,
            f"{where} has another dtype",
        )
        if dtype.kind == "U":
            need((numbers <= _LAST_CODE_POINT).all(), f"{where} holds what is no text")
        return numbers.view(stored)[..., 0].astype(dtype, copy=False)

    _READERS = {
        ("float",): _float,
        ("scalar",): _scalar,
        ("tuple",): _tuple,
        ("dict",): _dict,
        ("RandomState",): _random_state,
        ("object", "params"): _object,
        ("text", "shape"): _text,
        ("array", "dtype"): _array,
    }
