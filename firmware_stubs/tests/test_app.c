/* A whole node on a board made of memory: console, sensors, registers, watchdog, configuration. */
#include "core/app.h"

#include <string.h>

#include "nodes/nodes.h"
#include "tests/check.h"

struct bench {
    struct board board;
    struct app app;
    uint32_t now_ms;
    uint8_t slots[STORAGE_SLOTS][STORAGE_SLOT];
    const char *typed;
    char said[400];
    unsigned fed;
};

static uint32_t now_ms(void *context)
{
    return ((struct bench *) context)->now_ms;
}

static uint32_t now_us(void *context)
{
    return ((struct bench *) context)->now_ms * 1000U;
}

static bool line_read(void *context, uint8_t *byte)
{
    (void) context;
    (void) byte;
    return false;
}

static void line_write(void *context, const uint8_t *bytes, size_t length)
{
    (void) context;
    (void) bytes;
    (void) length;
}

static bool console_read(void *context, uint8_t *byte)
{
    struct bench *bench = context;
    if (*bench->typed == '\0')
        return false;
    *byte = (uint8_t) *bench->typed++;
    return true;
}

static void console_write(void *context, const char *text)
{
    struct bench *bench = context;
    CHECK(strlen(bench->said) + strlen(text) < sizeof bench->said);
    strcat(bench->said, text);
}

static void feed_watchdog(void *context)
{
    ((struct bench *) context)->fed++;
}

static bool slot_read(void *context, unsigned slot, uint8_t *bytes, size_t length)
{
    memcpy(bytes, ((struct bench *) context)->slots[slot], length);
    return true;
}

static bool slot_write(void *context, unsigned slot, const uint8_t *bytes, size_t length)
{
    memcpy(((struct bench *) context)->slots[slot], bytes, length);
    return true;
}

static bool slot_erase(void *context, unsigned slot)
{
    memset(((struct bench *) context)->slots[slot], 0xFF, STORAGE_SLOT);
    return true;
}

static void bench_init(struct bench *bench, const struct node_type *type)
{
    *bench = (struct bench) {.typed = ""};
    memset(bench->slots, 0xFF, sizeof bench->slots);
    bench->board = (struct board) {
        .context = bench, .now_ms = now_ms, .now_us = now_us, .line_read = line_read, .line_write = line_write,
        .console_read = console_read, .console_write = console_write, .feed_watchdog = feed_watchdog,
        .storage = {.context = bench, .read = slot_read, .erase = slot_erase, .write = slot_write}, .starts = 1};
    app_init(&bench->app, type, &bench->board);
}

static void run(struct bench *bench, uint32_t ms)
{
    for (uint32_t n = 0; n < ms; n += 10) {
        bench->now_ms += 10;
        app_step(&bench->app);
    }
}

static void type_line(struct bench *bench, const char *text, const char *want)
{
    bench->said[0] = '\0';
    bench->typed = text;
    while (*bench->typed != '\0')
        app_step(&bench->app);
    if (strncmp(bench->said, want, strlen(want)) != 0) {
        fprintf(stderr, "%s: got %s, want %s\n", text, bench->said, want);
        exit(1);
    }
}

static bool word_at(struct bench *bench, uint16_t address, uint16_t *word)
{
    const struct register_source registers = node_registers(&bench->app.node);
    return registers.read_register(registers.context, address, word);
}

static void check_word(struct bench *bench, uint16_t address, uint16_t want)
{
    uint16_t word = 0;
    CHECK(word_at(bench, address, &word));
    CHECK_EQUAL(word, want);
}

static void a_sensor_that_is_not_connected_is_missing_and_not_zero(void)
{
    static struct bench bench;
    bench_init(&bench, &hydrant_node);
    run(&bench, 2000);
    check_word(&bench, 0, 0xFFFF);
    check_word(&bench, 2, 0x8000);
    check_word(&bench, 6, 0);
}

static void what_the_sensors_give_stands_in_the_registers(void)
{
    static struct bench bench;
    bench_init(&bench, &hydrant_node);
    type_line(&bench, "set pressure_kpa 1523\nset water_temperature_c -10\nset impact 1\n", "ok\nok\nok\n");
    run(&bench, 1500);
    check_word(&bench, 0, 1523);
    check_word(&bench, 2, 0xFFF6);
    check_word(&bench, 6, 2);
    type_line(&bench, "fail pressure_kpa\n", "ok\n");
    run(&bench, 5000);
    check_word(&bench, 0, 0xFFFF);
    type_line(&bench, "set pressure_kpa 30000\n", "ok\n"); /* beyond what the sensor can give */
    run(&bench, 5000);
    check_word(&bench, 0, 0xFFFF);
}

static void a_contact_that_cannot_be_read_is_no_answer(void)
{
    static struct bench bench;
    uint16_t word;
    bench_init(&bench, &bay_node);
    run(&bench, 100);
    check_word(&bench, 2, 1);
    type_line(&bench, "fail present\n", "ok\n");
    run(&bench, 100);
    CHECK(!word_at(&bench, 2, &word));
}

static void mistakes_on_the_console_change_nothing(void)
{
    static struct bench bench;
    bench_init(&bench, &hydrant_node);
    type_line(&bench, "set pressure 1\n", "error");
    type_line(&bench, "set pressure_kpa\n", "error");
    type_line(&bench, "set pressure_kpa 12x\n", "error");
    type_line(&bench, "unit 0\n", "error");
    type_line(&bench, "unit 300\n", "error");
    type_line(&bench, "baud -1\n", "error");
    type_line(&bench, "write 0 1\n", "error");
    type_line(&bench, "set pressure_kpa 99999999999999999999999999999999999999999999999999999999999999999999999999\n",
              "error");
    type_line(&bench, "\n", "");
    CHECK_EQUAL(bench.app.works[0], 0);
}

static void a_configuration_is_in_force_at_the_next_start(void)
{
    static struct bench bench;
    bench_init(&bench, &hydrant_node);
    type_line(&bench, "unit 9\nbaud 19200\nzero -15\nhold 1000\n", "ok\nok\nok\nok\n");
    CHECK_EQUAL(bench.app.slave.unit, 1);
    app_init(&bench.app, &hydrant_node, &bench.board);
    CHECK_EQUAL(bench.app.slave.unit, 9);
    type_line(&bench, "set pressure_kpa 1523\n", "ok\n");
    run(&bench, 1500);
    check_word(&bench, 0, 1508);
    type_line(&bench, "set pressure_kpa 5\n", "ok\n");
    run(&bench, 5000);
    check_word(&bench, 0, 0); /* an empty main is zero, not a broken sensor */
    type_line(&bench, "info\n", "ok hydrant-municipal unit 9 starts 1");
}

static void the_watchdog_is_fed_only_while_everything_runs(void)
{
    static struct bench bench;
    bench_init(&bench, &hydrant_node);
    run(&bench, 1000);
    CHECK(bench.fed > 0);
    type_line(&bench, "hang\n", "ok\n");
    run(&bench, 100);
    const unsigned fed = bench.fed;
    run(&bench, 10000);
    CHECK_EQUAL(bench.fed, fed);
}

int main(void)
{
    a_sensor_that_is_not_connected_is_missing_and_not_zero();
    what_the_sensors_give_stands_in_the_registers();
    a_contact_that_cannot_be_read_is_no_answer();
    mistakes_on_the_console_change_nothing();
    a_configuration_is_in_force_at_the_next_start();
    the_watchdog_is_fed_only_while_everything_runs();
    return 0;
}
