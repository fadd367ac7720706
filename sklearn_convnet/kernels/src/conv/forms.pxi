# The forms of a convolution: for each pass an ordered list, from which one is chosen.
#
# Design:
# * The first form of a list applies to every geometry. A later one is taken if it applies and costs
#   less than those before it. A form says why it does not apply, and costs.pxi has its cost, from
#   constants of the variant.
# * Who chooses stands above all forms: kernels ask `choose_form` and call what it names.
# * `conv_form` tells the choice, and why not the others, without computing anything.
# * A form can be forced, for tests: it is taken wherever it applies.

cdef enum Pass:
    FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT
    POOL_FORWARD, POOL_INPUT_GRADIENT, POOL_WEIGHT_GRADIENT  # the same with a max pool

cdef enum FormCode:
    DIRECT, WIDENED, NARROW, INTERLEAVED, SCATTER, POINTWISE, PHASES, TURNED, SPARSE,
    UNPOOLED

cdef enum:
    N_PASSES = 6
    MAX_FORMS = 4  # of a pass
    FREE = -1      # no form is forced
    LARGEST_DZ = 1 << 18  # numbers of an image, where all of dz is made

PASSES = ("forward", "input_gradient", "weight_gradient")
FORM_NAMES = (
    "direct", "widened", "narrow", "interleaved", "scatter", "pointwise", "phases", "turned",
    "sparse", "unpooled")

ctypedef const char* (*WhyNot)(const Conv* q, const Pool* pool) noexcept nogil
ctypedef double (*Cost)(const Conv* q, const Pool* pool) noexcept nogil


cdef struct Form:
    FormCode code
    WhyNot why_not   # NULL is the reason where the form applies
    Cost cost


cdef struct FormList:
    int n
    Form form[MAX_FORMS]


# --- why a form does not apply -------------------------------------------------------------

cdef const char* always(const Conv* q, const Pool* pool) noexcept nogil:
    return NULL


cdef const char* not_widened(const Conv* q, const Pool* pool) noexcept nogil:
    if q.n_groups > 1:
        return b"filters are in groups"
    if q.dilation[2] > 1:
        return b"filters are dilated along rows"
    if best_width(q) == 1:
        return b"filters fill vectors best as they are"
    return NULL


cdef const char* not_narrow(const Conv* q, const Pool* pool) noexcept nogil:
    cdef Conv wide = widened(q, best_width(q))
    if pool.window[0] > 1 or pool.window[1] != 2 or pool.window[2] != 2:
        return b"windows of the pool are not 2 x 2"
    if q.kernel[0] > 1:
        return b"filters have several planes"
    if wide.n_taps > KC:
        return b"sums are long"
    if q.n_filters % LANES == 0:
        return b"filters fill vectors"
    if not fills_rows(q, pool):
        return b"rows of the pool leave lanes idle"
    return NULL


cdef const char* not_interleaved(const Conv* q, const Pool* pool) noexcept nogil:
    if interleaved_blocks(q) == 0:
        return b"images do not fill vectors"
    if not q.is_running:
        return b"sums are long"
    if pool is not NULL and pool.window[0] > 1:
        return b"windows of the pool have several planes"
    if interleaved_cost(q, pool) == INFINITY:
        return b"a strip of all images does not fit the cache"
    return NULL


cdef const char* not_pointwise(const Conv* q, const Pool* pool) noexcept nogil:
    if not is_pointwise(q):
        return b"windows are not pixels of whole vectors"
    return NULL


cdef const char* not_phases(const Conv* q, const Pool* pool) noexcept nogil:
    cdef Conv dz
    cdef int axis
    if q.stride[0] == 1 and q.stride[1] == 1 and q.stride[2] == 1:
        return b"strides are 1"
    for axis in range(3):
        if q.kernel[axis] > 1 and q.dilation[axis] > 1:
            return b"filters are dilated"
    if <double> q.stride[0] * q.stride[1] * q.stride[2] > MAX_PHASES:
        return b"strides are large"
    dz = gradient_in_padding(q, best_joined(q))
    if <double> dz.padded[0] * dz.padded[1] * dz.padded[2] * dz.n_channels > MAX_NUMBERS:
        return b"the gradient in its padding is too large"
    return NULL


