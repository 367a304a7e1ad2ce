# C types of stretch.py.
cimport cython


@cython.locals(
    stop=Py_ssize_t, begin=Py_ssize_t, end=Py_ssize_t, frame=tuple, index=Py_ssize_t, timestamp=cython.uint,
    offset=Py_ssize_t, size=Py_ssize_t, flags=cython.int, step=cython.uint
)
cpdef Py_ssize_t stretch(
    list frames, Py_ssize_t at, Py_ssize_t master, long long media, unsigned int wrapped, unsigned int least_step,
    unsigned int most_step, long long limit, list others, list ticks, list sizes, list spans
) except -1
