# Images under affine maps, one for each image: Y(x, y) = X(M (x, y, 1)). M is the 2 x 3 matrix
# from positions of the output to those of the input, pixel centres at whole numbers. Volumes
# likewise, Y(x, y, z) = X(M (x, y, z, 1)), by 3 x 4 matrices; z runs along the depth.
#
#   linear    X(x, y) lies between the four pixels around, in a volume the eight, by their
#             distance; the image goes on with a fill value
#   nearest   X(x, y) is the nearest pixel, 0 outside
#
# Design:
# * An image is put into a frame of the fill value, and positions are clamped to the frame. So
#   each of them has its neighbours, and the loop has no branch.
# * Positions are in double for both dtypes, since a step between two pixels makes an error of
#   the position one of the image. They are found for a row at a time, in vectors.
# * An M that changes nothing copies the image, bit for bit.

cdef enum:
    BEFORE = 1  # width of the frame at the left and the top
    AROUND = 3  # on both sides: a clamped position also has a neighbour behind

cdef double TIE = 1e-9  # what rounding does to a position halfway between two pixels


cdef struct Resample:
    Py_ssize_t n, depth, height, width, n_channels
    Py_ssize_t row      # numbers in a row of the frame
    Py_ssize_t plane    # numbers in an image of it
    Py_ssize_t n_frame  # numbers in the frame
    Py_ssize_t size     # and in the work space that begins with it


cdef int resample_geometry(Resample* q, shape_X, shape_matrices, shape_Y) except -1:
    same_shape(shape_X, shape_Y, "Y")
    same_shape((shape_X[0], 2, 3), shape_matrices, "matrices")
    if 0 in shape_X[1:]:
        raise ValueError(f"images of shape {tuple(shape_X)} have no pixels or no channels")
    q.n, q.height, q.width, q.n_channels = shape_X
    q.depth = 1
    check_numbers(<double> q.height * q.width * q.n_channels, "an image")
    check_places(larger(q.height, q.width) + AROUND)
    q.row = (q.width + AROUND) * q.n_channels
    q.plane = (q.height + AROUND) * q.row
    q.n_frame = q.plane
    q.size = whole_vectors(q.n_frame + 4 * q.width)
    return 0


cdef int volume_geometry(Resample* q, shape_X, shape_matrices, shape_Y) except -1:
    same_shape(shape_X, shape_Y, "Y")
    same_shape((shape_X[0], 3, 4), shape_matrices, "matrices")
    if 0 in shape_X[1:]:
        raise ValueError(f"volumes of shape {tuple(shape_X)} have no voxels or no channels")
    q.n, q.depth, q.height, q.width, q.n_channels = shape_X
    check_numbers(<double> q.depth * q.height * q.width * q.n_channels, "a volume")
    check_places(larger(q.depth, larger(q.height, q.width)) + AROUND)
    q.row = (q.width + AROUND) * q.n_channels
    q.plane = (q.height + AROUND) * q.row
    check_numbers(<double> (q.depth + AROUND) * q.plane, "a volume in its frame")
    q.n_frame = (q.depth + AROUND) * q.plane
    q.size = whole_vectors(q.n_frame + 6 * q.width)
    return 0


cdef inline bint changes_nothing(const double* m, int n_axes) noexcept nogil:
    cdef int i, j
    for i in range(n_axes):
        for j in range(n_axes + 1):
            if m[i * (n_axes + 1) + j] != (i == j):
                return False
    return True


cdef inline double within_frame(double position, Py_ssize_t size) noexcept nogil:
    """A position within the frame, from its first pixel; NaN is 0."""
    position = position + BEFORE
    position = position if position > 0 else 0
    return position if position < size + BEFORE else size + BEFORE


cdef inline void find_axis(
    double start, double step, Py_ssize_t size, Py_ssize_t n, int32_t* before, real* share
) noexcept nogil:
    """Between which pixels of an axis `n` positions lie, and the share of the one behind."""
    cdef double at
    cdef int32_t i, pixel
    for i in range(<int32_t> n):
        at = within_frame(start + step * i, size)
        pixel = <int32_t> at
        before[i] = pixel
        share[i] = <real> (at - pixel)


cdef inline void mix_row(
    Py_ssize_t n, Py_ssize_t n_channels, Py_ssize_t row, const real* frame,
    const int32_t* left, const int32_t* top, const real* u, const real* t, real* y
) noexcept nogil:
    cdef Py_ssize_t i, c
    cdef real upper, lower, right_share, low_share
    cdef const real* x
    for i in range(n):
        x = frame + top[i] * row + left[i] * n_channels
        right_share, low_share = u[i], t[i]
        for c in range(n_channels):
            upper = x[c] + right_share * (x[n_channels + c] - x[c])
            lower = x[row + c] + right_share * (x[row + n_channels + c] - x[row + c])
            y[i * n_channels + c] = upper + low_share * (lower - upper)


