# A pass in Winograd's form, forward or for the input gradient: filters, products, strips.

cdef inline Py_ssize_t panel_taps(const Winograd* q) noexcept nogil:
    return 9 * q.n_channels * NR


cdef void pack_points(const void* work, Py_ssize_t panel, real* taps) noexcept nogil:
    """U of a panel, point by point; taps is scratch for the panel of the filters as given."""
    cdef const Winograd* q = <const Winograd*> work
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, v = panel_start(n_vec, panel)
    cdef Py_ssize_t n_lanes = (panel_start(n_vec, panel + 1) - v) * LANES, first = v * LANES
    cdef Py_ssize_t width = smaller(n_lanes, q.n_filters - first), t, k, tap_size
    cdef Py_ssize_t point_size = q.n_channels * q.filter_lanes
    tap_size = q.n_channels * n_lanes
    for t in range(9):
        pack_panel(q.W + t * q.w_tap + first * q.w_column, q.w_row, q.w_column, q.n_channels,
                   width, n_lanes, taps + t * tap_size)
    for k in range(tap_size // LANES):
        transform_filter(
            q.m, taps + k * LANES, 3 * tap_size, tap_size,
            q.packed + first * q.n_channels + k * LANES, q.n * point_size, point_size)


# --- forward, and the input gradient ---------------------------------------------------

cdef void multiply_points(
    const Winograd* q, Py_ssize_t n_tiles, const real* V, real* M
) noexcept nogil:
    """M = V U at each point, for n_tiles tiles."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, n_k = q.n_channels
    cdef Py_ssize_t n_steps = ceil_div(n_k, KC), step, k
    cdef Py_ssize_t point, panel, v, W
    cdef const real* b
    for point in range(q.n * q.n):
        for panel in range(panels_for(n_vec)):
            v = panel_start(n_vec, panel)
            W = panel_start(n_vec, panel + 1) - v
            b = q.packed + (point * q.filter_lanes + v * LANES) * n_k
            for step in range(n_steps):
                k = part(n_k, step, n_steps)
                matrix_rows(
                    W, V + point * q.v_point + k, q.channel_lanes, 1, n_tiles,
                    part(n_k, step + 1, n_steps) - k, b + k * W * LANES, W * LANES, ZEROS,
                    step > 0, M + point * q.m_point + v * LANES, q.filter_lanes)


cdef inline Py_ssize_t pass_scratch(const Winograd* q) noexcept nogil:
    return larger(strip_size(q), output_size(q)) + q.n * q.n * (q.v_point + q.m_point)


cdef void winograd_task(const void* work, Py_ssize_t block, real* scratch) noexcept nogil:
    """A block of strips, from input to output."""
    cdef const Winograd* q = <const Winograd*> work
    cdef Py_ssize_t first = part(q.n_strips, block, q.n_blocks), i
    cdef Py_ssize_t n_strips = part(q.n_strips, block + 1, q.n_blocks) - first
    cdef real* strip = scratch
    cdef real* V = strip + larger(strip_size(q), output_size(q))
    cdef real* M = V + q.n * q.n * q.v_point
    for i in range(n_strips):
        strip_to_points(q, first + i, i * q.tiles[1], V, strip)
    multiply_points(q, n_strips * q.tiles[1], V, M)
    for i in range(n_strips):
        points_to_output(q, first + i, i * q.tiles[1], M, strip)


cdef int winograd_pass(Winograd* q, int n_threads) except -1:
    """The output of q from its input and filters, both given."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, rows = mr_of(panel_start(n_vec, 1))
    n_threads = threads_for_products(
        q.n_strips * q.tiles[1] * q.n * q.n * q.n_channels * q.n_filters, n_threads)
    winograd_block(q, q.filter_lanes, BLOCK_BYTES, rows)
    share_blocks(q, rows, n_threads)
    place_points(q, q.filter_lanes)
    q.packed = <real*> allocate(q.n * q.n * q.n_channels * q.filter_lanes * sizeof(real))
    try:
        with nogil:
            run_tasks(pack_points, q, panels_for(n_vec), n_threads, panel_taps(q))
            run_tasks(winograd_task, q, q.n_blocks, n_threads, pass_scratch(q))
    finally:
        free(q.packed)
    return 0
