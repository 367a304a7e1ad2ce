"""Simulated cameras: an RTSP server to load-test recorders with, cameras that misbehave on request, live demo cameras."""
