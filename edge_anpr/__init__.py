"""edge-anpr reads number plates on the roadside unit itself, reports those on a lawful list, and forgets the rest.

The way of a plate, and the rooms it passes:

    camera/   Frame ─▶ vision/ detect ─▶ track ─▶ rectify ─▶ ocr ─▶ fuse ─▶ PlateRead
    plates/   what a plate may be, without pictures        privacy/  keyed tokens, overwriting
    watch/    the list and the match: a hit, or a keyed token and nothing else
    unit/     recogniser (no network) ─▶ outbox (SQLite) ─▶ publisher (no camera) ─▶ MQTT
    tools/    evaluate        demo/  the clip, the list and the config of `edge-anpr run --demo`
"""

__version__ = "0.1.0"
