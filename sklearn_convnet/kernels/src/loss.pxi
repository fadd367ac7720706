# Losses that need exponentials, or a search; the others are a line of numpy each.
#
# Design: sums are kept in double, by rows or blocks, which are added in order.

cdef double cross_entropy_row(
    const real* z, const real* y, double top, Py_ssize_t n, Py_ssize_t target, double weight,
    real* dz
) noexcept nogil:
    """weight * -log softmax(z)[target], given y = exp(z - top)."""
    cdef double total = row_total(y, n)
    cdef real factor
    cdef Py_ssize_t c
    if dz is not NULL:
        factor = <real> (weight / total)
        for c in range(n):
            dz[c] = y[c] * factor
        dz[target] -= <real> weight
    return weight * (log(total) + top - z[target])


cdef void cross_entropy_rows(
    const real* z, Py_ssize_t n_rows, Py_ssize_t n, const int64_t* target, const real* weight,
    double* losses, real* dz, real* y
) noexcept nogil:
    """A loss for each row; y is scratch for as many numbers as z has."""
    cdef real top[MAX_SOFTMAX_ROWS]
    cdef Py_ssize_t row
    exponentials(z, y, top, n_rows, n)
    for row in range(n_rows):
        losses[row] = cross_entropy_row(
            z + row * n, y + row * n, top[row], n, target[row],
            1 if weight is NULL else weight[row], NULL if dz is NULL else dz + row * n)


def softmax_cross_entropy(
    const real[:, ::1] Z,         # IN  (m, classes), before the softmax
    const int64_t[::1] target,    # IN  (m,)
    const real[::1] weight,       # IN  (m,) or None
    real[:, ::1] dZ,              # OUT like Z, or None
    int n_threads,
):
    """sum_i w_i * -log softmax(Z_i)[target_i], and its gradient w_i (softmax(Z_i) - onehot)."""
    n_threads = checked(n_threads, Z is None or target is None, "Z, target")
    cdef Py_ssize_t m = Z.shape[0], n = Z.shape[1], few, i, start
    cdef double total = 0
    cdef double* losses
    cdef real* y
    same_length(m, target.shape[0], "target")
    if n < 1:
        raise ValueError("cross-entropy needs at least one class, got 0")
    if weight is not None:
        same_length(m, weight.shape[0], "weight")
    if dZ is not None:
        same_sizes(Z.shape, dZ.shape, 2, "dZ")
    for i in range(m):
        if not 0 <= target[i] < n:
            raise ValueError(f"target {target[i]} is not one of {n} classes")
    few = softmax_rows(n)
    losses = <double*> allocate(m * sizeof(double) + n_threads * few * n * sizeof(real))
    y = <real*> (losses + m)
    with nogil:
        for i in prange(ceil_div(m, few), num_threads=threads_for(m * n, n_threads)):
            start = i * few
            cross_entropy_rows(
                &Z[start, 0], smaller(few, m - start), n, &target[start],
                NULL if weight is None else &weight[start], losses + start,
                NULL if dZ is None else &dZ[start, 0], y + threadid() * few * n)
        for i in range(m):
            total += losses[i]
        free(losses)
    return total


# With y = logistic(z): -t log y - (1 - t) log(1 - y) = max(z, 0) - t z + log(1 + exp(-|z|)).

cdef inline void logistic_losses(
    const real* z, const real* t, const real* w, real* loss, real* dz
) noexcept nogil:
    """Losses and slopes of BLOCK elements."""
    cdef int i
    cdef real e, numerator
    for i in range(BLOCK):
        e = exp_negative(-absolute(z[i]))
        numerator = e if z[i] < 0 else 1
        loss[i] = w[i] * ((z[i] if z[i] > 0 else 0) - t[i] * z[i] + log1p_unit(e))
        dz[i] = w[i] * (numerator / (<real> 1 + e) - t[i])


cdef double logistic_part(
    const real* z, const real* t, const real* w, Py_ssize_t n, real* dz
) noexcept nogil:
    """The same of at most BLOCK elements, copied to whole blocks; their sum."""
    cdef real of_z[BLOCK]
    cdef real of_t[BLOCK]
    cdef real of_w[BLOCK]
    cdef real loss[BLOCK]
    cdef real slope[BLOCK]
    cdef Py_ssize_t i
    memset(of_z, 0, sizeof(of_z))
    memset(of_t, 0, sizeof(of_t))
    for i in range(BLOCK):
        of_w[i] = 1
    memcpy(of_z, z, n * sizeof(real))
    memcpy(of_t, t, n * sizeof(real))
    if w is not NULL:
        memcpy(of_w, w, n * sizeof(real))
    logistic_losses(of_z, of_t, of_w, loss, slope)
    if dz is not NULL:
        memcpy(dz, slope, n * sizeof(real))
    return row_total(loss, n)


