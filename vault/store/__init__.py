"""Where closed segments live: the store interface, the local folder, and memory for tests."""
