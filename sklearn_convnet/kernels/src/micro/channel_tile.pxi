# The micro-kernels of depth-wise convolutions: vectors run over channels on both sides, so that
# they multiply vector by vector, with a load for each multiply-add.
#
#   c[r] (+)= init + sum_k a[r][a_offset[k]] * b[b_offset[k]]
#
# A tile by pointers adds to its rows; positions that are equally far apart need none, and have
# tiles of many rows: what they load of b serves all of them, and no sum waits for itself. Their k
# are taps, equally far apart along each axis, and their sums may end in a clamp.

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

    /* x, but low where it is less, and high where it is more. NaN stays. */
    static inline __attribute__((always_inline)) vec within(vec x, vec low, vec high)
    {
        bits_vec less = (bits_vec) (x < low), more = (bits_vec) (x > high);
        x = (vec) (((bits_vec) low & less) | ((bits_vec) x & ~less));
        return (vec) (((bits_vec) high & more) | ((bits_vec) x & ~more));
    }

    /* Taps along depth, height and width: how many, and how far one is from the next in a and b. */
    typedef struct {
        Py_ssize_t n[3], a[3], b[3];
    } taps;

    static inline __attribute__((always_inline)) void spaced_tile(
        const int MR,
        const skcn_real *a, Py_ssize_t a_row, const skcn_real *b, const taps *t,
        const skcn_real *init, const skcn_real *bounds, skcn_real *c, Py_ssize_t c_row)
    {
        vec acc[MAX_MR];
        UNROLL for (int r = 0; r < MR; r++)
            acc[r] = init ? *(const vec *) init : (vec) {0};
        for (Py_ssize_t d = 0; d < t->n[0]; d++)
            for (Py_ssize_t h = 0; h < t->n[1]; h++) {
                const skcn_real *x = a + d * t->a[0] + h * t->a[1];
                const skcn_real *w = b + d * t->b[0] + h * t->b[1];
                for (Py_ssize_t k = 0; k < t->n[2]; k++, x += t->a[2], w += t->b[2]) {
                    vec w_vec = *(const vec *) w;
                    UNROLL for (int r = 0; r < MR; r++)
                        acc[r] += *(const vec *) (x + r * a_row) * w_vec;
                }
            }
        if (bounds) {
            vec low = bounds[0] + (vec) {0}, high = bounds[1] + (vec) {0};
            UNROLL for (int r = 0; r < MR; r++)
                acc[r] = within(acc[r], low, high);
        }
        UNROLL for (int r = 0; r < MR; r++)
            *(vec *) (c + r * c_row) = acc[r];
    }

    /* A row of n positions, a_row apart in a and c_row apart in c, in tiles of five sizes, and all
       of its channels, at least a vector of them. The last tile begins early if it would not be
       full, and so does the last vector: they do some numbers once more. */
    static void channel_row(
        Py_ssize_t n, Py_ssize_t n_channels,
        const skcn_real *a, Py_ssize_t a_row, const skcn_real *b, const taps *t,
        const skcn_real *init,       /* IN  (n_channels), or NULL */
        const skcn_real *bounds,     /* IN  the least and the largest of c, or NULL */
        skcn_real *c, Py_ssize_t c_row)
    {
    #define TILES(MR) \\
        for (Py_ssize_t i = 0; i < n_channels; i += LANES) { \\
            Py_ssize_t v = i + LANES > n_channels ? n_channels - LANES : i; \\
            spaced_tile(MR, a + r * a_row + v, a_row, b + v, t, init ? init + v : NULL, bounds, \\
                        c + r * c_row + v, c_row); \\
        } \\
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
    ctypedef struct Taps "taps":
        Py_ssize_t n[3]
        Py_ssize_t a[3]
        Py_ssize_t b[3]
    void channel_tile(
        const real** a, const Py_ssize_t* a_offset, const real* b, const Py_ssize_t* b_offset,
        Py_ssize_t n_k, real** c) noexcept nogil
    void channel_row(
        Py_ssize_t n, Py_ssize_t n_channels, const real* a, Py_ssize_t a_row, const real* b,
        const Taps* taps, const real* init, const real* bounds, real* c,
        Py_ssize_t c_row) noexcept nogil
