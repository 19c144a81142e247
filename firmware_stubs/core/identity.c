#include "core/identity.h"

#include "core/modbus_slave.h"

enum { BASIC = 1, INDIVIDUAL = 4, BASIC_AND_INDIVIDUAL = 0x81, HEAD = 6 };

static size_t put_object(const char *text, uint8_t object, uint8_t *body)
{
    uint8_t length = 0;
    while (length < IDENTITY_TEXT && text[length] != '\0') {
        body[2 + length] = (uint8_t) text[length];
        length++;
    }
    body[0] = object;
    body[1] = length;
    return (size_t) 2 + length;
}

size_t identity_answer(const struct identity *identity, uint8_t type, uint8_t code, uint8_t object, uint8_t *body,
                       uint8_t *why)
{
    *why = MODBUS_ILLEGAL_FUNCTION;
    if (type != IDENTITY_TYPE)
        return 0;
    *why = MODBUS_ILLEGAL_VALUE;
    if (code < BASIC || code > INDIVIDUAL)
        return 0;
    *why = MODBUS_ILLEGAL_ADDRESS;
    if (code == INDIVIDUAL && object >= IDENTITY_OBJECTS)
        return 0;
    /* A stream that begins at an object nobody has begins anew, as the standard has it. */
    const uint8_t first = object < IDENTITY_OBJECTS ? object : 0;
    const uint8_t end = code == INDIVIDUAL ? (uint8_t) (first + 1) : (uint8_t) IDENTITY_OBJECTS;
    size_t length = HEAD;
    for (uint8_t n = first; n < end; n++)
        length += put_object(identity->objects[n], n, body + length);
    body[0] = IDENTITY_TYPE;
    body[1] = code;
    body[2] = BASIC_AND_INDIVIDUAL;
    body[3] = 0; /* nothing follows */
    body[4] = 0;
    body[5] = (uint8_t) (end - first);
    return length;
}
