/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_log: `policy log`: the records of connections, of one sandbox or of all.
 *
 * The records are lines of JSON that a sandbox's proxy writes; the supervisor rotates the files
 * (proxy_child.c), so that a follower who finds another file under the name has read all of the old
 * one once it is at its end.  Names in records were chosen inside and are escaped; a line that is
 * no record is passed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_internal.h"

enum { FOLLOW_MS = 100, LINE_MAX_BYTES = 16384, BLOCK = 65536, NAME_SHOWN = 300 };
enum { PROGRAM_SHOWN = 100 };

struct source { /* the log of one sandbox */
	const struct sandbox *box;
	const char *name;
	int fd; /* the file that is being read, or -1 */
	struct buf pending;
};

struct query {
	struct cli *c;
	char since[32];		   /* RFC 3339, or "" */
	struct policy_rules *host; /* a denial of the pattern; NULL: none, or only the literal */
	struct source *v;
	size_t n;
	policy_record_fn *fn;
	void *arg;
};

/* --- filters ---------------------------------------------------------------------------------- */

static int parse_since(const char *text, char out[static 32], struct err *e)
{
	uint64_t seconds;
	int64_t at;

	if (text_duration(text, &seconds) == 0)
		at = (int64_t)time(NULL) - (int64_t)seconds;
	else if (text_parse_rfc3339(text, &at) < 0)
		return err_set(e, ERR_USAGE, -EINVAL,
			       "option --since: write a time such as 10m or 2026-01-02T03:04:05Z");
	text_rfc3339(at, out);
	return 0;
}

static const char *text_of(const struct json *j, const char *key)
{
	const char *s = "";

	(void)json_get_string(j, key, &s);
	return s;
}

static bool host_matches(const struct query *q, const struct json *j)
{
	const char *name = text_of(j, "host");
	struct policy_verdict v;
	struct policy_host host;
	uint64_t port = 443;

	if (!q->c->v.host || strcmp(name, q->c->v.host) == 0)
		return true;
	(void)json_get_uint(j, "port", &port);
	if (!q->host || policy_host_parse(name, strlen(name), &host, NULL) < 0)
		return false;
	policy_decide(q->host, &host, (uint16_t)(port ? port : 443), NULL, &v);
	return v.rule[0] != '\0';
}

static bool passes(const struct query *q, const struct json *j)
{
	const char *verdict = text_of(j, "verdict");

	if (q->c->v.denied && strcmp(verdict, "deny") != 0 && strcmp(verdict, "would-deny") != 0)
		return false;
	/* Both are in UTC and of the same form up to the seconds. */
	if (q->since[0] && strncmp(text_of(j, "time"), q->since, strlen("2026-01-02T03:04:05")) < 0)
		return false;
	return host_matches(q, j);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int take_line(struct query *q, const struct source *s, const char *line, size_t n,
		     struct err *e)
{
	auto_json j = NULL;

	if (json_parse(line, n, &j, NULL) < 0 || !json_is_object(j) || !passes(q, j))
		return 0;
	json_set_string(j, "sandbox", s->name);
	return q->fn(q->arg, j, e);
}

/* Everything up to the end of the file as it is now. *ret_any: there was something. */
static int read_on(struct query *q, struct source *s, bool *ret_any, struct err *e)
{
	auto_free char *block = xmalloc(BLOCK);
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(s->fd, block, BLOCK)) > 0) {
		const char *end;

		*ret_any = true;
		buf_add(&s->pending, block, (size_t)n);
		while (r == 0 && (end = memchr(s->pending.data, '\n', s->pending.len))) {
			size_t len = (size_t)(end - s->pending.data);

			r = take_line(q, s, s->pending.data, len, e);
			buf_consume(&s->pending, len + 1);
		}
		if (s->pending.len > LINE_MAX_BYTES)
			buf_reset(&s->pending);
	}
	return r;
}

static int open_file(const struct source *s, const char *suffix)
{
	auto_free char *name = xasprintf("log/network.jsonl%s", suffix);

	return fs_open_beneath(s->box->dirfd, name, O_RDONLY | O_NONBLOCK, 0);
}

