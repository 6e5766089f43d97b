"""Two relay-only peers of aiortc send video and messages through a TURN server.

Arguments: TURN url, username, password. Prints what arrived as JSON.
"""

import asyncio
import json
import sys

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    VideoStreamTrack,
)
import aioice.ice

url, username, password = sys.argv[1:]

MESSAGES = 50
FRAMES = 10


def relay_only(connection):
    """aiortc has no iceTransportPolicy: drop every candidate but the relayed."""
    gather = connection.gather_candidates

    async def gather_relayed():
        await gather()
        connection._local_candidates = [
            c for c in connection._local_candidates if c.type == "relay"
        ]
        connection._protocols = [
            p for p in connection._protocols if p.local_candidate.type == "relay"
        ]

    connection.gather_candidates = gather_relayed


original = aioice.ice.Connection.__init__


def patched(self, *args, **kwargs):
    original(self, *args, **kwargs)
    relay_only(self)


aioice.ice.Connection.__init__ = patched


async def main():
    servers = RTCConfiguration([RTCIceServer(urls=url, username=username, credential=password)])
    one, two = RTCPeerConnection(servers), RTCPeerConnection(servers)
    echoed, frames = 0, 0
    done = asyncio.Event()

    def check():
        if echoed == MESSAGES and frames >= FRAMES:
            done.set()

    channel = one.createDataChannel("chat")
    one.addTrack(VideoStreamTrack())

    @channel.on("open")
    def opened():
        for number in range(MESSAGES):
            channel.send(f"message {number}")

    @channel.on("message")
    def came_back(message):
        nonlocal echoed
        assert message == f"message {echoed}", message
        echoed += 1
        check()

    @two.on("datachannel")
    def offered(other):
        other.on("message", lambda message: other.send(message))

    async def watch(track):
        nonlocal frames
        while frames < FRAMES:
            await track.recv()
            frames += 1
        check()

    tasks = []
    two.on("track", lambda track: tasks.append(asyncio.ensure_future(watch(track))))

    await one.setLocalDescription(await one.createOffer())
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription(await two.createAnswer())
    await one.setRemoteDescription(two.localDescription)
    kinds = sorted({
        line.split(" typ ")[1].split()[0]
        for description in (one.localDescription, two.localDescription)
        for line in description.sdp.splitlines()
        if line.startswith("a=candidate")
    })
    try:
        await asyncio.wait_for(done.wait(), 40)
    finally:
        print(json.dumps({"echoed": echoed, "frames": frames, "candidates": kinds}), flush=True)
        await one.close()
        await two.close()


asyncio.run(main())
