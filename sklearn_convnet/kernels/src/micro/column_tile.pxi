# The micro-kernels of norms: sums down the columns of a few rows, COLUMN_NV vectors of them side by
# side, so that no addition waits for the one before it, and rows are read as they lie in memory.

cdef extern from *:
    """
    #define COLUMN_NV 4

    /* sum[v] = sum_r w[r] (x[r][v] - centre[v]), or of the square of that */
    static inline __attribute__((always_inline)) void deviations_tile(
        const skcn_real *x, Py_ssize_t row, Py_ssize_t n_rows, const skcn_real *centre,
        const skcn_real *w, int squared, skcn_real *sum, int V)
    {
        vec acc[COLUMN_NV];
        UNROLL for (int v = 0; v < V; v++)
            acc[v] = (vec) {0};
        for (Py_ssize_t r = 0; r < n_rows; r++)
            UNROLL for (int v = 0; v < V; v++) {
                vec d = *(const vec *) (x + r * row + v * LANES)
                        - *(const vec *) (centre + v * LANES);
                if (squared)
                    d *= d;
                acc[v] += w[r] * d;
            }
        UNROLL for (int v = 0; v < V; v++)
            *(vec *) (sum + v * LANES) = acc[v];
    }

    static void sum_deviations(
        const skcn_real *x, Py_ssize_t row, Py_ssize_t n_rows,  /* IN  */
        Py_ssize_t n,                                           /* whole vectors of columns */
        const skcn_real *centre, const skcn_real *w,            /* IN  (n), (n_rows) */
        int squared,
        skcn_real *sum)                                         /* OUT (n) */
    {
        Py_ssize_t c = 0;
        for (; c + COLUMN_NV * LANES <= n; c += COLUMN_NV * LANES)
            if (squared)
                deviations_tile(x + c, row, n_rows, centre + c, w, 1, sum + c, COLUMN_NV);
            else
                deviations_tile(x + c, row, n_rows, centre + c, w, 0, sum + c, COLUMN_NV);
        for (; c < n; c += LANES)
            deviations_tile(x + c, row, n_rows, centre + c, w, squared, sum + c, 1);
    }

    /* sum[v] = sum_r d[r][v], product[v] = sum_r d[r][v] (x[r][v] - centre[v]) */
    static inline __attribute__((always_inline)) void products_tile(
        const skcn_real *d, const skcn_real *x, Py_ssize_t row, Py_ssize_t n_rows,
        const skcn_real *centre, skcn_real *sum, skcn_real *product, int V)
    {
        vec acc[COLUMN_NV], products[COLUMN_NV];
        UNROLL for (int v = 0; v < V; v++)
            acc[v] = products[v] = (vec) {0};
        for (Py_ssize_t r = 0; r < n_rows; r++)
            UNROLL for (int v = 0; v < V; v++) {
                vec d_vec = *(const vec *) (d + r * row + v * LANES);
                acc[v] += d_vec;
                products[v] += d_vec * (*(const vec *) (x + r * row + v * LANES)
                                        - *(const vec *) (centre + v * LANES));
            }
        UNROLL for (int v = 0; v < V; v++) {
            *(vec *) (sum + v * LANES) = acc[v];
            *(vec *) (product + v * LANES) = products[v];
        }
    }

    static void sum_products(
        const skcn_real *d, const skcn_real *x,  /* IN  */
        Py_ssize_t row, Py_ssize_t n_rows,
        Py_ssize_t n,                            /* whole vectors of columns */
        const skcn_real *centre,                 /* IN  (n) */
        skcn_real *sum, skcn_real *product)      /* OUT (n) */
    {
        Py_ssize_t c = 0;
        for (; c + COLUMN_NV * LANES <= n; c += COLUMN_NV * LANES)
            products_tile(d + c, x + c, row, n_rows, centre + c, sum + c, product + c, COLUMN_NV);
        for (; c < n; c += LANES)
            products_tile(d + c, x + c, row, n_rows, centre + c, sum + c, product + c, 1);
    }
    """
    void sum_deviations(
        const real* x, Py_ssize_t row, Py_ssize_t n_rows, Py_ssize_t n, const real* centre,
        const real* w, bint squared, real* sum) noexcept nogil
    void sum_products(
        const real* d, const real* x, Py_ssize_t row, Py_ssize_t n_rows, Py_ssize_t n,
        const real* centre, real* sum, real* product) noexcept nogil
