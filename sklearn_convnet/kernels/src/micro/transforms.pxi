# Winograd's transforms: small matrices times vectors, over channels. The equations and the choice
# of the matrices are in conv/winograd_geometry.pxi.
#
# Design:
# * They are C, for the reason that the tile is: each must be inlined with its kind and its sizes
#   constant, or it asks for its kind at every row and column.

cdef enum:
    MAX_POINTS = 64
    MAX_POSITIONS = 16
    MAX_TAPS = 25


cdef extern from *:
    """
    /* INPUT is the transpose of B, OUTPUT that of A, SPREAD is A, FILTER is G, FOLD its transpose.
       Numbers are sizes, from and to: n points, m positions, r taps. */
    typedef enum {
        INPUT_4_4, OUTPUT_4_2, SPREAD_2_4, FILTER_3_4, FOLD_4_3,
        INPUT_6_6, OUTPUT_6_4, SPREAD_4_6, FILTER_3_6, FOLD_6_3,
        OUTPUT_6_2, SPREAD_2_6, FILTER_5_6, FOLD_6_5,
        INPUT_8_8, OUTPUT_8_4, SPREAD_4_8, FILTER_5_8, FOLD_8_5  /* those of 8 points come last */
    } Transform;

    #define X(i) (*(const vec *) (x + (i) * p))
    #define PUT(i, value) (*(vec *) (y + (i) * q) = (value))
    /* What is made of the points p and -p. */
    #define PUT_PAIR(i, even, odd) \
        do { \
            vec even_ = (even), odd_ = (odd); \
            PUT(i, even_ + odd_); \
            PUT((i) + 1, even_ - odd_); \
        } while (0)

    /* transform_1d with the points 0, +-1, +-2, +-1/2 and infinity, from or to 8 vectors. */
    static inline __attribute__((always_inline)) void transform_8(
        const Transform kind, const skcn_real *x, Py_ssize_t p, skcn_real *y, Py_ssize_t q)
    {
        const skcn_real two = 2, four = 4, eight = 8, half = 0.5, quarter = 0.25, eighth = 0.125;
        const skcn_real s = 5.25, s_1 = 4.25, s_2 = 1.25, s_half = 5;
        /* The reciprocals of N = prod(p - other points), for p = 1, 2 and 1/2. */
        const skcn_real n_1 = -2.0 / 9, n_2 = 1.0 / 90, n_half = 32.0 / 45;
        vec x0 = X(0), x1 = X(1), x2 = X(2), x3 = X(3);
        vec x4, x5, x6, x7, a, b, c, d, e, f;
        if (kind == SPREAD_4_8) {
            PUT(0, x0);
            PUT_PAIR(1, x0 + x2, x1 + x3);
            PUT_PAIR(3, x0 + four * x2, two * x1 + eight * x3);
            PUT_PAIR(5, x0 + quarter * x2, half * x1 + eighth * x3);
            PUT(7, x3);
            return;
        }
        x4 = X(4);
        if (kind == FILTER_5_8) {
            PUT(0, x0);
            PUT_PAIR(1, n_1 * (x0 + x2 + x4), n_1 * (x1 + x3));
            PUT_PAIR(3, n_2 * (x0 + four * (x2 + four * x4)), n_2 * (two * x1 + eight * x3));
            PUT_PAIR(5, n_half * (x0 + quarter * (x2 + quarter * x4)),
                     n_half * (half * x1 + eighth * x3));
            PUT(7, x4);
            return;
        }
        x5 = X(5), x6 = X(6), x7 = X(7);
        if (kind == INPUT_8_8) {
            PUT(0, x0 - x6 + s * (x4 - x2));
            PUT_PAIR(1, x6 - s_1 * x4 + x2, x5 - s_1 * x3 + x1);
            PUT_PAIR(3, x6 - s_2 * x4 + quarter * x2, two * (x5 - s_2 * x3 + quarter * x1));
            PUT_PAIR(5, x6 - s_half * x4 + four * x2, half * (x5 - s_half * x3 + four * x1));
            PUT(7, x7 - x1 + s * (x3 - x5));
            return;
        }
        a = x1 + x2, b = x1 - x2, c = x3 + x4, d = x3 - x4, e = x5 + x6, f = x5 - x6;
        if (kind == FOLD_8_5) {
            a = n_1 * a, b = n_1 * b, c = n_2 * c, d = n_2 * d, e = n_half * e, f = n_half * f;
        }
        PUT(0, x0 + a + c + e);
        PUT(1, b + two * d + half * f);
        PUT(2, a + four * c + quarter * e);
        if (kind == OUTPUT_8_4) {
            PUT(3, b + eight * d + eighth * f + x7);
        } else {
            PUT(3, b + eight * d + eighth * f);
            PUT(4, a + four * four * c + quarter * quarter * e + x7);
        }
    }

    /* A small matrix times vectors that are p numbers apart; the results are q apart. */
    static inline __attribute__((always_inline)) void transform_1d(
        const Transform kind, const skcn_real *x, Py_ssize_t p, skcn_real *y, Py_ssize_t q)
    {
        const skcn_real half = 0.5, two = 2, two_and_a_half = 2.5;
        const skcn_real third = 1.0 / 3, two_thirds = 2.0 / 3, sixth = 1.0 / 6;
        const skcn_real root = 1.4142135623730951, inverse_root = 0.70710678118654752;
        vec a, b, c, d;
        if (kind >= INPUT_8_8) {
            transform_8(kind, x, p, y, q);
        } else if (kind == INPUT_6_6) {
            a = X(4) - two * X(2);
            b = inverse_root * X(3) - root * X(1);
            c = X(4) - half * X(2);
            d = root * X(3) - inverse_root * X(1);
            PUT(0, X(0) - two_and_a_half * X(2) + X(4));
            PUT(1, a + b);
            PUT(2, a - b);
            PUT(3, c + d);
            PUT(4, c - d);
            PUT(5, X(1) - two_and_a_half * X(3) + X(5));
        } else if (kind == INPUT_4_4) {
            PUT(0, X(0) - X(2));
            PUT(1, X(1) + X(2));
            PUT(2, X(2) - X(1));
            PUT(3, X(1) - X(3));
        } else if (kind == OUTPUT_6_4) {
            a = X(1) + X(2);
            b = X(1) - X(2);
            c = X(3) + X(4);
            d = X(3) - X(4);
            PUT(0, X(0) + a + c);
            PUT(1, inverse_root * b + root * d);
            PUT(2, half * a + two * c);
            PUT(3, half * inverse_root * b + two * root * d + X(5));
        } else if (kind == OUTPUT_4_2) {
            PUT(0, X(0) + X(1) + X(2));
            PUT(1, X(1) - X(2) - X(3));
        } else if (kind == SPREAD_4_6) {
            a = X(0) + half * X(2);
            b = inverse_root * X(1) + half * inverse_root * X(3);
            c = X(0) + two * X(2);
            d = root * X(1) + two * root * X(3);
            PUT(0, X(0));
            PUT(1, a + b);
            PUT(2, a - b);
            PUT(3, c + d);
            PUT(4, c - d);
            PUT(5, X(3));
        } else if (kind == SPREAD_2_4) {
            PUT(0, X(0));
            PUT(1, X(0) + X(1));
            PUT(2, X(0) - X(1));
            PUT(3, -X(1));
        } else if (kind == FILTER_3_6) {
            a = -two_thirds * X(0) - third * X(2);
            b = two_thirds * inverse_root * X(1);
            c = sixth * X(0) + third * X(2);
            d = sixth * root * X(1);
            PUT(0, X(0));
            PUT(1, a - b);
            PUT(2, a + b);
            PUT(3, c + d);
            PUT(4, c - d);
            PUT(5, X(2));
        } else if (kind == FILTER_3_4) {
            a = half * (X(0) + X(2));
            b = half * X(1);
            PUT(0, X(0));
            PUT(1, a + b);
            PUT(2, a - b);
            PUT(3, X(2));
        } else if (kind == FOLD_6_3) {
            a = X(1) + X(2);
            b = X(2) - X(1);
            c = X(3) + X(4);
            d = X(3) - X(4);
            PUT(0, X(0) - two_thirds * a + sixth * c);
            PUT(1, two_thirds * inverse_root * b + sixth * root * d);
            PUT(2, third * (c - a) + X(5));
        } else if (kind == OUTPUT_6_2) {
            a = X(1) + X(2);
            b = X(1) - X(2);
            c = X(3) + X(4);
            d = X(3) - X(4);
            PUT(0, X(0) + a + c);
            PUT(1, inverse_root * b + root * d + X(5));
        } else if (kind == SPREAD_2_6) {
            a = X(0), b = X(1);
            PUT(0, a);
            PUT_PAIR(1, a, inverse_root * b);
            PUT_PAIR(3, a, root * b);
            PUT(5, b);
        } else if (kind == FILTER_5_6) {
            a = -two_thirds * (X(0) + half * (X(2) + half * X(4)));
            b = -two_thirds * inverse_root * (X(1) + half * X(3));
            c = sixth * (X(0) + two * (X(2) + two * X(4)));
            d = sixth * root * (X(1) + two * X(3));
            PUT(0, X(0));
            PUT(5, X(4));
            PUT_PAIR(1, a, b);
            PUT_PAIR(3, c, d);
        } else if (kind == FOLD_6_5) {
            a = -two_thirds * (X(1) + X(2));
            b = -two_thirds * inverse_root * (X(1) - X(2));
            c = sixth * (X(3) + X(4));
            d = sixth * root * (X(3) - X(4));
            PUT(0, X(0) + a + c);
            PUT(1, b + d);
            PUT(2, half * a + two * c);
            PUT(3, half * b + two * d);
            PUT(4, half * half * a + two * two * c + X(5));
        } else {
            a = half * (X(1) + X(2));
            PUT(0, X(0) + a);
            PUT(1, half * (X(1) - X(2)));
            PUT(2, a + X(3));
        }
    }

    #undef X
    #undef PUT
    #undef PUT_PAIR

    /* The columns, then the rows, of a square of vectors. */
    static inline __attribute__((always_inline)) void transform_2d(
        const Transform kind, const int n_in, const int n_out,
        const skcn_real *x, Py_ssize_t x_row, Py_ssize_t x_column,
        skcn_real *y, Py_ssize_t y_row, Py_ssize_t y_column)
    {
        skcn_real half_way[64 * LANES] __attribute__((aligned(SIMD_BYTES)));
        for (int i = 0; i < n_in; i++)
            transform_1d(kind, x + i * x_column, x_row, half_way + i * LANES, n_in * LANES);
        for (int i = 0; i < n_out; i++)
            transform_1d(kind, half_way + i * n_in * LANES, LANES, y + i * y_row, y_column);
    }

    /* A tile of n x n positions to its points. */
    static void transform_input(
        Py_ssize_t n, const skcn_real *x, Py_ssize_t x_row, Py_ssize_t x_column,
        skcn_real *y, Py_ssize_t y_row, Py_ssize_t y_column)
    {
        if (n == 4)
            transform_2d(INPUT_4_4, 4, 4, x, x_row, x_column, y, y_row, y_column);
        else if (n == 6)
            transform_2d(INPUT_6_6, 6, 6, x, x_row, x_column, y, y_row, y_column);
        else
            transform_2d(INPUT_8_8, 8, 8, x, x_row, x_column, y, y_row, y_column);
    }

    /* Points to a tile of m x m positions. */
    static void transform_output(
        Py_ssize_t m, Py_ssize_t r, const skcn_real *x, Py_ssize_t x_row, Py_ssize_t x_column,
        skcn_real *y, Py_ssize_t y_row, Py_ssize_t y_column)
    {
        if (m == 2 && r == 3)
            transform_2d(OUTPUT_4_2, 4, 2, x, x_row, x_column, y, y_row, y_column);
        else if (m == 4 && r == 3)
            transform_2d(OUTPUT_6_4, 6, 4, x, x_row, x_column, y, y_row, y_column);
        else if (m == 2 && r == 5)
            transform_2d(OUTPUT_6_2, 6, 2, x, x_row, x_column, y, y_row, y_column);
        else
            transform_2d(OUTPUT_8_4, 8, 4, x, x_row, x_column, y, y_row, y_column);
    }

    /* The adjoint of transform_output. */
    static void transform_gradient(
        Py_ssize_t m, Py_ssize_t r, const skcn_real *x, Py_ssize_t x_row, Py_ssize_t x_column,
        skcn_real *y, Py_ssize_t y_row, Py_ssize_t y_column)
    {
        if (m == 2 && r == 3)
            transform_2d(SPREAD_2_4, 2, 4, x, x_row, x_column, y, y_row, y_column);
        else if (m == 4 && r == 3)
            transform_2d(SPREAD_4_6, 4, 6, x, x_row, x_column, y, y_row, y_column);
        else if (m == 2 && r == 5)
            transform_2d(SPREAD_2_6, 2, 6, x, x_row, x_column, y, y_row, y_column);
        else
            transform_2d(SPREAD_4_8, 4, 8, x, x_row, x_column, y, y_row, y_column);
    }

    /* A filter of r x r taps to its points. */
    static void transform_filter(
        Py_ssize_t m, Py_ssize_t r, const skcn_real *x, Py_ssize_t x_row, Py_ssize_t x_column,
        skcn_real *y, Py_ssize_t y_row, Py_ssize_t y_column)
    {
        if (m == 2 && r == 3)
            transform_2d(FILTER_3_4, 3, 4, x, x_row, x_column, y, y_row, y_column);
        else if (m == 4 && r == 3)
            transform_2d(FILTER_3_6, 3, 6, x, x_row, x_column, y, y_row, y_column);
        else if (m == 2 && r == 5)
            transform_2d(FILTER_5_6, 5, 6, x, x_row, x_column, y, y_row, y_column);
        else
            transform_2d(FILTER_5_8, 5, 8, x, x_row, x_column, y, y_row, y_column);
    }

    /* The adjoint of transform_filter. */
    static void fold_points(
        Py_ssize_t m, Py_ssize_t r, const skcn_real *x, Py_ssize_t x_row, Py_ssize_t x_column,
        skcn_real *y, Py_ssize_t y_row, Py_ssize_t y_column)
    {
        if (m == 2 && r == 3)
            transform_2d(FOLD_4_3, 4, 3, x, x_row, x_column, y, y_row, y_column);
        else if (m == 4 && r == 3)
            transform_2d(FOLD_6_3, 6, 3, x, x_row, x_column, y, y_row, y_column);
        else if (m == 2 && r == 5)
            transform_2d(FOLD_6_5, 6, 5, x, x_row, x_column, y, y_row, y_column);
        else
            transform_2d(FOLD_8_5, 8, 5, x, x_row, x_column, y, y_row, y_column);
    }
    """
    void transform_input(
        Py_ssize_t n, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
        real* y, Py_ssize_t y_row, Py_ssize_t y_column) noexcept nogil
    void transform_output(
        Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
        real* y, Py_ssize_t y_row, Py_ssize_t y_column) noexcept nogil
    void transform_gradient(
        Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
        real* y, Py_ssize_t y_row, Py_ssize_t y_column) noexcept nogil
    void transform_filter(
        Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
        real* y, Py_ssize_t y_row, Py_ssize_t y_column) noexcept nogil
    void fold_points(
        Py_ssize_t m, Py_ssize_t r, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
        real* y, Py_ssize_t y_row, Py_ssize_t y_column) noexcept nogil
