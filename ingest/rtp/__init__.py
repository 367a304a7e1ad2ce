"""RTP and RTCP: from packets in a receive buffer to whole access units in an arena."""
