"""The report's sections on loss: random losses in both directions, and the losses of real gateways."""

from aoii.lab import plots
from aoii.lab.channel import Channel, SimulatedChannel
from aoii.lab.policy import Options
from aoii.lab.report.material import Material, replay_subjects
from aoii.lab.report.measures import of_policy, percent_wrong, table, wrong_and_age
from aoii.lab.runs import Run, stem
from aoii.settings.channel import ChannelModel
from aoii.simulation import packet_traces
from aoii.simulation.radio import PacketTrace
from aoii.simulation.recordings import Series

LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
POLICIES = ("send_on_delta", "nlms", "kalman", "mlp", "trend")


def compare_losses(material: Material) -> str:
    """The section on random losses in Markdown; draws `loss.png`."""
    rows = []
    wrong: dict[str, list[tuple[float, float]]] = {name: [] for name in POLICIES}
    for loss in LOSSES:
        done = _replay(material, ChannelModel(loss, loss))
        by_name = {name: of_policy(done, name) for name in POLICIES}
        for name, runs in by_name.items():
            wrong[name].append((loss, percent_wrong(runs)))
        outcomes = [run.outcome for run in by_name["trend"]]
        retries = sum(outcome.retries for outcome in outcomes) / max(sum(outcome.packets for outcome in outcomes), 1)
        rows.append([f"{100 * loss:g}", *map(wrong_and_age, by_name.values()), f"{retries:.2f}"])
    plots.plot_losses(wrong, material.plots / "loss.png", "minutes wrong, %")
    return f"""
## Loss

Packets and acknowledgements are lost with the same probability, independently of each other (seed {material.seed}).
A packet without an acknowledgement is sent again at the same sample, up to five times; `mlp` sends once and assumes that it arrived, as the installation that it comes from does.
Minutes wrong in %, and mean age of incorrect information in s.

{table(["loss, %", *POLICIES, "retransmissions a packet, trend"], rows)}
![loss](results/loss.png)
"""  # noqa: E501 - one sentence a line


def compare_traces(material: Material) -> str:
    """The section on packet traces in Markdown; empty when there are none."""
    if not material.traces:
        return ""
    rows = []
    for path in material.traces:
        node, trace = max(packet_traces.parse(path).items(), key=lambda item: _percent_lost(item[1]))
        done = _replay(material, ChannelModel(), trace)
        cells = [wrong_and_age(of_policy(done, name)) for name in POLICIES]
        rows.append([f"{stem(path.name)}, node {node}", f"{_percent_lost(trace):.1f}", *cells])
    return f"""
## Real losses

The worst node of each packet trace, replayed over all recordings; where a packet of the trace was lost, every try of ours in that interval is lost.
Minutes wrong in %, and mean age of incorrect information in s.

{table(["trace", "lost, %", *POLICIES], rows)}"""  # noqa: E501 - one sentence a line


def _replay(material: Material, model: ChannelModel, trace: PacketTrace | None = None) -> list[Run]:
    """Every policy of `POLICIES` on every recording; all of them lose the same way."""

    def channel(series: Series) -> Channel:
        return SimulatedChannel(model, f"{material.seed}/{series.node}", trace)

    return replay_subjects(material.subjects, POLICIES, Options(mlp=material.mlp), channel)


def _percent_lost(trace: PacketTrace) -> float:
    return 100 * trace.received.count(False) / len(trace.received)
