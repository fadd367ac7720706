# Winograd's transforms: small matrices times vectors, over channels. The equations and the choice
# of the matrices are in conv/winograd_geometry.pxi.

cdef enum:
    MAX_POINTS = 64
    MAX_POSITIONS = 16
    MAX_TAPS = 25


cdef enum Transform:
    # INPUT is the transpose of B, OUTPUT that of A, SPREAD is A, FILTER is G, FOLD its transpose.
    # Numbers are sizes, from and to: n points, m positions, r taps.
    INPUT_4_4, OUTPUT_4_2, SPREAD_2_4, FILTER_3_4, FOLD_4_3
    INPUT_6_6, OUTPUT_6_4, SPREAD_4_6, FILTER_3_6, FOLD_6_3
    OUTPUT_6_2, SPREAD_2_6, FILTER_5_6, FOLD_6_5
    INPUT_8_8, OUTPUT_8_4, SPREAD_4_8, FILTER_5_8, FOLD_8_5  # those of 8 points come last


cdef inline void put_pair(vec even, vec odd, real* y, Py_ssize_t q) noexcept nogil:
    """What is made of the points p and -p."""
    put(y, even + odd)
    put(y + q, even - odd)


cdef inline void transform_8(
    Transform kind, const real* x, Py_ssize_t p, real* y, Py_ssize_t q
) noexcept nogil:
    """transform_1d with the points 0, +-1, +-2, +-1/2 and infinity, from or to 8 vectors."""
    cdef real two = 2, four = 4, eight = 8, half = 0.5, quarter = 0.25, eighth = 0.125
    cdef real s = 5.25, s_1 = 4.25, s_2 = 1.25, s_half = 5
    # The reciprocals of N = prod(p - other points), for p = 1, 2 and 1/2.
    cdef real n_1 = -2.0 / 9, n_2 = 1.0 / 90, n_half = 32.0 / 45
    cdef vec x0 = at(x), x1 = at(x + p), x2 = at(x + 2 * p), x3 = at(x + 3 * p)
    cdef vec x4, x5, x6, x7, a, b, c, d, e, f
    if kind == SPREAD_4_8:
        put(y, x0)
        put_pair(x0 + x2, x1 + x3, y + q, q)
        put_pair(x0 + four * x2, two * x1 + eight * x3, y + 3 * q, q)
        put_pair(x0 + quarter * x2, half * x1 + eighth * x3, y + 5 * q, q)
        put(y + 7 * q, x3)
        return
    x4 = at(x + 4 * p)
    if kind == FILTER_5_8:
        put(y, x0)
        put_pair(n_1 * (x0 + x2 + x4), n_1 * (x1 + x3), y + q, q)
        put_pair(n_2 * (x0 + four * (x2 + four * x4)), n_2 * (two * x1 + eight * x3), y + 3 * q, q)
        put_pair(n_half * (x0 + quarter * (x2 + quarter * x4)),
                 n_half * (half * x1 + eighth * x3), y + 5 * q, q)
        put(y + 7 * q, x4)
        return
    x5, x6, x7 = at(x + 5 * p), at(x + 6 * p), at(x + 7 * p)
    if kind == INPUT_8_8:
        put(y, x0 - x6 + s * (x4 - x2))
        put_pair(x6 - s_1 * x4 + x2, x5 - s_1 * x3 + x1, y + q, q)
        put_pair(x6 - s_2 * x4 + quarter * x2, two * (x5 - s_2 * x3 + quarter * x1), y + 3 * q, q)
        put_pair(x6 - s_half * x4 + four * x2, half * (x5 - s_half * x3 + four * x1), y + 5 * q, q)
        put(y + 7 * q, x7 - x1 + s * (x3 - x5))
        return
    a, b, c, d, e, f = x1 + x2, x1 - x2, x3 + x4, x3 - x4, x5 + x6, x5 - x6
    if kind == FOLD_8_5:
        a, b, c, d, e, f = n_1 * a, n_1 * b, n_2 * c, n_2 * d, n_half * e, n_half * f
    put(y, x0 + a + c + e)
    put(y + q, b + two * d + half * f)
    put(y + 2 * q, a + four * c + quarter * e)
    if kind == OUTPUT_8_4:
        put(y + 3 * q, b + eight * d + eighth * f + x7)
    else:
        put(y + 3 * q, b + eight * d + eighth * f)
        put(y + 4 * q, a + four * four * c + quarter * quarter * e + x7)


