# The direct form: rows of the tile are windows, k are taps, b are the filters, in panels.
#
# Design:
# * Its output is cut into blocks of images, chunks of their windows and parts of the panels, as
#   many as threads need.
# * Filters are packed before all that, but for a few windows, such as those of one small image:
#   there each panel is used by one task, which packs as much of it as it then multiplies, and what
#   is read is not written to memory again. Panels are then as many as threads share out evenly.
# * Windows of a signal are equally far apart, and so are its taps: where the sums are short, a tile
#   that needs no pointers is faster.
# * A tile asks for its rows of the output as it begins: there is time until it writes them.
# * The epilogue, a sum and an activation, is done for MC positions at a time, while they are in
#   cache.

cdef enum:
    FEW_WINDOWS = 2 * MC  # windows that are not shared out, if panels can be


cdef inline Py_ssize_t filters_start(const Conv* q, Py_ssize_t panel) noexcept nogil:
    """The first vector of a panel of a group's filters; of the panel past the last, the end."""
    return part(q.filter_lanes // LANES, panel, q.n_panels)


cdef void pack_taps(
    const Conv* q, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t k, Py_ssize_t n_k, real* packed
) noexcept nogil:
    """Some taps of the filters of a panel, scaled."""
    cdef Py_ssize_t v = filters_start(q, panel)
    cdef Py_ssize_t n_lanes = (filters_start(q, panel + 1) - v) * LANES
    cdef Py_ssize_t first = group * q.group_filters + v * LANES
    pack_panel(
        q.W + k * q.n_filters + first, q.n_filters, 1,
        NULL if q.scale is NULL else q.scale + first, n_k,
        smaller(n_lanes, q.group_filters - v * LANES), n_lanes, packed)


cdef void pack_filters(Conv* q, int n_threads) noexcept nogil:
    """Filters into panels of every group, unless tasks do it, and biases."""
    cdef Py_ssize_t n = 0 if q.packs_in_task else q.n_groups * q.n_panels, t, g, p
    for t in prange(n, num_threads=n_threads):
        g = t // q.n_panels
        p = t % q.n_panels
        pack_taps(q, g, p, 0, q.n_taps, q.packed + q.n_taps * (
            g * q.filter_lanes + filters_start(q, p) * LANES))
    for g in range(q.n_groups):
        if q.b is NULL:
            memset(q.packed_b + g * q.filter_lanes, 0, q.filter_lanes * sizeof(real))
        else:
            pack_panel(q.b + g * q.group_filters, 0, 1, NULL, 1, q.group_filters, q.filter_lanes,
                       q.packed_b + g * q.filter_lanes)


cdef inline Py_ssize_t panel_scratch(const Conv* q) noexcept nogil:
    """A block of rows of a panel, and a spare one."""
    return (q.panel_rows + 1) * NR


cdef inline void tile_of_windows(
    const Conv* q, Py_ssize_t panel, Py_ssize_t V, const real* x, Py_ssize_t first, const real** a,
    Py_ssize_t k, Py_ssize_t n_k, const real* b, const real* init, Py_ssize_t step, real** c
) noexcept nogil:
    """A step of the sums of a tile whose rows are windows of x, from the first on: n_k taps from k
    on. The first panel asks for the rows of the next tile, which others find in the cache."""
    cdef Py_ssize_t last = q.block_images * q.n_windows - 1, MR = mr_of(V), r
    cdef const real* next[MAX_MR]
    cdef int sums = FROM_INIT if step == 0 else FROM_C if q.is_running else ADD_C
    if step > 0:
        init = ZEROS
    elif V > 1:  # rows of one vector lie as close together as the processor foresees
        for r in range(MR):
            fetch_to_write(c[r], V * LANES)
    if panel == 0 and reads_pixels(q):
        for r in range(MR):
            next[r] = x + q.window[smaller(first + MR + r, last)]
        tile_asking(V, a, q.tap + k, n_k, b, V * LANES, init, sums, c, next)
    else:
        tile(V, a, q.tap + k, n_k, b, V * LANES, init, sums, c)


cdef inline bint are_rows(const Conv* q) noexcept nogil:
    """Whether the windows of a block are rows of a matrix, whose sums are made in one step."""
    return (q.out[0] == q.out[1] == q.kernel[0] == q.kernel[1] == q.n_groups == q.dilation[2] == 1
            and q.block_images == 1 and q.n_taps <= KC and not q.packs_in_task)


cdef void conv_panel(
    const Conv* q, const real* x, Py_ssize_t first, Py_ssize_t n_rows,
    Py_ssize_t group, Py_ssize_t panel, real* y, real* scratch,
) noexcept nogil:
    """One panel of maps at windows first ... first + n_rows of a block; y is the block's
    output at the first window. Scratch: `panel_scratch`, and KC rows of a panel where filters are
    packed here."""
    cdef Py_ssize_t v = filters_start(q, panel)
    cdef Py_ssize_t V = filters_start(q, panel + 1) - v, n_lanes = V * LANES
    cdef Py_ssize_t column = group * q.group_filters + v * LANES
    cdef Py_ssize_t width = smaller(n_lanes, q.group_filters - v * LANES)
    cdef const real* b
    cdef real* taps = scratch + panel_scratch(q)
    cdef const real* init = q.packed_b + group * q.filter_lanes + v * LANES
    cdef Py_ssize_t n_steps = ceil_div(q.n_taps, KC), step, k, k_end
    cdef Py_ssize_t n_direct = 0, MR = mr_of(V), t, row, r
    cdef const real* a[MAX_MR]
    cdef real* c[MAX_MR]
    x = x + group * q.group_channels
    y = y + column
    # Rows that go straight to the output: all of them if they are whole vectors; else those
    # whose surplus the rows after them overwrite.
    if width == n_lanes:
        n_direct = n_rows
    elif width == q.n_filters and n_steps == 1:
        n_direct = larger(0, n_rows - ceil_div(n_lanes - width, width))
    if n_direct == n_rows and are_rows(q):
        b = q.packed + v * LANES * q.n_taps
        matrix_rows(V, x + q.window[first], q.stride[2] * q.n_channels, 1, n_rows, q.n_taps, b,
                    n_lanes, init, False, y, q.n_filters)
        return
    for step in range(n_steps):
        k = part(q.n_taps, step, n_steps)
        k_end = part(q.n_taps, step + 1, n_steps)
        b = q.packed + (group * q.filter_lanes + v * LANES) * q.n_taps + k * n_lanes
        if q.packs_in_task:
            b = taps
            pack_taps(q, group, panel, k, k_end - k, taps)
        for t in range(ceil_div(n_rows, MR)):
            row = t * MR
            for r in range(smaller(MR, n_rows - row)):
                a[r] = x + q.window[first + row + r]
                c[r] = scratch + (row + r) * n_lanes
                if row + r < n_direct:
                    c[r] = y + (row + r) * q.n_filters
            for r in range(n_rows - row, MR):
                a[r] = a[0]
                c[r] = scratch + q.panel_rows * n_lanes
            tile_of_windows(q, panel, V, x, first + row, a, k, k_end - k, b, init, step, c)
    copy_columns(scratch + n_direct * n_lanes, n_lanes, y + n_direct * q.n_filters,
                 q.n_filters, n_rows - n_direct, width)


cdef void sum_and_activate(
    const Conv* q, Py_ssize_t start, Py_ssize_t n_rows, Py_ssize_t width
) noexcept nogil:
    """The epilogue of some columns of rows of Y, which begin at `start`."""
    cdef Py_ssize_t r
    if width == q.n_filters:
        width, n_rows = n_rows * width, 1
    for r in range(n_rows):
        if q.addend is not NULL:
            add_chunk_to(q.Y + start, q.addend + start, width)
        activate(q.code, q.alpha, q.Y + start, width)
        start += q.n_filters


cdef void conv_forward_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """Some panels of a chunk of a block."""
    cdef const Conv* q = <const Conv*> work
    cdef Py_ssize_t panel_part = task % q.n_panel_parts
    cdef Py_ssize_t chunk = (task // q.n_panel_parts) % q.n_chunks
    cdef Py_ssize_t block = task // (q.n_panel_parts * q.n_chunks)
    cdef Py_ssize_t image = block_start(q, block)
    cdef Py_ssize_t n_windows = q.n_windows * (block_start(q, block + 1) - image)
    cdef Py_ssize_t first = part(n_windows, chunk, q.n_chunks)
    cdef Py_ssize_t last = part(n_windows, chunk + 1, q.n_chunks)
    cdef Py_ssize_t n_panels = q.n_panels
    cdef Py_ssize_t n_all = q.n_groups * n_panels
    cdef Py_ssize_t start = part(n_all, panel_part, q.n_panel_parts)
    cdef Py_ssize_t end = part(n_all, panel_part + 1, q.n_panel_parts)
    cdef Py_ssize_t i, row, n_rows, t, left, right, at_row
    cdef const real* x
    if first >= last:
        return
    x = padded_block(q, block, first, last, scratch + panel_scratch(q))
    # The columns of this part, for the epilogue.
    left = (start // n_panels) * q.group_filters
    left += filters_start(q, start % n_panels) * LANES
    right = (end // n_panels) * q.group_filters
    right += filters_start(q, end % n_panels) * LANES
    for i in range(ceil_div(last - first, q.panel_rows)):
        row = first + i * q.panel_rows
        n_rows = smaller(q.panel_rows, last - row)
        at_row = image * q.out_size + row * q.n_filters
        for t in range(start, end):
            conv_panel(q, x, row, n_rows, t // n_panels, t % n_panels, q.Y + at_row, scratch)
        sum_and_activate(q, at_row + left, n_rows, right - left)


cdef real* packed_filters(const Conv* given, Conv* q, int n_threads) except NULL nogil:
    """The filters, perhaps made wide, and biases in panels; the caller frees their memory."""
    cdef Py_ssize_t n_lanes = q.n_groups * q.filter_lanes
    cdef Py_ssize_t n_packed = 0 if q.packs_in_task else n_lanes * q.n_taps
    cdef real* memory = <real*> allocate((n_packed + n_lanes + wide_filters(q)) * sizeof(real))
    cdef real* wide
    q.packed = memory
    q.packed_b = q.packed + n_packed
    if q.width > 1:
        wide = q.packed_b + n_lanes
        q.W = wide
        q.b = NULL if given.b is NULL else wide + q.n_taps * q.n_filters
        widen_filters(given, q, wide, wide + q.n_taps * q.n_filters)
        q.scale = NULL
    pack_filters(q, n_threads)
    return memory


cdef void share_panels(Conv* q, int n_threads) noexcept nogil:
    """If a panel is worth being used once, for all windows: panels that threads share evenly."""
    cdef Py_ssize_t n_rows = q.block_images * q.n_windows
    q.packs_in_task = q.width == 1 and q.n_blocks == 1 and not copies_input(q) and (
        n_rows <= MC or (n_rows <= FEW_WINDOWS and q.n_groups * q.n_panels >= n_threads))
    if not q.packs_in_task:
        return
    q.panel_rows = larger(MC, n_rows)
    if q.n_groups == 1:
        q.n_panels = smaller(
            q.filter_lanes // LANES, ceil_div(q.n_panels, n_threads) * n_threads)
    q.n_chunks = 1
    q.n_panel_parts = q.n_groups * q.n_panels


cdef int convolve_images(const Conv* given, Py_ssize_t width, int n_threads) except -1:
    """Y, with so many neighbouring positions taken together."""
    cdef Conv q = widened(given, width)
    cdef Py_ssize_t* tables
    cdef real* packed = NULL
    cdef Py_ssize_t n_tasks, scratch_size
    cut_blocks(&q, n_threads)
    share_panels(&q, n_threads)
    if not q.packs_in_task:
        q.n_chunks = smaller(ceil_div(q.block_images * q.n_windows, MC),
                             chunks_of(q.n_blocks, n_threads))
        q.n_panel_parts = 1
        if q.n_blocks * q.n_chunks < n_threads:
            q.n_panel_parts = q.n_groups * q.n_panels
    n_tasks = q.n_blocks * q.n_chunks * q.n_panel_parts
    scratch_size = panel_scratch(&q)
    if q.packs_in_task:
        scratch_size += KC * NR
    if copies_input(&q):
        scratch_size += whole_vectors(q.block_images * q.padded_size)
    tables = conv_tables(&q)
    try:
        with nogil:
            packed = packed_filters(given, &q, n_threads)
            run_tasks(conv_forward_task, &q, n_tasks, n_threads, scratch_size)
    finally:
        free(packed)
        free(tables)
    return 0