cdef const char* not_turned(const Conv* q, const Pool* pool) noexcept nogil:
    cdef Conv back
    if not can_turn(q):
        return b"strides or padding are too large"
    if is_pointwise(q):
        return b"windows are pixels: nothing is added up"
    back = turned_geometry(q)
    if <double> back.padded[0] * back.padded[1] * back.padded[2] * back.n_channels > MAX_NUMBERS:
        return b"the gradient in its padding is too large"
    return NULL


cdef const char* not_interleaved_gradient(const Conv* q, const Pool* pool) noexcept nogil:
    if interleaved_sums(q) * sizeof(real) > SUMS_BYTES:
        return b"sums in all lanes do not fit the cache"
    return NULL


cdef const char* not_unpooled(const Conv* q, const Pool* pool) noexcept nogil:
    if q.out_size > LARGEST_DZ:
        return b"dz of an image is large"
    return NULL


cdef double unpooled_input_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return unpooling_cost(q, pool) + least_cost(INPUT_GRADIENT, q, NULL)


cdef double unpooled_weight_cost(const Conv* q, const Pool* pool) noexcept nogil:
    cdef double of_positions = least_cost(WEIGHT_GRADIENT, q, NULL) * q.n_windows
    return unpooling_cost(q, pool) * q.n_images + of_positions


# --- the lists -----------------------------------------------------------------------------

cdef FormList FORMS[N_PASSES]


cdef int add_form(Pass step, FormCode code, WhyNot why_not, Cost cost) except -1:
    cdef FormList* forms = &FORMS[<int> step]
    forms.form[forms.n] = Form(code, why_not, cost)
    forms.n += 1
    return 0


add_form(FORWARD, DIRECT, always, direct_cost)
add_form(FORWARD, WIDENED, not_widened, widened_cost)
add_form(FORWARD, INTERLEAVED, not_interleaved, interleaved_cost)

add_form(POOL_FORWARD, DIRECT, always, direct_cost)
add_form(POOL_FORWARD, WIDENED, not_widened, widened_cost)
add_form(POOL_FORWARD, NARROW, not_narrow, narrow_cost)
add_form(POOL_FORWARD, INTERLEAVED, not_interleaved, interleaved_cost)

add_form(INPUT_GRADIENT, SCATTER, always, scatter_cost)
add_form(INPUT_GRADIENT, POINTWISE, not_pointwise, pointwise_cost)
add_form(INPUT_GRADIENT, PHASES, not_phases, phases_cost)
add_form(INPUT_GRADIENT, TURNED, not_turned, turned_cost)

add_form(WEIGHT_GRADIENT, DIRECT, always, direct_gradient_cost)
add_form(WEIGHT_GRADIENT, WIDENED, not_widened, widened_gradient_cost)
add_form(WEIGHT_GRADIENT, INTERLEAVED, not_interleaved_gradient, interleaved_gradient_cost)

add_form(POOL_INPUT_GRADIENT, SPARSE, always, spread_cost)
add_form(POOL_INPUT_GRADIENT, UNPOOLED, not_unpooled, unpooled_input_cost)
add_form(POOL_WEIGHT_GRADIENT, SPARSE, always, gather_cost)
add_form(POOL_WEIGHT_GRADIENT, UNPOOLED, not_unpooled, unpooled_weight_cost)


# --- the choice ----------------------------------------------------------------------------

cdef extern from *:
    """
    static int forced_form = -1;

    static inline int form_forced(void)
    {
        return __atomic_load_n(&forced_form, __ATOMIC_RELAXED);
    }

    static inline int exchange_forced(int code)
    {
        return __atomic_exchange_n(&forced_form, code, __ATOMIC_RELAXED);
    }
    """
    int form_forced() noexcept nogil
    int exchange_forced(int code) noexcept nogil