cdef inline void transform_1d(
    Transform kind, const real* x, Py_ssize_t p, real* y, Py_ssize_t q
) noexcept nogil:
    """A small matrix times vectors that are p numbers apart; the results are q apart."""
    cdef real half = 0.5, two = 2, two_and_a_half = 2.5
    cdef real third = 1.0 / 3, two_thirds = 2.0 / 3, sixth = 1.0 / 6
    cdef real root = 1.4142135623730951, inverse_root = 0.70710678118654752
    cdef vec a, b, c, d
    if kind >= INPUT_8_8:
        transform_8(kind, x, p, y, q)
    elif kind == INPUT_6_6:
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
    elif kind == INPUT_4_4:
        put(y, at(x) - at(x + 2 * p))
        put(y + q, at(x + p) + at(x + 2 * p))
        put(y + 2 * q, at(x + 2 * p) - at(x + p))
        put(y + 3 * q, at(x + p) - at(x + 3 * p))
    elif kind == OUTPUT_6_4:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + p) - at(x + 2 * p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) + a + c)
        put(y + q, inverse_root * b + root * d)
        put(y + 2 * q, half * a + two * c)
        put(y + 3 * q, half * inverse_root * b + two * root * d + at(x + 5 * p))
    elif kind == OUTPUT_4_2:
        put(y, at(x) + at(x + p) + at(x + 2 * p))
        put(y + q, at(x + p) - at(x + 2 * p) - at(x + 3 * p))
    elif kind == SPREAD_4_6:
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
    elif kind == SPREAD_2_4:
        put(y, at(x))
        put(y + q, at(x) + at(x + p))
        put(y + 2 * q, at(x) - at(x + p))
        put(y + 3 * q, -at(x + p))
    elif kind == FILTER_3_6:
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
    elif kind == FILTER_3_4:
        a = half * (at(x) + at(x + 2 * p))
        b = half * at(x + p)
        put(y, at(x))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, at(x + 2 * p))
    elif kind == FOLD_6_3:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + 2 * p) - at(x + p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) - two_thirds * a + sixth * c)
        put(y + q, two_thirds * inverse_root * b + sixth * root * d)
        put(y + 2 * q, third * (c - a) + at(x + 5 * p))
    elif kind == OUTPUT_6_2:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + p) - at(x + 2 * p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) + a + c)
        put(y + q, inverse_root * b + root * d + at(x + 5 * p))
    elif kind == SPREAD_2_6:
        a, b = at(x), at(x + p)
        put(y, a)
        put_pair(a, inverse_root * b, y + q, q)
        put_pair(a, root * b, y + 3 * q, q)
        put(y + 5 * q, b)
    elif kind == FILTER_5_6:
        a = -two_thirds * (at(x) + half * (at(x + 2 * p) + half * at(x + 4 * p)))
        b = -two_thirds * inverse_root * (at(x + p) + half * at(x + 3 * p))
        c = sixth * (at(x) + two * (at(x + 2 * p) + two * at(x + 4 * p)))
        d = sixth * root * (at(x + p) + two * at(x + 3 * p))
        put(y, at(x))
        put(y + 5 * q, at(x + 4 * p))
        put_pair(a, b, y + q, q)
        put_pair(c, d, y + 3 * q, q)
    elif kind == FOLD_6_5:
        a = -two_thirds * (at(x + p) + at(x + 2 * p))
        b = -two_thirds * inverse_root * (at(x + p) - at(x + 2 * p))
        c = sixth * (at(x + 3 * p) + at(x + 4 * p))
        d = sixth * root * (at(x + 3 * p) - at(x + 4 * p))
        put(y, at(x) + a + c)
        put(y + q, b + d)
        put(y + 2 * q, half * a + two * c)
        put(y + 3 * q, half * b + two * d)
        put(y + 4 * q, half * half * a + two * two * c + at(x + 5 * p))
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
    Py_ssize_t n, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """A tile of n x n positions to its points."""
    if n == 4:
        transform_2d(INPUT_4_4, 4, 4, x, x_row, x_column, y, y_row, y_column)
    elif n == 6:
        transform_2d(INPUT_6_6, 6, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(INPUT_8_8, 8, 8, x, x_row, x_column, y, y_row, y_column)


cdef void transform_output(
    Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """Points to a tile of m x m positions."""
    if m == 2 and r == 3:
        transform_2d(OUTPUT_4_2, 4, 2, x, x_row, x_column, y, y_row, y_column)
    elif m == 4 and r == 3:
        transform_2d(OUTPUT_6_4, 6, 4, x, x_row, x_column, y, y_row, y_column)
    elif m == 2 and r == 5:
        transform_2d(OUTPUT_6_2, 6, 2, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(OUTPUT_8_4, 8, 4, x, x_row, x_column, y, y_row, y_column)


cdef void transform_gradient(
    Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The adjoint of transform_output."""
    if m == 2 and r == 3:
        transform_2d(SPREAD_2_4, 2, 4, x, x_row, x_column, y, y_row, y_column)
    elif m == 4 and r == 3:
        transform_2d(SPREAD_4_6, 4, 6, x, x_row, x_column, y, y_row, y_column)
    elif m == 2 and r == 5:
        transform_2d(SPREAD_2_6, 2, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(SPREAD_4_8, 4, 8, x, x_row, x_column, y, y_row, y_column)


cdef void transform_filter(
    Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """A filter of r x r taps to its points."""
    if m == 2 and r == 3:
        transform_2d(FILTER_3_4, 3, 4, x, x_row, x_column, y, y_row, y_column)
    elif m == 4 and r == 3:
        transform_2d(FILTER_3_6, 3, 6, x, x_row, x_column, y, y_row, y_column)
    elif m == 2 and r == 5:
        transform_2d(FILTER_5_6, 5, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(FILTER_5_8, 5, 8, x, x_row, x_column, y, y_row, y_column)


cdef void fold_points(
    Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The adjoint of transform_filter."""
    if m == 2 and r == 3:
        transform_2d(FOLD_4_3, 4, 3, x, x_row, x_column, y, y_row, y_column)
    elif m == 4 and r == 3:
        transform_2d(FOLD_6_3, 6, 3, x, x_row, x_column, y, y_row, y_column)
    elif m == 2 and r == 5:
        transform_2d(FOLD_6_5, 6, 5, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(FOLD_8_5, 8, 5, x, x_row, x_column, y, y_row, y_column)
