/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_hangup: the end of a session whose last client is gone.
 *
 * A program belongs to the terminal or pipes that it was started with.  When these go away, however
 * that comes about (the terminal was closed, the client was killed, the machine it ran on is gone),
 * the program is hung up, as it would be on a terminal of its own: SIGHUP, after a while SIGTERM,
 * after a while SIGKILL, to the leader's process group, each with SIGCONT for those that stand
 * still.  Without a terminal the end of its input comes first, and time to act on it.
 *
 * A session that was detached on purpose, at its start or later, needs nobody: it stays, also when
 * a later client of it is lost.  So does a step of a kit.
 */
#include <signal.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { INPUT_MS = 2000, PHASE_MS = 5000 };

static const int32_t phases[] = { SIGHUP, SIGTERM, SIGKILL };

static void tell(struct session *s, int32_t signo)
{
	(void)supervisor_tell_init(s->sup, INIT_WIRE_SIGNAL, s->id, &signo, sizeof(signo), NULL, 0);
}

static void on_phase(void *arg)
{
	struct session *s = arg;

	s->hangup = NULL;
	if (s->state != SESSION_RUNNING || s->hangup_phase >= ARRAY_SIZE(phases))
		return;
	tell(s, phases[s->hangup_phase++]);
	tell(s, SIGCONT);
	s->hangup = loop_after(s->sup->loop, PHASE_MS, on_phase, s);
}

void session_hang_up(struct session *s, bool at_once)
{
	/* A step of a kit is nobody's: who starts the sandbox next waits for it. */
	if (s->copy || s->detached || s->spec.kind == SPEC_SESSION_SETUP ||
	    s->state != SESSION_RUNNING)
		return;
	if (at_once || s->spec.tty) {
		loop_remove(s->sup->loop, s->hangup);
		on_phase(s);
	} else if (!s->hangup) {
		s->hangup = loop_after(s->sup->loop, INPUT_MS, on_phase, s);
	}
}
