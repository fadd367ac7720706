# One step of an optimiser over the flat vector of all parameters, in one pass over memory.
# `segments` are the stretches to update, `decay` the weight decay of each. `scale`, by which
# gradients are clipped, comes before the decay: g = scale dp + decay p.
#
# Design:
# * All segments are cut into pieces of at most CHUNK numbers, which the threads share in one
#   loop: a network of many small weights does not wake them for each.
# * A rule changes one piece; what it keeps from step to step (a, b, c) has the layout of the
#   parameters. So a new optimiser is a rule, and a `def` that checks its arguments.
# * A rule reads its options into local variables: the compiler cannot know that no array
#   overlaps them, and would not use vectors.
# * What is kept, and the parameters themselves, become zero below SMALLEST. A velocity whose
#   gradient stays zero, or a weight that decays, shrinks to denormal numbers and would stay there;
#   each takes a hundred times as long as another.
# * All threads have read the parameters: a core has to ask the others for a line before it writes
#   to it. It asks some lines ahead, which halves the time of a step on two threads.

cdef extern from *:
    """
    /* Asks for the lines of n numbers, to write to them. */
    static inline void ask_for(const skcn_real *p, Py_ssize_t n)
    {
        for (Py_ssize_t i = 0; i < n; i += CACHE_LINE / (Py_ssize_t) sizeof(skcn_real))
            __builtin_prefetch(p + i, 1);
    }
    """
    void ask_for(const real* p, Py_ssize_t n) noexcept nogil


cdef enum:
    SQUARES = 16   # running sums of `sum_of_squares`
    AHEAD = 1024   # numbers whose lines are asked for while as many are worked on


cdef struct Piece:
    Py_ssize_t start, stop
    real decay


cdef struct Pieces:
    Piece* each       # the caller frees them
    Py_ssize_t n
    int n_threads


cdef int check_segments(Py_ssize_t n_params, const int64_t[:, ::1] segments) except -1:
    cdef Py_ssize_t s
    same_length(2, segments.shape[1], "a row of segments")
    for s in range(segments.shape[0]):
        if not 0 <= segments[s, 0] <= segments[s, 1] <= n_params:
            raise ValueError(
                f"segment {segments[s, 0]}..{segments[s, 1]} is not within 0..{n_params}")
    return 0


cdef int cut(
    Pieces* q, const int64_t[:, ::1] segments, const real[::1] decay, int n_threads
) except -1:
    """Pieces of all segments, in order; `decay` may be None."""
    cdef Py_ssize_t s, chunk, start, size, total = 0
    cdef Piece* piece
    q.n = 0
    for s in range(segments.shape[0]):
        size = segments[s, 1] - segments[s, 0]
        total += size
        q.n += chunks_for(size)
    q.n_threads = threads_for(total, n_threads)
    q.each = <Piece*> allocate(q.n * sizeof(Piece))
    piece = q.each
    for s in range(segments.shape[0]):
        start, size = segments[s, 0], segments[s, 1] - segments[s, 0]
        for chunk in range(chunks_for(size)):
            piece.start, piece.stop = start + chunk * CHUNK, start + chunk_end(size, chunk)
            piece.decay = 0 if decay is None else decay[s]
            piece += 1
    return 0


# --- the norm of the gradients, which clipping needs ----------------------------------------

