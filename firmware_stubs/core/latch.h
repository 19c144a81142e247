/* Latch of one event: what lasted an instant stays until the master has had its chance to read it.
 *
 * A contact that leaves its normal state is held at least `hold_ms` and until it was read twice (the first answer may
 * have been lost on the line), but never longer than `most_ms`: a master that is away must not find old news for ever.
 * An urgent state (fire) waits for nothing. */
#ifndef WEIZHAN_LATCH_H
#define WEIZHAN_LATCH_H

#include <stdbool.h>
#include <stdint.h>

enum { LATCH_READS = 2 };

struct latch {
    uint16_t normal;
    uint16_t urgent;     /* shown at once, whatever is held; the same as normal: there is none */
    uint16_t shown;      /* what the register says */
    bool is_known;       /* whether the input ever said anything */
    uint8_t reads;       /* since `shown` left normal, or changed */
    uint32_t since_ms;
    uint32_t hold_ms;
    uint32_t most_ms;
};

void latch_init(struct latch *latch, uint16_t normal, uint16_t urgent, uint32_t hold_ms, uint32_t most_ms);

/* The input says this now. */
void latch_take(struct latch *latch, uint16_t state, uint32_t now_ms);

/* The input cannot be read: nothing is known until it can. What is held stays. */
void latch_miss(struct latch *latch);

/* A master was given what is shown. */
void latch_read(struct latch *latch);

#endif
