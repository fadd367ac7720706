# Depth-wise convolution, forward: every lane of a vector is a channel with filters of its own.
#
# Design:
# * Maps are read where they lie. A position sees a box of taps, of which those that meet padding
#   are left out: along each axis a table says which they are. Positions of a row that see all
#   columns of the filters are tiles along it; at the edges, those of a column are tiles down it.
# * Vectors that lie across two cache lines are loaded at half the speed. Where each number is seen
#   by several taps, and channels are no whole vectors or do not begin at the bound of one, rows are
#   copied as they are needed, with as many lanes as there are whole vectors of channels, repeated
#   `multiplier` times; then with their padding, so that whole rows are tiles.
# * Rows of the output are shared among threads, those of one image too.
# * The map may be that of a convolution of single pixels, row by row: see pointwise.pxi.
# * Of maps that stay in the L2 cache so many channels are taken at a time that the rows that one of
#   the output sees stay in the L1 cache until the next one sees them. Larger ones are read as they
#   lie. Tiles read more runs of memory than the processor foresees, so those of a row of maps that
#   no cache holds ask for what the next one reads and writes.

cdef enum:
    ROWS_BYTES = 24576     # of the rows that one of the output sees: half of an L1 cache
    RUN_BYTES = 256        # of a pixel, at least: shorter runs are not foreseen
    MAPS_BYTES = 1 << 20   # of maps that stay in the L2 cache: others are read as they lie
    FEW_TAPS = 9           # that see a number, at most: to align it first would take longer
    POINTWISE_BYTES = 1 << 18  # of the map that is made row by row, for a block of output
    BLOCK_ROWS = 8         # of output, at least: positions at the edges are taken down them
    LOADS = 8              # multiply-adds of a convolution that take as long as one here, at least


cdef struct Depthwise:
    Conv conv                 # of X, whose channels are the lanes
    Py_ssize_t n_channels, multiplier, n_lanes
    bint plain                # whether the lanes are the channels
    # Forward.
    bint in_place             # whether X is read where it lies, and no copy of its rows
    Py_ssize_t width, left    # columns of what is read, and how many of them are padding before X
    Py_ssize_t* first[3]      # tap that a position of the output sees first, along each axis
    Py_ssize_t* seen[3]       # and how many
    Py_ssize_t inner[3][2]    # positions that see all taps along an axis: the first, and the end
    Py_ssize_t block_lanes    # worked on together
    Py_ssize_t n_chunks       # of a row of output
    Py_ssize_t block_rows     # worked on together
    Py_ssize_t n_strips       # of rows, or chunks of rows, of an image
    bint fetches              # whether whole rows are asked for before they are needed
    const Conv* pointwise     # which makes the map, or NULL
    Py_ssize_t pointwise_rows  # of it that are in memory at a time
    bint clamps               # whether the activation is done in registers
    real bounds[2]            # within which it does
    # Backward.
    Py_ssize_t margin[3]      # before dz
    Py_ssize_t padded_dz[3]   # its size with margins
    Py_ssize_t dz_size        # numbers
    Py_ssize_t* dz            # (n_windows): where in the padded dz
    real* filters             # (taps, lanes)
    real* bias                # (lanes,)


cdef int depthwise_geometry(
    Depthwise* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, stride, padding, dilation
) except -1:
    cdef Conv* g = &q.conv
    conv_geometry(g, shape_X, shape_W, shape_Y, stride, padding, dilation, shape_X[4])
    q.n_channels = g.n_channels
    q.multiplier = g.group_filters
    q.n_lanes = vectors_for(g.n_filters) * LANES
    q.plain = q.multiplier == 1 and q.n_lanes == q.n_channels
    q.pointwise = NULL
    return 0


cdef void repeat_channels(
    const Depthwise* q, const real* image, Py_ssize_t n_pixels, real* to
) noexcept nogil:
    """Pixels of an image, with repeated channels; surplus lanes stay as they are."""
    cdef Py_ssize_t i, c, j
    if q.plain:
        memcpy(to, image, n_pixels * q.n_channels * sizeof(real))
    elif q.multiplier == 1:
        copy_columns(image, q.n_channels, to, q.n_lanes, n_pixels, q.n_channels)
    else:
        for i in range(n_pixels):
            for c in range(q.n_channels):
                for j in range(q.multiplier):
                    to[c * q.multiplier + j] = image[c]
            image = image + q.n_channels
            to = to + q.n_lanes


