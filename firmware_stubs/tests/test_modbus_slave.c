/* The slave answers what it serves, refuses everything else, and says nothing to what is not for it. */
#include "core/modbus_slave.h"

#include <string.h>

#include "core/identity.h"
#include "nodes/nodes.h"
#include "tests/check.h"

enum { UNIT = 7, BAUD = 9600, LATER = 1000000 };

struct line {
    struct modbus_slave slave;
    uint32_t now_us;
    uint16_t reads;
    uint8_t answer[MODBUS_FRAME];
};

static bool read_register(void *context, uint16_t address, uint16_t *word)
{
    (void) context;
    *word = (uint16_t) (address * 3 + 1);
    return address != 5; /* this one cannot be measured */
}

static void was_read(void *context, uint16_t first, uint16_t count)
{
    struct line *line = context;
    (void) first;
    line->reads = (uint16_t) (line->reads + count);
}

static void line_init(struct line *line, const struct profile *profile)
{
    *line = (struct line) {.now_us = UINT32_MAX - 3000}; /* the clock wraps during the first frames */
    const struct register_source source = {.context = line, .read_register = read_register, .was_read = was_read};
    modbus_slave_init(&line->slave, profile, source, UNIT, BAUD);
}

/* Bytes one after the other, a character apart. */
static void send(struct line *line, const uint8_t *bytes, size_t length)
{
    for (size_t n = 0; n < length; n++) {
        CHECK_EQUAL(modbus_slave_poll(&line->slave, line->now_us, line->answer), 0);
        modbus_slave_take(&line->slave, bytes[n], line->now_us);
        line->now_us += 1146;
    }
}

static size_t ask(struct line *line, const uint8_t *pdu, size_t length, uint8_t unit)
{
    uint8_t frame[MODBUS_FRAME];
    frame[0] = unit;
    memcpy(frame + 1, pdu, length);
    const uint16_t crc = modbus_crc(frame, length + 1);
    frame[length + 1] = (uint8_t) crc;
    frame[length + 2] = (uint8_t) (crc >> 8);
    send(line, frame, length + 3);
    line->now_us += LATER;
    return modbus_slave_poll(&line->slave, line->now_us, line->answer);
}

static size_t read_words(struct line *line, uint16_t first, uint16_t count, uint8_t unit)
{
    const uint8_t pdu[] = {3, (uint8_t) (first >> 8), (uint8_t) first, (uint8_t) (count >> 8), (uint8_t) count};
    return ask(line, pdu, sizeof pdu, unit);
}

static void check_refusal(const struct line *line, size_t length, uint8_t function, uint8_t why)
{
    CHECK_EQUAL(length, 5);
    CHECK_EQUAL(line->answer[1], function | 0x80);
    CHECK_EQUAL(line->answer[2], why);
    CHECK_EQUAL(modbus_crc(line->answer, 5), 0);
}

static void registers_are_read(void)
{
    struct line line;
    line_init(&line, hydrant_node.profile);
    const size_t length = read_words(&line, 1, 3, UNIT);
    const uint8_t want[] = {UNIT, 3, 6, 0, 4, 0, 7, 0, 10};
    CHECK_EQUAL(length, sizeof want + 2);
    CHECK_EQUAL(memcmp(line.answer, want, sizeof want), 0);
    CHECK_EQUAL(modbus_crc(line.answer, length), 0);
    CHECK_EQUAL(line.reads, 3);
    CHECK_EQUAL(modbus_slave_poll(&line.slave, line.now_us + LATER, line.answer), 0); /* once */
}

static void what_cannot_be_measured_is_a_failure_and_not_a_value(void)
{
    struct line line;
    line_init(&line, hydrant_node.profile);
    check_refusal(&line, read_words(&line, 4, 2, UNIT), 3, MODBUS_DEVICE_FAILURE);
    CHECK_EQUAL(line.reads, 0);
}

static void ranges_and_counts_are_checked(void)
{
    struct line line;
    line_init(&line, hydrant_node.profile);
    check_refusal(&line, read_words(&line, 0, 8, UNIT), 3, MODBUS_ILLEGAL_ADDRESS);
    check_refusal(&line, read_words(&line, 65535, 2, UNIT), 3, MODBUS_ILLEGAL_ADDRESS);
    check_refusal(&line, read_words(&line, 0, 0, UNIT), 3, MODBUS_ILLEGAL_VALUE);
    check_refusal(&line, read_words(&line, 0, 33, UNIT), 3, MODBUS_ILLEGAL_VALUE);
    line_init(&line, panel_adapter.profile);
    check_refusal(&line, read_words(&line, 30, 3, UNIT), 3, MODBUS_ILLEGAL_ADDRESS); /* points end at 31 */
    CHECK_EQUAL(read_words(&line, 242, 3, UNIT), 11);
}

