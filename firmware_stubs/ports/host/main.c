/* A node as a process: the line is a serial device, the console standard input and output, storage a file.
 *
 *   node TYPE DEVICE STORAGE      prints "ready" once it serves */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/app.h"
#include "nodes/nodes.h"

enum { WATCHDOG_S = 3, LEAST_GAP_US = 50000, WAIT_MS = 5, NOBODY_LISTENS = 10 };

struct host {
    int line;
    int storage;
    bool at_end; /* of the console: whoever started this is gone */
};

static uint64_t us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

static uint32_t now_us(void *context)
{
    (void) context;
    return (uint32_t) us();
}

static uint32_t now_ms(void *context)
{
    (void) context;
    return (uint32_t) (us() / 1000U);
}

static bool line_read(void *context, uint8_t *byte)
{
    const struct host *host = context;
    return read(host->line, byte, 1) == 1;
}

static void line_write(void *context, const uint8_t *bytes, size_t length)
{
    const struct host *host = context;
    for (int tries = 0; length > 0 && tries < NOBODY_LISTENS; tries++) {
        const ssize_t done = write(host->line, bytes, length);
        if (done > 0) {
            bytes += done;
            length -= (size_t) done;
        } else {
            struct pollfd free_again = {.fd = host->line, .events = POLLOUT};
            poll(&free_again, 1, WAIT_MS);
        }
    }
}

static bool console_read(void *context, uint8_t *byte)
{
    struct host *host = context;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&input, 1, 0) <= 0)
        return false;
    if (read(STDIN_FILENO, byte, 1) == 1)
        return true;
    host->at_end = true;
    return false;
}

static void console_write(void *context, const char *text)
{
    (void) context;
    fputs(text, stdout);
    fflush(stdout);
}

static void feed_watchdog(void *context)
{
    (void) context;
    alarm(WATCHDOG_S); /* the process dies when nobody feeds it, and whoever keeps it starts it again */
}

static bool storage_read(void *context, unsigned slot, uint8_t *bytes, size_t length)
{
    const struct host *host = context;
    return pread(host->storage, bytes, length, (off_t) slot * STORAGE_SLOT) == (ssize_t) length;
}

static bool storage_write(void *context, unsigned slot, const uint8_t *bytes, size_t length)
{
    const struct host *host = context;
    return pwrite(host->storage, bytes, length, (off_t) slot * STORAGE_SLOT) == (ssize_t) length &&
           fsync(host->storage) == 0;
}

static bool storage_erase(void *context, unsigned slot)
{
    uint8_t empty[STORAGE_SLOT];
    memset(empty, 0xFF, sizeof empty);
    return storage_write(context, slot, empty, sizeof empty);
}

static bool open_line(struct host *host, const char *path)
{
    struct termios raw;
    host->line = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (host->line < 0 || tcgetattr(host->line, &raw) != 0)
        return false;
    cfmakeraw(&raw);
    return tcsetattr(host->line, TCSANOW, &raw) == 0;
}

int main(int argc, char **argv)
{
    static const struct node_type *const types[] = {
        &hydrant_node, &indoor_node, &level_node, &bay_node, &rack_node, &valve_node, &panel_adapter};
    static struct app app;
    const struct node_type *type = NULL;
    struct host host = {.line = -1, .storage = -1};
    for (size_t n = 0; argc == 4 && n < sizeof types / sizeof *types; n++)
        if (strcmp(types[n]->profile->id, argv[1]) == 0)
            type = types[n];
    if (type == NULL) {
        fprintf(stderr, "usage: node PROFILE DEVICE STORAGE\n");
        return 2;
    }
    host.storage = open(argv[3], O_RDWR | O_CREAT, 0600);
    if (host.storage < 0 || !open_line(&host, argv[2])) {
        fprintf(stderr, "node: %s or %s: %s\n", argv[2], argv[3], strerror(errno));
        return 1;
    }
    const struct board board = {
        .context = &host,
        .now_ms = now_ms,
        .now_us = now_us,
        .line_read = line_read,
        .line_write = line_write,
        .console_read = console_read,
        .console_write = console_write,
        .feed_watchdog = feed_watchdog,
        .storage = {.context = &host, .read = storage_read, .erase = storage_erase, .write = storage_write},
        .least_gap_us = LEAST_GAP_US,
        .starts = 1,
    };
    app_init(&app, type, &board);
    console_write(&host, "ready\n");
    while (!host.at_end) {
        if (app_step(&app))
            continue;
        struct pollfd inputs[] = {{.fd = host.line, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
        poll(inputs, 2, WAIT_MS);
        if (inputs[0].revents & (POLLHUP | POLLERR))
            usleep(WAIT_MS * 1000); /* nobody has the other end open */
    }
    return 0;
}
