"""What operators see of a station: metrics (every one defined here once), logs and health."""
