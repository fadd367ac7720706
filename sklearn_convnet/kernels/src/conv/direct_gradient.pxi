# The gradients in the direct form.
#
#   dW(t, c, f) = sum_o X(o s + t d - p, c) dz(o, f)                  dz = dY f'(z)
#
# Design:
# * Rows of the tile are taps, k are windows, b is dz. The input gradient, unless it is a forward
#   pass, is that of scatter.pxi.
# * dz is never stored as a whole: it is made for MC positions at a time, and used for
#   both gradients while it is in cache.

cdef inline Py_ssize_t row_of_dz(const Conv* q) noexcept nogil:
    """Distance of two rows of dz. Groups are padded to whole vectors; the rows of one group
    lie side by side, and a vector over the end of a row has lanes that nobody uses."""
    return q.n_filters if q.n_groups == 1 else q.n_groups * q.filter_lanes


cdef void make_dz(
    const Conv* q, Py_ssize_t first, Py_ssize_t n_rows, real* dz, real* db, real* scratch
) noexcept nogil:
    """dz = dY f'(z) for n_rows output positions; db gets its sum over them added."""
    cdef Py_ssize_t n = n_rows * q.n_filters, row = row_of_dz(q), g
    cdef real* compact = dz if q.n_groups == 1 else scratch
    memcpy(compact, q.dY + first * q.n_filters, n * sizeof(real))
    multiply_derivative(q.code, q.alpha, q.Y_in + first * q.n_filters, compact, n)
    if q.n_groups == 1:
        memset(dz + n, 0, NR * sizeof(real))
    else:
        memset(dz, 0, n_rows * row * sizeof(real))
        for g in range(q.n_groups):
            copy_columns(compact + g * q.group_filters, q.n_filters,
                         dz + g * q.filter_lanes, row, n_rows, q.group_filters)
    if db is not NULL:
        add_rows(dz, row, n_rows, q.n_groups * q.filter_lanes, db)


