/* A short event is still there when it is read, and gone when it was read and is over. */
#include "core/latch.h"
#include "tests/check.h"

enum { HOLD = 25000, MOST = 600000, NORMAL = 0, FIRE = 1, FAULT = 2 };

static struct latch made(void)
{
    struct latch latch;
    latch_init(&latch, NORMAL, FIRE, HOLD, MOST);
    latch_take(&latch, NORMAL, 0);
    return latch;
}

static void a_blink_is_held_until_it_was_read_twice_and_long_enough(void)
{
    struct latch latch = made();
    latch_take(&latch, FAULT, 1000);
    latch_take(&latch, NORMAL, 1020);
    CHECK_EQUAL(latch.shown, FAULT);
    latch_take(&latch, NORMAL, 1000 + HOLD + 1);
    CHECK_EQUAL(latch.shown, FAULT); /* nobody read it */
    latch_read(&latch);
    latch_take(&latch, NORMAL, 1000 + HOLD + 2);
    CHECK_EQUAL(latch.shown, FAULT); /* the one answer may have been lost */
    latch_read(&latch);
    latch_take(&latch, NORMAL, 1000 + HOLD + 3);
    CHECK_EQUAL(latch.shown, NORMAL);
}

static void reads_before_the_hold_is_over_do_not_end_it(void)
{
    struct latch latch = made();
    latch_take(&latch, FAULT, 1000);
    for (int n = 0; n < 10; n++)
        latch_read(&latch);
    latch_take(&latch, NORMAL, 1000 + HOLD - 1);
    CHECK_EQUAL(latch.shown, FAULT);
    latch_take(&latch, NORMAL, 1000 + HOLD);
    CHECK_EQUAL(latch.shown, NORMAL);
}

static void reads_of_the_normal_state_do_not_count_for_the_event(void)
{
    struct latch latch = made();
    latch_read(&latch);
    latch_read(&latch);
    latch_take(&latch, FAULT, 1000);
    latch_take(&latch, NORMAL, 1000 + HOLD + 1);
    CHECK_EQUAL(latch.shown, FAULT);
}

static void nobody_finds_it_when_the_master_was_away_too_long(void)
{
    struct latch latch = made();
    latch_take(&latch, FAULT, 1000);
    latch_take(&latch, NORMAL, 1000 + MOST);
    CHECK_EQUAL(latch.shown, NORMAL);
}

static void an_event_that_lasts_is_shown_as_long_as_it_lasts(void)
{
    struct latch latch = made();
    for (uint32_t at = 1000; at < 1000 + 3 * MOST; at += 1000) {
        latch_take(&latch, FAULT, at);
        latch_read(&latch);
        CHECK_EQUAL(latch.shown, FAULT);
    }
}

static void a_fire_waits_for_nothing(void)
{
    struct latch latch = made();
    latch_take(&latch, FAULT, 1000);
    latch_take(&latch, FIRE, 1020);
    CHECK_EQUAL(latch.shown, FIRE);
    latch_take(&latch, FAULT, 1040);
    CHECK_EQUAL(latch.shown, FIRE);
}

static void the_clock_may_wrap(void)
{
    struct latch latch;
    latch_init(&latch, NORMAL, NORMAL, HOLD, MOST);
    latch_take(&latch, FAULT, UINT32_MAX - 100);
    latch_read(&latch);
    latch_read(&latch);
    latch_take(&latch, NORMAL, 200);
    CHECK_EQUAL(latch.shown, FAULT);
    latch_take(&latch, NORMAL, HOLD);
    CHECK_EQUAL(latch.shown, NORMAL);
}

int main(void)
{
    a_blink_is_held_until_it_was_read_twice_and_long_enough();
    reads_before_the_hold_is_over_do_not_end_it();
    reads_of_the_normal_state_do_not_count_for_the_event();
    nobody_finds_it_when_the_master_was_away_too_long();
    an_event_that_lasts_is_shown_as_long_as_it_lasts();
    a_fire_waits_for_nothing();
    the_clock_may_wrap();
    return 0;
}
