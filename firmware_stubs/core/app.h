/* The program of a node, the same on every board: line, sensors, watchdog, configuration, and a console for the bench.
 *
 * The console is a second serial port that only the person who commissions the node reaches. One command a line:
 *
 *   set POINT RAW     what the sensor of a point gives from now on     (the sensors of these stubs live here)
 *   fail POINT        its sensor does not answer any more
 *   unit N | baud N | hold MS | zero RAW     store a new configuration; it is in force at the next start
 *   hang              the sensor part stops: the watchdog has to find out
 *   info              profile, unit, starts, counters
 *
 * Answered with "ok ..." or "error ...". */
#ifndef WEIZHAN_APP_H
#define WEIZHAN_APP_H

#include "core/node.h"
#include "core/watchdog.h"

enum { CONSOLE_LINE = 80 };

/* The board. read functions give false when there is no byte. */
struct board {
    void *context;
    uint32_t (*now_ms)(void *context);
    uint32_t (*now_us)(void *context);
    bool (*line_read)(void *context, uint8_t *byte);
    void (*line_write)(void *context, const uint8_t *bytes, size_t length);
    bool (*console_read)(void *context, uint8_t *byte);
    void (*console_write)(void *context, const char *text);
    void (*feed_watchdog)(void *context);
    struct storage_port storage;
    uint32_t least_gap_us; /* where the clock cannot tell 3.5 characters apart (an emulator, a process) */
    uint32_t starts;       /* since power on */
};

struct app {
    const struct board *board;
    struct config config;
    struct node node;
    struct modbus_slave slave;
    struct watchdog watchdog;
    bool hangs;
    int32_t raw[NODE_POINTS];
    bool works[NODE_POINTS];
    char line[CONSOLE_LINE];
    size_t line_length;
};

void app_init(struct app *app, const struct node_type *type, const struct board *board);

/* One round of everything. Returns whether there was something to do. */
bool app_step(struct app *app);

#endif
