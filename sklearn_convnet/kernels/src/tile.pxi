# The micro-kernel. Convolution, its two gradients and the dense layers are all
#
#     c[r][v] (+)= init[v] + sum_k a[r][k_offset[k]] * b[k * b_row + v]
#
# for R rows r and V vectors v held in registers. What `a`, `k_offset` and `b` stand for is
# the caller's choice: for a convolution, `a` are the corners of windows in the input and
# `k_offset` the taps of the filter; for its weight gradient, `a` are taps and `k_offset`
# windows. So no im2col matrix is ever built.
#
# Design:
# * Rows are pointers, not a stride: a tile may run over the end of a row of pixels, or of an
#   image, and still be full.
# * With pointers, a tile at an edge is a full tile whose surplus rows repeat another one and are
#   written to a spare row. Every row sees the same operations, so its bits do not depend on where
#   in a tile it lies, nor on what else is in the tile.
# * `b` is packed in panels of V vectors, padded with zeros, by the caller.
# * Where rows are equally far apart, as in matrices, a tile needs no pointers, and smaller tiles
#   do the rest of the rows: for short sums and few rows, that is twice as fast.

cdef enum:
    MAX_ROWS = 14          # of any tile
    ROW_BLOCK = 126        # rows between two uses of the same part of b


cdef extern from *:
    """
    /* How sums begin and end: */
    #define FROM_INIT 0
    #define ADD_C 1      /* from init, and c is added at the end */
    #define FROM_C 2     /* they go on, as if they had not been cut into parts */

    /* In C, because only loops that the compiler is told to unroll keep `acc` in registers
       from the first number to the last. */
    static inline __attribute__((always_inline)) void tile_loop(
        const int R, const int V,
        const skcn_real *const *a,   /* IN  R pointers */
        const Py_ssize_t *k_offset,  /* IN  (n_k) */
        Py_ssize_t n_k,
        const skcn_real *b,          /* IN  (n_k, b_row) */
        Py_ssize_t b_row,
        const skcn_real *init,       /* IN  V vectors */
        int sums,
        skcn_real **c)               /* OUT, INOUT unless FROM_INIT: R pointers to V vectors */
    {
        const Py_ssize_t *end = k_offset + n_k;
        const skcn_real *row[MAX_TILE_ROWS];
        vec acc[MAX_TILE_ROWS * MAX_VECTORS], b_vec[MAX_VECTORS];
        UNROLL for (int r = 0; r < R; r++) {
            row[r] = a[r];
            UNROLL for (int v = 0; v < V; v++)
                acc[r * V + v] = *(const vec *) ((sums == FROM_C ? c[r] : init) + v * LANES);
        }
        for (; k_offset < end; k_offset++, b += b_row) {
            Py_ssize_t offset = *k_offset;
            UNROLL for (int v = 0; v < V; v++)
                b_vec[v] = *(const vec *) (b + v * LANES);
            UNROLL for (int r = 0; r < R; r++) {
                skcn_real a_k = row[r][offset];
                UNROLL for (int v = 0; v < V; v++)
                    acc[r * V + v] += a_k * b_vec[v];
            }
        }
        /* Rows may overlap (the input gradient scatters): each is done before the next. */
        UNROLL for (int r = 0; r < R; r++) {
            UNROLL for (int v = 0; v < V; v++) {
                vec *to = (vec *) (c[r] + v * LANES);
                if (sums == ADD_C)
                    acc[r * V + v] += *to;
                *to = acc[r * V + v];
            }
        }
    }

    /* The same for rows of a that are a_row apart, and a_k from one k to the next; those of c are
       c_row apart. */
    static inline __attribute__((always_inline)) void matrix_loop(
        const int R, const int V,
        const skcn_real *a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row,
        const skcn_real *init, int add,
        skcn_real *c, Py_ssize_t c_row)
    {
        vec acc[MAX_TILE_ROWS * MAX_VECTORS], b_vec[MAX_VECTORS];
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < V; v++)
                acc[r * V + v] = *(const vec *) (init + v * LANES);
        for (Py_ssize_t k = 0; k < n_k; k++, a += a_k, b += b_row) {
            UNROLL for (int v = 0; v < V; v++)
                b_vec[v] = *(const vec *) (b + v * LANES);
            UNROLL for (int r = 0; r < R; r++) {
                skcn_real a_k_r = a[r * a_row];
                UNROLL for (int v = 0; v < V; v++)
                    acc[r * V + v] += a_k_r * b_vec[v];
            }
        }
        UNROLL for (int r = 0; r < R; r++, c += c_row)
            UNROLL for (int v = 0; v < V; v++) {
                vec *to = (vec *) (c + v * LANES);
                if (add)
                    acc[r * V + v] += *to;
                *to = acc[r * V + v];
            }
    }

    /* All rows, in tiles of R, then of S, then by themselves. */
    static inline __attribute__((always_inline)) void rows_loop(
        const int R, const int S, const int V,
        const skcn_real *a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_rows, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row,
        const skcn_real *init, int add,
        skcn_real *c, Py_ssize_t c_row)
    {
        for (; n_rows >= R; n_rows -= R, a += R * a_row, c += R * c_row)
            matrix_loop(R, V, a, a_row, a_k, n_k, b, b_row, init, add, c, c_row);
        for (; n_rows >= S; n_rows -= S, a += S * a_row, c += S * c_row)
            matrix_loop(S, V, a, a_row, a_k, n_k, b, b_row, init, add, c, c_row);
        for (; n_rows > 0; n_rows--, a += a_row, c += c_row)
            matrix_loop(1, V, a, a_row, a_k, n_k, b, b_row, init, add, c, c_row);
    }

    /* A panel of V vectors of a product of matrices. */
    static void matrix_rows(
        Py_ssize_t V,
        const skcn_real *a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_rows, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row,
        const skcn_real *init, int add,
        skcn_real *c, Py_ssize_t c_row)
    {
        switch (V) {
        case 1:
            rows_loop(TILE_ROWS_1, 4, 1, a, a_row, a_k, n_rows, n_k, b, b_row, init, add, c, c_row);
            break;
        case 2:
            rows_loop(TILE_ROWS_2, 4, 2, a, a_row, a_k, n_rows, n_k, b, b_row, init, add, c, c_row);
            break;
    #ifdef WIDE_REGISTERS
        case 3:
            rows_loop(TILE_ROWS_3, 3, 3, a, a_row, a_k, n_rows, n_k, b, b_row, init, add, c, c_row);
            break;
        case 4:
            rows_loop(TILE_ROWS_4, 2, 4, a, a_row, a_k, n_rows, n_k, b, b_row, init, add, c, c_row);
            break;
    #endif
        }
    }
    """
    const int FROM_INIT, ADD_C, FROM_C
    void matrix_rows(
        Py_ssize_t V, const real* a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_rows,
        Py_ssize_t n_k, const real* b, Py_ssize_t b_row, const real* init, bint add, real* c,
        Py_ssize_t c_row) noexcept nogil
    void tile_loop(
        int R, int V, const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k,
        const real* b, Py_ssize_t b_row, const real* init, int sums, real** c) noexcept nogil


