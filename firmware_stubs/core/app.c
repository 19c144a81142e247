#include "core/app.h"

static bool sample(void *context, uint16_t point, int32_t *raw)
{
    const struct app *app = context;
    *raw = app->raw[point];
    return app->works[point];
}

void app_init(struct app *app, const struct node_type *type, const struct board *board)
{
    *app = (struct app) {.board = board};
    storage_load(&board->storage, &app->config);
    for (uint16_t n = 0; n < type->profile->point_count; n++) {
        app->raw[n] = type->inputs[n].normal;
        app->works[n] = type->profile->points[n].has_missing == 0; /* no sensor is connected yet */
    }
    const struct sensors sensors = {.context = app, .sample = sample};
    node_init(&app->node, type, sensors, &app->config);
    modbus_slave_init(&app->slave, type->profile, node_registers(&app->node), app->config.unit, app->config.baud);
    if (app->slave.gap_us < board->least_gap_us)
        app->slave.gap_us = board->least_gap_us;
}

/* --- console ---------------------------------------------------------------------------------------------------- */

static void say(const struct app *app, const char *text)
{
    app->board->console_write(app->board->context, text);
}

static void say_number(const struct app *app, const char *name, uint32_t value)
{
    char digits[12];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char) ('0' + value % 10);
        value /= 10;
    } while (value != 0);
    say(app, name);
    say(app, digits + at);
}

/* The word that begins at *at, ended in place; *at moves behind it. NULL: there is none. */
static char *next_word(char **at)
{
    char *word = *at;
    while (*word == ' ')
        word++;
    if (*word == '\0')
        return NULL;
    char *end = word;
    while (*end != ' ' && *end != '\0')
        end++;
    *at = *end == ' ' ? end + 1 : end;
    *end = '\0';
    return word;
}

static bool is_word(const char *word, const char *wanted)
{
    while (*word != '\0' && *word == *wanted) {
        word++;
        wanted++;
    }
    return *word == *wanted;
}

static bool number_of(const char *word, int32_t *value)
{
    const bool is_negative = *word == '-';
    int32_t found = 0;
    word += is_negative;
    if (*word == '\0')
        return false;
    for (; *word != '\0'; word++) {
        if (*word < '0' || *word > '9' || found > 100000000)
            return false;
        found = found * 10 + (*word - '0');
    }
    *value = is_negative ? -found : found;
    return true;
}

static bool set_point(struct app *app, const char *name, const char *word)
{
    const struct profile *profile = app->node.type->profile;
    for (uint16_t n = 0; n < profile->point_count; n++) {
        if (!is_word(name, profile->points[n].name))
            continue;
        if (word != NULL && !number_of(word, &app->raw[n]))
            return false;
        app->works[n] = word != NULL;
        return true;
    }
    return false;
}

static bool configure(struct app *app, const char *what, const char *word)
{
    int32_t value = 0;
    struct config config;
    storage_load(&app->board->storage, &config);
    if (!number_of(word, &value))
        return false;
    if (is_word(what, "zero")) {
        if (value < INT16_MIN || value > INT16_MAX)
            return false;
        config.zero = (int16_t) value;
    } else if (value < 0) {
        return false;
    } else if (is_word(what, "unit")) {
        config.unit = value > 247 ? 0 : (uint8_t) value;
    } else if (is_word(what, "baud")) {
        config.baud = (uint32_t) value;
    } else if (is_word(what, "hold")) {
        config.hold_ms = (uint32_t) value;
    } else {
        return false;
    }
    return storage_save(&app->board->storage, &config);
}

static void tell(const struct app *app)
{
    say(app, "ok ");
    say(app, app->node.type->profile->id);
    say_number(app, " unit ", app->config.unit);
    say_number(app, " starts ", app->board->starts);
    say_number(app, " answered ", app->slave.counters.answered);
    say_number(app, " refused ", app->slave.counters.refused);
    say_number(app, " foreign ", app->slave.counters.foreign);
    say_number(app, " damaged ", app->slave.counters.damaged);
    say(app, "\n");
}

static void obey(struct app *app)
{
    char *at = app->line;
    const char *what = next_word(&at);
    const char *name = what == NULL ? NULL : next_word(&at);
    const char *value = name == NULL ? NULL : next_word(&at);
    bool done = false;
    if (what == NULL)
        return;
    if (is_word(what, "info")) {
        tell(app);
        return;
    }
    if (is_word(what, "hang"))
        done = app->hangs = true;
    else if (is_word(what, "set"))
        done = value != NULL && set_point(app, name, value);
    else if (is_word(what, "fail"))
        done = name != NULL && set_point(app, name, NULL);
    else
        done = name != NULL && configure(app, what, name);
    say(app, done ? "ok\n" : "error: want set POINT RAW, fail POINT, unit|baud|hold|zero NUMBER, hang, info\n");
}

static bool listen_to_console(struct app *app)
{
    uint8_t byte = 0;
    if (!app->board->console_read(app->board->context, &byte))
        return false;
    if (byte == '\n' || byte == '\r') {
        app->line[app->line_length] = '\0';
        app->line_length = 0;
        obey(app);
    } else if (app->line_length < CONSOLE_LINE - 1) {
        app->line[app->line_length++] = (char) byte;
    }
    return true;
}

/* --- one round -------------------------------------------------------------------------------------------------- */

static bool serve_line(struct app *app)
{
    const struct board *board = app->board;
    uint8_t byte = 0;
    bool was_busy = false;
    while (board->line_read(board->context, &byte)) {
        modbus_slave_take(&app->slave, byte, board->now_us(board->context));
        was_busy = true;
    }
    uint8_t answer[MODBUS_FRAME];
    const size_t length = modbus_slave_poll(&app->slave, board->now_us(board->context), answer);
    if (length != 0)
        board->line_write(board->context, answer, length);
    watchdog_report(&app->watchdog, WATCHDOG_LINE);
    return was_busy || length != 0;
}

bool app_step(struct app *app)
{
    bool was_busy = serve_line(app);
    was_busy = listen_to_console(app) || was_busy;
    if (!app->hangs) {
        node_tick(&app->node, app->board->now_ms(app->board->context));
        watchdog_report(&app->watchdog, WATCHDOG_SENSORS);
    }
    if (watchdog_may_feed(&app->watchdog))
        app->board->feed_watchdog(app->board->context);
    return was_busy;
}