static void every_other_function_is_refused_writing_above_all(void)
{
    struct line line;
    line_init(&line, hydrant_node.profile);
    for (int function = 0; function < 128; function++) {
        if (function == 3)
            continue;
        const uint8_t pdu[] = {(uint8_t) function, 0, 0, 0, 1, 2, 0, 0};
        check_refusal(&line, ask(&line, pdu, sizeof pdu, UNIT), (uint8_t) function, MODBUS_ILLEGAL_FUNCTION);
    }
    CHECK_EQUAL(line.reads, 0);
    line_init(&line, level_node.profile);
    check_refusal(&line, read_words(&line, 0, 1, UNIT), 3, MODBUS_ILLEGAL_FUNCTION); /* it is read by function 4 */
}

static size_t ask_who(struct line *line, uint8_t type, uint8_t code, uint8_t object)
{
    const uint8_t pdu[] = {IDENTITY_FUNCTION, type, code, object};
    return ask(line, pdu, sizeof pdu, UNIT);
}

static void it_says_who_it_is(void)
{
    struct line line;
    line_init(&line, hydrant_node.profile);
    const uint8_t head[] = {UNIT, 0x2B, 0x0E, 1, 0x81, 0, 0, 3, 0, 7};
    const size_t length = ask_who(&line, IDENTITY_TYPE, 1, 0);
    CHECK_EQUAL(memcmp(line.answer, head, sizeof head), 0);
    CHECK_EQUAL(memcmp(line.answer + 10, "Weizhan\1\21hydrant-municipal\2\6" NODE_REVISION, 34), 0);
    CHECK_EQUAL(length, 10 + 34 + 2);
    CHECK_EQUAL(modbus_crc(line.answer, length), 0);
    CHECK_EQUAL(ask_who(&line, IDENTITY_TYPE, 3, 2), 8 + 2 + 6 + 2); /* the rest of a stream */
    CHECK_EQUAL(line.answer[7], 1);
    CHECK_EQUAL(ask_who(&line, IDENTITY_TYPE, 1, 200), length); /* a stream from nowhere begins anew */
    CHECK_EQUAL(ask_who(&line, IDENTITY_TYPE, 4, 0), 8 + 2 + 7 + 2); /* one object alone */
    check_refusal(&line, ask_who(&line, IDENTITY_TYPE, 4, 3), 0x2B, MODBUS_ILLEGAL_ADDRESS);
    check_refusal(&line, ask_who(&line, IDENTITY_TYPE, 0, 0), 0x2B, MODBUS_ILLEGAL_VALUE);
    check_refusal(&line, ask_who(&line, IDENTITY_TYPE, 5, 0), 0x2B, MODBUS_ILLEGAL_VALUE);
    const uint8_t longer[] = {IDENTITY_FUNCTION, IDENTITY_TYPE, 1, 0, 0};
    check_refusal(&line, ask(&line, longer, sizeof longer, UNIT), 0x2B, MODBUS_ILLEGAL_VALUE);
    for (int type = 0; type < 256; type++)
        if (type != IDENTITY_TYPE)
            check_refusal(&line, ask_who(&line, (uint8_t) type, 1, 0), 0x2B, MODBUS_ILLEGAL_FUNCTION);
    CHECK_EQUAL(line.reads, 0);
}

static void the_longest_texts_fit_an_answer(void)
{
    char text[100];
    uint8_t body[MODBUS_FRAME];
    uint8_t why = 0;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const struct identity identity = {{text, text, text}};
    const size_t length = identity_answer(&identity, IDENTITY_TYPE, 1, 0, body, &why);
    CHECK_EQUAL(length, 6 + 3 * (2 + IDENTITY_TEXT));
    CHECK(length + 4 <= MODBUS_FRAME); /* unit, function and CRC */
}

