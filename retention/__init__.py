"""Which footage goes, why and when; how long the store lasts; what an inspector asks. Never: how footage comes in (`ingest`)."""
