# The micro-kernels of sparse gradients: sums over the entries of dz, the few numbers that are not
# zero behind a max pool. `gather` sums windows of the input, `spread` sums filters.
#
# Design:
# * U runs of taps, which are rows of a window, times V vectors along them are sums in registers: a
#   multiply-add has a load of its own, since each entry has another window, or another filter.

cdef extern from *:
    """
    #define SPARSE_MR 6

    /* sum[u][v] += sum_i d[i] x[window[index[i]] + u x_row + v], over every `step`-th of the places
       of one image after the other. */
    #define DEFINE_GATHER(NAME, VEC) \\
    static inline __attribute__((always_inline)) void NAME( \\
        const int U, const int V, \\
        const skcn_real *x, Py_ssize_t image_size, Py_ssize_t x_row, \\
        const Py_ssize_t *window, const int32_t *index, const skcn_real *d, \\
        Py_ssize_t n_images, Py_ssize_t n_places, Py_ssize_t step, \\
        skcn_real *sum, Py_ssize_t sum_row) \\
    { \\
        VEC acc[SPARSE_MR * NV]; \\
        UNROLL for (int u = 0; u < U; u++) \\
            UNROLL for (int v = 0; v < V; v++) \\
                acc[u * V + v] = *(const VEC *) (sum + u * sum_row + v * LANES); \\
        for (; n_images > 0; n_images--, x += image_size) \\
            for (Py_ssize_t i = 0; i < n_places; i++, index += step, d += step) { \\
                const skcn_real *first = x + window[*index]; \\
                skcn_real d_i = *d; \\
                UNROLL for (int u = 0; u < U; u++) \\
                    UNROLL for (int v = 0; v < V; v++) \\
                        acc[u * V + v] += d_i * *(const VEC *) (first + u * x_row + v * LANES); \\
            } \\
        UNROLL for (int u = 0; u < U; u++) \\
            UNROLL for (int v = 0; v < V; v++) \\
                *(VEC *) (sum + u * sum_row + v * LANES) = acc[u * V + v]; \\
    }
    DEFINE_GATHER(gather_loop, vec)
    DEFINE_GATHER(gather_half_loop, half_vec)

    /* x[where[j] + u x_row + v] += sum_i d[j][i] w[which[j][i] V + u w_row + v], i < count[j], for
       every `step`-th j of each `width` from `first` on; d and which have n_filters numbers for
       each j. */
    static inline __attribute__((always_inline)) void spread_loop(
        const int U, const int V,
        const skcn_real *w, Py_ssize_t w_row,
        const Py_ssize_t *where, const Py_ssize_t *count,
        const int32_t *which, const skcn_real *d, Py_ssize_t n_filters,
        Py_ssize_t first, Py_ssize_t step, Py_ssize_t width, Py_ssize_t n,
        skcn_real *x, Py_ssize_t x_row)
    {
        for (Py_ssize_t end = width; end <= n; end += width)
            for (Py_ssize_t j = end - width + first; j < end; j += step) {
                if (count[j] == 0)
                    continue;
                vec acc[SPARSE_MR * NV];
                UNROLL for (int u = 0; u < U; u++)
                    UNROLL for (int v = 0; v < V; v++)
                        acc[u * V + v] = *(const vec *) ZEROS;
                for (Py_ssize_t i = j * n_filters; i < j * n_filters + count[j]; i++) {
                    const skcn_real *filter = w + which[i] * (V * LANES);
                    skcn_real d_i = d[i];
                    UNROLL for (int u = 0; u < U; u++)
                        UNROLL for (int v = 0; v < V; v++)
                            acc[u * V + v] += d_i * *(const vec *) (
                                filter + u * w_row + v * LANES);
                }
                /* Rows may overlap: each is done before the next. */
                skcn_real *window = x + where[j];
                UNROLL for (int u = 0; u < U; u++)
                    UNROLL for (int v = 0; v < V; v++)
                        *(vec *) (window + u * x_row + v * LANES) += acc[u * V + v];
            }
    }

    /* The loop for U rows and V vectors, both known to the compiler. */
    #define SIZES_OF(V, LOOP, ...) \\
        case V * 8 + 1: LOOP(1, V, __VA_ARGS__); break; \\
        case V * 8 + 2: LOOP(2, V, __VA_ARGS__); break; \\
        case V * 8 + 3: LOOP(3, V, __VA_ARGS__); break; \\
        case V * 8 + 4: LOOP(4, V, __VA_ARGS__); break; \\
        case V * 8 + 5: LOOP(5, V, __VA_ARGS__); break; \\
        case V * 8 + 6: LOOP(6, V, __VA_ARGS__); break;
    #ifdef WIDE_REGISTERS
    #define WIDER_SIZES(LOOP, ...) SIZES_OF(3, LOOP, __VA_ARGS__) SIZES_OF(4, LOOP, __VA_ARGS__)
    #else
    #define WIDER_SIZES(LOOP, ...)
    #endif
    #define ALL_SIZES(LOOP, ...) \\
        switch (V * 8 + U) { \\
            SIZES_OF(1, LOOP, __VA_ARGS__) \\
            SIZES_OF(2, LOOP, __VA_ARGS__) \\
            WIDER_SIZES(LOOP, __VA_ARGS__) \\
        }

    /* The same for half of the lanes, whose loads lie more often in one cache line. */
    static void gather_half(
        int U, const skcn_real *x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t *window, const int32_t *index, const skcn_real *d,
        Py_ssize_t n_images, Py_ssize_t n_places, Py_ssize_t step,
        skcn_real *sum, Py_ssize_t sum_row)
    {
        const int V = 1;
        switch (V * 8 + U) {
            SIZES_OF(1, gather_half_loop, x, image_size, x_row, window, index, d, n_images,
                     n_places, step, sum, sum_row)
        }
    }

    static void gather(
        int U, int V, const skcn_real *x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t *window, const int32_t *index, const skcn_real *d,
        Py_ssize_t n_images, Py_ssize_t n_places, Py_ssize_t step,
        skcn_real *sum, Py_ssize_t sum_row)
    {
        ALL_SIZES(gather_loop, x, image_size, x_row, window, index, d, n_images, n_places, step,
                  sum, sum_row)
    }

    static void spread(
        int U, int V, const skcn_real *w, Py_ssize_t w_row, const Py_ssize_t *where,
        const Py_ssize_t *count, const int32_t *which, const skcn_real *d, Py_ssize_t n_filters,
        Py_ssize_t first, Py_ssize_t step, Py_ssize_t width, Py_ssize_t n,
        skcn_real *x, Py_ssize_t x_row)
    {
        ALL_SIZES(spread_loop, w, w_row, where, count, which, d, n_filters, first, step, width, n,
                  x, x_row)
    }

    /* The entries of n_places neighbours in Y into the slots of their windows, counted from `first`
       on. Those that follow one another belong to different windows, so that no count is read which
       has only just been written. Inlined, it would not have the registers it needs. */
    static __attribute__((noinline)) void put_into_slots(
        const int32_t *index, const skcn_real *d, Py_ssize_t n_filters, Py_ssize_t n_places,
        Py_ssize_t first, Py_ssize_t *count, int32_t *filter, skcn_real *window_d)
    {
        for (Py_ssize_t f = 0; f < n_filters; f++)
            for (Py_ssize_t i = f; i < n_places * n_filters; i += n_filters) {
                Py_ssize_t window = first + index[i], to = window * n_filters + count[window]++;
                filter[to] = (int32_t) f;
                window_d[to] = d[i];
            }
    }
    """
    const int SPARSE_MR
    void gather(
        int U, int V, const real* x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t* window, const int32_t* index, const real* d, Py_ssize_t n_images,
        Py_ssize_t n_places, Py_ssize_t step, real* sum, Py_ssize_t sum_row) noexcept nogil
    void gather_half(
        int U, const real* x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t* window, const int32_t* index, const real* d, Py_ssize_t n_images,
        Py_ssize_t n_places, Py_ssize_t step, real* sum, Py_ssize_t sum_row) noexcept nogil
    void spread(
        int U, int V, const real* w, Py_ssize_t w_row, const Py_ssize_t* where,
        const Py_ssize_t* count, const int32_t* which, const real* d, Py_ssize_t n_filters,
        Py_ssize_t first, Py_ssize_t step, Py_ssize_t width, Py_ssize_t n, real* x,
        Py_ssize_t x_row) noexcept nogil
    void put_into_slots(
        const int32_t* index, const real* d, Py_ssize_t n_filters, Py_ssize_t n_places,
        Py_ssize_t first, Py_ssize_t* count, int32_t* filter, real* window_d) noexcept nogil