cdef void tile_1(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(TILE_ROWS_1, 1, a, k_offset, n_k, b, b_row, init, sums, c)


cdef void tile_2(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(TILE_ROWS_2, 2, a, k_offset, n_k, b, b_row, init, sums, c)


cdef void tile_3(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(TILE_ROWS_3, 3, a, k_offset, n_k, b, b_row, init, sums, c)


cdef void tile_4(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(TILE_ROWS_4, 4, a, k_offset, n_k, b, b_row, init, sums, c)


cdef inline int tile_rows(Py_ssize_t n_vec) noexcept nogil:
    """Rows of a tile that is `n_vec` vectors wide."""
    if n_vec == 1:
        return TILE_ROWS_1
    if n_vec == 2:
        return TILE_ROWS_2
    if n_vec == 3:
        return TILE_ROWS_3
    return TILE_ROWS_4


cdef inline void tile(
    Py_ssize_t n_vec, const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k,
    const real* b, Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    if n_vec == 1:
        tile_1(a, k_offset, n_k, b, b_row, init, sums, c)
    elif n_vec == 2:
        tile_2(a, k_offset, n_k, b, b_row, init, sums, c)
    elif n_vec == 3:
        tile_3(a, k_offset, n_k, b, b_row, init, sums, c)
    else:
        tile_4(a, k_offset, n_k, b, b_row, init, sums, c)


# Panels: the columns of b are cut into panels of nearly equal width, at most MAX_VECTORS
# vectors. Panel p of width V lies at b + n_k * (first vector) * LANES, in rows of V vectors.

cdef inline Py_ssize_t vectors_for(Py_ssize_t n_columns) noexcept nogil:
    return ceil_div(n_columns, LANES)


cdef inline Py_ssize_t panels_for(Py_ssize_t n_vec) noexcept nogil:
    return ceil_div(n_vec, MAX_VECTORS)


cdef inline Py_ssize_t panel_start(Py_ssize_t n_vec, Py_ssize_t panel) noexcept nogil:
    """The first vector of a panel; that of the panel past the last is n_vec."""
    return part(n_vec, panel, panels_for(n_vec))


cdef inline void copy_row(const real* source, real* target, Py_ssize_t n) noexcept nogil:
    """A few numbers, for which a call of memcpy takes long."""
    cdef Py_ssize_t v, i, rest = n % LANES
    for v in range(n // LANES):
        put(target + v * LANES, at(source + v * LANES))
    i = n - rest
    # Of known sizes, which the compiler makes moves of.
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


cdef void pack_panel(
    const real* b,               # IN  element (k, j) at b[k * row_step + j * column_step]
    Py_ssize_t row_step, Py_ssize_t column_step,
    Py_ssize_t n_k, Py_ssize_t n_columns, Py_ssize_t n_lanes,
    real* packed,                # OUT (n_k, n_lanes), zero from n_columns on
) noexcept nogil:
    cdef Py_ssize_t k, j
    if column_step == 1:
        copy_columns(b, row_step, packed, n_lanes, n_k, n_columns)
    elif row_step == 1:
        transpose(b, column_step, n_columns, n_k, packed, n_lanes)
    else:
        for j in range(n_columns):
            for k in range(n_k):
                packed[k * n_lanes + j] = b[k * row_step + j * column_step]
    for k in range(n_k):
        for j in range(n_columns, n_lanes):
            packed[k * n_lanes + j] = 0
