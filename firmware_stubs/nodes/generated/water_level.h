/* Generated from contract/profiles/water-level.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef WATER_LEVEL_H
#define WATER_LEVEL_H

#include "core/profile.h"

enum {
    WATER_LEVEL_LEVEL_M = 0,
    WATER_LEVEL_WATER_TEMPERATURE_C = 1,
    WATER_LEVEL_OVERFLOW = 2,
    WATER_LEVEL_POINTS = 3
};

static const struct point water_level_points[WATER_LEVEL_POINTS] = {
    {"level_m", 0, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 20000},
    {"water_temperature_c", 1, POINT_INT16, 0, 0, 1, 0x8000, -400, 800},
    {"overflow", 2, POINT_BIT, 0, 1, 0, 0x0000, 0, 1},
};

static const struct span water_level_spans[] = {
    {0, 3},
};

static const struct profile water_level_profile = {
    "water-level", 4, 16,
    water_level_points, WATER_LEVEL_POINTS, water_level_spans, 1,
};

#endif
