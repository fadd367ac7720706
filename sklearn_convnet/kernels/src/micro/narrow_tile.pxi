# The micro-kernel of narrow.pxi: NARROW_FILTERS filters at the four positions of LANES windows.

cdef extern from *:
    """
    #ifdef WIDE_REGISTERS
    #define NARROW_FILTERS 6
    #else
    #define NARROW_FILTERS 3
    #endif

    /* z[f][dy][dx] = b[f] + sum_k w[k][f] x[tap_dx[k] + dy * x_row] */
    static void narrow_tile(
        const skcn_real *x, Py_ssize_t x_row,
        const Py_ssize_t *tap_0, const Py_ssize_t *tap_1, Py_ssize_t n_taps,
        const skcn_real *w,                               /* (n_taps, NARROW_FILTERS) */
        const skcn_real *b, skcn_real *z, Py_ssize_t z_step)
    {
        vec acc[4 * NARROW_FILTERS];
        UNROLL for (int f = 0; f < NARROW_FILTERS; f++)
            UNROLL for (int i = 0; i < 4; i++)
                acc[f * 4 + i] = b[f] - (vec) {0};
        for (Py_ssize_t k = 0; k < n_taps; k++, w += NARROW_FILTERS) {
            UNROLL for (int dy = 0; dy < 2; dy++) {
                vec left = *(const vec *) (x + tap_0[k] + dy * x_row);
                vec right = *(const vec *) (x + tap_1[k] + dy * x_row);
                UNROLL for (int f = 0; f < NARROW_FILTERS; f++) {
                    acc[f * 4 + dy * 2] += w[f] * left;
                    acc[f * 4 + dy * 2 + 1] += w[f] * right;
                }
                /* Loads the filters anew: to keep them would take a register too many. */
                __asm__ volatile ("" ::: "memory");
            }
        }
        UNROLL for (int f = 0; f < NARROW_FILTERS; f++)
            UNROLL for (int i = 0; i < 4; i++)
                *(vec *) (z + (f * 4 + i) * z_step) = acc[f * 4 + i];
    }

    static const skcn_bits EVEN[16] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};

    /* The maximum of four vectors `step` apart and its place in a map, from `first` on, where
       rows have `width` columns; the place is not wanted where index is NULL. */
    static inline void narrow_max(
        const skcn_real *z, Py_ssize_t step, Py_ssize_t first, Py_ssize_t width,
        skcn_real *y, int32_t *index)
    {
        vec best = *(const vec *) z;
        bits_vec place = *(const bits_vec *) EVEN + (skcn_bits) first, corner = place;
        keep_larger(&best, &place, *(const vec *) (z + step), corner + 1);
        keep_larger(&best, &place, *(const vec *) (z + 2 * step), corner + (skcn_bits) width);
        keep_larger(&best, &place, *(const vec *) (z + 3 * step), corner + (skcn_bits) (width + 1));
        *(vec *) y = best;
        if (index)
            store_places(index, place);
    }
    """
    const int NARROW_FILTERS
    void narrow_tile(
        const real* x, Py_ssize_t x_row, const Py_ssize_t* tap_0, const Py_ssize_t* tap_1,
        Py_ssize_t n_taps, const real* w, const real* b, real* z, Py_ssize_t z_step) noexcept nogil
    void narrow_max(
        const real* z, Py_ssize_t step, Py_ssize_t first, Py_ssize_t width, real* y,
        int32_t* index) noexcept nogil
