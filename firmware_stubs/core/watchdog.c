#include "core/watchdog.h"

void watchdog_report(struct watchdog *watchdog, enum watchdog_part part)
{
    watchdog->alive = (uint8_t) (watchdog->alive | part);
}

bool watchdog_may_feed(struct watchdog *watchdog)
{
    if (watchdog->alive != WATCHDOG_ALL)
        return false;
    watchdog->alive = 0;
    return true;
}