cdef void bilinear_image(
    const Resample* q, const real* x, const double* m, real* frame, real* y
) noexcept nogil:
    cdef Py_ssize_t h, n_row = q.width * q.n_channels
    cdef real* u = frame + q.n_frame
    cdef real* t = u + q.width
    cdef int32_t* left = <int32_t*> (t + q.width)
    cdef int32_t* top = left + q.width
    if changes_nothing(m, 2):
        memcpy(y, x, q.height * n_row * sizeof(real))
        return
    for h in range(q.height):
        memcpy(frame + (h + BEFORE) * q.row + BEFORE * q.n_channels, x + h * n_row,
               n_row * sizeof(real))
    for h in range(q.height):
        find_axis(m[1] * h + m[2], m[0], q.width, q.width, left, u)
        find_axis(m[4] * h + m[5], m[3], q.height, q.width, top, t)
        if q.n_channels == 1:  # a number that the compiler knows: no loop over channels
            mix_row(q.width, 1, q.row, frame, left, top, u, t, y)
        elif q.n_channels == 3:
            mix_row(q.width, 3, q.row, frame, left, top, u, t, y)
        else:
            mix_row(q.width, q.n_channels, q.row, frame, left, top, u, t, y)
        y = y + n_row


def affine_resample(
    const real[:, :, :, ::1] X,         # IN  (n, height, width, channels)
    const double[:, :, ::1] matrices,   # IN  (n, 2, 3)
    real[:, :, :, ::1] Y,               # OUT like X
    double fill_value, int n_threads,
):
    n_threads = checked(n_threads, X is None or matrices is None or Y is None, "X, matrices, Y")
    cdef Resample q
    cdef real* frames
    cdef Py_ssize_t i
    cdef int threads
    resample_geometry(
        &q, shape_of(X.shape, 4), shape_of(matrices.shape, 3), shape_of(Y.shape, 4))
    threads = threads_for(q.n * q.size, n_threads)
    frames = <real*> allocate(threads * q.size * sizeof(real))
    with nogil:
        for i in range(threads * q.size):
            frames[i] = <real> fill_value
        for i in prange(q.n, num_threads=threads):
            bilinear_image(&q, &X[i, 0, 0, 0], &matrices[i, 0, 0],
                           frames + threadid() * q.size, &Y[i, 0, 0, 0])
        free(frames)


cdef inline Py_ssize_t nearest_pixel(double position, Py_ssize_t size) noexcept nogil:
    """The nearest of `size` pixels, or -1 outside; halfway, the one behind."""
    position = position + 0.5 + TIE
    return <Py_ssize_t> position if 0 <= position < size else -1


cdef void nearest_image(
    const Resample* q, const int64_t* x, const double* m, int64_t* y
) noexcept nogil:
    cdef Py_ssize_t h, w, c, row, column
    for h in range(q.height):
        for w in range(q.width):
            column = nearest_pixel(m[1] * h + m[2] + m[0] * w, q.width)
            row = nearest_pixel(m[4] * h + m[5] + m[3] * w, q.height)
            for c in range(q.n_channels):
                y[c] = 0
                if row >= 0 and column >= 0:
                    y[c] = x[(row * q.width + column) * q.n_channels + c]
            y = y + q.n_channels


def affine_resample_nearest(
    const int64_t[:, :, :, ::1] X,      # IN  (n, height, width, channels)
    const double[:, :, ::1] matrices,   # IN  (n, 2, 3)
    int64_t[:, :, :, ::1] Y,            # OUT like X
    int n_threads,
):
    n_threads = checked(n_threads, X is None or matrices is None or Y is None, "X, matrices, Y")
    cdef Resample q
    cdef Py_ssize_t i
    resample_geometry(
        &q, shape_of(X.shape, 4), shape_of(matrices.shape, 3), shape_of(Y.shape, 4))
    for i in prange(q.n, nogil=True, num_threads=threads_for(q.n * q.size, n_threads)):
        nearest_image(&q, &X[i, 0, 0, 0], &matrices[i, 0, 0], &Y[i, 0, 0, 0])


# --- volumes -------------------------------------------------------------------------------

