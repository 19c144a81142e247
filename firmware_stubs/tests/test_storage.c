/* Power is cut at every byte of every write: what is loaded is the old configuration or the new one, never a third. */
#include "core/storage.h"

#include <string.h>

#include "tests/check.h"

/* Memory as flash is: erased to ones, written to zeros. Power goes after `budget` bytes. */
struct flash {
    uint8_t bytes[STORAGE_SLOTS][STORAGE_SLOT];
    long budget;
};

static bool flash_read(void *context, unsigned slot, uint8_t *bytes, size_t length)
{
    struct flash *flash = context;
    memcpy(bytes, flash->bytes[slot], length);
    return true;
}

static bool flash_write(void *context, unsigned slot, const uint8_t *bytes, size_t length)
{
    struct flash *flash = context;
    for (size_t n = 0; n < length; n++) {
        if (flash->budget-- <= 0)
            return false;
        flash->bytes[slot][n] &= bytes[n];
    }
    return true;
}

static bool flash_erase(void *context, unsigned slot)
{
    struct flash *flash = context;
    for (size_t n = 0; n < STORAGE_SLOT; n++) {
        if (flash->budget-- <= 0)
            return false;
        flash->bytes[slot][n] = 0xFF;
    }
    return true;
}

static struct storage_port port_of(struct flash *flash)
{
    return (struct storage_port) {.context = flash, .read = flash_read, .erase = flash_erase, .write = flash_write};
}

static struct config config_of(uint8_t unit)
{
    struct config config = config_default();
    config.unit = unit;
    config.baud = 19200;
    config.zero = (int16_t) -unit;
    return config;
}

static void check_same(const struct config *got, const struct config *want)
{
    CHECK_EQUAL(got->unit, want->unit);
    CHECK_EQUAL(got->baud, want->baud);
    CHECK_EQUAL(got->hold_ms, want->hold_ms);
    CHECK_EQUAL(got->zero, want->zero);
}

static void an_empty_memory_gives_the_default(void)
{
    struct flash flash;
    memset(&flash, 0xFF, sizeof flash);
    const struct storage_port port = port_of(&flash);
    struct config config;
    CHECK(!storage_load(&port, &config));
    const struct config want = config_default();
    check_same(&config, &want);
}

static void what_was_saved_is_loaded_many_times_over(void)
{
    struct flash flash = {.budget = 1000000};
    const struct storage_port port = port_of(&flash);
    for (uint8_t unit = 1; unit < 200; unit++) {
        const struct config want = config_of(unit);
        struct config config;
        CHECK(storage_save(&port, &want));
        CHECK(storage_load(&port, &config));
        check_same(&config, &want);
    }
}

static void power_is_cut_at_every_byte(void)
{
    for (long cut = 0; cut < 2 * STORAGE_SLOT; cut++) {
        struct flash flash = {.budget = 1000000};
        const struct storage_port port = port_of(&flash);
        const struct config old = config_of(11), new = config_of(12);
        CHECK(storage_save(&port, &old));
        flash.budget = cut;
        const bool saved = storage_save(&port, &new);
        struct config config;
        CHECK(storage_load(&port, &config));
        check_same(&config, saved ? &new : config.unit == new.unit ? &new : &old);
        /* And it can be saved again when power is back. */
        flash.budget = 1000000;
        CHECK(storage_save(&port, &new));
        CHECK(storage_load(&port, &config));
        check_same(&config, &new);
    }
}

static void one_flipped_bit_is_never_believed(void)
{
    for (size_t bit = 0; bit < 20 * 8; bit++) {
        struct flash flash = {.budget = 1000000};
        const struct storage_port port = port_of(&flash);
        const struct config old = config_of(11), new = config_of(12);
        struct config config;
        CHECK(storage_save(&port, &old));
        CHECK(storage_save(&port, &new));
        flash.bytes[1][bit / 8] ^= (uint8_t) (1U << bit % 8);
        CHECK(storage_load(&port, &config));
        check_same(&config, &old);
    }
}

static void nonsense_is_not_saved(void)
{
    struct flash flash = {.budget = 1000000};
    const struct storage_port port = port_of(&flash);
    struct config config = config_default();
    config.unit = 0;
    CHECK(!storage_save(&port, &config));
    config.unit = 248;
    CHECK(!storage_save(&port, &config));
    config = config_default();
    config.baud = 300;
    CHECK(!storage_save(&port, &config));
}

int main(void)
{
    an_empty_memory_gives_the_default();
    what_was_saved_is_loaded_many_times_over();
    power_is_cut_at_every_byte();
    one_flipped_bit_is_never_believed();
    nonsense_is_not_saved();
    return 0;
}
