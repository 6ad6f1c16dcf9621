/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refs: the records of templates, refs/NAME, one for each canonical reference.
 *
 * NAME is the reference with '/' as '+' and every byte that no image of a registry has as %XX; a
 * long one is cut and ends in a hash.  Nobody reads a reference back from it: the record says what
 * it is of, and one that says something else is damaged.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { FILE_NAME_MAX = 200, FILE_NAME_KEEP = 160, RECORD_MAX = 64 << 10 };

void image_record_clear(struct image_record *r)
{
	free(r->reference);
	free(r->digest);
	free(r->media_type);
	free(r->manifest);
	free(r->problem);
	*r = (struct image_record){ 0 };
}

void image_record_list_free(struct image_record *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		image_record_clear(&v[i]);
	free(v);
}

static char *file_name(const char *reference)
{
	auto_buf b = BUF_INIT;

	for (const char *p = reference; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '/')
			buf_putc(&b, '+');
		else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			 (c >= '0' && c <= '9') || (strchr("_-:@", c) || (c == '.' && b.len > 0)))
			buf_putc(&b, (char)c);
		else
			buf_printf(&b, "%%%02x", c);
	}
	if (b.len > FILE_NAME_MAX) {
		buf_truncate(&b, FILE_NAME_KEEP);
		buf_printf(&b, "%%%016llx",
			   (unsigned long long)text_fnv1a(reference, strlen(reference)));
	}
	return buf_steal(&b);
}

static int open_refs(const struct image_store *s, int *ret, struct err *e)
{
	int fd = fs_open_beneath(s->fd, "refs", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "template store: cannot open its records");
	}
	*ret = fd;
	return 0;
}

int image_store_tag(const struct image_store *s, const struct image_record *rec, struct err *e)
{
	auto_free char *name = file_name(rec->reference);
	auto_json j = json_object();
	auto_buf text = BUF_INIT;
	auto_close int dir = -1;
	char when[32];
	int r = open_refs(s, &dir, e);

	if (r < 0)
		return r;
	text_rfc3339(rec->pulled_at, when);
	json_set_string(j, "reference", rec->reference);
	json_set_string(j, "digest", rec->digest);
	json_set_string(j, "media_type", rec->media_type);
	json_set_string(j, "manifest", rec->manifest);
	json_set_string(j, "pulled_at", when);
	json_write(j, true, &text);
	r = fs_replace_at(dir, name, text.data, text.len, 0600, true, e);
	return r < 0 ? err_prefix(e, "template store: cannot record '%s'", rec->reference) : 0;
}

static int damaged(struct err *e, const char *why)
{
	err_set(e, ERR_CORRUPT, -EINVAL, "template store: a record is damaged: %s", why);
	return err_hint(e, "pull the template again: ward template pull TEMPLATE");
}

static int parse_record(const struct buf *text, struct image_record *ret, struct err *e)
{
	const char *reference, *digest, *media_type, *manifest, *when;
	struct image_record rec = { 0 };
	auto_json j = NULL;

	if (json_parse(buf_str(text), text->len, &j, NULL) < 0 || !json_is_object(j))
		return damaged(e, "not a JSON object");
	if (json_get_string(j, "reference", &reference) < 0 ||
	    json_get_string(j, "digest", &digest) < 0 ||
	    json_get_string(j, "media_type", &media_type) < 0 ||
	    json_get_string(j, "manifest", &manifest) < 0 ||
	    json_get_string(j, "pulled_at", &when) < 0)
		return damaged(e, "a member is missing");
	if (!image_digest_ok(digest) || !image_digest_ok(manifest))
		return damaged(e, "a digest is malformed");
	if (text_parse_rfc3339(when, &rec.pulled_at) < 0)
		return damaged(e, "its time is malformed");
	rec.reference = xstrdup(reference);
	rec.digest = xstrdup(digest);
	rec.media_type = xstrdup(media_type);
	rec.manifest = xstrdup(manifest);
	*ret = rec;
	return 0;
}

static int read_record(int dir, const char *name, struct image_record *ret, struct err *e)
{
	auto_image_record rec = { 0 };
	auto_free char *expected = NULL;
	auto_buf text = BUF_INIT;
	int r = fs_read_at(dir, name, RECORD_MAX, &text, e);

	if (r == 0)
		r = parse_record(&text, &rec, e);
	if (r < 0)
		return r;
	expected = file_name(rec.reference);
	if (strcmp(expected, name) != 0)
		return damaged(e, "it is of another template");
	*ret = rec;
	rec = (struct image_record){ 0 };
	return 0;
}

static int no_template(const char *reference, struct err *e)
{
	auto_free char *shown = text_escaped(reference);

	return err_set(e, ERR_NOT_FOUND, -ENOENT, "no template '%s'", shown);
}

int image_store_lookup(const struct image_store *s, const char *reference, struct image_record *ret,
		       struct err *e)
{
	auto_image_record rec = { 0 };
	auto_free char *name = file_name(reference);
	auto_close int dir = -1;
	int r = open_refs(s, &dir, e);

	if (r == 0)
		r = read_record(dir, name, &rec, e);
	if (r == -ENOENT)
		return no_template(reference, e);
	if (r < 0)
		return r;
	if (strcmp(rec.reference, reference) != 0)
		return damaged(e, "two names have the same hash");
	*ret = rec;
	rec = (struct image_record){ 0 };
	return 0;
}

static int by_reference(const void *a, const void *b)
{
	const struct image_record *x = a;
	const struct image_record *y = b;

	return strcmp(x->reference, y->reference);
}

int image_store_list(const struct image_store *s, struct image_record **ret, size_t *ret_n,
		     struct err *e)
{
	struct image_record *v = NULL;
	struct dirent *entry;
	size_t n = 0;
	DIR *d;
	int fd;
	int r = open_refs(s, &fd, e);

	if (r < 0)
		return r;
	d = fdopendir(fd);
	if (!d) {
		r = err_sys(e, "template store: cannot list its records");
		close(fd);
		return r;
	}
	while ((entry = readdir(d))) {
		struct err problem = ERR_INIT;

		if (entry->d_name[0] == '.') /* what a killed writer left, too */
			continue;
		v = xrealloc(v, n + 1, sizeof(*v));
		v[n] = (struct image_record){ 0 };
		r = read_record(fd, entry->d_name, &v[n], &problem);
		if (r == -ENOENT) /* removed meanwhile */
			continue;
		if (r < 0) {
			v[n].reference = xstrdup(entry->d_name);
			v[n].problem = xstrdup(problem.message);
		}
		n++;
	}
	closedir(d);
	if (n > 1)
		qsort(v, n, sizeof(*v), by_reference);
	*ret = v;
	*ret_n = n;
	return 0;
}

int image_store_untag(const struct image_store *s, const char *reference, struct err *e)
{
	auto_free char *name = file_name(reference);
	auto_close int dir = -1;
	int r = open_refs(s, &dir, e);

	if (r < 0)
		return r;
	if (unlinkat(dir, name, 0) < 0) {
		if (errno == ENOENT)
			return no_template(reference, e);
		return err_sys(e, "template store: cannot remove a record");
	}
	return fsync(dir) < 0 ? err_sys(e, "template store: cannot sync its records") : 0;
}