cdef inline Py_ssize_t rows_together(Py_ssize_t width) noexcept nogil:
    """Rows of so many positions that are a block; of longer ones, a part of a row is."""
    return larger(1, MC // larger(1, width))


cdef inline Py_ssize_t block_positions(Py_ssize_t width) noexcept nogil:
    """Positions of a block, at most."""
    return rows_together(width) * smaller(width, MC)


cdef void forward_geometry(Depthwise* q, int n_threads) noexcept nogil:
    """Lanes, and what is worked on together."""
    cdef Conv* g = &q.conv
    cdef Py_ssize_t width = (MC - 1) * g.stride[2] + (g.kernel[2] - 1) * g.dilation[2] + 1
    cdef Py_ssize_t n_rows = g.out[0] * g.out[1], n_bytes
    q.in_place = q.plain and <size_t> g.X % (LANES * sizeof(real)) == 0
    if q.multiplier == 1 and q.n_channels >= LANES and g.n_taps <= (
            FEW_TAPS * g.stride[0] * g.stride[1] * g.stride[2]):
        q.in_place = True
        q.n_lanes = q.n_channels
    q.left = 0 if q.in_place else g.before[2]
    q.width = g.size[2] if q.in_place else g.padded[2]
    n_bytes = ROWS_BYTES // (g.kernel[0] * g.kernel[1] * smaller(width, g.size[2]))
    q.block_lanes = q.n_lanes
    if n_bytes >= RUN_BYTES and g.n_images * g.image_size * sizeof(real) <= MAPS_BYTES:
        q.block_lanes = n_bytes // <Py_ssize_t> sizeof(real) // LANES * LANES
    q.n_chunks = ceil_div(g.out[2], MC)
    q.block_rows = 1 if q.n_chunks > 1 else larger(BLOCK_ROWS, rows_together(g.out[2]))
    q.n_strips = smaller(n_rows * q.n_chunks, chunks_of(g.n_images, n_threads))
    q.fetches = q.n_chunks == 1 and g.n_images * (
        g.image_size + g.out_size) * <Py_ssize_t> sizeof(real) > NEAR_BYTES
    if q.pointwise is not NULL:
        q.block_rows = smaller(q.block_rows, larger(1, POINTWISE_BYTES // (
            g.stride[1] * g.size[2] * q.n_channels * <Py_ssize_t> sizeof(real))))
        q.pointwise_rows = smaller(g.size[0] * g.size[1], (q.block_rows - 1) * g.stride[1]
                                   + (g.kernel[1] - 1) * g.dilation[1] + 1)
        if g.size[0] > 1 or g.out[0] > 1:
            q.pointwise_rows = g.size[0] * g.size[1]
    q.clamps = g.code == RELU or g.code == RELU6
    q.bounds[0] = 0
    q.bounds[1] = 6 if g.code == RELU6 else INFINITY


cdef inline Py_ssize_t window_start(const Depthwise* q, int axis, Py_ssize_t o) noexcept nogil:
    """Where in what is read the window of a position of the output begins."""
    cdef const Conv* g = &q.conv
    return o * g.stride[axis] - g.before[axis] + (q.left if axis == 2 else 0)


