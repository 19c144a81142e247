/* A sensor node: samples its inputs on time, filters numbers, latches contacts, and holds the registers of its profile. */
#ifndef WEIZHAN_NODE_H
#define WEIZHAN_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/filter.h"
#include "core/latch.h"
#include "core/modbus_slave.h"
#include "core/profile.h"
#include "core/storage.h"

enum { NODE_POINTS = 40, NODE_NUMBER_MS = 1000, NODE_CONTACT_MS = 20, NODE_MOST_HOLD_MS = 600000 };

/* How an input is treated; one for each point of the profile, in its order. */
struct input {
    uint8_t shift;   /* numbers: smoothing, see filter.h */
    int32_t step;
    uint16_t normal; /* contacts and states */
    uint16_t urgent;
};

struct node_type {
    const struct profile *profile;
    const struct input *inputs;
};

/* The sensors. sample: raw value of a point as its register holds it; false when the sensor does not answer. */
struct sensors {
    void *context;
    bool (*sample)(void *context, uint16_t point, int32_t *raw);
};

struct node {
    const struct node_type *type;
    struct sensors sensors;
    int16_t zero;
    bool is_started;
    uint32_t numbers_ms;  /* last sampled */
    uint32_t contacts_ms;
    struct filter filters[NODE_POINTS];
    struct latch latches[NODE_POINTS];
};

void node_init(struct node *node, const struct node_type *type, struct sensors sensors, const struct config *config);

/* Sample what is due. Call it often. */
void node_tick(struct node *node, uint32_t now_ms);

/* The registers, for the slave. */
struct register_source node_registers(struct node *node);

#endif
