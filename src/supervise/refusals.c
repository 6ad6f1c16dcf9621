/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusals: what the network policy refused while somebody was attached.  Pure.
 *
 * A user is told of each target once, by a line, as soon as the terminal is free for one, and of
 * all of them with the commands that would allow them when the session ends.  Texts come from the
 * proxy, and names in them from the box: nothing is trusted but their bounds, and all is escaped.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "supervise/supervise_internal.h"

enum { SHOWN_MAX = 300 };

bool refusal_check(const char *payload, size_t n)
{
	size_t texts = 0;

	for (size_t i = 0; i < n; i++)
		texts += payload[i] == '\0';
	return n > 0 && n <= REFUSAL_BYTES_MAX && texts == 3 && payload[0] != '\0' &&
	       payload[n - 1] == '\0';
}

void refusals_clear(struct refusals *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->v[i].target);
	*r = (struct refusals){ 0 };
}

/* What one command allows is one thing; without one, the target for that reason is. */
static bool is_same(const struct refusal *a, const char *target, const char *reason,
		    const char *hint)
{
	if (a->hint[0] || hint[0])
		return strcmp(a->hint, hint) == 0;
	return strcmp(a->target, target) == 0 && strcmp(a->reason, reason) == 0;
}

void refusals_take(struct refusals *r, uint32_t count, const char *payload, size_t n)
{
	const char *target = payload, *reason, *hint;
	struct refusal *f;

	if (!refusal_check(payload, n))
		return;
	reason = target + strlen(target) + 1;
	hint = reason + strlen(reason) + 1;
	for (size_t i = 0; i < r->n; i++) {
		if (is_same(&r->v[i], target, reason, hint)) {
			r->v[i].count += count;
			return;
		}
	}
	if (r->n == REFUSALS_MAX) {
		r->more += count;
		return;
	}
	f = &r->v[r->n++];
	f->target = xmalloc(n);
	memcpy(f->target, payload, n);
	f->reason = f->target + (reason - payload);
	f->hint = f->target + (hint - payload);
	f->count = count;
	r->unshown++;
}

void refusals_lines(struct refusals *r, const char *eol, struct buf *out)
{
	for (size_t i = r->n - r->unshown; i < r->n; i++) {
		buf_puts(out, "ward: denied: ");
		text_escape(out, r->v[i].target, strlen(r->v[i].target), SHOWN_MAX);
		buf_puts(out, ": ");
		text_escape(out, r->v[i].reason, strlen(r->v[i].reason), SHOWN_MAX);
		buf_puts(out, eol);
	}
	r->unshown = 0;
}

struct json *refusals_to_json(const struct refusals *r)
{
	struct json *list = r->n ? json_array() : NULL;

	for (size_t i = 0; i < r->n; i++) {
		struct json *j = json_object();

		json_set_string(j, "target", r->v[i].target);
		json_set_string(j, "reason", r->v[i].reason);
		json_set_string(j, "hint", r->v[i].hint);
		json_set_uint(j, "count", r->v[i].count);
		json_append(list, j);
	}
	return list;
}
