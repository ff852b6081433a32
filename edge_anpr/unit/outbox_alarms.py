"""What the recogniser has to say of the outbox: that hits are refused, or that it was damaged and has been mended."""

from __future__ import annotations

from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.outbox import Outbox, OutboxFull

REFUSED, DAMAGED = "hits-refused", "outbox-damaged"
# While hits are being refused, their number in the alarm is brought up to date so often.
TELL_S = 30.0


class OutboxAlarms:
    """Looks at the outbox from the main thread, which alone raises alarms.

    ``hits-refused`` is over when the outbox has room again, whether or not another vehicle comes. ``outbox-damaged``
    stands as long as the damaged file lies beside the new one.
    """

    def __init__(self, alarms: Alarms, outbox: Outbox) -> None:
        self._alarms, self._outbox = alarms, outbox
        self._seen = self._told = 0
        self._told_s = 0.0
        self._refusing = False

    def look(self, refused: int, why: str, now_s: float) -> None:
        """Raise and clear; ``refused`` messages of hits so far, the last of them for ``why``. ``now_s`` is monotonic.

        Raises OutboxError when another process has found the outbox damaged.
        """
        self._outbox.version()
        if refused > self._seen:
            self._seen, self._refusing = refused, True
        elif self._refusing:
            self._refusing = not self._is_ready()
        self._tell_refusals(why, now_s)
        self._tell_damage()

    def _is_ready(self) -> bool:
        try:
            self._outbox.ready()
        except OutboxFull:
            return False
        return True

    def _tell_refusals(self, why: str, now_s: float) -> None:
        if not self._refusing:
            self._alarms.clear(REFUSED)
            self._told = 0
        elif self._told == 0 or (self._told < self._seen and now_s - self._told_s >= TELL_S):
            self._told, self._told_s = self._seen, now_s
            self._alarms.raise_(
                REFUSED, f"{self._seen} messages of hits were refused since the start and are lost: {why}"
            )

    def _tell_damage(self) -> None:
        mended = self._outbox.mended
        if mended is None:
            self._alarms.clear(DAMAGED)
            return
        lost = "nobody knows how many" if mended.lost is None else mended.lost
        self._alarms.raise_(
            DAMAGED,
            f"the outbox was damaged: {mended.rescued} messages were carried over, {lost} lost; the old file is "
            f"{mended.path}, remove it when it has been looked at",
        )
