"""The stored segment: an MP4 file that is fragmented while it is recorded and plain once it is closed (`vault/FORMAT.md`)."""
