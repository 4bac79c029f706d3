"""What every station shares: its life as a process, its logs, metrics, health and clock. Knows no settings."""
