# The weight gradient in Winograd's form.
#
# Design:
# * Where there are many tiles, its sums are cut into pieces of the strips and groups of filters.
# * Where tiles of dX lie over those of dz, a strip of dz is made once for both: memory is read
#   once, and what a norm behind or an activation takes is done once.
# * Of few tiles, or many channels and filters, the sums are larger than all points of the maps. So
#   a task is a block of the sums, which never leaves the cache: as in winograd_pass.pxi.

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
    Winograd* conv
    const Winograd* dz        # the pass whose input is dz, in the tiles of conv
    real* dW                  # or NULL
    real* dU                  # (n_pieces, points, sum_point)
    real* db                  # of each piece or strip, (filter_lanes), or NULL
    const Winograd* back      # the pass from dz to dX, if that is made on the way, or NULL


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
            strip_to_points(q, strip + i, i * q.tiles[1], V, False, scratch)
            gradient_to_points(q, dz, strip + i, i * q.tiles[1], first, n_vec, D, db, scratch)
        add_products(q, first, n_vec, n * q.tiles[1], V, D, strip > start, dU)
        strip += n


cdef inline Py_ssize_t both_scratch(const Winograd* q, const Winograd* back) noexcept nogil:
    cdef Py_ssize_t strip = larger(strip_size(q), larger(strip_size(back), output_size(back)))
    return strip + q.n * q.n * (q.v_point + 2 * q.m_point) + NR


cdef void gradients_task(const void* work, Py_ssize_t piece, real* scratch) noexcept nogil:
    """The same for all filters, and dX of the strips: a strip of dz is made once for both."""
    cdef const WinogradGradient* given = <const WinogradGradient*> work
    cdef const Winograd* q = given.conv
    cdef const Winograd* back = given.back
    cdef Py_ssize_t n_points = q.n * q.n, n_vec = q.filter_lanes // LANES, strip, n, i
    cdef Py_ssize_t start = part(q.n_strips, piece, q.n_pieces)
    cdef Py_ssize_t end = part(q.n_strips, piece + 1, q.n_pieces)
    cdef real* V = scratch + both_scratch(q, back) - NR - n_points * (q.v_point + 2 * q.m_point)
    cdef real* D = V + n_points * q.v_point
    cdef real* points = D + n_points * q.m_point
    cdef real* dU = given.dU + piece * n_points * sum_point(q)
    cdef real* db = NULL
    cdef const real* dz
    cdef Ahead nothing
    nothing.left = 0
    # dz without what the tiles of dX see beyond those of dz.
    dz = scratch + (back.before[0] * q.strip_width + back.before[1]) * q.n_filters
    if given.db is not NULL:
        db = given.db + piece * q.filter_lanes
        memset(db, 0, q.filter_lanes * sizeof(real))
    strip = start
    while strip < end:
        n = smaller(q.block_strips, end - strip)
        for i in range(n):
            strip_to_points(q, strip + i, i * q.tiles[1], V, i > 0, scratch)
        for i in range(n):
            strip_to_points(back, strip + i, i * q.tiles[1], points, i > 0, scratch)
            spread_strip(q, dz, i * q.tiles[1], 0, n_vec, &nothing, D, db)
        add_products(q, 0, n_vec, n * q.tiles[1], V, D, strip > start, dU)
        multiply_points(back, n * q.tiles[1], points, V)
        for i in range(n):
            points_to_output(back, strip + i, i * q.tiles[1], V, scratch)
        strip += n


cdef inline bint makes_both(const Winograd* q, const Winograd* back, int n_threads) noexcept nogil:
    """Whether tiles of dX lie over those of dz, sums and filters leave the cache to the maps, and
    pieces are enough for all threads."""
    cdef Py_ssize_t sums = q.n * q.n * q.n_channels * q.filter_lanes * sizeof(real)
    return (
        q.size[0] == q.out[0] and q.size[1] == q.out[1] and not is_dilated(q)
        and back.index_in is NULL and q.n_groups == 1 and sums <= BOTH_BYTES
        and q.n_pieces >= 2 * n_threads and not takes_panels(back))


