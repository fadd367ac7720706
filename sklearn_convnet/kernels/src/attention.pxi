# Self-attention over positions (Vaswani et al., 2017), for each image and head:
#
#   P = softmax(Q K' / sqrt(d) + bias)    Y = P V
#   dV = P' dY    dP = dY V'    dS = P (dP - rowsum(P dP))
#   dQ = dS K / sqrt(d)    dK = dS' Q / sqrt(d)    dbias = sum over the images of dS
#
# Design: the products are those of dense.pxi, one thread each; images and heads are shared
# among the threads.

cdef struct Attention:
    Py_ssize_t n, length, heads, width   # width d of a head
    const real* Q
    const real* K
    const real* V
    const real* bias
    real factor                          # 1 / sqrt(d)
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
    cdef Py_ssize_t L = q.length, d = q.width, row = q.heads * q.width
    cdef Py_ssize_t at = task // q.heads * L * row + task % q.heads * d, i, j
    cdef real* p = q.P + task * L * L
    cdef const real* bias
    serial_product(L, d, L, q.Q + at, row, 1, q.K + at, 1, row, p, L, scratch)
    for i in range(L):
        for j in range(L):
            p[i * L + j] = p[i * L + j] * q.factor
        if q.bias is not NULL:
            bias = q.bias + (task % q.heads * L + i) * L
            for j in range(L):
                p[i * L + j] = p[i * L + j] + bias[j]
        softmax_of_rows(p + i * L, p + i * L, 1, L)
    serial_product(L, L, d, p, L, 1, q.V + at, row, 1, q.Y + at, row, scratch)


cdef void attend_backward(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """The gradients of an image and a head."""
    cdef const Attention* q = <const Attention*> work
    cdef Py_ssize_t L = q.length, d = q.width, row = q.heads * q.width
    cdef Py_ssize_t at = task // q.heads * L * row + task % q.heads * d, i, j
    cdef const real* p = q.P_in + task * L * L
    cdef real* ds = q.dS + task * L * L
    serial_product(L, L, d, p, 1, L, q.dY + at, row, 1, q.dV + at, row, scratch)
    serial_product(L, d, L, q.dY + at, row, 1, q.V + at, 1, row, ds, L, scratch)
    for i in range(L):
        softmax_backward_row(p + i * L, ds + i * L, ds + i * L, L)
    serial_product(L, L, d, ds, L, 1, q.K + at, row, 1, q.dQ + at, row, scratch)
    serial_product(L, L, d, ds, 1, L, q.Q + at, row, 1, q.dK + at, row, scratch)
    for i in range(L):
        for j in range(d):
            q.dQ[at + i * row + j] = q.dQ[at + i * row + j] * q.factor
            q.dK[at + i * row + j] = q.dK[at + i * row + j] * q.factor


cdef int attention_shapes(Attention* q, shape, shapes, names) except -1:
    q.n, q.length, q.heads, q.width = shape
    if 0 in shape[1:]:
        raise ValueError(f"attention needs positions, heads and channels, got {shape}")
    for seen, name in zip(shapes, names):
        same_shape(shape, seen, name)
    q.factor = <real> (1 / sqrt(q.width))
    return 0


def attention_forward(
    const real[:, :, :, ::1] Q,   # IN  (n, length, heads, d)
    const real[:, :, :, ::1] K,   # IN  like Q
    const real[:, :, :, ::1] V,   # IN  like Q
    const real[:, :, ::1] bias,   # IN  (heads, length, length) or None
    real[:, :, :, ::1] P,         # OUT (n, heads, length, length)
    real[:, :, :, ::1] Y,         # OUT like Q
    int n_threads,
):
    n_threads = checked(
        n_threads, Q is None or K is None or V is None or P is None or Y is None,
        "Q, K, V, P, Y")
    cdef Attention q
    attention_shapes(&q, shape_of(Q.shape, 4),
                     (shape_of(K.shape, 4), shape_of(V.shape, 4), shape_of(Y.shape, 4)),
                     ("K", "V", "Y"))
    same_shape((q.n, q.heads, q.length, q.length), shape_of(P.shape, 4), "P")
    if bias is not None:
        same_shape((q.heads, q.length, q.length), shape_of(bias.shape, 3), "bias")
    if q.n == 0:
        return
    q.Q, q.K, q.V = &Q[0, 0, 0, 0], &K[0, 0, 0, 0], &V[0, 0, 0, 0]
    q.bias = NULL if bias is None else &bias[0, 0, 0]
    q.P, q.Y = &P[0, 0, 0, 0], &Y[0, 0, 0, 0]
    n_threads = threads_for_products(
        2 * q.n * q.heads * q.length * q.length * q.width, n_threads)
    with nogil:
        run_tasks(attend, &q, q.n * q.heads, n_threads, product_scratch())


def attention_backward(
    const real[:, :, :, ::1] Q,   # IN  (n, length, heads, d)
    const real[:, :, :, ::1] K,   # IN  like Q
    const real[:, :, :, ::1] V,   # IN  like Q
    const real[:, :, :, ::1] P,   # IN  (n, heads, length, length), of the forward
    const real[:, :, :, ::1] dY,  # IN  like Q
    real[:, :, :, ::1] dS,        # OUT like P, work space
    real[:, :, :, ::1] dQ,        # OUT like Q
    real[:, :, :, ::1] dK,        # OUT like Q
    real[:, :, :, ::1] dV,        # OUT like Q
    real[:, :, ::1] dbias,        # OUT (heads, length, length) or None
    int n_threads,
):
    n_threads = checked(
        n_threads, Q is None or K is None or V is None or P is None or dY is None
        or dS is None or dQ is None or dK is None or dV is None,
        "Q, K, V, P, dY, dS, dQ, dK, dV")
    cdef Attention q
    cdef Py_ssize_t i, size = P.shape[1] * P.shape[2] * P.shape[3]
    attention_shapes(&q, shape_of(Q.shape, 4),
                     (shape_of(K.shape, 4), shape_of(V.shape, 4), shape_of(dY.shape, 4),
                      shape_of(dQ.shape, 4), shape_of(dK.shape, 4), shape_of(dV.shape, 4)),
                     ("K", "V", "dY", "dQ", "dK", "dV"))
    same_shape((q.n, q.heads, q.length, q.length), shape_of(P.shape, 4), "P")
    same_sizes(P.shape, dS.shape, 4, "dS")
    if dbias is not None:
        same_shape((q.heads, q.length, q.length), shape_of(dbias.shape, 3), "dbias")
        dbias[:] = 0
    if q.n == 0:
        return
    q.Q, q.K, q.V = &Q[0, 0, 0, 0], &K[0, 0, 0, 0], &V[0, 0, 0, 0]
    q.bias = NULL
    q.P_in, q.dY, q.dS = &P[0, 0, 0, 0], &dY[0, 0, 0, 0], &dS[0, 0, 0, 0]
    q.dQ, q.dK, q.dV = &dQ[0, 0, 0, 0], &dK[0, 0, 0, 0], &dV[0, 0, 0, 0]
    n_threads = threads_for_products(
        4 * q.n * q.heads * q.length * q.length * q.width, n_threads)
    with nogil:
        run_tasks(attend_backward, &q, q.n * q.heads, n_threads, product_scratch())
        if dbias is not None:
            for i in range(q.n):
                add_chunk_to(&dbias[0, 0, 0], &dS[i, 0, 0, 0], size)
