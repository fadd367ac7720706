# The interleaved form: whole vectors of images, strip by strip.
#
# Design:
# * The order of sums is that of the direct form, and so are the bits of finite numbers: images that
#   are left over are done there.
# * A max pool, as an epilogue, is taken between vectors, before the output is put in order; a sum
#   after that, and then the activation.

cdef void convolve_strip(
    const Conv* q, const Interleaved* s, const TapsNeeded* of,
    const Py_ssize_t* window, const real* x, real* z
) noexcept nogil:
    """z(position, filter, lane), without the activation."""
    cdef Py_ssize_t i
    cdef Filters f
    for i in range(q.n_groups * s.n_panels):
        f = filters_of(q, s, i)
        interleaved_maps(
            f.n, x + f.group * q.group_channels * LANES, window, of, s.line, s.line_taps,
            s.W + f.first * q.n_taps, q.packed_b + f.first, z + f.first * LANES,
            q.n_filters * LANES)


cdef inline vec maximum(
    const real* x, Py_ssize_t row, Py_ssize_t position, Py_ssize_t n_rows, Py_ssize_t n_columns,
    Py_ssize_t first, Py_ssize_t width, bits_vec* place
) noexcept nogil:
    """The maximum of a window, whose first position is at place `first` of maps that have so many
    columns."""
    cdef bits_vec zero = <bits_vec> (<const vec*> ZEROS)[0]
    cdef vec best = at(x)
    cdef Py_ssize_t i, j
    place[0] = zero + <bits> first
    for i in range(n_rows):
        for j in range(n_columns):
            if i + j > 0:
                keep_larger(&best, place, at(x + i * row + j * position),
                            zero + <bits> (first + i * width + j))
    return best


