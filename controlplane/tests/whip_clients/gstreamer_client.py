"""WHIP or WHEP with GStreamer's webrtcbin.

    gstreamer_client.py publish|play URL TOKEN SECONDS

Prints what was seen as one line of JSON. A session is ended by DELETE.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PUBLISH = (
    "webrtcbin name=w bundle-policy=max-bundle "
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1 ! "
    "vp8enc deadline=1 cpu-used=8 target-bitrate=500000 keyframe-max-dist=50 ! rtpvp8pay picture-id-mode=15-bit ! "
    "application/x-rtp,media=video,encoding-name=VP8,payload=96 ! w. "
    "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! w."
)
PLAY = "webrtcbin name=w bundle-policy=max-bundle fakesink name=unused"
RECEIVED = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
    "video": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,rtcp-fb-nack-pli=true,"
             "rtcp-fb-ccm-fir=true",
}


def http(method, url, token, body=None, content_type=None):
    request = urllib.request.Request(url, method=method, data=body)
    request.add_header("Authorization", f"Bearer {token}")
    if content_type:
        request.add_header("Content-Type", content_type)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


class Client:
    def __init__(self, role, url, token, seconds):
        self.url, self.token, self.seconds = url, token, seconds
        self.seen = {"state": "new", "frames": {"audio": 0, "video": 0}}
        self.session = None
        self.offered = False
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(PUBLISH if role == "publish" else PLAY)
        self.webrtc = self.pipeline.get_by_name("w")
        if role == "play":
            self.pipeline.remove(self.pipeline.get_by_name("unused"))
            for caps in RECEIVED.values():
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self.webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
            self.webrtc.connect("pad-added", self.on_pad)
        self.webrtc.connect("on-negotiation-needed", self.on_negotiation)
        self.webrtc.connect("notify::ice-gathering-state", self.on_gathering)
        self.webrtc.connect("notify::connection-state", self.on_connection)

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add(int(self.seconds * 1000) + 25_000, self.loop.quit)
        self.loop.run()
        if self.session:
            self.seen["deleted"] = http("DELETE", self.session, self.token)[0]
        self.pipeline.set_state(Gst.State.NULL)
        print(json.dumps(self.seen))

    def on_negotiation(self, _=None):
        if not self.offered:
            promise = Gst.Promise.new_with_change_func(self.on_offer, None)
            self.webrtc.emit("create-offer", None, promise)
        return False

    def on_offer(self, promise, _):
        # The offer lives in the reply: both must be held.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        if offer and not self.offered and offer.sdp.medias_len() == 2:
            self.offered = True
            self.webrtc.emit("set-local-description", offer, None)
        elif not self.offered:
            # Not every encoder has said yet what it makes.
            GLib.timeout_add(100, self.on_negotiation)

    def on_gathering(self, *_):
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.exchange)

    def exchange(self):
        local = self.webrtc.get_property("local-description")
        if self.session or not local:
            return False
        status, headers, answer = http("POST", self.url, self.token, local.sdp.as_text().encode(), "application/sdp")
        self.seen["status"] = status
        if status != 201:
            self.seen["body"] = answer
            self.loop.quit()
            return False
        self.session = urllib.parse.urljoin(self.url, headers["Location"])
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        remote = GstWebRTC.WebRTCSessionDescription.new(kind, message)
        self.webrtc.emit("set-remote-description", remote, None)
        return False

    def on_connection(self, *_):
        state = self.webrtc.get_property("connection-state")
        self.seen["state"] = state.value_nick
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            GLib.timeout_add(int(self.seconds * 1000), self.loop.quit)

    def on_pad(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decode = "rtpopusdepay ! opusdec" if kind == "audio" else "rtpvp8depay ! vp8dec"
        sink = Gst.parse_bin_from_description(
            f"queue ! {decode} ! fakesink name=s sync=false signal-handoffs=true", True)
        sink.get_by_name("s").connect("handoff", lambda *_: self.count(kind))
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def count(self, kind):
        self.seen["frames"][kind] += 1


Gst.init(None)
Client(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])).run()
