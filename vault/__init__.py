"""What a recording is and where its bytes live: time, ids, errors, configuration, the MP4 segment, splice, stores, spool."""
