"""From a live stream to committed segments: sources, clock map, cutter, recorder, sweep worker, supervisor."""
