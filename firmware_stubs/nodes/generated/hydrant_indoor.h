/* Generated from contract/profiles/hydrant-indoor.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef HYDRANT_INDOOR_H
#define HYDRANT_INDOOR_H

#include "core/profile.h"

enum {
    HYDRANT_INDOOR_PRESSURE_KPA = 0,
    HYDRANT_INDOOR_BATTERY_PCT = 1,
    HYDRANT_INDOOR_BUTTON_PRESSED = 2,
    HYDRANT_INDOOR_POINTS = 3
};

static const struct point hydrant_indoor_points[HYDRANT_INDOOR_POINTS] = {
    {"pressure_kpa", 0, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 30000},
    {"battery_pct", 4, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 100},
    {"button_pressed", 6, POINT_BIT, 0, 1, 0, 0x0000, 0, 1},
};

static const struct span hydrant_indoor_spans[] = {
    {0, 7},
};

static const struct profile hydrant_indoor_profile = {
    "hydrant-indoor", 3, 32,
    hydrant_indoor_points, HYDRANT_INDOOR_POINTS, hydrant_indoor_spans, 1,
};

#endif