static void next_file(struct source *s, int fd)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	buf_reset(&s->pending);
}

static int read_all(struct query *q, struct source *s, struct err *e)
{
	static const char *const suffixes[] = { ".2", ".1", "" };
	bool any = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++) {
		int fd = open_file(s, suffixes[i]);

		if (fd < 0)
			continue;
		next_file(s, fd);
		r = read_on(q, s, &any, e);
	}
	return r;
}

/* Another file has the name: the old one is complete. */
static bool was_rotated(const struct source *s, int *ret_fd)
{
	struct stat now, mine;
	int fd = open_file(s, "");

	if (fd < 0)
		return false;
	if (s->fd >= 0 && fstat(fd, &now) == 0 && fstat(s->fd, &mine) == 0 &&
	    now.st_ino == mine.st_ino && now.st_dev == mine.st_dev) {
		close(fd);
		return false;
	}
	*ret_fd = fd;
	return true;
}

static int follow(struct query *q, struct err *e)
{
	for (;;) {
		bool any = false;

		for (size_t i = 0; i < q->n; i++) {
			struct source *s = &q->v[i];
			int next = -1;
			/* Looked at first: what it says holds for the read that follows. */
			bool rotated = was_rotated(s, &next);
			int r = s->fd >= 0 ? read_on(q, s, &any, e) : 0;

			if (rotated) {
				next_file(s, next);
				any = true;
			}
			if (r < 0)
				return r;
		}
		if (!any)
			nanosleep(&(struct timespec){ .tv_nsec = FOLLOW_MS * 1000000L }, NULL);
	}
}

int policy_records(struct cli *c, struct sandbox *const *boxes, size_t n, policy_record_fn *fn,
		   void *arg, struct err *e)
{
	struct query q = { .c = c, .n = n, .fn = fn, .arg = arg };
	int r = c->v.since ? parse_since(c->v.since, q.since, e) : 0;

	if (r < 0)
		return r;
	if (c->v.host) {
		q.host = policy_rules_new();
		if (policy_rules_add(q.host, false, c->v.host, "log", NULL) < 0)
			policy_rules_free(steal(&q.host));
	}
	q.v = xcalloc(n + 1, sizeof(*q.v));
	for (size_t i = 0; i < n; i++)
		q.v[i] = (struct source){ boxes[i], cli_sandbox_name(boxes[i]), -1, BUF_INIT };
	for (size_t i = 0; r == 0 && i < n; i++)
		r = boxes[i]->dirfd >= 0 ? read_all(&q, &q.v[i], e) : 0;
	if (r == 0 && c->v.follow) {
		r = fn(arg, NULL, e);
		if (r == 0)
			r = follow(&q, e);
	}
	for (size_t i = 0; i < n; i++) {
		next_file(&q.v[i], -1);
		buf_free(&q.v[i].pending);
	}
	free(q.v);
	policy_rules_free(q.host);
	return r;
}

/* --- printing --------------------------------------------------------------------------------- */

struct line {
	char time[40];
	char *text;
	size_t order;
};

struct printer {
	struct cli *c;
	bool live;  /* what is there was printed: each record at once */
	bool names; /* of several sandboxes */
	struct line *v;
	size_t n, cap;
};

/* " curl[7]", as the box says: its whole path is in the JSON. */
static void put_program(const struct json *j, struct buf *out)
{
	const struct json *program = json_get(j, "program");
	const char *exe = "", *name;
	uint64_t pid = 0;

	if (!program || json_get_uint(program, "pid", &pid) < 0)
		return;
	(void)json_get_string(program, "exe", &exe);
	name = strrchr(exe, '/');
	name = name && name[1] ? name + 1 : exe[0] ? exe : "?";
	buf_putc(out, ' ');
	text_escape(out, name, strlen(name), PROGRAM_SHOWN);
	buf_printf(out, "[%llu]", (unsigned long long)pid);
}

