# Checks of their arguments with which kernels begin.
#
# Design:
# * A kernel begins with `checked`: None, where an array belongs, is a view without memory, and a
#   number of threads below one has no meaning.
# * Sizes come as tuples. `read_sizes` and `read_padding` read so many integers and no more, each of
#   at most MAX_SIZE, so that sums and products of two of them fit 64 bits. No map of one sample has
#   more than MAX_NUMBERS, so that work space for a few of them, for each thread, does too.
# * Places in maps are 32 bits wide. Those that were handed in again are compared: one by one where
#   little else is done with each (`scatter_image`), in vectors beforehand where more is.

cdef enum:
    MAX_THREADS = 512        # more are of no use to anybody, and take the system long to make
    MAX_SIZE = 0x7FFFFFFF


cdef Py_ssize_t MAX_NUMBERS = <Py_ssize_t> 1 << 40


cdef int checked(int n_threads, bint lacks_one, str names) except -1:
    """The number of threads to use, once all arrays with these names are there."""
    if lacks_one:
        raise ValueError(f"arrays are needed for {names}, got None")
    if n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")
    if is_forked():
        return 1
    return n_threads if n_threads < MAX_THREADS else MAX_THREADS


cdef int read_sizes(values, int n, Py_ssize_t lowest, str name, Py_ssize_t* sizes) except -1:
    """Reads n integers of at least `lowest`."""
    cdef int i
    cdef bint fit = False
    try:
        fit = len(values) == n
        if fit:
            for i in range(n):
                sizes[i] = values[i]
                fit = fit and lowest <= sizes[i] <= MAX_SIZE
    except (TypeError, OverflowError):
        fit = False
    if not fit:
        raise ValueError(f"{name} must be {n} integers from {lowest} to {MAX_SIZE}, got {values}")
    return 0


cdef int read_padding(values, int n, Py_ssize_t* before, Py_ssize_t* after) except -1:
    """Reads a pair of integers of at least 0 for each of n axes."""
    cdef int i
    cdef bint fit = False
    cdef Py_ssize_t pair[2]
    try:
        fit = len(values) == n
    except TypeError:
        fit = False
    if not fit:
        raise ValueError(f"padding must be {n} pairs, got {values}")
    for i in range(n):
        read_sizes(values[i], 2, 0, "a pair of padding", pair)
        before[i], after[i] = pair[0], pair[1]
    return 0


cdef int check_numbers(double n_numbers, str what) except -1:
    """Raises ValueError for a map that no memory holds. Counted as a double, nothing overflows."""
    if n_numbers > MAX_NUMBERS:
        raise ValueError(
            f"{what} has {n_numbers:.3g} numbers, which is more than the {MAX_NUMBERS} that are "
            "possible")
    return 0


cdef int check_places(Py_ssize_t n_places) except -1:
    """Raises ValueError if the pixels of a map are too many for places of 32 bits."""
    if n_places > MAX_SIZE:
        raise ValueError(
            f"an index tells {MAX_SIZE} pixels apart, but a map has {n_places}")
    return 0


cdef int wrong_index(Py_ssize_t n_places) except -1:
    raise ValueError(f"index holds places outside of their maps, or windows, of {n_places} pixels")


cdef bint lie_within(
    const int32_t* index, Py_ssize_t n, Py_ssize_t first, Py_ssize_t n_places
) noexcept nogil:
    """True if n places are among the n_places from `first` on."""
    cdef Py_ssize_t i
    cdef uint32_t start = <uint32_t> first, most = <uint32_t> n_places, outside = 0
    for i in range(n):
        outside |= <uint32_t> (<uint32_t> index[i] - start >= most)
    return outside == 0


cdef int same_length(Py_ssize_t expected, Py_ssize_t seen, str name) except -1:
    if seen != expected:
        raise ValueError(f"{name} has length {seen}, expected {expected}")
    return 0


cdef tuple shape_of(const Py_ssize_t* shape, int n_axes):
    """The shape of a memoryview as a tuple: its own is made in another way, ten times as slow."""
    return tuple([shape[axis] for axis in range(n_axes)])


cdef int same_shape(expected, seen, str name) except -1:
    if tuple(seen) != tuple(expected):
        raise ValueError(f"{name} has shape {tuple(seen)}, expected {tuple(expected)}")
    return 0


cdef int same_sizes(
    const Py_ssize_t* expected, const Py_ssize_t* seen, int n_axes, str name
) except -1:
    """The same for shapes in C, of which no tuple is made."""
    cdef int axis
    for axis in range(n_axes):
        if seen[axis] != expected[axis]:
            same_shape(shape_of(expected, n_axes), shape_of(seen, n_axes), name)
    return 0
