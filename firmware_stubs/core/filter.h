/* Filter of one number: a single wild sample is dropped, noise is smoothed, a real step comes through at once. */
#ifndef WEIZHAN_FILTER_H
#define WEIZHAN_FILTER_H

#include <stdbool.h>
#include <stdint.h>

enum { FILTER_FAILURES = 3 }; /* samples that may fail in a row before the value is missing */

struct filter {
    int32_t recent[3];   /* last good samples, oldest first */
    int32_t smooth;      /* value * 2^shift */
    uint8_t shift;       /* 0: no smoothing; n: time constant of 2^n samples */
    uint8_t count;       /* of recent samples */
    uint8_t failures;
    int32_t step;        /* a change of more than this is taken over whole: a burst main must not be smoothed away */
};

void filter_init(struct filter *filter, uint8_t shift, int32_t step);

/* A sample arrived. */
void filter_take(struct filter *filter, int32_t sample);

/* No sample arrived, or one no working sensor gives. */
void filter_miss(struct filter *filter);

/* Whether there is a value, and which. */
bool filter_value(const struct filter *filter, int32_t *value);

#endif
