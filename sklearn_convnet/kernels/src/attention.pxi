# Attention of positions to positions (Vaswani et al., 2017), for each image and head; queries and
# keys may differ in number:
#
#   P = softmax(factor Q K' + bias)    Y = P V
#   dV = P' dY    dP = dY V'    dS = P (dP - rowsum(P dP))
#   dQ = factor dS K    dK = factor dS' Q    dbias = sum over the images of dS
#
# Design: the products are those of dense.pxi, one thread each; images and heads are shared
# among the threads.

cdef struct Attention:
    Py_ssize_t n, length, n_keys, heads, width   # width d of a head
    const real* Q
    const real* K
    const real* V
    const real* bias
    real factor                          # of the scores, most often 1 / sqrt(d)
    real* P
    real* Y
    # Backward.
    const real* P_in
    const real* dY
    real* dS
    real* dQ
    real* dK
    real* dV


cdef void serial_product(
    Py_ssize_t n_rows, Py_ssize_t n_k, Py_ssize_t n_columns, const real* A, Py_ssize_t a_row,
    Py_ssize_t a_k, const real* B, Py_ssize_t b_k, Py_ssize_t b_column, real* C,
    Py_ssize_t c_row, real* scratch
) noexcept nogil:
    """C = A B, by one thread."""
    cdef Product q
    cdef Py_ssize_t task
    q.n_rows, q.n_k, q.n_columns = n_rows, n_k, n_columns
    q.A, q.a_row, q.a_k = A, a_row, a_k
    q.B, q.b_k, q.b_column = B, b_k, b_column
    q.C, q.c_row = C, c_row
    q.init = NULL
    q.code, q.alpha = IDENTITY, 0
    q.copy_A = False
    product_blocks(&q, 1)
    for task in range(q.n_row_blocks * q.n_groups):
        product_task(&q, task, scratch)


cdef void attend(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """P and Y of an image and a head."""
    cdef const Attention* q = <const Attention*> work
    cdef Py_ssize_t L = q.length, M = q.n_keys, d = q.width, row = q.heads * q.width, i, j
    cdef Py_ssize_t image = task // q.heads, head = task % q.heads
    cdef Py_ssize_t at_query = image * L * row + head * d, at_key = image * M * row + head * d
    cdef real* p = q.P + task * L * M
    cdef const real* bias
    serial_product(L, d, M, q.Q + at_query, row, 1, q.K + at_key, 1, row, p, M, scratch)
    for i in range(L):
        for j in range(M):
            p[i * M + j] = p[i * M + j] * q.factor
        if q.bias is not NULL:
            bias = q.bias + (head * L + i) * M
            for j in range(M):
                p[i * M + j] = p[i * M + j] + bias[j]
        softmax_of_rows(p + i * M, p + i * M, 1, M)
    serial_product(L, M, d, p, M, 1, q.V + at_key, row, 1, q.Y + at_query, row, scratch)


cdef inline void times_factor(
    const Attention* q, Py_ssize_t n_rows, Py_ssize_t row, real* rows
) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n_rows):
        for j in range(q.width):
            rows[i * row + j] = rows[i * row + j] * q.factor


