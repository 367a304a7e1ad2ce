"""The verifier of packages, in modules that need the standard library and `openssl` only; `access.package.bundle` makes them one file."""