cdef inline void mix_row_of_volume(
    const Resample* q, const real* frame,
    const int32_t* left, const int32_t* top, const int32_t* front,
    const real* u, const real* t, const real* r, real* y
) noexcept nogil:
    """Between two images, in each of them between two rows, and there between two voxels."""
    cdef Py_ssize_t i, c, C = q.n_channels, row = q.row, plane = q.plane
    cdef real upper, lower, before, behind
    cdef const real* x
    for i in range(q.width):
        x = frame + front[i] * plane + top[i] * row + left[i] * C
        for c in range(C):
            upper = x[c] + u[i] * (x[C + c] - x[c])
            lower = x[row + c] + u[i] * (x[row + C + c] - x[row + c])
            before = upper + t[i] * (lower - upper)
            upper = x[plane + c] + u[i] * (x[plane + C + c] - x[plane + c])
            lower = (x[plane + row + c]
                     + u[i] * (x[plane + row + C + c] - x[plane + row + c]))
            behind = upper + t[i] * (lower - upper)
            y[i * C + c] = before + r[i] * (behind - before)


cdef void trilinear_volume(
    const Resample* q, const real* x, const double* m, real* frame, real* y
) noexcept nogil:
    cdef Py_ssize_t d, h, n_row = q.width * q.n_channels
    cdef real* u = frame + q.n_frame
    cdef real* t = u + q.width
    cdef real* r = t + q.width
    cdef int32_t* left = <int32_t*> (r + q.width)
    cdef int32_t* top = left + q.width
    cdef int32_t* front = top + q.width
    if changes_nothing(m, 3):
        memcpy(y, x, q.depth * q.height * n_row * sizeof(real))
        return
    for d in range(q.depth):
        for h in range(q.height):
            memcpy(frame + (d + BEFORE) * q.plane + (h + BEFORE) * q.row
                   + BEFORE * q.n_channels, x + (d * q.height + h) * n_row,
                   n_row * sizeof(real))
    for d in range(q.depth):
        for h in range(q.height):
            find_axis(m[1] * h + m[2] * d + m[3], m[0], q.width, q.width, left, u)
            find_axis(m[5] * h + m[6] * d + m[7], m[4], q.height, q.width, top, t)
            find_axis(m[9] * h + m[10] * d + m[11], m[8], q.depth, q.width, front, r)
            mix_row_of_volume(q, frame, left, top, front, u, t, r, y)
            y = y + n_row


def affine_resample_3d(
    const real[:, :, :, :, ::1] X,      # IN  (n, depth, height, width, channels)
    const double[:, :, ::1] matrices,   # IN  (n, 3, 4)
    real[:, :, :, :, ::1] Y,            # OUT like X
    double fill_value, int n_threads,
):
    n_threads = checked(n_threads, X is None or matrices is None or Y is None, "X, matrices, Y")
    cdef Resample q
    cdef real* frames
    cdef Py_ssize_t i
    cdef int threads
    volume_geometry(
        &q, shape_of(X.shape, 5), shape_of(matrices.shape, 3), shape_of(Y.shape, 5))
    threads = threads_for(q.n * q.size, n_threads)
    frames = <real*> allocate(threads * q.size * sizeof(real))
    with nogil:
        for i in range(threads * q.size):
            frames[i] = <real> fill_value
        for i in prange(q.n, num_threads=threads):
            trilinear_volume(&q, &X[i, 0, 0, 0, 0], &matrices[i, 0, 0],
                             frames + threadid() * q.size, &Y[i, 0, 0, 0, 0])
        free(frames)


cdef void nearest_volume(
    const Resample* q, const int64_t* x, const double* m, int64_t* y
) noexcept nogil:
    cdef Py_ssize_t d, h, w, c, image, row, column
    for d in range(q.depth):
        for h in range(q.height):
            for w in range(q.width):
                column = nearest_pixel(m[1] * h + m[2] * d + m[3] + m[0] * w, q.width)
                row = nearest_pixel(m[5] * h + m[6] * d + m[7] + m[4] * w, q.height)
                image = nearest_pixel(m[9] * h + m[10] * d + m[11] + m[8] * w, q.depth)
                for c in range(q.n_channels):
                    y[c] = 0
                    if image >= 0 and row >= 0 and column >= 0:
                        y[c] = x[((image * q.height + row) * q.width + column)
                                 * q.n_channels + c]
                y = y + q.n_channels


def affine_resample_3d_nearest(
    const int64_t[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const double[:, :, ::1] matrices,   # IN  (n, 3, 4)
    int64_t[:, :, :, :, ::1] Y,         # OUT like X
    int n_threads,
):
    n_threads = checked(n_threads, X is None or matrices is None or Y is None, "X, matrices, Y")
    cdef Resample q
    cdef Py_ssize_t i
    volume_geometry(
        &q, shape_of(X.shape, 5), shape_of(matrices.shape, 3), shape_of(Y.shape, 5))
    for i in prange(q.n, nogil=True, num_threads=threads_for(q.n * q.size, n_threads)):
        nearest_volume(&q, &X[i, 0, 0, 0, 0], &matrices[i, 0, 0], &Y[i, 0, 0, 0, 0])