static void nobody_else_is_answered(void)
{
    struct line line;
    line_init(&line, hydrant_node.profile);
    for (unsigned unit = 0; unit < 256; unit++)
        if (unit != UNIT)
            CHECK_EQUAL(read_words(&line, 0, 1, (uint8_t) unit), 0);
    CHECK_EQUAL(line.slave.counters.foreign, 255);
    CHECK(read_words(&line, 0, 1, UNIT) != 0);
}

static void damage_is_silence_and_the_next_request_is_heard(void)
{
    const uint8_t good[] = {UNIT, 3, 0, 0, 0, 1, 0x84, 0x6C};
    struct line line;
    CHECK_EQUAL(modbus_crc(good, sizeof good), 0);
    for (size_t bit = 0; bit < 8 * sizeof good; bit++) {
        uint8_t bad[sizeof good];
        memcpy(bad, good, sizeof good);
        bad[bit / 8] ^= (uint8_t) (1U << bit % 8);
        line_init(&line, hydrant_node.profile);
        send(&line, bad, sizeof bad);
        line.now_us += LATER;
        CHECK_EQUAL(modbus_slave_poll(&line.slave, line.now_us, line.answer), 0);
        CHECK(read_words(&line, 0, 1, UNIT) == 7);
    }
    for (size_t length = 1; length < sizeof good; length++) { /* cut short */
        line_init(&line, hydrant_node.profile);
        send(&line, good, length);
        line.now_us += LATER;
        CHECK_EQUAL(modbus_slave_poll(&line.slave, line.now_us, line.answer), 0);
        CHECK(read_words(&line, 0, 1, UNIT) == 7);
    }
}

static void noise_before_a_request_does_not_hide_it(void)
{
    const uint8_t noisy[] = {0x00, 0xFF, UNIT, 3, 0, 0, 0, 1, 0x84, 0x6C};
    struct line line;
    line_init(&line, hydrant_node.profile);
    send(&line, noisy, sizeof noisy);
    line.now_us += LATER;
    CHECK_EQUAL(modbus_slave_poll(&line.slave, line.now_us, line.answer), 7);
    const uint8_t who[] = {0x00, 0xFF, UNIT, 0x2B, 0x0E, 1, 0, 0xF8, 0x77};
    CHECK_EQUAL(modbus_crc(who + 2, 7), 0);
    send(&line, who, sizeof who);
    line.now_us += LATER;
    CHECK_EQUAL(modbus_slave_poll(&line.slave, line.now_us, line.answer), 46);
}

static void a_frame_ends_after_three_and_a_half_characters(void)
{
    const uint8_t good[] = {UNIT, 3, 0, 0, 0, 1, 0x84, 0x6C};
    struct line line;
    CHECK_EQUAL(modbus_gap_us(9600), 4010);
    CHECK_EQUAL(modbus_gap_us(115200), 1750);
    line_init(&line, hydrant_node.profile);
    send(&line, good, sizeof good);
    CHECK_EQUAL(modbus_slave_poll(&line.slave, line.slave.last_us + 4009, line.answer), 0);
    CHECK_EQUAL(modbus_slave_poll(&line.slave, line.slave.last_us + 4010, line.answer), 7);
}

static void a_flood_of_bytes_does_no_harm(void)
{
    struct line line;
    uint32_t seed = 2026;
    line_init(&line, hydrant_node.profile);
    for (long n = 0; n < 2000000; n++) {
        seed = seed * 1664525U + 1013904223U;
        modbus_slave_take(&line.slave, (uint8_t) (seed >> 24), line.now_us);
        line.now_us += (seed >> 8) % 5000;
        const size_t length = modbus_slave_poll(&line.slave, line.now_us, line.answer);
        if (length != 0)
            CHECK_EQUAL(modbus_crc(line.answer, length), 0);
    }
    line.now_us += LATER;
    modbus_slave_poll(&line.slave, line.now_us, line.answer);
    CHECK(read_words(&line, 0, 1, UNIT) == 7);
}

int main(void)
{
    registers_are_read();
    what_cannot_be_measured_is_a_failure_and_not_a_value();
    ranges_and_counts_are_checked();
    every_other_function_is_refused_writing_above_all();
    it_says_who_it_is();
    the_longest_texts_fit_an_answer();
    nobody_else_is_answered();
    damage_is_silence_and_the_next_request_is_heard();
    noise_before_a_request_does_not_hide_it();
    a_frame_ends_after_three_and_a_half_characters();
    a_flood_of_bytes_does_no_harm();
    return 0;
}
