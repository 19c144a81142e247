/* Generated from contract/profiles/breathing-apparatus-rack.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef BREATHING_APPARATUS_RACK_H
#define BREATHING_APPARATUS_RACK_H

#include "core/profile.h"

enum {
    BREATHING_APPARATUS_RACK_CYLINDER_1_PRESSURE_KPA = 0,
    BREATHING_APPARATUS_RACK_CYLINDER_2_PRESSURE_KPA = 1,
    BREATHING_APPARATUS_RACK_CYLINDER_3_PRESSURE_KPA = 2,
    BREATHING_APPARATUS_RACK_CYLINDER_4_PRESSURE_KPA = 3,
    BREATHING_APPARATUS_RACK_SET_1_PRESENT = 4,
    BREATHING_APPARATUS_RACK_SET_2_PRESENT = 5,
    BREATHING_APPARATUS_RACK_SET_3_PRESENT = 6,
    BREATHING_APPARATUS_RACK_SET_4_PRESENT = 7,
    BREATHING_APPARATUS_RACK_POINTS = 8
};

static const struct point breathing_apparatus_rack_points[BREATHING_APPARATUS_RACK_POINTS] = {
    {"cylinder_1_pressure_kpa", 0, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 4500},
    {"cylinder_2_pressure_kpa", 1, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 4500},
    {"cylinder_3_pressure_kpa", 2, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 4500},
    {"cylinder_4_pressure_kpa", 3, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 4500},
    {"set_1_present", 4, POINT_BIT, 0, 1, 0, 0x0000, 0, 1},
    {"set_2_present", 4, POINT_BIT, 1, 1, 0, 0x0000, 0, 1},
    {"set_3_present", 4, POINT_BIT, 2, 1, 0, 0x0000, 0, 1},
    {"set_4_present", 4, POINT_BIT, 3, 1, 0, 0x0000, 0, 1},
};

static const struct span breathing_apparatus_rack_spans[] = {
    {0, 5},
};

static const struct profile breathing_apparatus_rack_profile = {
    "breathing-apparatus-rack", 3, 16,
    breathing_apparatus_rack_points, BREATHING_APPARATUS_RACK_POINTS, breathing_apparatus_rack_spans, 1,
};

#endif