cdef const Form* chosen(Pass step, const Conv* q, const Pool* pool) noexcept nogil:
    """The form that is forced, if it applies, or the one that costs least."""
    cdef const FormList* forms = &FORMS[<int> step]
    cdef const Form* best = &forms.form[0]
    cdef double least = INFINITY, cost
    cdef int i, forced = form_forced()
    for i in range(forms.n):
        if forms.form[i].why_not(q, pool) is not NULL:
            continue
        if forms.form[i].code == forced:
            return &forms.form[i]
        cost = forms.form[i].cost(q, pool)
        if cost < least:
            best, least = &forms.form[i], cost
    return best


cdef FormCode choose_form(Pass step, const Conv* q, const Pool* pool) noexcept nogil:
    """The form that a pass takes."""
    return chosen(step, q, pool).code


cdef double least_cost(Pass step, const Conv* q, const Pool* pool) noexcept nogil:
    """The time of the form that a pass takes."""
    return chosen(step, q, pool).cost(q, pool)


cdef Py_ssize_t width_of(FormCode code, const Conv* q) noexcept nogil:
    """The output positions that the direct form takes together, for itself or for the images that
    another form leaves to it."""
    return 1 if code == DIRECT else best_width(q)


def force_form(name):
    """Makes a form the choice of every pass that it applies to, in all threads; None frees them.

    Kernels that run meanwhile take either. The bits of results may depend on the form.

    Parameters
    ----------
    name : {"direct", "widened", "narrow", "interleaved", "scatter", "pointwise", "phases", \
"turned", "sparse", "unpooled"} or None

    Returns
    -------
    before : str or None
        The form that was forced until now.
    """
    cdef int before
    if name is not None and name not in FORM_NAMES:
        raise ValueError(f"form must be None or one of {', '.join(FORM_NAMES)}, got {name!r}")
    before = exchange_forced(FREE if name is None else FORM_NAMES.index(name))
    return None if before == FREE else FORM_NAMES[before]


def conv_form(str step, Py_ssize_t n, maps, weight, stride, padding, dilation, Py_ssize_t groups,
              pool_size=(1, 1, 1)):
    """The form that a pass of `conv_forward` and `conv_backward` takes.

    Parameters
    ----------
    step : {"forward", "input_gradient", "weight_gradient"}
    n : int
        Images.
    maps : tuple of 4 int
        Depth, height, width and channels of an image.
    weight : tuple of 5 int
        The shape of the filters.
    stride, padding, dilation, groups, pool_size
        As in `conv_forward`.

    Returns
    -------
    name : str
    others : list of (str, str)
        The other forms of the pass, each with the reason why it is not taken.
    """
    cdef ConvPool p
    cdef const Pool* pool = NULL
    cdef Py_ssize_t[5] shape_X
    cdef Py_ssize_t[5] shape_W
    cdef int number
    memset(&p, 0, sizeof(ConvPool))
    if step not in PASSES:
        raise ValueError(f"step must be one of {', '.join(PASSES)}, got {step!r}")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    shape_X[0] = n
    read_sizes(maps, 4, 1, "maps", &shape_X[1])
    read_sizes(weight, 5, 1, "weight", shape_W)
    conv_pool_geometry(&p, shape_X, shape_W, NULL, stride, padding, dilation, groups, pool_size)
    number = PASSES.index(step)
    if p.pools:
        pool = &p.pool
        number += POOL_FORWARD
    return describe_forms(
        &FORMS[number], choose_form(<Pass> number, &p.conv, pool), &p.conv, pool)


cdef tuple describe_forms(
    const FormList* forms, FormCode chosen, const Conv* q, const Pool* pool
):
    """The name of the chosen form, and the others with the reasons against them."""
    cdef double least = 0
    cdef const char* reason
    cdef int i
    others = []
    for i in range(forms.n):
        if forms.form[i].code == chosen:
            least = forms.form[i].cost(q, pool)
    for i in range(forms.n):
        if forms.form[i].code == chosen:
            continue
        reason = forms.form[i].why_not(q, pool)
        if reason is not NULL:
            words = reason.decode("ascii")
        else:
            ratio = forms.form[i].cost(q, pool) / least
            words = f"is estimated to take {ratio:.2f} times as long"
        others.append((FORM_NAMES[<int> forms.form[i].code], words))
    return FORM_NAMES[<int> chosen], others
