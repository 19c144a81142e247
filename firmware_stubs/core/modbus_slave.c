#include "core/modbus_slave.h"

#include "core/identity.h"

enum { REQUEST = 8, LEAST_GAP_US = 1750, EXCEPTION = 0x80 };

uint16_t modbus_crc(const uint8_t *data, size_t length)
{
    uint16_t crc = 0xFFFF;
    for (size_t n = 0; n < length; n++) {
        crc = (uint16_t) (crc ^ data[n]);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t) ((crc & 1) ? (crc >> 1) ^ 0xA001 : crc >> 1);
    }
    return crc;
}

uint32_t modbus_gap_us(uint32_t baud)
{
    const uint32_t gap_us = baud ? 38500000U / baud : 0; /* 3.5 characters of 11 bits */
    return gap_us < LEAST_GAP_US ? LEAST_GAP_US : gap_us;
}

void modbus_slave_init(struct modbus_slave *slave, const struct profile *profile, struct register_source source,
                       uint8_t unit, uint32_t baud)
{
    *slave = (struct modbus_slave) {
        .profile = profile, .source = source, .unit = unit, .gap_us = modbus_gap_us(baud)};
}

void modbus_slave_take(struct modbus_slave *slave, uint8_t byte, uint32_t now_us)
{
    slave->last_us = now_us;
    if (slave->length < MODBUS_FRAME)
        slave->frame[slave->length++] = byte;
    else
        slave->is_too_long = true;
}

static uint16_t word_at(const uint8_t *bytes)
{
    return (uint16_t) (bytes[0] << 8 | bytes[1]);
}

static bool is_served(const struct profile *profile, uint16_t first, uint16_t count)
{
    for (uint16_t n = 0; n < profile->span_count; n++) {
        const struct span *span = &profile->spans[n];
        if (first >= span->first && (uint32_t) first + count <= (uint32_t) span->first + span->count)
            return true;
    }
    return false;
}

static size_t refuse(struct modbus_slave *slave, uint8_t function, uint8_t why, uint8_t *answer)
{
    slave->counters.refused++;
    answer[1] = (uint8_t) (function | EXCEPTION);
    answer[2] = why;
    return 3;
}

static size_t tell_who(struct modbus_slave *slave, const uint8_t *frame, size_t length, uint8_t *answer)
{
    const struct identity identity = {{NODE_VENDOR, slave->profile->id, NODE_REVISION}};
    uint8_t why = MODBUS_ILLEGAL_VALUE;
    if (frame[2] == IDENTITY_TYPE && length != IDENTITY_REQUEST)
        return refuse(slave, IDENTITY_FUNCTION, why, answer);
    const size_t told = identity_answer(&identity, frame[2], frame[3], frame[4], answer + 2, &why);
    if (told == 0)
        return refuse(slave, IDENTITY_FUNCTION, why, answer);
    slave->counters.answered++;
    answer[1] = IDENTITY_FUNCTION;
    return 2 + told;
}

static size_t serve(struct modbus_slave *slave, const uint8_t *frame, size_t length, uint8_t *answer)
{
    const uint8_t function = frame[1];
    if (function == IDENTITY_FUNCTION)
        return tell_who(slave, frame, length, answer);
    if (function != slave->profile->function)
        return refuse(slave, function, MODBUS_ILLEGAL_FUNCTION, answer);
    if (length != REQUEST)
        return refuse(slave, function, MODBUS_ILLEGAL_VALUE, answer);
    const uint16_t first = word_at(frame + 2);
    const uint16_t count = word_at(frame + 4);
    if (count < 1 || count > slave->profile->max_block)
        return refuse(slave, function, MODBUS_ILLEGAL_VALUE, answer);
    if (!is_served(slave->profile, first, count))
        return refuse(slave, function, MODBUS_ILLEGAL_ADDRESS, answer);
    for (uint16_t n = 0; n < count; n++) {
        uint16_t word = 0;
        if (!slave->source.read_register(slave->source.context, (uint16_t) (first + n), &word))
            return refuse(slave, function, MODBUS_DEVICE_FAILURE, answer);
        answer[3 + 2 * n] = (uint8_t) (word >> 8);
        answer[4 + 2 * n] = (uint8_t) word;
    }
    slave->source.was_read(slave->source.context, first, count);
    slave->counters.answered++;
    answer[1] = function;
    answer[2] = (uint8_t) (2 * count);
    return (size_t) 3 + 2 * (size_t) count;
}

static bool ends_with(const struct modbus_slave *slave, uint8_t function, size_t request)
{
    if (slave->length <= request)
        return false;
    const uint8_t *tail = slave->frame + (slave->length - request);
    return tail[0] == slave->unit && tail[1] == function && modbus_crc(tail, request) == 0;
}

/* Where the request begins: noise of a line driver that switches on may stand before it. SIZE_MAX: nowhere. */
static size_t find_frame(const struct modbus_slave *slave)
{
    if (slave->length >= 4 && modbus_crc(slave->frame, slave->length) == 0)
        return 0;
    if (ends_with(slave, slave->profile->function, REQUEST))
        return slave->length - REQUEST;
    if (ends_with(slave, IDENTITY_FUNCTION, IDENTITY_REQUEST))
        return slave->length - IDENTITY_REQUEST;
    return SIZE_MAX;
}

size_t modbus_slave_poll(struct modbus_slave *slave, uint32_t now_us, uint8_t *answer)
{
    if (slave->length == 0 || now_us - slave->last_us < slave->gap_us)
        return 0;
    const size_t start = slave->is_too_long ? SIZE_MAX : find_frame(slave);
    const uint8_t *frame = slave->frame + (start == SIZE_MAX ? 0 : start);
    size_t length = 0;
    if (start == SIZE_MAX) {
        slave->counters.damaged++;
    } else if (frame[0] != slave->unit) {
        slave->counters.foreign++;
    } else {
        length = serve(slave, frame, slave->length - start, answer);
        answer[0] = slave->unit;
        const uint16_t crc = modbus_crc(answer, length);
        answer[length] = (uint8_t) crc;
        answer[length + 1] = (uint8_t) (crc >> 8);
        length += 2;
    }
    slave->length = 0;
    slave->is_too_long = false;
    return length;
}
