"""WHIP or WHEP with aiortc.

    aiortc_client.py publish|play|choose URL TOKEN SECONDS

Prints what was seen as one line of JSON. A session is ended by DELETE. `choose`
plays, and asks for the layer `h`, then for the best again.
"""

import asyncio
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack


def http(method, url, token, body=None, headers=()):
    request = urllib.request.Request(url, method=method, data=body)
    request.add_header("Authorization", f"Bearer {token}")
    for name, value in headers:
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


async def main(role, url, token, seconds):
    pc = RTCPeerConnection()
    frames = {"audio": 0, "video": 0}
    tasks = []

    shown = {"height": 0}

    async def count(track):
        while True:
            frame = await track.recv()
            frames[track.kind] += 1
            if track.kind == "video":
                shown["height"] = frame.height

    pc.on("track", lambda track: tasks.append(asyncio.ensure_future(count(track))))
    if role == "publish":
        pc.addTrack(AudioStreamTrack())
        pc.addTrack(VideoStreamTrack())
    else:
        pc.addTransceiver("audio", direction="recvonly")
        pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    body = pc.localDescription.sdp.encode()
    loop = asyncio.get_running_loop()

    def ask(*args):
        return loop.run_in_executor(None, lambda: http(*args))

    status, headers, answer = await ask("POST", url, token, body, [("Content-Type", "application/sdp")])
    if status != 201:
        print(json.dumps({"status": status, "body": answer}))
        sys.exit(1)
    session = urllib.parse.urljoin(url, headers["Location"])
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    begin = time.monotonic()
    while pc.connectionState != "connected" and time.monotonic() - begin < 15:
        await asyncio.sleep(0.05)
    state, took = pc.connectionState, time.monotonic() - begin

    # aiortc gathers everything first; what trickles is taken all the same.
    trickle = [("Content-Type", "application/trickle-ice-sdpfrag"), ("If-Match", headers["ETag"])]
    patched, _, _ = await ask("PATCH", session, token, b"a=end-of-candidates\r\n", trickle)
    layers = []
    for selection, height in [("{}", 360), ('{"encodingId":"h"}', 180), ("{}", 360)] if role == "choose" else []:
        chosen, _, _ = await ask("POST", session + "/layer", token, selection.encode(), [("Content-Type", "application/json")])
        begin = time.monotonic()
        while shown["height"] != height and time.monotonic() - begin < 20:
            await asyncio.sleep(0.05)
        layers.append([chosen, shown["height"]])
    await asyncio.sleep(seconds)
    reports = {"acknowledged": 0, "lost": 0}
    for stats in (await pc.getStats()).values():
        if stats.type == "remote-inbound-rtp":
            reports["acknowledged"] += 1
            reports["lost"] += stats.packetsLost
    deleted, _, _ = await ask("DELETE", session, token)
    print(json.dumps({"state": state, "connect_s": round(took, 3), "patched": patched, "deleted": deleted,
                      "frames": frames, "layers": layers, "reports": reports, "etag": headers["ETag"],
                      "links": headers.get_all("Link") or []}))
    for task in tasks:
        task.cancel()
    await pc.close()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
