"""From stored segments to what a player opens: the virtual MP4 of any range, and virtual fragments for HLS and MSE."""
