"""The functions in C that a network is made of, each written only where it is called.

# Design:
# * Maps have their channels last, and three axes of positions, of which missing ones have length 1.
#   Geometry comes as a row of integers, so that a function is compiled once for all layers.
# * "@" stands for the prefix of all names.
# * NaN goes through: comparisons are written so that it is what is left.
"""

#: Activations of single numbers, of v; some have a parameter alpha.
EXPRESSIONS = {
    "relu": "v < 0.0f ? 0.0f : v",
    "leaky_relu": "v < 0.0f ? alpha * v : v",
    "elu": "v < 0.0f ? alpha * expm1f(v) : v",
    "relu6": "v < 0.0f ? 0.0f : v > 6.0f ? 6.0f : v",
    "tanh": "tanhf(v)",
    "logistic": "1.0f / (1.0f + expf(-v))",
    "softplus": "(v < 0.0f ? 0.0f : v) + log1pf(expf(-fabsf(v)))",
    "softsign": "v / (1.0f + fabsf(v))",
    "gelu": "0.5f * v * erfcf(-0.707106781f * v)",
    "silu": "v / (1.0f + expf(-v))",
    "hard_logistic": "v < -3.0f ? 0.0f : v > 3.0f ? 1.0f : v / 6.0f + 0.5f",
    "hard_swish": "v < -3.0f ? 0.0f : v > 3.0f ? v : v * (v / 6.0f + 0.5f)",
    "exp": "expf(v)",
}

_ACTIVATION = """\
static void @{name}(const float *x, float *y, int n{parameter})
{{
    int i;
    for (i = 0; i < n; i++) {{
        const float v = x[i];
        y[i] = {expression};
    }}
}}
"""


def _activations():
    for name, expression in EXPRESSIONS.items():
        parameter = ", float alpha" if "alpha" in expression else ""
        text = _ACTIVATION.format(name=name, parameter=parameter, expression=expression)
        yield name, text


_CONV = """\
/* Y = conv(X, W) + b. g: sizes of the input and of the output, kernel, stride, padding before,
   dilation, each of three axes; channels, filters, groups. W is kernel x channels x filters. */
static void @conv(const float *x, float *restrict y, const float *weight, const float *bias,
                  const int *g)
{
    const int channels = g[18] / g[20], filters = g[19] / g[20];
    int d, h, w, i, j, k, group, c, f;
    for (d = 0; d < g[3]; d++)
    for (h = 0; h < g[4]; h++)
    for (w = 0; w < g[5]; w++) {
        for (f = 0; f < g[19]; f++)
            y[f] = bias ? bias[f] : 0.0f;
        for (i = 0; i < g[6]; i++)
        for (j = 0; j < g[7]; j++)
        for (k = 0; k < g[8]; k++) {
            const int a = d * g[9] - g[12] + i * g[15];
            const int b = h * g[10] - g[13] + j * g[16];
            const int e = w * g[11] - g[14] + k * g[17];
            const float *in, *row;
            if (a < 0 || a >= g[0] || b < 0 || b >= g[1] || e < 0 || e >= g[2])
                continue;
            in = x + ((a * g[1] + b) * g[2] + e) * g[18];
            row = weight + ((i * g[7] + j) * g[8] + k) * channels * g[19];
            for (c = 0; c < channels; c++, row += g[19])
            for (group = 0; group < g[20]; group++) {
                const float value = in[group * channels + c];
                const float *from = row + group * filters;
                float *to = y + group * filters;
                for (f = 0; f < filters; f++)
                    to[f] += value * from[f];
            }
        }
        y += g[19];
    }
}
"""

_CONV_TRANSPOSE = """\
/* The adjoint of a convolution, g as there. W is kernel x channels x filters of a group. */
static void @conv_transpose(const float *x, float *restrict y, const float *weight,
                            const float *bias, const int *g)
{
    const int channels = g[18] / g[20], filters = g[19] / g[20];
    const int n = g[3] * g[4] * g[5] * g[19];
    int d, h, w, i, j, k, c, f;
    for (f = 0; f < n; f++)
        y[f] = bias ? bias[f % g[19]] : 0.0f;
    for (d = 0; d < g[0]; d++)
    for (h = 0; h < g[1]; h++)
    for (w = 0; w < g[2]; w++) {
        for (i = 0; i < g[6]; i++)
        for (j = 0; j < g[7]; j++)
        for (k = 0; k < g[8]; k++) {
            const int a = d * g[9] - g[12] + i * g[15];
            const int b = h * g[10] - g[13] + j * g[16];
            const int e = w * g[11] - g[14] + k * g[17];
            const float *row = weight + ((i * g[7] + j) * g[8] + k) * g[18] * filters;
            if (a < 0 || a >= g[3] || b < 0 || b >= g[4] || e < 0 || e >= g[5])
                continue;
            for (c = 0; c < g[18]; c++, row += filters) {
                float *to = y + ((a * g[4] + b) * g[5] + e) * g[19] + c / channels * filters;
                for (f = 0; f < filters; f++)
                    to[f] += x[c] * row[f];
            }
        }
        x += g[18];
    }
}
"""

