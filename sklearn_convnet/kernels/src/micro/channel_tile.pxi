# The micro-kernel of depth-wise convolutions: vectors run over channels on both sides, so that it
# multiplies vector by vector, with a load for each multiply-add.
#
#   c[r] (+)= init + sum_k a[r][a_offset[k]] * b[b_offset[k]]

cdef extern from *:
    """
    #define CHANNEL_MR 6  /* rows of a tile */

    static void channel_tile(
        const skcn_real **a,         /* IN  CHANNEL_MR pointers to vectors */
        const Py_ssize_t *a_offset,  /* IN  (n_k) */
        const skcn_real *b,          /* IN  vectors */
        const Py_ssize_t *b_offset,  /* IN  (n_k) */
        Py_ssize_t n_k,
        const skcn_real *init,       /* IN  a vector */
        int accumulate,
        skcn_real **c)               /* OUT, INOUT if accumulate: likewise */
    {
        vec acc[CHANNEL_MR];
        UNROLL for (int r = 0; r < CHANNEL_MR; r++)
            acc[r] = *(const vec *) init;
        for (Py_ssize_t k = 0; k < n_k; k++) {
            vec b_vec = *(const vec *) (b + b_offset[k]);
            UNROLL for (int r = 0; r < CHANNEL_MR; r++)
                acc[r] += *(const vec *) (a[r] + a_offset[k]) * b_vec;
        }
        UNROLL for (int r = 0; r < CHANNEL_MR; r++) {
            if (accumulate)
                acc[r] += *(vec *) c[r];
            *(vec *) c[r] = acc[r];
        }
    }
    """
    enum:
        CHANNEL_MR
    void channel_tile(
        const real** a, const Py_ssize_t* a_offset, const real* b, const Py_ssize_t* b_offset,
        Py_ssize_t n_k, const real* init, bint accumulate, real** c) noexcept nogil
