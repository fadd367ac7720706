"""The text of the files."""

import numpy as np

from ..._version import package_version
from .library import FUNCTIONS
from .program import float_text

_PER_LINE = 8

_HEADER = """\
/* A convolutional network, written by sklearn_convnet {version}. */
#ifndef {upper}_H
#define {upper}_H

/* x: {x_shape}, {x_dtype}. */
#define {upper}_INPUT_SIZE {n_inputs}
/* y: {y_shape}, {content}. */
#define {upper}_OUTPUT_SIZE {n_outputs}
{classes}
#ifdef __cplusplus
extern "C" {{
#endif

{labels}/* Not for several threads at a time: maps lie in {work} bytes of static memory.
   x and y may not overlap. */
void {name}_predict(const {c_type} *x, float *y);

#ifdef __cplusplus
}}
#endif

#endif
"""

_SOURCE = """\
/* A convolutional network, written by sklearn_convnet {version}. */
#include "{name}.h"

#include <math.h>
#include <string.h>

{data}{functions}void @predict(const {c_type} *x, float *y)
{{
{calls}
}}
"""

_TEST = """\
/* Compares predictions with those of sklearn_convnet {version}; returns 0 if they are the same. */
#include "{name}.h"

#include <math.h>
#include <stdio.h>

{data}int main(void)
{{
    static float y[{n_outputs}];
    int i, j, n_wrong = 0;
    float worst = 0.0f;
    for (i = 0; i < {n}; i++) {{
        float largest = 0.0f, error = 0.0f;
        @predict(@test_x + i * {n_inputs}, y);
        for (j = 0; j < {n_outputs}; j++) {{
            const float wanted = @test_y[i * {n_outputs} + j], off = fabsf(y[j] - wanted);
            largest = fabsf(wanted) > largest ? fabsf(wanted) : largest;
            error = off <= error ? error : off;
        }}
        error = error > 0.0f ? error / largest : error;
        n_wrong += !(error <= {tolerance});
        worst = error <= worst ? worst : error;
    }}
    printf("{name}: %d of {n} samples are the same, largest error %.1e of the largest number\\n",
           {n} - n_wrong, (double)worst);
    return n_wrong > 0;
}}
"""


def c_type(dtype):
    """The type of a number of x."""
    return "unsigned char" if dtype == np.uint8 else "float"


def header(name, program, x_dtype, y, content, labels):
    """NAME.h"""
    upper = name.upper()
    of_classes, declared = "", ""
    if labels:
        of_classes = f"#define {upper}_N_CLASSES {len(labels)}\n"
        declared = f"extern const char *const {name}_classes[{upper}_N_CLASSES];\n"
    return _HEADER.format(
        version=package_version(),
        name=name,
        upper=upper,
        x_shape=_sizes(program.x.shape),
        x_dtype="bytes" if x_dtype == np.uint8 else "floats",
        n_inputs=program.x.size,
        y_shape=_sizes(y.shape),
        content=content,
        n_outputs=y.size,
        classes=of_classes,
        labels=declared,
        work=4 * program.work_size,
        c_type=c_type(x_dtype),
    )


def source(name, program, x_dtype, labels):
    """NAME.c"""
    data = "".join(_array(key, value) for key, value in program.constants.items())
    if program.work_size:
        data += f"static float @work[{program.work_size}];\n"
    if labels:
        rows = "".join(f"    {string_text(label)},\n" for label in labels)
        data += f"const char *const @classes[{len(labels)}] = {{\n{rows}}};\n"
    text = _SOURCE.format(
        version=package_version(),
        name=name,
        data=f"{data}\n",
        functions="".join(f"{FUNCTIONS[one]}\n" for one in program.functions()),
        c_type=c_type(x_dtype),
        calls="\n".join(f"    {line}" for line in program.lines()),
    )
    return text.replace("@", f"{name}_")


def test(name, X, Y, tolerance):
    """NAME_test.c"""
    text = _TEST.format(
        version=package_version(),
        name=name,
        data=_array("@test_x", X.ravel()) + _array("@test_y", Y.ravel()) + "\n",
        n=len(X),
        n_inputs=X[0].size,
        n_outputs=Y[0].size,
        tolerance=float_text(tolerance),
    )
    return text.replace("@", f"{name}_")


def _sizes(shape):
    return " x ".join(map(str, shape))


def _array(name, values):
    """A definition of a constant array."""
    if values.dtype.kind == "f":
        kind, texts = "float", [float_text(value) for value in values]
    else:
        kind = "unsigned char" if values.dtype == np.uint8 else "int"
        texts = [str(value) for value in values.tolist()]
    lines = (texts[i : i + _PER_LINE] for i in range(0, len(texts), _PER_LINE))
    rows = "".join(f"    {', '.join(line)},\n" for line in lines)
    return f"static const {kind} {name}[{len(texts)}] = {{\n{rows}}};\n"


def string_text(label):
    """A string in C; all but letters, digits and few signs of ASCII are written as bytes of
    UTF-8."""
    parts = []
    for byte in label.encode("utf-8"):
        sign = chr(byte)
        plain = byte < 128 and (sign.isalnum() or sign in " _-+.,:;()/*=<>!&#'")
        parts.append(sign if plain else f"\\{byte:03o}")
    return f'"{"".join(parts)}"'