_MAX_POOL = """\
/* Maxima of windows. g: sizes of the input and of the output, window, stride, padding before, each
   of three axes; channels, the first channel that is pooled, and how many are. */
static void @max_pool(const float *x, float *y, const int *g)
{
    int d, h, w, i, j, k, c;
    for (d = 0; d < g[3]; d++)
    for (h = 0; h < g[4]; h++)
    for (w = 0; w < g[5]; w++, y += g[15])
    for (i = 0; i < g[6]; i++)
    for (j = 0; j < g[7]; j++)
    for (k = 0; k < g[8]; k++) {
        /* Beyond the border is the nearest pixel, which changes no maximum. */
        int a = d * g[9] - g[12] + i, b = h * g[10] - g[13] + j, e = w * g[11] - g[14] + k;
        const float *in;
        a = a < 0 ? 0 : a >= g[0] ? g[0] - 1 : a;
        b = b < 0 ? 0 : b >= g[1] ? g[1] - 1 : b;
        e = e < 0 ? 0 : e >= g[2] ? g[2] - 1 : e;
        in = x + ((a * g[1] + b) * g[2] + e) * g[15];
        for (c = g[16]; c < g[16] + g[17]; c++)
            if ((i == 0 && j == 0 && k == 0) || !(in[c] <= y[c]))
                y[c] = in[c];
    }
}
"""

_AVG_POOL = """\
/* Means of windows, over true pixels. g: as for maxima, but for the last two. */
static void @avg_pool(const float *x, float *y, const int *g)
{
    int d, h, w, i, j, k, c, n;
    for (d = 0; d < g[3]; d++)
    for (h = 0; h < g[4]; h++)
    for (w = 0; w < g[5]; w++, y += g[15]) {
        for (c = 0; c < g[15]; c++)
            y[c] = 0.0f;
        n = 0;
        for (i = 0; i < g[6]; i++)
        for (j = 0; j < g[7]; j++)
        for (k = 0; k < g[8]; k++) {
            const int a = d * g[9] - g[12] + i, b = h * g[10] - g[13] + j;
            const int e = w * g[11] - g[14] + k;
            if (a < 0 || a >= g[0] || b < 0 || b >= g[1] || e < 0 || e >= g[2])
                continue;
            n++;
            for (c = 0; c < g[15]; c++)
                y[c] += x[((a * g[1] + b) * g[2] + e) * g[15] + c];
        }
        for (c = 0; c < g[15]; c++)
            y[c] /= (float)n;
    }
}
"""

_LP_POOL = """\
/* (sum |X|^p)^(1/p) of windows, g as for means; in units of the largest |X|, so that no power is
   too large. */
static void @lp_pool(const float *x, float *y, const int *g, float p)
{
    int d, h, w, i, j, k, c, step;
    for (d = 0; d < g[3]; d++)
    for (h = 0; h < g[4]; h++)
    for (w = 0; w < g[5]; w++)
    for (c = 0; c < g[15]; c++) {
        float unit = 0.0f, sum = 0.0f;
        for (step = 0; step < 2; step++)
        for (i = 0; i < g[6]; i++)
        for (j = 0; j < g[7]; j++)
        for (k = 0; k < g[8]; k++) {
            const int a = d * g[9] - g[12] + i, b = h * g[10] - g[13] + j;
            const int e = w * g[11] - g[14] + k;
            float size;
            if (a < 0 || a >= g[0] || b < 0 || b >= g[1] || e < 0 || e >= g[2])
                continue;
            size = fabsf(x[((a * g[1] + b) * g[2] + e) * g[15] + c]);
            if (step == 1)
                sum += powf(unit > 0.0f ? size / unit : size, p);
            else if (!(size <= unit))
                unit = size;
        }
        *y++ = unit > 0.0f ? unit * powf(sum, 1.0f / p) : 0.0f;
    }
}
"""

_SHIFT = """\
/* Y(p) = X(p + shift), and zeros where X has no such place. g: sizes of the input and of the
   output, shift, each of three axes; channels. */
static void @shift(const float *x, float *y, const int *g)
{
    int d, h, w, c;
    for (d = g[6]; d < g[6] + g[3]; d++)
    for (h = g[7]; h < g[7] + g[4]; h++)
    for (w = g[8]; w < g[8] + g[5]; w++) {
        const int inside = d >= 0 && d < g[0] && h >= 0 && h < g[1] && w >= 0 && w < g[2];
        for (c = 0; c < g[9]; c++)
            *y++ = inside ? x[((d * g[1] + h) * g[2] + w) * g[9] + c] : 0.0f;
    }
}
"""

