"""How long the stateful models run: a moment in `make test`, ten thousand examples each in `make models`."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES") or 100)


def model_settings(steps: int) -> settings:
    """Settings of a stateful model whose examples have up to so many steps."""
    return settings(
        max_examples=EXAMPLES,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
