"""Model files that somebody has damaged or forged, by chance."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import io
import json
import struct
import warnings
import zipfile
from copy import deepcopy

JSON, ARRAYS = "model.json", "arrays.safetensors"

#: What is put in the place of a value.
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    3,
    2**31,
    10**9,
    2**63,
    10**400,
    1e-300,
    1e308,
    0.5,
    "",
    "x",
    "../../etc/passwd",
    "float64",
    "output/weight",
    [],
    [1],
    [10**6, 10**6],
    {},
    {"float": "nan"},
    {"float": "inf"},
    {"tuple": [2, 2]},
    {"dict": [["a", 1]]},
    {"object": "os.system", "params": {"command": "true"}},
    {"object": "layers.Flatten", "params": {}},
    {"object": "layers.BatchNorm", "params": {}},
    {"object": "layers.Upsample2D", "params": {"size": 1000}},
    {"object": "layers.SelfAttention", "params": {"relative_position": True}},
    {"object": "layers.Conv2D", "params": {"filters": 10**7, "kernel_size": 5}},
    {"object": "layers.TransformConv2D", "params": {"filters": 1, "kernel_size": 5}},
    {"object": "layers.Dense", "params": {"units": 10**12}},
    {"array": "values/0", "dtype": "<U1000000000"},
    {"array": "values/0", "dtype": "|O"},
    {"text": ["a"], "shape": [10**12]},
)

#: What is put into the text of JSON.
WORDS = (b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'{"a":1,"a":2}', b"\xff", b"[" * 99999)


def parts_of(data):
    """JSON and arrays of a model file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(JSON), archive.read(ARRAYS)


def zipped(*parts, names=(JSON, ARRAYS), compression=zipfile.ZIP_STORED):
    """A zip of these parts."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, part in zip(names, parts, strict=True):
            archive.writestr(zipfile.ZipInfo(name), part, compression)
    return file.getvalue()


def tensors(header, numbers):
    """A safetensors file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def split_tensors(data):
    """The header of a safetensors file, and its numbers."""
    start = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:start]), data[start:]


def places(value, path=()):
    """The paths of all values in JSON."""
    yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def changed_json(value, rng):
    """JSON in which a value is another, is gone, is there twice, or stands elsewhere."""
    value = deepcopy(value)
    paths = [path for path in places(value) if path]
    path = paths[rng.randint(len(paths))]
    owner = value
    for key in path[:-1]:
        owner = owner[key]
    key, how = path[-1], rng.randint(10)
    if how < 6:
        owner[key] = deepcopy(VALUES[rng.randint(len(VALUES))])
    elif how == 6:
        del owner[key]
    elif how == 7 and isinstance(owner, dict):
        owner[f"{key}x"] = owner.pop(key)
    elif how == 7:
        owner.append(deepcopy(owner[key]))
    elif how == 8:
        other = paths[rng.randint(len(paths))]
        found = value
        for step in other:
            found = found[step]
        owner[key] = deepcopy(found)
    else:
        deep = owner[key]
        for _ in range(rng.choice([2, 50, 5000])):
            deep = [deep]
        owner[key] = deep
    return value


def dumped(value):
    """JSON, however deep it is."""
    text, depth = [], 0
    while isinstance(value, list) and len(value) == 1:
        value, depth = value[0], depth + 1
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "[" * 50000
    return ("[" * depth + text + "]" * depth).encode()


def of_bytes(data, rng):
    """Some bytes are others, or a part of the file is gone, or there twice."""
    data = bytearray(data)
    how = rng.randint(5)
    start, stop = sorted(rng.randint(0, len(data), 2))
    if how < 2:
        for _ in range(rng.randint(1, 4)):
            data[rng.randint(len(data))] ^= 1 << rng.randint(8)
    elif how == 2:
        del data[start:stop]
    elif how == 3:
        del data[start:]
    else:
        data[start:start] = data[start : min(stop, start + 50)]
    return bytes(data)


def of_headers(data, rng):
    """The same in the list at the end of a zip, and in the heads of its parts."""
    data = bytearray(data)
    near = [*range(30), *range(len(data) - 180, len(data))]
    for _ in range(rng.randint(1, 4)):
        data[near[rng.randint(len(near))]] = rng.choice([0, 1, 8, 255, rng.randint(256)])
    return bytes(data)


def of_json(data, rng):
    """The JSON says something else, in a zip that is whole."""
    text, arrays = parts_of(data)
    return zipped(dumped(changed_json(json.loads(text), rng)), arrays)


def of_text(data, rng):
    """The text of the JSON is another, in a zip that is whole."""
    text, arrays = parts_of(data)
    start = rng.randint(len(text))
    stop = start + rng.randint(8)
    return zipped(text[:start] + WORDS[rng.randint(len(WORDS))] + text[stop:], arrays)


def of_tensors(data, rng):
    """The header of the arrays says something else."""
    text, arrays = parts_of(data)
    header, numbers = split_tensors(arrays)
    if rng.randint(2):
        header = changed_json(header, rng)
    else:
        names = [name for name in header if name != "__metadata__"]
        a, b = (header[names[rng.randint(len(names))]] for _ in range(2))
        key = ("dtype", "shape", "data_offsets")[rng.randint(3)]
        a[key] = b[key]
    return zipped(text, tensors(dumped(header), numbers))


def of_numbers(data, rng):
    """Some numbers of the arrays are others, not finite among them."""
    text, arrays = parts_of(data)
    header, numbers = split_tensors(arrays)
    numbers = bytearray(numbers)
    for _ in range(rng.randint(1, 9)):
        start = 4 * rng.randint(len(numbers) // 4)
        number = rng.choice([1e38, float("nan"), float("inf"), -1.0])
        numbers[start : start + 4] = struct.pack("<f", number)
    return zipped(text, tensors(header, bytes(numbers)))


def of_zip(data, rng):
    """A zip with other parts, or in another form."""
    text, arrays = parts_of(data)
    how = rng.randint(7)
    if how == 0:
        return zipped(text, arrays, compression=zipfile.ZIP_DEFLATED)
    if how == 1:
        return zipped(text, arrays, text, names=(JSON, ARRAYS, JSON))
    if how == 2:
        return zipped(text, arrays, names=("../" + JSON, ARRAYS))
    if how == 3:
        return zipped(arrays, text, names=(ARRAYS, JSON))
    if how == 4:
        return data + data
    if how == 5:
        return b"#!/bin/sh\n" + data
    return zipped(b"\0" * 10**6, arrays, compression=zipfile.ZIP_LZMA)


KINDS = (of_bytes, of_headers, of_json, of_json, of_json, of_text, of_tensors, of_numbers, of_zip)


def mutated(data, rng):
    """A file that is another, in one of many ways."""
    return KINDS[rng.randint(len(KINDS))](data, rng)
