# One step of an optimiser over the flat vector of all parameters. `segments` are the
# stretches to update, `decay` the L2 weight decay of each.


cdef int check_segments(
    Py_ssize_t n, const int64_t[:, ::1] segments, const real[::1] decay
) except -1:
    cdef Py_ssize_t s
    same_length(2, segments.shape[1], "a row of segments")
    same_length(segments.shape[0], decay.shape[0], "decay")
    for s in range(segments.shape[0]):
        if not 0 <= segments[s, 0] <= segments[s, 1] <= n:
            raise ValueError(
                f"segment {segments[s, 0]}..{segments[s, 1]} is not within 0..{n}")
    return 0


# v = momentum v + g;  p -= rate (g + momentum v if nesterov else v),  g = dp + decay p

cdef void sgd_chunk(
    real* p, const real* dp, real* v, Py_ssize_t n,
    real decay, real rate, real momentum, bint nesterov
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real g
    for i in range(n):
        g = dp[i] + decay * p[i]
        v[i] = momentum * v[i] + g
        p[i] = p[i] - rate * (g + momentum * v[i] if nesterov else v[i])


def sgd_step(
    real[::1] params,                # INOUT
    const real[::1] grads,           # IN
    real[::1] velocity,              # INOUT
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    const real[::1] decay,           # IN  (s,)
    double learning_rate, double momentum, bint nesterov, int n_threads,
):
    cdef Py_ssize_t n = params.shape[0], s, t, at, stop
    same_length(n, grads.shape[0], "grads")
    same_length(n, velocity.shape[0], "velocity")
    check_segments(n, segments, decay)
    for s in range(segments.shape[0]):
        stop = segments[s, 1]
        for t in prange(chunks_for(stop - segments[s, 0]), nogil=True,
                        num_threads=threads_for(stop - segments[s, 0], n_threads)):
            at = segments[s, 0] + t * CHUNK
            sgd_chunk(&params[at], &grads[at], &velocity[at], smaller(CHUNK, stop - at),
                      decay[s], learning_rate, momentum, nesterov)


# m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
# p -= rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)
# (Kingma and Ba, 2015; decoupled decay: Loshchilov and Hutter, 2019)

cdef struct Adam:
    real beta1, beta2, rest1, rest2   # rest = 1 - beta
    real rate, root                   # learning rate and 1 / sqrt, with the bias corrections
    real epsilon


cdef void adam_chunk(
    const Adam* q, real* p, const real* dp, real* m, real* v, Py_ssize_t n,
    real decay, real keep
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real g
    for i in range(n):
        g = dp[i] + decay * p[i]
        m[i] = q.beta1 * m[i] + q.rest1 * g
        v[i] = q.beta2 * v[i] + q.rest2 * (g * g)
        p[i] = keep * p[i] - q.rate * m[i] / (<real> sqrt(v[i]) * q.root + q.epsilon)


def adam_step(
    real[::1] params,                # INOUT
    const real[::1] grads,           # IN
    real[::1] m,                     # INOUT
    real[::1] v,                     # INOUT
    const int64_t[:, ::1] segments,  # IN  (s, 2) start and stop
    const real[::1] decay,           # IN  (s,)
    double learning_rate, double beta1, double beta2, double epsilon,
    Py_ssize_t step, bint decoupled, int n_threads,
):
    cdef Py_ssize_t n = params.shape[0], s, t, at, stop
    cdef Adam q
    cdef real coupled, keep
    same_length(n, grads.shape[0], "grads")
    same_length(n, m.shape[0], "m")
    same_length(n, v.shape[0], "v")
    check_segments(n, segments, decay)
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    q.beta1, q.beta2, q.rest1, q.rest2 = beta1, beta2, 1 - beta1, 1 - beta2
    q.rate = learning_rate / (1 - pow(beta1, step))
    q.root = 1 / sqrt(1 - pow(beta2, step))
    q.epsilon = epsilon
    for s in range(segments.shape[0]):
        coupled = 0 if decoupled else decay[s]
        keep = 1 - learning_rate * decay[s] if decoupled else 1
        stop = segments[s, 1]
        for t in prange(chunks_for(stop - segments[s, 0]), nogil=True,
                        num_threads=threads_for(stop - segments[s, 0], n_threads)):
            at = segments[s, 0] + t * CHUNK
            adam_chunk(&q, &params[at], &grads[at], &m[at], &v[at],
                       smaller(CHUNK, stop - at), coupled, keep)