_REPEAT_PIXELS = """\
/* Each pixel several times. g: sizes of the input and of the output, of three axes; channels. */
static void @repeat_pixels(const float *x, float *y, const int *g)
{
    int d, h, w;
    for (d = 0; d < g[3]; d++)
    for (h = 0; h < g[4]; h++)
    for (w = 0; w < g[5]; w++, y += g[6]) {
        const int a = d * g[0] / g[3], b = h * g[1] / g[4], e = w * g[2] / g[5];
        memcpy(y, x + ((a * g[1] + b) * g[2] + e) * g[6], (size_t)g[6] * sizeof *y);
    }
}
"""

_MIX_PIXELS = """\
/* Pixels mixed by the distance of pixel centres, g as for repeated ones. */
static void @mix_pixels(const float *x, float *y, const int *g)
{
    int at[3], low[3], axis, corner, c;
    float share[3];
    for (at[0] = 0; at[0] < g[3]; at[0]++)
    for (at[1] = 0; at[1] < g[4]; at[1]++)
    for (at[2] = 0; at[2] < g[5]; at[2]++, y += g[6]) {
        for (axis = 0; axis < 3; axis++) {
            const float scale = (float)g[axis] / (float)g[axis + 3];
            const float place = ((float)at[axis] + 0.5f) * scale - 0.5f;
            low[axis] = place > 0.0f ? (int)place : 0;
            share[axis] = place > 0.0f ? place - (float)low[axis] : 0.0f;
        }
        for (c = 0; c < g[6]; c++)
            y[c] = 0.0f;
        for (corner = 0; corner < 8; corner++) {
            float weight = 1.0f;
            int pixel = 0;
            for (axis = 0; axis < 3; axis++) {
                const int high = corner >> axis & 1;
                int i = low[axis] + high;
                weight *= high ? share[axis] : 1.0f - share[axis];
                i = i < g[axis] ? i : g[axis] - 1;
                pixel = pixel * g[axis] + i;
            }
            if (weight > 0.0f)
                for (c = 0; c < g[6]; c++)
                    y[c] += weight * x[pixel * g[6] + c];
        }
    }
}
"""

_AFFINE = """\
/* (X - centre) scale + shift for each column. */
static void @affine(const float *x, float *y, int rows, int columns, const float *centre,
                    const float *scale, const float *shift)
{
    int i, c;
    for (i = 0; i < rows; i++, x += columns, y += columns)
        for (c = 0; c < columns; c++)
            y[c] = (x[c] - (centre ? centre[c] : 0.0f)) * scale[c] + (shift ? shift[c] : 0.0f);
}
"""

_NORM = """\
/* (X - mean) / sqrt(variance + epsilon) of each group of channels of a part, scaled and shifted. */
static void @norm(const float *x, float *y, int parts, int positions, int channels, int groups,
                  float epsilon, const float *scale, const float *offset)
{
    const int width = channels / groups;
    int part, group, i, c;
    for (part = 0; part < parts; part++, x += positions * channels, y += positions * channels)
        for (group = 0; group < groups; group++) {
            const int first = group * width, last = first + width;
            const float n = (float)(positions * width);
            float mean = 0.0f, variance = 0.0f, factor;
            for (i = 0; i < positions; i++)
                for (c = first; c < last; c++)
                    mean += x[i * channels + c];
            mean /= n;
            for (i = 0; i < positions; i++)
                for (c = first; c < last; c++) {
                    const float off = x[i * channels + c] - mean;
                    variance += off * off;
                }
            factor = 1.0f / sqrtf(variance / n + epsilon);
            for (i = 0; i < positions; i++)
                for (c = first; c < last; c++)
                    y[i * channels + c] =
                        (x[i * channels + c] - mean) * factor * scale[c] + offset[c];
        }
}
"""

_RESPONSE_NORM = """\
/* X / (bias + alpha / size sum X^2)^beta, the sum over neighbouring channels. */
static void @response_norm(const float *x, float *y, int rows, int channels, int size,
                           float alpha, float beta, float bias)
{
    int i, c, k;
    for (i = 0; i < rows; i++, x += channels, y += channels)
        for (c = 0; c < channels; c++) {
            float sum = 0.0f;
            for (k = c - size / 2; k <= c + (size - 1) / 2; k++)
                if (k >= 0 && k < channels)
                    sum += x[k] * x[k];
            y[c] = x[c] / powf(bias + alpha / (float)size * sum, beta);
        }
}
"""