static void put_text(const struct printer *p, const struct json *j, struct buf *out)
{
	const char *name = text_of(j, "host"), *rule = text_of(j, "rule");
	const char *address = text_of(j, "address"), *verdict = text_of(j, "verdict");
	uint64_t port = 0, up = 0, down = 0, ms = 0;
	bool v6 = strchr(name, ':') != NULL;

	(void)json_get_uint(j, "port", &port);
	(void)json_get_uint(j, "bytes_up", &up);
	(void)json_get_uint(j, "bytes_down", &down);
	(void)json_get_uint(j, "duration_ms", &ms);
	text_escape(out, text_of(j, "time"), strlen(text_of(j, "time")), 40);
	if (p->names)
		buf_printf(out, " %s", text_of(j, "sandbox"));
	buf_printf(out, " %-5s ", strcmp(verdict, "would-deny") == 0 ? "would deny" : verdict);
	buf_puts(out, v6 ? "[" : "");
	text_escape(out, name[0] ? name : "-", strlen(name[0] ? name : "-"), NAME_SHOWN);
	buf_puts(out, v6 ? "]" : "");
	if (port)
		buf_printf(out, ":%u", (unsigned)port);
	if (address[0] && strcmp(address, name) != 0)
		buf_printf(out, " (%s)", address);
	buf_printf(out, " %s", text_of(j, "entry"));
	put_program(j, out);
	if (strcmp(verdict, "allow") == 0 || strcmp(verdict, "would-deny") == 0)
		buf_printf(out, " %lluB up %lluB down %llums", (unsigned long long)up,
			   (unsigned long long)down, (unsigned long long)ms);
	if (rule[0])
		buf_printf(out, ": rule '%s' of %s", rule, text_of(j, "origin"));
	else if (text_of(j, "reason")[0]) {
		buf_puts(out, ": ");
		text_escape(out, text_of(j, "reason"), strlen(text_of(j, "reason")), NAME_SHOWN);
	}
	buf_putc(out, '\n');
}

static int by_time(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int d = strcmp(x->time, y->time);

	return d ? d : x->order < y->order ? -1 : 1;
}

/* The last --limit of what was kept. */
static int flush(struct printer *p, struct err *e)
{
	auto_buf out = BUF_INIT;
	uint64_t limit = p->n;

	if (p->c->v.limit && text_u64(p->c->v.limit, UINT32_MAX, &limit) < 0)
		return err_set(e, ERR_USAGE, -EINVAL, "option --limit: a number is expected");
	qsort(p->v, p->n, sizeof(*p->v), by_time);
	for (size_t i = limit < p->n ? p->n - limit : 0; i < p->n; i++)
		buf_puts(&out, p->v[i].text);
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].text);
	p->n = 0;
	return out.len ? term_out(&out, e) : 0;
}

static int print_record(void *arg, const struct json *j, struct err *e)
{
	struct printer *p = arg;
	auto_buf out = BUF_INIT;

	if (!j) {
		p->live = true;
		return flush(p, e);
	}
	if (cli_wants_json(p->c)) {
		auto_buf raw = BUF_INIT;

		json_write(j, false, &raw);
		term_escape_json(&out, raw.data, raw.len);
		buf_putc(&out, '\n');
	} else {
		put_text(p, j, &out);
	}
	if (p->live)
		return term_out(&out, e);
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->v = xrealloc(p->v, p->cap, sizeof(*p->v));
	}
	p->v[p->n] = (struct line){ .order = p->n, .text = buf_steal(&out) };
	snprintf(p->v[p->n].time, sizeof(p->v[p->n].time), "%s", text_of(j, "time"));
	p->n++;
	return 0;
}

int policy_log(struct cli *c, struct err *e)
{
	const char *name = c->operands.v.n > 1 ? c->operands.v.v[1] : c->v.sandbox;
	struct printer p = { .c = c, .names = !name };
	struct sandbox **all = NULL, *box = NULL;
	size_t n = 1;
	int r = name ? cli_find(c, name, &box, e) : state_list(&c->engine.paths, &all, &n, e);

	if (r == 0)
		r = policy_records(c, name ? &box : all, n, print_record, &p, e);
	if (r == 0)
		r = flush(&p, e);
	free(p.v);
	sandbox_free(box);
	if (all)
		state_list_free(all, n);
	return r;
}