cdef Py_ssize_t* seen_taps(Depthwise* q) except NULL:
    """Fills the tables of a forward pass; returns the memory they share."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t* memory = <Py_ssize_t*> allocate(
        2 * (g.out[0] + g.out[1] + g.out[2]) * sizeof(Py_ssize_t))
    cdef Py_ssize_t* table = memory
    cdef Py_ssize_t o, corner, end, size
    cdef int axis
    for axis in range(3):
        size = q.width if axis == 2 else g.size[axis]
        q.first[axis] = table
        q.seen[axis] = table + g.out[axis]
        table = q.seen[axis] + g.out[axis]
        for o in range(g.out[axis]):
            corner = window_start(q, axis, o)
            end = ceil_div(larger(0, size - corner), g.dilation[axis])
            q.first[axis][o] = ceil_div(larger(0, -corner), g.dilation[axis])
            q.seen[axis][o] = larger(0, smaller(g.kernel[axis], end) - q.first[axis][o])
        o = 0
        while o < g.out[axis] and q.seen[axis][o] < g.kernel[axis]:
            o += 1
        q.inner[axis][0] = o
        while o < g.out[axis] and q.seen[axis][o] == g.kernel[axis]:
            o += 1
        q.inner[axis][1] = o
    return memory


cdef void correlate(
    const Depthwise* q, const real* x, Py_ssize_t row, Py_ssize_t column, int axis, Py_ssize_t n,
    Py_ssize_t lane, Py_ssize_t n_lanes, real* y, Py_ssize_t y_step, ChannelsAhead* next
) noexcept nogil:
    """Some lanes of n positions along an axis that see the same taps: y, y_step apart, from x
    (depth, height, width, lanes)."""
    cdef const Conv* g = &q.conv
    cdef const real* w = q.filters + lane
    cdef Py_ssize_t i, step, place, tap
    cdef Py_ssize_t[3] o
    cdef Py_ssize_t[3] x_step
    cdef Taps taps
    o[:] = [row // g.out[1], row % g.out[1], column]
    x_step[:] = [g.size[1] * q.width * q.n_lanes, q.width * q.n_lanes, q.n_lanes]
    taps.b[:] = [g.kernel[1] * g.kernel[2] * q.n_lanes, g.kernel[2] * q.n_lanes, q.n_lanes]
    x = x + lane
    for i in range(3):
        tap = q.first[i][o[i]]
        place = window_start(q, i, o[i]) + tap * g.dilation[i]
        taps.n[i] = q.seen[i][o[i]]
        taps.a[i] = g.dilation[i] * x_step[i]
        x = x + place * x_step[i]
        w = w + tap * taps.b[i]
    step = g.stride[axis] * x_step[axis]
    channel_row(n, n_lanes, x, step, w, &taps, q.bias + lane, q.bounds if q.clamps else NULL,
                y + lane, y_step, next)


cdef void correlate_columns(
    const Depthwise* q, const real* x, Py_ssize_t row, Py_ssize_t n_rows, Py_ssize_t column,
    Py_ssize_t end, Py_ssize_t lane, Py_ssize_t n_lanes, real* y, Py_ssize_t y_row
) noexcept nogil:
    """Positions at the edges, each of which sees some columns of the filters: down the columns."""
    cdef Py_ssize_t i, n, height, n_heights = q.conv.out[1]
    for column in range(column, end):
        i = 0
        while i < n_rows:
            height = (row + i) % n_heights
            n = 1
            if q.inner[1][0] <= height < q.inner[1][1]:
                n = smaller(n_rows - i, q.inner[1][1] - height)
            correlate(q, x, row + i, column, 1, n, lane, n_lanes, y + i * y_row, y_row, NULL)
            i += n
        y = y + q.n_lanes


cdef Py_ssize_t rows_seen(const Depthwise* q, Py_ssize_t end) noexcept nogil:
    """Rows of an image that rows of its output before `end` see; all, where there are planes."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t n = g.size[0] * g.size[1]
    if g.size[0] > 1 or g.out[0] > 1:
        return n
    return larger(0, smaller(n, (end - 1) * g.stride[1] - g.before[1]
                             + (g.kernel[1] - 1) * g.dilation[1] + 1))


cdef ChannelsAhead rows_ahead(
    const Depthwise* q, Py_ssize_t image, const real* x, Py_ssize_t row, const real* y
) noexcept nogil:
    """What the row of all images after y, the output's row `row` of this one, reads and writes."""
    cdef const Conv* g = &q.conv
    cdef ChannelsAhead ahead
    cdef Py_ssize_t n = g.out[0] * g.out[1], size = g.size[2] * q.n_lanes
    cdef Py_ssize_t first = rows_seen(q, row + 1), end = rows_seen(q, row + 2)
    memset(&ahead, 0, sizeof(ahead))
    if row + 1 == n:
        if image + 1 == g.n_images:
            return ahead
        first = g.size[0] * g.size[1]
        end = first + rows_seen(q, 1)
    if q.in_place and q.pointwise is NULL:
        ahead.x, ahead.n_x = x + first * size, (end - first) * size
    if q.n_lanes == g.n_filters:
        ahead.n_y = g.out[2] * q.n_lanes
        ahead.y = y + ahead.n_y
    return ahead


cdef void correlate_block(
    const Depthwise* q, Py_ssize_t image, const real* x, Py_ssize_t row, Py_ssize_t n_rows,
    Py_ssize_t column, Py_ssize_t end, real* y
) noexcept nogil:
    """y (rows, columns, lanes), some lanes at a time."""
    cdef Py_ssize_t left = smaller(end, larger(column, q.inner[2][0]))
    cdef Py_ssize_t right = larger(left, smaller(end, q.inner[2][1]))
    cdef Py_ssize_t y_row = (end - column) * q.n_lanes, lane = 0, n, i
    cdef ChannelsAhead ahead
    while lane < q.n_lanes:
        n = smaller(q.block_lanes, q.n_lanes - lane)
        if q.n_lanes - lane - n < LANES:  # less than a vector would be left
            n = q.n_lanes - lane
        for i in range(n_rows if left < right else 0):
            if q.fetches:
                ahead = rows_ahead(q, image, x, row + i, y + i * y_row)
            correlate(q, x, row + i, left, 2, right - left, lane, n,
                      y + i * y_row + (left - column) * q.n_lanes, q.n_lanes,
                      &ahead if q.fetches else NULL)
        correlate_columns(q, x, row, n_rows, column, left, lane, n, y, y_row)
        correlate_columns(q, x, row, n_rows, right, end, lane, n,
                          y + (right - column) * q.n_lanes, y_row)
        lane += n