_SOFTMAX = """\
/* exp(X) / sum exp(X) of each row. */
static void @softmax(const float *x, float *y, int rows, int columns)
{
    int i, c;
    for (i = 0; i < rows; i++, x += columns, y += columns) {
        float top = x[0], sum = 0.0f;
        for (c = 1; c < columns; c++)
            if (x[c] > top)
                top = x[c];
        for (c = 0; c < columns; c++) {
            y[c] = expf(x[c] - top);
            sum += y[c];
        }
        for (c = 0; c < columns; c++)
            y[c] /= sum;
    }
}
"""

_PARTS = """\
/* Number c of a row of Y is the {what} of n numbers of X, from c * near on, far apart from each
   other. */
static void @{name}_of_parts(const float *x, float *y, int rows, int columns, int n, int near,
                             int far)
{{
    int i, c, k;
    for (i = 0; i < rows; i++, x += columns * n)
        for (c = 0; c < columns; c++) {{
            float found = x[c * near];
            for (k = 1; k < n; k++) {{
                const float v = x[c * near + k * far];
                {step}
            }}
            *y++ = {result};
        }}
}}
"""

_ADD = """\
static void @add(const float *a, const float *b, float *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}
"""

_GATE = """\
/* The product of X and a gate: the steps from position to position of the gate, and from channel to
   channel, are 0 where there is one for all. */
static void @gate(const float *x, const float *gate, float *y, int positions, int channels,
                  int step, int near)
{
    int i, c;
    for (i = 0; i < positions; i++, gate += step)
        for (c = 0; c < channels; c++, x++, y++)
            *y = *x * gate[c * near];
}
"""

_COPY = """\
/* Columns of X, from one on, into columns of Y. */
static void @copy(const float *x, float *y, int rows, int from, int to, int x_columns,
                  int y_columns, int n)
{
    int i;
    for (i = 0; i < rows; i++)
        memcpy(y + i * y_columns + to, x + i * x_columns + from, (size_t)n * sizeof *y);
}
"""

_ATTEND = """\
/* softmax(factor Q K' + bias) V for each head. */
static void @attend(const float *q, const float *k, const float *v, float *y, float *scores,
                    const float *bias, int queries, int keys, int heads, int width, float factor)
{
    const int channels = heads * width;
    int head, i, j, c;
    for (head = 0; head < heads; head++)
        for (i = 0; i < queries; i++) {
            const float *query = q + i * channels + head * width;
            float *to = y + i * channels + head * width, top = 0.0f, sum = 0.0f;
            for (j = 0; j < keys; j++) {
                const float *key = k + j * channels + head * width;
                float score = 0.0f;
                for (c = 0; c < width; c++)
                    score += query[c] * key[c];
                score *= factor;
                if (bias)
                    score += bias[(head * queries + i) * keys + j];
                scores[j] = score;
                top = j == 0 || score > top ? score : top;
            }
            for (j = 0; j < keys; j++)
                sum += scores[j] = expf(scores[j] - top);
            for (c = 0; c < width; c++) {
                float seen = 0.0f;
                for (j = 0; j < keys; j++)
                    seen += scores[j] * v[j * channels + head * width + c];
                to[c] = seen / sum;
            }
        }
}
"""

_CHANNELS_LAST = """\
static void @channels_last(const float *x, float *y, int channels, int pixels)
{
    int i, c;
    for (i = 0; i < pixels; i++)
        for (c = 0; c < channels; c++)
            *y++ = x[c * pixels + i];
}
"""

_FROM_BYTES = """\
static void @from_bytes(const unsigned char *x, float *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = (float)x[i];
}
"""

#: The text of each function, by its name.
FUNCTIONS = {
    "from_bytes": _FROM_BYTES,
    "channels_last": _CHANNELS_LAST,
    "conv": _CONV,
    "conv_transpose": _CONV_TRANSPOSE,
    "max_pool": _MAX_POOL,
    "avg_pool": _AVG_POOL,
    "lp_pool": _LP_POOL,
    "shift": _SHIFT,
    "repeat_pixels": _REPEAT_PIXELS,
    "mix_pixels": _MIX_PIXELS,
    "affine": _AFFINE,
    "norm": _NORM,
    "response_norm": _RESPONSE_NORM,
    "softmax": _SOFTMAX,
    "max_of_parts": _PARTS.format(
        name="max", what="largest", step="if (!(v <= found))\n                    found = v;",
        result="found",
    ),
    "mean_of_parts": _PARTS.format(
        name="mean", what="mean", step="found += v;", result="found / (float)n"
    ),
    "add": _ADD,
    "gate": _GATE,
    "copy": _COPY,
    "attend": _ATTEND,
    **dict(_activations()),
}  # fmt: skip
