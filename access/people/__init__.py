"""Who may look: units, users, applications, grants and tokens."""
