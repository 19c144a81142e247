/* Wild samples are dropped, noise is smoothed, steps come through, silence becomes missing. */
#include "core/filter.h"
#include "tests/check.h"

static int32_t value_of(const struct filter *filter)
{
    int32_t value = 0;
    CHECK(filter_value(filter, &value));
    return value;
}

static void the_first_sample_is_the_value(void)
{
    struct filter filter;
    int32_t value;
    filter_init(&filter, 2, 100);
    CHECK(!filter_value(&filter, &value));
    filter_take(&filter, -37);
    CHECK_EQUAL(value_of(&filter), -37);
}

static void a_single_wild_sample_changes_nothing(void)
{
    struct filter filter;
    filter_init(&filter, 2, 100);
    for (int n = 0; n < 5; n++)
        filter_take(&filter, 2000);
    filter_take(&filter, 0);
    CHECK_EQUAL(value_of(&filter), 2000);
    filter_take(&filter, 2000);
    CHECK_EQUAL(value_of(&filter), 2000);
}

static void a_step_comes_through_with_its_second_sample(void)
{
    struct filter filter;
    filter_init(&filter, 3, 100);
    for (int n = 0; n < 5; n++)
        filter_take(&filter, 3000);
    filter_take(&filter, 1200);
    CHECK_EQUAL(value_of(&filter), 3000);
    filter_take(&filter, 1200);
    CHECK_EQUAL(value_of(&filter), 1200);
}

static void noise_is_smoothed_and_a_slow_drift_is_followed(void)
{
    struct filter filter;
    filter_init(&filter, 3, 100);
    filter_take(&filter, 1000);
    for (int n = 0; n < 200; n++) {
        filter_take(&filter, 1000 + (n % 4 < 2 ? 20 : -20));
        CHECK(value_of(&filter) >= 985 && value_of(&filter) <= 1015);
    }
    for (int n = 0; n < 400; n++)
        filter_take(&filter, 1000 - n);
    CHECK(value_of(&filter) >= 600 && value_of(&filter) <= 612);
    for (int n = 0; n < 60; n++)
        filter_take(&filter, -5);
    CHECK_EQUAL(value_of(&filter), -5); /* no remainder is left by rounding */
}

static void it_is_missing_after_three_failures_and_begins_anew(void)
{
    struct filter filter;
    int32_t value;
    filter_init(&filter, 2, 100);
    filter_take(&filter, 500);
    filter_miss(&filter);
    filter_miss(&filter);
    CHECK_EQUAL(value_of(&filter), 500);
    filter_take(&filter, 500);
    for (int n = 0; n < FILTER_FAILURES; n++)
        filter_miss(&filter);
    CHECK(!filter_value(&filter, &value));
    filter_take(&filter, 90);
    CHECK_EQUAL(value_of(&filter), 90);
}

int main(void)
{
    the_first_sample_is_the_value();
    a_single_wild_sample_changes_nothing();
    a_step_comes_through_with_its_second_sample();
    noise_is_smoothed_and_a_slow_drift_is_followed();
    it_is_missing_after_three_failures_and_begins_anew();
    return 0;
}
