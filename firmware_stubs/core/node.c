#include "core/node.h"

static bool is_number(const struct point *point)
{
    return point->type == POINT_UINT16 || point->type == POINT_INT16;
}

void node_init(struct node *node, const struct node_type *type, struct sensors sensors, const struct config *config)
{
    *node = (struct node) {.type = type, .sensors = sensors, .zero = config->zero};
    for (uint16_t n = 0; n < type->profile->point_count; n++) {
        const struct input *input = &type->inputs[n];
        filter_init(&node->filters[n], input->shift, input->step);
        latch_init(&node->latches[n], input->normal, input->urgent, config->hold_ms, NODE_MOST_HOLD_MS);
    }
}

static void sample_number(struct node *node, uint16_t n)
{
    const struct point *point = &node->type->profile->points[n];
    int32_t raw = 0;
    bool is_good = node->sensors.sample(node->sensors.context, n, &raw);
    if (is_good && n == 0)
        raw += node->zero;
    /* The zero point may carry a dry sensor just below nothing: that is nothing, not a broken sensor. */
    if (is_good && n == 0 && raw < point->lowest && raw - node->zero >= point->lowest)
        raw = point->lowest;
    if (is_good && raw >= point->lowest && raw <= point->highest)
        filter_take(&node->filters[n], raw);
    else
        filter_miss(&node->filters[n]);
}

static void sample_contact(struct node *node, uint16_t n, uint32_t now_ms)
{
    const struct point *point = &node->type->profile->points[n];
    int32_t raw = 0;
    if (node->sensors.sample(node->sensors.context, n, &raw) && raw >= point->lowest && raw <= point->highest)
        latch_take(&node->latches[n], (uint16_t) raw, now_ms);
    else
        latch_miss(&node->latches[n]);
}

void node_tick(struct node *node, uint32_t now_ms)
{
    const bool numbers = !node->is_started || now_ms - node->numbers_ms >= NODE_NUMBER_MS;
    const bool contacts = !node->is_started || now_ms - node->contacts_ms >= NODE_CONTACT_MS;
    node->is_started = true;
    if (numbers)
        node->numbers_ms = now_ms;
    if (contacts)
        node->contacts_ms = now_ms;
    for (uint16_t n = 0; n < node->type->profile->point_count; n++) {
        if (is_number(&node->type->profile->points[n])) {
            if (numbers)
                sample_number(node, n);
        } else if (contacts) {
            sample_contact(node, n, now_ms);
        }
    }
}

static bool read_register(void *context, uint16_t address, uint16_t *word)
{
    const struct node *node = context;
    const struct profile *profile = node->type->profile;
    *word = 0;
    for (uint16_t n = 0; n < profile->point_count; n++) {
        const struct point *point = &profile->points[n];
        if (point->address != address)
            continue;
        if (is_number(point)) {
            int32_t value = 0;
            if (filter_value(&node->filters[n], &value))
                *word = (uint16_t) value;
            else if (point->has_missing)
                *word = point->missing;
            else
                return false;
        } else if (!node->latches[n].is_known) {
            return false;
        } else {
            *word = (uint16_t) (*word | node->latches[n].shown << point->bit);
        }
    }
    return true;
}

static void was_read(void *context, uint16_t first, uint16_t count)
{
    struct node *node = context;
    const struct profile *profile = node->type->profile;
    for (uint16_t n = 0; n < profile->point_count; n++) {
        const uint16_t address = profile->points[n].address;
        if (address >= first && address - first < count)
            latch_read(&node->latches[n]);
    }
}

struct register_source node_registers(struct node *node)
{
    return (struct register_source) {.context = node, .read_register = read_register, .was_read = was_read};
}