cdef double sum_of_squares(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double sums[SQUARES]
    cdef double d, total = 0
    cdef Py_ssize_t i, j
    memset(sums, 0, sizeof(sums))
    for i in range(n // SQUARES):
        for j in range(SQUARES):
            d = x[i * SQUARES + j]
            sums[j] += d * d
    for j in range(n % SQUARES):
        d = x[n - n % SQUARES + j]
        sums[j] += d * d
    for j in range(SQUARES):
        total += sums[j]
    return total


def global_norm(
    const real[::1] x,               # IN
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    int n_threads,
):
    """sqrt(sum x^2) over all segments, in double."""
    n_threads = checked(n_threads, x is None or segments is None, "x, segments")
    cdef Pieces q
    cdef Py_ssize_t i
    cdef double total = 0
    cdef double* sums
    check_segments(x.shape[0], segments)
    cut(&q, segments, None, n_threads)
    try:
        sums = <double*> allocate(q.n * sizeof(double))
    except MemoryError:
        free(q.each)
        raise
    with nogil:
        for i in prange(q.n, num_threads=q.n_threads):
            sums[i] = sum_of_squares(&x[q.each[i].start], q.each[i].stop - q.each[i].start)
        for i in range(q.n):
            total += sums[i]
        free(sums)
        free(q.each)
    return sqrt(total)


# --- the step that all rules share ----------------------------------------------------------

# The options of all rules; each reads its own.
cdef struct Step:
    real scale, rate
    real momentum                      # of the velocity
    real keep, rest                    # shares in a running mean of the old and the new
    real keep_square, rest_square      # likewise for squares
    real root                          # factor of the root of the mean square
    real epsilon
    real shrink                        # decoupled decay: share of it that a step takes
    bint nesterov, decoupled


ctypedef void (*Rule)(
    const Step* q, real decay, Py_ssize_t n, real* p, const real* dp, real* a, real* b, real* c
) noexcept nogil


cdef int check_arrays(
    const real[::1] params, const real[::1] grads, const int64_t[:, ::1] segments,
    const real[::1] decay
) except -1:
    same_length(params.shape[0], grads.shape[0], "grads")
    same_length(segments.shape[0], decay.shape[0], "decay")
    return check_segments(params.shape[0], segments)


cdef int check_velocity(Py_ssize_t n_params, const real[::1] velocity, double momentum) except -1:
    if velocity is not None:
        return same_length(n_params, velocity.shape[0], "velocity")
    if momentum != 0:
        raise ValueError(f"momentum is {momentum}, which needs a velocity, got None")
    return 0


cdef inline real* pointer(real[::1] x) noexcept nogil:
    return NULL if x is None or x.shape[0] == 0 else &x[0]


cdef inline real* further(real* x, Py_ssize_t n) noexcept nogil:
    return NULL if x is NULL else x + n


cdef void take_step_of(
    Rule rule, const Step* q, const Piece* piece, real* params, const real* grads,
    real* a, real* b, real* c
) noexcept nogil:
    """The step of one piece."""
    cdef Py_ssize_t i = piece.start, n
    ask_for(params + i, smaller(AHEAD, piece.stop - i))
    while i < piece.stop:
        n = smaller(AHEAD, piece.stop - i)
        ask_for(params + i + n, smaller(AHEAD, piece.stop - i - n))
        rule(q, piece.decay, n, params + i, grads + i, further(a, i), further(b, i), further(c, i))
        i += n


cdef int take_step(
    Rule rule, const Step* q, real[::1] params, const real[::1] grads,
    real* a, real* b, real* c,
    const int64_t[:, ::1] segments, const real[::1] decay, int n_threads
) except -1:
    cdef Pieces pieces
    cdef Py_ssize_t i
    cut(&pieces, segments, decay, n_threads)
    for i in prange(pieces.n, nogil=True, num_threads=pieces.n_threads):
        take_step_of(rule, q, pieces.each + i, &params[0], &grads[0], a, b, c)
    free(pieces.each)
    return 0


cdef inline real flushed(real x) noexcept nogil:
    """x, or zero if it is very small; NaN stays."""
    return 0 if -SMALLEST < x and x < SMALLEST else x


# --- SGD --------------------------------------------------------------------------------------
#
# v = momentum v + g;  p -= rate (g + momentum v if nesterov else v)

cdef void sgd_rule(
    const Step* q, real decay, Py_ssize_t n, real* p, const real* dp, real* v, real* b, real* c
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real g, scale = q.scale, rate = q.rate, momentum = q.momentum
    cdef bint nesterov = q.nesterov
    if v is NULL:
        for i in range(n):
            g = scale * dp[i] + decay * p[i]
            p[i] = flushed(p[i] - rate * g)
    else:
        for i in range(n):
            g = scale * dp[i] + decay * p[i]
            v[i] = flushed(momentum * v[i] + g)
            p[i] = flushed(p[i] - rate * (g + momentum * v[i] if nesterov else v[i]))


def sgd_step(
    real[::1] params,                # INOUT
    const real[::1] grads,           # IN
    real[::1] velocity,              # INOUT, or None without momentum
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    const real[::1] decay,           # IN  (s,)
    double learning_rate, double scale, double momentum, bint nesterov, int n_threads,
):
    n_threads = checked(
        n_threads, params is None or grads is None or segments is None or decay is None,
        "params, grads, segments, decay")
    cdef Step q
    check_arrays(params, grads, segments, decay)
    check_velocity(params.shape[0], velocity, momentum)
    q.rate, q.scale, q.momentum, q.nesterov = learning_rate, scale, momentum, nesterov
    take_step(sgd_rule, &q, params, grads, pointer(velocity), NULL, NULL, segments, decay,
              n_threads)


# --- Adagrad (Duchi, Hazan and Singer, 2011) --------------------------------------------------
#
# s = s + g^2;  p -= rate g / (sqrt(s) + epsilon)

cdef void adagrad_rule(
    const Step* q, real decay, Py_ssize_t n, real* p, const real* dp, real* s, real* b, real* c
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real g, scale = q.scale, rate = q.rate, epsilon = q.epsilon
    for i in range(n):
        g = scale * dp[i] + decay * p[i]
        s[i] = flushed(s[i] + g * g)
        p[i] = flushed(p[i] - rate * g / (square_root(s[i]) + epsilon))


def adagrad_step(
    real[::1] params,                # INOUT
    const real[::1] grads,           # IN
    real[::1] square,                # INOUT
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    const real[::1] decay,           # IN  (s,)
    double learning_rate, double scale, double epsilon, int n_threads,
):
    n_threads = checked(
        n_threads, params is None or grads is None or square is None
        or segments is None or decay is None,
        "params, grads, square, segments, decay")
    cdef Step q
    check_arrays(params, grads, segments, decay)
    same_length(params.shape[0], square.shape[0], "square")
    q.rate, q.scale, q.epsilon = learning_rate, scale, epsilon
    take_step(adagrad_rule, &q, params, grads, pointer(square), NULL, NULL, segments, decay,
              n_threads)


# --- RMSprop (Tieleman and Hinton, 2012; centred: Graves, 2013) ---------------------------------
#
# s = alpha s + (1 - alpha) g^2;  m = alpha m + (1 - alpha) g if centred, else 0
# v = momentum v + g / (sqrt(s - m^2) + epsilon);  p -= rate v
#
# s - m^2 is a variance, so it is below zero by rounding only.

cdef void rmsprop_rule(
    const Step* q, real decay, Py_ssize_t n, real* p, const real* dp, real* s, real* m, real* v
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real g, spread, scale = q.scale, rate = q.rate, epsilon = q.epsilon
    cdef real alpha = q.keep, rest = q.rest, momentum = q.momentum
    for i in range(n):
        g = scale * dp[i] + decay * p[i]
        s[i] = flushed(alpha * s[i] + rest * (g * g))
        spread = s[i]
        if m is not NULL:
            m[i] = flushed(alpha * m[i] + rest * g)
            spread = spread - m[i] * m[i]
            spread = 0 if spread < 0 else spread
        g = g / (square_root(spread) + epsilon)
        if v is not NULL:
            v[i] = flushed(momentum * v[i] + g)
            g = v[i]
        p[i] = flushed(p[i] - rate * g)


def rmsprop_step(
    real[::1] params,                # INOUT
    const real[::1] grads,           # IN
    real[::1] square,                # INOUT
    real[::1] mean,                  # INOUT, or None if not centred
    real[::1] velocity,              # INOUT, or None without momentum
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    const real[::1] decay,           # IN  (s,)
    double learning_rate, double scale, double alpha, double epsilon, double momentum,
    int n_threads,
):
    n_threads = checked(
        n_threads, params is None or grads is None or square is None
        or segments is None or decay is None,
        "params, grads, square, segments, decay")
    cdef Step q
    check_arrays(params, grads, segments, decay)
    same_length(params.shape[0], square.shape[0], "square")
    if mean is not None:
        same_length(params.shape[0], mean.shape[0], "mean")
    check_velocity(params.shape[0], velocity, momentum)
    q.rate, q.scale, q.epsilon, q.momentum = learning_rate, scale, epsilon, momentum
    q.keep, q.rest = alpha, 1 - alpha
    take_step(rmsprop_rule, &q, params, grads, pointer(square), pointer(mean),
              pointer(velocity), segments, decay, n_threads)


# --- Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019) ----------------------------
#
# m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
# p -= rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)
#
# AdamW's g has no decay; instead, p -= rate decay p.

cdef void adam_rule(
    const Step* q, real decay, Py_ssize_t n, real* p, const real* dp, real* m, real* v, real* c
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real g, scale = q.scale, rate = q.rate, root = q.root, epsilon = q.epsilon
    cdef real beta1 = q.keep, rest1 = q.rest, beta2 = q.keep_square, rest2 = q.rest_square
    cdef real shrink = q.shrink * decay if q.decoupled else 0
    decay = 0 if q.decoupled else decay
    for i in range(n):
        g = scale * dp[i] + decay * p[i]
        m[i] = flushed(beta1 * m[i] + rest1 * g)
        v[i] = flushed(beta2 * v[i] + rest2 * (g * g))
        p[i] = flushed(
            p[i] - (shrink * p[i] + rate * m[i] / (square_root(v[i]) * root + epsilon)))


def adam_step(
    real[::1] params,                # INOUT
    const real[::1] grads,           # IN
    real[::1] m,                     # INOUT
    real[::1] v,                     # INOUT
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    const real[::1] decay,           # IN  (s,)
    double learning_rate, double scale, double beta1, double beta2, double epsilon,
    Py_ssize_t step, bint decoupled, int n_threads,
):
    n_threads = checked(
        n_threads, params is None or grads is None or m is None
        or v is None or segments is None or decay is None,
        "params, grads, m, v, segments, decay")
    cdef Step q
    check_arrays(params, grads, segments, decay)
    same_length(params.shape[0], m.shape[0], "m")
    same_length(params.shape[0], v.shape[0], "v")
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    q.scale, q.epsilon, q.decoupled, q.shrink = scale, epsilon, decoupled, learning_rate
    q.keep, q.rest, q.keep_square, q.rest_square = beta1, 1 - beta1, beta2, 1 - beta2
    q.rate = learning_rate / (1 - pow(beta1, step))
    q.root = 1 / sqrt(1 - pow(beta2, step))
    take_step(adam_rule, &q, params, grads, pointer(m), pointer(v), NULL, segments, decay,
              n_threads)
