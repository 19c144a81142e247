/* Watchdog: the hardware's is fed only when every part of the program has shown that it runs. */
#ifndef WEIZHAN_WATCHDOG_H
#define WEIZHAN_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

enum watchdog_part { WATCHDOG_LINE = 1, WATCHDOG_SENSORS = 2, WATCHDOG_ALL = 3 };

struct watchdog {
    uint8_t alive;
};

/* A part has done its round. */
void watchdog_report(struct watchdog *watchdog, enum watchdog_part part);

/* Whether the hardware may be fed now; every part then has to report again. */
bool watchdog_may_feed(struct watchdog *watchdog);

#endif
