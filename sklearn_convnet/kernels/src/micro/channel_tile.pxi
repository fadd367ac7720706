# The micro-kernels of depth-wise convolutions: vectors run over channels on both sides, so that
# they multiply vector by vector, with a load for each multiply-add.
#
#   c[r] (+)= init + sum_k a[r][a_offset[k]] * b[b_offset[k]]
#
# A tile by pointers adds to its rows; positions that are equally far apart need none, and have
# tiles of many rows: what they load of b serves all of them, and no sum waits for itself.

cdef extern from *:
    """
    #define CHANNEL_MR 6  /* rows of a tile by pointers */

    static void channel_tile(
        const skcn_real **a,         /* IN  CHANNEL_MR pointers to vectors */
        const Py_ssize_t *a_offset,  /* IN  (n_k) */
        const skcn_real *b,          /* IN  vectors */
        const Py_ssize_t *b_offset,  /* IN  (n_k) */
        Py_ssize_t n_k,
        skcn_real **c)               /* INOUT CHANNEL_MR pointers to vectors */
    {
        vec acc[CHANNEL_MR];
        UNROLL for (int r = 0; r < CHANNEL_MR; r++)
            acc[r] = (vec) {0};
        for (Py_ssize_t k = 0; k < n_k; k++) {
            vec b_vec = *(const vec *) (b + b_offset[k]);
            UNROLL for (int r = 0; r < CHANNEL_MR; r++)
                acc[r] += *(const vec *) (a[r] + a_offset[k]) * b_vec;
        }
        UNROLL for (int r = 0; r < CHANNEL_MR; r++)
            *(vec *) c[r] += acc[r];
    }

    static inline __attribute__((always_inline)) void spaced_tile(
        const int MR,
        const skcn_real *a, Py_ssize_t a_row, const Py_ssize_t *a_offset,
        const skcn_real *b, const Py_ssize_t *b_offset, Py_ssize_t n_k,
        const skcn_real *init, skcn_real *c, Py_ssize_t c_row)
    {
        vec acc[MAX_MR];
        UNROLL for (int r = 0; r < MR; r++)
            acc[r] = init ? *(const vec *) init : (vec) {0};
        for (Py_ssize_t k = 0; k < n_k; k++) {
            const skcn_real *x = a + a_offset[k];
            vec b_vec = *(const vec *) (b + b_offset[k]);
            UNROLL for (int r = 0; r < MR; r++)
                acc[r] += *(const vec *) (x + r * a_row) * b_vec;
        }
        UNROLL for (int r = 0; r < MR; r++)
            *(vec *) (c + r * c_row) = acc[r];
    }

    /* n_vec vectors of a row of n positions, a_row apart in a and c_row apart in c, in tiles of
       five sizes. The last of them begins early if it would not be full, and does some positions
       once more. */
    static void channel_row(
        Py_ssize_t n, Py_ssize_t n_vec,
        const skcn_real *a, Py_ssize_t a_row, const Py_ssize_t *a_offset,
        const skcn_real *b, const Py_ssize_t *b_offset, Py_ssize_t n_k,
        const skcn_real *init,       /* IN  n_vec vectors, or NULL */
        skcn_real *c, Py_ssize_t c_row)
    {
    #define TILES(MR) \\
        for (Py_ssize_t v = 0; v < n_vec * LANES; v += LANES) \\
            spaced_tile(MR, a + r * a_row + v, a_row, a_offset, b + v, b_offset, n_k, \\
                        init ? init + v : NULL, c + r * c_row + v, c_row); \\
        break
        Py_ssize_t r = 0, size;
        for (; r < n; r += size) {
            size = n - r > 8 ? 14 : n - r > 7 ? 8 : n - r > 4 ? 7 : n - r > 1 ? 4 : 1;
            while (size > n)
                size = size > 8 ? 8 : size > 7 ? 7 : size > 4 ? 4 : 1;
            r = r + size > n ? n - size : r;
            switch (size) {
            case 14: TILES(14);
            case 8: TILES(8);
            case 7: TILES(7);
            case 4: TILES(4);
            default: TILES(1);
            }
        }
    #undef TILES
    }
    """
    enum:
        CHANNEL_MR
    void channel_tile(
        const real** a, const Py_ssize_t* a_offset, const real* b, const Py_ssize_t* b_offset,
        Py_ssize_t n_k, real** c) noexcept nogil
    void channel_row(
        Py_ssize_t n, Py_ssize_t n_vec, const real* a, Py_ssize_t a_row,
        const Py_ssize_t* a_offset, const real* b, const Py_ssize_t* b_offset, Py_ssize_t n_k,
        const real* init, real* c, Py_ssize_t c_row) noexcept nogil
