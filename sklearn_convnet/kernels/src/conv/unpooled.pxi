# The gradients behind a max pool, from all of dz: zeros are multiplied too, but in the tiles of a
# convolution without a pool, which are several times as fast as sums over entries.

cdef struct Unpooling:
    const ConvPool* given
    real* dz


cdef void unpool_image(const void* work, Py_ssize_t image, real* scratch) noexcept nogil:
    """dz of an image: d where the maxima were found."""
    cdef const ConvPool* p = (<const Unpooling*> work).given
    cdef const Conv* q = &p.conv
    cdef real* dz = (<const Unpooling*> work).dz + image * q.out_size
    cdef Py_ssize_t n = p.pool.n_out * q.n_filters
    memcpy(scratch, q.dY + image * n, n * sizeof(real))
    multiply_derivative(q.code, q.alpha, q.Y_in + image * n, scratch, n)
    scatter_image(
        scratch, p.index_in + image * n, dz, p.pool.n_out, q.n_windows, q.n_filters)


cdef real* unpooled(const ConvPool* p, int n_threads) except NULL:
    """A new array of dz."""
    cdef Unpooling work
    cdef Py_ssize_t n_images = p.conv.n_images
    work.given = p
    work.dz = <real*> allocate(n_images * p.conv.out_size * sizeof(real))
    n_threads = threads_for(n_images * p.conv.out_size, n_threads)
    try:
        with nogil:
            run_tasks(unpool_image, &work, n_images, n_threads, p.pool.n_out * p.conv.n_filters)
    except BaseException:
        free(work.dz)
        raise
    return work.dz
