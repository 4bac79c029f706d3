"""The policies that are compared, in the order of every table."""

from aoii.lab.carried_policies import DampedNode, DbpNode, HoldNode, LineEstimator, TrendEstimator, TrendNode
from aoii.lab.mirrored_policies import KalmanEstimator, MlpEstimator, NlmsEstimator
from aoii.lab.policy import Policy

READING_BYTES = 28  # a version 1 frame of docs/reference/wire-format.md without its four bytes of trend
ASCII_BYTES = 22  # "4294967295,-10.25,100.00" and the like: the older firmware's payload, mean of the log mlp0.5

POLICIES = (
    Policy("periodic", HoldNode, TrendEstimator, READING_BYTES, clock="every"),
    Policy("periodic_equal", HoldNode, TrendEstimator, READING_BYTES, clock="equal"),
    Policy("send_on_delta", HoldNode, TrendEstimator, READING_BYTES),
    Policy("dbp", DbpNode, LineEstimator),
    Policy("damped", DampedNode, TrendEstimator),
    Policy("nlms", HoldNode, NlmsEstimator, READING_BYTES),
    Policy("kalman", HoldNode, KalmanEstimator, READING_BYTES),
    Policy("mlp", HoldNode, MlpEstimator, ASCII_BYTES, resends=False),
    Policy("trend", TrendNode, TrendEstimator),
)
BY_NAME = {policy.name: policy for policy in POLICIES}
