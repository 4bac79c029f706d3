"""For researchers: how much the node's learning saves, measured on recordings. No node and no station uses this."""

POLICY_NAMES = ("periodic", "periodic_equal", "send_on_delta", "dbp", "damped", "nlms", "kalman", "mlp", "trend")
"""The policies by name; here, so that the command line can list them without loading numpy."""