cdef void add_weight_gradient(
    const Conv* q, const real* x, Py_ssize_t first, Py_ssize_t n_rows, const real* dz,
    real* dW, real* spare, real* scratch
) noexcept nogil:
    """dW += X at the taps, times dz, summed over n_rows windows. All tiles of a panel read its
    columns of dz: of several panels they are copied, since rows that lie a power of two apart
    share few sets of the L1 cache. Meanwhile the pixels behind these are asked for."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, panel, v, V, MR, t, row, r, g
    cdef Py_ssize_t row_lanes = row_of_dz(q), b_row, n_tiles
    cdef Py_ssize_t n_next = n_rows * q.n_channels if reads_pixels(q) else 0
    cdef const real* next_x = x + q.window[first] + n_next
    cdef const real* a[MAX_MR]
    cdef real* c[MAX_MR]
    cdef const real* b
    for g in range(q.n_groups):
        for panel in range(panels_for(n_vec)):
            v = panel_start(n_vec, panel)
            V = panel_start(n_vec, panel + 1) - v
            MR = mr_of(V)
            b = dz + g * q.filter_lanes + v * LANES
            b_row = row_lanes
            if n_vec > V:
                copy_columns(b, row_lanes, scratch, V * LANES, n_rows, V * LANES)
                b = scratch
                b_row = V * LANES
            n_tiles = ceil_div(q.n_taps, MR)
            for t in range(n_tiles):
                row = t * MR
                if g == 0 and panel == 0:
                    fetch(next_x + part(n_next, t, n_tiles),
                          part(n_next, t + 1, n_tiles) - part(n_next, t, n_tiles))
                for r in range(MR):
                    a[r] = x + g * q.group_channels + q.tap[smaller(row + r, q.n_taps - 1)]
                    c[r] = dW + (g * q.n_taps + row + r) * q.filter_lanes + v * LANES
                    if row + r >= q.n_taps:
                        c[r] = spare
                tile(V, a, q.window + first, n_rows, b, b_row, ZEROS, ADD_C, c)


cdef void conv_backward_block(
    const Conv* q, const Conv* given, Py_ssize_t block, real* dW, real* db, real* scratch
) noexcept nogil:
    """The gradients of a block of images: of the filters taken wide, of the input as given."""
    cdef Py_ssize_t image = block_start(q, block), i
    cdef Py_ssize_t n_images = block_start(q, block + 1) - image
    cdef Py_ssize_t n_windows = n_images * q.n_windows, row, n_rows
    cdef Py_ssize_t slack = NR
    cdef real* spare = scratch
    cdef real* compact = spare + slack
    cdef real* dz = compact + MC * q.n_groups * q.filter_lanes
    cdef real* dx = dz + MC * q.n_groups * q.filter_lanes + slack
    cdef real* padded = dx
    cdef const real* x = NULL
    cdef bint scatters = q.dX is not NULL and given.scatters
    if scatters:
        padded = dx + q.block_images * q.padded_size + slack
        fill_pixels(given.shift, given.n_channels,
                    n_images * q.padded_size // given.n_channels, dx)
    if dW is not NULL:
        x = padded_block(q, block, 0, n_windows, padded)
    for i in range(ceil_div(n_windows, MC)):
        row = i * MC
        n_rows = smaller(MC, n_windows - row)
        make_dz(q, image * q.n_windows + row, n_rows, dz, db, compact)
        if dW is not NULL:
            add_weight_gradient(q, x, row, n_rows, dz, dW, spare, compact)
        if scatters:
            add_input_gradient(given, row * q.width, n_rows * q.width, dz,
                               row_of_dz(q) // q.width, dx, spare)
        elif q.dX is not NULL:
            pointwise_input_gradient(
                given, n_rows * q.width, dz, row_of_dz(q) // q.width,
                q.dX + image * q.image_size + row * q.width * given.n_channels)
    if scatters:
        for i in range(n_images):
            crop_image(q, dx + i * q.padded_size, q.dX + (image + i) * q.image_size)


cdef struct DirectGradients:
    const Conv* conv          # perhaps made wide
    const Conv* given


cdef void conv_backward_piece(const void* work, Py_ssize_t piece, real* scratch) noexcept nogil:
    """The gradients of a piece of the batch, of which dX is done then."""
    cdef const Conv* q = (<const DirectGradients*> work).conv
    cdef const Conv* given = (<const DirectGradients*> work).given
    cdef Py_ssize_t dW_size = q.n_groups * q.n_taps * q.filter_lanes
    cdef Py_ssize_t db_size = q.n_groups * q.filter_lanes, block
    cdef real* dW = NULL
    cdef real* db = NULL
    if q.dW_pieces is not NULL:
        dW = q.dW_pieces + piece * dW_size
        memset(dW, 0, dW_size * sizeof(real))
    if q.db_pieces is not NULL:
        db = q.db_pieces + piece * db_size
        memset(db, 0, db_size * sizeof(real))
    for block in range(part(q.n_blocks, piece, q.n_pieces),
                       part(q.n_blocks, piece + 1, q.n_pieces)):
        conv_backward_block(q, given, block, dW, db, scratch)


cdef int direct_gradients(
    Conv* given, real* dW, real* db, Py_ssize_t width, int n_threads
) except -1:
    """The gradients whose arrays are there, with so many neighbouring positions taken together; dX
    is that of the geometry, added up where windows overlap."""
    cdef Conv q = widened(given, width)
    cdef DirectGradients work = DirectGradients(&q, given)
    cdef Py_ssize_t* tables
    cdef Py_ssize_t* given_tables = NULL
    cdef real* memory = NULL
    cdef real* wide_dW
    cdef real* wide_db
    cdef Py_ssize_t n_packed = 0, dW_size = 0, db_size = 0, slack = NR, scratch_size
    given.block_images = q.block_images
    if dW is not NULL:
        dW_size = q.n_groups * q.n_taps * q.filter_lanes
    if db is not NULL:
        db_size = q.n_groups * q.filter_lanes
    cut_pieces(&q, dW_size, n_products(given))
    if given.dX is not NULL:
        n_packed = (q.n_groups * given.n_runs * vectors_for(given.run_width) * LANES
                    * given.group_filters)
    scratch_size = (2 * slack + 2 * MC * q.n_groups * q.filter_lanes
                    + 2 * (whole_vectors(q.block_images * q.padded_size) + slack))
    tables = conv_tables(&q)
    try:
        if given.dX is not NULL:
            given_tables = conv_tables(
                given, given.n_windows if q.block_images > 1 else q.width * MC)
        memory = <real*> allocate(
            (n_packed + wide_filters(&q) + q.n_pieces * (dW_size + db_size)) * sizeof(real))
        given.packed_T = memory
        wide_dW = memory + n_packed
        wide_db = wide_dW + q.n_taps * q.n_filters
        q.dW_pieces = q.db_pieces = NULL
        if dW is not NULL:
            q.dW_pieces = wide_dW + wide_filters(&q)
        if db is not NULL:
            q.db_pieces = wide_dW + wide_filters(&q) + q.n_pieces * dW_size
        with nogil:
            if given.dX is not NULL:
                pack_transposed(given, n_threads)
            run_tasks(conv_backward_piece, &work, q.n_pieces, n_threads, scratch_size)
            if dW is not NULL:
                add_pieces(q.dW_pieces, q.n_pieces, q.n_taps, q.n_groups,
                           q.group_filters, q.filter_lanes,
                           wide_dW if q.width > 1 else dW, n_threads)
                if q.width > 1:
                    fold_filters(given, &q, wide_dW, dW)
            if db is not NULL:
                add_pieces(q.db_pieces, q.n_pieces, 1, q.n_groups, q.group_filters,
                           q.filter_lanes, wide_db if q.width > 1 else db, 1)
                if q.width > 1:
                    fold_biases(given, &q, wide_db, db)
    finally:
        free(memory)
        free(given_tables)
        free(tables)
    return 0
