"""The scenario that comes last: what was sent or pulled while all the others ran."""

from __future__ import annotations

from . import media
from .cluster import Cluster
from .host import LabError
from .registry import scenario


@scenario("quiet")
def nothing_leaves(cluster: Cluster) -> str:
    """Nothing was sent to an address outside since the machines were switched on, and no image was pulled."""
    lines = cluster.network.captured()
    if lines:
        raise LabError(f"{len(lines)} packets for outside, the first: {lines[0]}")
    pulls = 0
    for machine in cluster.masters + cluster.workers:
        log = machine.run("journalctl", "--no-pager", "--output=cat", "--grep=PullImage|Pulling image", check=False).stdout
        if log.strip() and "-- No entries --" not in log:
            raise LabError(f"{machine.name} pulls images: {log.strip().splitlines()[0][:300]}")
        pulls += 1
    events = [event for event in cluster.objects("events", "-A") if event.get("reason") in ("Pulling", "ErrImagePull")]
    if events:
        raise LabError(f"an image is pulled: {events[0].get('message')}")
    return f"no packet for outside of {media.VIP.rsplit('.', 1)[0]}.0/24 and the pods, no pull on {pulls} nodes"