cdef void depthwise_block(
    const Depthwise* q, Py_ssize_t image, const real* x, Py_ssize_t row, Py_ssize_t n_rows,
    Py_ssize_t column, Py_ssize_t end, real* scratch
) noexcept nogil:
    """A block of Y, of whole rows or of a part of one."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t n = n_rows * (end - column)
    cdef real* y = g.Y + image * g.out_size + (row * g.out[2] + column) * g.n_filters
    cdef bint direct = q.n_lanes == g.n_filters
    correlate_block(q, image, x, row, n_rows, column, end, y if direct else scratch)
    if not direct:
        copy_columns(scratch, q.n_lanes, y, g.n_filters, n, g.n_filters)
    if not q.clamps:
        activate(g.code, g.alpha, y, n * g.n_filters)


cdef Py_ssize_t first_seen(const Depthwise* q, Py_ssize_t row) noexcept nogil:
    """The first row of an image that a row of its output and those after it see."""
    cdef const Conv* g = &q.conv
    if g.size[0] > 1 or g.out[0] > 1:
        return 0
    return smaller(g.size[1], larger(0, row * g.stride[1] - g.before[1]))


cdef void copy_row_with_lanes(const Depthwise* q, const real* x, real* to) noexcept nogil:
    """A row of an image, with lanes, in its padding."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t before = q.left * q.n_lanes, n = g.size[2] * q.n_lanes
    memset(to, 0, before * sizeof(real))
    repeat_channels(q, x, g.size[2], to + before)
    memset(to + before + n, 0, (q.width * q.n_lanes - before - n) * sizeof(real))


cdef inline Py_ssize_t lanes_scratch(const Depthwise* q) noexcept nogil:
    """The rows of an image, copied."""
    return 0 if q.in_place else q.conv.size[0] * q.conv.size[1] * q.width * q.n_lanes


cdef inline Py_ssize_t map_scratch(const Depthwise* q) noexcept nogil:
    """The map, as far as it is made here."""
    return 0 if q.pointwise is NULL else pixel_rows_scratch(q.pointwise, q.pointwise_rows)


cdef inline Py_ssize_t block_scratch(const Depthwise* q) noexcept nogil:
    """A block of output, where lanes are no channels of it."""
    if q.n_lanes == q.conv.n_filters:
        return 0
    return q.block_rows * smaller(q.conv.out[2], MC) * q.n_lanes


cdef void depthwise_strip(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """Some rows of Y, or chunks of them. Scratch: `lanes_scratch`, `block_scratch` and
    `map_scratch`."""
    cdef const Depthwise* q = <const Depthwise*> work
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t image = task // q.n_strips, strip = task % q.n_strips
    cdef Py_ssize_t n_units = g.out[0] * g.out[1] * q.n_chunks
    cdef Py_ssize_t unit = part(n_units, strip, q.n_strips), row, column, n
    cdef Py_ssize_t end = part(n_units, strip + 1, q.n_strips)
    cdef Py_ssize_t seen = first_seen(q, unit // q.n_chunks)
    cdef real* block = scratch + lanes_scratch(q)
    cdef PixelRows rows = PixelRows(
        q.pointwise, q.pointwise_rows, seen, seen, block + block_scratch(q))
    cdef const real* x = g.X + image * g.image_size
    while unit < end:
        row = unit // q.n_chunks
        column = unit % q.n_chunks * MC
        n = smaller(q.block_rows, end - unit)
        if q.pointwise is not NULL:
            x = with_pixel_rows(&rows, image, first_seen(q, row), rows_seen(q, row + n))
        if not q.in_place:
            seen = larger(seen, first_seen(q, row))
            while seen < rows_seen(q, row + n):
                copy_row_with_lanes(q, x + seen * g.size[2] * q.n_channels,
                                    scratch + seen * q.width * q.n_lanes)
                seen += 1
        depthwise_block(q, image, x if q.in_place else scratch, row, n, column,
                        smaller(g.out[2], column + MC), block)
        unit += n
