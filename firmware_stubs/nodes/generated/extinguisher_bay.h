/* Generated from contract/profiles/extinguisher-bay.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef EXTINGUISHER_BAY_H
#define EXTINGUISHER_BAY_H

#include "core/profile.h"

enum {
    EXTINGUISHER_BAY_PRESSURE_KPA = 0,
    EXTINGUISHER_BAY_TEMPERATURE_C = 1,
    EXTINGUISHER_BAY_PRESENT = 2,
    EXTINGUISHER_BAY_TILTED = 3,
    EXTINGUISHER_BAY_POINTS = 4
};

static const struct point extinguisher_bay_points[EXTINGUISHER_BAY_POINTS] = {
    {"pressure_kpa", 0, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 3000},
    {"temperature_c", 1, POINT_INT16, 0, 0, 1, 0x8000, -400, 850},
    {"present", 2, POINT_BIT, 0, 1, 0, 0x0000, 0, 1},
    {"tilted", 2, POINT_BIT, 1, 1, 0, 0x0000, 0, 1},
};

static const struct span extinguisher_bay_spans[] = {
    {0, 3},
};

static const struct profile extinguisher_bay_profile = {
    "extinguisher-bay", 3, 16,
    extinguisher_bay_points, EXTINGUISHER_BAY_POINTS, extinguisher_bay_spans, 1,
};

#endif
