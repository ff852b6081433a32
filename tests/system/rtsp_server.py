"""A network camera: GStreamer's RTSP server shows a clip to whoever asks. Run by the system's Python, which has gi.

``rtsp_server.py PORT CLIP``: rtsp://127.0.0.1:PORT/road, its MPEG-4 as it is, from the beginning for each client.
"""

import sys

import gi  # type: ignore[import-not-found, unused-ignore]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[1], address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f'( filesrc location="{sys.argv[2]}" ! qtdemux ! rtpmp4vpay config-interval=1 name=pay0 pt=96 )')
server.get_mount_points().add_factory("/road", factory)
server.attach(None)
GLib.MainLoop().run()
