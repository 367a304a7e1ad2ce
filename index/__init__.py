"""From a time to the segments that hold it: catalog, timeline, gaps, camera registry, rebuild, check."""
