"""RTSP/1.0 client, sans-IO: messages, authentication, SDP and the handshake. Sockets, TLS and timers belong to the caller."""
