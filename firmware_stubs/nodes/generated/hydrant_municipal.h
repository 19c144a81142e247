/* Generated from contract/profiles/hydrant-municipal.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef HYDRANT_MUNICIPAL_H
#define HYDRANT_MUNICIPAL_H

#include "core/profile.h"

enum {
    HYDRANT_MUNICIPAL_PRESSURE_KPA = 0,
    HYDRANT_MUNICIPAL_FLOW_LPS = 1,
    HYDRANT_MUNICIPAL_WATER_TEMPERATURE_C = 2,
    HYDRANT_MUNICIPAL_TILT_DEG = 3,
    HYDRANT_MUNICIPAL_BATTERY_PCT = 4,
    HYDRANT_MUNICIPAL_SIGNAL_DBM = 5,
    HYDRANT_MUNICIPAL_CAP_OPEN = 6,
    HYDRANT_MUNICIPAL_IMPACT = 7,
    HYDRANT_MUNICIPAL_POINTS = 8
};

static const struct point hydrant_municipal_points[HYDRANT_MUNICIPAL_POINTS] = {
    {"pressure_kpa", 0, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 25000},
    {"flow_lps", 1, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 10000},
    {"water_temperature_c", 2, POINT_INT16, 0, 0, 1, 0x8000, -400, 800},
    {"tilt_deg", 3, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 1800},
    {"battery_pct", 4, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 100},
    {"signal_dbm", 5, POINT_INT16, 0, 0, 1, 0x7FFF, -150, 0},
    {"cap_open", 6, POINT_BIT, 0, 1, 0, 0x0000, 0, 1},
    {"impact", 6, POINT_BIT, 1, 1, 0, 0x0000, 0, 1},
};

static const struct span hydrant_municipal_spans[] = {
    {0, 7},
};

static const struct profile hydrant_municipal_profile = {
    "hydrant-municipal", 3, 32,
    hydrant_municipal_points, HYDRANT_MUNICIPAL_POINTS, hydrant_municipal_spans, 1,
};

#endif
