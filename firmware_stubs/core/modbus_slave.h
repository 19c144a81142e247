/* Modbus RTU slave, reading only: bytes and time in, answers out. No I/O.
 *
 * Serves one function (3 or 4) over the registers of a profile, and says who it is (core/identity.h). Whatever else is
 * asked, writing above all, is answered with exception 1. Frames of other units, damaged ones and broadcasts are not answered.
 * Modbus over serial line, V1.02: a frame ends with a silence of 3.5 characters. */
#ifndef WEIZHAN_MODBUS_SLAVE_H
#define WEIZHAN_MODBUS_SLAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/profile.h"

enum {
    MODBUS_FRAME = 256,
    MODBUS_ILLEGAL_FUNCTION = 1,
    MODBUS_ILLEGAL_ADDRESS = 2,
    MODBUS_ILLEGAL_VALUE = 3,
    MODBUS_DEVICE_FAILURE = 4
};

/* What the registers hold. read_register: false when what stands there cannot be measured and has no word for that. */
struct register_source {
    void *context;
    bool (*read_register)(void *context, uint16_t address, uint16_t *word);
    void (*was_read)(void *context, uint16_t first, uint16_t count);
};

struct modbus_counters {
    uint32_t answered;
    uint32_t refused;  /* answered with an exception */
    uint32_t foreign;  /* for other units, and broadcasts */
    uint32_t damaged;
};

struct modbus_slave {
    const struct profile *profile;
    struct register_source source;
    uint8_t unit;
    uint32_t gap_us;
    uint8_t frame[MODBUS_FRAME];
    size_t length;
    bool is_too_long;
    uint32_t last_us;
    struct modbus_counters counters;
};

/* unit: 1 to 247. baud: for the silence that ends a frame; 8 data bits, 11 bits a character. */
void modbus_slave_init(struct modbus_slave *slave, const struct profile *profile, struct register_source source,
                       uint8_t unit, uint32_t baud);

/* A byte arrived at that time (wraps). */
void modbus_slave_take(struct modbus_slave *slave, uint8_t byte, uint32_t now_us);

/* What is to be sent now, into answer[MODBUS_FRAME]; its length, 0 for nothing. Call it often. */
size_t modbus_slave_poll(struct modbus_slave *slave, uint32_t now_us, uint8_t *answer);

/* 3.5 characters, at least 1,750 us. */
uint32_t modbus_gap_us(uint32_t baud);

/* CRC-16, polynomial 0xA001, start 0xFFFF; 0 over a frame with its own CRC. */
uint16_t modbus_crc(const uint8_t *data, size_t length);

#endif
