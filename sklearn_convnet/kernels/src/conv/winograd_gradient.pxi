# The weight gradient in Winograd's form.

cdef void add_products(
    const Winograd* q, Py_ssize_t first, Py_ssize_t n_vec, Py_ssize_t n_tiles,
    const real* V, const real* D, bint accumulate, real* dU
) noexcept nogil:
    """dU (+)= V' D at each point, for n_vec vectors of filters, from `first` on."""
    cdef Py_ssize_t point, panel, v, W
    for point in range(q.n * q.n):
        for panel in range(panels_for(n_vec)):
            v = panel_start(n_vec, panel)
            W = panel_start(n_vec, panel + 1) - v
            matrix_rows(
                W, V + point * q.v_point, 1, q.channel_lanes, q.n_channels, n_tiles,
                D + point * q.m_point + v * LANES, n_vec * LANES, ZEROS, accumulate,
                dU + point * sum_point(q) + (first + v) * LANES, q.filter_lanes)


cdef void cut_gradient(Winograd* q) noexcept nogil:
    """The pieces and groups of the weight gradient, and a block of them: V and D take about twice
    as much as the sums, so that neither is read too often."""
    cdef Py_ssize_t most = smaller(panels_for(q.filter_lanes // LANES), GRADIENT_TASKS)
    cdef Py_ssize_t sums = q.n * q.n * q.n_channels * q.filter_lanes * sizeof(real)
    q.n_groups = smaller(most, ceil_div(sums, GROUP_BYTES))
    q.n_pieces = MAX_PIECES
    while q.n_pieces * sums > PIECE_BYTES and q.n_pieces * q.n_groups > GRADIENT_TASKS:
        q.n_pieces //= 2
    q.n_pieces = smaller(q.n_pieces, q.n_strips * q.tiles[1] // PIECE_TILES)
    q.n_pieces = larger(1, smaller(q.n_pieces, q.n_strips))
    q.n_groups = smaller(most, larger(q.n_groups, MIN_PIECES // q.n_pieces))
    winograd_block(q, group_vectors(q) * LANES, larger(GRADIENT_BYTES, 2 * sums // q.n_groups), 1)
    q.block_strips = smaller(q.block_strips, ceil_div(q.n_strips, q.n_pieces))
    place_points(q, group_vectors(q) * LANES)


cdef inline Py_ssize_t group_vectors(const Winograd* q) noexcept nogil:
    """Vectors of the largest group of filters."""
    return ceil_div(q.filter_lanes // LANES, q.n_groups)


cdef inline Py_ssize_t sum_point(const Winograd* q) noexcept nogil:
    """Distance of two points in dU, a cache line more than it takes as in V."""
    return q.n_channels * q.filter_lanes + CACHE_LINE // sizeof(real)


cdef inline Py_ssize_t gradient_scratch(const Winograd* q, const Winograd* dz) noexcept nogil:
    return (larger(strip_size(q), strip_size(dz)) + q.n * q.n * (q.v_point + q.m_point)
            + NR)


cdef struct WinogradGradient:
    const Winograd* conv
    const Winograd* dz        # the pass whose input is dz, in the tiles of conv
    real* dU                  # (n_pieces, points, sum_point)
    real* db                  # (n_pieces, filter_lanes), or NULL


cdef void weight_gradient_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """dU, and db unless it is NULL, of one group of filters, summed over one piece."""
    cdef const WinogradGradient* given = <const WinogradGradient*> work
    cdef const Winograd* q = given.conv
    cdef const Winograd* dz = given.dz
    cdef Py_ssize_t piece = task // q.n_groups, group = task % q.n_groups
    cdef Py_ssize_t n_all = q.filter_lanes // LANES, strip, n, i
    cdef Py_ssize_t first = part(n_all, group, q.n_groups)
    cdef Py_ssize_t n_vec = part(n_all, group + 1, q.n_groups) - first
    cdef Py_ssize_t start = part(q.n_strips, piece, q.n_pieces)
    cdef Py_ssize_t end = part(q.n_strips, piece + 1, q.n_pieces)
    cdef real* V = scratch + larger(strip_size(q), strip_size(dz))
    cdef real* D = V + q.n * q.n * q.v_point
    cdef real* dU = given.dU + piece * q.n * q.n * sum_point(q)
    cdef real* db = NULL
    if given.db is not NULL:
        db = given.db + piece * q.filter_lanes + first * LANES
        memset(db, 0, n_vec * LANES * sizeof(real))
    strip = start
    while strip < end:
        n = smaller(q.block_strips, end - strip)
        for i in range(n):
            strip_to_points(q, strip + i, i * q.tiles[1], V, scratch)
            gradient_to_points(q, dz, strip + i, i * q.tiles[1], first, n_vec, D, db, scratch)
        add_products(q, first, n_vec, n * q.tiles[1], V, D, strip > start, dU)
        strip += n


cdef void put_weight_gradient(
    const Winograd* q, Py_ssize_t channel, const real* dU, real* dW
) noexcept nogil:
    """dW = G' dU G for one channel."""
    cdef real w[MAX_TAPS * MAX_LANES]
    cdef Py_ssize_t v, t, width, i
    for v in range(q.filter_lanes // LANES):
        width = smaller(LANES, q.n_filters - v * LANES)
        fold_points(q.m, q.r, dU + channel * q.filter_lanes + v * LANES, q.n * sum_point(q),
                    sum_point(q), w, q.r * LANES, LANES)
        for t in range(q.r * q.r):
            for i in range(width):
                dW[(t * q.n_channels + channel) * q.n_filters + v * LANES + i] = w[t * LANES + i]


cdef int winograd_weight_gradient(
    Winograd* q, const Winograd* back, real* dW, real* db, int n_threads
) except -1:
    """dW and db, each unless NULL. `back` is the pass whose input is dz."""
    cdef Py_ssize_t n_points = q.n * q.n, n_dU = n_points * sum_point(q), i, piece
    cdef Winograd dz = back[0]
    cdef WinogradGradient work
    n_threads = threads_for_products(
        q.n_strips * q.tiles[1] * n_points * q.n_channels * q.n_filters, n_threads)
    cut_gradient(q)
    dz.tiles, dz.strip_width = q.tiles, q.strip_width
    work.conv, work.dz = q, &dz
    work.dU = <real*> allocate(q.n_pieces * (n_dU + q.filter_lanes) * sizeof(real))
    work.db = NULL if db is NULL else work.dU + q.n_pieces * n_dU
    try:
        with nogil:
            run_tasks(weight_gradient_task, &work, q.n_pieces * q.n_groups, n_threads,
                      gradient_scratch(q, &dz))
            if db is not NULL:
                add_pieces(work.db, q.n_pieces, 1, 1, q.n_filters, q.filter_lanes, db, 1)
            if dW is not NULL:
                for i in prange(n_points, num_threads=n_threads):
                    for piece in range(1, q.n_pieces):
                        add_chunk_to(work.dU + i * sum_point(q),
                                     work.dU + piece * n_dU + i * sum_point(q),
                                     q.n_channels * q.filter_lanes)
                for i in prange(q.n_channels, num_threads=n_threads):
                    put_weight_gradient(q, i, work.dU, dW)
    finally:
        free(work.dU)
    return 0
