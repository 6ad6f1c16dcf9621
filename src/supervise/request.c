/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: how a START request travels from the supervisor to init.
 *
 * Layout: "WSR2", then op, flags, argc, envc and callerc as 32-bit numbers of this machine, then
 * the strings user, cwd, argv..., env..., caller..., each with its NUL.  The bytes are exactly used
 * up.
 *
 * Invariants of a parsed request: argv[0] and cwd are not empty, there is an argv unless the login
 * shell is meant, every environment entry has a name and an equals sign, everything is within
 * START_BYTES_MAX and START_STRINGS_MAX.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "supervise/supervise_internal.h"

static const char magic[4] = { 'W', 'S', 'R', '2' };
enum { REQUEST_TTY = 1, REQUEST_LOGIN = 2 };

struct request_head {
	char magic[4];
	uint32_t op;
	uint32_t flags;
	uint32_t argc;
	uint32_t envc;
	uint32_t callerc;
};

static void put_string(struct buf *out, const char *s)
{
	buf_add(out, s ? s : "", (s ? strlen(s) : 0) + 1);
}

void start_request_write(const struct spec_session *s, enum start_op op, struct buf *out)
{
	struct request_head h = { .op = op,
				  .flags = (s->tty ? REQUEST_TTY : 0) |
					   (s->login ? REQUEST_LOGIN : 0),
				  .argc = (uint32_t)s->argv.n,
				  .envc = (uint32_t)s->env.n,
				  .callerc = (uint32_t)s->caller_env.n };

	memcpy(h.magic, magic, sizeof(magic));
	buf_add(out, &h, sizeof(h));
	put_string(out, s->user);
	put_string(out, s->cwd);
	for (size_t i = 0; i < s->argv.n; i++)
		put_string(out, s->argv.v[i]);
	for (size_t i = 0; i < s->env.n; i++)
		put_string(out, s->env.v[i]);
	for (size_t i = 0; i < s->caller_env.n; i++)
		put_string(out, s->caller_env.v[i]);
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INPUT, -EBADMSG, "start request: %s", what);
}

/* The next string, or NULL when no NUL is left. */
static char *next_string(char **p, char *end)
{
	char *s = *p;
	char *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

	if (!nul)
		return NULL;
	*p = nul + 1;
	return s;
}

/* n entries "K=V". */
static int read_env(char **ret, uint32_t n, char **p, char *end, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		ret[i] = next_string(p, end);
		if (!ret[i])
			return bad(e, "truncated");
		if (ret[i][0] == '=' || !strchr(ret[i], '='))
			return bad(e, "environment entry without a name and '='");
	}
	return 0;
}

static int read_strings(struct start_request *r, char *p, char *end, struct err *e)
{
	int code;

	r->user = next_string(&p, end);
	r->cwd = r->user ? next_string(&p, end) : NULL;
	if (!r->cwd)
		return bad(e, "truncated");
	for (uint32_t i = 0; i < r->argc; i++) {
		r->argv[i] = next_string(&p, end);
		if (!r->argv[i])
			return bad(e, "truncated");
	}
	code = read_env(r->env, r->envc, &p, end, e);
	if (code == 0)
		code = read_env(r->caller, r->callerc, &p, end, e);
	if (code < 0)
		return code;
	if (p != end)
		return bad(e, "bytes behind the last string");
	if (r->cwd[0] != '/')
		return bad(e, "working directory is not absolute");
	if (r->argc && r->argv[0][0] == '\0')
		return bad(e, "empty program name");
	return 0;
}

int start_request_parse(const void *bytes, size_t n, struct start_request *ret, struct err *e)
{
	struct start_request r = { 0 };
	struct request_head h;
	int code;

	if (n < sizeof(h) || n > START_BYTES_MAX)
		return bad(e, "bad length");
	memcpy(&h, bytes, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) != 0)
		return bad(e, "bad mark");
	if (h.op >= START_OP_MAX || (h.flags & ~(uint32_t)(REQUEST_TTY | REQUEST_LOGIN)))
		return bad(e, "unknown kind");
	if ((h.flags & REQUEST_LOGIN) && h.op != START_EXEC)
		return bad(e, "a login shell of another kind");
	if ((h.argc < 1) != !!(h.flags & REQUEST_LOGIN) || h.argc > START_STRINGS_MAX ||
	    h.envc > START_STRINGS_MAX || h.callerc > START_STRINGS_MAX)
		return bad(e, "bad number of strings");
	r.op = (enum start_op)h.op;
	r.tty = h.flags & REQUEST_TTY;
	r.argc = h.argc;
	r.envc = h.envc;
	r.callerc = h.callerc;
	r.bytes = xmalloc(n - sizeof(h) + 1);
	memcpy(r.bytes, (const char *)bytes + sizeof(h), n - sizeof(h));
	r.argv = xcalloc((size_t)h.argc + 1, sizeof(*r.argv));
	r.env = xcalloc((size_t)h.envc + 1, sizeof(*r.env));
	r.caller = xcalloc((size_t)h.callerc + 1, sizeof(*r.caller));
	code = read_strings(&r, r.bytes, r.bytes + (n - sizeof(h)), e);
	if (code < 0) {
		start_request_clear(&r);
		return code;
	}
	*ret = r;
	return 0;
}

void start_request_clear(struct start_request *r)
{
	if (!r)
		return;
	free(r->bytes);
	free(r->argv);
	free(r->env);
	free(r->caller);
	*r = (struct start_request){ 0 };
}
