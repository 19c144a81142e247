/* Configuration that survives a loss of power at any instant: two slots, written in turn, each with number and CRC. */
#ifndef WEIZHAN_STORAGE_H
#define WEIZHAN_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORAGE_SLOTS = 2, STORAGE_SLOT = 32 };

/* The memory. erase sets a slot to 0xFF; write may only follow an erase. All give false on failure. */
struct storage_port {
    void *context;
    bool (*read)(void *context, unsigned slot, uint8_t *bytes, size_t length);
    bool (*erase)(void *context, unsigned slot);
    bool (*write)(void *context, unsigned slot, const uint8_t *bytes, size_t length);
};

struct config {
    uint8_t unit;       /* Modbus address, 1 to 247 */
    uint32_t baud;      /* 1200 to 115200 */
    uint32_t hold_ms;   /* events are held at least so long; longer than two polls */
    int16_t zero;       /* added to the first number: zero point of a pressure sensor, raw */
};

struct config config_default(void);

/* What may be stored. */
bool config_is_valid(const struct config *config);

/* The newest whole configuration; false (and the default) when there is none. */
bool storage_load(const struct storage_port *port, struct config *config);

/* Write it into the slot that does not hold the newest; what was stays whole until this one is. */
bool storage_save(const struct storage_port *port, const struct config *config);

#endif
