/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_rules: who takes what from whom, and what a box may change of the host's login.
 *
 * A credential file has two copies: one in the home of a box, one in the store, which is the
 * agent's volume or, with --credentials host, the user's own file.  The base is what both held when
 * they were last the same.  A copy that differs from the base has changed since; when both have,
 * the home's change is the one that was just noticed and wins, except at the start of a box, when
 * the store may be ahead by any time.  The host's own file always wins against a box.
 *
 * Pure: no descriptor, no clock.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

enum { RENEWED_STRING_MAX = 65536 };

/* --- the decision ------------------------------------------------------------------------------
 */

static enum credential_action both_there(const struct credential_view *v)
{
	if (v->equal)
		return CREDENTIAL_SAME;
	if (v->home_is_base || (v->starting && !v->store_is_base))
		return CREDENTIAL_TO_HOME;
	if (v->host)
		return v->store_is_base ? CREDENTIAL_RENEW : CREDENTIAL_TO_HOME;
	return CREDENTIAL_TO_STORE;
}

static enum credential_action home_has_one(const struct credential_view *v)
{
	switch (v->store) {
	case CREDENTIAL_CONTENT:
		return both_there(v);
	case CREDENTIAL_ABSENT:
		if (v->home_is_base)
			return CREDENTIAL_REMOVE_HOME;
		break;
	case CREDENTIAL_DAMAGED:
	case CREDENTIAL_UNUSABLE:
	case CREDENTIAL_STATE_MAX:
		break;
	}
	/* A box never makes a login for the host; a damaged file of the volume is replaced. */
	return v->host ? CREDENTIAL_NOTHING : CREDENTIAL_TO_STORE;
}

static enum credential_action home_has_none(const struct credential_view *v)
{
	if (v->store == CREDENTIAL_ABSENT)
		return CREDENTIAL_SAME;
	if (v->store != CREDENTIAL_CONTENT)
		return CREDENTIAL_NOTHING;
	if (!v->store_is_base || v->starting)
		return CREDENTIAL_TO_HOME;
	/* The agent logged out. */
	return v->host ? CREDENTIAL_NOTHING : CREDENTIAL_REMOVE_STORE;
}

enum credential_action credential_decide(const struct credential_view *v)
{
	if (!v->settled || v->home == CREDENTIAL_UNUSABLE)
		return CREDENTIAL_NOTHING;
	if (v->home == CREDENTIAL_ABSENT)
		return home_has_none(v);
	/* Whoever was writing it ended with the box's last life. */
	if (v->home == CREDENTIAL_DAMAGED)
		return v->starting && v->store == CREDENTIAL_CONTENT ? CREDENTIAL_TO_HOME
								     : CREDENTIAL_NOTHING;
	/* What the kit puts there at a start is no login. */
	if (v->seed && !v->equal)
		return v->store == CREDENTIAL_CONTENT ? CREDENTIAL_TO_HOME : CREDENTIAL_NOTHING;
	return home_has_one(v);
}

/* --- the renewal --------------------------------------------------------------------------------
 */

static const char *const renewed_words[] = { "token", "refresh", "access", "expir" };
/* Where a token is sent, what it means, or what is run for one: never a box's to change. */
static const char *const kept_words[] = {
	"url",	"uri",	"endpoint", "host", "type", "server", "addr", "domain", "scope",
	"path", "file", "command",  "cmd",  "exec", "helper", "hook", "script", "program"
};

static bool has_word(const char *key, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcasestr(key, words[i]))
			return true;
	return false;
}

/* May the value of this key be another one after a renewal? */
static bool may_change(const char *key)
{
	return has_word(key, renewed_words, ARRAY_SIZE(renewed_words)) &&
	       !has_word(key, kept_words, ARRAY_SIZE(kept_words));
}

/* A token, a date: plain characters, and no address. */
static bool is_plain_value(const char *s)
{
	size_t n = s ? strlen(s) : 0;

	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return n > 0 && n <= RENEWED_STRING_MAX && !strstr(s, "://");
}

struct pair {
	const char *key;
	struct json *old;
	struct json *new;
};
/* Pairs that are still to be compared: a list, because recursion would follow the input. */
struct pairs {
	struct pair *v;
	size_t n;
	struct json *other; /* while the members of an object are walked */
	size_t members;
};

static void push(struct pairs *p, const char *key, struct json *old, struct json *new)
{
	p->v = xrealloc(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = (struct pair){ key, old, new };
}

static int push_member(const char *key, struct json *v, void *arg)
{
	struct pairs *p = arg;

	if (!json_has(p->other, key))
		return -EPERM;
	push(p, key, v, json_get(p->other, key));
	p->members++;
	return 0;
}

static int count_member(const char *key, struct json *v, void *arg)
{
	(void)key;
	(void)v;
	++*(size_t *)arg;
	return 0;
}

static bool same_text(const struct json *a, const struct json *b)
{
	auto_buf x = BUF_INIT;
	auto_buf y = BUF_INIT;

	json_write(a, false, &x);
	json_write(b, false, &y);
	return x.len == y.len && memcmp(buf_str(&x), buf_str(&y), x.len) == 0;
}

static int compare_leaf(const struct pair *x, enum json_kind kind, bool *changed)
{
	if (same_text(x->old, x->new))
		return 0;
	if (!may_change(x->key) || (kind != JSON_STRING && kind != JSON_NUMBER) ||
	    (kind == JSON_STRING && !is_plain_value(json_str(x->new))))
		return -EPERM;
	*changed = true;
	return 0;
}

static int compare_pair(struct pairs *p, const struct pair *x, bool *changed)
{
	enum json_kind kind = json_kind_of(x->old);
	size_t members = 0;

	if (json_kind_of(x->new) != kind)
		return -EPERM;
	switch (kind) {
	case JSON_OBJECT:
		p->other = x->new;
		p->members = 0;
		json_each(x->new, count_member, &members);
		if (json_each(x->old, push_member, p) != 0 || p->members != members)
			return -EPERM;
		return 0;
	case JSON_ARRAY:
		if (json_len(x->old) != json_len(x->new))
			return -EPERM;
		for (size_t i = 0; i < json_len(x->old); i++)
			push(p, x->key, json_at(x->old, i), json_at(x->new, i));
		return 0;
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
	case JSON_STRING:
		break;
	}
	return compare_leaf(x, kind, changed);
}

int credential_renewal(const char *old, size_t old_len, const char *new, size_t new_len,
		       struct buf *out)
{
	struct pairs p = { 0 };
	auto_json from = NULL;
	auto_json to = NULL;
	bool changed = false;
	int r = 0;

	if (json_parse(old, old_len, &from, NULL) < 0 || json_parse(new, new_len, &to, NULL) < 0)
		return -EBADMSG;
	push(&p, "", from, to);
	while (r == 0 && p.n) {
		struct pair x = p.v[--p.n];

		r = compare_pair(&p, &x, &changed);
	}
	free(p.v);
	if (r == 0 && !changed)
		return -EALREADY;
	/* Not the box's bytes: what another parser might read otherwise is not passed on. */
	if (r == 0)
		json_write(to, memchr(old, '\n', old_len) != NULL, out);
	return r;
}
