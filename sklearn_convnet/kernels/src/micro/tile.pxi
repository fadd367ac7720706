# The micro-kernel. Convolution, its two gradients and the dense layers are all
#
#     c[r][v] (+)= init[v] + sum_k a[r][k_offset[k]] * b[k * b_row + v]
#
# for MR rows r and V vectors v held in registers, MR x NR numbers in the words of Goto and van de
# Geijn ("Anatomy of high-performance matrix multiplication", 2008), as are KC and MC. It is the
# caller who chooses what `a`, `k_offset` and `b` stand for: for a convolution, `a` are the corners
# of windows in the input and `k_offset` the taps of the filter; for its weight gradient, `a` are
# taps and `k_offset` windows. So no im2col matrix is ever built.
#
# Design:
# * Rows are pointers, not a stride: a tile may run over the end of a row of pixels, or of an
#   image, and still be full.
# * With pointers, a tile at an edge is a full tile whose surplus rows repeat another one and are
#   written to a spare row. Every row sees the same operations, so its bits do not depend on where
#   in a tile it lies, nor on what else is in the tile.
# * Rows that are read from memory where they lie are asked for a tile ahead, line by line. All of
#   them at once would be more than a core can ask for, and the tile would wait.
# * `b` is packed in panels of V vectors, padded with zeros, by the caller.
# * Where rows are equally far apart, as in matrices, a tile needs no pointers, and smaller tiles
#   do the rest of the rows: for short sums and few rows, that is twice as fast.