def logistic_cross_entropy(
    const real[:, ::1] Z,       # IN  (m, outputs), before the logistic function
    const real[:, ::1] target,  # IN  like Z, 0 or 1
    const real[:, ::1] weight,  # IN  like Z, or None
    real[:, ::1] dZ,            # OUT like Z, or None
    int n_threads,
):
    """The sum of w * cross-entropy over all elements, and its gradient w (logistic(Z) - t)."""
    n_threads = checked(n_threads, Z is None or target is None, "Z, target")
    cdef Py_ssize_t n = Z.shape[0] * Z.shape[1], n_blocks = ceil_div(n, BLOCK), i, start
    cdef double total = 0
    cdef double* losses
    cdef const real* z
    cdef const real* t
    cdef const real* w
    cdef real* dz
    same_sizes(Z.shape, target.shape, 2, "target")
    if weight is not None:
        same_sizes(Z.shape, weight.shape, 2, "weight")
    if dZ is not None:
        same_sizes(Z.shape, dZ.shape, 2, "dZ")
    if n == 0:
        return 0.0
    z, t = &Z[0, 0], &target[0, 0]
    w = NULL if weight is None else &weight[0, 0]
    dz = NULL if dZ is None else &dZ[0, 0]
    losses = <double*> allocate(n_blocks * sizeof(double))
    with nogil:
        for i in prange(n_blocks, num_threads=threads_for(n, n_threads)):
            start = i * BLOCK
            losses[i] = logistic_part(
                z + start, t + start, NULL if w is NULL else w + start,
                smaller(BLOCK, n - start), NULL if dz is NULL else dz + start)
        for i in range(n_blocks):
            total += losses[i]
        free(losses)
    return total


# --- outlines: a box is its four corners, whichever is the first, whichever way they go round ---
#
#   loss_i = w_i / 2 min_k sum_j |z_ij - b_i(k, j)|^2      dz_ij = w_i (z_ij - b_i(k*, j))
#
# where (k, j) is corner j in numbering k: 4 starts, clockwise and anticlockwise.

cdef inline int corner_of(int numbering, int j) noexcept nogil:
    """The corner that is number j; numberings 0 to 3 begin with that corner and go on, 4 to 7 go
    back."""
    return (numbering + j) % 4 if numbering < 4 else (numbering - j) % 4


cdef inline double outline_distance(const real* z, const real* box, int numbering) noexcept nogil:
    cdef double total = 0, d
    cdef int j, axis
    for j in range(4):
        for axis in range(2):
            d = <double> z[2 * j + axis] - box[2 * corner_of(numbering, j) + axis]
            total += d * d
    return total


cdef double outline_row(const real* z, const real* box, real weight, real* dz) noexcept nogil:
    """The loss of one box; of numberings that are equally near, the first counts."""
    cdef double distance, least = outline_distance(z, box, 0)
    cdef int numbering, j, axis, best = 0
    if box[0] != box[0]:  # it is missing
        if dz is not NULL:
            memset(dz, 0, 8 * sizeof(real))
        return 0
    for numbering in range(1, 8):
        distance = outline_distance(z, box, numbering)
        if distance < least:
            least, best = distance, numbering
    if dz is not NULL:
        for j in range(4):
            for axis in range(2):
                dz[2 * j + axis] = weight * (
                    z[2 * j + axis] - box[2 * corner_of(best, j) + axis])
    return 0.5 * weight * least


def outline_loss(
    const real[:, ::1] Z,      # IN  (n, 8), corners x1, y1, ..., x4, y4 going round
    const real[:, ::1] boxes,  # IN  like Z; a row of NaN is missing
    const real[::1] weight,    # IN  (n,)
    real[:, ::1] dZ,           # OUT like Z, or None
    int n_threads,
):
    """Half the squared distance to the nearest numbering of each box's corners, weighted and
    summed, and its gradient."""
    n_threads = checked(
        n_threads, Z is None or boxes is None or weight is None, "Z, boxes, weight")
    cdef Py_ssize_t n = Z.shape[0], i
    cdef double total = 0
    cdef double* losses
    same_length(8, Z.shape[1], "a row of Z")
    same_sizes(Z.shape, boxes.shape, 2, "boxes")
    same_length(n, weight.shape[0], "weight")
    if dZ is not None:
        same_sizes(Z.shape, dZ.shape, 2, "dZ")
    losses = <double*> allocate(n * sizeof(double))
    with nogil:
        for i in prange(n, num_threads=threads_for(64 * n, n_threads)):
            losses[i] = outline_row(
                &Z[i, 0], &boxes[i, 0], weight[i], NULL if dZ is None else &dZ[i, 0])
        for i in range(n):
            total += losses[i]
        free(losses)
    return total