cdef inline void take_maxima(
    const Conv* q, const Interleaved* s, const Strip* strip, real* z, bits* places,
    bint want_index
) noexcept nogil:
    """The maxima of the windows of a strip, in place, and where in a map they are."""
    cdef Py_ssize_t position = q.n_filters * LANES, row = strip.n_columns * position
    cdef Py_ssize_t n_columns = strip.n_columns // s.unit_columns, i, f, first, to = 0
    cdef bint is_four = s.unit_rows == 2 and s.unit_columns == 2
    cdef bits_vec place
    cdef const real* x
    for i in range(strip.n_rows // s.unit_rows * n_columns):
        x = z + i // n_columns * s.unit_rows * row + i % n_columns * s.unit_columns * position
        first = ((strip.depth * q.out[1] + strip.row + i // n_columns * s.unit_rows) * q.out[2]
                 + strip.column + i % n_columns * s.unit_columns)
        for f in range(q.n_filters):
            if is_four:  # without loops, since the compiler knows their lengths
                put(z + to, maximum(x, row, position, 2, 2, first, q.out[2], &place))
            else:
                put(z + to, maximum(x, row, position, s.unit_rows, s.unit_columns, first,
                                    q.out[2], &place))
            if want_index:
                (<bits_vec*> (places + to))[0] = place
            x = x + LANES
            to += LANES


cdef void put_places(
    const bits* places, Py_ssize_t n, Py_ssize_t n_images, int32_t* index, Py_ssize_t image_size,
    bits* row
) noexcept nogil:
    """Like put_in_order, n at most a row."""
    cdef Py_ssize_t i, j
    transpose(<const real*> places, LANES, n, n_images, <real*> row, n)
    for i in range(n_images):
        for j in range(n):
            index[i * image_size + j] = <int32_t> row[i * n + j]


cdef void interleaved_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """A strip of Y."""
    cdef const Conv* q = (<const Strips*> work).conv
    cdef const Interleaved* s = (<const Strips*> work).form
    cdef Strip strip = strip_at(q, s, task)
    cdef real* z = scratch + s.x_size
    cdef real* row = z + s.z_size
    cdef real* places = row + s.row_size
    cdef Py_ssize_t* window = <Py_ssize_t*> (places + s.place_size)
    cdef Py_ssize_t n = strip.n_columns // s.unit_columns * q.n_filters, h, i, to
    cdef Py_ssize_t image_size = (
        q.out[0] * (q.out[1] // s.unit_rows) * (q.out[2] // s.unit_columns) * q.n_filters)
    cdef TapsNeeded of = strip_taps(
        q, s, &strip, <int32_t*> (window + s.rows * s.columns + INTERLEAVED_MAX_MR))
    strip_windows(q, s, &strip, window)
    interleave_input(q, s, &strip, row, scratch)
    convolve_strip(q, s, &of, window, scratch, z)
    if q.addend is NULL:
        activate(q.code, q.alpha, z, strip.n_rows * strip.n_columns * q.n_filters * LANES)
    if s.index is not NULL:
        take_maxima(q, s, &strip, z, <bits*> places, True)
    elif s.pool is not NULL:
        take_maxima(q, s, &strip, z, NULL, False)
    for h in range(strip.n_rows // s.unit_rows):
        to = output_row(q, s, &strip, h)
        put_in_order(z + h * n * LANES, n, strip.n_images, q.Y + to, image_size, row)
        if q.addend is not NULL:
            for i in range(strip.n_images):
                add_chunk_to(q.Y + to + i * image_size, q.addend + to + i * image_size, n)
                activate(q.code, q.alpha, q.Y + to + i * image_size, n)
        if s.index is not NULL:
            put_places(<bits*> (places + h * n * LANES), n, strip.n_images, s.index + to,
                       image_size, <bits*> row)


cdef void pack_interleaved(const Conv* q, const Interleaved* s, real* b) noexcept nogil:
    """Filters in panels, and biases."""
    cdef Py_ssize_t i
    cdef Filters f
    for i in range(q.n_groups * s.n_panels):
        f = filters_of(q, s, i)
        pack_panel(q.W + f.first, q.n_filters, 1, NULL if q.scale is NULL else q.scale + f.first,
                   q.n_taps, f.n, f.n, s.W + f.first * q.n_taps)
    if q.b is NULL:
        memset(b, 0, q.n_filters * sizeof(real))
    else:
        memcpy(b, q.b, q.n_filters * sizeof(real))


cdef Py_ssize_t interleaved_blocks(const Conv* q) noexcept nogil:
    """How many blocks of LANES images are worth it: whole ones, and one that is nearly full."""
    return (q.n_images + LANES // 8) // LANES


cdef Py_ssize_t interleaved_images(
    Conv* q, const Pool* pool, int32_t* index, int n_threads
) except -1:
    """Whole vectors of images, which are then left out of q; returns how many they were. Y is
    that of the pool, with its index, if these are not NULL."""
    cdef Py_ssize_t n_blocks = interleaved_blocks(q), n_done = smaller(n_blocks * LANES, q.n_images)
    cdef Py_ssize_t image_size = q.out_size
    convolve_blocks(q, pool, index, n_blocks, threads_for_products(n_products(q), n_threads))
    if pool is not NULL:
        image_size = pool.out[0] * pool.out[1] * pool.out[2] * q.n_filters
    q.X += n_done * q.image_size
    q.Y += n_done * image_size
    if q.output is not NULL:
        q.output += n_done * q.image_size
    if q.addend is not NULL:
        q.addend += n_done * image_size
    q.n_images -= n_done
    conv_sizes(q)
    return n_done


cdef int convolve_blocks(
    Conv* q, const Pool* pool, int32_t* index, Py_ssize_t n_blocks, int n_threads
) except -1:
    cdef Interleaved s = interleaved_geometry(
        q, pool, n_blocks, LANE_BYTES * LANES, chunks_of(n_blocks, n_threads))
    cdef Strips work = Strips(q, &s)
    cdef Py_ssize_t n_tables = table_size(q.n_taps + s.n_lines)
    cdef Py_ssize_t n_packed = whole_vectors((q.n_taps + 1) * q.n_filters)
    cdef real* memory = <real*> allocate((n_tables + n_packed) * sizeof(real))
    try:
        s.index = index
        s.tap = <Py_ssize_t*> memory
        s.line = s.tap + q.n_taps + INTERLEAVED_MAX_MR
        s.W = memory + n_tables
        q.packed_b = s.W + q.n_taps * q.n_filters
        with nogil:
            interleaved_taps(q, &s)
            pack_interleaved(q, &s, q.packed_b)
            run_tasks(interleaved_task, &work, s.n_blocks * s.n_strips, n_threads, s.scratch_size)
    finally:
        free(memory)
    return 0
