#include "core/latch.h"

void latch_init(struct latch *latch, uint16_t normal, uint16_t urgent, uint32_t hold_ms, uint32_t most_ms)
{
    *latch = (struct latch) {.normal = normal,
                             .urgent = urgent,
                             .shown = normal,
                             .hold_ms = hold_ms,
                             .most_ms = most_ms};
}

static void show(struct latch *latch, uint16_t state, uint32_t now_ms)
{
    latch->shown = state;
    latch->reads = 0;
    latch->since_ms = now_ms;
}

void latch_take(struct latch *latch, uint16_t state, uint32_t now_ms)
{
    latch->is_known = true;
    if (state == latch->shown)
        return;
    if (latch->shown == latch->normal || (state == latch->urgent && state != latch->normal)) {
        show(latch, state, now_ms);
        return;
    }
    /* An event is shown: the next state, normal or another event, waits its turn. */
    const uint32_t held_ms = now_ms - latch->since_ms;
    const bool was_seen = latch->reads >= LATCH_READS && held_ms >= latch->hold_ms;
    if (was_seen || held_ms >= latch->most_ms)
        show(latch, state, now_ms);
}

void latch_miss(struct latch *latch)
{
    latch->is_known = false;
}

void latch_read(struct latch *latch)
{
    if (latch->reads < LATCH_READS)
        latch->reads++;
}