cdef void attend_backward(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """The gradients of an image and a head."""
    cdef const Attention* q = <const Attention*> work
    cdef Py_ssize_t L = q.length, M = q.n_keys, d = q.width, row = q.heads * q.width, i
    cdef Py_ssize_t image = task // q.heads, head = task % q.heads
    cdef Py_ssize_t at_query = image * L * row + head * d, at_key = image * M * row + head * d
    cdef const real* p = q.P_in + task * L * M
    cdef real* ds = q.dS + task * L * M
    serial_product(M, L, d, p, 1, M, q.dY + at_query, row, 1, q.dV + at_key, row, scratch)
    serial_product(L, d, M, q.dY + at_query, row, 1, q.V + at_key, 1, row, ds, M, scratch)
    for i in range(L):
        softmax_backward_row(p + i * M, ds + i * M, ds + i * M, M)
    serial_product(L, M, d, ds, M, 1, q.K + at_key, row, 1, q.dQ + at_query, row, scratch)
    serial_product(M, L, d, ds, 1, M, q.Q + at_query, row, 1, q.dK + at_key, row, scratch)
    times_factor(q, L, row, q.dQ + at_query)
    times_factor(q, M, row, q.dK + at_key)


cdef int attention_shapes(
    Attention* q, tuple queries, tuple keys, like_queries, like_keys, double factor
) except -1:
    """Reads the sizes; `like_queries` and `like_keys` are (shape, name) of other arrays."""
    q.n, q.length, q.heads, q.width = queries
    q.n_keys = keys[1]
    if 0 in queries[1:] or q.n_keys == 0:
        raise ValueError(
            f"attention needs positions, heads and channels, got queries {queries}, keys {keys}")
    same_shape((q.n, q.n_keys, q.heads, q.width), keys, "K")
    for seen, name in like_queries:
        same_shape(queries, seen, name)
    for seen, name in like_keys:
        same_shape(keys, seen, name)
    q.factor = <real> factor
    return 0


def attention_forward(
    const real[:, :, :, ::1] Q,   # IN  (n, queries, heads, d)
    const real[:, :, :, ::1] K,   # IN  (n, keys, heads, d)
    const real[:, :, :, ::1] V,   # IN  like K
    const real[:, :, ::1] bias,   # IN  (heads, queries, keys) or None
    real[:, :, :, ::1] P,         # OUT (n, heads, queries, keys)
    real[:, :, :, ::1] Y,         # OUT like Q
    double factor, int n_threads,
):
    n_threads = checked(
        n_threads, Q is None or K is None or V is None or P is None or Y is None,
        "Q, K, V, P, Y")
    cdef Attention q
    attention_shapes(&q, shape_of(Q.shape, 4), shape_of(K.shape, 4),
                     [(shape_of(Y.shape, 4), "Y")], [(shape_of(V.shape, 4), "V")], factor)
    same_shape((q.n, q.heads, q.length, q.n_keys), shape_of(P.shape, 4), "P")
    if bias is not None:
        same_shape((q.heads, q.length, q.n_keys), shape_of(bias.shape, 3), "bias")
    if q.n == 0:
        return
    q.Q, q.K, q.V = &Q[0, 0, 0, 0], &K[0, 0, 0, 0], &V[0, 0, 0, 0]
    q.bias = NULL if bias is None else &bias[0, 0, 0]
    q.P, q.Y = &P[0, 0, 0, 0], &Y[0, 0, 0, 0]
    n_threads = threads_for_products(
        2 * q.n * q.heads * q.length * q.n_keys * q.width, n_threads)
    with nogil:
        run_tasks(attend, &q, q.n * q.heads, n_threads, product_scratch())


def attention_backward(
    const real[:, :, :, ::1] Q,   # IN  (n, queries, heads, d)
    const real[:, :, :, ::1] K,   # IN  (n, keys, heads, d)
    const real[:, :, :, ::1] V,   # IN  like K
    const real[:, :, :, ::1] P,   # IN  (n, heads, queries, keys), of the forward
    const real[:, :, :, ::1] dY,  # IN  like Q
    real[:, :, :, ::1] dS,        # OUT like P, work space
    real[:, :, :, ::1] dQ,        # OUT like Q
    real[:, :, :, ::1] dK,        # OUT like K
    real[:, :, :, ::1] dV,        # OUT like K
    real[:, :, ::1] dbias,        # OUT (heads, queries, keys) or None
    double factor, int n_threads,
):
    n_threads = checked(
        n_threads, Q is None or K is None or V is None or P is None or dY is None
        or dS is None or dQ is None or dK is None or dV is None,
        "Q, K, V, P, dY, dS, dQ, dK, dV")
    cdef Attention q
    cdef Py_ssize_t i, size = P.shape[1] * P.shape[2] * P.shape[3]
    attention_shapes(
        &q, shape_of(Q.shape, 4), shape_of(K.shape, 4),
        [(shape_of(dY.shape, 4), "dY"), (shape_of(dQ.shape, 4), "dQ")],
        [(shape_of(V.shape, 4), "V"), (shape_of(dK.shape, 4), "dK"),
         (shape_of(dV.shape, 4), "dV")], factor)
    same_shape((q.n, q.heads, q.length, q.n_keys), shape_of(P.shape, 4), "P")
    same_sizes(P.shape, dS.shape, 4, "dS")
    if dbias is not None:
        same_shape((q.heads, q.length, q.n_keys), shape_of(dbias.shape, 3), "dbias")
        dbias[:] = 0
    if q.n == 0:
        return
    q.Q, q.K, q.V = &Q[0, 0, 0, 0], &K[0, 0, 0, 0], &V[0, 0, 0, 0]
    q.bias = NULL
    q.P_in, q.dY, q.dS = &P[0, 0, 0, 0], &dY[0, 0, 0, 0], &dS[0, 0, 0, 0]
    q.dQ, q.dK, q.dV = &dQ[0, 0, 0, 0], &dK[0, 0, 0, 0], &dV[0, 0, 0, 0]
    n_threads = threads_for_products(
        4 * q.n * q.heads * q.length * q.n_keys * q.width, n_threads)
    with nogil:
        run_tasks(attend_backward, &q, q.n * q.heads, n_threads, product_scratch())
        if dbias is not None:
            for i in range(q.n):
                add_chunk_to(&dbias[0, 0, 0], &dS[i, 0, 0, 0], size)
