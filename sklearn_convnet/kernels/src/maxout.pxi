# Maxout: Y(i) = max over p of X(i, p), the pieces of a unit side by side (Goodfellow et al., 2013).
# The first of equal pieces is taken, and NaN is larger than all numbers, as in a max pool.

cdef void maxout_units(
    const real* x, Py_ssize_t n, Py_ssize_t n_pieces, real* y, int32_t* index
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t p, best
    cdef real top
    cdef bint better
    for i in range(n):
        top = x[0]
        best = 0
        for p in range(1, <int32_t> n_pieces):
            better = (x[p] > top) | ((x[p] != x[p]) & (top == top))
            top = x[p] if better else top
            best = p if better else best
        y[i] = top
        if index is not NULL:
            index[i] = best
        x = x + n_pieces


cdef bint maxout_gradient(
    const real* dy, const int32_t* index, Py_ssize_t n, Py_ssize_t n_pieces, real* dx
) noexcept nogil:
    """Says whether all places are pieces of their units."""
    cdef Py_ssize_t i, p
    if not lie_within(index, n, 0, n_pieces):
        return False
    for i in range(n):
        for p in range(n_pieces):
            dx[p] = dy[i] if p == index[i] else 0
        dx = dx + n_pieces
    return True


cdef int check_pieces(Py_ssize_t n_pieces) except -1:
    if not 0 < n_pieces <= MAX_SIZE:
        raise ValueError(f"a unit must have from 1 to {MAX_SIZE} pieces, got {n_pieces}")
    return 0


def maxout_forward(
    const real[:, ::1] X,  # IN  (m, pieces)
    real[::1] Y,           # OUT (m,)
    int32_t[::1] index,    # OUT like Y, or None: which piece is the largest
    int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t m = X.shape[0], n_pieces = X.shape[1], t, start
    cdef int32_t* best = NULL
    check_pieces(n_pieces)
    same_length(m, Y.shape[0], "Y")
    if index is not None:
        same_length(m, index.shape[0], "index")
    if m == 0:
        return
    if index is not None:
        best = &index[0]
    for t in prange(chunks_for(m), nogil=True, num_threads=threads_for(m * n_pieces, n_threads)):
        start = t * CHUNK
        maxout_units(&X[start, 0], chunk_end(m, t) - start, n_pieces, &Y[start],
                     NULL if best is NULL else best + start)


def maxout_backward(
    const real[::1] dY,        # IN  (m,)
    const int32_t[::1] index,  # IN  like dY
    real[:, ::1] dX,           # OUT (m, pieces)
    int n_threads,
):
    n_threads = checked(n_threads, dY is None or index is None or dX is None, "dY, index, dX")
    cdef Py_ssize_t m = dX.shape[0], n_pieces = dX.shape[1], t, start
    cdef bint is_wrong = False
    cdef bint* wrong = &is_wrong
    check_pieces(n_pieces)
    same_length(m, dY.shape[0], "dY")
    same_length(m, index.shape[0], "index")
    for t in prange(chunks_for(m), nogil=True, num_threads=threads_for(m * n_pieces, n_threads)):
        start = t * CHUNK
        if not maxout_gradient(&dY[start], &index[start], chunk_end(m, t) - start, n_pieces,
                               &dX[start, 0]):
            wrong[0] = True
    if is_wrong:
        raise ValueError(f"index holds places that are none of the {n_pieces} pieces of a unit")
