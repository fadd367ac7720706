# A pass in Winograd's form, forward or for the input gradient: filters, products, strips.
#
# Design:
# * Where there are many tiles, the filters are transformed once, into panels, and a task is a
#   block of strips, from its input to its output.
# * Of few tiles, such as those of a single image, the transformed filters are larger than all
#   points of the maps: to write them to memory and read them again takes longer than to multiply.
#   So a task is a panel, and a few channels of it at a time are transformed and multiplied while
#   they are in the cache. The sums are the same, in the same order. Filters that are large anyway
#   are done so for a group of strips after the other.
# * Filters are copied before they are transformed: the taps of one lie so far apart in memory that
#   all may fall into one set of the cache.
# * With few channels the transforms take longer than the products, so both count when a pass is
#   shared among threads: a single image of 32 x 32 x 16 is worth two of them.

cdef enum:
    TRANSFORM = 16  # multiply-adds that take as long as a number's transform


cdef inline Py_ssize_t panel_taps(const Winograd* q, Py_ssize_t n_k) noexcept nogil:
    return q.r * q.r * n_k * NR


cdef void transform_panel(
    const Winograd* q, Py_ssize_t v, Py_ssize_t n_vec, Py_ssize_t k, Py_ssize_t n_k, real* U,
    Py_ssize_t distance, real* taps
) noexcept nogil:
    """U of channels k to k + n_k of n_vec vectors of filters, from v on; its points so far apart.
    Scratch: taps, for these channels of the filters as given."""
    cdef Py_ssize_t n_lanes = n_vec * LANES, first = v * LANES
    cdef Py_ssize_t width = smaller(n_lanes, q.n_filters - first), t, i, tap_size = n_k * n_lanes
    cdef const real* scale = NULL if q.scale is NULL else q.scale + first
    for t in range(q.r * q.r):
        pack_panel(q.W + t * q.w_tap + k * q.w_row + first * q.w_column, q.w_row, q.w_column,
                   scale, n_k, width, n_lanes, taps + t * tap_size)
    for i in range(tap_size // LANES):
        transform_filter(q.m, q.r, taps + i * LANES, q.r * tap_size, tap_size, U + i * LANES,
                         q.n * distance, distance)


cdef inline Py_ssize_t u_point(const Winograd* q) noexcept nogil:
    """From one point of all panels to the next: as in V, a cache line more."""
    return q.n_channels * q.filter_lanes + CACHE_LINE // sizeof(real)


cdef void pack_points(const void* work, Py_ssize_t panel, real* taps) noexcept nogil:
    """All of a panel of U."""
    cdef const Winograd* q = <const Winograd*> work
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, n_k = q.n_channels
    cdef Py_ssize_t v = panel_start(n_vec, panel), n = panel_start(n_vec, panel + 1) - v
    transform_panel(q, v, n, 0, n_k, q.packed + v * LANES * n_k, u_point(q), taps)


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
            b = q.packed + point * u_point(q) + v * LANES * n_k
            for step in range(n_steps):
                k = part(n_k, step, n_steps)
                matrix_rows(
                    W, V + point * q.v_point + k, q.channel_lanes, 1, n_tiles,
                    part(n_k, step + 1, n_steps) - k, b + k * W * LANES, W * LANES, ZEROS,
                    step > 0, M + point * q.m_point + v * LANES, q.filter_lanes)


cdef inline Py_ssize_t strip_scratch(const Winograd* q) noexcept nogil:
    return larger(strip_size(q), output_size(q))


cdef inline Py_ssize_t points_size(const Winograd* q) noexcept nogil:
    """Numbers in V and M of a block."""
    return q.n * q.n * (q.v_point + q.m_point)


cdef void winograd_task(const void* work, Py_ssize_t block, real* scratch) noexcept nogil:
    """A block of strips, from input to output."""
    cdef const Winograd* q = <const Winograd*> work
    cdef Py_ssize_t first = part(q.n_strips, block, q.n_blocks), i
    cdef Py_ssize_t n_strips = part(q.n_strips, block + 1, q.n_blocks) - first
    cdef real* strip = scratch
    cdef real* V = strip + strip_scratch(q)
    cdef real* M = V + q.n * q.n * q.v_point
    for i in range(n_strips):
        strip_to_points(q, first + i, i * q.tiles[1], V, i > 0, strip)
    multiply_points(q, n_strips * q.tiles[1], V, M)
    for i in range(n_strips):
        points_to_output(q, first + i, i * q.tiles[1], M, strip)


cdef int pass_by_blocks(Winograd* q, Py_ssize_t rows, int n_threads) except -1:
    cdef Py_ssize_t n_panels = panels_for(q.filter_lanes // LANES)
    share_blocks(q, rows, n_threads)
    place_points(q, q.filter_lanes)
    q.packed = <real*> allocate(q.n * q.n * u_point(q) * sizeof(real))
    try:
        with nogil:
            run_tasks(pack_points, q, n_panels, n_threads, panel_taps(q, q.n_channels))
            run_tasks(winograd_task, q, q.n_blocks, n_threads, strip_scratch(q) + points_size(q))
    finally:
        free(q.packed)
    return 0


cdef void input_task(const void* work, Py_ssize_t i, real* scratch) noexcept nogil:
    cdef const Winograd* q = <const Winograd*> work
    strip_to_points(q, q.first_strip + i, i * q.tiles[1], q.V, False, scratch)


cdef inline Py_ssize_t start_of_panel(const Winograd* q, Py_ssize_t panel) noexcept nogil:
    """The first vector of a panel of filters; of the panel past the last, the end."""
    return part(q.filter_lanes // LANES, panel, q.n_panels)


cdef void panel_task(const void* work, Py_ssize_t panel, real* scratch) noexcept nogil:
    """A panel of M, of a group of strips."""
    cdef const Winograd* q = <const Winograd*> work
    cdef Py_ssize_t n_steps = ceil_div(q.n_channels, KC), step, k, n_k, point, distance
    cdef Py_ssize_t v = start_of_panel(q, panel), W = start_of_panel(q, panel + 1) - v
    cdef real* U = scratch + panel_taps(q, KC)
    for step in range(n_steps):
        k = part(q.n_channels, step, n_steps)
        n_k = part(q.n_channels, step + 1, n_steps) - k
        distance = n_k * W * LANES + CACHE_LINE // sizeof(real)
        transform_panel(q, v, W, k, n_k, U, distance, scratch)
        for point in range(q.n * q.n):
            matrix_rows(
                W, q.V + point * q.v_point + k, q.channel_lanes, 1, q.group_strips * q.tiles[1],
                n_k, U + point * distance, W * LANES, ZEROS, step > 0,
                q.M + point * q.m_point + v * LANES, q.filter_lanes)


cdef inline Py_ssize_t panel_task_scratch(const Winograd* q) noexcept nogil:
    """A part of a panel as given, and its U."""
    return panel_taps(q, KC) + q.n * q.n * (KC * NR + CACHE_LINE // sizeof(real))


cdef void output_task(const void* work, Py_ssize_t i, real* scratch) noexcept nogil:
    cdef const Winograd* q = <const Winograd*> work
    points_to_output(q, q.first_strip + i, i * q.tiles[1], q.M, scratch)


cdef int pass_by_panels(Winograd* q, int n_threads) except -1:
    """The panels, as many as threads share evenly, of one group of strips after the other."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, n_groups = cut_groups(q), group
    q.n_panels = smaller(n_vec, ceil_div(panels_for(n_vec), n_threads) * n_threads)
    place_points(q, q.filter_lanes)
    q.V = <real*> allocate(points_size(q) * sizeof(real))
    q.M = q.V + q.n * q.n * q.v_point
    try:
        with nogil:
            for group in range(n_groups):
                take_group(q, group, n_groups)
                run_tasks(input_task, q, q.group_strips, n_threads, strip_scratch(q))
                run_tasks(panel_task, q, q.n_panels, n_threads, panel_task_scratch(q))
                run_tasks(output_task, q, q.group_strips, n_threads, strip_scratch(q))
    finally:
        free(q.V)
    return 0


cdef inline Py_ssize_t multiply_adds(const Winograd* q) noexcept nogil:
    """Those at each point, and what all transforms take beside them."""
    cdef Py_ssize_t n_tiles = q.n_strips * q.tiles[1], n_taps = q.n_channels * q.n_filters
    cdef Py_ssize_t transformed = n_tiles * (q.n_channels + q.n_filters) + n_taps
    return q.n * q.n * (n_tiles * n_taps + TRANSFORM * transformed)


cdef int winograd_pass(Winograd* q, int n_threads) except -1:
    """The output of q from its input and filters, both given."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, rows = mr_of(panel_start(n_vec, 1))
    n_threads = threads_for_products(multiply_adds(q), n_threads)
    if n_vec >= n_threads and takes_panels(q):
        return pass_by_panels(q, n_threads)
    winograd_block(q, q.filter_lanes, BLOCK_BYTES, rows)
    return pass_by_blocks(q, rows, n_threads)
