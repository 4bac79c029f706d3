"""For researchers: measures on recordings how much the node's learning saves. No node and no station uses it."""

POLICY_NAMES = ("periodic", "periodic_equal", "send_on_delta", "dbp", "damped", "nlms", "kalman", "mlp", "trend")
"""Names of the policies; here, so that the command line can list them without loading numpy."""
