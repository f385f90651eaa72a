#include "peer/mail.h"
#include "core/clock.h"
#include "core/mem.h"

void mail_clock(struct actor *writer, unsigned node, uint64_t wall_ms, uint64_t took_ms)
{
    if (wall_ms == 0 || took_ms > MAIL_CLOCK_LATE_MS)
        return;
    struct mail_beat *m = MEM_NEW(struct mail_beat);
    m->msg.type = MAIL_BEAT;
    m->node = (uint16_t)node;
    m->has_clock = true;
    m->clock_ahead_ms = (int64_t)(wall_ms - clock_steady_ms());
    actor_send(writer, &m->msg);
}
