"""The queue before the pipeline: bounded, and a fire does not wait for another agent's faults."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contract.messages import Reading
from gateway.ingest.door import Arrival
from gateway.ingest.lane import Lane
from tests.gateway.harness import START_MS, arrival, batch, state


def message(agent: str, seq: int, word: str) -> Arrival:
    return arrival(batch(seq, Reading("panel-01/p001", START_MS, word), lane="alarm", agent=agent))


def test_fire_goes_first_when_another_agent_floods() -> None:
    """With everything its own agent sent before it, in order; the others follow."""
    lane = Lane(100, 1_000_000)
    flood = [message("edge1", seq, "fault") for seq in range(1, 51)]
    said = arrival(state(agent="edge2"))
    fires = [message("edge2", 1, "fault"), message("edge2", 2, "fire"), message("edge2", 3, "normal")]
    for each in (*flood[:40], said, *fires, *flood[40:]):
        assert lane.put(each)
    assert lane.take(5) == [said, *fires[:2], *flood[:2]]
    assert lane.take(100) == [*flood[2:40], fires[2], *flood[40:]]
    assert (len(lane), lane._held, lane._burning) == (0, 0, {})


def test_message_is_refused_when_the_lane_is_full_by_number_or_bytes() -> None:
    """The newest is not taken; what is put back always has room, for it was there before."""
    each = message("edge1", 1, "fire")
    lane = Lane(2, 10 * len(each.payload))
    assert [lane.put(each) for _ in range(3)] == [True, True, False]
    taken = lane.take(2)
    lane.put(each)
    lane.put_back(taken)
    assert len(lane) == 3
    small = Lane(100, len(each.payload))
    assert [small.put(each), small.put(each)] == [True, False]


@given(
    st.lists(st.tuples(st.sampled_from(["edge1", "edge2", "edge3"]), st.sampled_from(["fault", "fire"])), max_size=40),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=40),
)
def test_each_agents_messages_stay_in_order_when_taken_and_put_back(
    sent: list[tuple[str, str]], takes: list[tuple[int, int]]
) -> None:
    """Nothing is lost or doubled, whatever is taken and put back."""
    lane, seqs = Lane(1000, 10_000_000), {"edge1": 0, "edge2": 0, "edge3": 0}
    queued = []
    for agent, word in sent:
        seqs[agent] += 1
        queued.append(message(agent, seqs[agent], word))
        lane.put(queued[-1])
    done: list[Arrival] = []
    for most, judged in takes:
        taken = lane.take(most)
        done += taken[:judged]
        lane.put_back(taken[judged:])
    done += lane.take(1000)
    assert sorted(map(id, done)) == sorted(map(id, queued))
    for agent in seqs:
        own = [each for each in queued if f"/{agent}/" in each.topic]
        assert [each for each in done if f"/{agent}/" in each.topic] == own
