"""Exports: from a request on record to a package, whatever dies between."""
