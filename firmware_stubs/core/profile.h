/* What a node serves: the points of one device profile and where they stand in the registers.
 * The tables are generated from the profiles (nodes/generated). */
#ifndef WEIZHAN_PROFILE_H
#define WEIZHAN_PROFILE_H

#include <stdint.h>

enum point_type { POINT_UINT16, POINT_INT16, POINT_BIT, POINT_STATE };

struct point {
    const char *name;
    uint16_t address;
    uint8_t type;       /* enum point_type */
    uint8_t bit;        /* POINT_BIT: which one of its register */
    uint8_t is_alarm;   /* of the alarm lane: a short event must not be missed */
    uint8_t has_missing;
    uint16_t missing;   /* word that says "no value" */
    int32_t lowest;     /* raw; beyond these the sensor is believed broken */
    int32_t highest;
};

/* Registers that are served, gaps in them read as zero. */
struct span {
    uint16_t first;
    uint16_t count;
};

struct profile {
    const char *id;
    uint8_t function;   /* Modbus function that reads it: 3 or 4 */
    uint16_t max_block; /* most registers a request */
    const struct point *points;
    uint16_t point_count;
    const struct span *spans;
    uint16_t span_count;
};

#endif
