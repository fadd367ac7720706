# Arrays as kernels see them.
#
# Design:
# * A kernel asks each array for its memory, shape and type, and makes an object of what it is told.
#   That takes 0.1 us, and four times as long where other kernels have emptied the caches. Of a
#   typed view all this is known.
# * Cython takes a view of the right type as it is: that it may be written to is not asked again. So
#   views are for calls that were made with the arrays themselves before.

def view(x):
    """A contiguous array of numbers, or of places in maps, as a typed view of it, for a kernel that
    has taken the array and is called again. Other arrays as they are."""
    cdef const real[::1] one
    cdef const real[:, ::1] two
    cdef const real[:, :, ::1] three
    cdef const real[:, :, :, ::1] four
    cdef const real[:, :, :, :, ::1] five
    if x.dtype.kind == "i" and x.itemsize == sizeof(int32_t):
        return view_of_places(x)
    if x.dtype.kind != "f" or x.itemsize != sizeof(real):
        return x
    if x.ndim == 1:
        one = x
        return one
    if x.ndim == 2:
        two = x
        return two
    if x.ndim == 3:
        three = x
        return three
    if x.ndim == 4:
        four = x
        return four
    if x.ndim == 5:
        five = x
        return five
    return x


cdef view_of_places(x):
    """The view of an index, as pools have it."""
    cdef const int32_t[::1] one
    cdef const int32_t[:, ::1] two
    cdef const int32_t[:, :, :, ::1] four
    cdef const int32_t[:, :, :, :, ::1] five
    if x.ndim == 1:
        one = x
        return one
    if x.ndim == 2:
        two = x
        return two
    if x.ndim == 4:
        four = x
        return four
    if x.ndim == 5:
        five = x
        return five
    return x
