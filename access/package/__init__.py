"""The package that is handed out: its layout, its proofs and its verifier."""
