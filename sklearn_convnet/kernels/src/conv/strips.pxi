# Strips of interleaved images: a vector holds one number of each of LANES images. So filters,
# channels and widths that fill no vector cost nothing, and padding is not multiplied. Batched
# linear algebra calls this layout interleaved, or compact.
#
# Design:
# * A strip is a few rows of output positions, or a part of a long row, of LANES images. What it
#   sees of them is interleaved, in padding, in the scratch of a thread; its output is put in order
#   again. Both are transpositions, of LANES rows that lie an image apart.
# * Transpositions take as long as several multiply-adds of each number, so short sums of many
#   filters are faster in the direct form.

cdef enum:
    LANE_BYTES = 1 << 14      # of a strip's input and output: those of all lanes stay in L2
    STRIP_BYTES = 3 << 14     # the same of all lanes for the weight gradient: they stay in L1
    SUMS_BYTES = 1 << 20      # of a weight gradient in all lanes, at most
    RUN = 128                 # numbers that are put in an image together


cdef struct Interleaved:
    const Pool* pool              # of the output, or NULL; its windows lie side by side in a plane
    int32_t* index                # of the maxima, or NULL
    Py_ssize_t unit_rows, unit_columns          # of a window of the pool
    Py_ssize_t rows, columns      # output positions of a strip, at most
    Py_ssize_t row_strips, column_strips
    Py_ssize_t n_strips           # of a block
    Py_ssize_t n_blocks           # of LANES images
    Py_ssize_t planes_in, rows_in, columns_in   # what a strip sees of the padded input
    Py_ssize_t n_panels           # of the filters of a group
    Py_ssize_t n_lines, line_taps               # taps that lie side by side
    Py_ssize_t* tap               # (n_taps), and the last again for a tile
    Py_ssize_t* line              # (n_lines)
    real* W                       # (n_groups, n_panels, n_taps, filters of the panel)
    # Scratch of a thread: the interleaved input and output, a row of either, places, tables.
    Py_ssize_t x_size, z_size, row_size, place_size, scratch_size


cdef struct Strips:
    const Conv* conv
    const Interleaved* form


cdef struct Filters:
    Py_ssize_t group, first, n    # of a panel


cdef struct Strip:
    Py_ssize_t image, n_images
    Py_ssize_t depth, row, column     # the first output position
    Py_ssize_t n_rows, n_columns


