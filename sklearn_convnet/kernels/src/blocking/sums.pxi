# Sums over rows, and over the pieces of a sum that threads have made: in an order that depends on
# shapes alone.

cdef void add_rows(
    const real* rows, Py_ssize_t row, Py_ssize_t n_rows, Py_ssize_t n_lanes, real* total
) noexcept nogil:
    """total += the sum of the rows, n_lanes of them; four sums at a time, then theirs."""
    cdef vec acc[4]
    cdef Py_ssize_t v, r
    cdef const real* column
    for v in range(n_lanes // LANES):
        column = rows + v * LANES
        for r in range(4):
            acc[r] = (<const vec*> ZEROS)[0]
        for r in range(n_rows // 4):
            acc[0] = acc[0] + (<const vec*> column)[0]
            acc[1] = acc[1] + (<const vec*> (column + row))[0]
            acc[2] = acc[2] + (<const vec*> (column + 2 * row))[0]
            acc[3] = acc[3] + (<const vec*> (column + 3 * row))[0]
            column = column + 4 * row
        for r in range(n_rows % 4):
            acc[0] = acc[0] + (<const vec*> (column + r * row))[0]
        acc[0] = (acc[0] + acc[1]) + (acc[2] + acc[3])
        acc[0] = acc[0] + (<vec*> (total + v * LANES))[0]
        (<vec*> (total + v * LANES))[0] = acc[0]


cdef void add_pieces(
    const real* pieces, Py_ssize_t n_pieces, Py_ssize_t n_rows, Py_ssize_t n_groups,
    Py_ssize_t group_width, Py_ssize_t group_lanes, real* target, int n_threads
) noexcept nogil:
    """Adds (n_pieces, n_groups, n_rows, group_lanes) up in order, without the surplus lanes,
    into (n_rows, n_groups * group_width)."""
    cdef Py_ssize_t row, g, j, piece
    cdef const real* source
    cdef real* to
    for row in prange(n_rows, num_threads=n_threads):
        for g in range(n_groups):
            to = target + (row * n_groups + g) * group_width
            for j in range(group_width):
                to[j] = 0
            for piece in range(n_pieces):
                source = pieces + ((piece * n_groups + g) * n_rows + row) * group_lanes
                for j in range(group_width):
                    to[j] += source[j]
