#include "core/filter.h"

static int32_t median(int32_t a, int32_t b, int32_t c)
{
    if ((a <= b && b <= c) || (c <= b && b <= a))
        return b;
    if ((b <= a && a <= c) || (c <= a && a <= b))
        return a;
    return c;
}

/* Rounds to nearest, halves away from zero; right shift of a negative number is left to the compiler by C99. */
static int32_t unscale(int32_t scaled, uint8_t shift)
{
    const int32_t whole = (int32_t) 1 << shift;
    return (scaled >= 0 ? scaled + whole / 2 : scaled - whole / 2) / whole;
}

void filter_init(struct filter *filter, uint8_t shift, int32_t step)
{
    *filter = (struct filter) {.shift = shift, .step = step};
}

void filter_take(struct filter *filter, int32_t sample)
{
    filter->failures = 0;
    if (filter->count == 0) {
        filter->recent[0] = filter->recent[1] = filter->recent[2] = sample;
        filter->smooth = sample * ((int32_t) 1 << filter->shift);
        filter->count = 1;
        return;
    }
    filter->recent[0] = filter->recent[1];
    filter->recent[1] = filter->recent[2];
    filter->recent[2] = sample;
    const int32_t middle = median(filter->recent[0], filter->recent[1], filter->recent[2]);
    const int32_t now = unscale(filter->smooth, filter->shift);
    const int32_t change = middle - now;
    if (change > filter->step || change < -filter->step)
        filter->smooth = middle * ((int32_t) 1 << filter->shift);
    else
        filter->smooth += middle - now;
}

void filter_miss(struct filter *filter)
{
    if (filter->failures < FILTER_FAILURES)
        filter->failures++;
    if (filter->failures == FILTER_FAILURES)
        filter->count = 0; /* what comes after is a new beginning */
}

bool filter_value(const struct filter *filter, int32_t *value)
{
    if (filter->count == 0)
        return false;
    *value = unscale(filter->smooth, filter->shift);
    return true;
}
