/* Generated from contract/profiles/panel-modbus.yaml by firmware_stubs/generate.py. Do not edit. */
#ifndef PANEL_MODBUS_H
#define PANEL_MODBUS_H

#include "core/profile.h"

enum {
    PANEL_MODBUS_MAIN_POWER = 0,
    PANEL_MODBUS_STANDBY_POWER = 1,
    PANEL_MODBUS_BUS = 2,
    PANEL_MODBUS_P001 = 3,
    PANEL_MODBUS_P002 = 4,
    PANEL_MODBUS_P003 = 5,
    PANEL_MODBUS_P004 = 6,
    PANEL_MODBUS_P005 = 7,
    PANEL_MODBUS_P006 = 8,
    PANEL_MODBUS_P007 = 9,
    PANEL_MODBUS_P008 = 10,
    PANEL_MODBUS_P009 = 11,
    PANEL_MODBUS_P010 = 12,
    PANEL_MODBUS_P011 = 13,
    PANEL_MODBUS_P012 = 14,
    PANEL_MODBUS_P013 = 15,
    PANEL_MODBUS_P014 = 16,
    PANEL_MODBUS_P015 = 17,
    PANEL_MODBUS_P016 = 18,
    PANEL_MODBUS_P017 = 19,
    PANEL_MODBUS_P018 = 20,
    PANEL_MODBUS_P019 = 21,
    PANEL_MODBUS_P020 = 22,
    PANEL_MODBUS_P021 = 23,
    PANEL_MODBUS_P022 = 24,
    PANEL_MODBUS_P023 = 25,
    PANEL_MODBUS_P024 = 26,
    PANEL_MODBUS_P025 = 27,
    PANEL_MODBUS_P026 = 28,
    PANEL_MODBUS_P027 = 29,
    PANEL_MODBUS_P028 = 30,
    PANEL_MODBUS_P029 = 31,
    PANEL_MODBUS_P030 = 32,
    PANEL_MODBUS_P031 = 33,
    PANEL_MODBUS_P032 = 34,
    PANEL_MODBUS_POINTS = 35
};

static const struct point panel_modbus_points[PANEL_MODBUS_POINTS] = {
    {"main_power", 242, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"standby_power", 243, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"bus", 244, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p001", 0, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p002", 1, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p003", 2, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p004", 3, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p005", 4, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p006", 5, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p007", 6, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p008", 7, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p009", 8, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p010", 9, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p011", 10, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p012", 11, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p013", 12, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p014", 13, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p015", 14, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p016", 15, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p017", 16, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p018", 17, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p019", 18, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p020", 19, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p021", 20, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p022", 21, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p023", 22, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p024", 23, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p025", 24, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p026", 25, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p027", 26, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p028", 27, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p029", 28, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p030", 29, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p031", 30, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
    {"p032", 31, POINT_STATE, 0, 1, 0, 0x0000, 0, 9},
};

static const struct span panel_modbus_spans[] = {
    {0, 32},
    {242, 3},
};

static const struct profile panel_modbus_profile = {
    "panel-modbus", 3, 100,
    panel_modbus_points, PANEL_MODBUS_POINTS, panel_modbus_spans, 2,
};

#endif
