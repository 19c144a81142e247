/* Generated from contract/profiles/end-test-valve.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef END_TEST_VALVE_H
#define END_TEST_VALVE_H

#include "core/profile.h"

enum {
    END_TEST_VALVE_PRESSURE_KPA = 0,
    END_TEST_VALVE_BATTERY_PCT = 1,
    END_TEST_VALVE_POINTS = 2
};

static const struct point end_test_valve_points[END_TEST_VALVE_POINTS] = {
    {"pressure_kpa", 0, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 30000},
    {"battery_pct", 4, POINT_UINT16, 0, 0, 1, 0xFFFF, 0, 100},
};

static const struct span end_test_valve_spans[] = {
    {0, 5},
};

static const struct profile end_test_valve_profile = {
    "end-test-valve", 3, 32,
    end_test_valve_points, END_TEST_VALVE_POINTS, end_test_valve_spans, 1,
};

#endif