cdef extern from *:
    """
    #define PER_LINE (CACHE_LINE / (Py_ssize_t) sizeof(skcn_real))  /* numbers */

    /* How sums begin and end: */
    #define FROM_INIT 0
    #define ADD_C 1      /* from init, and c is added at the end */
    #define FROM_C 2     /* they go on, as if they had not been cut into parts */

    /* In C, because only loops that the compiler is told to unroll keep `acc` in registers
       from the first number to the last. */
    static inline __attribute__((always_inline)) void tile_loop(
        const int MR, const int V,
        const skcn_real *const *a,   /* IN  MR pointers */
        const Py_ssize_t *k_offset,  /* IN  (n_k) */
        Py_ssize_t n_k,
        const skcn_real *b,          /* IN  (n_k, b_row) */
        Py_ssize_t b_row,
        const skcn_real *init,       /* IN  V vectors */
        int sums,
        skcn_real **c,               /* OUT, INOUT unless FROM_INIT: MR pointers to V vectors */
        const int ASKS, const skcn_real *const *next)
    {
        const Py_ssize_t *end = k_offset + n_k;
        const skcn_real *row[MAX_MR];
        vec acc[MAX_MR * NV], b_vec[NV];
        UNROLL for (int r = 0; r < MR; r++) {
            row[r] = a[r];
            UNROLL for (int v = 0; v < V; v++)
                acc[r * V + v] = *(const vec *) ((sums == FROM_C ? c[r] : init) + v * LANES);
        }
        while (k_offset < end) {
            const Py_ssize_t *stop = end;
            if (ASKS) {
                UNROLL for (int r = 0; r < MR; r++)
                    __builtin_prefetch(next[r] + *k_offset);
                if (end - k_offset > PER_LINE)
                    stop = k_offset + PER_LINE;
            }
            for (; k_offset < stop; k_offset++, b += b_row) {
                Py_ssize_t offset = *k_offset;
                UNROLL for (int v = 0; v < V; v++)
                    b_vec[v] = *(const vec *) (b + v * LANES);
                UNROLL for (int r = 0; r < MR; r++) {
                    skcn_real a_k = row[r][offset];
                    UNROLL for (int v = 0; v < V; v++)
                        acc[r * V + v] += a_k * b_vec[v];
                }
            }
        }
        /* Rows may overlap (the input gradient scatters): each is done before the next. */
        UNROLL for (int r = 0; r < MR; r++) {
            UNROLL for (int v = 0; v < V; v++) {
                vec *to = (vec *) (c[r] + v * LANES);
                if (sums == ADD_C)
                    acc[r * V + v] += *to;
                *to = acc[r * V + v];
            }
        }
    }

    /* The same, while it asks for the lines of the next tile's rows, as it goes along its own. */
    static void tile_asking(
        Py_ssize_t V,
        const skcn_real *const *a, const Py_ssize_t *k_offset, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row, const skcn_real *init, int sums, skcn_real **c,
        const skcn_real *const *next)
    {
        switch (V) {
        case 1:
            tile_loop(MR_1, 1, a, k_offset, n_k, b, b_row, init, sums, c, 1, next);
            break;
        case 2:
            tile_loop(MR_2, 2, a, k_offset, n_k, b, b_row, init, sums, c, 1, next);
            break;
    #ifdef WIDE_REGISTERS
        case 3:
            tile_loop(MR_3, 3, a, k_offset, n_k, b, b_row, init, sums, c, 1, next);
            break;
        case 4:
            tile_loop(MR_4, 4, a, k_offset, n_k, b, b_row, init, sums, c, 1, next);
            break;
    #endif
        }
    }

    /* The same for rows of a that are a_row apart, and a_k from one k to the next; those of c are
       c_row apart. */
    static inline __attribute__((always_inline)) void matrix_loop(
        const int MR, const int V,
        const skcn_real *a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row,
        const skcn_real *init, int accumulate,
        skcn_real *c, Py_ssize_t c_row)
    {
        vec acc[MAX_MR * NV], b_vec[NV];
        UNROLL for (int r = 0; r < MR; r++)
            UNROLL for (int v = 0; v < V; v++)
                acc[r * V + v] = *(const vec *) (init + v * LANES);
        for (Py_ssize_t k = 0; k < n_k; k++, a += a_k, b += b_row) {
            UNROLL for (int v = 0; v < V; v++)
                b_vec[v] = *(const vec *) (b + v * LANES);
            UNROLL for (int r = 0; r < MR; r++) {
                skcn_real a_k_r = a[r * a_row];
                UNROLL for (int v = 0; v < V; v++)
                    acc[r * V + v] += a_k_r * b_vec[v];
            }
        }
        UNROLL for (int r = 0; r < MR; r++, c += c_row)
            UNROLL for (int v = 0; v < V; v++) {
                vec *to = (vec *) (c + v * LANES);
                if (accumulate)
                    acc[r * V + v] += *to;
                *to = acc[r * V + v];
            }
    }

    /* All rows, in tiles of MR, then of a few, then by themselves. */
    static inline __attribute__((always_inline)) void rows_loop(
        const int MR, const int FEW, const int V,
        const skcn_real *a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_rows, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row,
        const skcn_real *init, int accumulate,
        skcn_real *c, Py_ssize_t c_row)
    {
        for (; n_rows >= MR; n_rows -= MR, a += MR * a_row, c += MR * c_row)
            matrix_loop(MR, V, a, a_row, a_k, n_k, b, b_row, init, accumulate, c, c_row);
        for (; n_rows >= FEW; n_rows -= FEW, a += FEW * a_row, c += FEW * c_row)
            matrix_loop(FEW, V, a, a_row, a_k, n_k, b, b_row, init, accumulate, c, c_row);
        for (; n_rows > 0; n_rows--, a += a_row, c += c_row)
            matrix_loop(1, V, a, a_row, a_k, n_k, b, b_row, init, accumulate, c, c_row);
    }

    /* A panel of V vectors of a product of matrices. */
    static void matrix_rows(
        Py_ssize_t V,
        const skcn_real *a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_rows, Py_ssize_t n_k,
        const skcn_real *b, Py_ssize_t b_row,
        const skcn_real *init, int accumulate,
        skcn_real *c, Py_ssize_t c_row)
    {
        switch (V) {
        case 1:
            rows_loop(MR_1, 4, 1, a, a_row, a_k, n_rows, n_k, b, b_row, init,
                      accumulate, c, c_row);
            break;
        case 2:
            rows_loop(MR_2, 4, 2, a, a_row, a_k, n_rows, n_k, b, b_row, init,
                      accumulate, c, c_row);
            break;
    #ifdef WIDE_REGISTERS
        case 3:
            rows_loop(MR_3, 3, 3, a, a_row, a_k, n_rows, n_k, b, b_row, init,
                      accumulate, c, c_row);
            break;
        case 4:
            rows_loop(MR_4, 2, 4, a, a_row, a_k, n_rows, n_k, b, b_row, init,
                      accumulate, c, c_row);
            break;
    #endif
        }
    }
    """
    enum:
        MAX_MR
    const int FROM_INIT, ADD_C, FROM_C
    void matrix_rows(
        Py_ssize_t V, const real* a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t n_rows,
        Py_ssize_t n_k, const real* b, Py_ssize_t b_row, const real* init, bint accumulate, real* c,
        Py_ssize_t c_row) noexcept nogil
    void tile_loop(
        int MR, int V, const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k,
        const real* b, Py_ssize_t b_row, const real* init, int sums, real** c, int ASKS,
        const real** next) noexcept nogil
    void tile_asking(
        Py_ssize_t V, const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
        Py_ssize_t b_row, const real* init, int sums, real** c, const real** next) noexcept nogil


cdef void tile_1(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(MR_1, 1, a, k_offset, n_k, b, b_row, init, sums, c, 0, NULL)


cdef void tile_2(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(MR_2, 2, a, k_offset, n_k, b, b_row, init, sums, c, 0, NULL)


cdef void tile_3(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(MR_3, 3, a, k_offset, n_k, b, b_row, init, sums, c, 0, NULL)


cdef void tile_4(
    const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
    Py_ssize_t b_row, const real* init, int sums, real** c,
) noexcept nogil:
    tile_loop(MR_4, 4, a, k_offset, n_k, b, b_row, init, sums, c, 0, NULL)


cdef inline int mr_of(Py_ssize_t n_vec) noexcept nogil:
    """Rows of a tile that is `n_vec` vectors wide."""
    if n_vec == 1:
        return MR_1
    if n_vec == 2:
        return MR_2
    if n_vec == 3:
        return MR_3
    return MR_4


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
