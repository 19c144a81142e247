/* A node on an Arm MPS2 board with a Cortex-M3 (AN385), without any library: UART 0 is the line, UART 1 the console.
 *
 * Application note AN385: CMSDK UARTs at 0x40004000 and 0x40005000, CMSDK watchdog at 0x40008000, 25 MHz. */
#include "core/app.h"
#include "nodes/nodes.h"

#ifndef NODE
#error "Say which node this is: -DNODE=hydrant_node"
#endif

enum {
    CLOCK_HZ = 25000000,
    TICK_US = 1000,
    WATCHDOG_S = 3,
    LEAST_GAP_US = 50000, /* an emulator's clock stands still while its host is busy */
    BUFFER = 512,
    TX_FULL = 1,
    RX_FULL = 2
};

struct uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt;
    volatile uint32_t divider;
};

struct hardware_watchdog {
    volatile uint32_t load;
    volatile uint32_t value;
    volatile uint32_t control;
    volatile uint32_t clear;
};

struct tick_timer {
    volatile uint32_t control;
    volatile uint32_t reload;
    volatile uint32_t value;
};

#define LINE ((struct uart *) 0x40004000U)
#define CONSOLE ((struct uart *) 0x40005000U)
#define WATCHDOG ((struct hardware_watchdog *) 0x40008000U)
#define WATCHDOG_LOCK (*(volatile uint32_t *) 0x40008C00U)
#define TICK ((struct tick_timer *) 0xE000E010U)
#define ENABLE_INTERRUPTS (*(volatile uint32_t *) 0xE000E100U)

/* What has arrived on a UART: filled by its interrupt, emptied by the program. */
struct queue {
    volatile uint16_t head;
    volatile uint16_t tail;
    volatile uint8_t bytes[BUFFER];
};

static struct queue line_queue, console_queue;
static volatile uint32_t ticks;

/* Outlives a reset by the watchdog: memory that nothing is loaded into (board.ld). */
extern struct {
    uint32_t mark;
    uint32_t starts;
    uint8_t slots[STORAGE_SLOTS][STORAGE_SLOT];
} kept;

extern uint32_t stack_top, data_begin, data_end, data_source, bss_begin, bss_end;

void reset(void);
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);

static void put(struct queue *queue, uint8_t byte)
{
    const uint16_t next = (uint16_t) ((queue->head + 1) % BUFFER);
    if (next == queue->tail)
        return; /* the frame will not fit its CRC, and be asked for again */
    queue->bytes[queue->head] = byte;
    queue->head = next;
}

static bool take(struct queue *queue, uint8_t *byte)
{
    if (queue->head == queue->tail)
        return false;
    *byte = queue->bytes[queue->tail];
    queue->tail = (uint16_t) ((queue->tail + 1) % BUFFER);
    return true;
}

static void on_line(void)
{
    LINE->interrupt = 2;
    while (LINE->state & RX_FULL)
        put(&line_queue, (uint8_t) LINE->data);
}

static void on_console(void)
{
    CONSOLE->interrupt = 2;
    while (CONSOLE->state & RX_FULL)
        put(&console_queue, (uint8_t) CONSOLE->data);
}

static void on_tick(void)
{
    ticks++;
}

static void stop(void)
{
    for (;;) { /* a fault: the watchdog starts the node again */
    }
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler core[15];
    handler interrupts[3];
} vectors = {
    &stack_top,
    {reset, stop, stop, stop, stop, stop, 0, 0, 0, 0, stop, stop, 0, stop, on_tick},
    {on_line, stop, on_console}, /* 0 UART 0 received, 1 UART 0 sent, 2 UART 1 received */
};

/* The compiler calls these for copies of structs, in a program without a library too. */
void *memcpy(void *to, const void *from, size_t length)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    while (length--)
        *target++ = *source++;
    return to;
}

void *memset(void *to, int value, size_t length)
{
    uint8_t *target = to;
    while (length--)
        *target++ = (uint8_t) value;
    return to;
}

