# C types of audio.py.
cimport cython
from ingest.rtp cimport flags, octets
from ingest.rtp.track cimport Track


cdef class AacTrack(Track):
    cdef readonly unsigned int unit_ticks
    cdef int size_bits, index_bits, delta_bits
    cdef Py_ssize_t need
    cdef bint skip

    @cython.locals(
        left=Py_ssize_t, body=Py_ssize_t, bit=Py_ssize_t, timestamp=cython.uint, index_bits=cython.int, size=Py_ssize_t
    )
    cdef int payload(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end, int marker, list frames) except -1
    cdef int fragment(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t size, list frames) except -1
    cdef int refuse(self) except -1
    cdef int tear(self) except -1
    cdef int finish(self, list frames) except -1
    cdef int drop(self) except -1


cdef class G711Track(Track):
    cdef readonly int channels, sample_ticks
    cdef readonly Py_ssize_t sample_bytes
    cdef int silence
    cdef long long due

    @cython.locals(size=Py_ssize_t, over=Py_ssize_t, off=cython.longlong, timestamp=cython.longlong)
    cdef int payload(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end, int marker, list frames) except -1
    @cython.locals(stop=Py_ssize_t)
    cdef int chop(self, unsigned int timestamp, list frames) except -1
    @cython.locals(over=Py_ssize_t, stop=Py_ssize_t, kept=cython.int)
    cdef int pad(self, list frames) except -1
    cdef int finish(self, list frames) except -1


cdef class OpaqueTrack(Track):
    @cython.locals(size=Py_ssize_t)
    cdef int payload(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end, int marker, list frames) except -1