cdef void fold_channel(
    const Winograd* q, Py_ssize_t channel, Py_ssize_t first, Py_ssize_t n_vec, const real* dU,
    Py_ssize_t distance, bint accumulate, real* dW
) noexcept nogil:
    """dW (+)= G' dU G for a channel and n_vec vectors of filters, from `first` on, whose points
    are so far apart."""
    cdef real w[MAX_TAPS * MAX_LANES]
    cdef Py_ssize_t v, t, width, i
    cdef real* to
    for v in range(n_vec):
        width = smaller(LANES, q.n_filters - (first + v) * LANES)
        fold_points(q.m, q.r, dU + v * LANES, q.n * distance, distance, w, q.r * LANES, LANES)
        for t in range(q.r * q.r):
            to = dW + (t * q.n_channels + channel) * q.n_filters + (first + v) * LANES
            for i in range(width):
                to[i] = w[t * LANES + i] + to[i] if accumulate else w[t * LANES + i]


# --- many channels and filters: block by block of the sums -------------------------------

cdef enum:
    BLOCK_CHANNELS = 64  # of dU of a panel of filters, which stays in the L2 cache


cdef inline Py_ssize_t channel_blocks(const Winograd* q) noexcept nogil:
    return ceil_div(q.n_channels, BLOCK_CHANNELS)


