"""Keys and certificates: which peers and nodes a station accepts, and how it proves its own identity."""
