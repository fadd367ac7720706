# The input gradient as the adjoint of the forward pass: where that gathers, it scatters.
#
#   dX(i, c) = sum over (o, t) with o s + t d - p = i of sum_f W(t, c, f) dz(o, f)
#
# Design:
# * Rows of the tile are those of dz, k are filters, b the filters, transposed, in panels over
#   neighbouring taps: these fill vectors even where channels are few.
# * Each tile is added to the windows it came from, which may overlap. So no stride, dilation or
#   padding needs a form of its own. Where windows are pixels, nothing is added: the product is dX.

cdef void pack_transposed(Conv* q, int n_threads) noexcept nogil:
    """For each (group, run): panels over the run's taps, rows over the filters."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), n_panels = panels_for(n_vec)
    cdef Py_ssize_t t, g, u, p, v, width, n_lanes
    for t in prange(q.n_groups * q.n_runs * n_panels, num_threads=n_threads):
        g = t // (q.n_runs * n_panels)
        u = (t // n_panels) % q.n_runs
        p = t % n_panels
        v = panel_start(n_vec, p)
        n_lanes = (panel_start(n_vec, p + 1) - v) * LANES
        width = smaller(n_lanes, q.run_width - v * LANES)
        pack_panel(
            q.W + (u * q.run_width + v * LANES) * q.n_filters + g * q.group_filters,
            1, q.n_filters, NULL, q.group_filters, width, n_lanes,
            q.packed_T + ((g * q.n_runs + u) * n_vec + v) * LANES * q.group_filters)


cdef void add_input_gradient(
    const Conv* q, Py_ssize_t first, Py_ssize_t n_rows, const real* dz, Py_ssize_t row_lanes,
    real* dx, real* spare
) noexcept nogil:
    """dX += the filters times dz, scattered over n_rows windows."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), panel, v, V, MR, t, row, r, g, u, at
    cdef Py_ssize_t n_steps = ceil_div(q.group_filters, KC), step, k, k_end
    cdef const real* b
    cdef const real* a[MAX_MR]
    cdef real* c[MAX_MR]
    for g in range(q.n_groups):
        for u in range(q.n_runs):
            for panel in range(panels_for(n_vec)):
                v = panel_start(n_vec, panel)
                V = panel_start(n_vec, panel + 1) - v
                MR = mr_of(V)
                b = q.packed_T + ((g * q.n_runs + u) * n_vec + v) * LANES * q.group_filters
                for step in range(n_steps):
                    k = part(q.group_filters, step, n_steps)
                    k_end = part(q.group_filters, step + 1, n_steps)
                    for t in range(ceil_div(n_rows, MR)):
                        row = t * MR
                        for r in range(smaller(MR, n_rows - row)):
                            at = q.order[first + row + r]
                            a[r] = dz + (at - first) * row_lanes + g * q.filter_lanes
                            c[r] = (dx + q.window[at] + q.run[u]
                                    + g * q.group_channels + v * LANES)
                        for r in range(n_rows - row, MR):
                            a[r] = a[0]
                            c[r] = spare
                        tile(V, a, q.count + k, k_end - k, b + k * V * LANES, V * LANES,
                             ZEROS, ADD_C, c)


cdef inline bint is_pointwise(const Conv* q) noexcept nogil:
    """True if each window is a pixel, of whole vectors, so that nothing need be added up."""
    cdef int axis
    for axis in range(3):
        if q.kernel[axis] > 1 or q.stride[axis] > 1:
            return False
    return q.n_groups == 1 and not q.has_padding and q.n_channels % LANES == 0


cdef void pointwise_input_gradient(
    const Conv* q, Py_ssize_t n_rows, const real* dz, Py_ssize_t row_lanes, real* dx
) noexcept nogil:
    """dX of n_rows pixels, from the first of them on."""
    cdef Py_ssize_t n_vec = q.n_channels // LANES, panel, v, V, step, k, k_end
    cdef Py_ssize_t n_steps = ceil_div(q.n_filters, KC)
    for panel in range(panels_for(n_vec)):
        v = panel_start(n_vec, panel)
        V = panel_start(n_vec, panel + 1) - v
        for step in range(n_steps):
            k = part(q.n_filters, step, n_steps)
            k_end = part(q.n_filters, step + 1, n_steps)
            matrix_rows(V, dz + k, row_lanes, 1, n_rows, k_end - k,
                        q.packed_T + (v * q.n_filters + k * V) * LANES, V * LANES,
                        q.shift + v * LANES if q.shift is not NULL and step == 0 else ZEROS,
                        step > 0, dx + v * LANES, q.n_channels)
