"""What of a lane has been sent, and when to send it again. Pure: go-back-N over sealed batches.

The cursor runs over what is held, at most `limit` rows beyond the gateway's receipt. Without progress for `resend_s`
it goes back to the receipt and sends one batch at a time until the gateway answers, so that a gateway that is away
does not cost the link a full window every time. A broker's acknowledgement means nothing here.
"""

from __future__ import annotations

from collections import deque


class SendWindow:
    """One lane's window.

    Args:
        limit: rows in flight.
        resend_s: seconds without progress before everything in flight is sent again.
    """

    def __init__(self, limit: int, resend_s: float) -> None:
        self._limit = limit
        self._resend_s = resend_s
        self._in_flight: deque[int] = deque()
        self._digests: dict[str, int] = {}
        self._progress_s = 0.0
        self._is_probing = False
        self.acknowledged = 0
        """Highest seq the gateway has committed, as far as we know."""
        self.resent = 0
        """Times the window went back."""

    @property
    def cursor(self) -> int:
        """Seq of the last batch sent; send what follows."""
        return self._in_flight[-1] if self._in_flight else self.acknowledged

    @property
    def room(self) -> int:
        """Rows that may be sent now."""
        return (1 if self._is_probing else self._limit) - len(self._in_flight)

    def sent(self, seq: int, digest: str, now_s: float) -> None:
        """A batch went out."""
        if not self._in_flight:
            self._progress_s = now_s
        self._in_flight.append(seq)
        self._digests[digest] = seq
        while len(self._digests) > 8 * self._limit:
            self._digests.pop(next(iter(self._digests)))

    def receipt(self, seq: int, now_s: float) -> bool:
        """The gateway has committed everything up to `seq`; True when more may be sent, or less is to be."""
        was_probing, self._is_probing = self._is_probing, False
        if seq <= self.acknowledged:
            return was_probing
        self.acknowledged = seq
        self._progress_s = now_s
        while self._in_flight and self._in_flight[0] <= seq:
            self._in_flight.popleft()
        self._digests = {digest: number for digest, number in self._digests.items() if number > seq}
        return True

    def refused(self, digest: str) -> int | None:
        """The seq of a payload the gateway refused; None when it is none of this lane's."""
        return self._digests.pop(digest, None)

    def go_back(self, *, probe: bool = False) -> None:
        """Send everything beyond the receipt again. `probe`: nobody answers; one batch until somebody does."""
        if self._in_flight:
            self.resent += 1
        self._is_probing = probe
        self._in_flight.clear()

    def is_overdue(self, now_s: float) -> bool:
        """Whether what is in flight must be sent again."""
        return bool(self._in_flight) and now_s >= self._progress_s + self._resend_s

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `is_overdue` may turn true; None when nothing is in flight."""
        return max(0.0, self._progress_s + self._resend_s - now_s) if self._in_flight else None

    def reset(self) -> None:
        """Begin again at seq 1 of a new epoch."""
        self._in_flight.clear()
        self._digests.clear()
        self.acknowledged = 0
