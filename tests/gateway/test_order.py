"""Order of batches: whatever the link does, each batch is held once and no gap stays unsaid."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Batch, Gap
from gateway.ingest.order import Lost, judge
from tests.gateway.harness import batch


def test_batch_is_taken_when_it_follows_the_watermark() -> None:
    """The next batch is taken and nothing is said to be lost."""
    assert judge(batch(4), 3) == ("take", ())


def test_batch_is_duplicate_when_at_or_below_the_watermark() -> None:
    """Age does not matter: what is below the watermark was taken once."""
    assert [judge(batch(seq), 1_000_000).kind for seq in (1, 999_999, 1_000_000)] == ["duplicate"] * 3


def test_hole_is_seen_when_a_batch_the_agent_still_holds_is_missing() -> None:
    """Nothing is taken out of order while the missing batch can still come."""
    assert judge(batch(5, oldest=3), 3).kind == "hole"


def test_gaps_are_recorded_above_the_watermark_when_batches_were_thinned() -> None:
    """A batch that stands for thinned ones gives exactly those gaps the ledger does not know yet."""
    gaps = [Gap(seq, 50, seq, seq + 1, "budget") for seq in (2, 3, 4)]
    verdict = judge(batch(5, covers_from=2, gaps=gaps), 2)
    assert verdict == ("take", (Lost(3, 3, 50, 3, 4, "budget"), Lost(4, 4, 50, 4, 5, "budget")))


def test_gaps_are_recorded_when_they_begin_right_above_the_watermark_and_end_with_the_batch() -> None:
    """The first gap is the very next batch; the last one is the batch itself, of which nothing is left."""
    gaps = [Gap(seq, 50, seq, seq + 1, "budget") for seq in (3, 4)]
    verdict = judge(batch(4, oldest=3, covers_from=3, gaps=gaps), 2)
    assert verdict == ("take", (Lost(3, 3, 50, 3, 4, "budget"), Lost(4, 4, 50, 4, 5, "budget")))


def test_loss_is_recorded_when_the_ledger_was_restored_from_a_backup() -> None:
    """The agent deleted what a later ledger had acknowledged: that can never come, and is said so."""
    verdict = judge(batch(9, oldest=9), 4)
    assert verdict == ("take", (Lost(5, 8, 0, None, None, "ledger_restored"),))


def test_hole_is_seen_when_a_restored_ledger_meets_a_batch_past_the_oldest() -> None:
    """Past the oldest there is still something to come first."""
    assert judge(batch(9, oldest=8), 4).kind == "hole"


def test_first_contact_begins_at_one_when_the_agent_holds_everything() -> None:
    """A new epoch starts at seq 1."""
    assert [judge(batch(1), 0).kind, judge(batch(2), 0).kind] == ["take", "hole"]


class Agent:
    """The agent's side, by the contract: a lane of sealed batches, thinned and resent."""

    def __init__(self, count: int) -> None:
        self.held: dict[int, tuple[int, list[Gap]]] = {seq: (seq, []) for seq in range(1, count + 1)}

    def message(self, seq: int) -> Batch:
        first, gaps = self.held[seq]
        return batch(seq, oldest=min(self.held), covers_from=first if first != seq else None, gaps=gaps)

    def thin(self, seq: int) -> None:
        """Give a batch up; the next one held stands for it."""
        later = [each for each in self.held if each > seq]
        if seq in self.held and later:
            first, gaps = self.held.pop(seq)
            heir = min(later)
            _, own = self.held[heir]
            self.held[heir] = (first, [*gaps, Gap(seq, 10, seq, seq, "budget"), *own])

    def acknowledge(self, watermark: int) -> None:
        for seq in [each for each in self.held if each <= watermark]:
            del self.held[seq]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), count=st.integers(1, 25))
def test_every_seq_is_taken_once_or_in_a_gap_when_the_link_and_the_ledger_misbehave(
    data: st.DataObject, count: int
) -> None:
    """Duplicates, reorders, losses, thinning and one restore: every seq ends taken once, in a gap, or restored away."""
    agent, watermark, taken, lost = Agent(count), 0, [], []
    sent: list[Batch] = []
    backup: tuple[int, list[int], list[Lost]] | None = None

    def receive(message: Batch) -> None:
        nonlocal watermark
        verdict = judge(message, watermark)
        if verdict.kind == "take":
            lost.extend(verdict.lost)
            taken.append(message.seq)
            watermark = message.seq

    steps = st.sampled_from(["send", "send", "send", "old", "thin", "receipt", "backup", "restore"])
    for step in data.draw(st.lists(steps, max_size=60)):
        if step == "send" and agent.held:
            message = agent.message(data.draw(st.sampled_from(sorted(agent.held))))
            sent.append(message)
            if data.draw(st.booleans()):
                receive(message)
        elif step == "old" and sent:
            receive(data.draw(st.sampled_from(sent)))
        elif step == "thin":
            agent.thin(data.draw(st.integers(1, count)))
        elif step == "receipt":
            agent.acknowledge(watermark)
        elif step == "backup" and backup is None:
            backup = (watermark, list(taken), list(lost))
        elif step == "restore" and backup is not None:
            watermark, taken, lost = backup[0], list(backup[1]), list(backup[2])
    while agent.held:  # the link heals: go-back-N
        for seq in sorted(agent.held):
            receive(agent.message(seq))
        before = len(agent.held)
        agent.acknowledge(watermark)
        assert len(agent.held) < before
    covered = [seq for each in lost for seq in range(each.first_seq, each.seq + 1)]
    assert taken == sorted(set(taken))
    # A batch that was taken may not be told as lost as well, and none may be neither.
    assert sorted(taken + covered) == list(range(1, watermark + 1))