static uint32_t now_ms(void *context)
{
    (void) context;
    return ticks;
}

static uint32_t now_us(void *context)
{
    uint32_t before, within;
    (void) context;
    do {
        before = ticks;
        within = (TICK->reload - TICK->value) / (CLOCK_HZ / 1000000U);
    } while (before != ticks);
    return before * TICK_US + within;
}

static bool line_read(void *context, uint8_t *byte)
{
    (void) context;
    return take(&line_queue, byte);
}

static bool console_read(void *context, uint8_t *byte)
{
    (void) context;
    return take(&console_queue, byte);
}

static void line_write(void *context, const uint8_t *bytes, size_t length)
{
    (void) context;
    while (length--) {
        while (LINE->state & TX_FULL) {
        }
        LINE->data = *bytes++;
    }
}

static void console_write(void *context, const char *text)
{
    (void) context;
    while (*text != '\0') {
        while (CONSOLE->state & TX_FULL) {
        }
        CONSOLE->data = (uint8_t) *text++;
    }
}

static void feed_watchdog(void *context)
{
    (void) context;
    WATCHDOG->clear = 1; /* reloads it */
}

static bool storage_read(void *context, unsigned slot, uint8_t *bytes, size_t length)
{
    (void) context;
    memcpy(bytes, kept.slots[slot], length);
    return true;
}

static bool storage_erase(void *context, unsigned slot)
{
    (void) context;
    memset(kept.slots[slot], 0xFF, STORAGE_SLOT);
    return true;
}

static bool storage_write(void *context, unsigned slot, const uint8_t *bytes, size_t length)
{
    (void) context;
    for (size_t n = 0; n < length; n++)
        kept.slots[slot][n] &= bytes[n]; /* as flash does: bits only fall */
    return true;
}

static void start_hardware(void)
{
    enum { UNLOCK = 0x1ACCE551, COUNT_AND_RESET = 3, RECEIVE_INTERRUPT = 8, BOTH_WAYS = 3 };
    LINE->divider = CLOCK_HZ / 115200;
    CONSOLE->divider = CLOCK_HZ / 115200;
    LINE->control = RECEIVE_INTERRUPT | BOTH_WAYS;
    CONSOLE->control = RECEIVE_INTERRUPT | BOTH_WAYS;
    ENABLE_INTERRUPTS = 1U << 0 | 1U << 2;
    TICK->reload = CLOCK_HZ / 1000 - 1;
    TICK->value = 0;
    TICK->control = 7;
    /* It interrupts when it has run down once, and resets when it has run down again. */
    WATCHDOG_LOCK = UNLOCK;
    WATCHDOG->load = (uint32_t) CLOCK_HZ * WATCHDOG_S / 2;
    WATCHDOG->control = COUNT_AND_RESET;
}

static void count_start(void)
{
    enum { MARK = 0x57A47501 };
    if (kept.mark != MARK) {
        kept.mark = MARK;
        kept.starts = 0;
        memset(kept.slots, 0xFF, sizeof kept.slots);
    }
    kept.starts++;
}

void reset(void)
{
    static struct app app;
    uint32_t *from = &data_source;
    for (uint32_t *to = &data_begin; to < &data_end;)
        *to++ = *from++;
    for (uint32_t *to = &bss_begin; to < &bss_end;)
        *to++ = 0;
    count_start();
    start_hardware();
    const struct board board = {
        .now_ms = now_ms,
        .now_us = now_us,
        .line_read = line_read,
        .line_write = line_write,
        .console_read = console_read,
        .console_write = console_write,
        .feed_watchdog = feed_watchdog,
        .storage = {.read = storage_read, .erase = storage_erase, .write = storage_write},
        .least_gap_us = LEAST_GAP_US,
        .starts = kept.starts,
    };
    app_init(&app, &NODE, &board);
    console_write(0, "ready\n");
    for (;;)
        if (!app_step(&app))
            __asm__ volatile("wfi"); /* the next byte or tick wakes it */
}
