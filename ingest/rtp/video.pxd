# C types of video.py.
cimport cython
from ingest.rtp cimport flags, octets
from ingest.rtp.track cimport Track

cdef int MAX_NALS, MAX_LEAD_BYTES, TRUST_AFTER, _MAX_SEI_MESSAGES


cdef class VideoTrack(Track):
    cdef readonly bint hevc, annexb
    cdef bint vcl, skip
    cdef int fu_at, fu_first, fu_middle, nals, clean
    cdef Py_ssize_t fu_start

    @cython.locals(body=Py_ssize_t, size=Py_ssize_t)
    cdef int payload(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end, int marker, list frames) except -1
    @cython.locals(first=Py_ssize_t, skipped=Py_ssize_t, step=Py_ssize_t, count=Py_ssize_t)
    cdef Py_ssize_t middles(self, const unsigned char* data, Py_ssize_t model, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(kind=cython.int)
    cdef int piece(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int refuse(self, bint unsupported) except -1
    @cython.locals(nal=Py_ssize_t, stop=Py_ssize_t)
    cdef int whole(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(size=Py_ssize_t)
    cdef int aggregate(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(header=Py_ssize_t, byte=cython.int, kind=cython.int, size=Py_ssize_t, nal=Py_ssize_t)
    cdef int fragment(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(nal=Py_ssize_t)
    cdef int end_fragments(self) except -1
    @cython.locals(first=Py_ssize_t, size=Py_ssize_t, kind=cython.int, picture=cython.bint)
    cdef int close_nal(self, Py_ssize_t nal, bint search) except -1
    @cython.locals(raw=bytes, size=Py_ssize_t, at=Py_ssize_t, code=Py_ssize_t, stop=Py_ssize_t, end=Py_ssize_t, piece=Py_ssize_t)
    cdef int split(self, Py_ssize_t nal) except -1
    @cython.locals(_=cython.int, kind=cython.int, size=Py_ssize_t)
    cdef int recovers(self, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(last=tuple, where=Py_ssize_t, first=cython.int, picture=cython.bint)
    cdef int reopen(self, list frames) except -1
    cdef int tear(self) except -1
    cdef int finish(self, list frames) except -1
    cdef int drop(self) except -1
    cdef int shift(self, Py_ssize_t by) except -1
