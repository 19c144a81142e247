#include "core/storage.h"

#include "core/modbus_slave.h"

enum { MAGIC = 0x57, LAYOUT = 1, BODY = 18 };

/* 0 magic  1 layout  2..5 number  6 unit  7..10 baud  11..14 hold_ms  15..16 zero  17 reserved  18..19 CRC */

static void put32(uint8_t *bytes, uint32_t value)
{
    for (int n = 0; n < 4; n++)
        bytes[n] = (uint8_t) (value >> (8 * n));
}

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t) bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[3] << 24;
}

struct config config_default(void)
{
    return (struct config) {.unit = 1, .baud = 9600, .hold_ms = 25000, .zero = 0};
}

bool config_is_valid(const struct config *config)
{
    return config->unit >= 1 && config->unit <= 247 && config->baud >= 1200 && config->baud <= 115200 &&
           config->hold_ms <= 600000;
}

static bool load_slot(const struct storage_port *port, unsigned slot, struct config *config, uint32_t *number)
{
    uint8_t bytes[BODY + 2];
    if (!port->read(port->context, slot, bytes, sizeof bytes))
        return false;
    if (bytes[0] != MAGIC || bytes[1] != LAYOUT || modbus_crc(bytes, sizeof bytes) != 0)
        return false;
    *number = get32(bytes + 2);
    config->unit = bytes[6];
    config->baud = get32(bytes + 7);
    config->hold_ms = get32(bytes + 11);
    config->zero = (int16_t) (uint16_t) (bytes[15] | bytes[16] << 8);
    return config_is_valid(config);
}

/* Slot of the newest whole configuration, STORAGE_SLOTS when there is none. */
static unsigned newest(const struct storage_port *port, struct config *config, uint32_t *number)
{
    unsigned found = STORAGE_SLOTS;
    for (unsigned slot = 0; slot < STORAGE_SLOTS; slot++) {
        struct config one;
        uint32_t its_number = 0;
        if (!load_slot(port, slot, &one, &its_number))
            continue;
        if (found == STORAGE_SLOTS || (int32_t) (its_number - *number) > 0) { /* numbers may wrap */
            found = slot;
            *config = one;
            *number = its_number;
        }
    }
    return found;
}

bool storage_load(const struct storage_port *port, struct config *config)
{
    uint32_t number = 0;
    *config = config_default();
    return newest(port, config, &number) < STORAGE_SLOTS;
}

bool storage_save(const struct storage_port *port, const struct config *config)
{
    struct config old;
    uint32_t number = 0;
    if (!config_is_valid(config))
        return false;
    const unsigned held = newest(port, &old, &number);
    const unsigned slot = held == 0 ? 1 : 0;
    uint8_t bytes[BODY + 2] = {MAGIC, LAYOUT};
    put32(bytes + 2, number + 1);
    bytes[6] = config->unit;
    put32(bytes + 7, config->baud);
    put32(bytes + 11, config->hold_ms);
    bytes[15] = (uint8_t) config->zero;
    bytes[16] = (uint8_t) ((uint16_t) config->zero >> 8);
    const uint16_t crc = modbus_crc(bytes, BODY);
    bytes[BODY] = (uint8_t) crc;
    bytes[BODY + 1] = (uint8_t) (crc >> 8);
    if (!port->erase(port->context, slot) || !port->write(port->context, slot, bytes, sizeof bytes))
        return false;
    struct config written;
    uint32_t its_number = 0;
    return load_slot(port, slot, &written, &its_number) && its_number == number + 1;
}
