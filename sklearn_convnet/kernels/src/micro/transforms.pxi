# Winograd's transforms: small matrices times vectors, over channels. The equations and the choice
# of the matrices are in conv/winograd_geometry.pxi.

cdef enum:
    MAX_POINTS = 36


cdef enum Transform:
    INPUT_2, INPUT_4     # the transpose of B, n to n
    OUTPUT_2, OUTPUT_4   # the transpose of A, n to m
    SPREAD_2, SPREAD_4   # A, m to n
    FILTER_2, FILTER_4   # G, 3 to n
    FOLD_2, FOLD_4       # the transpose of G, n to 3


cdef inline void transform_1d(
    Transform kind, const real* x, Py_ssize_t p, real* y, Py_ssize_t q
) noexcept nogil:
    """A small matrix times vectors that are p numbers apart; the results are q apart."""
    cdef real half = 0.5, two = 2, two_and_a_half = 2.5
    cdef real third = 1.0 / 3, two_thirds = 2.0 / 3, sixth = 1.0 / 6
    cdef real root = 1.4142135623730951, inverse_root = 0.70710678118654752
    cdef vec a, b, c, d
    if kind == INPUT_4:
        a = at(x + 4 * p) - two * at(x + 2 * p)
        b = inverse_root * at(x + 3 * p) - root * at(x + p)
        c = at(x + 4 * p) - half * at(x + 2 * p)
        d = root * at(x + 3 * p) - inverse_root * at(x + p)
        put(y, at(x) - two_and_a_half * at(x + 2 * p) + at(x + 4 * p))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, c + d)
        put(y + 4 * q, c - d)
        put(y + 5 * q, at(x + p) - two_and_a_half * at(x + 3 * p) + at(x + 5 * p))
    elif kind == INPUT_2:
        put(y, at(x) - at(x + 2 * p))
        put(y + q, at(x + p) + at(x + 2 * p))
        put(y + 2 * q, at(x + 2 * p) - at(x + p))
        put(y + 3 * q, at(x + p) - at(x + 3 * p))
    elif kind == OUTPUT_4:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + p) - at(x + 2 * p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) + a + c)
        put(y + q, inverse_root * b + root * d)
        put(y + 2 * q, half * a + two * c)
        put(y + 3 * q, half * inverse_root * b + two * root * d + at(x + 5 * p))
    elif kind == OUTPUT_2:
        put(y, at(x) + at(x + p) + at(x + 2 * p))
        put(y + q, at(x + p) - at(x + 2 * p) - at(x + 3 * p))
    elif kind == SPREAD_4:
        a = at(x) + half * at(x + 2 * p)
        b = inverse_root * at(x + p) + half * inverse_root * at(x + 3 * p)
        c = at(x) + two * at(x + 2 * p)
        d = root * at(x + p) + two * root * at(x + 3 * p)
        put(y, at(x))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, c + d)
        put(y + 4 * q, c - d)
        put(y + 5 * q, at(x + 3 * p))
    elif kind == SPREAD_2:
        put(y, at(x))
        put(y + q, at(x) + at(x + p))
        put(y + 2 * q, at(x) - at(x + p))
        put(y + 3 * q, -at(x + p))
    elif kind == FILTER_4:
        a = -two_thirds * at(x) - third * at(x + 2 * p)
        b = two_thirds * inverse_root * at(x + p)
        c = sixth * at(x) + third * at(x + 2 * p)
        d = sixth * root * at(x + p)
        put(y, at(x))
        put(y + q, a - b)
        put(y + 2 * q, a + b)
        put(y + 3 * q, c + d)
        put(y + 4 * q, c - d)
        put(y + 5 * q, at(x + 2 * p))
    elif kind == FILTER_2:
        a = half * (at(x) + at(x + 2 * p))
        b = half * at(x + p)
        put(y, at(x))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, at(x + 2 * p))
    elif kind == FOLD_4:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + 2 * p) - at(x + p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) - two_thirds * a + sixth * c)
        put(y + q, two_thirds * inverse_root * b + sixth * root * d)
        put(y + 2 * q, third * (c - a) + at(x + 5 * p))
    else:
        a = half * (at(x + p) + at(x + 2 * p))
        put(y, at(x) + a)
        put(y + q, half * (at(x + p) - at(x + 2 * p)))
        put(y + 2 * q, a + at(x + 3 * p))


cdef inline void transform_2d(
    Transform kind, int n_in, int n_out,
    const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The columns, then the rows, of a square of vectors."""
    cdef real half_way[MAX_POINTS * MAX_LANES]
    cdef int i
    for i in range(n_in):
        transform_1d(kind, x + i * x_column, x_row, half_way + i * LANES, n_in * LANES)
    for i in range(n_out):
        transform_1d(kind, half_way + i * n_in * LANES, LANES, y + i * y_row, y_column)


cdef void transform_input(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    if m == 4:
        transform_2d(INPUT_4, 6, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(INPUT_2, 4, 4, x, x_row, x_column, y, y_row, y_column)


cdef void transform_output(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    if m == 4:
        transform_2d(OUTPUT_4, 6, 4, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(OUTPUT_2, 4, 2, x, x_row, x_column, y, y_row, y_column)


cdef void transform_gradient(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The adjoint of transform_output."""
    if m == 4:
        transform_2d(SPREAD_4, 4, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(SPREAD_2, 2, 4, x, x_row, x_column, y, y_row, y_column)


cdef void transform_filter(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    if m == 4:
        transform_2d(FILTER_4, 3, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(FILTER_2, 3, 4, x, x_row, x_column, y, y_row, y_column)


cdef void fold_points(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The adjoint of transform_filter."""
    if m == 4:
        transform_2d(FOLD_4, 6, 3, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(FOLD_2, 4, 3, x, x_row, x_column, y, y_row, y_column)