cdef Interleaved interleaved_geometry(
    const Conv* q, const Pool* pool, Py_ssize_t n_blocks, Py_ssize_t strip_bytes,
    Py_ssize_t least_strips
) noexcept nogil:
    """Strips of so many bytes, but at least so many of them in a block, if rows are enough."""
    cdef Interleaved s
    cdef Py_ssize_t position = q.n_filters + q.n_channels * q.stride[1] * q.stride[2]
    cdef Py_ssize_t most = strip_bytes // (position * LANES * sizeof(real))
    cdef Py_ssize_t most_strips
    cdef Py_ssize_t reach[3]
    cdef int axis
    for axis in range(3):
        reach[axis] = q.dilation[axis] * (q.kernel[axis] - 1) + 1
    s.pool, s.index, s.n_blocks = pool, NULL, n_blocks
    s.unit_rows = s.unit_columns = 1
    if pool is not NULL:
        s.unit_rows, s.unit_columns = pool.window[1], pool.window[2]
    s.column_strips = larger(1, q.out[2] // larger(most, INTERLEAVED_MAX_MR + s.unit_columns))
    if q.out[1] == 1:
        most_strips = q.out[2] // (INTERLEAVED_MAX_MR + s.unit_columns)
        s.column_strips = larger(s.column_strips, smaller(least_strips, most_strips))
    s.columns = ceil_div(q.out[2] // s.unit_columns, s.column_strips) * s.unit_columns
    s.row_strips = ceil_div(
        q.out[1] // s.unit_rows, larger(1, most // (s.columns * s.unit_rows)))
    s.row_strips = larger(s.row_strips, smaller(least_strips, q.out[1] // s.unit_rows))
    s.rows = ceil_div(q.out[1] // s.unit_rows, s.row_strips) * s.unit_rows
    s.n_strips = q.out[0] * s.row_strips * s.column_strips
    s.planes_in = reach[0]
    s.rows_in = (s.rows - 1) * q.stride[1] + reach[1]
    s.columns_in = (s.columns - 1) * q.stride[2] + reach[2]
    s.n_panels = ceil_div(q.group_filters, INTERLEAVED_NR)
    s.line_taps = q.group_channels
    if q.dilation[2] == 1 and q.n_groups == 1:
        s.line_taps *= q.kernel[2]
    s.n_lines = q.n_taps // s.line_taps
    s.x_size = s.planes_in * s.rows_in * s.columns_in * q.n_channels * LANES
    s.z_size = (s.rows * s.columns + INTERLEAVED_MAX_MR) * q.n_filters * LANES
    s.row_size = larger(RUN + LANES, larger(
        s.columns * q.n_filters, s.columns_in * q.n_channels)) * LANES
    s.place_size = 0
    if pool is not NULL:
        s.place_size = s.rows // s.unit_rows * (s.columns // s.unit_columns) * q.n_filters * LANES
    s.scratch_size = (s.x_size + s.z_size + s.row_size + s.place_size
                      + table_size(s.rows * s.columns + s.rows + s.columns))
    return s


cdef inline Filters filters_of(const Conv* q, const Interleaved* s, Py_ssize_t i) noexcept nogil:
    """Those of panel i of all groups."""
    cdef Py_ssize_t panel = i % s.n_panels
    cdef Filters f
    f.group = i // s.n_panels
    f.first = part(q.group_filters, panel, s.n_panels)
    f.n = part(q.group_filters, panel + 1, s.n_panels) - f.first
    f.first += f.group * q.group_filters
    return f


cdef inline Py_ssize_t table_size(Py_ssize_t n) noexcept nogil:
    """Numbers that take as much memory as a table of n offsets and what is behind it."""
    return whole_vectors((n + INTERLEAVED_MAX_MR) * sizeof(Py_ssize_t) // sizeof(real))


cdef inline void repeat_last(Py_ssize_t* table, Py_ssize_t n) noexcept nogil:
    """For the last tile, all of whose rows are done."""
    cdef Py_ssize_t i
    for i in range(n, n + INTERLEAVED_MAX_MR):
        table[i] = table[n - 1]


cdef Strip strip_at(const Conv* q, const Interleaved* s, Py_ssize_t i) noexcept nogil:
    cdef Strip strip
    cdef Py_ssize_t rows = q.out[1] // s.unit_rows, columns = q.out[2] // s.unit_columns
    cdef Py_ssize_t column = i % s.column_strips, row = i // s.column_strips % s.row_strips
    strip.image = i // s.n_strips * LANES
    strip.n_images = smaller(LANES, q.n_images - strip.image)
    strip.depth = i // (s.column_strips * s.row_strips) % q.out[0]
    strip.row = part(rows, row, s.row_strips) * s.unit_rows
    strip.n_rows = part(rows, row + 1, s.row_strips) * s.unit_rows - strip.row
    strip.column = part(columns, column, s.column_strips) * s.unit_columns
    strip.n_columns = part(columns, column + 1, s.column_strips) * s.unit_columns - strip.column
    return strip


cdef void interleaved_taps(const Conv* q, const Interleaved* s) noexcept nogil:
    """Where in a window the taps lie, and the lines of them."""
    cdef Py_ssize_t d, h, w, c, at = 0, position
    for d in range(q.kernel[0]):
        for h in range(q.kernel[1]):
            for w in range(q.kernel[2]):
                position = (
                    (d * q.dilation[0] * s.rows_in + h * q.dilation[1]) * s.columns_in
                    + w * q.dilation[2])
                for c in range(q.group_channels):
                    s.tap[at] = (position * q.n_channels + c) * LANES
                    if at % s.line_taps == 0:
                        s.line[at // s.line_taps] = s.tap[at]
                    at += 1
    repeat_last(s.tap, q.n_taps)


cdef inline int32_t first_tap(const Conv* q, int axis, Py_ssize_t o) noexcept nogil:
    """The first tap of window o that does not meet padding, or that behind the last."""
    return <int32_t> smaller(q.kernel[axis], ceil_div(
        larger(0, q.before[axis] - o * q.stride[axis]), q.dilation[axis]))


cdef inline int32_t end_tap(const Conv* q, int axis, Py_ssize_t o) noexcept nogil:
    """Behind the last of them."""
    return <int32_t> smaller(q.kernel[axis], ceil_div(
        larger(0, q.size[axis] + q.before[axis] - o * q.stride[axis]), q.dilation[axis]))


cdef void strip_windows(
    const Conv* q, const Interleaved* s, const Strip* strip, Py_ssize_t* window
) noexcept nogil:
    """Where in the interleaved input the windows of a strip begin."""
    cdef Py_ssize_t pixel = q.n_channels * LANES, h, w
    for h in range(strip.n_rows):
        for w in range(strip.n_columns):
            window[w] = (h * q.stride[1] * s.columns_in + w * q.stride[2]) * pixel
        window += strip.n_columns
    repeat_last(window - strip.n_columns, strip.n_columns)


cdef TapsNeeded strip_taps(
    const Conv* q, const Interleaved* s, const Strip* strip, int32_t* table
) noexcept nogil:
    """Which taps the windows of a strip need: all lines, if they lie in several planes, and whole
    ones, if they are a single tap's channels."""
    cdef bint is_plane = q.kernel[0] == 1, is_row = s.line_taps > q.group_channels
    cdef int32_t channels = <int32_t> q.group_channels, n_lines = <int32_t> s.n_lines
    cdef int32_t row_lines = 1 if is_row else <int32_t> q.kernel[2]
    cdef TapsNeeded of
    cdef Py_ssize_t i
    of.n_rows = strip.n_rows
    of.n_columns = strip.n_columns
    of.first_line, of.end_line = table, table + of.n_rows
    of.first = of.end_line + of.n_rows
    of.end = of.first + of.n_columns
    for i in range(of.n_rows):
        of.first_line[i] = first_tap(q, 1, strip.row + i) * row_lines if is_plane else 0
        of.end_line[i] = end_tap(q, 1, strip.row + i) * row_lines if is_plane else n_lines
    for i in range(of.n_columns):
        of.first[i] = first_tap(q, 2, strip.column + i) * channels if is_row else 0
        of.end[i] = end_tap(q, 2, strip.column + i) * channels if is_row else channels
    return of


cdef void interleave(
    const real* x, const real* y, int code, real alpha, Py_ssize_t image_size,
    Py_ssize_t n_images, Py_ssize_t n, real* row, real* to
) noexcept nogil:
    """n numbers of each image, interleaved; times f', which follows from those of y, unless that
    is NULL. Lanes without an image are left as they are."""
    transpose(x, image_size, n_images, n, to, LANES)
    if y is NULL:
        return
    if n_images < LANES:
        memset(row, 0, n * LANES * sizeof(real))
    transpose(y, image_size, n_images, n, row, LANES)
    multiply_derivative(code, alpha, row, to, n * LANES)


cdef void put_in_order(
    const real* z, Py_ssize_t n, Py_ssize_t n_images, real* y, Py_ssize_t image_size, real* row
) noexcept nogil:
    """n interleaved numbers of each image, back in the images. Where many images lie a power of two
    apart, the lines begun do not fit one set of the cache: some are finished at a time."""
    cdef Py_ssize_t i, run, size
    if LANES <= 8 or image_size * sizeof(real) % 2048:
        transpose(z, LANES, n, n_images, y, image_size)
        return
    for run in range(ceil_div(n, RUN)):
        size = smaller(RUN, n - run * RUN)
        transpose(z + run * RUN * LANES, LANES, size, n_images, row, RUN + LANES)
        for i in range(n_images):
            copy_row(row + i * (RUN + LANES), y + i * image_size + run * RUN, size)


cdef void interleave_input(
    const Conv* q, const Interleaved* s, const Strip* strip, real* row, real* x
) noexcept nogil:
    """The part of the padded images that a strip sees."""
    cdef Py_ssize_t column = strip.column * q.stride[2] - q.before[2], size = q.n_channels * LANES
    cdef Py_ssize_t left = smaller(larger(0, -column), s.columns_in)
    cdef Py_ssize_t right = larger(left, smaller(s.columns_in, q.size[2] - column))
    cdef Py_ssize_t d, h, plane, height, source
    cdef real* to
    if strip.n_images < LANES:
        memset(x, 0, s.x_size * sizeof(real))
    for d in range(s.planes_in):
        for h in range(s.rows_in):
            to = x + (d * s.rows_in + h) * s.columns_in * size
            plane = strip.depth * q.stride[0] - q.before[0] + d
            height = strip.row * q.stride[1] - q.before[1] + h
            if plane < 0 or plane >= q.size[0] or height < 0 or height >= q.size[1]:
                memset(to, 0, s.columns_in * size * sizeof(real))
                continue
            source = strip.image * q.image_size + q.n_channels * (
                (plane * q.size[1] + height) * q.size[2] + column + left)
            memset(to, 0, left * size * sizeof(real))
            interleave(
                q.X + source, NULL if q.output is NULL else q.output + source, q.code_in,
                q.alpha_in, q.image_size, strip.n_images, (right - left) * q.n_channels, row,
                to + left * size)
            memset(to + right * size, 0, (s.columns_in - right) * size * sizeof(real))


cdef inline Py_ssize_t output_row(
    const Conv* q, const Interleaved* s, const Strip* strip, Py_ssize_t h
) noexcept nogil:
    """Where row h of a strip begins in the output, or its pool."""
    cdef Py_ssize_t rows = q.out[1] // s.unit_rows, columns = q.out[2] // s.unit_columns
    return q.n_filters * columns * (
        (strip.image * q.out[0] + strip.depth) * rows + strip.row // s.unit_rows + h
    ) + strip.column // s.unit_columns * q.n_filters
