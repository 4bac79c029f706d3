"""Whole machines that are lost, or come back older: each scenario loses them, and leaves the repair to the others.

`MACHINES` is the catalogue; `MACHINE_CONTROLS` are the same losses where one protection is missing on purpose, and
there the figure that each names must move.
"""

from collections.abc import Mapping

from faults.forgeries import forgeries
from faults.installation import Layout
from faults.machine_scene import WAIT_S, Loss, Scene
from faults.outsider import outsider
from servers import until

SMALL_RING = 24  # readings; a board holds 126, which takes longer to overrun
LOT = 96  # samples of all nodes together
MANY = 6 * SMALL_RING * 3 // 2  # more than the small rings hold


# --- gateways ---------------------------------------------------------------------------------------------------------


def gateway_disk_lost(scene: Scene) -> None:
    """While the broker is away, so that the disk has readings that are nowhere else but in the nodes' rings."""
    installation = scene.installation
    scene.burst(LOT // 2)
    scene.drain()
    installation.site.broker.kill()
    scene.mid_burst(LOT)
    installation.lose_disk(scene.gateway)
    waiting = len(installation.look().missing(installation.recorder))
    scene.detail = f"{waiting} readings waited on the disk"
    installation.field.cut_power(scene.rng.choice((0.0, 0.5)))
    if scene.perhaps():
        scene.gateway.start()  # before the broker is there


def gateway_restored(scene: Scene) -> None:
    """An older copy of the gateway's disk is put back, although one should begin empty."""
    installation = scene.installation
    scene.burst(LOT // 2)
    copy = installation.copy_disk(scene.gateway)
    scene.burst(LOT // 2)
    if scene.perhaps():
        scene.drain()
    installation.site.broker.kill()
    scene.mid_burst(LOT // 2)
    installation.put_back(scene.gateway, copy)
    installation.field.cut_power(scene.rng.choice((0.0, 0.5)))
    scene.gateway.start()


def two_gateways(scene: Scene) -> None:
    """Each gateway hears most packets; one of them loses its disk in mid-burst, and may never come back."""
    installation = scene.installation
    for antenna in installation.field.antennas:
        antenna.receives = antenna.is_heard = scene.rng.uniform(0.7, 1.0)
    scene.burst(LOT // 3)
    if scene.perhaps():
        installation.site.broker.kill()
    scene.mid_burst(LOT // 2)
    gateway = scene.rng.choice(installation.gateways)
    installation.lose_disk(gateway)
    end = scene.rng.choice(("comes back at once", "comes back later", "never comes back"))
    scene.detail = f"the {gateway.machine} gateway {end}"
    if end == "comes back later":
        scene.pause(3)  # the other one serves the field alone
    elif end == "never comes back":
        installation.gateways.remove(gateway)
        (other,) = installation.gateways
        other.stop()
        other.set(GATEWAY_RANK="0")  # the operator's decision


# --- database and server ----------------------------------------------------------------------------------------------


def database_restored(scene: Scene) -> None:
    """A dump is put back that is older than what the nodes still hold, while the server is down or connected."""
    installation = scene.installation
    scene.burst(LOT // 2)
    dump = installation.dump()
    scene.burst(MANY)
    scene.drain()
    is_down = scene.perhaps()
    if is_down:
        installation.server.kill()
    else:
        installation.field.load(LOT // 2)
    installation.restore(dump)
    scene.detail = "server down" if is_down else "server connected"


def lost_again(scene: Scene) -> None:
    """What has just come back is lost once more."""
    database_restored(scene)
    scene.installation.heal()
    scene.drain()
    again = scene.installation.delete_newest(0.5)
    scene.detail += f", then {again} rows"


def commits_lost(scene: Scene) -> None:
    """The database silently drops the newest rows; nobody notices anything."""
    installation = scene.installation
    scene.burst(MANY)
    scene.drain()
    if scene.perhaps():
        installation.field.load(LOT // 2)
    scene.detail = f"{installation.delete_newest(scene.rng.uniform(0.1, 0.9))} rows"


def database_replaced(scene: Scene) -> None:
    """The schema is gone, and an empty one is in its place."""
    installation = scene.installation
    scene.burst(MANY)
    scene.drain()
    is_down = scene.perhaps()
    if is_down:
        installation.server.kill()
    installation.lose_schema()
    scene.detail = "server down" if is_down else "server connected"
    if not is_down:
        installation.field.load(LOT // 2)


def server_disk_lost(scene: Scene) -> None:
    """The server's disk dies with dead letters that the gateway has been told of, while the database is away."""
    installation = scene.installation
    scene.burst(LOT // 2)
    scene.drain()
    installation.site.database.kill()
    scene.burst(LOT)
    until(lambda: installation.look_at_letters() > LOT // 2, WAIT_S, "the server dead-letters readings")
    scene.detail = f"{installation.look_at_letters()} dead letters"
    installation.lose_disk(installation.server)
    if scene.perhaps():
        installation.server.start()
    installation.site.database.heal()


def kept_cap(scene: Scene) -> None:
    """The dump is older than what the gateway keeps, and what it keeps is older than what the nodes hold."""
    installation = scene.installation
    scene.burst(LOT // 2)
    dump = installation.dump()
    scene.burst(2 * MANY)
    scene.drain()
    installation.server.kill()
    installation.restore(dump)
    scene.note_losses()
    scene.detail = f"{len(scene.lost)} readings without a copy"
    installation.server.start()
    # No new reading before the kept ones are back: each would take the place of one of them.
    until(scene.only_nodes_have_the_rest, WAIT_S, "the gateway has given back what it keeps")


def two_losses(scene: Scene) -> None:
    """The gateway's disk, and with it a node, or rows that the nodes have forgotten and others that they have not."""
    installation = scene.installation
    scene.burst(LOT)
    if scene.perhaps():
        installation.site.broker.kill()
        scene.mid_burst(LOT)
        installation.lose_disk(scene.gateway)
        installation.field.lose_node()
        what = "a node"
    else:
        scene.burst(MANY)
        scene.drain()
        installation.server.kill()
        installation.lose_disk(scene.gateway)
        installation.delete_ends(8)  # new readings push the oldest out of a ring: the newest are far from its end
        what = "rows"
    scene.note_losses()
    scene.detail = f"{what}, {len(scene.lost)} readings without a copy"


# --- the audit itself -------------------------------------------------------------------------------------------------


def audit_race(scene: Scene) -> None:
    """Audits, one after another, of readings that one gateway has brought in late; nothing is lost at all."""
    installation = scene.installation
    first, witness = installation.field.antennas
    first.receives, witness.receives = 0.9, 0.6
    installation.broker_links[scene.gateway.machine].delay(0.4)
    installation.field.load(LOT)
    for _ in range(6):
        installation.request_audit(is_full=scene.perhaps())
        scene.pause(1)


def audit_forged(scene: Scene) -> None:
    """Somebody at the broker reports and asks what is not true, while the database lacks readings."""
    installation = scene.installation
    port = installation.site.broker.port
    scene.burst(LOT // 2)
    dump = installation.dump()
    scene.burst(MANY)
    scene.drain()
    installation.restore(dump)
    with outsider(port) as other:
        for _ in range(5):
            for topic, payload in forgeries(scene.rng, installation.field.keys):
                other.publish([payload], topic)
            installation.request_audit(is_full=True)
            scene.pause(1)


YEARS_S = 10 * 365.25 * 86400


def clock_years(scene: Scene) -> None:
    """Every machine's wall clock is ten years wrong, in one direction and then in the other, and a dump comes back."""
    installation = scene.installation
    offsets_s = [YEARS_S, -YEARS_S]
    scene.rng.shuffle(offsets_s)
    scene.step_clocks(offsets_s[0])
    scene.burst(LOT // 2)
    dump = installation.dump()
    scene.burst(MANY // 2)
    scene.drain()
    scene.step_clocks(offsets_s[1])
    installation.field.load(LOT // 2)
    installation.restore(dump)
    until(lambda: installation.field.unsent == 0, WAIT_S, "the burst is sent")


SMALL = Layout(ring=SMALL_RING)
MACHINES: Mapping[str, Loss] = {
    "gateway_disk_lost": Loss("the gateway's disk is lost", gateway_disk_lost),
    "gateway_restored": Loss("an older copy of the gateway's disk comes back", gateway_restored),
    "database_restored": Loss("an older dump of the database comes back", database_restored, SMALL),
    "lost_again": Loss("what has come back is lost again", lost_again, SMALL),
    "commits_lost": Loss("the database drops what it has committed", commits_lost, SMALL),
    "database_replaced": Loss("the database is replaced by an empty one", database_replaced, SMALL),
    "server_disk_lost": Loss("the server's disk is lost with its dead letters", server_disk_lost),
    "kept_cap": Loss(
        "a dump comes back that is older than what the gateway keeps",
        kept_cap,
        Layout(ring=20, gateway_variant="hasty+small_kept"),
        is_lossy=True,
        is_capped=True,
    ),
    "audit_race": Loss(
        "audits come while readings are under way",
        audit_race,
        Layout(gateways=2, server_variant="hasty+patient"),
        is_harmless=True,
    ),
    "audit_forged": Loss("somebody forges reports and questions", audit_forged, SMALL, is_forged=True),
    "clock_years": Loss("all clocks step by twenty years", clock_years, SMALL),
    "two_gateways": Loss(
        "one of two gateways is lost in mid-burst", two_gateways, Layout(gateways=2, server_variant="hasty+forgetful")
    ),
    "two_losses": Loss("two machines are lost at once", two_losses, SMALL, is_lossy=True),
}


# --- controls ---------------------------------------------------------------------------------------------------------


def ignored_questions(scene: Scene) -> None:
    """The nodes do not answer what an acknowledgement asks for."""
    scene.installation.field.ignore_questions()
    gateway_disk_lost(scene)


def both_first(scene: Scene) -> None:
    """Until somebody makes the second gateway a witness."""
    installation = scene.installation
    installation.field.load(LOT // 4)
    scene.pause(5)
    witness = installation.gateways[1]
    witness.stop()
    witness.set(GATEWAY_RANK="1")


MACHINE_CONTROLS: Mapping[str, Loss] = {
    "without_audit": Loss(
        "the server never looks for what is missing",
        database_restored,
        Layout(ring=SMALL_RING, server_variant="without_audit"),
        figure="missing",
    ),
    "ignored_questions": Loss("nodes ignore questions", ignored_questions, figure="missing"),
    "without_kept": Loss(
        "the gateway keeps nothing",
        database_restored,
        Layout(ring=SMALL_RING, gateway={"KEEP_MB": "0"}),
        figure="missing",
    ),
    "void_too_far": Loss(
        "a gateway calls void what a node did not prove",
        gateway_disk_lost,
        Layout(gateway_variant="hasty+void_too_far"),
        figure="false_void",
    ),
    "one_look": Loss(
        "one look is enough to ask",
        audit_race,
        Layout(gateways=2, server_variant="hasty+patient+one_look"),
        figure="asked",
    ),
    "both_first": Loss(
        "both gateways answer at once", both_first, Layout(gateways=2, ranks=(0, 0)), figure="collisions"
    ),
}
