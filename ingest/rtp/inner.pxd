# C types of inner.py. A buffer becomes a pointer once a call.
cimport cython
from ingest.rtp.track cimport Track


@cython.locals(
    data="const unsigned char*", at=Py_ssize_t, body=Py_ssize_t, stop=Py_ssize_t, entry=object, track=Track
)
cpdef Py_ssize_t walk(bytearray buf, Py_ssize_t start, Py_ssize_t end, list channels, list frames, list control) except -1

cpdef feed_datagram(Track track, object buf, Py_ssize_t start, Py_ssize_t end, list frames)

@cython.locals(data="const unsigned char*", at=Py_ssize_t, stop=Py_ssize_t)
cpdef Py_ssize_t feed_joined(Track track, bytearray buf, Py_ssize_t start, Py_ssize_t end, Py_ssize_t step, list frames) except -1
