# Copies and transpositions, with which other layers put numbers where the micro-kernels read them
# one after the other.

cdef inline void copy_row(const real* source, real* target, Py_ssize_t n) noexcept nogil:
    """A few numbers, for which a call of memcpy takes long."""
    cdef Py_ssize_t v, i, rest = n % LANES
    for v in range(n // LANES):
        put(target + v * LANES, at(source + v * LANES))
    i = n - rest
    # These have known sizes: the compiler makes moves of them.
    if rest & 8:
        memcpy(target + i, source + i, 8 * sizeof(real))
        i += 8
    if rest & 4:
        memcpy(target + i, source + i, 4 * sizeof(real))
        i += 4
    if rest & 2:
        memcpy(target + i, source + i, 2 * sizeof(real))
        i += 2
    if rest & 1:
        target[i] = source[i]


cdef void copy_columns(
    const real* source, Py_ssize_t source_row, real* target, Py_ssize_t target_row,
    Py_ssize_t n_rows, Py_ssize_t width
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_rows):
        copy_row(source + i * source_row, target + i * target_row, width)


cdef inline void scale_row(
    const real* source, const real* scale, real* target, Py_ssize_t n
) noexcept nogil:
    """A copy, each number times its factor."""
    cdef Py_ssize_t v, j
    for v in range(n // LANES):
        put(target + v * LANES, at(source + v * LANES) * at(scale + v * LANES))
    for j in range(n // LANES * LANES, n):
        target[j] = source[j] * scale[j]


cdef extern from *:
    """
    typedef skcn_real quad
        __attribute__((vector_size(4 * sizeof(skcn_real)), aligned(sizeof(skcn_real)), may_alias));
    typedef skcn_bits quad_bits __attribute__((vector_size(4 * sizeof(skcn_real))));
    #ifdef __clang__
    #define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
    #else
    #define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_bits) {i, j, k, l})
    #endif

    /* y[i y_row + j] = x[j x_row + i], i, j < 4 */
    static inline void transpose_4(
        const skcn_real *x, Py_ssize_t x_row, skcn_real *y, Py_ssize_t y_row)
    {
        quad a = *(const quad *) x, b = *(const quad *) (x + x_row);
        quad c = *(const quad *) (x + 2 * x_row), d = *(const quad *) (x + 3 * x_row);
        quad ab_low = SHUFFLE(a, b, 0, 4, 1, 5), ab_high = SHUFFLE(a, b, 2, 6, 3, 7);
        quad cd_low = SHUFFLE(c, d, 0, 4, 1, 5), cd_high = SHUFFLE(c, d, 2, 6, 3, 7);
        *(quad *) y = SHUFFLE(ab_low, cd_low, 0, 1, 4, 5);
        *(quad *) (y + y_row) = SHUFFLE(ab_low, cd_low, 2, 3, 6, 7);
        *(quad *) (y + 2 * y_row) = SHUFFLE(ab_high, cd_high, 0, 1, 4, 5);
        *(quad *) (y + 3 * y_row) = SHUFFLE(ab_high, cd_high, 2, 3, 6, 7);
    }
    /* Squares as wide as a vector, if that is more than four numbers: their quads change places
       first, as numbers of a smaller square would, and then each quad's numbers. */
    #if defined SINGLE && SIMD_BYTES > 16
    #define SQUARE (SIMD_BYTES / 4)  /* numbers of a second vector are counted from here on */
    #ifdef __clang__
    #define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define PICK(a, b, ...) __builtin_shuffle(a, b, (bits_vec) {__VA_ARGS__})
    #endif
    #if SIMD_BYTES == 32
    #define QUADS(i, j) FOUR(4 * (i)), FOUR(4 * (j))
    #define IN_QUADS(i, j, k, l) i, j, k, l, i + 4, j + 4, k + 4, l + 4
    #else
    #define QUADS(i, j, k, l) FOUR(4 * (i)), FOUR(4 * (j)), FOUR(4 * (k)), FOUR(4 * (l))
    #define IN_QUADS(i, j, k, l)                                                                  \\
        i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8,                       \\
        i + 12, j + 12, k + 12, l + 12
    #endif
    #define FOUR(i) (i), (i) + 1, (i) + 2, (i) + 3

    static inline __attribute__((always_inline)) void change_quads(vec *low, vec *high, int apart)
    {
        vec a = *low, b = *high;
    #if SIMD_BYTES == 32
        *low = PICK(a, b, QUADS(0, 2));
        *high = PICK(a, b, QUADS(1, 3));
    #else
        *low = apart == 8 ? PICK(a, b, QUADS(0, 1, 4, 5)) : PICK(a, b, QUADS(0, 4, 2, 6));
        *high = apart == 8 ? PICK(a, b, QUADS(2, 3, 6, 7)) : PICK(a, b, QUADS(1, 5, 3, 7));
    #endif
    }

    static inline void transpose_square(
        const skcn_real *x, Py_ssize_t x_row, skcn_real *y, Py_ssize_t y_row)
    {
        vec r[SQUARE];
        UNROLL for (int i = 0; i < SQUARE; i++)
            r[i] = *(const vec *) (x + i * x_row);
        UNROLL for (int apart = SQUARE / 2; apart >= 4; apart /= 2)
            UNROLL for (int i = 0; i < SQUARE; i++)
                if (!(i & apart))
                    change_quads(&r[i], &r[i + apart], apart);
        UNROLL for (int i = 0; i < SQUARE; i += 4, y += 4 * y_row) {
            vec ab_low = PICK(r[i], r[i + 1], IN_QUADS(0, SQUARE, 1, SQUARE + 1));
            vec ab_high = PICK(r[i], r[i + 1], IN_QUADS(2, SQUARE + 2, 3, SQUARE + 3));
            vec cd_low = PICK(r[i + 2], r[i + 3], IN_QUADS(0, SQUARE, 1, SQUARE + 1));
            vec cd_high = PICK(r[i + 2], r[i + 3], IN_QUADS(2, SQUARE + 2, 3, SQUARE + 3));
            *(vec *) y = PICK(ab_low, cd_low, IN_QUADS(0, 1, SQUARE, SQUARE + 1));
            *(vec *) (y + y_row) = PICK(ab_low, cd_low, IN_QUADS(2, 3, SQUARE + 2, SQUARE + 3));
            *(vec *) (y + 2 * y_row) = PICK(ab_high, cd_high, IN_QUADS(0, 1, SQUARE, SQUARE + 1));
            *(vec *) (y + 3 * y_row) =
                PICK(ab_high, cd_high, IN_QUADS(2, 3, SQUARE + 2, SQUARE + 3));
        }
    }
    #else
    #define SQUARE 4
    #define transpose_square transpose_4
    #endif

    /* All squares of n_rows by n_columns, then those of four that are left. */
    static void transpose_squares(
        const skcn_real *x, Py_ssize_t x_row, Py_ssize_t n_rows, Py_ssize_t n_columns,
        skcn_real *y, Py_ssize_t y_row)
    {
        Py_ssize_t rows = n_rows / SQUARE * SQUARE, columns = n_columns / SQUARE * SQUARE;
        for (Py_ssize_t i = 0; i < rows; i += SQUARE)
            for (Py_ssize_t j = 0; j < columns; j += SQUARE)
                transpose_square(x + i * x_row + j, x_row, y + j * y_row + i, y_row);
        for (Py_ssize_t i = 0; i + 4 <= n_rows; i += 4)
            for (Py_ssize_t j = i < rows ? columns : 0; j + 4 <= n_columns; j += 4)
                transpose_4(x + i * x_row + j, x_row, y + j * y_row + i, y_row);
    }
    """
    void transpose_squares(
        const real* x, Py_ssize_t x_row, Py_ssize_t n_rows, Py_ssize_t n_columns, real* y,
        Py_ssize_t y_row) noexcept nogil


cdef void transpose(
    const real* x, Py_ssize_t x_row, Py_ssize_t n_rows, Py_ssize_t n_columns,
    real* y, Py_ssize_t y_row
) noexcept nogil:
    """y(j, i) = x(i, j)"""
    cdef Py_ssize_t i, j, rows = n_rows // 4 * 4, columns = n_columns // 4 * 4
    transpose_squares(x, x_row, n_rows, n_columns, y, y_row)
    for j in range(columns, n_columns):
        for i in range(rows):
            y[j * y_row + i] = x[i * x_row + j]
    for i in range(rows, n_rows):
        for j in range(n_columns):
            y[j * y_row + i] = x[i * x_row + j]