cdef void points_task(const void* work, Py_ssize_t i, real* scratch) noexcept nogil:
    """V and D of a strip, and its part of db."""
    cdef const WinogradGradient* given = <const WinogradGradient*> work
    cdef const Winograd* q = given.conv
    cdef Py_ssize_t strip = q.first_strip + i, row = i * q.tiles[1]
    cdef real* db = NULL
    if given.db is not NULL:
        db = given.db + strip * q.filter_lanes
        memset(db, 0, q.filter_lanes * sizeof(real))
    strip_to_points(q, strip, row, q.V, False, scratch)
    gradient_to_points(q, given.dz, strip, row, 0, q.filter_lanes // LANES, q.M, db, scratch)


cdef void sums_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """dW of a block of channels and a panel of filters, summed over a group of strips. Where its
    points lie in memory, all tiles of one would fall into a few sets of the cache."""
    cdef const WinogradGradient* given = <const WinogradGradient*> work
    cdef const Winograd* q = given.conv
    cdef Py_ssize_t n_all = q.filter_lanes // LANES, n_blocks = channel_blocks(q)
    cdef Py_ssize_t panel = task // n_blocks, block = task % n_blocks
    cdef Py_ssize_t v = panel_start(n_all, panel), W = panel_start(n_all, panel + 1) - v
    cdef Py_ssize_t c = part(q.n_channels, block, n_blocks)
    cdef Py_ssize_t n_c = part(q.n_channels, block + 1, n_blocks) - c
    cdef Py_ssize_t n_tiles = q.group_strips * q.tiles[1], point, i
    cdef Py_ssize_t distance = block_point(q)
    cdef real* V = scratch + q.n * q.n * distance
    cdef real* D = V + n_tiles * BLOCK_CHANNELS
    for point in range(q.n * q.n):
        copy_columns(q.V + point * q.v_point + c, q.channel_lanes, V, BLOCK_CHANNELS, n_tiles, n_c)
        copy_columns(q.M + point * q.m_point + v * LANES, q.filter_lanes, D, W * LANES, n_tiles,
                     W * LANES)
        matrix_rows(W, V, 1, BLOCK_CHANNELS, n_c, n_tiles, D, W * LANES, ZEROS, False,
                    scratch + point * distance, W * LANES)
    for i in range(n_c):
        fold_channel(q, c + i, v, W, scratch + i * W * LANES, distance, q.first_strip > 0,
                     given.dW)


cdef inline Py_ssize_t block_point(const Winograd* q) noexcept nogil:
    """Distance of two points in a block of dU: as in V, a cache line more."""
    return BLOCK_CHANNELS * NR + CACHE_LINE // sizeof(real)


cdef int gradient_by_panels(WinogradGradient* work, real* db, int n_threads) except -1:
    cdef Winograd* q = work.conv
    cdef Py_ssize_t n_groups = cut_groups(q), group, n_db, n_sums
    place_points(q, q.filter_lanes)
    n_db = 0 if db is NULL else q.n_strips * q.filter_lanes
    q.V = <real*> allocate((points_size(q) + n_db) * sizeof(real))
    q.M = q.V + q.n * q.n * q.v_point
    work.db = NULL if db is NULL else q.V + points_size(q)
    n_sums = q.n * q.n * block_point(q) + q.block_strips * q.tiles[1] * (BLOCK_CHANNELS + NR)
    try:
        with nogil:
            for group in range(n_groups):
                take_group(q, group, n_groups)
                run_tasks(points_task, work, q.group_strips, n_threads,
                          larger(strip_size(q), strip_size(work.dz)))
                if work.dW is not NULL:
                    run_tasks(sums_task, work,
                              channel_blocks(q) * panels_for(q.filter_lanes // LANES),
                              n_threads, n_sums)
            if db is not NULL:
                add_pieces(work.db, q.n_strips, 1, 1, q.n_filters, q.filter_lanes, db, 1)
    finally:
        free(q.V)
    return 0


cdef int gradient_by_pieces(
    WinogradGradient* work, Winograd* back, real* db, int n_threads
) except -1:
    """And dX, if `back` is given and that is faster; says whether."""
    cdef Winograd* q = work.conv
    cdef Py_ssize_t n_points = q.n * q.n, n_dU = n_points * sum_point(q), n_U = 0, i, piece
    cut_gradient(q)
    if back is not NULL and makes_both(q, back, n_threads):
        work.back = back
        back.v_point, back.m_point = q.m_point, q.v_point
        n_U = n_points * u_point(back)
    work.dU = <real*> allocate((q.n_pieces * (n_dU + q.filter_lanes) + n_U) * sizeof(real))
    work.db = NULL if db is NULL else work.dU + q.n_pieces * n_dU
    try:
        with nogil:
            if work.back is not NULL:
                back.packed = work.dU + q.n_pieces * (n_dU + q.filter_lanes)
                run_tasks(pack_points, back, panels_for(back.filter_lanes // LANES), n_threads,
                          panel_taps(back, back.n_channels))
                run_tasks(gradients_task, work, q.n_pieces, n_threads, both_scratch(q, back))
            else:
                run_tasks(weight_gradient_task, work, q.n_pieces * q.n_groups, n_threads,
                          gradient_scratch(q, work.dz))
            if db is not NULL:
                add_pieces(work.db, q.n_pieces, 1, 1, q.n_filters, q.filter_lanes, db, 1)
            if work.dW is not NULL:
                for i in prange(n_points, num_threads=n_threads):
                    for piece in range(1, q.n_pieces):
                        add_chunk_to(work.dU + i * sum_point(q),
                                     work.dU + piece * n_dU + i * sum_point(q),
                                     q.n_channels * q.filter_lanes)
                for i in prange(q.n_channels, num_threads=n_threads):
                    fold_channel(q, i, 0, q.filter_lanes // LANES, work.dU + i * q.filter_lanes,
                                 sum_point(q), False, work.dW)
    finally:
        free(work.dU)
    return work.back is not NULL


cdef int winograd_gradients(
    Winograd* q, Winograd* back, real* dW, real* db, int n_threads
) except -1:
    """dW and db, each unless NULL; dX too, the output of `back` unless that is NULL, if that is
    faster: says whether. The input of `back` is dz."""
    cdef Winograd dz = back[0]
    cdef WinogradGradient work
    n_threads = threads_for_products(
        q.n_strips * q.tiles[1] * q.n * q.n * q.n_channels * q.n_filters, n_threads)
    dz.tiles, dz.strip_width = q.tiles, q.strip_width
    work.conv, work.dz, work.dW, work.back = q, &dz, dW, NULL
    if takes_panels(q):
        return gradient_by_panels(&work, db, n_threads)
    return gradient_by_pieces(&work, NULL if back.Y is NULL else back, db, n_threads)
